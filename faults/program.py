"""A program under test: its lines with their times, its signals, its costs."""

import os
import re
import signal
import subprocess
import threading
import time

ADDRESS = re.compile(rb"(?:istening|connections) on ([\d.]+):(\d+)")
SENT = re.compile(rb"(\S+) sent: (-?\d+)$")


class Program:
    """Runs until its row ends. Both outputs are read, unless the row hands in files of its own."""

    def __init__(self, path, options, before=(), out=subprocess.PIPE, err=subprocess.PIPE, env=None, cwd=None, limit=None):
        self.name = os.path.basename(path)
        self.serves = self.was_ended = False
        self.out, self.err = [], []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TAKETURNS_")}
        self.process = subprocess.Popen(
            [*before, path, *options], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd,
            env={**environment, **(env or {})}, preexec_fn=limit)
        self.pid = self.process.pid
        # The treatment of an output: "read", "close" or "leave" (unread, so that the pipe fills up).
        self.fate = {"out": "read", "err": "read"}
        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
            if pipe is not None:
                threading.Thread(target=self._read, args=(name, pipe), daemon=True).start()

    def _read(self, name, pipe):
        lines = getattr(self, name)
        for line in pipe:
            lines.append((time.monotonic(), line.rstrip(b"\n")))
            if self.fate[name] == "close":
                pipe.close()
            if self.fate[name] != "read":
                return

    def said(self):
        """Returns both outputs so far."""
        return b"\n".join(line for _, line in self.out + self.err)

    def says(self, text):
        """Returns how many lines so far contain `text`."""
        return sum(text.encode() in line for _, line in self.out + self.err)

    def address(self):
        found = ADDRESS.search(self.said())
        return found and found.groups()

    def sent(self):
        """Returns the numbers accepted so far, each with its time and client."""
        found = [(at, SENT.match(line)) for at, line in list(self.out)]
        return [(at, match[1].decode(), int(match[2])) for at, match in found if match]

    def numbers(self, name):
        return [number for _, whose, number in self.sent() if whose == name]

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """Sends SIGKILL. Everything that was printed is still read."""
        self.was_ended = True
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, seconds=8):
        """Sends SIGTERM. Returns the exit code, or None if it does not end."""
        self.was_ended = True
        self.signal(signal.SIGTERM)
        return self.exit_code(seconds)

    def exit_code(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def cpu(self):
        """Returns the processor time so far, in seconds."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Returns the peak memory so far, in MiB."""
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024

    def descriptors(self):
        """Returns one more than its highest file descriptor."""
        return max(map(int, os.listdir(f"/proc/{self.pid}/fd"))) + 1
