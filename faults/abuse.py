"""Clients that mean harm, or behave as if they did, while two others take turns."""

import threading
import time

from harness import expect, fault, longest_gap, unescaped, until
from holders import join_namespaces
from peer import Line, Peer, Raw, field

MIB = 1024 * 1024

HOSTILE = {
    "NUL": b"\0\0\0", "NUL in a name": b"an\0n:1",
    "ANSI": b"\x1b[2J\x1b[31mann\x1b]0;title\x07:1", "C1 and bidi": "ann\u009b2J\u202e:1".encode(),
    "CRLF in the middle": b"ann\r\r\n\n\r:\r\n1\r\n\r\n", "a bare CR": b"an\rn:1\r",
    "overlong UTF-8": b"\xc0\xafann:1", "half a character": b"ann\xe2\x82:1", "a surrogate": b"\xed\xa0\x80:1",
    "above i64": b"ann:9223372036854775808", "below i64": b"ann:-9223372036854775809",
    "200 digits": b"ann:" + b"9" * 200, "another alphabet's digits": "ann:\u0661\u0662".encode(),
    "colons": b"ann::1:2:", "no number": b"ann:", "a long name": b"n" * 70 + b":1", "too long": b"x" * 5000,
    "turn above u64": b"ann:1 turn=99999999999999999999",
    "weight 0": b"JOIN ann weight=0", "a bad secret": b"JOIN ann resume=zz",
    "blanks": b" " * 900 + b"x", "a format string": b"{}%s%n${x}", "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
}


def bystanders(world, server, framing, pace="20", *options):
    """Two clients that take turns for the whole row; once they do."""
    world.play(server, "--framing", framing, "--pace-ms", pace, "--log-level", "warn", *options)
    until(lambda: len(server.sent()) >= 10, "10 turns")


def undisturbed(server, begin, bound=0.5):
    gap = longest_gap(server, begin)
    expect(gap < bound, f"the others had no turn for {gap:.2f} s")
    return f"the others' longest wait was {gap * 1000:.0f} ms"


def bounded(server, most=32):
    """The most memory that the server has had, in MiB."""
    peak = server.memory()
    expect(peak < most, f"the server's memory grew to {peak:.0f} MiB")
    return peak


@fault("two connections with SO_RCVBUF 4096 that never read: one sends PING, one WATCHes turns at full speed (line)",
       "closed at the cap or the stall time-out; the others' turns go on")
def slow_reader(world):
    """Somebody asks and asks and never listens. What the system buffers fills up, then the server's own 64 KiB, and then
    the connection is closed."""
    server = world.serve("--framing", "line")
    bystanders(world, server, "line")
    begin = time.monotonic()
    pinger = Line(server.addr, receive_buffer=4096)
    pings = fill(pinger, b"PING\n" * 2000)
    until(lambda: server.says(f"{pinger.name} disconnected."), "end of the pinger", 15)
    expect(pings < 32 * MIB, f"closed only after {pings / MIB:.0f} MiB of PING")
    bounded(server)
    story = undisturbed(server, begin)
    server = world.serve("--framing", "line")
    watcher = Line(server.addr, receive_buffer=4096)
    watcher.say("WATCH")
    # Long names, so that there is much to tell an observer of.
    bystanders(world, server, "line", "0", "--name", "n" * 60)
    begin = time.monotonic()
    until(lambda: server.says(f"{watcher.name} disconnected."), "end of the watcher", 30)
    took = time.monotonic() - begin
    bounded(server)
    gap = longest_gap(server, begin)
    expect(gap < 0.5, f"the watched had no turn for {gap:.2f} s")
    watched = len(server.sent())
    return f"closed after {pings / MIB:.1f} MiB of PING, and after {took:.1f} s ({watched} turns) of watching; {story}"


def fill(peer, data, most=256 * MIB):
    """Sends until the server closes; how many bytes it or the system took."""
    peer.socket.settimeout(20)
    sent = 0
    while sent < most:
        try:
            sent += peer.socket.send(data)
        except (ConnectionError, TimeoutError):
            break
    return sent


@fault("one connection sends PING, another garbage, both without pause for 3 s, and read the replies (line)",
       "bounded work and log; the others' turns go on")
