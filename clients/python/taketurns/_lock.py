"""Runs a command while it holds the turn: flock(1) over the network."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time

import taketurns

GAVE_UP = 75
LOST = 76


def complain(text: str) -> None:
    """Prints one line to standard error."""
    print(taketurns.printable(text), file=sys.stderr, flush=True)


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
        self._job: Job | None = None
        self._is_lost = False
        self._code: int | None = None
        """The exit code, once the turn is not needed any more."""
        self._troubles = taketurns.Troubles()
        self._trouble: str | None = None
        self._has_told_needs = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        machine = taketurns.Machine(
            taketurns.Options(
                taketurns.unique_name(), options.ring, demand="ask", ping=max((self._grace - self._kill_after) / 4, 0.1),
                allow_plaintext_secrets=options.allow_plaintext_secrets, token=options.token,
            )  # fmt: skip
        )
        self._machine = machine
        self._lease = taketurns.Lease(machine, grace=self._grace, margin=self._kill_after)
        self._driver = taketurns.Driver(machine, options.connect, self._hear, options.context, options.tls_name)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGCHLD, self._act)
        self._machine.ask(time.monotonic())
        self._act()

    def _hear(self, event: taketurns.Event) -> None:
        if (trouble := self._troubles.of(event, is_held=self._job is not None)) is not None:
            self._troubled(trouble)
        if isinstance(event, taketurns.Welcome):
            self._trouble = None
        elif isinstance(event, taketurns.Waiting) and self._job is None and self._code is None:
            if event.needs and not self._has_told_needs:
                self._has_told_needs = True
                complain(taketurns.needs_others(event.needs))
            if self._at_once and self._lease.turn is None:
                self._end(GAVE_UP, "")
        elif isinstance(event, taketurns.Over) and self._job is None:
            hint = "; the server has to be as turn_lock --serve" if event.ended.code == "out-of-range" else ""
            self._end(1, f"{event.ended}{hint}")
        if self._code is None:
            self._lease.hear(time.monotonic(), event)
        if self._code is None and self._lease.stage == "held" and self._job is None and self._lease.turn is not None:
            self._run(self._lease.turn)
        asyncio.get_running_loop().call_soon(self._act)

    def _troubled(self, why: str) -> None:
        """Nobody serves this client: that is said once, until somebody does."""
        if self._at_once and self._lease.turn is None:
            self._end(1, f"{why} (see --connect)")
        elif self._trouble is None and self._code is None:
            complain(f"{why}; trying again until a server takes this client (see --connect)")
        self._trouble = why

    def _run(self, turn: taketurns.Grant) -> None:
        fence = {"TAKETURNS_EPOCH": turn.epoch, "TAKETURNS_TURN": str(turn.number)}
        try:
            self._job, self._give_up_at = Job(self._command, fence), None
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            self._end(code, f"cannot run {self._command[0]!r}: {error.strerror or error}")

    def _lose(self, now: float, job: Job) -> None:
        """Ends the command before another client can get the turn."""
        self._is_lost = True
        then = "the command keeps running" if self._keeps_going else "the command is ended"
        complain(f"the turn is lost ({self._lease.why}); {then}")
        if not self._keeps_going:
            job.end(now, self._lease.until, self._kill_after)

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
        if self._give_up_at is not None and self._give_up_at <= now:
            self._end(GAVE_UP, "")
        lease = self._lease
        if self._code is None:
            lease.act(now)
            if lease.stage == "too-short":
                self._end(1, f"--kill-after {lease.why}")
            elif lease.stage == "lost" and self._job is not None and not self._is_lost:
                self._lose(now, self._job)
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
        if self._code is None:
            times.append(self._lease.next_deadline())
        deadline = min((at for at in times if at is not None), default=None)
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_later(max(deadline - time.monotonic(), 0), self._act)

    def _end(self, code: int, why: str) -> None:
        if self._code is None:
            self._code = code
            if why:
                complain(why)
        self._give_up_at = None


async def lock(options: argparse.Namespace, command: list[str]) -> int:
    try:
        work = Lock(options, command)
    except ValueError as error:
        complain(str(error))
        return 1
    work.start()
    return await work.ended
