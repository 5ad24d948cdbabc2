"""Take turns at a taketurns server, with asyncio or without.

    import taketurns

    async with taketurns.join("127.0.0.1:5001", "ann") as seat:
        async for turn in seat:
            await turn.answer(b"42")

`with` and `for` in the place of `async with` and `async for` give the same without asyncio, for use from any thread.

    with taketurns.lock("127.0.0.1:5001", "gpu0") as turn:
        write(data, fence=turn.fence)

holds a turn for as long as the block runs: a lock over the network.

The client keeps its seat over lost connections and restarts of the server, and no answer of it counts twice. A turn is answered once:
`Turn.answer` returns when the server has confirmed the answer, and otherwise raises what became of it.

`Machine` is the protocol without I/O. It is given bytes and the time, and says what to send and what happened. `Seat` and `Watcher` drive
it with asyncio; `BlockingSeat` and `BlockingWatcher` run them on a thread of their own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import logging
import os
import random
import re
import socket
import ssl
import struct
import sys
import threading
import time
import unicodedata
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Generic, Literal, TypeVar, Union

__version__ = "0.1.0"
__all__ = [
    "join", "watch", "lock", "Seat", "Turn", "Watcher", "HeldTurn", "BlockingSeat", "BlockingTurn", "BlockingWatcher",
    "Error", "Refused", "Lapsed", "Unknown", "Ended", "Lost",
    "News", "Welcome", "Watching", "Waiting", "Said", "Seated", "Seats", "Began", "Answered", "Skipped", "Joined", "Away", "Back",
    "Left", "Paused", "Resumed", "Rejected", "Farewell", "Disconnected", "Missed", "printable",
]  # fmt: skip

LINE_BYTES_MAX: Final = 1024
ANSWER_BYTES_MAX: Final = 16 * 1024
"""The longest answer that a server takes by default."""
PAYLOAD_BYTES_MAX: Final = 64 * 1024
"""The longest payload that is taken from a server."""
OUT_BYTES_MAX: Final = 256 * 1024
"""What a server leaves unread, in addition to two answers. A connection with more is given up."""
NEWS_MAX: Final = 1024
"""News that wait to be read; the oldest are dropped beyond this. Room for the longest roster, 257 messages."""
NEWS_BYTES_MAX: Final = 1024 * 1024
"""The answers and words in them, in bytes."""

WELCOME_TIMEOUT: Final = 30.0
"""Time until the server answers the hello. Its host may take 10 s to admit a client, after as much time for a hello to arrive."""
SEVERAL_TIMEOUT: Final = 5.0
"""The same where several servers stand by for each other: one that was stopped accepts, and says nothing."""
REDIRECTS_MAX: Final = 5
"""How many servers in a row may send the client elsewhere before it pauses, and begins again at its own."""
LEAVE_TIMEOUT: Final = 1.0
CONNECT_TIMEOUTS: Final = (2.0, 4.0, 8.0, 16.0)
PAUSES: Final = (0.05, 2.0)
"""The pause before the first attempt to connect again, and the longest one. It doubles, and a random half of it is left out."""

_log = logging.getLogger("taketurns")


# Errors.


class Error(Exception):
    """Base class of the errors that a server causes."""


class Refused(Error):
    """The server refused. What it was asked for has changed nothing."""

    def __init__(self, code: str, words: str | None, *, held: bool) -> None:
        super().__init__(f"{code}: {words}" if words else code)
        self.code = code
        """One of the codes of the protocol, such as `refused`, `too-large` or `hold-max`."""
        self.words = words
        """The reason, for a person. May contain anything: see `printable`."""
        self.held = held
        """Whether the turn is still held, and may be answered again."""


class Lapsed(Error):
    """The turn is over. Its answer, if there was one, does not count and never will."""

    def __init__(self, how: str | None) -> None:
        super().__init__(f"the turn is over: {how}" if how else "the turn is over")
        self.how = how
        """`lapsed`, `skipped` or `passed`; None if the server did not say."""


class Unknown(Error):
    """The turn is over, and it is not known whether its answer counted: the server began another life, or the seat is gone.

    Skip the answer (at most once), give it again (at least once), or ask the resource that it was for.
    """

    def __init__(self) -> None:
        super().__init__("it is not known whether the answer counted")


class Ended(Error):
    """The client has given up its seat, for good."""

    def __init__(self, code: str, words: str | None) -> None:
        super().__init__(f"{code}: {words}" if words else code)
        self.code = code
        """`left`, `superseded`, `removed`, `forbidden`, `tls-required`, `plaintext-token` (which the client itself says), or a code that
        says that the server did not understand the client."""
        self.words = words
        """The reason, for a person. May contain anything: see `printable`."""


class Lost(Error):
    """The turn of a lock was lost before its block ended: another client may have the turn."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the turn is lost: {why}")
        self.why = why
        """The reason, for a person. May contain anything: see `printable`."""


# News.


@dataclass(frozen=True)
class Welcome:
    """The client has its seat, for the first time or again. What was heard of other seats before is out of date."""

    name: str
    seat: int
    ring: str
    epoch: str
    resumed: bool
    """Whether it is the same seat as before, in the same life of the server."""
    last: int | None
    """The last turn of this seat whose answer was accepted."""


@dataclass(frozen=True)
class Watching:
    """The watcher hears its ring from now on. What was heard of seats before is out of date."""

    ring: str
    epoch: str
    turn: int | None
    """The last turn that was granted."""


@dataclass(frozen=True)
class Waiting:
    """The seat begins to wait."""

    ahead: int
    """How many seats come before it, the holder included."""
    needs: int | None
    """How many more seats have to come before the ring goes on."""


@dataclass(frozen=True)
class Said:
    """The server's host said something. May contain anything: see `printable`."""

    words: bytes


@dataclass(frozen=True)
class Seated:
    """One seat of the ring, at the beginning of hearing it."""

    name: str
    seat: int
    state: str
    weight: int


@dataclass(frozen=True)
class Seats:
    """All seats have been told. There may be more of them."""

    ring: str
    seats: int


@dataclass(frozen=True)
class Began:
    """A turn began."""

    name: str
    turn: int
    within: float
    """Its time, in seconds."""


@dataclass(frozen=True)
class Answered:
    """A turn was answered."""

    name: str
    turn: int
    answer: bytes
    raw_name: str | None
    """The name that a client of the raw framing wrote."""


@dataclass(frozen=True)
class Skipped:
    """A turn ended without an answer: `passed`, `lapsed`, `gone` or `skipped`."""

    name: str
    turn: int
    how: str


@dataclass(frozen=True)
class Joined:
    """A seat was taken."""

    name: str
    seat: int


@dataclass(frozen=True)
class Away:
    """The connection of a seat is lost, its place is kept."""

    name: str


@dataclass(frozen=True)
class Back:
    """A seat that was away is back."""

    name: str


@dataclass(frozen=True)
class Left:
    """A seat was given up."""

    name: str


@dataclass(frozen=True)
class Paused:
    """The host stopped the ring and its clock."""

    ring: str


@dataclass(frozen=True)
class Resumed:
    """The ring goes on."""

    ring: str


@dataclass(frozen=True)
class Rejected:
    """The server refused a message that was not about the turn in hand, such as `ASK`."""

    code: str
    words: str | None


@dataclass(frozen=True)
class Farewell:
    """The server said why it closes the connection."""

    code: str
    words: str | None
    at: str | None = None
    """With `moved`: the server that the client goes to instead."""


@dataclass(frozen=True)
class Disconnected:
    """There is no connection, or there could be none. The client tries again."""

    why: str
    opened: bool
    """Whether there was one."""


@dataclass(frozen=True)
class Missed:
    """News were dropped here, because the program did not read them."""

    count: int


Heard = Union[Seated, Seats, Began, Answered, Skipped, Joined, Away, Back, Left, Paused, Resumed]
News = Union[Welcome, Watching, Waiting, Said, Heard, Rejected, Farewell, Disconnected, Missed]
"""What a program may want to know in addition to its turns."""


# Bytes.


class ProtocolError(Exception):
    """The end of a message cannot be found: the bytes after it are of no use."""


@dataclass(frozen=True, repr=False)
class Message:
    """One message of the line protocol. It is not shown: it may have the secret in it."""

    verb: str
    word: str | None
    fields: dict[str, str]
    body: bytes | None
    """The text, or the payload."""

    def number(self, key: str) -> int | None:
        """Reads a field; None if it is not there. Raises ValueError if it is no number."""
        value = self.fields.get(key)
        return None if value is None else _decimal(value)

    def need(self, key: str) -> int:
        return _decimal(self.fields[key])

    def turn(self, key: str = "turn") -> int | None:
        number = self.number(key)
        if number == 0:
            raise ValueError("turns begin at 1")
        return number

    def need_turn(self) -> int:
        turn = self.turn()
        if turn is None:
            raise KeyError("turn")
        return turn

    def epoch(self) -> str:
        if not re.fullmatch("[0-9a-f]{16}", self.fields["epoch"]):
            raise ValueError("not an epoch")
        return self.fields["epoch"]

    def need_word(self) -> str:
        if self.word is None:
            raise KeyError("word")
        return self.word

    def words(self) -> str | None:
        return None if self.body is None else self.body.decode(errors="replace")

    def content(self) -> bytes:
        if self.body is None:
            raise KeyError("text")
        return self.body


