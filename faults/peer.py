"""Clients as bare sockets, so that they can misbehave: raw and line framing."""

import ctypes
import os
import socket
import struct
import threading
import time

from harness import Failed, expect

CLONE_NEWNET = 0x40000000


class Peer:
    """A connection to a server. Every wait has a deadline."""

    def __init__(self, addr, receive_buffer=None, namespace=None, patience=5):
        self.socket = within(namespace, socket.socket)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(patience)
        self.socket.connect(addr)
        self.name = "%s:%d" % self.socket.getsockname()
        self.heard = b""

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def receive(self, deadline):
        """Receives more; returns nothing at the end of the stream."""
        self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise Failed(f"a client waits for the server in vain, after {self.heard[-80:]!r}") from None
        except ConnectionError:
            data = b""
        self.heard += data
        return data

    def rest(self, seconds=5.0):
        """Returns everything that comes until the server closes."""
        deadline = time.monotonic() + seconds
        while self.receive(deadline):
            pass
        heard, self.heard = self.heard, b""
        return heard

    def is_silent(self, seconds):
        """Returns whether nothing comes for `seconds`."""
        self.socket.settimeout(seconds)
        try:
            return not self.heard and not self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def send_with_end(self, data):
        """Sends the data and the end of the stream in one segment."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self.send(data)
        self.half_close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Raw(Peer):
    def go(self, seconds=5.0):
        """Waits for a `GO`."""
        deadline = time.monotonic() + seconds
        while b"GO" not in self.heard:
            expect(self.receive(deadline), f"the server closed instead of GO, after {self.heard[-80:]!r}")
        self.heard = self.heard.partition(b"GO")[2]


class Line(Peer):
    def __init__(self, addr, name=None, ring="main", **how):
        super().__init__(addr, **how)
        self.player = name
        if name:
            self.welcome = self.join(name, f"ring={ring}")

    def say(self, line):
        self.send(line + "\n")

    def line(self, seconds=5.0):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.heard:
            expect(self.receive(deadline), f"the server closed, after {self.heard[-80:]!r}")
        line, _, self.heard = self.heard.partition(b"\n")
        return line.decode()

    def line_within(self, seconds, end):
        """Returns the next line; nothing if none comes for so long. Raises `end` if the server has closed."""
        self.socket.settimeout(seconds)
        if b"\n" not in self.heard:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            if not data:
                raise end
            self.heard += data
        line, end_of_line, rest = self.heard.partition(b"\n")
        if not end_of_line:
            return None
        self.heard = rest
        return line.decode()

    def wait(self, word, seconds=5.0):
        """Returns the next line that begins with `word`; earlier lines are dropped."""
        deadline = time.monotonic() + seconds
        while True:
            line = self.line(deadline - time.monotonic())
            if line.split(" ")[0] == word:
                return line

    def join(self, name, *fields):
        self.say(" ".join(["JOIN", name, *fields]))
        return self.wait("WELCOME")

    def go(self, seconds=5.0):
        """Waits for a `GO` and returns the number of the turn."""
        return int(field(self.wait("GO", seconds), "turn"))

    def answer(self, text, turn):
        """Answers with the epoch of the server that it has joined, as programs do."""
        self.say(f"ANSWER turn={turn} epoch={field(self.welcome, 'epoch')} :{text}")

    def resume(self, addr, ring="main"):
        """Returns the same client on a new connection, with its seat."""
        back = Line(addr)
        back.player = self.player
        back.welcome = back.join(self.player, f"ring={ring}", f"resume={field(self.welcome, 'resume')}")
        return back


def field(line, key, default=None):
    """Returns the value of a field of `line`; the text after ` :` is not a field."""
    fields = dict(part.split("=", 1) for part in line.partition(" :")[0].split() if "=" in part)
    return fields[key] if default is None else fields.get(key, default)


def within(namespace, make):
    """Calls `make` in a network namespace: a thread may be in a different one from its process."""
    if namespace is None:
        return make()
    made = []

    def enter():
        handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) == 0:
            made.append(make())
        os.close(handle)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    expect(made, f"the network namespace {namespace} cannot be entered")
    return made[0]
