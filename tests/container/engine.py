"""The container engine: images, containers that are removed at the end, and what can be asked of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time


class Failed(Exception):
    """What happened is not what is right."""


class Skipped(Exception):
    """This engine or machine cannot show it; says what is missing."""


def expect(right, story):
    if not right:
        raise Failed(story)


def until(check, what, seconds=20.0):
    """Waits until `check` answers with something, and answers with that."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        expect(time.monotonic() < deadline, f"no {what} within {seconds:g} s")
        time.sleep(0.02)
    return found


def docker(*arguments, seconds=120):
    """Runs a command of the engine to its end; output and errors are text."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)


def is_there():
    return shutil.which("docker") is not None and docker("version").returncode == 0


def build(root, tag, *options):
    """Builds an image; what the builder says goes to this program's output."""
    if subprocess.run(["docker", "build", "-t", tag, *options, str(root)], check=False).returncode != 0:
        sys.exit(f"{tag} cannot be built; see above")


def has_image(tag):
    return docker("image", "inspect", tag).returncode == 0


def inspect(what, kind="container"):
    return json.loads(docker(kind, "inspect", what).stdout)[0]


class Engine:
    """Starts containers, and removes them, their network and their volume in the end."""

    def __init__(self):
        self.prefix = f"taketurns-test-{os.getpid()}"
        self.containers = []
        self.network = None
        self.volume = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.containers:
            docker("rm", "--force", *self.containers)
        if self.network:
            docker("network", "rm", self.network)
        if self.volume:
            docker("volume", "rm", self.volume)

    def start(self, image, *arguments, options=()):
        """Starts a container in the background."""
        name = f"{self.prefix}-{len(self.containers)}"
        self.containers.append(name)
        ran = docker("run", "--detach", "--name", name, *options, image, *arguments)
        if "already allocated" in ran.stderr or "address already in use" in ran.stderr:
            raise Skipped("a port of this machine that the row needs is taken")
        expect(ran.returncode == 0, f"docker run: {ran.stderr.strip()}")
        return Container(name)

    def own_network(self):
        """A network on which containers find each other by name."""
        if not self.network:
            self.network = self.prefix
            made = docker("network", "create", self.network)
            expect(made.returncode == 0, f"docker network create: {made.stderr.strip()}")
        return self.network

    def own_volume(self):
        self.volume = self.prefix
        made = docker("volume", "create", self.volume)
        expect(made.returncode == 0, f"docker volume create: {made.stderr.strip()}")
        return self.volume


class Container:
    def __init__(self, name):
        self.name = name

    def address(self, port):
        """Where this machine reaches a port that was published."""
        lines = docker("port", self.name, str(port)).stdout.split()
        expect(lines, f"port {port} is not published: {self.said()}")
        host, _, port = lines[0].rpartition(":")
        return host, int(port)

    def own_address(self, port):
        """Where it is reached past the engine's proxy, which would keep much of what is not read."""
        host = inspect(self.name)["NetworkSettings"]["IPAddress"]
        try:
            socket.create_connection((host, port), timeout=5).close()
        except OSError as error:
            raise Skipped(f"containers are not reached from here: {error}") from None
        return host, port

    def said(self):
        ran = docker("logs", self.name)
        return ran.stdout + ran.stderr

    def wait_for(self, words, seconds=20.0):
        """Until the program has said so; answers with all that it said."""
        try:
            until(lambda: words in self.said(), f"{words!r}", seconds)
        except Failed as failed:
            raise Failed(f"{failed}; it said: {self.said()[-500:]}") from None
        return self.said()

    def state(self):
        return inspect(self.name)["State"]

    def stop(self):
        """Stops it as the engine does; answers with the seconds that took, and the exit code."""
        begin = time.monotonic()
        docker("stop", "--time", "20", self.name)
        return time.monotonic() - begin, self.state()["ExitCode"]

    def wait(self, seconds=60.0):
        """The exit code, when it has ended by itself."""
        until(lambda: not self.state()["Running"], f"end of {self.name}", seconds)
        return self.state()["ExitCode"]
