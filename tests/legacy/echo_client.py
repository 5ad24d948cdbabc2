"""The legacy echo client, as the tests need it: byte for byte what the clients in the field do.

    python3 echo_client.py HOST PORT MESSAGE

One `sendall`, one `recv(1024)`, close: no end behind the message, no half-close, and nothing is read but what
the first `recv` brings. Nothing here may be made more robust: its weakness is what is tested.

Prints `got ANSWER`.
"""

import socket
import sys

from say import say


def main():
    host, port, message = sys.argv[1:]
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(message.encode())
        say("got " + sock.recv(1024).decode(errors="backslashreplace"))


if __name__ == "__main__":
    main()
