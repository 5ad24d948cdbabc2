"""Tic-tac-toe in browsers: tabs that play each other, and what happens to them. A function makes a check."""

import http.server
import re
import socket
import threading
import time

from harness import World, expect, until
from looks import CONTRASTS, LEFT_OF_THE_EDGE
from peer import Line

CHECKS = []
PLAY_ON = re.compile(rb"Play on (http://127\.0\.0\.1:(\d+)/)")
SIT = "byId('name').value = arguments[0]; byId('table').value = 'oak'; byId('lobby').requestSubmit(document.querySelector(`button[value=${arguments[1]}]`))"
STATE = "return seat === null ? null : { link: seat.link, board: board.join(' '), status: byId('status').textContent, last, seats: [...players] }"


def check(run):
    run.stage = Table
    CHECKS.append(run)
    return run


class Tab:
    """One tab of the browser. What is done with it brings it to the front."""

    def __init__(self, page, handle):
        self.page, self.handle = page, handle

    def front(self):
        self.page.window(self.handle)
        return self.page

    def run(self, script, *arguments):
        return self.front().run(script, *arguments)

    def sit(self, name, how="play"):
        self.run(SIT, name, how)
        self.until(lambda state: state["link"] == "live", "live connection")
        return self

    def state(self):
        return self.run(STATE) or {"link": "none", "board": "", "status": self.run("return byId('why').textContent"), "seats": []}

    def until(self, wanted, what, seconds=8.0):
        """Waits for a state; says what there is instead."""
        seen = {}
        try:
            return until(lambda: wanted(seen.setdefault("state", None) or seen.update(state=self.state()) or seen["state"])
                         or seen.update(state=None), what, seconds)
        except Exception as failure:
            raise type(failure)(f"{failure}, but {self.state()}") from None

    def until_status(self, wanted, seconds=8.0):
        return self.until(lambda state: re.fullmatch(wanted, state["status"]), f"status {wanted!r}", seconds)

    def until_board(self, wanted, seconds=8.0):
        """`wanted` has a dot for a free cell."""
        board = " ".join("" if mark == "." else mark for mark in wanted)
        return self.until(lambda state: state["board"] == board, f"board {wanted}", seconds)

    def move(self, cell):
        self.until_status("Your turn.*")
        self.run("cells[arguments[0] - 1].click()", cell)

    def freeze(self, state):
        self.front().devtools("Page.setWebLifecycleState", state=state)

    def close(self):
        self.front().close_window()


class Table:
    """A server of tables, and tabs of one browser profile at them."""

    def __init__(self, page, binaries):
        self.page, self.world = page, World(binaries)
        self.first = page.windows()[0]

    def __enter__(self):
        self.page.show_as(1000, 800)
        self.server = self.world.serve("--web", "127.0.0.1:0", "--turn-deadline", "30s", program="tic_tac_toe")
        said = until(lambda: PLAY_ON.search(self.server.said()), "address of the page", 10)
        self.url, self.port = said[1].decode(), int(said[2])
        return self

    def __exit__(self, *_):
        for handle in self.page.windows():
            if handle != self.first:
                self.page.window(handle)
                self.page.close_window()
        self.page.window(self.first)
        self.page.open("about:blank")
        self.page.log()
        self.world.__exit__()

    def tab(self, url=None):
        tab = Tab(self.page, self.page.new_window())
        tab.front().open(url or self.url)
        return tab

    def players(self):
        return self.tab().sit("ann"), self.tab().sit("bob")

    def check_console(self):
        said = [entry["message"] for entry in self.page.log() if "ERR_" not in entry["message"] and "WebSocket connection" not in entry["message"]]
        expect(not said, f"the console says {said}")


