"""The rows of the table, their waits and their needs. Programs are in program.py, sockets in peer.py."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from program import Program

FAULTS = []


class Failed(Exception):
    """The outcome is wrong."""


class Skipped(Exception):
    """This machine cannot cause the fault; the text names what is missing."""


class Fault:
    """One row: a function that causes the fault and returns the outcome."""

    def __init__(self, run, made, expected):
        self.run, self.made, self.expected = run, made, expected
        self.name = run.__name__.replace("_", "-")


def fault(made, expected):
    """Adds the decorated function to the table. It is called with a `World`."""

    def register(run):
        FAULTS.append(Fault(run, made, expected))
        return run

    return register


def expect(right, story):
    if not right:
        raise Failed(story)


def until(check, what, seconds=5.0):
    """Waits until `check` returns something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        expect(time.monotonic() < deadline, f"no {what} within {seconds:g} s")
        time.sleep(0.002)


def seconds_of(act):
    """Returns how long `act` takes."""
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


def needs_root(what):
    if os.geteuid() != 0:
        raise Skipped(f"{what} needs root: run this with sudo")


def needs_tool(tool, package):
    if shutil.which(tool) is None:
        raise Skipped(f"there is no {tool}: install the package {package}")


def needs_strace():
    needs_tool("strace", "strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        raise Skipped("strace may not trace here: allow ptrace (in a container, --cap-add SYS_PTRACE)")


def run_tool(*command):
    """Runs a system command; a machine that forbids it cannot cause the fault."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Skipped(f"{' '.join(command)}: {done.stderr.strip()}")


class World:
    """The programs and files of one row, which are removed at its end."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.programs = []
        self.cleanup = contextlib.ExitStack()
        self.folder = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="taketurns-faults-"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.kill()
        self.cleanup.close()

    def start(self, name, *options, **how):
        program = Program(os.path.join(self.binaries, name), options, **how)
        self.programs.append(program)
        return program

    def serve(self, *options, program="turn_server", listen="127.0.0.1:0", **how):
        """Starts a server and waits until it listens, at `server.addr`."""
        server = self.start(program, "--listen", listen, *options, **how)
        server.serves = True
        said = until(server.address, f"address of {program} (it said {server.said()!r})", 10)
        server.addr = (said[0].decode(), int(said[1]))
        return server

    def play(self, server, *options):
        """Starts a `turn_client` for `server`."""
        return self.start("turn_client", "--connect", "%s:%d" % server.addr, *options)

    def strace(self, inject):
        """Returns the command that makes the system calls of a server fail as `inject` says. The server keeps its process id."""
        calls = inject.split(":")[0]
        return ["strace", "-D", "-f", "-qq", "-o", os.path.join(self.folder, "trace"),
                "-e", f"trace={calls}", "-e", f"inject={inject}"]

    def injected(self):
        """Returns how many system calls were made to fail so far."""
        with open(os.path.join(self.folder, "trace"), encoding="utf-8", errors="replace") as trace:
            return trace.read().count("(INJECTED)")

    def check(self):
        """Checks what must be true in every row: no server has ended by itself, and none has panicked."""
        for program in self.programs:
            expect(b"panicked" not in program.said(), f"{program.name} panicked: {program.said()[-300:]!r}")
            ended = program.serves and not program.was_ended and program.process.poll() is not None
            expect(not ended, f"{program.name} has ended: {program.said()[-300:]!r}")


def longest_gap(server, since, end=None):
    """Returns the longest time in which no number was accepted, in seconds."""
    end = end or time.monotonic()
    times = [since] + [at for at, _, _ in server.sent() if since <= at <= end] + [end]
    return max(later - earlier for earlier, later in zip(times, times[1:]))


def unescaped(data):
    """Returns the first bytes of `data` that could rearrange a terminal, if there are any."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return data[error.start:error.end + 8]
    found = re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", text)
    return found and text[found.start():found.end() + 8].encode()


def chosen(names):
    """Returns the rows with these names; all, if there are none."""
    rows = [row for row in FAULTS if not names or row.name in names]
    unknown = set(names) - {row.name for row in rows}
    if unknown:
        sys.exit(f"there is no row {', '.join(sorted(unknown))}: see --list")
    return rows


def show(rows):
    for row in rows:
        story = row.run.__doc__ or row.made
        print(f"{row.name}\n    {' '.join(story.split())}")


def run_all(rows, make_world):
    """Prints the table, each row in a world of its own. Returns whether none failed."""
    print("| fault | how it was made | expected | what happened | result |\n|---|---|---|---|---|", flush=True)
    results = [judge(row, make_world) for row in rows]
    counts = {result: results.count(result) for result in ("ok", "FAILED", "SKIPPED")}
    print("\n" + ", ".join(f"{count} {result}" for result, count in counts.items()))
    return not counts["FAILED"]


def judge(row, make_world):
    """Runs one row and prints its line."""
    begin = time.monotonic()
    try:
        with make_world() as world:
            happened = row.run(world)
            world.check()
        result = "ok"
    except Failed as failure:
        happened, result = str(failure), "FAILED"
    except Skipped as why:
        happened, result = f"SKIPPED: {why}", "SKIPPED"
    except Exception as error:  # A row that stumbles has not seen the expected outcome.
        happened, result = f"{type(error).__name__}: {error}", "FAILED"
    cells = [row.name, row.made, row.expected, f"{happened} ({time.monotonic() - begin:.1f} s)", result]
    print("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |", flush=True)
    return result
