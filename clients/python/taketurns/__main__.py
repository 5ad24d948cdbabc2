"""`python -m taketurns`: take turns from a shell, or run a command while one has the turn."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import ssl
import sys
import threading
from collections.abc import Coroutine
from typing import Any, NoReturn

import taketurns
from taketurns import printable


def main(words: list[str]) -> int:
    words, command = _split(words)
    parser = argparse.ArgumentParser(prog="python -m taketurns", description="A client of a taketurns server.", allow_abbrev=False)
    parser.add_argument("-V", "--version", action="version", version=f"taketurns {taketurns.__version__}")
    programs = parser.add_subparsers(dest="program", required=True, metavar="join | lock")
    _describe_join(programs.add_parser("join", allow_abbrev=False, help="answer each turn with a line of standard input"))
    _describe_lock(programs.add_parser("lock", allow_abbrev=False, help="run a command while it holds the turn: flock over the network"))
    options = parser.parse_args(words)
    try:
        options.token, options.context = _token(options), _context(options)
    except (OSError, ValueError) as error:
        return complain(str(error))
    if options.program == "join":
        return _run(_join(options))
    if not command:
        parser.error("expected a command, as in: lock gpu0 -- make test")
    if not hasattr(os, "waitid"):
        return complain("lock needs waitid(2), which this system or this Python lacks")
    from taketurns import _lock

    return _run(_lock.lock(options, command))


def _run(program: Coroutine[Any, Any, int]) -> int:
    """Runs a program. asyncio.run would wait for the thread of a resolver that does not answer, and so would the end of Python: see `run`."""
    return asyncio.new_event_loop().run_until_complete(program)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Cuts the command off, which may have options and a -- of its own."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def _describe(parser: argparse.ArgumentParser) -> None:
    server = os.environ.get("TAKETURNS_CONNECT") or "127.0.0.1:5001"
    parser.add_argument(
        "--connect", metavar="HOST:PORT", default=server, type=_server,
        help="the server, or several with commas between, which stand by for each other. Default: the environment variable TAKETURNS_CONNECT, else 127.0.0.1:5001",
    )  # fmt: skip
    parser.add_argument(
        "--allow-plaintext-secrets", action="store_true",
        help="send the secret that resumes a seat, and the token, to other machines in plain text, too",
    )  # fmt: skip
    parser.add_argument(
        "--token-file", metavar="FILE",
        help="the file with the token to show to the server. Default: the environment variable TAKETURNS_TOKEN has the token, else none",
    )  # fmt: skip
    _variable(parser, "--tls", "speak TLS 1.3 with the server, and check its certificate", is_switch=True)
    _variable(parser, "--tls-ca", "the authorities of servers (PEM). Default: those of this system", "FILE")
    _variable(parser, "--tls-cert", "the certificate to show to a server that asks for one (PEM)", "FILE")
    _variable(parser, "--tls-key", "the private key of that certificate (PEM)", "FILE")
    _variable(parser, "--tls-name", "the name that the server's certificate has to be for. Default: the host of --connect", "NAME")


def _variable(parser: argparse.ArgumentParser, option: str, about: str, metavar: str | None = None, *, is_switch: bool = False) -> None:
    """An option whose default is in the environment."""
    name = "TAKETURNS_" + option[2:].upper().replace("-", "_")
    about, default = f"{about}. Environment: {name}", os.environ.get(name) or None
    if is_switch:
        if default not in (None, "0", "1"):
            parser.error(f"{name} is 1 or 0, and {default!r} is neither")
        parser.add_argument(option, action="store_true", default=default == "1", help=about)
    else:
        parser.add_argument(option, metavar=metavar, default=default, help=about)


def _token(options: argparse.Namespace) -> str | None:
    """The token to show. It is no option, because others on this machine can read those."""
    if options.token_file is None:
        return os.environ.get("TAKETURNS_TOKEN") or None
    with open(options.token_file, encoding="utf-8") as file:
        return file.read().strip()


def _context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls:
        return None
    for file in filter(None, [options.tls_ca, options.tls_cert, options.tls_key]):
        open(file, "rb").close()  # An error of ssl names no file.
    context = ssl.create_default_context(cafile=options.tls_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if options.tls_cert:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    return context


def _describe_join(parser: argparse.ArgumentParser) -> None:
    _describe(parser)
    parser.add_argument("name", help="the client's name, unique in its ring")
    parser.add_argument("--ring", default="main", help="the ring to join. Default: main")
    parser.add_argument("--weight", type=int, default=1, help="turns for each turn of a client of weight 1. Default: 1")
    parser.add_argument("--demand", choices=["always", "ask"], help="when the client wants turns. Default: what the ring allows")
    parser.add_argument("--hear", action="store_true", help="print what others do")
    parser.add_argument("--confirm-go", action="store_true", help="have answers confirmed with the next turn, which saves a message")
    parser.add_argument("--answer", metavar="TEXT", help="the answer of every turn, instead of the lines of standard input")
    parser.add_argument("--count", type=int, metavar="N", help="end when as many answers are accepted")


def _describe_lock(parser: argparse.ArgumentParser) -> None:
    _describe(parser)
    parser.usage = "python -m taketurns lock RING [options] -- COMMAND..."
    parser.description = (
        "Runs a command while it holds the turn. Exits with the code of the command, with 75 if the turn did not come in time, or with 76 "
        "if the turn was lost and the command was ended. TAKETURNS_EPOCH and TAKETURNS_TURN are in its environment. Needs a server whose "
        "seats rest until they ask: turn_lock --serve."
    )
    parser.epilog = (
        "Without a server that takes this client, --try exits with 1 after one attempt, --timeout with 75 at its end, and with neither "
        "it tries again until there is one. Other codes: 1 if the server refuses this client for good, or for a name that cannot be; 2 "
        "for wrong usage; 126 if the command cannot be run; 127 if there is none of that name; 128 plus the signal that ended it. "
        "Times have a unit: 1500ms, 30s, 2m. The command cannot read from a terminal."
    )
    parser.add_argument("ring", metavar="RING", help="one client of it runs its command at a time")
    parser.add_argument(
        "--try", dest="at_once", action="store_true", help="give up with 75 if another client has the turn, with 1 if no server takes this one"
    )
    parser.add_argument(
        "--timeout", metavar="TIME", type=_time, help="give up with 75 if the turn has not come by then, even for want of a server. Default: never"
    )
    parser.add_argument(
        "--kill-after", metavar="TIME", type=_time, default=5.0,
        help="time between SIGTERM and the earliest moment another client can have the turn; SIGKILL comes before that. Default: 5s",
    )  # fmt: skip
    parser.add_argument(
        "--grace", metavar="TIME", type=_time, default=10.0,
        help="the server's --turn-grace: how long it keeps the turn of a lost connection. Default: 10s",
    )  # fmt: skip
    parser.add_argument(
        "--keep-going", action="store_true", help="leave the command running when the turn is lost, and exit with 76 when it ends"
    )


def _server(text: str) -> str:
    try:
        taketurns._addresses(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _time(text: str) -> float:
    found = re.fullmatch("([0-9]{1,9})(ms|s|m)", text, re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: expected a number with a unit, as in 1500ms, 30s or 2m")
    return int(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found[2]]


def complain(text: str) -> int:
    """Prints one line to standard error, and returns the exit code of a failure."""
    print(printable(text), file=sys.stderr, flush=True)
    return 1


class _Lines:
    """The lines of standard input, read by a thread when they are wanted: a read that waits for a person must not delay the end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._line: asyncio.Future[bytes | None] = self._loop.create_future()
        self._wanted = threading.Semaphore()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # Not through sys.stdin, whose lock this thread would hold when the program ends.
        kept, is_open = b"", True
        while self._wanted.acquire():
            while is_open and b"\n" not in kept:
                read = os.read(0, 64 * 1024)
                kept, is_open = kept + read, bool(read)
            line, end, kept = kept.partition(b"\n")
            self._loop.call_soon_threadsafe(self._line.set_result, line if line or end else None)

    async def peek(self) -> bytes | None:
        """Waits for the next line; None at the end of the input."""
        return await asyncio.shield(self._line)

    def drop(self) -> None:
        """Goes on to the next line."""
        self._line = self._loop.create_future()
        self._wanted.release()


