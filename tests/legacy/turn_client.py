"""The legacy turn client, as the tests need it: byte for byte what the clients in the field do.

    python3 turn_client.py HOST PORT [--name Client1] [--start 1] [--step 2]

It takes one `recv(1024)` for one signal and compares it with `==`: there is no delimiter, so two signals
that arrive together (`WAITGO`) are no signal it knows. It sleeps 1 s after its own number and 100 ms after
`WAIT`, and reads nothing meanwhile. Nothing here may be made more robust: its weakness is what is tested.

Prints `got SIGNAL` for whatever it received, `sent NUMBER`, and `closed` when the connection is gone (the
real one went on in a busy loop there).
"""

import argparse
import socket
import time

from say import say


def take_turns(sock, name, number, step):
    while True:
        signal = sock.recv(1024)
        if not signal:
            return
        say("got " + signal.decode(errors="backslashreplace"))
        if signal == b"GO":
            sock.sendall(f"{name}:{number}".encode())
            say(f"sent {number}")
            number += step
            time.sleep(1)
        elif signal == b"WAIT":
            time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description="legacy turn client")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--name", default="Client1")
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--step", type=int, default=2)
    options = parser.parse_args()
    with socket.create_connection((options.host, options.port)) as sock:
        try:
            take_turns(sock, options.name, options.start, options.step)
        except OSError:
            pass
    say("closed")


if __name__ == "__main__":
    main()
