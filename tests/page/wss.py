"""WebSocket within TLS: pages that play over wss:// at a server's own address, and the game behind a proxy that has the certificate."""

import base64
import functools
import hashlib
import socket
import ssl
import subprocess
import time
from pathlib import Path

from game import (Net, Site, Tab, Table, a_frozen_tab_comes_back_to_the_right_board, a_reload_keeps_seat_and_turn,
                  two_tabs_play_and_a_third_one_watches)
from harness import World, expect, until

CHECKS = []
CLIENT = Path(__file__).resolve().parents[2] / "clients" / "taketurns.js"
JOIN = """
    window.heard = [];
    window.seat = new TakeTurns(arguments[0], { name: arguments[1], hear: true });
    for (const kind of ["go", "turn", "link", "bye", "lapsed"]) seat.on(kind, message => heard.push(Object.assign({ kind }, message)));"""
# Only one that has a certificate of the tests is taken, and none that anybody might make.
CERTIFICATES = {}


def certificates(folder):
    """Takes the files of `secure` in `folder`; the option that has Chromium trust the server's key and no other."""
    CERTIFICATES.update({name: str(Path(folder) / name) for name in ("server.pem", "server.key", "server-renewed.pem", "server-renewed.key")})
    key = subprocess.run(["openssl", "x509", "-in", CERTIFICATES["server.pem"], "-pubkey", "-noout"], capture_output=True, check=True).stdout
    der = base64.b64decode(b"".join(line for line in key.splitlines() if not line.startswith(b"-")))
    return f"--ignore-certificate-errors-spki-list={base64.b64encode(hashlib.sha256(der).digest()).decode()}"


def check(stage):
    def register(run):
        run.stage = stage
        CHECKS.append(run)
        return run

    return register


class Secure:
    """A turn server over TLS, and pages of a site that may connect to it."""

    def __init__(self, page, binaries):
        self.page, self.world = page, World(binaries)
        self.first = page.windows()[0]

    def __enter__(self):
        self.page.show_as(1000, 800)
        script = CLIENT.read_text(encoding="utf-8")
        body = f"<!doctype html><title>Site</title><link rel=icon href=data:,><script>{script}</script>"
        self.site, self.strange = Site(body), Site(body)
        self.server = self.serve("server")
        self.url = f"wss://127.0.0.1:{self.server.addr[1]}/"
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

    def serve(self, identity, *options, **how):
        return self.world.serve("--web-socket", "--web-origin", f"http://127.0.0.1:{self.site.port}", "--tls-cert", CERTIFICATES[f"{identity}.pem"],
                                "--tls-key", CERTIFICATES[f"{identity}.key"], "--turn-grace", "5s", *options, **how)

    def tab(self, site=None):
        tab = Tab(self.page, self.page.new_window())
        tab.front().open(f"http://127.0.0.1:{(site or self.site).port}/")
        return tab

    def join(self, name):
        tab = self.tab()
        tab.run(JOIN, self.url, name)
        until(lambda: link(tab) == "live", f"live connection of {name}", 8)
        return tab

    def check_console(self):
        said = [entry["message"] for entry in self.page.log() if "WebSocket connection" not in entry["message"]]
        expect(not said, f"the console says {said}")