def _decimal(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20 and int(digits) < 2**64):
        raise ValueError("not a decimal number of 64 bits")
    return int(digits)


_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # but TAB
_VERB = re.compile("[A-Z]+")
_FIELD = re.compile("([a-z-]+)=(.+)")


def parse(line: str, payload: bytes | None) -> Message | None:
    """Reads a line without its end; None if it breaks the grammar, so that it means nothing."""
    head, colon, text = line.partition(" :")
    verb, *rest = head.split(" ")
    if not _VERB.fullmatch(verb) or _CONTROL.search(line) or "\t" in head:
        return None
    word = rest.pop(0) if rest and "=" not in rest[0] else None
    fields: dict[str, str] = {}
    for part in rest:
        found = _FIELD.fullmatch(part)
        if not found or found[1] in fields:
            return None
        fields[found[1]] = found[2]
    if word == "":
        return None
    return Message(verb, word, fields, text.encode() if colon else payload)


class Splitter:
    """Splits what a server sends into messages. Every cut of the bytes gives the same ones."""

    def __init__(self, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self._payload_bytes_max = payload_bytes_max
        self._kept = bytearray()
        self._line: str | None = None
        """The line whose payload has not come yet."""
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Message | None]:
        """Yields each message that is whole; None for one that breaks the grammar.

        Raises ProtocolError if the end of a message cannot be found. What is kept is at most a line or a payload.
        """
        self._kept += data
        at = 0
        try:
            while True:
                if self._line is None:
                    end = self._kept.find(b"\n", at, at + LINE_BYTES_MAX + 2)
                    if end < 0:
                        if len(self._kept) - at > LINE_BYTES_MAX + 1:
                            raise ProtocolError("a line is too long")
                        return
                    line = bytes(self._kept[at:end]).removesuffix(b"\r")
                    if len(line) > LINE_BYTES_MAX:
                        raise ProtocolError("a line is too long")
                    at = end + 1
                    try:
                        text = line.decode()
                    except UnicodeDecodeError:
                        raise ProtocolError("a line is not UTF-8") from None
                    size = _announced(text, self._payload_bytes_max)
                    if size is None:
                        yield parse(text, None)
                        continue
                    self._line, self._size = text, size
                if len(self._kept) - at <= self._size:
                    return
                if self._kept[at + self._size] != 0x0A:
                    raise ProtocolError("no line feed after a payload")
                payload, text = bytes(self._kept[at : at + self._size]), self._line
                at, self._line = at + self._size + 1, None
                yield parse(text, payload)
        finally:
            del self._kept[:at]


def _announced(line: str, most: int) -> int | None:
    """Returns the size of the payload that the line announces in front of its text."""
    head, colon, _ = line.partition(" :")
    sizes = [part[6:] for part in head.split(" ")[1:] if part.startswith("bytes=")]
    if not sizes:
        return None
    try:
        size = _decimal(sizes[0])
    except ValueError:
        size = most + 1
    if len(sizes) > 1 or colon or size > most:
        raise ProtocolError("a line does not say where its payload ends")
    return size


def printable(text: str | bytes) -> str:
    """Escapes what could rearrange a terminal."""
    text = text.decode(errors="backslashreplace") if isinstance(text, bytes) else text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encode_answer(turn: int, epoch: str, answer: bytes) -> bytes:
    """Writes an answer as text if it fits a line, else as payload."""
    head = f"ANSWER turn={turn} epoch={epoch} ".encode()
    if len(head) + 1 + len(answer) <= LINE_BYTES_MAX:
        try:
            if not _CONTROL.search(answer.decode()):
                return head + b":" + answer + b"\n"
        except UnicodeDecodeError:
            pass
    return head + b"bytes=%d\n" % len(answer) + answer + b"\n"


# The client without I/O.


@dataclass(frozen=True)
class Options:
    """What a client wants. See `join` and `watch`."""

    name: str | None
    """None for a watcher."""
    ring: str = "main"
    weight: int = 1
    demand: Literal["always", "ask"] | None = None
    hear: bool = False
    ping: float | None = 15.0
    answer_bytes_max: int = ANSWER_BYTES_MAX
    allow_plaintext_secrets: bool = False
    token: str | None = field(default=None, repr=False)
    confirm_go: bool = False

    def __post_init__(self) -> None:
        if self.token is not None and (not self.token or _NOT_IN_FIELD.search(self.token)):
            raise ValueError("a token is not empty, and has no white space or control character")
        for text in [self.ring] if self.name is None else [self.name, self.ring]:
            _check_name(text)
        if self.ping is not None and self.ping <= 0:
            raise ValueError("ping must be more than 0 s, or None")


_NOT_IN_FIELD: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


def _check_name(name: str) -> None:
    size = len(name.encode(errors="replace"))
    if not 1 <= size <= 64:
        raise ValueError(f"{name!r} cannot be a name: it has {size} bytes, not 1 to 64")
    for c in name:
        if c in ":=" or c.isspace() or unicodedata.category(c) in ("Cc", "Cf", "Cs"):
            raise ValueError(f"{name!r} cannot be a name: it contains {c!r}")


@dataclass(eq=False)
class Grant:
    """A turn, from its `GO` until it is known what became of it."""

    epoch: str
    number: int
    deadline: float
    """When the turn ends unless it is answered; somewhat late, because the server counts from when it wrote `GO`."""
    before: str | None
    """The holder before, if the client hears its ring."""
    stage: Literal["held", "answered", "passed", "over"] = "held"
    answer: bytes = b""
    is_sent: bool = False
    """Whether the answer was sent, on any connection."""
    wants_renewal: bool = False


@dataclass(frozen=True)
class Granted:
    """The client has a turn."""

    turn: Grant


@dataclass(frozen=True)
class Changed:
    """The turn ends at another time."""

    turn: Grant


@dataclass(frozen=True)
class Renewed:
    """The turn is renewed. No other client is granted it before `until`, unless the connection is lost for too long."""

    turn: Grant
    sent: float
    """When it was asked for."""
    until: float


@dataclass(frozen=True)
class NotRenewed:
    """The turn cannot be renewed, and ends when it would have."""

    turn: Grant
    sent: float
    until: float
    error: Refused


@dataclass(frozen=True)
class Settled:
    """It is known what became of the turn or of its answer. The turn is over, except after a refusal by which it is held."""

    turn: Grant
    words: str | None
    error: Error | None
    """None: the answer counts, or the turn was given up."""


@dataclass(frozen=True)
class Over:
    """The client has given up."""

    ended: Ended


Event = Union[Granted, Changed, Renewed, NotRenewed, Settled, Over, News]


@dataclass(repr=False)
class _Link:
    """One connection. It is not shown: what it says has the secret in it."""

    out: bytearray
    splitter: Splitter
    welcome_by: float | None
    has_asked_back: bool
    """`JOIN` had the secret of the seat with it."""
    is_joined: bool = False
    pongs_due: int = 0
    settles_in: int = 0
    """`PONG`s until neither `GO` nor `WAIT` can follow the `WELCOME` any more."""
    ping_at: float | None = None
    """When to ping, or to give the connection up because the last `PONG` has not come."""
    leave_by: float | None = None
    has_said_wish: bool = False
    knows_turn: bool = False
    """The server has said on this connection that the turn is held, or judged."""
    renewal_sent: float | None = None
    renewed_in: int = 0
    """`PONG`s until a `GO` can be the reply to `RENEW`: earlier ones may have been written before it was sent."""
    why: str | None = None
    """Why it is to be closed."""


_ENDING: Final = frozenset(["left", "superseded", "removed", "forbidden", "too-long", "not-utf8", "malformed", "not-here", "tls-required"])
"""The farewells after which there is no use in coming again. After `bad-secret` the client joins anew, after any other it resumes."""


