"""Clients that do harm, on purpose or not, while two others take turns."""

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
    "turn above u64": b"ANSWER turn=99999999999999999999 :1", "a bad epoch": b"ANSWER epoch=ann :1",
    "an escape in an answer": b"ANSWER :\x1b[2J", "bytes= twice": b"ANSWER bytes=1 bytes=2", "bytes= and text": b"ANSWER bytes=1 :x",
    "a payload without end": b"ANSWER bytes=3\nannPASS", "a payload of 1 TiB": b"ANSWER bytes=1099511627776",
    "weight 0": b"JOIN ann weight=0", "a bad secret": b"JOIN ann resume=zz",
    "blanks": b" " * 900 + b"x", "a format string": b"{}%s%n${x}", "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01", "an SSH banner": b"SSH-2.0-OpenSSH_9.6",
}


def bystanders(world, server, framing, pace="20", *options):
    """Starts two clients that take turns for the whole row, and waits until they do."""
    world.play(server, "--framing", framing, "--pace", f"{pace}ms", "--log-level", "warn", *options)
    until(lambda: len(server.sent()) >= 10, "10 turns")


def undisturbed(server, begin, bound=0.5):
    gap = longest_gap(server, begin)
    expect(gap < bound, f"the others had no turn for {gap:.2f} s")
    return f"the others' longest wait was {gap * 1000:.0f} ms"


def bounded(server, most=32):
    """Checks and returns the peak memory of the server, in MiB."""
    peak = server.memory()
    expect(peak < most, f"the server's memory grew to {peak:.0f} MiB")
    return peak


@fault("two connections with SO_RCVBUF 4096 that never read: one sends PING, one WATCHes turns at full speed (line)",
       "the first is not read until it reads; the second is closed at the limit; the others' turns continue")
def slow_reader(world):
    """A client sends requests and reads no answers. The system's buffers fill up, then the server's own 64 KiB, and then
    nothing more is read from it. It may be busy: it stays connected, and gets all answers when it reads."""
    server = world.serve("--framing", "line")
    bystanders(world, server, "line")
    begin = time.monotonic()
    pinger = Line(server.addr, receive_buffer=4096)
    pings = fill(pinger, b"PING\n" * 2000)
    expect(pings < 32 * MIB, f"{pings / MIB:.0f} MiB of PING were taken")
    bounded(server)
    expect(not server.says(f"{pinger.name} disconnected."), "the pinger is closed")
    story = undisturbed(server, begin)
    server = world.serve("--framing", "line")
    watcher = Line(server.addr, receive_buffer=4096)
    watcher.say("WATCH")
    # Long names, so that an observer is sent a lot.
    bystanders(world, server, "line", "0", "--name", "n" * 60)
    begin = time.monotonic()
    until(lambda: server.says(f"{watcher.name} disconnected."), "end of the watcher", 30)
    took = time.monotonic() - begin
    bounded(server)
    gap = longest_gap(server, begin)
    expect(gap < 0.5, f"the watched had no turn for {gap:.2f} s")
    watched = len(server.sent())
    return f"not read after {pings / MIB:.1f} MiB of PING, closed after {took:.1f} s ({watched} turns) of watching; {story}"


def fill(peer, data, most=256 * MIB):
    """Sends until the server closes, or takes nothing for 12 s. Returns how many bytes it or the system took."""
    peer.socket.settimeout(12)
    sent = 0
    while sent < most:
        try:
            sent += peer.socket.send(data)
        except (ConnectionError, TimeoutError):
            break
    return sent


@fault("one connection sends PING, another garbage, both without pause for 3 s, and read the replies (line)",
       "bounded work and log; the others' turns continue")
def chatty(world):
    """Two programs have run wild. Each gets its budget in each pass of the loop, and the log has 100 lines a second."""
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
    expect(refusals <= 600, f"{refusals} lines in the log")
    return f"{heard[0] // 5:,} PONG, {heard[1] / MIB:.1f} MiB of NO, {refusals} lines in the log, {peak:.0f} MiB; {story}"


