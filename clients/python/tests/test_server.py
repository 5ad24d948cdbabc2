"""Both fronts against a real server, over a network that cuts, halves, delays and resets, with the server killed and restarted."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import importlib.util
import io
import itertools
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
import zipfile
from typing import Any

import taketurns
import taketurns.__main__ as main
from tests.support import HERE, PATIENCE, Network, Process, Server, client, confirmed, free_port, program, until


class Fronts(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.server = Server("--clients", "1", "--turn-deadline", "5s")
        self.addCleanup(self.server.stop)

    async def test_a_turn_is_answered_with_any_bytes(self) -> None:
        answers = [b"42", b"", b"a\nb\n", bytes(range(256)), b"x" * 16 * 1024, "\u00e4 :b".encode()]
        async with taketurns.watch(self.server.address, timeout=PATIENCE) as watcher:
            async with taketurns.join(self.server.address, "ann", timeout=PATIENCE) as seat:
                left = iter(answers)
                async for turn in seat:
                    self.assertGreater(turn.remaining, 0)
                    await turn.answer(next(left))
                    self.assertTrue(turn.is_over)
                    if turn.number == len(answers):
                        break
            heard = []
            async for news in watcher:
                if isinstance(news, taketurns.Answered):
                    heard.append(news.answer)
                if isinstance(news, taketurns.Left):
                    break
        self.assertEqual(heard, answers)

    async def test_two_alternate_and_hear_each_other(self) -> None:
        async def play(name: str) -> list[Any]:
            async with taketurns.join(self.server.address, name, hear=True, confirm_go=name == "bob", timeout=PATIENCE) as seat:
                turns = []
                async for turn in seat:
                    await turn.answer(f"{name}{turn.number}")
                    turns.append((turn.number, turn.before))
                    if len(turns) == 20:
                        break
                return turns

        ann, bob = await asyncio.gather(play("ann"), play("bob"))
        for (number, before), name in [*zip(ann, itertools.repeat("bob")), *zip(bob, itertools.repeat("ann"))]:
            if 5 < number < 30:
                self.assertEqual(before, name)

    async def test_a_turn_that_lapses_or_is_passed(self) -> None:
        server = Server("--clients", "1", "--turn-deadline", "200ms")
        self.addCleanup(server.stop)
        async with taketurns.join(server.address, "ann", timeout=PATIENCE) as seat:
            turn = await seat.next(PATIENCE)
            assert turn
            await turn.over()
            with self.assertRaises(taketurns.Lapsed):
                await turn.answer(b"late")
            turn = await seat.next(PATIENCE)
            assert turn
            with self.assertRaises(taketurns.Refused) as refused:
                await turn.renew()
            self.assertEqual(refused.exception.code, "hold-max")
            await turn.pass_()
            self.assertEqual(((await seat.next(PATIENCE)) or turn).number, turn.number + 1)

    async def test_an_answer_above_the_limit_of_the_server(self) -> None:
        async with taketurns.join(self.server.address, "ann", answer_bytes_max=100_000, timeout=PATIENCE) as seat:
            turn = await seat.next(PATIENCE)
            assert turn
            with self.assertRaises(taketurns.Refused) as refused:
                await turn.answer(b"x" * 20_000)
            self.assertEqual((refused.exception.code, refused.exception.held), ("too-large", True))
            await turn.answer(b"short")

    async def test_a_seat_that_asks(self) -> None:
        server = Server("--clients", "1", "--demand", "ask", "--hold-max", "none", "--turn-deadline", "600ms")
        self.addCleanup(server.stop)
        async with taketurns.join(server.address, "ann", timeout=PATIENCE) as seat:
            with self.assertRaisesRegex(TimeoutError, r"^no turn within 0\.1 s; the seat rests: call ask\(\) first$"):
                await seat.next(0.1)
            await seat.ask()
            turn = await seat.next(PATIENCE)
            assert turn
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                self.assertGreater(await turn.renew(), time.monotonic())
                await asyncio.sleep(0.1)
            with self.assertRaisesRegex(TimeoutError, r"^no turn within 0\.1 s$"):
                await seat.next(0.1)
            await seat.rest()
            await asyncio.wait_for(turn.over(), PATIENCE)
            with self.assertRaisesRegex(TimeoutError, "the seat rests"):
                await seat.next(0.1)
            await seat.ask()
            await seat.next(PATIENCE)

    async def test_a_timeout_says_that_the_seat_rests_only_if_it_does(self) -> None:
        async with taketurns.join(self.server.address, "ann", timeout=PATIENCE) as ann:
            turn = await ann.next(PATIENCE)
            assert turn
            async with taketurns.join(self.server.address, "bob", timeout=PATIENCE) as bob:
                with self.assertRaisesRegex(TimeoutError, r"^no turn within 0\.1 s$"):
                    await bob.next(0.1)
                with self.assertRaisesRegex(TimeoutError, r"^no news within 0\.1 s$"):
                    while await bob.next_news(0.1):
                        pass
                await bob.rest()
                with self.assertRaisesRegex(TimeoutError, "the seat rests"):
                    await bob.next(0.1)
                await bob.ask()
                with self.assertRaisesRegex(TimeoutError, r"^no turn within 0\.1 s$"):
                    await bob.next(0.1)

    async def test_tls_at_a_server_without_it(self) -> None:
        with self.assertLogs("taketurns"), self.assertRaisesRegex(TimeoutError, r"speak TLS\? If not, leave --tls \(tls=\) out"):
            async with taketurns.join(self.server.address, "ann", tls=ssl.create_default_context(), timeout=1):
                pass

    async def test_a_taken_name_is_tried_again_and_a_wrong_demand_is_not(self) -> None:
        server = Server("--clients", "1", "--demand", "always")
        self.addCleanup(server.stop)
        async with taketurns.join(server.address, "ann", timeout=PATIENCE) as first:
            with self.assertLogs("taketurns") as logs, self.assertRaisesRegex(TimeoutError, "name-taken"):
                async with taketurns.join(server.address, "ann", timeout=0.5):
                    pass
            self.assertEqual(len([line for line in logs.output if "name-taken" in line]), 1)
            with self.assertRaises(taketurns.Ended):
                async with taketurns.join(server.address, "bob", demand="ask"):
                    pass
            await first.leave()
            self.assertIsNone(await first.next())

    async def test_a_seat_that_is_taken_over_is_the_end_for_the_one_that_had_it(self) -> None:
        async with taketurns.join(self.server.address, "ann", timeout=PATIENCE) as seat:
            stolen = f"JOIN ann resume={seat._machine._secret}\n".encode()
            with socket.create_connection(("127.0.0.1", self.server.port)) as thief:
                thief.sendall(stolen)
                with self.assertRaises(taketurns.Ended) as ended:
                    while await seat.next(PATIENCE):
                        await asyncio.sleep(0.01)
                self.assertEqual(ended.exception.code, "superseded")

    async def test_an_answer_waits_through_a_restart_and_is_unknown(self) -> None:
        """The server is stopped when the answer is sent, and killed before it could read it."""
        async with taketurns.join(self.server.address, "ann", ping=0.5, timeout=PATIENCE) as seat:
            turn = await seat.next(PATIENCE)
            assert turn
            self.server.signal(signal.SIGSTOP)
            answer = asyncio.ensure_future(turn.answer(b"42"))
            await asyncio.sleep(0.1)
            self.server.stop()  # and waits: its port has to be free
            again = Server("--clients", "1", port=self.server.port)
            self.addCleanup(again.stop)
            with self.assertRaises(taketurns.Unknown):
                await asyncio.wait_for(answer, PATIENCE)
            turn = await seat.next(PATIENCE)
            assert turn
            await turn.answer(b"43")

    async def test_a_server_that_is_stopped_is_noticed_and_the_answer_counts_in_the_end(self) -> None:
        async with taketurns.join(self.server.address, "ann", ping=0.2, timeout=PATIENCE) as seat:
            turn = await seat.next(PATIENCE)
            assert turn
            self.server.signal(signal.SIGSTOP)
            answer = asyncio.ensure_future(turn.answer(b"42"))
            while not isinstance(news := await seat.next_news(PATIENCE), taketurns.Disconnected):
                self.assertIsNotNone(news)
            self.assertIn("ping", news.why)
            self.server.signal(signal.SIGCONT)
            await asyncio.wait_for(answer, PATIENCE)
            self.assertEqual(self.server.accepted()["ann sent: 42"], 1)

    async def test_of_several_servers_the_one_that_answers_is_found(self) -> None:
        """The first refuses, as one that stands by; the second accepts and says nothing, as one that was stopped."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        closed = socket.create_server(("127.0.0.1", 0))
        addresses = ["127.0.0.1:%d" % each.getsockname()[1] for each in (closed, silent)]
        closed.close()
        async with taketurns.join(",".join([*addresses, self.server.address]), "ann", ping=0.2, timeout=PATIENCE) as seat:
            turn = await seat.next(PATIENCE)
            assert turn
            await turn.answer(b"42")
        with self.assertRaisesRegex(ValueError, "no address"):
            taketurns.join("127.0.0.1:1,", "ann")

    async def test_a_server_that_accepts_and_says_nothing(self) -> None:
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        with self.assertRaisesRegex(TimeoutError, "did not answer"):
            async with taketurns.join("127.0.0.1:%d" % silent.getsockname()[1], "ann", timeout=0.3):
                pass

    async def test_a_server_that_does_not_read_is_given_up(self) -> None:
        """Each turn has a long answer, and is over at once."""

        async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(f"WELCOME ann seat=1 ring=main epoch={'1' * 16} resume={'2' * 32}\n".encode())
            with contextlib.suppress(asyncio.CancelledError):
                for turn in range(1, 10_000):
                    writer.write(b"GO turn=%d within=9000\n" % turn)
                    await asyncio.sleep(0)
            writer.close()

        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        held = [0]

        def hear(event: taketurns.Event) -> None:
            transport = driver._connection.transport if driver._connection else None
            held.append(transport.get_write_buffer_size() if transport else 0)
            if isinstance(event, taketurns.Granted) and event.turn.stage == "held":
                machine.answer(time.monotonic(), event.turn, b"x" * taketurns.ANSWER_BYTES_MAX)
            elif isinstance(event, taketurns.Disconnected) and not gone.done():
                gone.set_result(event.why)

        async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
            machine = taketurns.Machine(taketurns.Options("ann", ping=None))
            driver = taketurns.Driver(machine, "127.0.0.1:%d" % server.sockets[0].getsockname()[1], hear)
            driver.pump()
            try:
                self.assertEqual(await asyncio.wait_for(gone, PATIENCE), "the server does not read")
                self.assertLess(max(held), taketurns.OUT_BYTES_MAX + 3 * taketurns.ANSWER_BYTES_MAX)
            finally:
                driver.stop()

    async def test_a_connection_to_itself_leaves_the_port_to_the_server(self) -> None:
        """Where nobody listens, the system may choose the port of the server as that of the client."""
        port = free_port()
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        driver = unittest.mock.Mock(spec=taketurns.Driver)
        driver._lost.side_effect = lost.set_result
        here = ("127.0.0.1", port)
        await asyncio.get_running_loop().create_connection(lambda: taketurns._Connection(driver), *here, local_addr=here)
        await asyncio.wait_for(lost, PATIENCE)
        driver._opened.assert_not_called()
        with socket.socket() as server:
            server.bind(here)

    async def test_unread_news_are_bounded(self) -> None:
        async with taketurns.watch(self.server.address, timeout=PATIENCE) as watcher:
            async with taketurns.join(self.server.address, "ann", timeout=PATIENCE) as seat:
                async for turn in seat:
                    await turn.answer(b"x" * 10_000)
                    if turn.number == 300:
                        break
            while not isinstance(watcher._news._news[-1], taketurns.Left):
                await asyncio.sleep(0.01)
            self.assertLessEqual(watcher._news._bytes, taketurns.NEWS_BYTES_MAX)
            missed = await watcher.next_news()
            assert isinstance(missed, taketurns.Missed)
            self.assertGreater(missed.count, 300)

    def test_the_blocking_front_from_threads(self) -> None:
        heard: list[Any] = []
        with taketurns.watch(self.server.address, timeout=PATIENCE) as watcher:
            reader = threading.Thread(target=lambda: heard.extend(watcher))
            reader.start()
            with taketurns.join(self.server.address, "ann", timeout=PATIENCE) as seat:
                for turn in seat:
                    turn.answer("from a thread")
                    if turn.number == 5:
                        break
                with self.assertRaises(TimeoutError):
                    while (late := seat.next(timeout=0.05)) is not None:
                        pass
                assert late is not None
                late.pass_()
            until(lambda: any(isinstance(news, taketurns.Left) for news in heard), "nobody left")
            watcher.leave()
            reader.join(PATIENCE)
        self.assertEqual(sum(isinstance(news, taketurns.Answered) for news in heard), 5)
        with self.assertRaisesRegex(TimeoutError, "refused"), taketurns.join(f"127.0.0.1:{free_port()}", "ann", timeout=0.3):
            pass

    async def test_python_and_rust_take_turns_in_one_ring(self) -> None:
        options = ["--clients", "2", "--pace", "0s", "--count", "30", "--confirm-go"]
        rust = Process([program("turn_client"), "--connect", self.server.address, *options])
        self.addCleanup(rust.stop)
        async with taketurns.join(self.server.address, "python", confirm_go=True, timeout=PATIENCE) as seat:
            count = 0
            async for turn in seat:
                await turn.answer(str(count))
                count += 1
                if rust.child.poll() is not None:
                    break
        self.assertEqual(rust.wait(), 0)
        sent = self.server.accepted()
        self.assertEqual((max(sent.values()), sum(line.startswith("python") for line in sent)), (1, count))
        names = [line.partition(" ")[0] for line in self.server.out if " sent: " in line]
        rounds = [names[at : at + 3] for at in range(names.index("Client1"), len(names) - 6) if names[at] == "python"][2:20]
        for each in rounds:
            self.assertEqual(len(set(each)), 3, "each in turn")