class Machine:
    """A client without I/O: a seat or a watcher, over any number of connections, one at a time.

    What the world did: `opened`, `received`, `closed`, `expired`. What the program wants: `answer`, `give_up_turn`, `renew`, `ask`, `rest`,
    `leave`. After each of them: send `take_output`, close the connection if `is_closing`, take in each `poll_event`, and call `expired` at
    `next_deadline`. Connect when `poll_dial` says so, within the time that it returns.
    """

    def __init__(self, options: Options, chance: Callable[[], float] = random.random) -> None:
        self.options = options
        self.ended: Ended | None = None
        self._chance = chance
        self._events: deque[Event] = deque()
        self.welcome_timeout = WELCOME_TIMEOUT
        self.elsewhere: str | None = None
        """Where a server has sent the client: the address to connect to in place of its own, until that fails."""
        self._redirects = 0
        self._is_redirected = False
        self._link: _Link | None = None
        self._dial_at: float | None = float("-inf")
        self._failures = 0
        self._joins_anew = False
        self._is_leaving = False
        self._epoch = ""
        self._secret: str | None = None
        self._grant: Grant | None = None
        self._accepted = 0
        """The last turn of this epoch whose answer is known to count. It is never granted again."""
        self._wish: Literal["ask", "rest"] | None = None
        self._is_always = options.demand == "always"
        """Whether the seat wants turns without asking. Without a demand of its own it learns that from its first `WAIT` or `GO`."""
        self._has_asked = self._has_rested = False
        self._holder: str | None = None

    # The connection.

    def poll_dial(self, now: float) -> float | None:
        """Returns the time that a connection may take to open, if it is time to open one. `opened` or `closed` has to follow."""
        if self._dial_at is None or now < self._dial_at:
            return None
        self._dial_at = None
        return CONNECT_TIMEOUTS[min(self._failures, len(CONNECT_TIMEOUTS) - 1)]

    def opened(self, now: float, *, is_private: bool) -> None:
        """A connection is open. `is_private`: no third party can read it, because it is TLS, or does not leave this machine."""
        options = self.options
        may_show_secrets = is_private or options.allow_plaintext_secrets
        if self._secret and not may_show_secrets:
            _log.info("%s: joins as a new client, because its secret is not sent in plain text", options.name)
            self._secret = None
        if options.name is None:
            hello = f"WATCH ring={options.ring}"
        else:
            hello = f"JOIN {options.name} ring={options.ring}"
            hello += f" resume={self._secret}" if self._secret else ""
            hello += f" weight={options.weight}" if options.weight != 1 else ""
            hello += f" demand={options.demand}" if options.demand else ""
            hello += " hear=turns" if options.hear else ""
            hello += " confirm=go" if options.confirm_go else ""
        hello += f" token={options.token}" if options.token else ""
        # Nothing else is sent before WELCOME, not even a ping: it would void the old secret, and the new one may not arrive.
        self._link = _Link(
            out=bytearray(hello.encode() + b"\n"),
            splitter=Splitter(max(PAYLOAD_BYTES_MAX, options.answer_bytes_max)),
            welcome_by=now + self.welcome_timeout,
            has_asked_back=self._secret is not None,
        )
        if options.token and not may_show_secrets:
            self._link.out.clear()
            self._end("plaintext-token", "a token is not sent in plain text to another machine")

    def closed(self, now: float, why: str) -> None:
        """The connection is lost, or could not be opened."""
        link, self._link = self._link, None
        if self.ended:
            return
        if self._is_leaving:
            return self._end("left", None)
        self._events.append(Disconnected(link.why if link and link.why else why, opened=link is not None))
        if link is None:
            self.elsewhere = None
        if self._is_redirected:
            self._is_redirected, self._dial_at = False, now
            return
        # It is the right server that does not know the secret: that is no failure.
        failures = 0 if self._joins_anew else min(self._failures, 16)
        self._failures += not self._joins_anew
        self._joins_anew = False
        pause = min(PAUSES[0] * 2**failures, PAUSES[1])
        self._dial_at = now + pause * (0.5 + self._chance() / 2)

    def received(self, now: float, data: bytes) -> None:
        link = self._link
        if link is None or link.why is not None:
            return
        try:
            for message in link.splitter.feed(data):
                if message is not None:
                    self._hear(now, link, message)
                if link.why is not None:
                    return
        except ProtocolError as error:
            self.give_up_connection(f"{error}: is this a turn server with the line protocol?")

    def take_output(self) -> bytes:
        """Returns the bytes to send."""
        if self._link is None:
            return b""
        out = bytes(self._link.out)
        self._link.out.clear()
        return out

    @property
    def is_closing(self) -> bool:
        """Whether the connection is to be closed. `closed` has to follow."""
        return self._link is not None and self._link.why is not None

    def poll_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """Returns when to call `expired`, or `poll_dial` while there is no connection."""
        link = self._link
        times = [self._dial_at] if link is None else [link.welcome_by, link.ping_at, link.leave_by]
        return min((at for at in times if at is not None), default=None)

    def expired(self, now: float) -> None:
        link = self._link
        if link is None or link.why is not None:
            return
        if link.leave_by is not None and link.leave_by <= now:
            self.give_up_connection("the server does not let us leave")
        elif link.welcome_by is not None and link.welcome_by <= now:
            self.give_up_connection("the server does not answer: does it speak the line protocol?")
        elif link.ping_at is not None and link.ping_at <= now:
            if link.pongs_due == 0:
                self._ping(now, link)
            else:
                self.give_up_connection("the server does not answer a ping")

    def give_up_connection(self, why: str) -> None:
        """Has the connection closed. Another one is opened after a pause."""
        if self._link and self._link.why is None:
            self._link.why = why

    # The program.

    def answer(self, now: float, grant: Grant, answer: bytes) -> None:
        """Answers a turn. `Settled` follows, however often the connection is lost meanwhile."""
        if len(answer) > self.options.answer_bytes_max:
            raise ValueError(f"an answer has at most {self.options.answer_bytes_max} bytes, not {len(answer)}")
        self._check_held(grant)
        grant.stage, grant.answer, grant.is_sent = "answered", answer, False
        self._send_answer()

    def give_up_turn(self, now: float, grant: Grant) -> None:
        """Passes. `Settled` follows."""
        self._check_held(grant)
        grant.stage = "passed"
        self._send_pass()

    def renew(self, now: float, grant: Grant) -> None:
        """Has the time of the turn start anew. `Renewed` or `NotRenewed` follows, or `Settled` if the turn is over."""
        self._check_held(grant)
        grant.wants_renewal = True
        self._send_renewal(now)

    def ask(self, now: float) -> None:
        """Wants one turn, or one more. Kept until it is granted."""
        self._has_asked, self._has_rested = True, False
        if self._wish != "ask":
            self._set_wish("ask")

    def rest(self, now: float) -> None:
        """Wants no turn any more, and gives up the one that is held. Kept until it is confirmed."""
        self._has_rested = True
        if self._grant and self._grant.stage == "held":
            self._grant.stage = "passed"
        if self._wish != "rest":
            self._set_wish("rest")

    @property
    def rests(self) -> bool:
        """Whether no turn can come before `ask`."""
        return self._wish != "ask" and self._grant is None and (self._has_rested or not self._is_always)

    def leave(self, now: float) -> None:
        """Gives the seat up, or stops watching. `Over` follows within a second."""
        if self.ended or self._is_leaving:
            return
        self._is_leaving = True
        link = self._link
        if link is None or not link.is_joined or link.why is not None:
            return self._end("left", None)
        link.out += b"LEAVE\n"
        link.leave_by = now + LEAVE_TIMEOUT

    def _check_held(self, grant: Grant) -> None:
        if grant.stage == "over":
            raise Lapsed(None)
        if grant is not self._grant or grant.stage != "held" or self._is_leaving:
            raise Error("the turn has been answered or given up")

    # Sending.

    def _talks(self) -> _Link | None:
        """Returns the connection if the server knows the client on it."""
        link = self._link
        return link if link and link.is_joined and link.why is None and not self._is_leaving else None

    def _ping(self, now: float, link: _Link) -> None:
        link.out += b"PING\n"
        link.pongs_due += 1
        if link.pongs_due == 1 and self.options.ping is not None:
            link.ping_at = now + self.options.ping

    def _send_answer(self) -> None:
        link, grant = self._talks(), self._grant
        if link and link.knows_turn and grant:
            grant.is_sent = True
            link.out += encode_answer(grant.number, grant.epoch, grant.answer)

    def _send_pass(self) -> None:
        link, grant = self._talks(), self._grant
        if link and link.knows_turn and grant:
            link.out += b"PASS turn=%d\n" % grant.number

    def _send_renewal(self, now: float) -> None:
        link, grant = self._talks(), self._grant
        if link and link.knows_turn and grant and link.renewal_sent is None:
            self._ping(now, link)
            link.out += b"RENEW turn=%d\n" % grant.number
            link.renewal_sent, link.renewed_in = now, link.pongs_due

    def _set_wish(self, wish: Literal["ask", "rest"] | None) -> None:
        self._wish = wish
        if self._link:
            self._link.has_said_wish = False
        self._say_wish()

    def _say_wish(self) -> None:
        link = self._talks()
        # While an answer is under way, a refusal has to be the answer's own.
        if not link or not self._wish or link.has_said_wish or self._grant and self._grant.stage == "answered":
            return
        link.has_said_wish = True
        link.out += b"ASK\n" if self._wish == "ask" else b"REST\n"
        if self._wish == "rest" and self._grant and self._grant.stage == "passed":
            link.knows_turn = True

    # Receiving.

    def _hear(self, now: float, link: _Link, message: Message) -> None:
        handle = self._HANDLERS.get(message.verb)
        if handle is None or not link.is_joined and message.verb not in ("WELCOME", "WATCHING", "NO", "PONG", "BYE"):
            # Its content may be a secret.
            return _log.debug("%s: a message is ignored", self.options.name)
        try:
            handle(self, now, link, message)
        except (KeyError, ValueError):
            _log.debug("%s: a message that cannot be read is ignored: %s", self.options.name, message.verb)

    def _hear_welcome(self, now: float, link: _Link, message: Message) -> None:
        name, seat, ring = message.need_word(), message.need("seat"), message.fields["ring"]
        epoch, secret = message.epoch(), message.fields["resume"]
        last, judging = message.turn("last"), message.turn("judging")
        if self.options.name is None or link.is_joined or not re.fullmatch("[0-9a-f]{32}", secret):
            return
        is_resumed = link.has_asked_back and epoch == self._epoch
        if epoch != self._epoch:
            self._accepted = 0
        self._epoch, self._secret, self._holder = epoch, secret, None
        link.is_joined, link.welcome_by = True, None
        self._events.append(Welcome(name, seat, ring, epoch, is_resumed, last))
        if is_resumed:
            if last is not None:
                self._accept(last, None)
            grant = self._grant
            link.knows_turn = grant is not None and grant.stage == "answered" and grant.number == judging
        else:
            self._settle(Unknown())
        # It shows the server that the new secret has arrived, and tells when there is nothing more to say of an earlier turn.
        self._ping(now, link)
        link.settles_in = link.pongs_due
        self._say_wish()

    def _hear_watching(self, now: float, link: _Link, message: Message) -> None:
        watching = Watching(message.need_word(), message.epoch(), message.turn())
        if self.options.name is not None or link.is_joined:
            return
        link.is_joined, link.welcome_by = True, None
        self._events.append(watching)
        self._ping(now, link)

    def _hear_wait(self, now: float, link: _Link, message: Message) -> None:
        waiting = Waiting(message.need("ahead"), message.number("needs"))
        self._settle_earlier(link)
        self._is_always |= not self._has_asked
        self._events.append(waiting)

    def _hear_pong(self, now: float, link: _Link, message: Message) -> None:
        link.pongs_due = max(link.pongs_due - 1, 0)
        link.renewed_in = max(link.renewed_in - 1, 0)
        if not link.is_joined:
            return
        link.ping_at = None if self.options.ping is None else now + self.options.ping
        self._failures = self._redirects = 0
        if link.settles_in > 0:
            link.settles_in -= 1
            if link.settles_in == 0:
                self._settle_earlier(link)

    def _hear_go(self, now: float, link: _Link, message: Message) -> None:
        number, deadline, last = message.need_turn(), now + message.need("within") / 1000, message.turn("last")
        if last is not None:
            self._accept(last, None)
        grant = self._grant
        if self.options.name is None or number <= self._accepted:
            return
        if grant is None or (grant.epoch, grant.number) != (self._epoch, number):
            # It is said behind what became of an earlier turn, so the answer of that one did not count.
            self._settle(Lapsed(None))
            link.knows_turn, link.renewal_sent = True, None
            self._grant = Grant(self._epoch, number, deadline, self._holder)
            self._is_always |= self._wish is None
            if self._wish == "ask":
                self._set_wish(None)
            return self._events.append(Granted(self._grant))
        was_known, link.knows_turn = link.knows_turn, True
        grant.deadline = deadline
        if grant.stage == "held":
            if link.renewal_sent is not None and link.renewed_in == 0:
                sent, link.renewal_sent, grant.wants_renewal = link.renewal_sent, None, False
                return self._events.append(Renewed(grant, sent, sent + (deadline - now)))
            self._events.append(Changed(grant))
            if grant.wants_renewal:
                self._send_renewal(now)
        elif not was_known and grant.stage == "answered":
            self._send_answer()
        elif not was_known and grant.stage == "passed":
            self._send_pass()

    def _hear_ok(self, now: float, link: _Link, message: Message) -> None:
        number, grant = message.turn(), self._grant
        if number is not None and self._accept(number, message.words()):
            return
        if number is None and self._wish == "rest":
            self._set_wish(None)
        if grant and (grant.stage == "passed" and number == grant.number or grant.stage != "answered" and number is None):
            self._settle(Lapsed("passed"))

    def _hear_no(self, now: float, link: _Link, message: Message) -> None:
        code, number, words = message.need_word(), message.number("turn"), message.words()
        within = message.number("within")
        if not link.is_joined:
            return self._end(code, words)
        grant = self._grant
        if code == "judging" and self._wish == "rest":
            self._set_wish(None)
        if grant is None or number != grant.number:
            return self._events.append(Rejected(code, words))
        is_held = within is not None and code not in ("stale-turn", "not-your-turn")
        refused = Refused(code, words, held=is_held)
        if is_held:
            grant.deadline = now + (within or 0) / 1000
        if code in ("judging", "hold-max"):
            # These are for other messages than the answer.
            if grant.stage == "held" and link.renewal_sent is not None:
                sent, link.renewal_sent, grant.wants_renewal = link.renewal_sent, None, False
                self._events.append(NotRenewed(grant, sent, sent + (grant.deadline - now), refused))
        elif is_held:
            grant.stage, grant.is_sent = "held", False
            self._events.append(Settled(grant, words, refused))
            self._say_wish()
        elif code in ("stale-turn", "not-your-turn"):
            self._settle(Lapsed(None))
        else:
            self._settle(refused)

    def _hear_lapsed(self, now: float, link: _Link, message: Message) -> None:
        number, how = message.need_turn(), message.fields.get("how", "lapsed")
        grant = self._grant
        # If an answer is under way, its own reply says what became of it.
        if grant and grant.number == number and not (link.knows_turn and grant.stage == "answered"):
            self._settle(Lapsed(how))

    def _hear_bye(self, now: float, link: _Link, message: Message) -> None:
        code, words, at = message.need_word(), message.words(), message.fields.get("at")
        self._events.append(Farewell(code, words, at))
        self.give_up_connection(f"{code}: {words}" if words else code)
        if code in _ENDING:
            self._end(code, words)
        elif code == "bad-secret" and self._secret:
            self._secret, self._joins_anew = None, True
            self._settle(Unknown())
        elif code == "moved":
            self._is_redirected = at is not None and _are_addresses(at) and self._redirects < REDIRECTS_MAX
            self.elsewhere = at if self._is_redirected else None
            self._redirects = self._redirects + 1 if self._is_redirected else 0

    def _hear_say(self, now: float, link: _Link, message: Message) -> None:
        self._events.append(Said(message.content()))

    def _hear_ring(self, now: float, link: _Link, message: Message) -> None:
        word = message.need_word()
        heard: Heard
        if message.verb == "SEAT":
            heard = Seated(word, message.need("seat"), message.fields["state"], message.number("weight") or 1)
            if heard.state in ("holding", "judged"):
                self._holder = word
        elif message.verb == "SEATS":
            heard = Seats(word, message.need("seats"))
        elif message.verb == "BEGIN":
            heard = Began(word, message.need_turn(), message.need("within") / 1000)
            self._holder = word
        elif message.verb == "TURN":
            heard = Answered(word, message.need_turn(), message.content(), message.fields.get("as"))
        elif message.verb == "SKIP":
            heard = Skipped(word, message.need_turn(), message.fields["how"])
        elif message.verb == "JOINED":
            heard = Joined(word, message.need("seat"))
        elif message.verb in ("PAUSED", "RESUMED"):
            heard = Paused(word) if message.verb == "PAUSED" else Resumed(word)
        else:
            heard = Away(word) if message.verb == "AWAY" else Back(word) if message.verb == "BACK" else Left(word)
        self._events.append(heard)

    _HANDLERS: Final[dict[str, Callable[[Machine, float, _Link, Message], None]]] = {
        "WELCOME": _hear_welcome, "WATCHING": _hear_watching, "WAIT": _hear_wait, "GO": _hear_go, "OK": _hear_ok, "NO": _hear_no,
        "LAPSED": _hear_lapsed, "SAY": _hear_say, "PONG": _hear_pong, "BYE": _hear_bye, "SEAT": _hear_ring, "SEATS": _hear_ring,
        "BEGIN": _hear_ring, "TURN": _hear_ring, "SKIP": _hear_ring, "JOINED": _hear_ring, "AWAY": _hear_ring, "BACK": _hear_ring,
        "LEFT": _hear_ring, "PAUSED": _hear_ring, "RESUMED": _hear_ring,
    }  # fmt: skip

    # Consequences.

    def _accept(self, number: int, words: str | None) -> bool:
        """Returns whether the answer of that turn was under way."""
        self._accepted = max(self._accepted, number)
        grant = self._grant
        if grant is None or grant.stage != "answered" or (grant.epoch, grant.number) != (self._epoch, number):
            return False
        self._finish(grant, words, None)
        return True

    def _settle_earlier(self, link: _Link) -> None:
        """The server has said what there is to say of a turn of an earlier connection."""
        if not link.knows_turn:
            self._settle(Lapsed(None))

    def _settle(self, error: Error) -> None:
        """The turn, if there is one, is over for good. `error` is the fate of an answer that was sent."""
        grant = self._grant
        if grant is None:
            return
        if grant.stage == "passed":
            return self._finish(grant, None, None)
        if not (grant.stage == "answered" and grant.is_sent) and isinstance(error, Unknown):
            error = Lapsed(None)
        self._finish(grant, None, error)

    def _finish(self, grant: Grant, words: str | None, error: Error | None) -> None:
        grant.stage, self._grant = "over", None
        if self._link:
            self._link.renewal_sent = None
        self._events.append(Settled(grant, words, error))
        self._say_wish()

    def _end(self, code: str, words: str | None) -> None:
        if self.ended:
            return
        self.ended, self._dial_at = Ended(code, words), None
        self.give_up_connection(code)
        self._settle(Unknown())
        self._events.append(Over(self.ended))


