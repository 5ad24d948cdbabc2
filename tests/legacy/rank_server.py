"""The legacy rank server, as the tests need it: byte for byte what the servers in the field do.

    python3 rank_server.py PORT

It believes the claimed rank, takes one `recv(1024)` for one message, gives a command to the first client of larger rank,
always that one, and leaves no gap between its messages. A malformed message ends the thread that reads it.

Prints the bound port as its first line (PORT 0: any), then `Your rank is N` for each client, `executed by N`, `rejected` and
`disconnected`.
"""

import argparse
import socket
import threading

from say import say

clients = []


def distribute(message):
    claimed = int(message.split()[1])
    for rank, conn in enumerate(clients):
        if rank > claimed:
            conn.sendall(f"{message[1:]} {claimed}".encode())
            say(f"executed by {rank}")
            return
    say("rejected")


def serve(conn):
    while True:
        try:
            message = conn.recv(1024).decode()
        except OSError:
            message = ""
        if not message:
            break
        if message.startswith("C"):
            distribute(message)
    clients.remove(conn)
    conn.close()
    say("disconnected")
    for rank, other in enumerate(clients):
        other.sendall(f"RYour rank is now {rank}".encode())


def main():
    parser = argparse.ArgumentParser(description="legacy rank server")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        say(listener.getsockname()[1])
        while True:
            conn, _ = listener.accept()
            clients.append(conn)
            greeting = f"Your rank is {len(clients) - 1}"
            conn.sendall(greeting.encode())
            say(greeting)
            threading.Thread(target=serve, args=(conn,), daemon=True).start()


if __name__ == "__main__":
    main()
