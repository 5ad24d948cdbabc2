"""Faults of the client whose turn it is."""

import os
import random
import signal
import time

from harness import expect, fault, longest_gap, needs_root, needs_tool, run_tool, seconds_of, until
from peer import Line, Raw, field

LONG = ("--turn-deadline", "20s")


@fault("kill -9 of the turn_client that has the turn", "the turn passes at once")
def holder_killed(world):
    """Ann's process is killed while she thinks about her number: the kernel closes her connection, and Bob has the turn long
    before her deadline. She uses the line protocol; the other two are old clients, in the same ring."""
    server = world.serve(*LONG)
    observer = Line(server.addr)
    observer.say("WATCH")
    bob, cy = Raw(server.addr), Raw(server.addr)
    bob.go()
    ann = world.play(server, "--clients", "1", "--name", "ann", "--pace", "10m")
    while observer.wait("JOINED").split()[1] != "ann":
        pass
    bob.send("bob:1")
    cy.go()
    cy.send("cy:1")
    # Ann sends her first number at once, and thinks about the second one.
    bob.go()
    bob.send("bob:2")
    cy.go()
    cy.send("cy:2")
    until(lambda: server.numbers("cy") == [1, 2], "second number of cy, after which ann has the turn")
    expect(bob.is_silent(0.3), "ann does not have the turn")
    ann.kill()
    took = seconds_of(bob.go)
    expect(took < 1, f"bob had the turn only after {took:.3f} s")
    return f"bob had the turn {took * 1000:.0f} ms later"


@fault("SO_LINGER 0 and close, 20 times in each framing, every other time after an answer",
       "the turn passes at once; an answer before the reset counts")
def holder_reset(world):
    """Ann's connection is reset, as by a crash with unread input. An answer that she sent before that is in the server's socket
    and counts; Bob has the turn at once."""
    slowest = 0
    for framing in ("line", "raw"):
        server = world.serve("--framing", framing, "--clients", "1", *LONG)
        for round_ in range(20):
            ann, bob, turn = (line_pair if framing == "line" else raw_pair)(server, round_)
            number = round_ + 1 if round_ % 2 else None
            if number:
                ann.send(f"ANSWER turn={turn} :{number}\n" if turn else f"ann:{number}")
            ann.reset()
            slowest = max(slowest, seconds_of(bob.go))
            if number:
                until(lambda: number in server.numbers("ann"), f"number {number} of ann's in the {framing} framing")
            bob.close()
            until(lambda: server.says("disconnected.") == 2 * (round_ + 1), "end of the round")
        expect(server.numbers("ann") == list(range(2, 21, 2)), f"counted: {server.numbers('ann')}")
    expect(slowest < 1, f"bob had the turn only after {slowest:.3f} s")
    return f"all 20 answers counted once; bob had the turn within {slowest * 1000:.0f} ms"


def line_pair(server, round_):
    ann = Line(server.addr, "ann", ring=f"r{round_}")
    turn = ann.go()
    return ann, Line(server.addr, "bob", ring=f"r{round_}"), turn


def raw_pair(server, _):
    ann = Raw(server.addr)
    ann.go()
    bob = Raw(server.addr)
    until(lambda: bob.receive(time.monotonic() + 5), "WAIT")
    return ann, bob, None


@fault("SIGSTOP of a turn_client, over two of its turns, then SIGCONT (line)",
       "the turn passes at the deadline; late answers count once or not at all")
def holder_stopped(world):
    """Ann's machine is suspended. Twice her turn comes and lapses. When she wakes up, answers to those turns are too late; their numbers
    count in later turns."""
    server = world.serve("--framing", "line", "--turn-deadline", "600ms")
    ann = world.play(server, "--framing", "line", "--clients", "1", "--name", "ann", "--pace", "0s")
    until(lambda: server.says("connected."), "connection of ann")
    bob = Line(server.addr, "bob")
    turn = bob.go()
    ann.signal(signal.SIGSTOP)
    waits = []
    for _ in range(2):
        bob.answer(turn, turn)
        begin = time.monotonic()
        turn = bob.go()
        waits.append(time.monotonic() - begin)
    ann.signal(signal.SIGCONT)
    while len(server.numbers("ann")) < 6:
        bob.answer(turn, turn)
        turn = bob.go()
    expect(all(0.58 < wait < 1.2 for wait in waits), f"bob waited {waits} s for turns with a deadline of 0.6 s")
    expect(server.numbers("ann")[:6] == [1, 2, 3, 4, 5, 6], f"ann's numbers: {server.numbers('ann')}")
    expect(server.says("lapsed") == 2, f"{server.says('lapsed')} turns lapsed")
    return f"passed after {waits[0]:.3f} and {waits[1]:.3f} s of 0.6; her numbers 1 to 6 counted once each"


