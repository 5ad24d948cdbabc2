"""TLS that fails, on either side, while two others take turns over it; and clients that no access rule admits."""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import ssl
import time

from harness import expect, fault, longest_gap, until


class Files:
    """The certificates of `secure`, made once for all rows."""

    folder = None

    @classmethod
    def of(cls, name):
        return os.path.join(cls.folder, name)


def serve(world, *options, identity="server", **how):
    """Starts a server over TLS."""
    return world.serve("--tls-cert", Files.of(f"{identity}.pem"), "--tls-key", Files.of(f"{identity}.key"), *options, **how)


def demand_certificates(world, identity="server"):
    return serve(world, "--tls-client-ca", Files.of("ca.pem"), "--tls-crl", Files.of("revoked.pem"), identity=identity)


def identity(name):
    return ["--tls-cert", Files.of(f"{name}.pem"), "--tls-key", Files.of(f"{name}.key")]


def bystanders(world, server, *options):
    """Starts two clients that take turns over TLS for the whole row, and waits until they do."""
    world.play(server, "--tls", "--tls-ca", Files.of("ca.pem"), "--pace", "20ms", "--log-level", "warn", *options)
    until(lambda: len(server.sent()) >= 10, "10 turns")


def context(name=None, ca="ca.pem", version=ssl.TLSVersion.TLSv1_3):
    made = ssl.create_default_context(cafile=Files.of(ca))
    made.minimum_version = made.maximum_version = version
    if name:
        made.load_cert_chain(Files.of(f"{name}.pem"), Files.of(f"{name}.key"))
    return made