@check
def two_tabs_play_and_a_third_one_watches(table):
    """A whole game: each sees each move, the winner is named, the loser begins the next one."""
    ann, bob = table.players()
    watcher = table.tab().sit("", "watch")
    board = list(".........")
    for nth, cell in enumerate([5, 1, 9, 2, 4, 3]):
        mover, mark = (ann, "X") if nth % 2 == 0 else (bob, "O")
        mover.move(cell)
        board[cell - 1] = mark
        for tab in (ann, bob, watcher):
            tab.until_board("".join(board))
    for tab in (ann, bob, watcher):
        tab.until_status("bob wins with O; the loser begins.")
        expect(tab.run("return document.querySelectorAll('.won').length") == 3, "the three in a row are marked")
    ann.run("cells[6].click()")
    for tab in (ann, bob, watcher):
        tab.until_board("......X..")
    bob.move(1)
    expect(not watcher.run("return isMine()"), "a spectator never has the turn")


@check
def people_who_type_play_with_it(table):
    """A client of lines at the server's own address plays against a tab."""
    ann = table.tab().sit("ann")
    typing = Line(table.server.addr, "tina", ring="oak")
    ann.move(5)
    typing.answer("1", typing.go())
    ann.until_board("O...X....")
    expect("tina" in dict(ann.state()["seats"]), "she is named")
    typing.close()


@check
def a_reload_keeps_seat_and_turn(table):
    """The holder loads the page again in the middle of a game, and moves; the other one does so while it waits."""
    ann, bob = table.players()
    ann.move(5)
    bob.until_status("Your turn.*")
    bob.run("location.reload()")
    bob.until_board("....X....")
    bob.move(1)
    bob.run("location.reload()")
    bob.until_board("O...X....")
    ann.move(9)
    bob.until_status("Your turn: you are O.")
    expect(len(bob.state()["seats"]) == 2, f"no seat was added: {bob.state()}")


@check
def two_tabs_of_one_profile_do_not_fight(table):
    """The same name at the same table is refused; a duplicate of a tab takes its seat once, and for good."""
    ann, _ = table.players()
    again = table.tab()
    again.run(SIT, "ann", "play")
    again.until_status("Somebody at this table has that name already.")
    kept = ann.run("return JSON.stringify(Object.entries(sessionStorage))")
    again.run("for (const [key, value] of JSON.parse(arguments[0])) sessionStorage.setItem(key, value); location.reload()", kept)
    again.until(lambda state: state["link"] == "live", "seat of the duplicate")
    ann.until_status("This seat was taken over in another tab.")
    time.sleep(1)
    expect(again.state()["link"] == "live", "it was taken back")
    again.until_status("Your turn.*")


@check
def a_tab_that_is_closed_is_away(table):
    """Its opponent sees that, and its place is kept."""
    ann, bob = table.players()
    ann.move(5)
    ann.close()
    bob.until(lambda state: dict(map(tuple, state["seats"])).get("ann") == "away", "ann who is away")


@check
def a_frozen_tab_comes_back_to_the_right_board(table):
    """The game goes on while a tab is frozen: what it shows after that is what there is now, and it can move."""
    ann, bob = table.players()
    watcher = table.tab().sit("", "watch")
    watcher.run("window.freezes = 0; document.addEventListener('freeze', () => freezes++)")
    watcher.freeze("frozen")
    for mover, cell in [(ann, 5), (bob, 1), (ann, 9)]:
        mover.move(cell)
    bob.until_board("O...X...X")
    watcher.freeze("active")
    expect(watcher.run("return freezes") == 1, "it was frozen")
    watcher.until_board("O...X...X")
    ann.until_board("O...X...X")
    ann.freeze("frozen")
    bob.move(2)
    bob.until_board("OO..X...X")
    ann.freeze("active")
    ann.until_board("OO..X...X")
    ann.move(3)
    bob.until_board("OOX.X...X")


@check
def a_lost_connection_is_told_and_the_seat_comes_back(table):
    """The network goes away without a word, and comes back."""
    net = Net(table.port)
    ann = table.tab(f"http://127.0.0.1:{net.port}/").sit("ann")
    bob = table.tab().sit("bob")
    ann.move(5)
    bob.until_status("Your turn.*")
    net.cut()
    ann.until(lambda state: state["link"] == "lost", "loss that is told")
    expect(ann.run("return !byId('link').hidden"), "people are told")
    bob.move(1)
    net.mend()
    ann.until_board("O...X....", 15)
    ann.until(lambda state: state["link"] == "live", "live connection")
    ann.move(9)
    bob.until_board("O...X...X")
    net.close()


