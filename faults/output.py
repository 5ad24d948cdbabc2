"""The output of a server is closed, stuck or full; and its address is taken."""

import os
import time

from harness import expect, fault, needs_root, run_tool, until
from peer import Line


def played(world, server, count=100):
    """Has two clients send `count` accepted numbers each, and end."""
    players = world.play(server, "--pace", "0s", "--count", str(count), "--log-level", "warn")
    expect(players.exit_code(15) == 0, f"the clients did not finish: {players.said()[-300:]!r}")


def provoke(server):
    """Causes a log line."""
    peer = Line(server.addr)
    peer.send(b"\x1b[2Jgarbage\n")
    peer.half_close()
    peer.rest(3)


@fault("a second turn_server on the port", "exit code 1, and one line with the problem, the address and the remedy")
def second_server(world):
    """The server is started twice."""
    first = world.serve()
    addr = "%s:%d" % first.addr
    second = world.start("turn_server", "--listen", addr)
    code = second.exit_code(5)
    until(lambda: second.err, "line on standard error")
    said = second.err[0][1].decode()
    expect(code == 1 and len(second.err) == 1, f"exit code {code}: {second.said()!r}")
    expect(addr in said and "in use" in said and "--listen" in said, said)
    played(world, first, 10)
    return f"exit code 1: {said}"


@fault("the reader of standard output goes away, in one server that of standard error too",
       "continues serving; SIGTERM ends it with 0")
def output_closed(world):
    """`turn_server | head -1`, and a log collector that has crashed."""
    codes = []
    for fates in ({"out": "close"}, {"out": "close", "err": "close"}):
        server = world.serve()
        server.fate.update(fates)
        for _ in range(20):
            provoke(server)
        played(world, server)
        codes.append(server.terminate())
    expect(codes == [0, 0], f"exit codes {codes}")
    return "200 numbers accepted in each; ended with 0"


@fault("standard output and standard error are no longer read; 20,000 turns",
       "continues serving; SIGTERM ends it with 0 in 6 s")
def output_stuck(world):
    """The terminal is paused with Ctrl-S: the pipes fill up, and a write would wait for ever."""
    server = world.serve()
    server.fate.update(out="leave", err="leave")
    for _ in range(20):
        provoke(server)
    begin = time.monotonic()
    played(world, server, 10_000)
    took = time.monotonic() - begin
    begin = time.monotonic()
    code = server.terminate(8)
    stopping = time.monotonic() - begin
    expect(code == 0 and stopping < 6, f"exit code {code} after {stopping:.1f} s")
    expect(len(server.sent()) < 20_000, "the pipe was read")
    return f"20,000 turns in {took:.1f} s; ended with 0 after {stopping:.1f} s"


def tiny_disk(world, size=16):
    """Mounts a file system of `size` KiB."""
    needs_root("mounting a small tmpfs")
    disk = os.path.join(world.folder, "disk")
    os.mkdir(disk)
    run_tool("mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk)
    world.cleanup.callback(run_tool, "umount", "-l", disk)
    return disk


def fill_up(disk):
    try:
        with open(os.path.join(disk, "filler"), "wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
    except OSError:
        return


@fault("standard output and error in files on a tmpfs of 16 KiB, which is filled up",
       "continues serving; SIGTERM ends it with 0")
def disk_full(world):
    """`turn_server > out.txt 2> log.txt`, and the disk fills up."""
    disk = tiny_disk(world)
    with open(os.path.join(disk, "out"), "ab") as out, open(os.path.join(disk, "err"), "ab") as err:
        server = world.start("turn_server", "--listen", "127.0.0.1:0", out=out, err=err)
    server.serves = True
    server.said = lambda: b"".join(read(os.path.join(disk, name)) for name in ("out", "err"))
    said = until(server.address, "address of the server")
    server.addr = (said[0].decode(), int(said[1]))
    fill_up(disk)
    for _ in range(20):
        provoke(server)
    played(world, server, 1000)
    full = os.statvfs(disk).f_bfree == 0
    expect(full, "the disk is not full")
    code = server.terminate()
    expect(code == 0, f"exit code {code}")
    return "2,000 numbers accepted; ended with 0"


def read(path):
    with open(path, "rb") as file:
        return file.read()