def chatty(world):
    """Two programs have gone mad. Each gets its budget in each pass of the loop, and the log is thinned out."""
    server = world.serve("--framing", "line")
    bystanders(world, server, "line")
    begin = time.monotonic()
    heard = [0, 0]
    mad = [threading.Thread(target=chatter, args=(server.addr, data, begin + 3, heard, index))
           for index, data in enumerate((b"PING\n" * 100, b"\x1b[2Jgarbage\n" * 100))]
    [thread.start() for thread in mad]
    [thread.join() for thread in mad]
    story = undisturbed(server, begin, 1)
    refusals, peak = server.says("refused"), bounded(server)
    expect(min(heard) > 10_000, f"only {heard} bytes came back")
    expect(refusals < 60, f"{refusals} lines in the log")
    return f"{heard[0] // 5:,} PONG, {heard[1] / MIB:.1f} MiB of NO, {refusals} lines in the log, {peak:.0f} MiB; {story}"


def chatter(addr, data, end, heard, index):
    peer = Peer(addr)
    while time.monotonic() < end:
        peer.send(data)
        heard[index] += len(peer.socket.recv(65536))
    peer.close()


@fault("500 silent connections, 20 that send a byte a second before JOIN, 20 after (line)",
       "hello and line time-outs close all (10 s, 5 s, and 2 s of lingering); the others' turns go on")
def slowloris(world):
    """Somebody wants to use up the server by doing nothing, slowly."""
    server = world.serve("--framing", "line")
    bystanders(world, server, "line", pace="50")
    begin = time.monotonic()
    silent = [Peer(server.addr) for _ in range(500)]
    strangers = [Line(server.addr) for _ in range(20)]
    seated = [Line(server.addr, f"slow{index}", ring="slow") for index in range(20)]
    dripping = strangers + seated
    while dripping and time.monotonic() - begin < 14:
        dripping = [peer for peer in dripping if drip(peer)]
        time.sleep(1)
    expect(not dripping, f"{len(dripping)} that drip are still served after 14 s")
    words = [peer.rest(8).split()[-20:] for peer in silent]
    expect(all(b"hello-timeout" in word for word in words), "not all silent ones heard BYE hello-timeout")
    until(lambda: server.says(" disconnected.") == 540, "end of all 540", 3)
    peak = bounded(server)
    return f"all 540 closed after {time.monotonic() - begin:.0f} s, {peak:.0f} MiB; {undisturbed(server, begin)}"


def drip(peer):
    """Sends a byte that ends no line; whether the server still listens."""
    try:
        peer.send(b"J")
        peer.socket.settimeout(0.001)
        return b"BYE" not in peer.socket.recv(65536)
    except TimeoutError:
        return True
    except OSError:
        return False


@fault(f"{len(HOSTILE)} kinds of bytes, before JOIN and by the holder of a turn (line)",
       "refused or closed; nothing unescaped is printed; the others' turns go on")
def hostile_lines(world):
    """Every kind of bytes that ever broke a server, by strangers and by somebody whose turn it is."""
    server = world.serve("--framing", "line", "--clients", "1")
    bystanders(world, server, "line")
    begin = time.monotonic()
    for index, (kind, data) in enumerate(HOSTILE.items()):
        for name in (None, f"mallory{index}"):
            peer = Line(server.addr, name, ring=f"r{index}")
            if name:
                peer.go()
            peer.send(data + b"\n")
            peer.half_close()
            heard = peer.rest(3).decode()
            words = {line.split(" ")[0] for line in heard.splitlines()}
            expect(words and words <= {"NO", "BYE"}, f"{kind}: heard {heard!r}")
    return in_order(server, begin)


def in_order(server, begin):
    """The others are undisturbed, nobody else counted, and what was printed is clean."""
    story = undisturbed(server, begin)
    strangers = {name for _, name, _ in server.sent()} - {"Client1", "Client2"}
    expect(not strangers, f"numbers of {strangers} counted")
    found = unescaped(server.said())
    expect(not found, f"printed unescaped: {found!r}")
    return f"{2 * len(HOSTILE)} times refused, output clean; {story}"


