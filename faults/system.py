"""Faults of the system: no descriptors, failing calls, stops, a clock that jumps."""

import glob
import os
import re
import resource
import signal
import time
from datetime import datetime

from harness import Skipped, expect, fault, longest_gap, needs_strace, seconds_of, until
from peer import Line, Raw, field

# Errors of one newcomer, which is gone or cannot be reached.
OF_A_NEWCOMER = ("ECONNABORTED", "EPROTO", "EINTR", "ENETDOWN", "EHOSTUNREACH")
OF_THE_SYSTEM = ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")


def limit(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


@fault("prlimit to one descriptor more than are in use; five connect; the limit is raised after 3 s (line)",
       "backs off, serves the others, does not spin; all that are queued are served within 1 s, without a new connection")
def no_descriptors(world):
    """The process runs out of descriptors. Connected clients continue; clients that wait to be accepted are accepted as soon as there
    is room, although no event announces them again."""
    server = world.serve("--framing", "line")
    ann, bob = Line(server.addr, "ann"), Line(server.addr, "bob")
    ann.answer(0, ann.go())
    _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (server.descriptors() + 1, most))
    newcomers = [Line(server.addr) for _ in range(5)]
    [peer.say("PING") for peer in newcomers]
    until(lambda: server.says("cannot accept (Too many open files"), "word of it in the log")
    cpu, begin = server.cpu(), time.monotonic()
    slowest = 0
    for number in range(15):
        for player in (bob, ann):
            begin_turn = time.monotonic()
            player.answer(number, player.go())
            slowest = max(slowest, time.monotonic() - begin_turn)
            time.sleep(0.1)  # So that it has time to spin.
    spent, share = server.cpu() - cpu, time.monotonic() - begin
    expect(spent < 0.1, f"{spent:.2f} s of processor time in {share:.1f} s")
    expect(slowest < 0.5, f"a turn took {slowest:.2f} s")
    expect(server.says("connected.") == 3, f"{server.says('connected.')} connections, 3 expected")
    begin = time.monotonic()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
    [peer.wait("PONG") for peer in newcomers]
    took = time.monotonic() - begin
    expect(took < 1, f"the last was served {took:.2f} s after there was room")
    pauses = server.says("cannot accept")
    return f"{pauses} pauses, {spent:.2f} s of processor time in {share:.1f} s; all five served after {took:.2f} s"


@fault("the same, but a client leaves instead, and the limit stays (line)", "the waiting client is served within 1 s of that")
def descriptor_comes_back(world):
    """No descriptor is left until a client goes; its descriptor is the newcomer's."""
    server = world.serve("--framing", "line")
    ann = Line(server.addr, "ann")
    _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (server.descriptors(), most))
    bob = Line(server.addr)
    bob.say("PING")
    until(lambda: server.says("cannot accept") > 3, "four attempts to accept")
    ann.close()
    took = seconds_of(lambda: bob.wait("PONG"))
    expect(took < 1, f"only after {took:.2f} s")
    return f"served {took:.2f} s after the other one left"


@fault("a server with ulimit -n 64, and 60 that JOIN (line)", "32 seats, BYE full for more, no client hangs, the seated continue")
def few_descriptors(world):
    """A small limit from the start: the server knows it, and reserves descriptors for turning clients away."""
    server = world.serve("--framing", "line", limit=limit(64))
    peers = [Line(server.addr) for _ in range(60)]
    for index, peer in enumerate(peers):
        peer.say(f"JOIN c{index}")
    for peer in peers[:32]:
        peer.player = field(peer.wait("WELCOME"), "seat")
    heard = [last_words(peer) for peer in peers[32:]]
    full = sum(words.startswith(b"BYE full ") for words in heard)
    expect(all(words == b"" or words.startswith(b"BYE full ") for words in heard), f"heard: {heard}")
    turn = peers[0].go()
    peers[0].say("ANSWER :1")
    expect(peers[1].go() == turn + 1, "another turn")
    until(lambda: last_words(Line(server.addr)).startswith(b"BYE full "), "BYE full for a latecomer")
    return f"32 seated, {full} heard BYE full, {28 - full} were closed without a message; turns continue"