# A turn that is kept, without I/O.


class Lease:
    """Gets a turn with a `Machine` that has asked, and keeps it by renewing it.

    Call `hear` with each event of the machine, then `act`, and `act` again at `next_deadline`. Both call the commands of the machine.
    """

    def __init__(self, machine: Machine, *, grace: float, margin: float) -> None:
        self._machine = machine
        self._grace, self._margin = grace, margin
        self.stage: Literal["waiting", "held", "lost", "too-short"] = "waiting"
        """`too-short`: the margin leaves nothing of a turn of this server."""
        self.turn: Grant | None = None
        self.until = float("-inf")
        """The server grants the turn to no other client before this instant. Long ago until a renewal is answered."""
        self.why = ""
        """Why the turn is lost, or too short."""
        self._renew_at: float | None = None
        self._is_longest = False
        """The server has refused to renew the turn any more."""

    @property
    def lost_at(self) -> float:
        """When the turn counts as lost unless it is renewed again."""
        return self.until - self._margin

    @property
    def why_not_renewed(self) -> str:
        """Why the turn is lost if it is so at `lost_at`."""
        if self._is_longest:
            return "the server lets no turn last longer; a turn_lock --serve does"
        return "it could not be renewed in time"

    def hear(self, now: float, event: Event) -> None:
        if self.stage == "held":
            if isinstance(event, Farewell):
                return self._lose("the server is shutting down" if event.code == "shutting-down" else "it has ended")
            if isinstance(event, Settled):
                return self._lose("it has ended")
            if isinstance(event, Over):
                return self._lose(str(event.ended))
        if isinstance(event, Granted) and self.stage == "waiting":
            # Its GO may have been written long ago, so that only a renewal says how much time is left.
            self.turn, self._renew_at = event.turn, now
        elif isinstance(event, (Renewed, NotRenewed)) and event.turn is self.turn:
            self._renewed(now, event)
        elif isinstance(event, Changed) and event.turn is self.turn:
            # The turn was resumed on another connection.
            self._renew_at = now
        elif isinstance(event, Settled) and self.stage == "waiting":
            self.turn = self._renew_at = None
            self._machine.ask(now)

    def _renewed(self, now: float, event: Renewed | NotRenewed) -> None:
        """The turn is certainly held for a while, from when the renewal was sent. A late reply makes that too short, never too long."""
        # The server may have lost our connection right after it read the renewal, and keeps the turn for as long as its grace.
        within = min(event.until - event.sent, self._grace)
        self._is_longest = isinstance(event, NotRenewed) and event.error.code == "hold-max"
        self.until, spare = event.sent + within, within - self._margin
        if self.stage == "waiting" and spare <= 0:
            self.stage, self.why = "too-short", f"leaves nothing of a turn of {within:g} s"
        elif self.stage in ("waiting", "held"):
            self._renew_at = now + max(spare / 4, 0.01)
            if now < self.lost_at:
                self.stage = "held"

    def _lose(self, why: str) -> None:
        self.stage, self.why = "lost", why

    def act(self, now: float) -> None:
        if self.stage == "held" and self.lost_at <= now:
            self._lose(self.why_not_renewed)
        if self.turn is not None and self._renew_at is not None and self._renew_at <= now and self.stage in ("waiting", "held"):
            self._renew_at = None
            self._machine.renew(now, self.turn)

    def next_deadline(self) -> float | None:
        """Returns when to call `act`."""
        times = [self._renew_at if self.stage in ("waiting", "held") else None, self.lost_at if self.stage == "held" else None]
        return min((at for at in times if at is not None), default=None)