def free_addresses(count):
    """Returns addresses on which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return ["%s:%d" % each.getsockname() for each in sockets]
    finally:
        for each in sockets:
            each.close()


def link(tab):
    return tab.run("return seat.link")


def answer(tab, text):
    until(lambda: tab.run("return seat.turn !== null"), f"turn for {text!r}", 8)
    tab.run("seat.answer(arguments[0])", text)


def hears(tab, word, text):
    until(lambda: [word, text] in tab.run("return heard.filter(({ kind }) => kind === 'turn').map(({ word, text }) => [word, text])"),
          f"word of {text!r} by {word}", 8)


@check(Secure)
def two_tabs_take_turns_over_wss(secure):
    """Each hears the other; a text with line ends is a payload."""
    ann, bob = secure.join("ann"), secure.join("bob")
    for round in range(3):
        answer(ann, f"a{round}")
        hears(bob, "ann", f"a{round}")
        answer(bob, f"b{round}")
        hears(ann, "bob", f"b{round}")
    answer(ann, "two\nlines")
    until(lambda: secure.server.said().count(b"two\\nlines") == 1, "answer of two lines")


@check(Secure)
def a_reload_resumes_over_wss(secure):
    """The holder loads the page again, and has its seat and its turn."""
    ann, bob = secure.join("ann"), secure.join("bob")
    until(lambda: ann.run("return seat.turn !== null"), "turn of ann", 8)
    turn = ann.run("return seat.turn.number")
    ann.run("location.reload()")
    ann.run(JOIN, secure.url, "ann")
    until(lambda: ann.run("return seat.turn !== null"), "turn of ann after the reload", 8)
    expect(ann.run("return seat.turn.number") == turn, "the turn is another one")
    answer(ann, "here again")
    hears(bob, "ann", "here again")


@check(Secure)
def a_frozen_tab_comes_back_over_wss(secure):
    """The turns go on while it is frozen, and it has its turn after that, on the same connection or another one."""
    ann, bob = secure.join("ann"), secure.join("bob")
    answer(ann, "first")
    hears(bob, "ann", "first")
    ann.freeze("frozen")
    answer(bob, "while you slept")
    time.sleep(1)
    ann.freeze("active")
    answer(ann, "awake")
    hears(bob, "ann", "awake")


@check(Secure)
def a_client_goes_to_the_server_of_its_ring(secure):
    """Of two servers over which rings are spread, the wrong one sends it to the right one. It comes back there, and its turn is kept. When the
    right one is gone, it begins again at its own address, without an end and without haste."""
    addresses = free_addresses(2)
    spread = ("--clients", "1", "--spread", " ".join(addresses))
    first, second = (secure.serve("server", *spread, "--part", str(part), listen=address) for part, address in enumerate(addresses, 1))
    url = f"wss://{addresses[0]}/"
    tab = secure.tab()
    # There are rings of both.
    tab.run("""
        window.seats = [..."abcdefgh"].map(ring => new TakeTurns(arguments[0], { name: "ann", ring }));
        window.byes = [];
        for (const seat of seats) seat.on("bye", ({ word }) => byes.push(word));""", url)
    until(lambda: tab.run("return seats.every(seat => seat.turn !== null)"), "turn in each ring", 8)
    here, there = (tab.run("return seats.filter(seat => (seat.elsewhere.length > 0) === arguments[0]).length", moved) for moved in (False, True))
    expect(here > 0 and there > 0 and here + there == 8, f"{here} are here, {there} there")
    expect(tab.run("return byes") == ["moved"] * there, f"the servers said {tab.run('return byes')}")
    turns = "return seats.map(seat => seat.turn?.number)"
    before = tab.run(turns)
    tab.run("seats.forEach(seat => seat.socket.close())")
    until(lambda: tab.run("return seats.every(seat => seat.link === 'live' && seat.turn !== null)"), "turns after the connections were lost", 8)
    expect(tab.run(turns) == before, "a turn was lost")
    expect(tab.run("return byes") == ["moved"] * there, "it has begun at the wrong server again")
    second.kill()
    until(lambda: tab.run("return byes.length") > there, "another word of the first server", 15)
    expect(tab.run("return seats.filter(seat => seat.link === 'ended').length") == 0, "a client has given up")
    tab.run("seats.forEach(seat => seat.leave())")
    secure.page.log()  # The browser says that it could not connect.


@check(Secure)
def a_page_of_another_origin_gets_nothing_over_wss(secure):
    """TLS does not make a stranger's page a friend."""
    secure.join("ann")
    page = secure.tab(secure.strange)
    page.run("""
        window.outcomes = [];
        const socket = new WebSocket(arguments[0], "taketurns.line.1");
        socket.onopen = () => { outcomes.push("open"); socket.send("JOIN eve"); };
        socket.onclose = () => outcomes.push("closed");""", secure.url)
    until(lambda: page.run("return outcomes.length") > 0, "end of the socket")
    expect(page.run("return outcomes") == ["closed"], f"its socket: {page.run('return outcomes')}")
    until(lambda: secure.server.says("Origin"), "word of it in the log")
    secure.page.log()  # The browser says that the socket has failed.


@check(Secure)
def a_server_with_another_key_hears_no_word(secure):
    """The browser does not trust it, and the client's `JOIN` with its name is never said."""
    other = secure.serve("server-renewed")
    tab = secure.tab()
    tab.run(JOIN, f"wss://127.0.0.1:{other.addr[1]}/", "ann")
    until(lambda: other.says("TLS"), "word of it in the log", 8)
    expect(not other.says(" connected."), "the server's protocol has heard of the page")
    tab.run("seat.leave()")
    secure.page.log()


class Proxied(Table):
    """The game behind a proxy that speaks TLS: its page is https://, and what the page opens is wss://."""

    def __enter__(self):
        super().__enter__()
        self.net = TlsNet(self.port)
        self.url = f"https://127.0.0.1:{self.net.port}/"
        return self

    def __exit__(self, *why):
        super().__exit__(*why)
        self.net.close()


class TlsNet(Net):
    """Takes the TLS off, as a proxy does."""

    def __init__(self, port):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATES["server.pem"], CERTIFICATES["server.key"])
        super().__init__(port)

    def accepted(self, here):
        return self.context.wrap_socket(here, server_side=True)


def behind_a_proxy(run):
    @functools.wraps(run)
    def proxied(table):
        run(table)

    proxied.__name__ += "_behind_a_proxy"
    return check(Proxied)(proxied)


for same in (two_tabs_play_and_a_third_one_watches, a_reload_keeps_seat_and_turn, a_frozen_tab_comes_back_to_the_right_board):
    behind_a_proxy(same)
