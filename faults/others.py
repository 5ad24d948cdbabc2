"""The same for the echo, rank and counter servers, where that makes sense."""

import os
import random
import threading
import time

from abuse import HOSTILE, MIB, fill
from harness import expect, fault, run_tool, unescaped, until
from holders import join_namespaces
from output import fill_up, read, tiny_disk
from peer import Line, Peer


class Probe:
    """An honest client that asks over and over, on a thread, and notes its longest wait."""

    def __init__(self, ask):
        self.ask, self.longest, self.count, self.problem, self.wanted = ask, 0, 0, None, True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.wanted and not self.problem:
            begin = time.monotonic()
            try:
                self.ask()
            except Exception as error:
                self.problem = error
            self.longest = max(self.longest, time.monotonic() - begin)
            self.count += 1
            time.sleep(0.002)

    def story(self):
        asked = self.count
        until(lambda: self.problem or self.count > asked, "answer to an honest client")
        self.wanted = False
        self.thread.join(6)
        expect(not self.problem, f"an honest client: {self.problem}")
        expect(self.longest < 0.5, f"the slowest honest request took {self.longest:.2f} s")
        return f"{self.count} honest requests meanwhile, the slowest took {self.longest * 1000:.0f} ms"


def throw(server, before=b"", after=b"\n"):
    """Sends every kind of hostile bytes, and 64 MiB, each on a connection of its own."""
    for data in HOSTILE.values():
        peer = Peer(server.addr)
        peer.send(before + data + after)
        peer.half_close()
        peer.rest(3)
        peer.close()
    memory = server.memory()
    big = Peer(server.addr)
    took = fill(big, before + b"x" * MIB, 64 * MIB)
    grown = server.memory() - memory
    expect(grown < 8, f"the server's memory grew by {grown:.0f} MiB")
    big.close()
    found = unescaped(server.said())
    expect(not found, f"printed unescaped: {found!r}")
    return f"output clean, {took / MIB:.0f} of 64 MiB taken, memory +{grown:.1f} MiB"


@fault(f"echo_server, without and with --keep-open: {len(HOSTILE)} kinds of bytes, and 64 MiB",
       "answered, refused or closed; nothing unescaped is logged; others are answered")
def echo_hostile(world):
    """Anything in UTF-8 may be echoed to its sender; in the log it is escaped."""
    stories = []
    for options in ((), ("--keep-open",)):
        server = world.serve(*options, program="echo_server")
        probe = Probe(lambda: ask_echo(server.addr))
        stories.append(throw(server) + ", " + probe.story())
    return "; ".join(stories)


def ask_echo(addr):
    peer = Peer(addr)
    peer.send_with_end("Grüße")
    heard = peer.rest(3).decode().rstrip("\n")
    expect(heard.startswith("Server received at ") and heard.endswith(": Grüße"), f"heard {heard!r}")
    peer.close()


@fault(f"rank_server in both framings: {len(HOSTILE)} kinds of bytes, and as a command, and 64 MiB",
       "refused or closed; nothing unescaped is printed or sent; commands continue")
def rank_hostile(world):
    """Any client may send commands to clients of lower rank, but nothing that could harm their terminals."""
    stories = []
    for framing in ("raw", "line"):
        server = world.serve("10", "--framing", framing, program="rank_server")
        ann, bob = Line(server.addr), Line(server.addr)
        until(lambda: server.says("Accepted client") == 2, "two clients")
        command = b"C 0 dance\n" if framing == "line" else b"C 0 dance"
        probe = Probe(lambda: dance(ann, bob, command))
        stories.append(f"{framing}: {throw(server)}")
        stories.append(probe.story())
        send_down(bob, Line(server.addr), command)
    return "; ".join(stories)


@fault("two network namespaces: a worker of rank_server reads nothing for 26 s, with 200 commands of 900 bytes; then again, and its link is set down",
       "it executes every accepted command, and the rest was refused as busy; then it is gone within 44 s")
