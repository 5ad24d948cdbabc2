"""Clients that reconnect to whatever server answers, and the judge of all that they have read."""

import contextlib
import threading
import time

from harness import Failed, expect, until
from peer import Line, field

EACH = 2  # The clients of a ring.
PING_EVERY, SILENCE = 0.5, 1.5


class Moved(Exception):
    """The connection is of no use any more."""


class History:
    """What was confirmed to all clients, and when. The clients' words are the only evidence."""

    def __init__(self, addresses, rings, pace, namespace):
        self.addresses, self.pace, self.namespace = addresses, pace, namespace
        self.lock = threading.Lock()
        self.holders, self.answers, self.epochs = {}, {}, set()
        self.confirmed = []  # (time, address)
        self.resumed = 0
        self.broken = None
        self.is_over = False
        self.clients = [Client(self, f"client{nth}", f"r{nth // EACH}", nth) for nth in range(EACH * rings)]
        for client in self.clients:
            client.start()
        until(lambda: all(client.secret for client in self.clients), "WELCOME of each client", 20)

    def end(self):
        self.is_over = True
        for client in self.clients:
            client.join()

    def check(self):
        expect(not self.broken, f"a promise is broken: {self.broken}")

    def note(self, told, ring, turn, client):
        with self.lock:
            before = told.setdefault((ring, turn), client)
        expect(before == client, f"{before} and {client} both have turn {turn} of {ring}")

    def counts(self, client, turn, address):
        self.note(self.answers, client.ring, turn, client.player)
        with self.lock:
            self.confirmed.append((time.monotonic(), address))

    def since(self, begin, elsewhere=None):
        """Returns the times of what was confirmed since then, at another server than `elsewhere`."""
        with self.lock:
            return [at for at, address in self.confirmed if at > begin and address != elsewhere]

    def silence(self, begin, elsewhere=None, seconds=40.0):
        """Waits for an answer that is confirmed, and returns how long it took. Each ring has to go on as well."""
        until(lambda: self.broken or self.since(begin, elsewhere), "answer that is confirmed", seconds)
        self.check()
        took = self.since(begin, elsewhere)[0] - begin
        self.all_go_on()
        return took

    def gap(self, begin, seconds):
        """Returns the longest time without an answer that is confirmed, in the next seconds."""
        time.sleep(max(begin + seconds - time.monotonic(), 0))
        self.check()
        times = [begin, *self.since(begin), time.monotonic()]
        return max(later - earlier for earlier, later in zip(times, times[1:]))

    def all_go_on(self):
        """Waits until each ring has counted a turn more."""
        with self.lock:
            before = set(self.answers)
        rings = {client.ring for client in self.clients}
        until(lambda: self.broken or rings == {ring for ring, _ in set(self.answers) - before}, "turn in each ring", 40)
        self.check()

    def words(self):
        return f"{len(self.confirmed)} answers confirmed, {self.resumed} seats resumed, 0 lost, 0 doubled"


class Client(threading.Thread):
    def __init__(self, history, player, ring, nth):
        super().__init__(daemon=True)
        self.history, self.player, self.ring, self.nth = history, player, ring, nth
        self.secret = self.epoch = None
        self.last = None  # The last turn whose answer was confirmed.
        self.in_flight = None  # The turn whose answer has an unknown fate.

    def run(self):
        while not self.history.is_over and not self.history.broken:
            address = self.history.addresses[self.nth % len(self.history.addresses)]
            self.nth += 1
            try:
                self.live(address)
            except (OSError, Moved):
                time.sleep(0.02)
            except Failed as failure:
                self.history.broken = f"{self.player}: {failure}"

    def live(self, address):
        with contextlib.closing(Line(address, namespace=self.history.namespace, patience=1.0)) as peer:
            peer.say(f"JOIN {self.player} ring={self.ring}" + (f" resume={self.secret}" if self.secret else ""))
            heard = pinged = time.monotonic()
            is_welcome = False
            while not self.history.is_over:
                line = peer.line_within(PING_EVERY, Moved)
                now = time.monotonic()
                if line:
                    heard = now
                    self.hear(peer, line, address)
                    is_welcome |= line.startswith("WELCOME ")
                elif now - heard > SILENCE:
                    raise Moved
                # A line behind the JOIN shows the server that the new secret has arrived.
                if is_welcome and now - pinged > PING_EVERY:
                    pinged = now
                    peer.say("PING")

    def hear(self, peer, line, address):
        word = line.split(" ")[0]
        if word == "WELCOME":
            self.welcome(line, address)
        elif word == "GO":
            turn = int(field(line, "turn"))
            expect(self.last is None or turn > self.last, f"{line!r}, and turn {self.last} was confirmed")
            self.history.note(self.history.holders, self.ring, turn, self.player)
            time.sleep(self.history.pace)
            self.in_flight = turn
            peer.say(f"ANSWER turn={turn} epoch={self.epoch} :{self.player}")
        elif word == "OK":
            turn = int(field(line, "turn"))
            expect(turn == self.in_flight, f"{line!r}, and turn {self.in_flight} was answered")
            self.counted(turn, address)
        elif word in ("LAPSED", "NO"):
            self.in_flight = None
        elif word == "BYE":
            raise Moved
        else:
            expect(word in ("WAIT", "PONG"), line)

    def welcome(self, line, address):
        with self.history.lock:
            self.history.epochs.add(field(line, "epoch"))
            self.history.resumed += bool(self.secret)
        expect(len(self.history.epochs) == 1, f"another epoch: {line!r}")
        self.epoch, self.secret = field(line, "epoch"), field(line, "resume")
        last = int(field(line, "last", "0")) or None
        if last is not None and last == self.in_flight:
            self.counted(last, address)
        expect(last == self.last, f"{line!r}, and turn {self.last} was confirmed, {self.in_flight} unknown")
        self.in_flight = None

    def counted(self, turn, address):
        self.last, self.in_flight = turn, None
        self.history.counts(self, turn, address)
