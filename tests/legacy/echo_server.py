"""The legacy echo server, as the tests need it: byte for byte what the servers in the field do.

    python3 echo_server.py PORT

One `recv(1024)` is the message, whatever else comes; it is answered in kind and the connection closed.

Prints the bound port as its first line (PORT 0: any), then `got N bytes` for each message.
"""

import datetime
import socket
import sys

from say import say


def main():
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        say(listener.getsockname()[1])
        while True:
            conn, _ = listener.accept()
            with conn:
                message = conn.recv(1024).decode()
                now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
                conn.sendall(f"Server received at {now}: {message}".encode())
                say(f"got {len(message)} bytes")


if __name__ == "__main__":
    main()
