"""A real server, and a network between it and its clients that fails."""

from __future__ import annotations

import asyncio
import collections
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

HERE = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 30.0
"""A test that waits for longer has failed."""
T = TypeVar("T")


def program(name: str) -> str:
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parent.parent / "target")
    path = target / "debug" / "examples" / name
    if not path.exists():
        raise FileNotFoundError(f"{path}: cargo build --example {name}")
    return str(path)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Process:
    """A program whose output is read all the time."""

    def __init__(self, words: list[str], **environment: str) -> None:
        path = {"PYTHONPATH": str(HERE), **environment}
        self.child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **path}
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._news = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=args, daemon=True) for args in self._streams()]
        for reader in self._readers:
            reader.start()

    def _streams(self) -> list[tuple[Any, list[str]]]:
        return [(self.child.stdout, self.out), (self.child.stderr, self.err)]

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, text: str, lines: list[str] | None = None) -> str:
        """Waits for a line of standard output, or of `lines`, that contains the text."""
        lines = self.out if lines is None else lines
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                for line in lines:
                    if text in line:
                        return line
                is_over = not any(reader.is_alive() for reader in self._readers)
                if is_over or time.monotonic() > deadline:
                    raise AssertionError(f"no line with {text!r}: {self.out} {self.err}")
                self._news.wait(0.2)

    def says(self, line: str) -> None:
        assert self.child.stdin
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def wait(self) -> int:
        """Waits for the end of the program and of its output."""
        try:
            code = self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end: {self.out} {self.err}") from None
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def stop(self) -> None:
        self.child.kill()  # Ends a stopped process too. Continued first, it could still read and count.
        self.child.wait()
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream:
                for reader in self._readers:
                    reader.join(1)
                try:
                    stream.close()
                except OSError:
                    pass


class Server(Process):
    """A `turn_server`."""

    def __init__(self, *options: str, port: int = 0) -> None:
        super().__init__([program("turn_server"), "--listen", f"127.0.0.1:{port}", *options])
        self.address = self.wait_for("Server listening on ").rpartition(" ")[2]
        self.port = int(self.address.rpartition(":")[2])

    def accepted(self) -> collections.Counter[str]:
        return collections.Counter(line for line in self.out if " sent: " in line)


def client(*words: str) -> Process:
    return Process([sys.executable, "-m", "taketurns", *words])


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(what)
        time.sleep(0.01)


class Wire:
    """One connection through the network: what arrived at the server, and what the server said."""

    def __init__(self) -> None:
        self.to_server = bytearray()
        self.of_server = bytearray()


class Network:
    """Passes connections on to a server, from a thread of its own. What `chaos` does to them is drawn from a seed."""

    def __init__(self, port: int, seed: int = 0, chaos: float = 0.0) -> None:
        self._port = port
        self._rng = random.Random(seed)
        self.chaos = chaos
        """The chance of a fault, for each piece that is read."""
        self.is_deaf = False
        """Whether what the server says is lost: it accepts answers, and nobody learns that."""
        self.is_there = True
        """Whether anything passes. A connection through a network that is not there stays open."""
        self.wires: list[Wire] = []
        self.faults: collections.Counter[str] = collections.Counter()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.address = "127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._rng.random() < self.chaos:
            self.faults["refused"] += 1
            return self._reset(writer)
        try:
            while not self.is_there:
                await asyncio.sleep(0.01)
            there, here = await asyncio.open_connection("127.0.0.1", self._port)
        except (OSError, asyncio.CancelledError):
            return self._reset(writer)
        wire, pair = Wire(), (writer, here)
        self.wires.append(wire)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pass(reader, here, wire.to_server, False), self._pass(there, writer, wire.of_server, True))
        except OSError:
            while not self.is_there:
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass  # The network is closed.
        finally:
            self._pairs.discard(pair)
            for end in pair:
                end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray, is_server: bool) -> None:
        rng = self._rng
        while data := await reader.read(4096):
            if is_server:
                seen += data
            while not self.is_there:
                await asyncio.sleep(0.01)
            if is_server and self.is_deaf:
                continue
            # Where an answer is under way a fault does most harm.
            chance = self.chaos * (4 if data.startswith((b"ANSWER", b"OK")) else 1)
            fault = rng.choice(["reset", "half", "vanish", "stall"]) if rng.random() < chance else None
            if fault:
                self.faults[fault] += 1
            if fault == "reset":
                raise ConnectionResetError
            if fault == "vanish":
                await asyncio.sleep(rng.uniform(0.5, 3))
                raise ConnectionResetError
            if fault == "stall":
                await asyncio.sleep(rng.uniform(0.1, 0.8))
            if fault == "half":
                data = data[: rng.randrange(len(data))]
            while data:
                size = rng.randint(1, len(data)) if self.chaos else len(data)
                writer.write(data[:size])
                if not is_server:
                    seen += data[:size]
                await writer.drain()
                if self.chaos:
                    await asyncio.sleep(rng.choice([0, 0, 0.001, 0.02]))
                data = data[size:]
            if fault == "half":
                raise ConnectionResetError
        writer.write_eof()

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    def cut(self) -> None:
        """Resets all connections."""

        def act() -> None:
            for pair in self._pairs:
                for end in pair:
                    self._reset(end)

        self._loop.call_soon_threadsafe(act)

    def vanish(self, *, close_to_server: bool) -> None:
        """Nothing passes any more. The connections of clients stay open; with `close_to_server` the server sees an end of them."""
        self.is_there = False

        def act() -> None:
            for _, here in self._pairs:
                self._reset(here)

        if close_to_server:
            self._loop.call_soon_threadsafe(act)

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.sleep(0)

        self.is_there = True
        self.cut()
        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def confirmed(wires: list[Wire]) -> dict[str, set[tuple[str, int]]]:
    """Reads from the bytes on the wires which answers the server has confirmed, and in which turns (epoch, number).

    It is a reader of its own: a judge does not share the mistakes of the one that is judged. Answers are text here.
    """
    answers: dict[tuple[str, str, int], str] = {}
    found: dict[str, set[tuple[str, int]]] = collections.defaultdict(set)
    claims: list[tuple[str, str, int]] = []
    for wire in wires:
        name = epoch = ""
        for line in wire.to_server.split(b"\n")[:-1]:
            head, _, text = line.decode().partition(" :")
            words = head.split(" ")
            if words[0] == "JOIN":
                name = words[1]
            elif words[0] == "ANSWER":
                fields = dict(word.split("=") for word in words[1:])
                key = (name, fields["epoch"], int(fields["turn"]))
                assert answers.setdefault(key, text) == text, f"{key} is answered by {text} and by {answers[key]}"
        for line in wire.of_server.split(b"\n")[:-1]:
            words = line.decode().partition(" :")[0].split(" ")
            fields = dict(word.split("=") for word in words if "=" in word)
            if words[0] == "WELCOME":
                epoch = fields["epoch"]
                if "last" in fields:
                    claims.append((name, epoch, int(fields["last"])))
            elif words[0] == "OK" and "turn" in fields:
                claims.append((name, epoch, int(fields["turn"])))
    for key in claims:
        if key in answers:
            found[f"{key[0]} sent: {answers[key]}"].add(key[1:])
    return found