def needs_others(needs: int) -> str:
    """Says why a lock waits in a ring that was not made for locks."""
    return f"this ring has no turns until {needs} more joined; a turn_lock --serve needs no others"


def unique_name() -> str:
    """Makes a name of this machine, this process and a random number."""
    host = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in "-._"))[:40]
    return f"{host}-{os.getpid()}-{os.urandom(4).hex()}"


class Troubles:
    """Tells why no server serves a client, once for each failure."""

    _ELSEWHERE: Final = frozenset(["moved", "bad-secret", "shutting-down", "left", "superseded", "forbidden", "removed", "tls-required"])
    """Farewells after which a client ends, or is taken again, here or elsewhere."""

    def __init__(self) -> None:
        self._is_explained = False
        """The server has said why it closes the connection."""

    def of(self, event: Event, *, is_held: bool) -> str | None:
        """Returns the trouble that the event means. `is_held`: the client has its turn, which it resumes."""
        if isinstance(event, Farewell) and not is_held:
            self._is_explained = True
            if event.code not in self._ELSEWHERE:
                return f"the server closes the connection: {event.code} ({event.words or 'no reason is given'})"
        elif isinstance(event, Disconnected):
            is_explained, self._is_explained = self._is_explained, False
            if not (is_explained or event.opened and is_held):
                return event.why
        return None


# asyncio.

Hear = Callable[[Event], None]


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    is_shown = all(c.isprintable() and c not in " /" for c in host)
    if not colon or not host or not is_shown or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is no address: expected HOST:PORT, as in 127.0.0.1:5001")
    return host, int(port)


def _addresses(text: str) -> list[tuple[str, int]]:
    """Of several servers, which stand by for each other, with commas between."""
    return [_address(address.strip()) for address in text.split(",")]


def _are_addresses(text: str) -> bool:
    try:
        return bool(_addresses(text))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _reason(error: Exception) -> str:
    """The text of asyncio names the call and the address, too."""
    if isinstance(error, ssl.SSLError):
        # What OpenSSL makes of the plain text that a server without TLS answers with.
        is_plain = error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
        hint = ": does this server speak TLS? If not, leave --tls (tls=) out" if is_plain else ""
        return f"TLS: {getattr(error, 'verify_message', None) or error.reason or error}{hint}"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else str(error)


