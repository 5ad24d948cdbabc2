"""What a check has: a server with the page open, clients, and what the page says. Waits have deadlines."""

import re

from harness import Failed, World, expect, until
from peer import Line

STATUS = re.compile(rb"status on http://127\.0\.0\.1:(\d+)/")
# Chromium itself says that a server is gone; that is no fault of the page.
NOT_OURS = re.compile(r"net::ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RESET|EMPTY_RESPONSE)")

# In the page, so that a slow browser or driver delays what is counted and the clock alike.
WATCH_THE_ARC = """
    window.watch = { moves: 0, messages: 0, since: performance.now() };
    new MutationObserver(() => watch.moves++).observe(document.getElementById("time"), { attributes: true });
    source.addEventListener("state", () => watch.messages++);"""


class Stage:
    def __init__(self, page, binaries):
        self.page = page
        self.world = World(binaries)
        self.port = 0
        self.players = {}

    def __enter__(self):
        self.page.show_as(1440, 900)
        return self

    def __exit__(self, *_):
        self.page.open("about:blank")
        self.page.log()
        for player in self.players.values():
            player.close()
        self.world.__exit__()

    def serve(self, *options, program="turn_server"):
        """Starts a server, on the status port of the one before it, if there was one."""
        server = self.world.serve("--status", f"127.0.0.1:{self.port}", *options, program=program)
        said = until(lambda: STATUS.search(server.said()), f"status address (it said {server.said()!r})", 10)
        self.port = int(said[1])
        return server

    def serve_turns(self, *options):
        return self.serve("--framing", "line", *options)

    def open(self):
        self.page.open(f"http://127.0.0.1:{self.port}/")
        self.until_link("live")

    def ring(self, *names):
        """A server, the page, and clients; the first has the turn."""
        server = self.serve_turns("--clients", "2")
        self.players = {name: Line(server.addr, name) for name in names}
        self.open()
        return server, self.players

    def text(self, name):
        return self.page.run("return document.getElementById(arguments[0]).innerText.trim()", name)

    def until(self, check, what, instead, seconds=5.0):
        """As `until`, and says what is there instead."""
        try:
            return until(check, what, seconds)
        except Failed as failure:
            raise Failed(f"{failure}, but {instead()!r}") from None

    def until_text(self, name, wanted, seconds=5.0):
        """Waits until an element says it; `wanted` is a regular expression."""
        return self.until(lambda: re.fullmatch(wanted, self.text(name)), f"{wanted!r} in #{name}", lambda: self.text(name), seconds)

    def until_link(self, wanted, seconds=5.0):
        return self.until_text("word", wanted, seconds)

    def until_left(self, seconds):
        """Waits until the text counts down to that many seconds or fewer: a busy page may skip some."""
        def reached():
            left = re.fullmatch(r"(\d+) s", self.text("left"))
            return left and int(left[1]) <= seconds
        return self.until(reached, f"{seconds} s or fewer in #left", lambda: self.text("left"))

    def watch_the_arc(self):
        """From now on the page counts what moves its arc: see `arc`."""
        self.page.run(WATCH_THE_ARC)

    def arc(self):
        """Since then: the moves of the arc, the messages, each of which may move it too, and the seconds of the page's clock."""
        return self.page.run("return [watch.moves, watch.messages, (performance.now() - watch.since) / 1000]")

    def pretend(self, change):
        """Has the page draw the last message with a change of `news` or `ring`, its first ring. No other comes, so it reconnects in a while."""
        self.page.run(f"source.close(); const news = structuredClone(state), ring = news.rings[0]; {change}; update(news)")

    def seats(self):
        """The table: one list of cells a seat."""
        return self.page.run("return [...document.querySelectorAll('#rows tr')].map(row => [...row.cells].map(cell => cell.textContent))")

    def until_seats(self, wanted, what):
        return self.until(lambda: wanted(self.seats()), what, self.seats)

    def discs(self):
        """The circle: the class of each seat."""
        return self.page.run("return [...document.querySelectorAll('#seats g')].map(seat => seat.getAttribute('class'))")

    def totals(self, section):
        """A list of totals as a dictionary."""
        return dict(self.page.run(
            "return [...document.querySelectorAll(`#${arguments[0]} dt`)].map(term => [term.textContent, term.nextSibling.textContent])",
            section))

    def check_console(self):
        said = [entry["message"] for entry in self.page.log() if not NOT_OURS.search(entry["message"])]
        expect(not said, f"the console says {said}")