@fault("an answer 100 ms after the deadline, in each framing", "line: NO stale-turn; raw: counts in the next turn, once")
def answer_late(world):
    """Ann is only a little too slow. With turn numbers the server refuses; without them it cannot tell her, so her answer
    is kept for her next turn."""
    server = world.serve("--framing", "line", "--turn-deadline", "300ms")
    ann, bob = Line(server.addr, "ann"), Line(server.addr, "bob")
    turn = ann.go()
    ann.wait("LAPSED")
    bob.go()
    ann.answer(1, turn)
    reply = ann.wait("NO")
    expect(" stale-turn " in reply and not server.sent(), f"{reply!r}, counted: {server.sent()}")

    server = world.serve("--framing", "raw", "--turn-deadline", "300ms")
    ann, bob = Raw(server.addr), Raw(server.addr)
    ann.go()
    bob.go()
    ann.send("ann:1")
    expect(bob.is_silent(0.1) and not server.sent(), f"it counted in bob's turn: {server.sent()}")
    bob.send("bob:2")
    bob.go()
    told = [(name, number) for _, name, number in until(lambda: len(server.sent()) > 1 and server.sent(), "two numbers")]
    expect(told == [("bob", 2), ("ann", 1)], f"counted: {told}")
    expect(ann.is_silent(0.1), "ann was sent a GO for the turn that her late answer took")
    return "NO stale-turn; and raw: bob 2, then ann 1 in her next turn"


@fault("two network namespaces, and the link between them set down (line)",
       "the turn passes at the deadline; the sockets are closed within 20 s (holder) and 30 s (idle), and 4 s of timers")
def holder_vanishes(world):
    """The cable to Ann and Dan is pulled: no FIN, no RST, ever. Ann's turn lapses. Her GO stays
    unacknowledged, probes find that Dan is gone, and the system ends both connections."""
    near, far = join_namespaces(world)
    server = world.serve("--framing", "line", "--turn-deadline", "1s", listen="198.18.77.1:0",
                         before=["ip", "netns", "exec", near])
    ann = Line(server.addr, "ann", namespace=far)
    bob = Line(server.addr, "bob", namespace=near)
    dan = Line(server.addr, "dan", ring="idle", namespace=far)
    ann.answer(1, ann.go())
    turn = bob.go()
    run_tool("ip", "-n", far, "link", "set", "cable", "down")
    down = time.monotonic()
    bob.answer(2, turn)
    waited = seconds_of(bob.go)
    expect(0.98 < waited < 1.5, f"the turn passed after {waited:.3f} s")
    closed = []
    for name, bound in ((ann.name, 20 + 4), (dan.name, 30 + 4)):
        remaining = bound - (time.monotonic() - down)
        until(lambda: server.says(f"{name} disconnected."), f"end of the connection of {name}", remaining)
        closed.append(time.monotonic() - down)
    return f"passed after {waited:.3f} s; closed after {closed[0]:.1f} and {closed[1]:.1f} s"


def join_namespaces(world):
    needs_root("a network namespace")
    needs_tool("ip", "iproute2")
    near, far = (f"taketurns-{os.getpid()}-{side}" for side in ("near", "far"))
    for name in (near, far):
        run_tool("ip", "netns", "add", name)
        world.cleanup.callback(run_tool, "ip", "netns", "del", name)
        run_tool("ip", "-n", name, "link", "set", "lo", "up")
    run_tool("ip", "-n", near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far)
    for name, addr in ((near, "198.18.77.1/30"), (far, "198.18.77.2/30")):
        run_tool("ip", "-n", name, "addr", "add", addr, "dev", "cable")
        run_tool("ip", "-n", name, "link", "set", "cable", "up")
    return near, far