def last_words(peer):
    heard = peer.rest(5)
    peer.close()
    return heard


@fault(f"strace makes accept4 fail three times in a row with {', '.join(OF_A_NEWCOMER)} (line)",
       "the next newcomer is accepted at once")
def accept_fails_for_one(world):
    """A newcomer is gone before it is accepted. That is no reason to keep the next one waiting."""
    needs_strace()
    return "; ".join(accepted_after(world, error, 0.3, pauses=False) for error in OF_A_NEWCOMER)


@fault(f"strace makes accept4 fail three times in a row with {', '.join(OF_THE_SYSTEM)} (line)",
       "backs off (10, 20, 40 ms) and recovers by itself")
def accept_fails_for_all(world):
    """The system has no memory, buffers or descriptors, for a moment."""
    needs_strace()
    return "; ".join(accepted_after(world, error, 1, pauses=True) for error in OF_THE_SYSTEM)


def accepted_after(world, error, bound, pauses):
    # The first call is the one that finds no client, when the server starts.
    server = world.serve("--framing", "line", before=world.strace(f"accept4:error={error}:when=2..4"))
    peer = Line(server.addr)
    peer.say("PING")
    took = seconds_of(lambda: peer.wait("PONG"))
    until(lambda: world.injected() == 3, f"three calls that fail with {error}")
    expect(took < bound, f"{error}: served only after {took:.2f} s")
    expect(server.says("cannot accept") == (3 if pauses else 0), f"{error}: {server.says('cannot accept')} pauses")
    server.kill()
    return f"{error}: {took * 1000:.0f} ms"


@fault("strace makes every third epoll_wait, recvfrom, sendto and accept4 fail with EINTR (line)", "continues, nothing is lost")
def calls_interrupted(world):
    """Signals arrive at every moment. An interrupted call is made again."""
    needs_strace()
    calls = "epoll_wait,recvfrom,sendto,accept4"
    server = world.serve("--framing", "line", before=world.strace(f"{calls}:error=EINTR:when=1+3"))
    players = world.play(server, "--framing", "line", "--pace", "0s", "--count", "200")
    expect(players.exit_code(20) == 0, f"the clients did not finish: {len(server.sent())} numbers")
    numbers = [number for _, _, number in server.sent()]
    expect(numbers == list(range(1, 401)), f"numbers: {numbers}")
    expect(world.injected() > 400, f"only {world.injected()} calls were interrupted")
    return f"{world.injected()} calls interrupted, 400 numbers in order"


@fault("SIGSTOP and SIGCONT of the server, 50 times", "continues")
def poll_interrupted(world):
    """The operator presses Ctrl-Z and continues: the poll returns early, with EINTR."""
    server = world.serve()
    world.play(server, "--pace", "20ms")
    until(server.sent, "number")
    begin = time.monotonic()
    for _ in range(50):
        before = len(server.sent())
        server.signal(signal.SIGSTOP)
        server.signal(signal.SIGCONT)
        until(lambda: len(server.sent()) > before, "further number")
    return f"the longest time without a turn was {longest_gap(server, begin) * 1000:.0f} ms"