class Wire:
    """A TLS client that handles its own bytes."""

    def __init__(self, addr, made=None):
        self.socket = socket.create_connection(addr, 5)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (made or context()).wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def said(self):
        return self.outgoing.read()

    def hello(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.said()

    def settle(self, send=None):
        """Continues the handshake until it is over."""
        send = send or self.socket.sendall
        while True:
            try:
                self.tls.do_handshake()
                return send(self.said())
            except ssl.SSLWantReadError:
                send(self.said())
                self.hear()

    def hear(self):
        heard = self.socket.recv(65536)
        self.incoming.write(heard)
        if not heard:
            self.incoming.write_eof()
        return heard

    def record(self, text):
        """Returns `text` in its form on the wire."""
        self.tls.write(text)
        return self.said()

    def reads(self):
        """Returns the next plain text."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.hear()


def others_had_turns(server, begin, end=None):
    """Checks that the bystanders took turns all the time since `begin`. Returns their longest wait in words."""
    gap = longest_gap(server, begin, end)
    expect(gap < 0.5, f"the others had no turn for {gap:.2f} s")
    return f"the others' longest wait was {gap * 1000:.0f} ms"


def told(addr, said):
    """Sends `said` in plain text. Returns everything that the server answers."""
    with socket.create_connection(addr, 5) as peer:
        peer.sendall(said)
        return b"".join(iter(lambda: peer.recv(4096), b""))


def is_closed(peer, seconds):
    """Returns how long it takes until the server closes `peer`."""
    begin = time.monotonic()
    peer.settimeout(seconds)
    with contextlib.suppress(ConnectionError):
        while peer.recv(65536):
            pass
    return time.monotonic() - begin


def refused_server(world, named, why, *options):
    """Checks that a client refuses its server, says why, and never sends it a message."""
    server = serve(world, identity=named)
    client = world.play(server, "--tls", "--tls-ca", Files.of("ca.pem"), *options)
    until(lambda: client.says("cannot connect to"), "complaint of the client")
    said = client.said().decode()
    expect(why in said, f"the client says {said!r}")
    expect(not server.says("connected."), "the server's protocol knows of the client")
    return f"the client says {why!r}, and the protocol learns of no connection"


def refused_client(world, named, why):
    """Checks that a server refuses a client, logs why, and continues."""
    server = demand_certificates(world)
    bystanders(world, server, *identity("bob"))
    before, begin = server.says(" connected."), time.monotonic()
    client = world.play(server, "--tls", "--tls-ca", Files.of("ca.pem"), *(identity(named) if named else []))
    until(lambda: server.says(why), f"word of {why!r} in the log")
    time.sleep(0.3)
    expect(server.says(" connected.") == before, "the server's protocol knows of the client")
    client.kill()
    waited = others_had_turns(server, begin)
    return f"the log says {why!r}; {waited}"


@fault("a server whose certificate has expired", "the client refuses it, and says why")
def tls_expired(world):
    """The certificate ran out in 2019."""
    return refused_server(world, "server-expired", "certificate expired")


@fault("a server with a certificate of an authority that the client does not know", "the client refuses it, and says why")
def tls_wrong_authority(world):
    """A server in the middle can make certificates as well."""
    return refused_server(world, "server-of-other", "UnknownIssuer")


@fault("a server with a good certificate for another name", "the client refuses it, and says why")
def tls_wrong_name(world):
    """The authority has certified many other servers."""
    return refused_server(world, "server-elsewhere", "not valid for name")


@fault("a client without a certificate at a server that requires one", "its protocol never learns of it; the others' turns continue")
def tls_no_client_certificate(world):
    return refused_client(world, None, "the peer presented no certificate")


@fault("a client whose certificate was revoked", "its protocol never learns of it; the others' turns continue")
def tls_revoked(world):
    return refused_client(world, "ann-revoked", "Revoked")


@fault("a client whose certificate has expired", "its protocol never learns of it; the others' turns continue")
def tls_expired_client(world):
    return refused_client(world, "ann-expired", "certificate expired")


@fault("a client with a certificate of another authority", "its protocol never learns of it; the others' turns continue")
def tls_client_of_another(world):
    return refused_client(world, "ann-of-other", "UnknownIssuer")


@fault("TLS 1.2, by Python's ssl", "no handshake")
def tls_1_2(world):
    """Nothing below 1.3 is accepted."""
    server = serve(world)
    with socket.create_connection(server.addr, 5) as peer:
        try:
            context(version=ssl.TLSVersion.TLSv1_2).wrap_socket(peer, server_hostname="localhost")
        except ssl.SSLError as error:
            return f"Python says {error.reason}"
    expect(False, "it is accepted")


@fault("JOIN, an HTTP request and a raw answer in plain text on an address with TLS", "BYE tls-required, and the end")
def tls_plain_text(world):
    server = serve(world)
    for said in (b"JOIN ann\n", b"GET / HTTP/1.1\r\n\r\n", b"ann:1"):
        heard = told(server.addr, said)
        expect(heard == b"BYE tls-required :this address needs TLS\n", f"{said!r} hears {heard!r}")
    return "each heard it"


@fault("a handshake that comes byte by byte", "it takes part")
def tls_byte_by_byte(world):
    server = serve(world, "--clients", "1")
    wire = Wire(server.addr)
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drip(said):
        for at in range(len(said)):
            wire.socket.sendall(said[at:at + 1])
            time.sleep(0.001)

    wire.settle(drip)
    drip(wire.record(b"JOIN ann\n"))
    heard = wire.reads()
    expect(heard.startswith(b"WELCOME ann "), f"it hears {heard!r}")
    return f"it heard {heard.split()[0].decode()}"


@fault("64 connections that never send a hello, and 64 that stop in the middle of one", "each is closed after 10 s; the others' turns continue")
def tls_silent_handshake(world):
    server = serve(world)
    bystanders(world, server)
    begin = time.monotonic()
    silent = [socket.create_connection(server.addr, 5) for _ in range(64)]
    halves = [Wire(server.addr) for _ in range(64)]
    for half in halves:
        half.socket.sendall(half.hello()[:100])
    last = max(is_closed(peer, 20) for peer in [*silent, *(half.socket for half in halves)])
    took = time.monotonic() - begin
    expect(9 < took < 15 and last < 15, f"they are closed after {took:.1f} s")
    waited = others_had_turns(server, begin)
    return f"all were closed after {took:.1f} s; {waited}"


@fault("a record without its last bytes, and then the end of the stream", "no part of it counts")
def tls_truncated(world):
    """A cut in the right place must not turn one message into another."""
    server = serve(world, "--clients", "1")
    wire = Wire(server.addr)
    wire.settle()
    wire.socket.sendall(wire.record(b"JOIN ann\n"))
    expect(wire.reads().startswith(b"WELCOME"), "it hears no WELCOME")
    wire.socket.sendall(wire.record(b"ANSWER :ann:1\n")[:-3])
    wire.socket.shutdown(socket.SHUT_WR)
    is_closed(wire.socket, 10)
    expect(not server.sent(), "an answer counted")
    return "the seat is away, and nothing counted"


@fault("a changed byte in a record", "an alert, and the end; the others' turns continue")
def tls_corrupted(world):
    server = serve(world)
    bystanders(world, server)
    begin = time.monotonic()
    wire = Wire(server.addr)
    wire.settle()
    record = bytearray(wire.record(b"JOIN ann\n"))
    record[-1] ^= 1
    wire.socket.sendall(record)
    try:
        heard = wire.reads()
    except ssl.SSLError as error:
        heard = error.reason
    expect("BAD_RECORD_MAC" in str(heard), f"it hears {heard!r}")
    is_closed(wire.socket, 5)
    until(lambda: server.says("cannot decrypt peer's message"), "word of it in the log")
    waited = others_had_turns(server, begin)
    return f"Python says {heard}; {waited}"


@fault("256 hellos at once", "the others' turns continue; all get through")
def tls_storm(world):
    """A handshake takes a thousand times as long as a turn."""
    server = serve(world)
    bystanders(world, server)
    made = context()
    wires = [Wire(server.addr, made) for _ in range(256)]
    hellos = [wire.hello() for wire in wires]
    begin = time.monotonic()
    for wire, hello in zip(wires, hellos):
        wire.socket.sendall(hello)
    for wire in wires:
        wire.hear()
    answered = time.monotonic()
    waited = others_had_turns(server, begin, answered)
    for wire in wires:
        wire.settle()
    return f"all were answered after {(answered - begin) * 1000:.0f} ms; {waited}"


@fault("a renewed certificate, then a file that is not a certificate, each with SIGHUP",
       "newcomers see the renewed one, even after the bad one; the log names the bad file; the others' turns continue")
def tls_reload(world):
    certificate, key = (os.path.join(world.folder, name) for name in ("live.pem", "live.key"))

    def install(name):
        shutil.copy(Files.of(f"{name}.pem"), certificate)
        shutil.copy(Files.of(f"{name}.key"), key)

    def serial():
        with socket.create_connection(server.addr, 5) as peer, context().wrap_socket(peer, server_hostname="localhost") as tls:
            return int(tls.getpeercert()["serialNumber"], 16)

    install("server")
    server = world.serve("--tls-cert", certificate, "--tls-key", key)
    bystanders(world, server)
    begin = time.monotonic()
    expect(serial() == 2, "the first certificate is another")
    install("server-renewed")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.says("were read again"), "word of it in the log")
    until(lambda: serial() == 3, "renewed certificate")
    with open(certificate, "w", encoding="utf-8") as file:
        file.write("no certificate\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.says(f"{certificate}: it has no certificate in PEM form; the previous TLS files stay"),
          "word of the bad file in the log")
    expect(serial() == 3, "the renewed certificate is lost")
    waited = others_had_turns(server, begin)
    return f"2, 3, and 3 again; {waited}"


# Access rules.


def rules(world, *lines):
    """Returns the path of a file of rules, and a function that replaces them."""
    path = os.path.join(world.folder, "access")

    def write(*lines):
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))

    write(*lines)
    return path, write


def rule(token, rest):
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()} {rest}"


def bearer(world, addr, name, token):
    """A client that shows a token."""
    return world.start("turn_client", "--connect", "%s:%d" % addr, "--clients", "1", "--name", name, "--pace", "20ms",
                       env={"TAKETURNS_TOKEN": token})


@fault("JOIN and WATCH without a token, with a wrong one, with another client's, and 1,000 guesses", "each is forbidden, and only those with a rule play")
def access_wrong_token(world):
    """No token and no part of one may be in the log."""
    path, _ = rules(world, rule("ann-token", "name=Client1 ring=main"), rule("bob-token", "ring=main"), rule("viewer-token", "ring=* watch"))
    server = world.serve("--access", path, "--log-level", "debug")
    bearer(world, server.addr, "Client1", "ann-token")
    bearer(world, server.addr, "Client2", "bob-token")
    until(lambda: len(server.sent()) >= 10, "10 turns")
    begin = time.monotonic()
    refusals = {
        b"JOIN eve\n": b"no token or certificate", b"WATCH\n": b"no token or certificate", b"JOIN eve token=guessed-it\n": b"unknown token",
        b"JOIN eve token=viewer-token\n": b"only watch", b"JOIN Client1 token=bob-token\n": b"may not use",
        b"JOIN eve token=ann-token\n": b"may not use", b"WATCH ring=lab token=bob-token\n": b"may not join or watch",
    }
    for said, why in refusals.items():
        heard = told(server.addr, said)
        expect(heard.startswith(b"BYE forbidden ") and why in heard, f"{said!r} hears {heard!r}")
    for guess in range(1000):
        with socket.create_connection(server.addr, 5) as peer:
            peer.sendall(b"JOIN eve token=guess-%d\n" % guess)
            expect(peer.recv(4096).startswith(b"BYE forbidden "), "a guess was accepted")
    waited = others_had_turns(server, begin)
    shown = [word for word in (b"-token", b"guess") if word in server.said()]
    expect(not shown, f"the log has {shown}")
    return f"all were forbidden; {waited}"


@fault("a rule that is removed, then a file without rules, each with SIGHUP", "its bearer is closed; the bad file changes nothing, and the log names the line")
def access_reload(world):
    path, write = rules(world, rule("ann-token", "ring=main"), rule("bob-token", "ring=main"))
    server = world.serve("--access", path, "--clients", "1")
    players = [bearer(world, server.addr, name, f"{name}-token") for name in ("ann", "bob")]
    until(lambda: server.numbers("ann") and server.numbers("bob"), "turns of both")
    write(rule("bob-token", "ring=main"))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: players[0].process.poll() == 1, "end of ann")
    expect(players[0].says("ann: forbidden"), f"ann says {players[0].said()!r}")
    write("bob-token ring=main")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.says("line 1: a rule begins with sha256: or cert:; the previous rules stay in force"), "word of the line")
    expect(b"bob-token" not in server.said(), "the log has the token from the file")
    before = len(server.numbers("bob"))
    until(lambda: len(server.numbers("bob")) > before + 5, "turns of bob")
    return "ann was closed, and bob continues"


@fault("a server with tokens but without TLS at an address that others can reach; a client with a token that connects to another machine",
       "neither starts, because that would reveal the token")
def access_in_plain_text(world):
    path, _ = rules(world, rule("ann-token", "ring=main"))
    server = world.start("turn_server", "--listen", "0.0.0.0:0", "--access", path)
    until(lambda: server.process.poll() == 1 and server.says("--insecure-tokens"), "end of the server, which says why")
    server = world.serve("--access", path, "--insecure-tokens", listen="0.0.0.0:0")
    # An address that is not loopback, although it leads here.
    client = bearer(world, ("0.0.0.0", server.addr[1]), "ann", "ann-token")
    until(lambda: client.process.poll() == 1 and client.says("a token is not sent in plain text"), "end of the client, which says why")
    expect(not server.says("forbidden"), "the server has heard something")
    return "the server names --tls-cert and --insecure-tokens, the client --tls"
