"""The legacy turn server, as the tests need it: byte for byte what the servers in the field do.

    python3 turn_server.py PORT [--eager]

It accepts exactly two connections on 127.0.0.1, then serves the first accepted one first. The holder of the
turn is sent `GO`, the other `WAIT` about every 100 ms, without delimiters. A thread keeps the lock while its
client thinks, so the other thread says `WAIT` only when it is free to. With `--eager` there is no lock and
`WAIT` never stops: legacy clients do not survive that (`WAITGO`), ours has to. A holder that disconnects
takes the turn with it, and the other client waits for ever.

Prints the bound port as its first line (PORT 0: any), then `NAME sent: NUMBER` for each number.
"""

import argparse
import contextlib
import socket
import threading
import time

from say import say


class Ring:
    def __init__(self, eager):
        self.turn = 0
        self.lock = contextlib.nullcontext() if eager else threading.Lock()

    def serve(self, index, conn):
        with conn, contextlib.suppress(OSError):
            while True:
                with self.lock:
                    if self.turn == index:
                        conn.sendall(b"GO")
                        answer = conn.recv(1024).decode()
                        if not answer:
                            return
                        name, number = answer.split(":")
                        say(f"{name} sent: {number}")
                        self.turn = 1 - index
                    else:
                        conn.sendall(b"WAIT")
                time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description="legacy turn server")
    parser.add_argument("port", type=int)
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    ring = Ring(options.eager)
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        say(listener.getsockname()[1])
        clients = [listener.accept()[0] for _ in range(2)]
    for index, conn in enumerate(clients):
        threading.Thread(target=ring.serve, args=(index, conn)).start()


if __name__ == "__main__":
    main()
