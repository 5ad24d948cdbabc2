"""The legacy rank client, as the tests need it: byte for byte what the clients in the field do.

    python3 rank_client.py HOST PORT < COMMANDS

It claims its first rank for ever, takes each `recv(1024)` for one message and cuts it with fixed slices: two messages that
arrive together are one that it does not know. Nothing here may be made more robust: its weakness is what is tested.

Prints `rank N`, `got MESSAGE` for whatever it received (its `repr`), then what it made of it: `new rank N`, `executes COMMAND`,
`rejects COMMAND`, or `crashed`; and `closed` when the connection is gone. The real one slept while it executed.
"""

import argparse
import socket
import sys
import threading

from say import say


def receive(sock, rank):
    while True:
        try:
            data = sock.recv(1024)
        except OSError:
            data = b""
        if not data:
            return
        message = data.decode()
        say(f"got {message!r}")
        try:
            if message.startswith("R"):
                rank = int(message.split()[-1])
                say(f"new rank {rank}")
                continue
            fields = message.split()
            first, last = int(fields[0]), int(fields[-1])
            verb = "executes" if first == last and first < rank else "rejects"
            say(f"{verb} {message[2:-2]}")
        except (ValueError, IndexError):
            say("crashed")
            return


def main():
    parser = argparse.ArgumentParser(description="legacy rank client")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    with socket.create_connection((options.host, options.port)) as sock:
        rank = int(sock.recv(1024).decode().split()[-1])
        say(f"rank {rank}")
        receiver = threading.Thread(target=receive, args=(sock, rank))
        receiver.start()
        for line in sys.stdin:
            sock.sendall(f"C {rank} {line.rstrip()}".encode())
        receiver.join()
    say("closed")


if __name__ == "__main__":
    main()
