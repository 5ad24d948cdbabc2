"""Runs a command while it holds the turn: flock(1) over the network."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import taketurns

GAVE_UP = 75
LOST = 76

TOLD_ELSEWHERE = frozenset(["moved", "bad-secret", "shutting-down", "left", "superseded", "forbidden", "removed", "tls-required"])
"""Farewells after which a client ends, or is taken again, here or elsewhere."""


def complain(text: str) -> None:
    """Prints one line to standard error."""
    print(taketurns.printable(text), file=sys.stderr, flush=True)


@dataclass
class Lease:
    """A turn that is renewed at intervals."""

    turn: taketurns.Grant
    renew_at: float | None
    until: float | None = None
    """The server grants the turn to no other client before this instant. None until a renewal is answered."""


class Job:
    """A command in a process group of its own, so that its descendants can be ended with it."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        # A terminal stops a background process group that reads from it.
        stdin = subprocess.DEVNULL if os.isatty(0) else None
        environment = {**os.environ, **variables}
        if sys.version_info >= (3, 11):
            self._child = subprocess.Popen(command, stdin=stdin, env=environment, process_group=0)
        else:
            self._child = subprocess.Popen(command, stdin=stdin, env=environment, preexec_fn=os.setpgrp)
        self.kill_at: float | None = None

    def signal(self, number: int) -> None:
        """Sends a signal to the process group of the command, which has not been reaped, so that no other group can have its id."""
        try:
            os.killpg(self._child.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def end(self, now: float, until: float, grace: float) -> None:
        """Sends SIGTERM to the group, and SIGKILL when the command has ended, after `grace`, or shortly before `until`."""
        self.signal(signal.SIGTERM)
        self.kill_at = min(until - grace / 10, now + grace)

    def poll(self, now: float) -> int | None:
        """Returns the exit code of the command, as a shell gives it, once it has ended."""
        has_ended = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if self.kill_at is not None and (self.kill_at <= now or has_ended):
            self.kill_at = None
            self.signal(signal.SIGKILL)
        if not has_ended:
            return None
        code = self._child.wait()
        return code if code >= 0 else 128 - code


class Lock:
    def __init__(self, options: argparse.Namespace, command: list[str]) -> None:
        self._command = command
        self._at_once: bool = options.at_once
        self._kill_after: float = options.kill_after
        self._grace: float = options.grace
        self._keeps_going: bool = options.keep_going
        self._give_up_at = None if options.timeout is None else time.monotonic() + options.timeout
        self._lease: Lease | None = None
        self._job: Job | None = None
        self._is_lost = False
        self._code: int | None = None
        """The exit code, once the turn is not needed any more."""
        self._trouble: str | None = None
        self._is_explained = False
        """The server has said why it closes the connection."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        machine = taketurns.Machine(
            taketurns.Options(
                unique_name(), options.ring, demand="ask", ping=max((self._grace - self._kill_after) / 4, 0.1),
                allow_plaintext_secrets=options.allow_plaintext_secrets, token=options.token,
            )  # fmt: skip
        )
        self._machine = machine
        self._driver = taketurns.Driver(machine, options.connect, self._hear, options.context, options.tls_name)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGCHLD, self._act)
        self._machine.ask(time.monotonic())
        self._act()

    def _hear(self, event: taketurns.Event) -> None:
        now, turn = time.monotonic(), self._lease.turn if self._lease else None
        if isinstance(event, taketurns.Welcome):
            self._trouble = None
        elif isinstance(event, taketurns.Farewell) and self._job is None:
            self._is_explained = True
            if event.code not in TOLD_ELSEWHERE:
                self._troubled(f"the server closes the connection: {event.code} ({event.words or 'no reason is given'})")
        elif isinstance(event, taketurns.Disconnected):
            # One who holds the turn resumes it.
            if not (self._is_explained or event.opened and self._job is not None):
                self._troubled(event.why)
            self._is_explained = False
        elif isinstance(event, taketurns.Waiting) and self._at_once and turn is None:
            self._end(GAVE_UP, "")
        elif isinstance(event, taketurns.Granted) and self._code is None:
            # Its GO may have been written long ago, so that only a renewal says how much time is left.
            self._lease = Lease(event.turn, renew_at=now)
        elif isinstance(event, (taketurns.Renewed, taketurns.NotRenewed)) and event.turn is turn:
            self._renewed(now, event)
        elif isinstance(event, taketurns.Changed) and event.turn is turn and self._lease:
            # The turn was resumed on another connection.
            self._lease.renew_at = now
        elif isinstance(event, (taketurns.Farewell, taketurns.Settled)) and self._job is not None:
            self._lose(now, None, "it has ended")
        elif isinstance(event, taketurns.Settled) and self._code is None:
            self._lease = None
            self._machine.ask(now)
        elif isinstance(event, taketurns.Over):
            hint = "; the server has to be as turn_lock --serve" if event.ended.code == "out-of-range" else ""
            self._lose(now, None, f"{event.ended}{hint}")
        asyncio.get_running_loop().call_soon(self._act)

    def _troubled(self, why: str) -> None:
        """Nobody serves this client: that is said once, until somebody does."""
        if self._at_once and self._lease is None and self._job is None:
            self._end(1, f"{why} (see --connect)")
        elif self._trouble is None and self._code is None:
            complain(f"{why}; trying again until a server takes this client (see --connect)")
        self._trouble = why

    def _renewed(self, now: float, event: taketurns.Renewed | taketurns.NotRenewed) -> None:
        """The turn is certainly held for a while, from when the renewal was sent. A late reply makes that too short, never too long."""
        lease = self._lease
        if lease is None:
            return
        # The server may have lost our connection right after it read the renewal, and keeps the turn for as long as its grace.
        within = min(event.until - event.sent, self._grace)
        lease.until = event.sent + within
        spare = within - self._kill_after
        if spare <= 0 and self._job is None:
            return self._end(1, f"--kill-after leaves nothing of a turn of {within:g} s")
        lease.renew_at = now + max(spare / 4, 0.01)
        if self._job is None and now < lease.until - self._kill_after:
            self._run(lease)

    def _run(self, lease: Lease) -> None:
        fence = {"TAKETURNS_EPOCH": lease.turn.epoch, "TAKETURNS_TURN": str(lease.turn.number)}
        try:
            self._job, self._give_up_at = Job(self._command, fence), None
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            self._end(code, f"cannot run {self._command[0]!r}: {error.strerror or error}")

    def _lose(self, now: float, until: float | None, why: str) -> None:
        """Ends the command before `until`, when another client may get the turn. None: before the lease is over."""
        if self._job is None:
            return self._end(1, why)
        lease, self._lease = self._lease, None
        if lease is None:
            return
        self._is_lost = True
        then = "the command keeps running" if self._keeps_going else "the command is ended"
        complain(f"the turn is lost ({why}); {then}")
        if not self._keeps_going:
            until = until if until is not None else lease.until if lease.until is not None else now
            self._job.end(now, until, self._kill_after)

    def _signalled(self, number: int) -> None:
        if self._job is not None:
            self._job.signal(number)
        elif self._code is not None:
            # It is leaving, and is asked again.
            os._exit(128 + number)
        else:
            self._end(128 + number, "")
            self._act()

    def _act(self) -> None:
        """Carries out what is due, and notices the end of the command."""
        now = time.monotonic()
        if self._job is not None and (code := self._job.poll(now)) is not None:
            self._job = None
            self._end(LOST if self._is_lost else code, "")
        lease = self._lease
        if lease is not None and lease.until is not None and lease.until - self._kill_after <= now:
            until, lease.until = lease.until, None
            if self._job is not None:
                self._lose(now, until, "it could not be renewed in time")
        if self._give_up_at is not None and self._give_up_at <= now:
            self._end(GAVE_UP, "")
        lease = self._lease
        if lease is not None and lease.renew_at is not None and lease.renew_at <= now:
            lease.renew_at = None
            self._machine.renew(now, lease.turn)
        if self._code is not None and not self._is_leaving:
            self._is_leaving = True
            self._machine.rest(now)
            self._machine.leave(now)
        self._driver.pump()
        if self._code is not None and self._machine.ended and not self.ended.done():
            self.ended.set_result(self._code)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        times = [self._give_up_at, self._job.kill_at if self._job else None]
        if self._lease is not None:
            until = self._lease.until
            times += [self._lease.renew_at, None if until is None else until - self._kill_after]
        deadline = min((at for at in times if at is not None), default=None)
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_later(max(deadline - time.monotonic(), 0), self._act)

    def _end(self, code: int, why: str) -> None:
        if self._code is None:
            self._code = code
            if why:
                complain(why)
        self._give_up_at = self._lease = None


def unique_name() -> str:
    """Makes a unique name of this machine, this process and a random number."""
    host = "".join(c for c in os.uname().nodename if c.isascii() and (c.isalnum() or c in "-._"))[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


async def lock(options: argparse.Namespace, command: list[str]) -> int:
    work = Lock(options, command)
    work.start()
    return await work.ended