@fault("shutdown(WR) after a complete answer, in each framing, and after half a line",
       "a complete answer counts and is answered, then the connection is closed; half a line is refused")
def half_close(world):
    """Ann sends everything and closes her sending side at once. She still gets every reply."""
    server = world.serve("--framing", "line", "--clients", "1", *LONG)
    ann = Line(server.addr, "ann")
    turn = ann.go()
    bob = Line(server.addr, "bob")
    ann.send(f"ANSWER turn={turn} :1\nPING\nANSWER :2")
    ann.half_close()
    heard = ann.rest(3).decode()
    replies = [line.split(" ")[0] for line in heard.splitlines()]
    expect(replies == ["OK", "PONG", "NO"], f"ann heard {heard!r}")
    bob.go()
    until(server.sent, "number of ann")
    expect(server.numbers("ann") == [1], f"counted: {server.numbers('ann')}")

    server = world.serve("--framing", "raw", "--clients", "1", *LONG)
    ann, bob, _ = raw_pair(server, 0)
    ann.send("ann:1")
    ann.half_close()
    expect(ann.rest(3) == b"", "ann heard more")
    bob.go()
    until(lambda: server.numbers("ann") == [1], "number of ann")
    return "OK, PONG, NO malformed, end of stream; raw: counted, end of stream"


@fault("TCP_CORK, send, shutdown(WR): 300 connections in each of two servers", "the end of the stream is never missed")
def data_with_end(world):
    """The last bytes and the end of the stream come in one segment, so the poll reports it only once. A server that missed it
    would answer, and then wait for its hello time-out of 10 s."""
    line = world.serve("--framing", "line")
    echo = world.serve(program="echo_server")
    slowest = 0
    for round_ in range(300):
        for server, data, answer in ((line, "PING\n", b"PONG\n"), (echo, f"number {round_}", f": number {round_}".encode())):
            peer = Line(server.addr)
            peer.send_with_end(data)
            begin = time.monotonic()
            heard = peer.rest(4)
            slowest = max(slowest, time.monotonic() - begin)
            expect(heard.endswith(answer), f"heard {heard!r} to {data!r}")
    return f"all 600 were answered and closed within {slowest * 1000:.0f} ms"


@fault("a second connection with the seat's secret, and one without, while the first is up (line)",
       "with: takes the seat and its turn; without: BYE name-taken")
def seat_taken_back(world):
    """Ann's network changes, and she is back before the server knows that her old connection is dead. Her secret gets her
    seat and turn; a stranger who only knows her name gets nothing."""
    server = world.serve("--framing", "line", *LONG)
    ann, bob = Line(server.addr, "ann"), Line(server.addr, "bob")
    turn = ann.go()
    stranger = Line(server.addr)
    stranger.say("JOIN ann")
    heard = stranger.rest(3)
    expect(heard.startswith(b"BYE name-taken "), f"the stranger heard {heard!r}")
    back = ann.resume(server.addr)
    expect(field(back.welcome, "seat") == field(ann.welcome, "seat"), f"another seat: {back.welcome}")
    expect(back.go() == turn, "another turn")
    bye = ann.wait("BYE")
    ann.answer(99, turn)
    expect(" superseded " in bye and ann.rest(3) == b"", f"the old connection heard {bye!r}, and more")
    back.answer(1, turn)
    back.wait("OK")
    bob.go()
    until(server.sent, "number of ann")
    expect([number for _, _, number in server.sent()] == [1], f"counted: {server.sent()}")
    return "same seat, same turn, the old connection superseded and not heard; the stranger: BYE name-taken"


@fault("RST to a holder with --turn-grace 2s, back after 0.5 s, then not back; SIGSTOP of another one (line, auto)",
       "it keeps its turn, and its clock keeps running; then the turn passes at the end of the grace; a stopped one's at its deadline")
