"""`taketurns.lock`: a turn that is renewed until a block ends, and a block that learns if it is lost."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
import unittest
from collections.abc import Callable

import taketurns
from tests.support import PATIENCE, Network, Process, Server, client, free_port, until


class Case(unittest.TestCase):
    def server(self, *options: str, port: int = 0) -> Server:
        always = ["--demand", "ask", "--clients", "1", "--hold-max", "none", "--turn-grace", "10s"]
        server = Server(*always, *options, port=port)
        self.addCleanup(server.stop)
        return server


class Blocking(Case):
    def test_two_threads_exclude_each_other(self) -> None:
        server = self.server()
        holders, most, fences = 0, 0, []

        def work() -> None:
            nonlocal holders, most
            for _ in range(10):
                with taketurns.lock(server.address, "gpu0", timeout=PATIENCE) as turn:
                    holders += 1
                    most = max(most, holders)
                    fences.append(turn.fence)
                    time.sleep(0.01)
                    holders -= 1
                    self.assertFalse(turn.is_lost)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual((most, len(set(fences)), holders), (1, 20, 0))
        self.assertEqual([number for _, number in fences], sorted(number for _, number in fences))

    def test_a_turn_is_renewed_beyond_its_deadline(self) -> None:
        server = self.server("--turn-deadline", "2s")
        with taketurns.lock(server.address, "gpu0", margin=0.5) as turn:
            first, end = turn.until, time.monotonic() + 5
            while time.monotonic() < end:
                turn.check()
                self.assertGreater(turn.until, time.monotonic())
                with self.assertRaisesRegex(TimeoutError, "^another client has it$"):
                    taketurns.lock(server.address, "gpu0", margin=0.5, timeout=0).__enter__()
                time.sleep(0.1)
            self.assertGreater(turn.until, first + 2)
            with self.assertRaisesRegex(TimeoutError, r"^no turn within 0\.2 s: another client has it$"):
                taketurns.lock(server.address, "gpu0", margin=0.5, timeout=0.2).__enter__()
            process = client("lock", "gpu0", "--connect", server.address, "--try", "--kill-after", "500ms", "--", "true")
            self.addCleanup(process.stop)
            self.assertEqual(process.wait(), 75)
        # Those that gave up have left no trace, and this one has rested.
        with taketurns.lock(server.address, "gpu0", margin=0.5, timeout=0) as again:
            self.assertEqual(again.fence, (turn.epoch, turn.number + 1))
        time.sleep(2)
        self.assertFalse(turn.is_lost or again.is_lost)

    def test_a_server_that_is_killed_loses_the_turn_in_time(self) -> None:
        server = self.server("--turn-deadline", "2s")
        with self.assertLogs("taketurns") as logs, self.assertRaisesRegex(taketurns.Lost, "it could not be renewed in time") as lost:
            with taketurns.lock(server.address, "gpu0", margin=0.5) as turn:
                server.stop()
                until(lambda: turn.is_lost, "not lost")
                self.assertAlmostEqual(turn.until - time.monotonic(), 0.5, delta=0.4)
                with self.assertRaises(taketurns.Lost):
                    turn.check()
        self.assertTrue(turn.is_lost)
        self.assertEqual(lost.exception.why, "it could not be renewed in time")
        self.assertTrue(any("the turn is lost" in line for line in logs.output), logs.output)

    def test_a_server_that_lets_no_turn_last_is_named(self) -> None:
        server = Server("--demand", "ask", "--clients", "1", "--turn-deadline", "2s")
        self.addCleanup(server.stop)
        with self.assertLogs("taketurns"), self.assertRaisesRegex(taketurns.Lost, "lets no turn last longer; a turn_lock --serve does"):
            with taketurns.lock(server.address, "gpu0", margin=0.5) as turn:
                until(lambda: turn.is_lost, "not lost")

    def test_an_error_of_the_block_is_not_replaced(self) -> None:
        server = self.server("--turn-deadline", "2s")
        with self.assertLogs("taketurns"), self.assertRaises(ZeroDivisionError):
            with taketurns.lock(server.address, "gpu0", margin=0.5) as turn:
                server.stop()
                until(lambda: turn.is_lost, "not lost")
                1 / 0
        with self.assertRaises(ConnectionError), taketurns.lock(server.address, "gpu0", timeout=0):
            pass

    def test_a_restarted_server_loses_the_turn_at_once(self) -> None:
        server = self.server()
        with self.assertLogs("taketurns"), self.assertRaisesRegex(taketurns.Lost, "it has ended"):
            with taketurns.lock(server.address, "gpu0") as turn:
                server.stop()
                again = self.server(port=server.port)
                until(lambda: turn.is_lost, "not lost")
                with taketurns.lock(again.address, "gpu0", timeout=0) as other:
                    self.assertNotEqual(other.epoch, turn.epoch)

    def test_a_lost_connection_does_not_lose_the_turn(self) -> None:
        server = self.server()
        network = Network(server.port)
        self.addCleanup(network.close)
        with self.assertLogs("taketurns"), taketurns.lock(network.address, "gpu0", margin=8) as turn:
            network.cut()
            before = turn.until
            until(lambda: turn.until > before + 2, "not renewed")
        self.assertFalse(turn.is_lost)

    def test_a_program_that_was_stopped_learns_of_the_loss_from_the_clock(self) -> None:
        server = self.server("--turn-deadline", "1s")
        script = (
            "import sys, taketurns\n"
            "with taketurns.lock(sys.argv[1], 'gpu0', margin=0.3) as turn:\n"
            "    print('mine', flush=True)\n"
            "    while not turn.is_lost: pass\n"
        )
        holder = Process([sys.executable, "-c", script, server.address])
        self.addCleanup(holder.stop)
        holder.wait_for("mine")
        holder.signal(signal.SIGSTOP)
        with taketurns.lock(server.address, "gpu0", margin=0.3, timeout=PATIENCE):
            holder.signal(signal.SIGCONT)
            self.assertEqual(holder.wait(), 1)
        self.assertIn("Lost: the turn is lost", holder.err[-1])

    def test_one_that_is_interrupted_while_it_waits_leaves_no_trace(self) -> None:
        server = self.server()
        # A shell starts its background jobs with SIGINT ignored, which children inherit.
        script = (
            "import signal, sys, taketurns\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "with taketurns.lock(sys.argv[1], 'gpu0'): print('mine')\n"
        )
        with taketurns.watch(server.address, ring="gpu0", timeout=PATIENCE) as watcher:
            with taketurns.lock(server.address, "gpu0"):
                waiter = Process([sys.executable, "-c", script, server.address])
                self.addCleanup(waiter.stop)
                while not isinstance(news := watcher.next_news(PATIENCE), taketurns.Joined) or "-%d-" % waiter.child.pid not in news.name:
                    pass
                time.sleep(0.2)
                waiter.signal(signal.SIGINT)
                waiter.wait()
                self.assertEqual((waiter.out, waiter.err[-1]), ([], "KeyboardInterrupt"))
                while not isinstance(news := watcher.next_news(PATIENCE), taketurns.Left):
                    self.assertNotIsInstance(news, taketurns.Away)

    def test_where_there_is_no_server(self) -> None:
        nobody = f"127.0.0.1:{free_port()}"
        with self.assertLogs("taketurns"):
            with self.assertRaisesRegex(ConnectionError, "Connection refused"), taketurns.lock(nobody, "gpu0", timeout=0):
                pass
            with self.assertRaisesRegex(TimeoutError, r"^no turn within 0\.3 s: .*Connection refused"):
                with taketurns.lock(nobody, "gpu0", timeout=0.3):
                    pass

    def test_one_that_waits_gets_the_turn_of_a_server_that_comes(self) -> None:
        port = free_port()
        later = threading.Timer(0.5, lambda: self.server(port=port))
        later.start()
        self.addCleanup(later.join)
        with self.assertLogs("taketurns"), taketurns.lock(f"127.0.0.1:{port}", "gpu0", timeout=PATIENCE) as turn:
            self.assertEqual(turn.number, 1)

    def test_a_ring_that_is_not_for_locks_says_so(self) -> None:
        server = Server()
        self.addCleanup(server.stop)
        says = "this ring has no turns until 1 more joined; a turn_lock --serve needs no others"
        for timeout in (0, 0.3):
            with self.assertLogs("taketurns") as logs, self.assertRaisesRegex(TimeoutError, says):
                with taketurns.lock(server.address, "gpu0", timeout=timeout):
                    pass
            self.assertEqual(len([line for line in logs.output if says in line]), 1)
        server = Server("--demand", "always")
        self.addCleanup(server.stop)
        with self.assertRaisesRegex(taketurns.Ended, "out-of-range: .*; the server has to be as turn_lock --serve"):
            with taketurns.lock(server.address, "gpu0"):
                pass

    def test_what_cannot_be(self) -> None:
        server = self.server("--turn-deadline", "1s")
        cases: list[tuple[str, Callable[[], object]]] = [
            ("cannot be a name", lambda: taketurns.lock(server.address, "a b")),
            ("no address", lambda: taketurns.lock("nowhere", "gpu0")),
            ("less than grace", lambda: taketurns.lock(server.address, "gpu0", margin=10)),
            ("^margin=5 leaves nothing of a turn of ", lambda: taketurns.lock(server.address, "gpu0").__enter__()),
        ]
        for error, act in cases:
            with self.assertRaisesRegex(ValueError, error):
                act()
        lock = taketurns.lock(server.address, "gpu0", margin=0.3)
        for _ in range(2):
            with lock, self.assertRaisesRegex(RuntimeError, "in use"):
                with lock:
                    pass


class Asyncio(Case, unittest.IsolatedAsyncioTestCase):
    async def test_tasks_exclude_each_other(self) -> None:
        server = self.server("--turn-deadline", "1s")
        numbers = []

        async def work() -> None:
            async with taketurns.lock(server.address, "gpu0", margin=0.3, timeout=PATIENCE) as turn:
                numbers.append(turn.number)
                await asyncio.sleep(1.5)
                numbers.append(turn.number)

        await asyncio.gather(work(), work())
        self.assertEqual(numbers, [1, 1, 2, 2])

    async def test_the_block_is_cancelled_when_the_turn_is_lost(self) -> None:
        server = self.server("--turn-deadline", "2s")
        with self.assertLogs("taketurns"), self.assertRaises(taketurns.Lost):
            async with taketurns.lock(server.address, "gpu0", margin=0.5) as turn:
                server.stop()
                await asyncio.sleep(PATIENCE)
        self.assertLess(time.monotonic(), turn.until)
        await asyncio.sleep(0.01)  # Nothing of the cancellation is left.

    async def test_a_block_that_does_not_notice_its_cancellation(self) -> None:
        for reaction in ("blocks", "swallows", "fails"):
            server = self.server("--turn-deadline", "2s")
            with self.assertLogs("taketurns"), self.assertRaises(ZeroDivisionError if reaction == "fails" else taketurns.Lost):
                async with taketurns.lock(server.address, "gpu0", margin=0.5) as turn:
                    server.stop()
                    if reaction == "blocks":
                        asyncio.get_running_loop().slow_callback_duration = PATIENCE
                        time.sleep(2)
                    else:
                        try:
                            await asyncio.sleep(PATIENCE)
                        except asyncio.CancelledError:
                            if reaction == "fails":
                                1 / 0
            self.assertTrue(turn.is_lost)
            await asyncio.sleep(0.01)

    async def test_a_block_that_ends_before_its_cancellation_arrives(self) -> None:
        server = self.server("--turn-deadline", "2s")
        with self.assertLogs("taketurns"), self.assertRaises(taketurns.Lost):
            async with taketurns.lock(server.address, "gpu0", margin=0.5) as turn:
                server.stop()
                # Wakes the block in the same pass of the loop as the loss cancels it.
                woken, loop = asyncio.Event(), asyncio.get_running_loop()

                def look() -> None:
                    if turn._lease.stage == "lost":
                        woken.set()
                    else:
                        loop.call_soon(look)

                look()
                try:
                    await woken.wait()
                except asyncio.CancelledError:
                    pass
        await asyncio.sleep(0.01)

    async def test_a_cancellation_from_outside_remains_one(self) -> None:
        server = self.server()

        async def hold() -> None:
            async with taketurns.lock(server.address, "gpu0"):
                entered.set()
                await asyncio.sleep(PATIENCE)

        for _ in range(2):
            entered = asyncio.Event()
            task = asyncio.ensure_future(hold())
            await entered.wait()
            waiter = asyncio.ensure_future(hold())
            await asyncio.sleep(0.2)
            for each in (waiter, task):
                each.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await each
        async with taketurns.lock(server.address, "gpu0", timeout=0):
            pass


if __name__ == "__main__":
    unittest.main()
