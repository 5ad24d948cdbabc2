"""A turn server in the old manner: a thread for each client polls, under one lock, whether the turn is its own.

Between two looks it sleeps for 10 ms. So a hand-over takes as long as it takes until the next client's thread looks, and
all threads go on looking while nothing happens.
"""

import socket
import sys
import threading
import time

clients = int(sys.argv[1])
lock = threading.Lock()
turn = -1


def serve(index, conn):
    global turn
    while True:
        with lock:
            mine = turn == index
        if not mine:
            time.sleep(0.01)
            continue
        conn.sendall(b"GO")
        if not conn.recv(1024):
            return
        with lock:
            turn = (index + 1) % clients


with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    for index in range(clients):
        conn, _ = listener.accept()
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn.sendall(b"WAIT")
        threading.Thread(target=serve, args=(index, conn)).start()
turn = 0
