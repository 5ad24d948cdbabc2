"""Clients of what runs in containers: bare sockets and HTTP."""

import http.client
import socket

PATIENCE = 20.0


class RawPeer:
    """A client of the raw framing."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=PATIENCE)

    def wait_for_go(self):
        """Until it has the turn; `False` if the connection ended."""
        seen = b""
        while not seen.endswith(b"GO"):
            more = self.socket.recv(64)
            if not more:
                return False
            seen += more
        return True

    def answer(self, text):
        self.socket.sendall(text.encode())


class LinePeer:
    """A client of the line protocol with long answers."""

    def __init__(self, address, name):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.replies = self.socket.makefile("rb")
        self.say(f"JOIN {name}")

    def say(self, line):
        self.socket.sendall(f"{line}\n".encode())

    def take_turn(self, length):
        """Waits for the turn, answers it with that many bytes, and hears that it counts."""
        while not (reply := self.reply()).startswith("GO "):
            pass
        turn = reply.split("turn=")[1].split()[0]
        self.say(f"ANSWER turn={turn} bytes={length}\n{'.' * length}")
        while not self.reply().startswith("OK"):
            pass

    def reply(self):
        line = self.replies.readline().decode()
        if not line or line.startswith(("BYE", "NO ")):
            raise ConnectionError(f"the server said {line!r}")
        return line


def get(address, path):
    """Status and body of a page."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def echo(address, message):
    """What an echo server answers to one message."""
    with socket.create_connection(address, timeout=PATIENCE) as peer:
        peer.sendall(message.encode())
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while more := peer.recv(4096):
            answer += more
        return answer.decode()