def chatter(addr, data, end, heard, index):
    peer = Line(addr, f"mad{index}", ring="mad")
    while time.monotonic() < end:
        peer.send(data)
        heard[index] += len(peer.socket.recv(65536))
    peer.close()


@fault("500 silent connections, 20 that send a byte a second before JOIN, 20 after (line)",
       "hello and line time-outs close all (10 s, 5 s, and 2 s of lingering); the others' turns continue")
def slowloris(world):
    """An attacker wants to exhaust the server by doing nothing, slowly."""
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
    """Sends a byte that ends no line. Returns whether the server still reads."""
    try:
        peer.send(b"J")
        peer.socket.settimeout(0.001)
        return b"BYE" not in peer.socket.recv(65536)
    except TimeoutError:
        return True
    except OSError:
        return False


@fault(f"{len(HOSTILE)} kinds of bytes, before JOIN and by the holder of a turn (line)",
       "refused or closed; nothing unescaped is printed; the others' turns continue")
def hostile_lines(world):
    """Every kind of bytes that ever broke a server, from strangers and from the holder of a turn."""
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


def in_order(server, begin, known=()):
    """Checks that the others are undisturbed, no other number counted, and the output is clean."""
    story = undisturbed(server, begin)
    strangers = {name for _, name, _ in server.sent()} - {"Client1", "Client2", *known}
    expect(not strangers, f"numbers of {strangers} counted")
    found = unescaped(server.said())
    expect(not found, f"printed unescaped: {found!r}")
    return f"{2 * len(HOSTILE)} times refused, output clean; {story}"


@fault(f"{len(HOSTILE)} kinds of bytes, by a client that waits and by the holder of a turn (raw)",
       "refused or closed; nothing unescaped is printed; the others' turns continue")
def hostile_raw(world):
    """The same without any framing: a client that waits is sent nothing, and a holder that has answered before gets GO again, until
    its third strike."""
    server = world.serve("--framing", "raw")
    bystanders(world, server, "raw")
    begin = time.monotonic()
    for kind, data in HOSTILE.items():
        waiting = Raw(server.addr)
        waiting.send(data)
        waiting.half_close()
        waiting.rest(3)
        holder = Raw(server.addr)
        holder.go()
        holder.send("mallory:1")
        holder.go()
        holder.send(data)
        holder.go(3)
        expect(not server.numbers("ann"), f"{kind}: it counted")
        holder.close()
    striker = Raw(server.addr)
    for _ in range(3):
        striker.go()
        striker.send(b"mallory")
    expect(b"GO" not in striker.rest(3), "the turn goes on after three strikes")
    return in_order(server, begin, {"mallory"})


@fault("a line of 64 MiB (line), and a message of 64 MiB (raw)",
       "closed; memory bounded; the others' turns continue")
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
        until(lambda: server.says(f"{peer.name} disconnected."), "end of it")
        story = undisturbed(server, begin)
        stories.append(f"{framing}: took {took / MIB:.0f} MiB, memory +{grown:.1f} MiB, {story}")
    return "; ".join(stories)


@fault("an answer cut in two at every byte, and sent byte by byte (line)", "counts once each time")
def answers_split(world):
    """The network may deliver an answer in any pieces."""
    server = world.serve("--framing", "line", "--clients", "1")
    ann = Line(server.addr, "ann")
    length = len("ANSWER turn=1 :17\n")
    for at in range(length):
        turn = ann.go()
        answer = f"ANSWER turn={turn} :{at}\n"
        pieces = list(answer) if at == 0 else [answer[:at], answer[at:]]
        for piece in pieces:
            ann.send(piece)
            time.sleep(0.002)
        expect(field(ann.wait("OK"), "turn") == str(turn), "another OK")
    expected = list(range(length))
    until(lambda: len(server.sent()) >= len(expected), "all numbers")
    expect(server.numbers("ann") == expected, f"counted: {server.numbers('ann')}")
    return f"{len(expected)} answers in pieces counted once each"


