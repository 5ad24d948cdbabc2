"""`python -m taketurns lock` does what the example `turn_lock` does: a command that runs while it has the turn."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
import unittest

from tests.support import PATIENCE, Network, Process, Server, client, free_port, program, until

GAVE_UP, LOST = 75, 76


class Gate:
    """A pipe that a command waits at until it is opened."""

    def __init__(self, case: unittest.TestCase) -> None:
        folder = tempfile.TemporaryDirectory()
        case.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/gate"
        os.mkfifo(self.path)
        self.script = f"echo turn $TAKETURNS_TURN; cat '{self.path}'; echo passed"

    def open(self) -> None:
        os.close(os.open(self.path, os.O_WRONLY))


class Peer:
    """A client by hand."""

    def __init__(self, case: unittest.TestCase, address: str, hello: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), PATIENCE)
        case.addCleanup(self._socket.close)
        self._lines = self._socket.makefile("rb")
        case.addCleanup(self._lines.close)
        self.says(hello)

    def says(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\n")

    def hears(self, start: str) -> str:
        while not (line := self._lines.readline().decode()).startswith(start):
            assert line, f"no {start}"
        return line.strip()


class Flood:
    """A server that never stops sending."""

    def __init__(self, case: unittest.TestCase) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        case.addCleanup(self._listener.close)
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._flood, args=[self._listener.accept()[0]], daemon=True).start()

    def _flood(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            name = peer.recv(4096).split()[1].decode()
            peer.sendall(f"WELCOME {name} seat=1 ring=main epoch=00000000000000aa resume={32 * '0'}\n".encode())
            while True:
                peer.sendall(b"PONG\n" * 10)


class Lock(unittest.TestCase):
    def server(self, *options: str, port: int = 0) -> Server:
        always = ["--demand", "ask", "--clients", "1", "--hold-max", "none", "--turn-grace", "10s"]
        server = Server(*always, *options, port=port)
        self.addCleanup(server.stop)
        return server

    def lock(self, address: str, options: list[str], *command: str, ring: str = "main") -> Process:
        process = client("lock", ring, "--connect", address, *options, "--", *command)
        self.addCleanup(process.stop)
        return process

    def ends(self, process: Process, code: int) -> list[str]:
        self.assertEqual(process.wait(), code, process.err)
        return process.out

    def wait_for_waiting(self, address: str, count: int, holder: Peer | None = None) -> None:
        """Waits until as many seats wait, while the holder renews its turn."""

        def waiting() -> int:
            if holder:
                holder.says("RENEW")
            watcher, seats = Peer(self, address, "WATCH"), 0
            while not (line := watcher.hears("SEAT")).startswith("SEATS "):
                seats += "state=waiting" in line
            return seats

        until(lambda: waiting() == count, f"{waiting()} wait, not {count}")

    def test_a_server_that_does_not_take_a_client_is_said_once(self) -> None:
        server = self.server("--max-clients", "1")
        holder = Peer(self, server.address, "JOIN holder")
        holder.hears("WELCOME")
        process = self.lock(server.address, ["--try"], "true")
        self.ends(process, 1)
        self.assertEqual(len(process.err), 1)
        self.assertIn("the server closes the connection: full", process.err[0])
        process = self.lock(server.address, [], "echo", "it runs")
        process.wait_for("trying again until a server takes this client", process.err)
        holder.says("LEAVE")
        self.assertEqual(self.ends(process, 0), ["it runs"])
        self.assertEqual(len(process.err), 1)

    def test_a_ring_that_is_not_for_locks_says_so(self) -> None:
        server = Server()
        self.addCleanup(server.stop)
        says = "this ring has no turns until 1 more joined; a turn_lock --serve needs no others"
        process = self.lock(server.address, ["--timeout", "500ms"], "true")
        self.ends(process, GAVE_UP)
        self.assertEqual(process.err, [says])
        server = Server("--demand", "always")
        self.addCleanup(server.stop)
        process = self.lock(server.address, [], "true")
        self.ends(process, 1)
        self.assertRegex(process.err[0], "^out-of-range: .*; the server has to be as turn_lock --serve$")

    def test_what_cannot_be_is_one_line(self) -> None:
        server = self.server()
        process = self.lock(server.address, [], "true", ring="a b")
        self.ends(process, 1)
        self.assertEqual(process.err, ["'a b' cannot be a name: it contains ' '"])
        process = self.lock(server.address, ["--tls", "--try"], "true")
        self.ends(process, 1)
        self.assertEqual(len(process.err), 1)
        self.assertIn("does this server speak TLS? If not, leave --tls (tls=) out", process.err[0])

    def test_a_server_that_never_stops_sending_keeps_nobody(self) -> None:
        flood = Flood(self)
        process = self.lock(flood.address, ["--timeout", "300ms"], "true")
        self.ends(process, GAVE_UP)
        process = self.lock(flood.address, [], "true")
        time.sleep(1)
        process.signal(signal.SIGTERM)
        self.ends(process, 128 + signal.SIGTERM)
        process = client("join", "ann", "--connect", flood.address)
        self.addCleanup(process.stop)
        process.wait_for("ann has a seat in main", process.err)
        process.signal(signal.SIGTERM)
        self.ends(process, 0)

    def test_a_server_may_have_the_port_of_a_client(self) -> None:
        server = self.server()
        process = self.lock(server.address, [], "sh", "-c", "echo it runs; sleep 600")
        process.wait_for("it runs")
        # The only other end of its connection is the server's.
        port = int(server.address.rpartition(":")[2])
        with open("/proc/net/tcp", encoding="ascii") as table:
            ends = [[int(end.partition(":")[2], 16) for end in line.split()[1:3]] for line in list(table)[1:]]
        (own,) = [here for here, there in ends if there == port and here != port]
        self.server(port=own)
        process.signal(signal.SIGTERM)
        self.ends(process, 128 + signal.SIGTERM)

    def test_a_command_runs_with_its_fence_in_its_environment_and_its_code_is_ours(self) -> None:
        server = self.server()
        for turn, code in [(1, 0), (2, 7)]:
            process = self.lock(server.address, [], "sh", "-c", f"echo $TAKETURNS_EPOCH $TAKETURNS_TURN; exit {code}")
            (said,) = self.ends(process, code)
            self.assertRegex(said, f"^[0-9a-f]{{16}} {turn}$")
        # Arguments after the command belong to it.
        process = self.lock(server.address, [], "echo", "-h", "--ring=x", "--try", "--", "-")
        self.assertEqual(self.ends(process, 0), ["-h --ring=x --try -- -"])
        self.ends(self.lock(server.address, [], "no-such-command"), 127)
        self.ends(self.lock(server.address, [], "/dev/null"), 126)
        self.ends(self.lock(server.address, [], "sh", "-c", "kill -9 $$"), 128 + 9)

    def test_the_turn_goes_round_in_the_order_of_asking(self) -> None:
        server, gate = self.server(), Gate(self)
        first = self.lock(server.address, [], "sh", "-c", gate.script)
        first.wait_for("turn 1")
        waiters = []
        for count in (1, 2):
            waiters.append(self.lock(server.address, [], "sh", "-c", gate.script))
            self.wait_for_waiting(server.address, count)
        gate.open()
        self.ends(first, 0)
        for waiter, turn in zip(waiters, ("turn 2", "turn 3")):
            waiter.wait_for(turn)
            gate.open()
            self.ends(waiter, 0)

    def test_the_example_of_rust_and_this_one_exclude_each_other(self) -> None:
        server, gate = self.server(), Gate(self)
        rust = Process([program("turn_lock"), "--connect", server.address, "--ring", "gpu", "--", "sh", "-c", gate.script])
        self.addCleanup(rust.stop)
        rust.wait_for("turn 1")
        self.ends(self.lock(server.address, ["--try"], "true", ring="gpu"), GAVE_UP)
        waiter = self.lock(server.address, [], "sh", "-c", "echo turn $TAKETURNS_TURN", ring="gpu")
        time.sleep(0.3)
        self.assertEqual(waiter.out, [])
        gate.open()
        self.ends(rust, 0)
        self.assertEqual(self.ends(waiter, 0), ["turn 2"])

    def test_one_that_does_not_want_to_wait_gives_up_with_75(self) -> None:
        server, gate = self.server(), Gate(self)
        holder = self.lock(server.address, [], "sh", "-c", gate.script)
        holder.wait_for("turn 1")
        for options in (["--try"], ["--timeout", "500ms"]):
            self.assertEqual(self.ends(self.lock(server.address, options, "echo", "ran"), GAVE_UP), [])
        # Neither has left a trace: another ring is free, and this one is once its holder has finished.
        self.ends(self.lock(server.address, ["--try"], "true", ring="gpu1"), 0)
        gate.open()
        self.ends(holder, 0)
        self.ends(self.lock(server.address, ["--try"], "true"), 0)
        nobody = f"127.0.0.1:{free_port()}"
        self.ends(self.lock(nobody, ["--timeout", "100ms"], "true"), GAVE_UP)
        process = self.lock(nobody, ["--try"], "true")
        self.ends(process, 1)
        self.assertIn("Connection refused", process.err[0])

    def test_a_holder_renews_for_as_long_as_its_command_runs(self) -> None:
        server, gate = self.server("--turn-deadline", "1s"), Gate(self)
        holder = self.lock(server.address, ["--kill-after", "300ms"], "sh", "-c", gate.script)
        holder.wait_for("turn 1")
        waiter = self.lock(server.address, ["--kill-after", "300ms"], "echo", "mine")
        time.sleep(3)
        self.assertEqual(waiter.out, [])
        gate.open()
        holder.wait_for("passed")
        self.ends(holder, 0)
        self.ends(waiter, 0)

    def test_a_signal_reaches_the_command_and_one_that_waits_gives_up(self) -> None:
        server, gate = self.server(), Gate(self)
        holder = self.lock(server.address, [], "sh", "-c", f"trap 'echo told; exit 3' TERM; {gate.script}")
        holder.wait_for("turn 1")
        waiter = self.lock(server.address, [], "true")
        self.wait_for_waiting(server.address, 1)
        waiter.signal(signal.SIGTERM)
        self.ends(waiter, 128 + 15)
        self.wait_for_waiting(server.address, 0)
        holder.signal(signal.SIGTERM)
        holder.wait_for("told")
        self.ends(holder, 3)

    def test_a_command_ends_before_the_longest_turn_does(self) -> None:
        server = Server("--demand", "ask", "--clients", "1", "--turn-deadline", "2s")
        self.addCleanup(server.stop)
        holder = self.lock(server.address, ["--kill-after", "700ms"], "sleep", "600")
        self.ends(holder, LOST)
        self.assertEqual(holder.err, ["the turn is lost (the server lets no turn last longer; a turn_lock --serve does); the command is ended"])
        self.assertFalse([line for line in server.err if "lapsed" in line])
        process = self.lock(server.address, ["--kill-after", "2s"], "echo", "ran")
        self.assertEqual(self.ends(process, 1), [])
        self.assertRegex(process.err[0], "^--kill-after leaves nothing of a turn of [12]")

    def test_the_next_gets_the_turn_of_a_holder_that_is_stopped_and_that_one_ends_its_command(self) -> None:
        server, options = self.server("--turn-deadline", "2s"), ["--kill-after", "500ms"]
        holder = self.lock(server.address, options, "sh", "-c", "echo turn $TAKETURNS_TURN; exec sleep 600")
        holder.wait_for("turn 1")
        holder.signal(signal.SIGSTOP)
        following = self.lock(server.address, options, "sh", "-c", "echo turn $TAKETURNS_TURN")
        following.wait_for("turn 2")
        self.ends(following, 0)
        holder.signal(signal.SIGCONT)
        self.ends(holder, LOST)
        holder.wait_for("the turn is lost", holder.err)

    def test_one_that_was_stopped_when_its_turn_came_does_not_run_in_it(self) -> None:
        server = self.server("--turn-deadline", "1s")
        holder = Peer(self, server.address, "JOIN holder")
        holder.says("ASK")
        holder.hears("GO turn=1 ")
        stopped = self.lock(server.address, ["--kill-after", "300ms"], "sh", "-c", "echo turn $TAKETURNS_TURN")
        self.wait_for_waiting(server.address, 1, holder)
        stopped.signal(signal.SIGSTOP)
        following = Peer(self, server.address, "JOIN next")
        following.says("ASK")
        following.hears("WAIT ")
        holder.says("REST")
        following.hears("GO turn=3 ")
        stopped.signal(signal.SIGCONT)
        self.wait_for_waiting(server.address, 1, following)
        following.says("REST")
        self.assertEqual(self.ends(stopped, 0), ["turn 4"])

    def test_a_command_may_go_on_without_the_turn_if_told_so(self) -> None:
        server, gate, options = self.server("--turn-deadline", "2s"), Gate(self), ["--kill-after", "500ms"]
        holder = self.lock(server.address, [*options, "--keep-going"], "sh", "-c", gate.script)
        holder.wait_for("turn 1")
        holder.signal(signal.SIGSTOP)
        self.ends(self.lock(server.address, options, "true"), 0)
        holder.signal(signal.SIGCONT)
        holder.wait_for("the command keeps running", holder.err)
        gate.open()
        holder.wait_for("passed")
        self.ends(holder, LOST)

    def test_a_restarted_server_ends_the_command_and_its_grandchildren(self) -> None:
        server = self.server()
        stubborn = "(trap '' TERM; echo $$ started; while :; do sleep 0.05; done) & wait"
        holder = self.lock(server.address, ["--kill-after", "1s"], "sh", "-c", stubborn)
        holder.wait_for(" started")
        server.child.kill()
        server.wait()
        again = self.server(port=server.port)
        # Its output is the grandchild's as well: this waits for the end of both.
        self.ends(holder, LOST)
        holder.wait_for("the turn is lost (it has ended); the command is ended", holder.err)
        self.ends(self.lock(again.address, ["--try"], "true"), 0)

    def test_a_server_that_stops_ends_the_command_and_leaves_those_that_wait(self) -> None:
        server = self.server()
        holder = self.lock(server.address, ["--kill-after", "1s"], "sh", "-c", "echo turn 1; exec sleep 600")
        holder.wait_for("turn 1")
        waiter = self.lock(server.address, [], "echo", "mine")
        self.wait_for_waiting(server.address, 1)
        server.signal(signal.SIGTERM)
        self.ends(holder, LOST)
        self.assertEqual(server.wait(), 0)
        self.server(port=server.port)
        waiter.wait_for("mine")
        self.ends(waiter, 0)

    def test_one_that_waits_asks_a_restarted_server_again(self) -> None:
        server = self.server()
        holder = Peer(self, server.address, "JOIN holder")
        holder.says("ASK")
        holder.hears("GO turn=1 ")
        waiter = self.lock(server.address, [], "sh", "-c", "echo turn $TAKETURNS_TURN")
        self.wait_for_waiting(server.address, 1)
        server.child.kill()
        server.wait()
        self.server(port=server.port)
        self.assertEqual(self.ends(waiter, 0), ["turn 1"])

    def network(self, server: Server) -> Network:
        network = Network(server.port)
        self.addCleanup(network.close)
        return network

    def test_a_holder_whose_connection_is_cut_resumes_and_keeps_the_turn(self) -> None:
        server, gate = self.server(), Gate(self)
        network = self.network(server)
        # A renewal lasts for the 2 s that these leave of the server's grace of 10 s.
        options = ["--kill-after", "8s"]
        holder = self.lock(network.address, options, "sh", "-c", gate.script)
        holder.wait_for("turn 1")
        following = self.lock(server.address, options, "sh", "-c", "echo turn $TAKETURNS_TURN")
        self.wait_for_waiting(server.address, 1)
        network.cut()
        time.sleep(4)
        self.assertEqual((holder.out, holder.err), (["turn 1"], []))
        gate.open()
        self.ends(holder, 0)
        self.assertEqual(self.ends(following, 0), ["turn 2"])

    def test_a_holder_that_cannot_reach_the_server_has_ended_its_command_before_the_turn_lapses(self) -> None:
        self.ends_before_the_next_begins(["--turn-deadline", "3s", "--turn-grace", "10s"], "10s", cut=False)

    def test_a_holder_that_cannot_reach_the_server_has_ended_its_command_before_the_grace_is_over(self) -> None:
        """The server knows of the loss at once, and passes the turn on after its grace."""
        self.ends_before_the_next_begins(["--turn-deadline", "60s", "--turn-grace", "3s"], "3s", cut=True)

    def ends_before_the_next_begins(self, server_options: list[str], grace: str, *, cut: bool) -> None:
        server = Server("--demand", "ask", "--clients", "1", "--hold-max", "none", *server_options)
        self.addCleanup(server.stop)
        network = self.network(server)
        options = ["--kill-after", "1s", "--grace", grace]
        script = "trap 'date +ended%s%N; exit' TERM; echo turn 1; while :; do sleep 0.02; done"
        holder = self.lock(network.address, options, "sh", "-c", script)
        holder.wait_for("turn 1")
        following = self.lock(server.address, options, "date", "+%s%N")
        self.wait_for_waiting(server.address, 1)
        network.vanish(close_to_server=cut)
        self.ends(holder, LOST)
        holder.wait_for("it could not be renewed in time", holder.err)
        (began,) = self.ends(following, 0)
        ended = holder.wait_for("ended").removeprefix("ended")
        self.assertLess(int(ended), int(began))


if __name__ == "__main__":
    unittest.main()