def busy_worker(world):
    """Bob executes a long command and reads nothing meanwhile: his system answers each probe that it has no room. The second time
    his cable is pulled, and his system no longer answers."""
    near, far = join_namespaces(world)
    server = world.serve("10", "--framing", "line", program="rank_server", listen="198.18.77.1:0",
                         before=["ip", "netns", "exec", near])
    ann, bob = Line(server.addr, namespace=near), Line(server.addr, namespace=far)
    for client in (ann, bob):
        client.wait("Your")
    begin = time.monotonic()
    jobs = give_work(ann)
    time.sleep(26)
    expect(not server.says("[Disconnect]"), "a worker that is busy is taken for gone")
    for job in jobs:
        expect(bob.wait("C", 20) == f"C {job} {'x' * 900}", "another command than the one that was accepted")
        bob.say(f"D {job}")
        expect(ann.wait("O") == f"O {job}", "another command is done")
    give_work(ann)
    time.sleep(12)
    run_tool("ip", "-n", far, "link", "set", "cable", "down")
    down = time.monotonic()
    until(lambda: server.says("[Disconnect]"), "end of the connection of the worker", 44)
    return f"{len(jobs)} of 200 commands done after {down - begin - 12:.0f} s; gone after {time.monotonic() - down:.0f} s"


def give_work(boss):
    """Sends 200 commands. Returns the numbers of the accepted ones."""
    for _ in range(200):
        boss.say("C 0 " + "x" * 900)
    told = [boss.line() for _ in range(200)]
    expect({line for line in told if not line.startswith("A ")} <= {"X busy"}, f"{told[-1]}")
    jobs = [line.split(" ")[1] for line in told if line.startswith("A ")]
    expect(len(jobs) > 50, f"only {len(jobs)} are accepted")
    return jobs


def dance(ann, bob, command):
    """Checks that Ann's command reaches Bob, who reports it as done in the line framing."""
    ann.send(command)
    until_heard(bob, b" dance")
    if command.endswith(b"\n"):
        ann.wait("A", 3)
        identifier = bob.heard.partition(b" dance")[0].rpartition(b" ")[2]
        bob.send(b"D " + identifier + b"\n")
    bob.heard = b""


def send_down(mallory, victim, command):
    """Checks that everything passed on to a victim of lower rank is harmless, and that an honest command still arrives."""
    end = b"\n" if command.endswith(b"\n") else b""
    until_heard(victim, b"rank")
    # A client that has sent a command belongs to this protocol, and stays connected whatever it sends then.
    mallory.send(command)
    until_heard(victim, b" dance")
    victim.heard = b""
    for data in HOSTILE.values():
        mallory.send(b"C 1 " + data + end)
        time.sleep(0.02)  # Raw messages are told apart by time.
    mallory.send(command)
    until_heard(victim, b" dance")
    found = unescaped(victim.heard)
    expect(not found, f"passed on: {found!r}")


def until_heard(peer, what):
    deadline = time.monotonic() + 3
    while what not in peer.heard:
        expect(peer.receive(deadline), "the server closed")


@fault(f"counter_server: {len(HOSTILE)} kinds of bytes as an id and after an id, and 64 MiB",
       "refused or closed; nothing unescaped is printed or in its log file; others are answered")
def counter_hostile(world):
    """Ids and messages of every kind."""
    server = world.serve("--log-level", "info", program="counter_server", cwd=world.folder)
    ann = Counter(server, 1)
    probe = Probe(lambda: expect(ann.ask("odd") % 2 == 1, "not odd"))
    throw(server)
    story = throw(server, before=b"7 ", after=b" ")
    found = unescaped(read(os.path.join(world.folder, "server.log")))
    expect(not found, f"in the log file: {found!r}")
    return f"{story}; {probe.story()}"