def holder_in_grace(world):
    """Ann's page reloads while it is her turn: she still has it. Then her machine is gone. A grace is for lost connections: a client that
    is connected and silent has no more than its deadline."""
    server = world.serve("--clients", "1", "--turn-grace", "2s", "--turn-deadline", "4s")
    ann, bob = Line(server.addr, "ann"), Line(server.addr)
    bob.player, bob.welcome = "bob", bob.join("bob", "hear=turns")
    turn = ann.go()
    ann.reset()
    time.sleep(0.5)
    ann = ann.resume(server.addr)
    go = ann.wait("GO")
    left = int(field(go, "within"))
    expect(int(field(go, "turn")) == turn and 2500 < left <= 3500, f"{go!r} after 0.5 s of 4")
    ann.reset()
    waited = seconds_of(bob.go)
    expect(1.9 < waited < 2.5, f"the turn passed {waited:.2f} s after the reset")
    cy = world.play(server, "--clients", "1", "--name", "cy", "--pace", "10m")
    bob.wait("JOINED")
    # Before its turn: otherwise it might answer first.
    cy.signal(signal.SIGSTOP)
    bob.answer(1, turn + 1)
    bob.wait("BEGIN")
    stopped = seconds_of(lambda: bob.go(6))
    expect(3.9 < stopped < 4.6, f"a stopped holder kept the turn for {stopped:.2f} s")
    return f"{left} ms were left; passed {waited:.2f} s after the reset, and {stopped:.2f} s after a turn that was only silent"


@fault("a connection that sends nothing, and two old clients, with a deadline of 1 s (auto)",
       "it costs them one deadline, and no more; its late answer counts once")
def silent_beside_a_ring(world):
    """A port scanner, or a person thinking. It is taken for an old client, and gets a turn; it lapses, and the others continue without it."""
    server = world.serve("--turn-deadline", "1s")
    world.play(server, "--framing", "raw", "--pace", "20ms", "--log-level", "warn")
    until(lambda: len(server.sent()) >= 10, "10 turns")
    begin = time.monotonic()
    scanner = Raw(server.addr)
    scanner.go()
    until(lambda: server.says("lapsed"), "lapse")
    lapsed, turns = time.monotonic(), len(server.sent())
    until(lambda: len(server.sent()) >= turns + 100, "100 more turns", 10)
    gaps = longest_gap(server, begin, lapsed), longest_gap(server, lapsed + 0.1)
    expect(0.9 < gaps[0] < 1.5 and gaps[1] < 0.5, f"the others waited for {gaps[0]:.2f} s, then {gaps[1]:.2f} s")
    expect(server.says("lapsed") == 1, f"{server.says('lapsed')} turns lapsed")
    scanner.send("scanner:1")
    until(lambda: server.numbers("scanner") == [1], "its late answer")
    scanner.go()
    return f"the others waited for {gaps[0]:.2f} s once, then for {gaps[1] * 1000:.0f} ms at most; its late answer counted"


@fault("the connection of a client is cut at a random moment of each of 60 turns: RST, FIN, before and after the answer (line)",
       "each number counts once, in order: last= tells the client whether it counted")
def cut_and_resumed(world):
    """Ann's network is bad. Whatever happens between her answer and its OK, she knows when she is back, and nothing is lost or counted
    twice."""
    server = world.serve("--framing", "line", "--clients", "1", *LONG)
    seed = time.time_ns()
    chance = random.Random(seed)
    ann, settled, number = Line(server.addr, "ann"), {"OK": 0, "last": 0, "again": 0}, 1
    while number <= 60:
        turn = ann.go()
        how = chance.choice(["heard", "after", "after", "before", "late"])
        if how != "before":
            ann.answer(number, turn)
        if how == "heard":
            ann.wait("OK")
            settled["OK"] += 1
            number += 1
            continue
        if how == "late":
            time.sleep(chance.uniform(0, 0.005))
        chance.choice([ann.reset, ann.close])()
        ann = ann.resume(server.addr)
        if field(ann.welcome, "last", "0") == str(turn):
            settled["last"] += 1
            number += 1
        else:
            settled["again"] += 1
    until(lambda: len(server.numbers("ann")) >= 60, "all numbers")
    expect(server.numbers("ann") == list(range(1, 61)), f"counted: {server.numbers('ann')} (seed {seed})")
    return f"60 numbers counted once: {settled['OK']} confirmed, {settled['last']} learnt from last=, {settled['again']} sent again"