@check
def a_page_of_another_origin_plays_nothing(table):
    """It may neither open a WebSocket, at the page's address or at that of lines, nor play by the body of a request."""
    ann = table.tab().sit("ann")
    strange = Site()
    page = table.tab(f"http://127.0.0.1:{strange.port}/")
    line = table.server.addr[1]
    page.run("""
        window.outcomes = [];
        for (const port of arguments) {
            const socket = new WebSocket(`ws://127.0.0.1:${port}/`, "taketurns.line.1");
            socket.onopen = () => { outcomes.push("open"); socket.send("JOIN eve ring=oak"); };
            socket.onclose = () => outcomes.push("closed");
            fetch(`http://127.0.0.1:${port}/`, { method: "POST", mode: "no-cors", body: "\\nJOIN eve ring=oak\\nANSWER :1\\n" }).catch(() => {});
        }""", table.port, line)
    outcomes = until(lambda: (found := page.run("return outcomes")) and len(found) == 2 and found, "end of both")
    expect(outcomes == ["closed", "closed"], f"its sockets: {outcomes}")
    time.sleep(0.3)
    expect(len(ann.state()["seats"]) == 1, f"it sits at the table: {ann.state()}")
    ann.until_status("Waiting for another player.")
    table.page.log()  # The browser says that the sockets have failed.


@check
def it_is_played_by_keyboard_and_heard(table):
    """Arrows move, 1 to 9 and Enter put; each cell has a name, and one polite region says whose turn it is."""
    ann, bob = table.players()
    ann.until_status("Your turn.*")
    ann.run("cells[4].focus()")
    for key in ("ArrowLeft", "ArrowUp"):
        ann.front().press(key)
    expect(ann.run("return document.activeElement.getAttribute('aria-label')") == "top left, free", "the arrows move")
    ann.page.press("Enter")
    bob.until_board("X........")
    bob.front().press("5")
    ann.until_board("X...O....")
    nodes = [node for node in ann.front().devtools("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    names = [node.get("name", {}).get("value") for node in nodes if node["role"]["value"] == "button"]
    expect("middle, O, last move" in names and "top left, X" in names and "right, free" in names, f"the buttons are {names}")
    roles = [node["role"]["value"] for node in nodes]
    expect(roles.count("status") == 1 and "main" in roles and "heading" in roles, f"the roles are {roles}")


@check
def it_fits_and_is_legible(table):
    """On a small phone and a desktop, light and dark: nothing sticks out, and every text has contrast."""
    ann, bob = table.players()
    ann.move(5)
    bob.move(1)
    for width, height in [(320, 568), (390, 844), (1440, 900)]:
        for scheme in ("light", "dark"):
            for tab in (ann, bob):
                tab.front().show_as(width, height, scheme)
                expect(tab.run(LEFT_OF_THE_EDGE), f"something sticks out at {width} px")
                poorest = tab.run(CONTRASTS)[0]
                expect(poorest[0] >= 4.5, f"{poorest[1]!r} has a contrast of {poorest[0]:.1f} in {scheme}")


class Net:
    """A network between a browser and a server that can go away without a word."""

    def __init__(self, port):
        self.to, self.is_cut, self.pairs = port, False, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            if self.is_cut:
                here.close()
                continue
            try:
                here = self.accepted(here)
            except OSError:
                continue  # It does not like what it sees.
            there = socket.create_connection(("127.0.0.1", self.to))
            self.pairs.append((here, there))
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def accepted(self, here):
        return here

    def _carry(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.is_cut = True
        for here, there in self.pairs:
            for end in (here, there):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []

    def mend(self):
        self.is_cut = False

    def close(self):
        self.cut()
        self.listener.close()


class Site:
    """A web site of somebody else."""

    def __init__(self, body="<!doctype html><title>Elsewhere</title><link rel=icon href=data:,>"):
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