@fault(f"{len(HOSTILE)} kinds of bytes, by somebody who waits and by the holder of a turn (raw)",
       "refused or closed; nothing unescaped is printed; the others' turns go on")
def hostile_raw(world):
    """The same without any framing: what waits is told nothing, and a holder hears GO again, until its third strike."""
    server = world.serve()
    bystanders(world, server, "raw")
    begin = time.monotonic()
    for kind, data in HOSTILE.items():
        waiting = Raw(server.addr)
        waiting.send(data)
        waiting.half_close()
        waiting.rest(3)
        holder = Raw(server.addr)
        holder.go()
        holder.send(data)
        holder.go(3)
        expect(not server.numbers("ann"), f"{kind}: it counted")
        holder.close()
    striker = Raw(server.addr)
    for _ in range(3):
        striker.go()
        striker.send(b"\x1b[2J")
    expect(b"GO" not in striker.rest(3), "the turn goes on after three strikes")
    return in_order(server, begin)


@fault("a line of 64 MiB (line), and a message of 64 MiB (raw)",
       "line: closed, raw: refused; memory bounded; the others' turns go on")
def huge_message(world):
    """A message that never ends."""
    stories = []
    for framing in ("line", "raw"):
        server = world.serve("--framing", framing)
        bystanders(world, server, framing)
        begin, before = time.monotonic(), server.memory()
        peer = Raw(server.addr)
        if framing == "raw":
            peer.go()
        took = fill(peer, b"x" * MIB, 64 * MIB)
        grown = server.memory() - before
        expect(grown < 8, f"{framing}: the server's memory grew by {grown:.0f} MiB")
        until(lambda: server.says(f"{peer.name} disconnected." if framing == "line" else "refused"), "end of it")
        story = undisturbed(server, begin)
        stories.append(f"{framing}: took {took / MIB:.0f} MiB, memory +{grown:.1f} MiB, {story}")
    return "; ".join(stories)


@fault("an answer cut in two at every byte, and sent byte by byte (line)", "counts once each time")
def answers_split(world):
    """The network may deliver an answer in any pieces."""
    server = world.serve("--framing", "line", "--clients", "1")
    ann = Line(server.addr, "ann")
    for at in range(len("ann:17 turn=1\n")):
        turn = ann.go()
        answer = f"ann:{at} turn={turn}\n"
        pieces = list(answer) if at == 0 else [answer[:at], answer[at:]]
        for piece in pieces:
            ann.send(piece)
            time.sleep(0.002)
        expect(field(ann.wait("OK"), "turn") == str(turn), "another OK")
    expected = list(range(len("ann:17 turn=1\n")))
    until(lambda: len(server.sent()) >= len(expected), "all numbers")
    expect(server.numbers("ann") == expected, f"counted: {server.numbers('ann')}")
    return f"{len(expected)} answers in pieces counted once each"


@fault("a server with --max-per-address 3; 200 connections from another network namespace (line)",
       "three are served, the others closed without a word; one that goes makes room; another address has its own three")
def one_address(world):
    """One machine wants all places. It has its share; the log is not filled with the rest; who listens beyond loopback is
    warned once."""
    near, far = join_namespaces(world)
    server = world.serve("--framing", "line", "--max-per-address", "3", listen="198.18.77.1:0",
                         before=["ip", "netns", "exec", near])
    served = [Line(server.addr, f"ann{index}", namespace=far) for index in range(3)]
    heard = [Line(server.addr, namespace=far).rest(2) for _ in range(197)]
    expect(heard == [b""] * 197, f"heard: {set(heard)}")
    lines = server.says("its address has as many connections")
    expect(1 <= lines <= 12, f"{lines} lines in the log")
    bob = Line(server.addr, "bob", namespace=near)
    served.pop().close()
    until(lambda: server.says(" disconnected.") == 1, "end of a connection")
    cy = Line(server.addr, "cy", namespace=far)
    expect(not Line(server.addr, namespace=far).rest(2), "a fourth one is served")
    for peer in (bob, cy):
        peer.say("PING")
        peer.wait("PONG")
    warnings = server.says("nothing is authenticated")
    expect(warnings == 1, f"{warnings} warnings")
    return f"3 served, 197 closed, {lines} lines in the log; one more when there was room"