@fault("libfaketime: the wall clock jumps 1 day ahead, then 30 days back, while turns are held (line)", "no deadline moves")
def clock_jumps(world):
    """The clock is set. The log shows the new time; turns are measured by the clock that only goes forwards."""
    folders = ("lib", "lib64", "lib/*")
    found = [path for folder in folders for path in glob.glob(f"/usr/{folder}/faketime/libfaketime.so.1")]
    if not found:
        raise Skipped("there is no libfaketime: install the package faketime")
    offset = os.path.join(world.folder, "offset")
    set_clock(offset, "+0")
    faketime = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    server = world.serve("--framing", "line", "--turn-deadline", "1500ms", env=faketime)
    ann, bob = Line(server.addr, "ann"), Line(server.addr, "bob")
    waits = []
    for player, jump in ((ann, "+1d"), (bob, "-30d")):
        player.go()
        set_clock(offset, jump)
        waits.append(seconds_of(lambda: player.wait("LAPSED")))
    dates = until(lambda: lapse_dates(server), "two lapses in the log")
    expect(abs((dates[1] - dates[0]).days) >= 30, f"the clock did not jump: {dates}")
    expect(all(1.45 < wait < 2 for wait in waits), f"deadlines of 1.5 s took {waits} s")
    shown = [f"{date:%Y-%m-%d}" for date in dates]
    return f"the log shows {shown[0]}, then {shown[1]}; the deadlines of 1.5 s took {waits[0]:.3f} and {waits[1]:.3f} s"


def set_clock(path, offset):
    """Writes in one step, so that half of it is never read."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(offset + "\n")
    os.replace(path + ".new", path)


def lapse_dates(server):
    dates = [re.match(rb"\d{4}-\d\d-\d\d", line) for _, line in list(server.err) if b"lapsed" in line]
    return len(dates) == 2 and [datetime.fromisoformat(date[0].decode()) for date in dates]


@fault("SIGSTOP of the server for 0.7 s, with a deadline of 0.4 s and an answer in its socket; 5 times in each framing",
       "the answer that waited counts, once; no turn is granted twice")
def server_paused(world):
    """The server's machine is suspended, or swaps. The holder has answered in time, and the server reads that before it looks
    at the clock."""
    for framing in ("line", "raw"):
        server = world.serve("--framing", framing, "--turn-deadline", "400ms")
        kind = Line if framing == "line" else Raw
        players = [kind(server.addr, name) if framing == "line" else kind(server.addr) for name in ("ann", "bob")]
        for number in range(5):
            for name, player in zip(("ann", "bob"), players):
                turn = player.go()
                if name == "ann":
                    server.signal(signal.SIGSTOP)
                player.send(f"ANSWER turn={turn} :{number}\n" if turn else f"{name}:{number}")
                if name == "ann":
                    time.sleep(0.7)  # Longer than the deadline.
                    server.signal(signal.SIGCONT)
        until(lambda: len(server.sent()) == 10, "ten numbers")
        expected = [(name, number) for number in range(5) for name in ("ann", "bob")]
        told = [(name, number) for _, name, number in server.sent()]
        expect(told == expected, f"{framing}: counted {told}")
        expect(not server.says("lapsed") and not server.says("refused"), f"{framing}: {server.said()!r}")
    return "all 20 numbers counted once, in order; no turn lapsed"


@fault("the same, and 1,500 others have sent PING before the answer (line)", "the answer that waited counts, once")
def server_paused_in_a_crowd(world):
    """More sockets are ready than one poll reports, and the holder's is the last."""
    server = world.serve("--framing", "line", "--turn-deadline", "400ms")
    crowd = [Line(server.addr) for _ in range(1500)]
    ann, bob = Line(server.addr, "ann"), Line(server.addr, "bob")
    for number in range(3):
        turn = ann.go()
        server.signal(signal.SIGSTOP)
        [peer.say("PING") for peer in crowd]
        ann.answer(number, turn)
        time.sleep(0.5)  # Longer than the deadline.
        server.signal(signal.SIGCONT)
        bob.answer(number, bob.go())
        [peer.wait("PONG") for peer in crowd]
    until(lambda: len(server.numbers("bob")) == 3, "three numbers of bob")
    expect(server.numbers("ann") == [0, 1, 2], f"ann's numbers: {server.numbers('ann')}, {server.says('lapsed')} lapsed")
    return "all numbers counted once; no turn lapsed"
