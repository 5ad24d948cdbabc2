"""The legacy counter server, as the tests need it: byte for byte what the servers in the field do.

    python3 counter_server.py PORT

A client's first `recv(1024)`, whole, is its id; whatever else arrives with it ends the dealings. It is answered with the last
number of that id. Every later buffer is split at blanks, and each piece is a number, `odd` or `even`: a message that is split
over two buffers is two messages. Ids are kept in parallel lists, for as long as the program runs.

Prints the bound port as its first line (PORT 0: any), then `ID began NUMBER`, `ID sent NUMBER`, `ID asked WORD NUMBER`,
`bad PIECE`, `ID closed`.
"""

import argparse
import contextlib
import random
import socket
import threading

from say import say

ids = []
numbers = []
lock = threading.Lock()


def begin(text):
    with lock:
        if text not in ids:
            ids.append(text)
            numbers.append(0)
        return ids.index(text)


def serve(conn):
    with conn, contextlib.suppress(OSError):
        first = conn.recv(1024).decode()
        try:
            number = int(first)
        except ValueError:
            say(f"bad {first!r}")
            return
        # int() would also take a blank behind it, which is one byte more than the clients in the field send.
        if str(number) != first:
            say(f"bad {first!r}")
            return
        at = begin(first)
        say(f"{first} began {numbers[at]}")
        conn.sendall(str(numbers[at]).encode())
        while data := conn.recv(1024):
            for piece in data.decode().split():
                if piece in ("odd", "even"):
                    answer = random.randrange(1 if piece == "odd" else 0, 100, 2)
                    conn.sendall(str(answer).encode())
                    say(f"{first} asked {piece} {answer}")
                elif piece.lstrip("-").isdigit():
                    numbers[at] = int(piece)
                    say(f"{first} sent {piece}")
                else:
                    say(f"bad {piece!r}")
        say(f"{first} closed")


def main():
    parser = argparse.ArgumentParser(description="legacy counter server")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        say(listener.getsockname()[1])
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