class _Connection(asyncio.Protocol):
    """One connection of a driver, which may have given it up."""

    def __init__(self, driver: Driver) -> None:
        self._driver: Driver | None = driver
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._driver is None:
            return transport.abort()
        peer = transport.get_extra_info("peername")
        if peer is not None and peer == transport.get_extra_info("sockname"):
            # Where nobody listens, a connection may get its own end as its other one, and would keep the server from its port.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return transport.abort()
        # A server may have the port of this end, at once and while the connection lasts.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        is_secure = transport.get_extra_info("ssl_object") is not None
        self._driver._opened(is_private=is_secure or peer is not None and _is_loopback(peer[0]))

    def data_received(self, data: bytes) -> None:
        if self._driver is not None:
            self._driver._received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost(_reason(error) if error else "the server closed the connection")

    def _lost(self, why: str) -> None:
        """Tells the driver once, if it still wants to know."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver._lost(why)

    def forget(self) -> None:
        self._driver = None
        if self.transport is not None:
            self.transport.abort()


class Driver:
    """Drives a `Machine` on the running loop of asyncio. Events are given to `hear`, which may call the commands of the machine."""

    def __init__(self, machine: Machine, address: str, hear: Hear, tls: ssl.SSLContext | None = None, tls_name: str | None = None) -> None:
        self.machine = machine
        self._tls, self._tls_name = tls, tls_name
        self._addresses = _addresses(address)
        self._next = 0
        self._hear = hear
        self._connection: _Connection | None = None
        self._dial: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_pumping = False

    def pump(self) -> None:
        """Carries out what the machine wants. To be called after each command."""
        if self._is_pumping:
            return
        self._is_pumping = True
        machine, loop = self.machine, asyncio.get_running_loop()
        try:
            # A server that keeps sending would have the timer below set again and again before it is over.
            machine.expired(time.monotonic())
            while (event := machine.poll_event()) is not None:
                self._hear(event)
        finally:
            self._is_pumping = False
        transport = self._connection.transport if self._connection else None
        if (out := machine.take_output()) and transport is not None:
            transport.write(out)
            if transport.get_write_buffer_size() > OUT_BYTES_MAX + 2 * machine.options.answer_bytes_max:
                machine.give_up_connection("the server does not read")
        if machine.is_closing and transport is not None:
            # Earlier output is with the system already, unless the server does not read.
            transport.abort()
        if machine.ended and transport is None:
            return self.stop()
        if self._connection is None and (timeout := machine.poll_dial(time.monotonic())) is not None:
            self._connection = _Connection(self)
            self._dial = loop.create_task(self._connect(self._connection, timeout))
        if self._timer is not None:
            self._timer.cancel()
        deadline = machine.next_deadline()
        self._timer = None if deadline is None else loop.call_later(max(deadline - time.monotonic(), 0), self._expired)

    def stop(self) -> None:
        """Closes the connection without a word."""
        if self._timer is not None:
            self._timer.cancel()
        if self._dial is not None:
            self._dial.cancel()
        if self._connection is not None:
            self._connection.forget()
        self._timer = self._dial = self._connection = None

    def _aim(self) -> list[tuple[str, int]]:
        """Returns the addresses to try. Where a server sent the client, its certificate has the same name."""
        return _addresses(self.machine.elsewhere) if self.machine.elsewhere else self._addresses

    async def _connect(self, connection: _Connection, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        addresses = self._aim()
        self.machine.welcome_timeout = SEVERAL_TIMEOUT if len(addresses) > 1 else WELCOME_TIMEOUT
        for _ in addresses:
            # The one behind the last goes first: a server that was stopped still accepts, and would be the first every time.
            self._next %= len(addresses)
            host, port = addresses[self._next]
            self._next += 1
            name = self._tls_name or (host if addresses is self._addresses else self._addresses[0][0])
            try:
                # One address of a name must not use up the time of the others.
                dial = loop.create_connection(
                    lambda: connection, host, port, happy_eyeballs_delay=0.25,
                    ssl=self._tls, server_hostname=name if self._tls else None,
                )  # fmt: skip
                await asyncio.wait_for(dial, timeout)
            except asyncio.TimeoutError:
                why = f"no answer within {timeout:g} s"
            except (OSError, ValueError) as error:
                why = _reason(error)
            else:
                return
            if connection.transport is not None:
                connection.transport.abort()
                break
        connection._lost(f"cannot connect to {host}:{port}: {why}")

    def _opened(self, *, is_private: bool) -> None:
        self.machine.opened(time.monotonic(), is_private=is_private)
        self.pump()

    def _received(self, data: bytes) -> None:
        self.machine.received(time.monotonic(), data)
        self.pump()

    def _lost(self, why: str) -> None:
        self._connection = self._dial = None
        self.machine.closed(time.monotonic(), why)
        self.pump()

    def _expired(self) -> None:
        self.machine.expired(time.monotonic())
        self.pump()


class _Newspaper:
    """The news that a program has not read yet."""

    def __init__(self) -> None:
        self._news: deque[News] = deque()
        self._bytes = 0
        self._missed = 0

    def add(self, news: News) -> None:
        self._news.append(news)
        self._bytes += self._size(news)
        while len(self._news) > NEWS_MAX or self._bytes > NEWS_BYTES_MAX:
            self._bytes -= self._size(self._news.popleft())
            self._missed += 1

    def take(self) -> News | None:
        if self._missed:
            missed, self._missed = Missed(self._missed), 0
            return missed
        if not self._news:
            return None
        news = self._news.popleft()
        self._bytes -= self._size(news)
        return news

    @staticmethod
    def _size(news: News) -> int:
        return len(news.answer) if isinstance(news, Answered) else len(news.words) if isinstance(news, Said) else 0


class _Front:
    """A machine that asyncio drives."""

    def __init__(self, options: Options, address: str, tls: ssl.SSLContext | None = None, tls_name: str | None = None) -> None:
        self._options = options
        self._machine = Machine(options)
        self._driver = Driver(self._machine, address, self._hear, tls, tls_name)
        self._news = _Newspaper()
        self._sleepers: set[asyncio.Future[None]] = set()
        self._is_welcome = False
        self._trouble: str | None = None

    @property
    def ring(self) -> str:
        return self._options.ring

    async def news(self) -> AsyncIterator[News]:
        """Yields everything that happens, until the client has left. Raises Ended if it had to."""
        while (news := await self.next_news()) is not None:
            yield news

    async def next_news(self, timeout: float | None = None) -> News | None:
        """Waits for what happens next; None once the client has left. Raises TimeoutError."""
        news: News | None = None

        def is_there() -> bool:
            nonlocal news
            news = self._news.take()
            return news is not None

        try:
            await self._until(is_there, timeout)
        except TimeoutError:
            raise TimeoutError(f"no news within {timeout:g} s") from None
        return news

    async def leave(self) -> None:
        """Gives the seat up, or stops watching."""
        self._machine.leave(time.monotonic())
        self._driver.pump()
        await self._until(lambda: self._machine.ended is not None, None)
        self._driver.stop()

    async def _enter(self, timeout: float | None) -> None:
        self._driver.pump()
        try:
            await self._until(lambda: self._is_welcome, timeout)
        except TimeoutError:
            self._driver.stop()
            raise TimeoutError(self._trouble or "the server did not answer") from None
        except BaseException:
            self._driver.stop()
            raise

    async def _until(self, is_so: Callable[[], bool], timeout: float | None) -> None:
        """Waits until something is so, or the client has ended. Raises Ended unless it wanted to leave."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not is_so():
            if self._machine.ended is not None:
                if self._machine.ended.code == "left":
                    return
                raise Ended(self._machine.ended.code, self._machine.ended.words)
            if deadline is not None and loop.time() >= deadline:
                raise TimeoutError
            sleeper = loop.create_future()
            self._sleepers.add(sleeper)
            alarm = None if deadline is None else loop.call_at(deadline, self._wake, sleeper)
            try:
                await sleeper
            finally:
                self._sleepers.discard(sleeper)
                if alarm is not None:
                    alarm.cancel()

    @staticmethod
    def _wake(sleeper: asyncio.Future[None]) -> None:
        if not sleeper.done():
            sleeper.set_result(None)

    def _hear(self, event: Event) -> None:
        if isinstance(event, (Welcome, Watching)):
            self._is_welcome, self._trouble = True, None
        elif isinstance(event, (Disconnected, Farewell)):
            self._mention(event)
        if isinstance(event, (Granted, Changed, Renewed, NotRenewed, Settled)):
            self._hear_turn(event)
        elif not isinstance(event, Over):
            self._news.add(event)
        for sleeper in self._sleepers:
            self._wake(sleeper)

    def _mention(self, event: Disconnected | Farewell) -> None:
        """Logs a trouble once, until there is another one."""
        trouble = event.why if isinstance(event, Disconnected) else f"{event.code}: {event.words or 'no reason is given'}"
        if trouble != self._trouble and not self._machine.ended and not (isinstance(event, Farewell) and event.code == "left"):
            _log.warning("%s: %s", self._options.name or f"watcher of {self.ring}", printable(trouble))
        self._trouble = trouble

    def _hear_turn(self, event: Granted | Changed | Renewed | NotRenewed | Settled) -> None:
        pass


class Watcher(_Front):
    """Hears what happens in a ring: `async for news in watcher`. Made by `watch`."""

    def __aiter__(self) -> AsyncIterator[News]:
        return self.news()