@fault("a server with --max-per-address 3; 200 connections from another network namespace (line)",
       "three seats; BYE full for more, and no message beyond 22 connections; a seat that is away counts; another address has its own three")
def one_address(world):
    """One machine wants all places. It gets its share, even if it comes and goes; the rest does not fill the log; a server that listens
    beyond loopback warns once."""
    near, far = join_namespaces(world)
    server = world.serve("--framing", "line", "--max-per-address", "3", listen="198.18.77.1:0",
                         before=["ip", "netns", "exec", near])
    served = [Line(server.addr, f"ann{index}", namespace=far) for index in range(3)]
    asked = [Line(server.addr, namespace=far) for _ in range(197)]
    heard = [last_join(peer) for peer in asked]
    full, silent = sum(words.startswith(b"BYE full ") for words in heard), heard.count(b"")
    expect(full == 19 and full + silent == 197, f"heard: {set(heard)}, {full} of BYE full")
    lines = server.says("its address has max_connections_per_address already")
    expect(1 <= lines <= 200, f"{lines} lines in the log")
    bob = Line(server.addr, "bob", namespace=near)
    lost = served.pop()
    lost.close()
    until(lambda: server.says(f"{lost.name} disconnected."), "end of a connection")
    heard = last_join(Line(server.addr, namespace=far))
    expect(heard.startswith(b"BYE full "), f"a seat that is away does not count: {heard!r}")
    served[0].say("LEAVE")
    served[0].rest()
    cy = Line(server.addr, "cy", namespace=far)
    for peer in (bob, cy):
        peer.say("PING")
        peer.wait("PONG")
    warnings = server.says("nothing is authenticated")
    expect(warnings == 1, f"{warnings} warnings")
    return f"3 seated, {full} heard BYE full, {silent} no word, {lines} lines in the log; one more when a seat was given up"


def last_join(peer):
    """Returns everything that a newcomer is sent until it is closed."""
    try:
        peer.say("JOIN eve")
        return peer.rest(3)
    except ConnectionError:
        return b""


PAGE = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n"
# The request with which a page would abuse each server, and the output of a server that obeys.
BODIES = {
    ("turn_server", "--framing", "line", "--clients", "1"): (b"JOIN mallory\nANSWER :666\n", "sent: 666"),
    ("turn_server", "--framing", "raw", "--clients", "1"): (b"mallory:666", "sent: 666"),
    ("turn_server", "--clients", "1"): (b"JOIN mallory\nANSWER :666\n", "sent: 666"),
    ("rank_server", "--framing", "line"): (b"C 0 dance\nC 0 dance\n", "Command executed"),
    ("rank_server",): (b"C 0 dance", "Command executed"),
    ("counter_server", "--log-file", "/dev/null"): (b"17 666 ", "sent 666"),
}


@fault("fetch() of a web page: an HTTP POST whose body is in the protocol, in one segment and in two, at turn_server (line, raw, auto), "
       "rank_server (line, raw) and counter_server", "closed before anything of the body counts")
def web_page(world):
    """A page shown on the server's machine can send any text to a port of the loopback interface."""
    for (program, *options), (body, played) in BODIES.items():
        server = world.serve(*options, program=program, cwd=world.folder)
        below = Peer(server.addr) if program == "rank_server" else None
        for pause in (0, 0.2):
            browser = Peer(server.addr)
            browser.send(PAGE if pause else PAGE + body)
            if pause:
                time.sleep(pause)
                post_on(browser, body)
            heard = browser.rest(3)
            expect(heard in (b"", b"GO", b"WAIT", b"Your rank is 1", b"Your rank is 1\n") or b"BYE not-here " in heard,
                   f"{program} {options}: heard {heard!r}")
        expect(not server.says(played), f"{program} {options}: the body was played: {server.said()!r}")
        if below:
            below.close()
    return f"{2 * len(BODIES)} requests closed, nothing of them counted"


def post_on(browser, body):
    """The server may have closed by now."""
    try:
        browser.send(body)
    except ConnectionError:
        return
