"""The server dies, and comes back on the same port."""

import random
import resource
import time

from harness import expect, fault, until


@fault("kill -9 of the server under 1,000 clients of one turn_client; started again 1.5 s later",
       "all are back within 5 s")
def stampede(world):
    """Everybody loses the server in the same instant, and wants it back."""
    clients = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
    server = world.serve()
    world.play(server, "--clients", str(clients), "--pace", "100ms", "--log-level", "error")
    until(lambda: server.says("connected.") == clients and server.sent(), f"{clients} clients", 15)
    server.kill()
    time.sleep(1.5)  # The outage.
    again = world.serve(listen="%s:%d" % server.addr)
    begin = time.monotonic()
    until(lambda: again.says(" connected.") == clients, f"{clients} clients again", 5)
    took = time.monotonic() - begin
    until(again.sent, "turn")
    expect(not again.says("disconnected."), f"{again.says('disconnected.')} were lost again")
    return f"{clients} clients back after {took:.2f} s, {again.memory():.0f} MiB"


@fault("kill -9 of the server at a random time under 5 clients, six lives (line)",
       "clients come back; in each life every client's numbers follow one another; none is reported twice by its client")
def server_killed(world):
    """The server dies again and again, in the middle of anything. Every number that it prints in one life is the one behind
    the last; a client knows which of its numbers were accepted and goes on from there."""
    server = world.serve("--framing", "line", "--clients", "5")
    listen = "%s:%d" % server.addr
    names = [f"Client{index}" for index in range(1, 6)]
    players = world.play(server, "--framing", "line", "--clients", "5", "--pace", "1ms", "--log-level", "error")
    seed = time.time_ns()
    chance, turns, repeated = random.Random(seed), 0, 0
    last = {}
    for life in range(6):
        until(lambda: all(len(server.numbers(name)) > 3 for name in names), f"turns of all clients in life {life + 1}", 12)
        time.sleep(chance.uniform(0, 0.5))
        server.kill()
        until_read(server)
        for name in names:
            numbers = server.numbers(name)
            expect(numbers == list(range(numbers[0], numbers[-1] + 1, 5)), f"life {life + 1}, {name}: {numbers} (seed {seed})")
            before = last.get(name)
            expect(before is None or numbers[0] >= before, f"{name} went back from {before} to {numbers[0]} (seed {seed})")
            repeated += numbers[0] == before
            last[name] = numbers[-1]
        expect_round_robin(server)
        turns += len(server.sent())
        if life < 5:
            server = world.serve("--framing", "line", "--clients", "5", listen=listen)
    for index, name in enumerate(names):
        numbers = players.numbers(name)
        expect(numbers == list(range(index + 1, numbers[-1] + 1, 5)), f"{name} reports {numbers} (seed {seed})")
    return f"{turns:,} numbers in six lives, in order; {repeated} sent again in the next life, since their OK was lost"


def until_read(server):
    """What it printed before it was killed has been read."""
    count = -1
    while count != len(server.out):
        count = len(server.out)
        time.sleep(0.05)


def expect_round_robin(server):
    """After everybody is there, the order is the same in each lap."""
    told = [name for _, name, _ in server.sent()]
    laps = [tuple(told[at:at + 5]) for at in range(0, len(told) - 4, 5)]
    expect(len(set(laps[1:])) == 1 and len(set(laps[-1])) == 5, f"laps: {set(laps)}")