class Turn:
    """A turn that the client has."""

    def __init__(self, seat: Seat, grant: Grant) -> None:
        self._seat = seat
        self._grant = grant
        self._settled: Settled | None = None
        self._renewed: Renewed | NotRenewed | None = None

    @property
    def number(self) -> int:
        """The number of the turn. Together with `epoch` it is a fence: it never repeats in a ring."""
        return self._grant.number

    @property
    def epoch(self) -> str:
        return self._grant.epoch

    @property
    def before(self) -> str | None:
        """The name of the holder before, if the client hears its ring and somebody was."""
        return self._grant.before

    @property
    def deadline(self) -> float:
        """When the turn ends unless it is answered, by `time.monotonic()`. Somewhat late: the server counts from when it wrote `GO`."""
        return self._grant.deadline

    @property
    def remaining(self) -> float:
        """The seconds until then, at least 0."""
        return 0.0 if self.is_over else max(self.deadline - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the turn is known to be over. It may be over without that: see `renew`."""
        return self._grant.stage == "over"

    async def answer(self, answer: bytes | str) -> str | None:
        """Answers, and returns the words of the server's host once the answer counts.

        It waits as long as that takes, over lost connections and restarts of the server. If it is cancelled, the answer may still count.

        Raises Refused (with `held`, answer again), Lapsed (the answer does not count), Unknown (it may have counted), Ended.
        """
        self._seat._machine.answer(time.monotonic(), self._grant, answer.encode() if isinstance(answer, str) else answer)
        return await self._outcome()

    async def pass_(self) -> None:
        """Gives the turn up without an answer. Raises Lapsed if it was over already."""
        self._seat._machine.give_up_turn(time.monotonic(), self._grant)
        await self._outcome()

    async def renew(self) -> float:
        """Has the time of the turn start anew. Returns until when the turn is certainly held, by `time.monotonic()`.

        No other client is granted it before, unless the connection is lost for longer than the server's `turn_grace`.

        Raises Refused with code `hold-max` if the turn has lasted as long as it may, and Lapsed if it is over.
        """
        self._renewed = None
        self._seat._machine.renew(time.monotonic(), self._grant)
        self._seat._driver.pump()
        await self._seat._until(lambda: self._renewed is not None or self.is_over, None)
        if self._renewed is None:
            raise self._settled.error if self._settled and self._settled.error else Lapsed(None)
        if isinstance(self._renewed, NotRenewed):
            raise self._renewed.error
        return self._renewed.until

    async def over(self) -> None:
        """Waits until the turn is over, however that comes about."""
        await self._seat._until(lambda: self.is_over, None)

    async def _outcome(self) -> str | None:
        self._settled = None
        self._seat._driver.pump()
        await self._seat._until(lambda: self._settled is not None, None)
        settled: Settled | None = self._settled
        if settled is None:
            raise Unknown
        if settled.error is not None:
            raise settled.error
        return settled.words


class Seat(_Front):
    """A seat in a ring: `async for turn in seat`. Made by `join`."""

    def __init__(self, options: Options, address: str, tls: ssl.SSLContext | None = None, tls_name: str | None = None) -> None:
        super().__init__(options, address, tls, tls_name)
        self._turn: Turn | None = None
        self._is_new = False

    @property
    def name(self) -> str:
        return self._options.name or ""

    async def turns(self) -> AsyncIterator[Turn]:
        """Yields each turn, until the client has left. Raises Ended if it had to."""
        while (turn := await self.next()) is not None:
            yield turn

    def __aiter__(self) -> AsyncIterator[Turn]:
        return self.turns()

    async def next(self, timeout: float | None = None) -> Turn | None:
        """Waits for the next turn; None once the client has left. A turn that is over before it was taken is left out.

        Raises TimeoutError, and Ended if the client had to give up.
        """
        turn: Turn | None = None

        def is_there() -> bool:
            nonlocal turn
            if self._is_new and self._turn and not self._turn.is_over:
                turn, self._is_new = self._turn, False
            return turn is not None

        try:
            await self._until(is_there, timeout)
        except TimeoutError:
            hint = "; the seat rests: call ask() first" if self._machine.rests else ""
            raise TimeoutError(f"no turn within {timeout:g} s{hint}") from None
        return turn

    async def ask(self) -> None:
        """Wants one turn, for a seat that rests, or one more. Kept over lost connections until the turn is there: `next` waits for it."""
        self._machine.ask(time.monotonic())
        self._driver.pump()

    async def rest(self) -> None:
        """Wants no turn any more, and gives up the one that is held. Kept over lost connections: `Turn.over` waits until it is given up."""
        self._machine.rest(time.monotonic())
        self._driver.pump()

    def _hear_turn(self, event: Granted | Changed | Renewed | NotRenewed | Settled) -> None:
        if isinstance(event, Granted):
            self._turn, self._is_new = Turn(self, event.turn), True
        elif self._turn is None or self._turn._grant is not event.turn:
            return
        elif isinstance(event, Settled):
            self._turn._settled = event
        elif isinstance(event, (Renewed, NotRenewed)):
            self._turn._renewed = event


class HeldTurn:
    """A turn that is renewed until its block ends. Made by `lock`. May be used from any thread."""

    def __init__(self, lease: Lease, grant: Grant) -> None:
        self._lease = lease
        self.number = grant.number
        self.epoch = grant.epoch
        self._why: str | None = None
        self._is_done = False

    @property
    def fence(self) -> tuple[str, int]:
        """The epoch and the number of the turn, which never repeat in a ring.

        A resource that is given them can refuse a client whose turn is over.
        """
        return self.epoch, self.number

    @property
    def until(self) -> float:
        """No other client has the turn before then, by `time.monotonic()`. Each renewal moves it."""
        return self._lease.until

    @property
    def is_lost(self) -> bool:
        """Whether the turn was lost, or may be within the margin of `lock`. Once it is, it remains so."""
        if self._why is None and not self._is_done:
            # By the clock: the thread that renews may have been stopped together with this one.
            if self._lease.stage == "lost":
                self._why = self._lease.why
            elif self._lease.lost_at <= time.monotonic():
                self._why = self._lease.why_not_renewed
        return self._why is not None

    def check(self) -> None:
        """Raises Lost if the turn is lost. To be called between the steps of a long block."""
        if self.is_lost:
            raise Lost(self._why or "")

    def _finish(self) -> Lost | None:
        """The block has ended. What is lost after that is not its concern."""
        is_lost, self._is_done = self.is_lost, True
        return Lost(self._why or "") if is_lost else None


class _Holder(_Front):
    """The client of a lock."""

    def __init__(
        self, options: Options, address: str, tls: ssl.SSLContext | None, tls_name: str | None, *, grace: float, margin: float
    ) -> None:
        super().__init__(options, address, tls, tls_name)
        self._margin = margin
        self._lease = Lease(self._machine, grace=grace, margin=margin)
        self._troubles = Troubles()
        self._waits: str | None = None
        """What it waits for, once the server has said so."""
        self._unserved: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_done = False
        self._block: asyncio.Task[Any] | None = None
        """The task whose block is cancelled if the turn is lost."""
        self._cancels_before = 0
        self._has_cancelled = self._has_told_loss = False

    async def get(self, timeout: float | None) -> HeldTurn:
        """Waits for a turn that is certainly held."""
        lease, is_once = self._lease, timeout is not None and timeout <= 0

        def is_decided() -> bool:
            return lease.stage != "waiting" or is_once and bool(self._waits or self._unserved)

        self._machine.ask(time.monotonic())
        self._driver.pump()
        try:
            await self._until(is_decided, None if is_once else timeout)
        except TimeoutError:
            why = self._trouble or self._waits or (None if self._is_welcome else "the server did not answer")
            raise TimeoutError(f"no turn within {timeout:g} s" + (f": {printable(why)}" if why else "")) from None
        except Ended as ended:
            if ended.code != "out-of-range":
                raise
            raise Ended(ended.code, f"{ended.words}; the server has to be as turn_lock --serve") from None
        if lease.stage == "too-short":
            raise ValueError(f"margin={self._margin:g} {lease.why}")
        if lease.stage == "lost":
            raise Lost(lease.why)
        if lease.turn is None or lease.stage == "waiting":
            raise TimeoutError(self._waits) if self._waits else ConnectionError(self._unserved)
        return HeldTurn(lease, lease.turn)

    def cancel_if_lost(self) -> None:
        """Has the block of this task cancelled as soon as the turn is lost."""
        self._block = asyncio.current_task()
        if sys.version_info >= (3, 11) and self._block is not None:
            self._cancels_before = self._block.cancelling()

    def take_cancel(self) -> bool:
        """Takes a cancellation of the block back. Returns whether there was one, and nobody else wants to cancel the task."""
        block, self._block = self._block, None
        if not self._has_cancelled or block is None:
            return False
        if sys.version_info >= (3, 11):
            return block.uncancel() <= self._cancels_before
        return True

    async def release(self, lost: Lost | None = None) -> None:
        """Gives the turn and the seat up. What the server has to know is under way before this waits for anything."""
        self._is_done = True
        if lost is not None:
            self._tell_loss(lost.why)
        if self._timer is not None:
            self._timer.cancel()
        self._machine.rest(time.monotonic())
        try:
            await self.leave()
        except Ended:
            pass
        finally:
            self._driver.stop()

    def _hear(self, event: Event) -> None:
        super()._hear(event)
        if self._is_done:
            return
        if isinstance(event, Welcome):
            self._unserved = None
        elif isinstance(event, Waiting) and self._lease.stage == "waiting":
            waits = needs_others(event.needs) if event.needs else "another client has it"
            if event.needs and waits != self._waits:
                _log.warning("%s: %s", self._options.name, waits)
            self._waits = waits
        elif trouble := self._troubles.of(event, is_held=self._lease.stage == "held"):
            self._unserved = trouble
        self._lease.hear(time.monotonic(), event)
        asyncio.get_running_loop().call_soon(self._act)

    def _tell_loss(self, why: str) -> None:
        if not self._has_told_loss:
            self._has_told_loss = True
            _log.warning("%s: the turn is lost: %s", self._options.name, printable(why))

    def _act(self) -> None:
        """Renews the turn when that is due, and notices its loss."""
        if self._is_done:
            return
        lease = self._lease
        lease.act(time.monotonic())
        self._driver.pump()
        if lease.stage == "lost":
            self._tell_loss(lease.why)
            if self._block is not None and not self._has_cancelled:
                self._has_cancelled = self._block.cancel()
        if self._timer is not None:
            self._timer.cancel()
        deadline = lease.next_deadline()
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_later(max(deadline - time.monotonic(), 0), self._act)


# Without asyncio.

T = TypeVar("T")


class _Thread:
    """A thread that runs asyncio."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="taketurns", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise Ended("left", None)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Ended("left", None) from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        async def cancel() -> None:
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        self.call(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _BlockingFront:
    """What is driven on another thread."""

    def __init__(self, front: _Front, thread: _Thread) -> None:
        self._front = front
        self._thread = thread

    @property
    def ring(self) -> str:
        return self._front.ring

    def news(self) -> Iterator[News]:
        """Yields everything that happens, until the client has left. Raises Ended if it had to."""
        while (news := self.next_news()) is not None:
            yield news

    def next_news(self, timeout: float | None = None) -> News | None:
        """Waits for what happens next; None once the client has left. Raises TimeoutError."""
        return self._thread.call(self._front.next_news(timeout))

    def leave(self) -> None:
        """Gives the seat up, or stops watching."""
        self._thread.call(self._front.leave())


class BlockingWatcher(_BlockingFront):
    """A `Watcher` without asyncio: `for news in watcher`. May be used from several threads."""

    def __iter__(self) -> Iterator[News]:
        return self.news()


class BlockingTurn:
    """A `Turn` without asyncio."""

    def __init__(self, turn: Turn, thread: _Thread) -> None:
        self._turn = turn
        self._thread = thread
        self.number = turn.number
        self.epoch = turn.epoch
        self.before = turn.before

    @property
    def deadline(self) -> float:
        """See `Turn.deadline`."""
        return self._turn.deadline

    @property
    def remaining(self) -> float:
        """See `Turn.remaining`."""
        return self._turn.remaining

    @property
    def is_over(self) -> bool:
        """See `Turn.is_over`."""
        return self._turn.is_over

    def answer(self, answer: bytes | str) -> str | None:
        """See `Turn.answer`."""
        return self._thread.call(self._turn.answer(answer))

    def pass_(self) -> None:
        """See `Turn.pass_`."""
        self._thread.call(self._turn.pass_())

    def renew(self) -> float:
        """See `Turn.renew`."""
        return self._thread.call(self._turn.renew())

    def over(self) -> None:
        """See `Turn.over`."""
        self._thread.call(self._turn.over())


class BlockingSeat(_BlockingFront):
    """A `Seat` without asyncio: `for turn in seat`. May be used from several threads."""

    def __init__(self, seat: Seat, thread: _Thread) -> None:
        super().__init__(seat, thread)
        self._seat = seat

    @property
    def name(self) -> str:
        return self._seat.name

    def turns(self) -> Iterator[BlockingTurn]:
        """Yields each turn, until the client has left. Raises Ended if it had to."""
        while (turn := self.next()) is not None:
            yield turn

    def __iter__(self) -> Iterator[BlockingTurn]:
        return self.turns()

    def next(self, timeout: float | None = None) -> BlockingTurn | None:
        """See `Seat.next`."""
        turn = self._thread.call(self._seat.next(timeout))
        return None if turn is None else BlockingTurn(turn, self._thread)

    def ask(self) -> None:
        """See `Seat.ask`."""
        self._thread.call(self._seat.ask())

    def rest(self) -> None:
        """See `Seat.rest`."""
        self._thread.call(self._seat.rest())


F = TypeVar("F", bound=_Front)
B = TypeVar("B", bound=_BlockingFront)


@dataclass
class _Entrance(Generic[F, B]):
    """What `join` and `watch` return: to be entered by `async with`, or by `with`."""

    _make: Callable[[], F]
    _make_blocking: Callable[[F, _Thread], B]
    _timeout: float | None
    _entered: F | None = field(default=None, init=False)
    _thread: _Thread | None = field(default=None, init=False)

    async def __aenter__(self) -> F:
        self._entered = self._make()
        await self._entered._enter(self._timeout)
        return self._entered

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._entered is not None:
            try:
                await self._entered.leave()
            except Ended:
                pass
            finally:
                self._entered._driver.stop()

    def __enter__(self) -> B:
        self._thread = _Thread()
        try:
            return self._make_blocking(self._thread.call(self.__aenter__()), self._thread)
        except BaseException:
            self._thread.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread is not None:
            try:
                self._thread.call(self.__aexit__(None, None, None))
            finally:
                self._thread.close()


class _Lock:
    """What `lock` returns: to be entered by `with`, or by `async with`."""

    def __init__(self, make: Callable[[], _Holder], timeout: float | None) -> None:
        self._make = make
        self._timeout = timeout
        self._holder: _Holder | None = None
        self._turn: HeldTurn | None = None
        self._thread: _Thread | None = None
        self._use = threading.Lock()

    def _begin(self) -> _Holder:
        if not self._use.acquire(blocking=False):
            raise RuntimeError("this lock is in use: call taketurns.lock(...) for each block")
        self._holder = self._make()
        return self._holder

    async def __aenter__(self) -> HeldTurn:
        holder = self._begin()
        try:
            self._turn = await holder.get(self._timeout)
        except BaseException:
            try:
                await holder.release()
            finally:
                self._use.release()
            raise
        holder.cancel_if_lost()
        return self._turn

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._holder is not None and self._turn is not None
        lost, is_our_cancel = self._turn._finish(), self._holder.take_cancel()
        try:
            await self._holder.release(lost)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            # A block that ended before it noticed its cancellation leaves that to whoever waits next, which has to be here.
            if not is_our_cancel:
                raise
        finally:
            self._use.release()
        if lost and (kind is None or is_our_cancel and issubclass(kind, asyncio.CancelledError)):
            raise lost from None

    def __enter__(self) -> HeldTurn:
        holder = self._begin()
        self._thread = thread = _Thread()
        try:
            self._turn = thread.call(holder.get(self._timeout))
        except BaseException:
            self._end(holder, thread)
            raise
        return self._turn

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._holder is not None and self._turn is not None and self._thread is not None
        lost = self._turn._finish()
        self._end(self._holder, self._thread, lost)
        if lost and kind is None:
            raise lost

    def _end(self, holder: _Holder, thread: _Thread, lost: Lost | None = None) -> None:
        try:
            thread.call(holder.release(lost))
        finally:
            thread.close()
            self._use.release()


def join(
    address: str,
    name: str,
    *,
    ring: str = "main",
    weight: int = 1,
    demand: Literal["always", "ask"] | None = None,
    hear: bool = False,
    confirm_go: bool = False,
    ping: float | None = 15.0,
    answer_bytes_max: int = ANSWER_BYTES_MAX,
    allow_plaintext_secrets: bool = False,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    tls_name: str | None = None,
    timeout: float | None = None,
) -> _Entrance[Seat, BlockingSeat]:
    """Takes a seat: `async with join(...) as seat`, or `with` outside asyncio. It is left at the end of the block.

    `address` is HOST:PORT, or several with commas between, of servers that stand by for each other: they are tried in turn. `name` is unique in its ring. `weight`: the turns it wants for each one of another seat, if the ring allows
    that. `demand`: `always`, or `ask` to rest until `Seat.ask`; by default what the ring allows. With `hear`, `Seat.news` has what others
    do. With `confirm_go` the server may confirm an answer with the next turn of the seat, which saves a message, and `Turn.answer` returns
    as late as that. `ping`: the seconds between two signs of life; a connection whose server is silent for as long again is given up.

    `tls` is a context to connect with, such as `ssl.create_default_context()`; the server speaks TLS 1.3 only. Its certificate has to be
    for `tls_name`, by default the host of `address`. `token` is shown to the server, which may have rules that ask for one.

    `allow_plaintext_secrets`: send the secret of the seat and the token to another machine without TLS, too. Nothing protects them on the
    way. Without it, a client that loses its connection to another machine joins anew, once the server has given up its old seat, and one
    with a token gives up.

    `timeout` is the time until the server has given a seat, in seconds. Then TimeoutError is raised; by default the client tries for ever.
    Raises ValueError for names and addresses that cannot be, and Ended if the server does not want the client.
    """
    options = Options(name, ring, weight, demand, hear, ping, answer_bytes_max, allow_plaintext_secrets, token, confirm_go)
    _addresses(address)
    return _Entrance(lambda: Seat(options, address, tls, tls_name), BlockingSeat, timeout)


def watch(
    address: str,
    *,
    ring: str = "main",
    ping: float | None = 15.0,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    tls_name: str | None = None,
    timeout: float | None = None,
) -> _Entrance[Watcher, BlockingWatcher]:
    """Hears a ring without a seat: `async with watch(...) as watcher`, or `with` outside asyncio. See `join`."""
    options = Options(None, ring, ping=ping, token=token)
    _addresses(address)
    return _Entrance(lambda: Watcher(options, address, tls, tls_name), BlockingWatcher, timeout)


def lock(
    address: str,
    ring: str,
    *,
    name: str | None = None,
    timeout: float | None = None,
    margin: float = 5.0,
    grace: float = 10.0,
    allow_plaintext_secrets: bool = False,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    tls_name: str | None = None,
) -> _Lock:
    """Holds a turn of a ring for as long as a block runs: `with lock(...) as turn`, or `async with`. Needs a `turn_lock --serve`.

    It takes a seat that rests, asks, waits for the turn, renews it until the block ends, and leaves. `with` renews from a thread,
    `async with` on the running loop; one that cannot run for long, because of code that blocks the loop or does not release the GIL,
    loses the turn.

    The turn counts as lost `margin` seconds before another client can have it, which is the time that the block has to stop. From then on
    `HeldTurn.is_lost` is true, and `HeldTurn.check` raises Lost. A block of `async with` is cancelled; nothing interrupts one of `with`.
    At the end of the block, Lost is raised, unless the block raises an error of its own.

    `timeout` is the time until the turn is there, in seconds. Then TimeoutError is raised; by default it waits for ever. With
    `timeout=0` it gives up as soon as it would have to wait: TimeoutError if another client has the turn, ConnectionError if no server
    takes this client. Raises ValueError for what cannot be, as does a margin that leaves nothing of a turn of this server, and Ended if
    the server does not want the client.

    `name` is the client's, unique in its ring; by default one of this machine and process. `grace` is the server's `--turn-grace`: how
    long it keeps the turn of a lost connection. For all else, see `join`.
    """
    if not 0 <= margin < grace:
        raise ValueError(f"margin is at least 0 s, and less than grace ({grace:g} s)")
    ping = max((grace - margin) / 4, 0.1)
    options = Options(
        unique_name() if name is None else name, ring, demand="ask", ping=ping,
        allow_plaintext_secrets=allow_plaintext_secrets, token=token,
    )  # fmt: skip
    _addresses(address)
    return _Lock(lambda: _Holder(options, address, tls, tls_name, grace=grace, margin=margin), timeout)
