"""The legacy counter client, as the tests need it: byte for byte what the clients in the field do.

    python3 counter_client.py HOST PORT ID [--fast]

It sends its id, without a delimiter, and reads one `recv(1024)` as the number to go on from. Every 0.5 s it counts up by its
increment and sends the number and a blank; every 3 to 5 s it sends `odd ` or `even ` and blocks in one `recv(1024)`, all of
which is its new increment. Nothing here may be made more robust: its weakness is what is tested. With `--fast` the times are
a tenth of that.

Prints `start NUMBER`, `sent NUMBER`, `asked WORD`, `increment NUMBER`, and `closed` when the connection is gone.
"""

import argparse
import random
import socket
import time

from say import say


def count(sock, number, scale):
    increment = 1
    ask_at = time.monotonic() + random.uniform(3, 5) * scale
    while True:
        time.sleep(0.5 * scale)
        number += increment
        sock.sendall(f"{number} ".encode())
        say(f"sent {number}")
        if time.monotonic() >= ask_at:
            word = random.choice(["odd", "even"])
            sock.sendall(f"{word} ".encode())
            say(f"asked {word}")
            answer = sock.recv(1024)
            if not answer:
                return
            increment = int(answer.decode())
            say(f"increment {increment}")
            ask_at = time.monotonic() + random.uniform(3, 5) * scale


def main():
    parser = argparse.ArgumentParser(description="legacy counter client")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("id")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    with socket.create_connection((options.host, options.port)) as sock:
        try:
            sock.sendall(options.id.encode())
            number = int(sock.recv(1024).decode())
            say(f"start {number}")
            count(sock, number, 0.1 if options.fast else 1)
        except OSError:
            pass
    say("closed")


if __name__ == "__main__":
    main()