class Counter(Peer):
    def __init__(self, server, identifier):
        super().__init__(server.addr)
        self.number = self.ask(str(identifier), end="")

    def ask(self, question, end=" "):
        self.send(question + end)
        expect(self.receive(time.monotonic() + 3), "the counter server closed")
        answer, self.heard = int(self.heard), b""
        return answer


@fault("kill -9 of counter_server --state at a random time under a client that counts, five lives",
       "starts again each time; at most the last second is forgotten; the client continues, no number twice in one life")
def counter_killed(world):
    """The state is replaced as a whole, so a crash at any moment leaves the old one or the new one."""
    seed = time.time_ns()
    chance, state = random.Random(seed), os.path.join(world.folder, "counters.txt")
    sent, forgotten = [], 0
    for life in range(6):
        server = world.serve("--state", state, program="counter_server", cwd=world.folder)
        peer = Counter(server, 17)
        if sent:
            at_kill = sent[-1][0]
            safe = max((number for at, number in sent if at < at_kill - 1), default=0)
            expect(safe <= peer.number <= sent[-1][1], f"life {life + 1} knows {peer.number}, not {safe} or more (seed {seed})")
            forgotten = max(forgotten, sent[-1][1] - peer.number)
        numbers, end = [], time.monotonic() + chance.uniform(1.2, 2.2)
        number = peer.number
        while time.monotonic() < end:
            number += 1
            peer.send(f"{number} ")
            sent.append((time.monotonic(), number))
            numbers.append(number)
            time.sleep(0.005)
        until(lambda: server.says(f"client 17 sent {number}"), "last number")
        server.kill()
        told = [int(line.rpartition(b" ")[2]) for _, line in server.out if b"client 17 sent " in line]
        expect(told == numbers, f"life {life + 1} took {told[-3:]} of {numbers[-3:]} (seed {seed})")
        sent = sent[-len(numbers):]
    return f"all lives took every number once; at most {forgotten} numbers of 5 ms each were forgotten"


@fault("counter_server whose log file and state are on a tmpfs of 64 KiB, which fills up and is freed again",
       "reports it once, continues serving; state and log continue when there is room")
def counter_disk_full(world):
    """The disk is full for a while. Clients do not notice, and nothing that was saved before is lost."""
    disk = tiny_disk(world, 64)
    log, state = os.path.join(disk, "server.log"), os.path.join(disk, "counters.txt")
    server = world.serve("--log-file", log, "--state", state, program="counter_server")
    peer = Counter(server, 17)
    peer.send("5 ")
    until(lambda: b"17 5 " in read(state), "first number in the state", 3)
    fill_up(disk)
    for number in range(6, 206):
        peer.send(f"{number} ")
    peer.ask("odd")
    until(lambda: server.says("cannot be written") >= 2, "word of it for the log and the state", 4)
    expect(peer.ask("even") % 2 == 0, "not even")
    expect(read(state).startswith(b"17 5 "), f"the state is {read(state)!r}")
    os.remove(os.path.join(disk, "filler"))
    peer.send("206 ")
    until(lambda: read(state).startswith(b"17 206 "), "last number in the state", 4)
    warnings = [line for _, line in server.err]
    return f"{len(warnings)} lines on standard error; 206 saved once there was room"


@fault("standard output and error of echo_server, rank_server and counter_server are closed by their readers",
       "they continue serving; SIGTERM ends them with 0")
def others_output_closed(world):
    """Like output-closed, for the other servers."""
    asked = {
        "echo_server": lambda server: ask_echo(server.addr),
        "rank_server": lambda server: expect(Peer(server.addr).receive(time.monotonic() + 3), "no rank"),
        "counter_server": lambda server: Counter(server, 1).ask("odd"),
    }
    codes = {}
    for program, ask in asked.items():
        server = world.serve(program=program, cwd=world.folder)
        server.fate.update(out="close", err="close")
        for _ in range(30):
            ask(server)
        codes[program] = server.terminate()
    expect(set(codes.values()) == {0}, f"exit codes: {codes}")
    return "30 requests each; ended with 0"