async def _join(options: argparse.Namespace) -> int:
    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    assert here is not None
    signals: list[int] = []

    def end(number: int) -> None:
        if signals:
            os._exit(128 + number)
        signals.append(number)
        here.cancel()

    with contextlib.suppress(NotImplementedError):  # Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end, number)
    try:
        entrance = taketurns.join(
            options.connect, options.name, ring=options.ring, weight=options.weight, demand=options.demand, hear=options.hear,
            confirm_go=options.confirm_go, allow_plaintext_secrets=options.allow_plaintext_secrets, token=options.token,
            tls=options.context, tls_name=options.tls_name,
        )  # fmt: skip
        async with entrance as seat:
            print(f"{seat.name} has a seat in {seat.ring}", file=sys.stderr)
            reporter = loop.create_task(_report(seat))
            try:
                await _play(seat, options)
            finally:
                reporter.cancel()
    except asyncio.CancelledError:
        return 0
    except (taketurns.Ended, ValueError) as error:
        return complain(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


async def _play(seat: taketurns.Seat, options: argparse.Namespace) -> None:
    lines = None if options.answer is not None else _Lines()
    accepted = 0
    while options.count is None or accepted < options.count:
        if options.demand == "ask":
            if lines and await lines.peek() is None:
                return
            await seat.ask()
        turn = await seat.next()
        if turn is None:
            return
        while not turn.is_over:
            print(f"turn {turn.number} is yours, for {turn.remaining:.0f} s", file=sys.stderr)
            if lines is None:
                answer: bytes | None = options.answer.encode()
            else:
                answer = await _first(lines.peek(), turn.over())
                if turn.is_over:
                    complain(f"turn {turn.number} is over")
                    break
            if answer is None:
                return
            try:
                await turn.answer(answer)
            except taketurns.Refused as refused:
                complain(f"turn {turn.number}: {refused}")
                if lines is None and refused.held:
                    await turn.pass_()
                elif lines is not None:
                    lines.drop()
                continue
            except taketurns.Lapsed as lapsed:
                complain(f"turn {turn.number}: {lapsed}; the answer is given again")
                break
            except taketurns.Unknown as unknown:
                complain(f"turn {turn.number}: {unknown}; it is not given again")
            else:
                print(f"{seat.name} sent: {printable(answer)}", flush=True)
                accepted += 1
            if lines is not None:
                lines.drop()


async def _first(line: Coroutine[Any, Any, bytes | None], over: Coroutine[Any, Any, None]) -> bytes | None:
    """Waits for the first of the two, and returns the line if it was that."""
    lines, ends = asyncio.ensure_future(line), asyncio.ensure_future(over)
    try:
        await asyncio.wait([lines, ends], return_when=asyncio.FIRST_COMPLETED)
    finally:
        lines.cancel()
        ends.cancel()
        await asyncio.gather(lines, ends, return_exceptions=True)
    return None if lines.cancelled() else lines.result()


async def _report(seat: taketurns.Seat) -> None:
    """Prints what happens besides the client's own turns."""
    try:
        async for news in seat.news():
            _print(news)
    except (taketurns.Ended, BrokenPipeError):
        pass  # The end is told once, where turns are awaited.


def _print(news: taketurns.News) -> None:
    if isinstance(news, taketurns.Said):
        print("\n".join(map(printable, news.words.splitlines())), flush=True)  # A board has several lines.
    elif isinstance(news, taketurns.Answered):
        print(f"{printable(news.name)}: {printable(news.answer)}", flush=True)
    elif isinstance(news, taketurns.Skipped):
        complain(f"* turn {news.turn} of {news.name} is over: {news.how}")
    elif isinstance(news, (taketurns.Joined, taketurns.Away, taketurns.Back, taketurns.Left)):
        complain(f"* {news.name}: {type(news).__name__.lower()}")
    elif isinstance(news, taketurns.Rejected):
        complain(f"refused: {news.code}: {news.words}")
    elif isinstance(news, taketurns.Waiting) and news.needs:
        complain(f"the ring needs {news.needs} more")


def run() -> NoReturn:
    code = main(sys.argv[1:])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