class Programs(unittest.TestCase):
    def setUp(self) -> None:
        self.server = Server("--clients", "1")
        self.addCleanup(self.server.stop)

    def join(self, *words: str) -> Process:
        process = client("join", *words, "--connect", self.server.address)
        self.addCleanup(process.stop)
        return process

    def test_lines_of_standard_input_are_answers(self) -> None:
        process = self.join("ann")
        for line in ["one", "", "tw\to"]:
            process.says(line)
        assert process.child.stdin
        process.child.stdin.close()
        self.assertEqual(process.wait(), 0)
        self.assertEqual(process.out, ["ann sent: one", "ann sent: ", "ann sent: tw\\to"])
        self.server.wait_for("ann sent: tw")

    def test_the_host_may_say_several_lines(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main._print(taketurns.Said(b" 1 | 2\n---+---\n\x1b[2J"))
        self.assertEqual(out.getvalue(), " 1 | 2\n---+---\n\\x1b[2J\n")

    def test_the_same_answer_each_time_and_hearing(self) -> None:
        ann = self.join("ann", "--answer", "a", "--hear", "--ring", "oak")
        ann.wait_for("ann has a seat", ann.err)
        bob = self.join("bob", "--ring", "oak")
        ann.wait_for("bob: joined", ann.err)
        bob.says("hello")
        ann.wait_for("bob: hello")
        ann.signal(signal.SIGTERM)
        self.assertEqual(ann.wait(), 0)

    def test_ends_and_usage(self) -> None:
        process = self.join("ann", "--demand", "ask", "--answer", "x", "--count", "2", "--confirm-go")
        self.assertEqual((process.wait(), process.out), (0, ["ann sent: x"] * 2))
        for words in [["join"], ["join", "a", "--connect", "nowhere"], ["join", "a", "--an", "x"], ["lock", "r"], ["lock", "--", "true"], []]:
            process = client(*words)
            self.addCleanup(process.stop)
            self.assertEqual((process.wait(), process.out), (2, []), words)
        process = self.join("a:b")
        self.assertEqual(process.wait(), 1)


class Chaos(unittest.TestCase):
    """No answer counts twice, and none that was confirmed to the program is lost."""

    OPTIONS = ("--clients", "2", "--turn-deadline", "1s", "--seat-grace", "3s", "--turn-grace", "300ms")

    def test_none_doubled_none_believed_and_lost(self) -> None:
        for seed, chaos in [(1, 0.03), (2, 0.1)]:
            with self.subTest(seed=seed):
                self.play(seed, chaos)

    def play(self, seed: int, chaos: float) -> None:
        server = Server(*self.OPTIONS)
        servers, port = [server], server.port
        network = Network(port, seed, chaos)
        self.believed: list[str] = []
        self.fates: collections.Counter[str] = collections.Counter()
        self.stop = threading.Event()
        rust = Process([program("turn_client"), "--connect", network.address, "--name", "rust", "--clients", "1", "--pace", "0s"])
        threads = [threading.Thread(target=self.block, args=(network.address, "bob"))]
        threads.append(threading.Thread(target=lambda: asyncio.run(self.run_async(network.address, ["ann", "cy"]))))
        for thread in threads:
            thread.start()
        rng = random.Random(seed)
        try:
            for life in range(4):
                end, enough = time.monotonic() + rng.uniform(2, 3), len(self.believed) + 10
                until(lambda: time.monotonic() > end and len(self.believed) >= enough, f"too few answers: {self.fates} {network.faults}")
                if life < 3:
                    how = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL][life]
                    network.is_deaf = how == signal.SIGKILL
                    time.sleep(0.1)
                    server.signal(how)
                    server.wait()
                    network.is_deaf = False
                    time.sleep(rng.uniform(0, 0.3))
                    server = Server(*self.OPTIONS, port=port)
                    servers.append(server)
            network.chaos = 0.0
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(PATIENCE)
            rust.stop()
            server.signal(signal.SIGTERM)
            server.wait()
            network.close()
            for server in servers:
                server.stop()
        self.assertFalse(any(thread.is_alive() for thread in threads))
        self.judge(servers, confirmed(network.wires))
        self.assertGreater(sum(network.faults.values()), 10)
        self.assertEqual(self.fates["counted"], len(self.believed))
        print(f"seed {seed}: {dict(self.fates)}; faults: {dict(network.faults)}", file=sys.stderr)

    def judge(self, servers: list[Server], proofs: dict[str, set[tuple[str, int]]]) -> None:
        printed: collections.Counter[str] = collections.Counter()
        for server in servers:
            printed += server.accepted()
        doubled = [answer for answer, count in printed.items() if count > 1]
        doubled += [answer for answer, turns in proofs.items() if len(turns) > 1]
        self.assertEqual(doubled, [])
        # A server that was killed may not have printed all that it had confirmed.
        self.assertEqual([answer for answer in self.believed if not printed[answer] and answer not in proofs], [])
        self.assertEqual(len(self.believed), len(set(self.believed)))
        ours = {answer for answer in printed if not answer.startswith("rust")}
        unknown = ours - set(self.believed)
        self.assertLessEqual(len(unknown), self.fates["unknown"] + 3, "only those whose fate was unknown, or that were under way at the end")

    async def run_async(self, address: str, names: list[str]) -> None:
        await asyncio.gather(*(self.take_turns(address, name) for name in names))

    async def take_turns(self, address: str, name: str) -> None:
        numbers = itertools.count(1)
        number = next(numbers)
        async with taketurns.join(address, name, ping=0.5, confirm_go=name != "ann", timeout=PATIENCE) as seat:
            async for turn in seat:
                if self.stop.is_set():
                    return
                try:
                    await turn.answer(f"{name}-{number}")
                except taketurns.Lapsed:
                    self.fates["lapsed"] += 1
                    continue  # It does not count, and is given again.
                except taketurns.Unknown:
                    self.fates["unknown"] += 1
                else:
                    self.believe(name, number)
                number = next(numbers)

    def block(self, address: str, name: str) -> None:
        number = 1
        with taketurns.join(address, name, ping=0.5, confirm_go=name != "ann", timeout=PATIENCE) as seat:
            for turn in seat:
                if self.stop.is_set():
                    return
                try:
                    turn.answer(f"{name}-{number}")
                except taketurns.Lapsed:
                    self.fates["lapsed"] += 1
                    continue
                except taketurns.Unknown:
                    self.fates["unknown"] += 1
                else:
                    self.believe(name, number)
                number += 1

    def believe(self, name: str, number: int) -> None:
        self.fates["counted"] += 1
        self.believed.append(f"{name} sent: {name}-{number}")


class Package(unittest.TestCase):
    @unittest.skipUnless(importlib.util.find_spec("pip"), "there is no pip")
    def test_it_builds_a_wheel_that_is_typed(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            # Building leaves files in the folder of the source.
            source = shutil.copytree(HERE, f"{folder}/source", ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info"))
            words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source]
            built = subprocess.run(words, capture_output=True, text=True)
            self.assertEqual(built.returncode, 0, built.stderr)
            (wheel,) = pathlib.Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as files:
                names = set(files.namelist())
            self.assertTrue({f"taketurns/{name}" for name in ["__init__.py", "__main__.py", "_lock.py", "py.typed"]} <= names)


if __name__ == "__main__":
    unittest.main()
