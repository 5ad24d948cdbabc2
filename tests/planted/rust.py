"""As much of Rust's grammar as finds a function, and tells text from layout and comments."""

import re
from typing import NamedTuple

TOKEN = re.compile(
    r"""(?P<none> //[^\n]* | /\*.*?\*/ | \s+ )
    | [bc]?r(?P<hashes>\#*)".*?"(?P=hashes) | [bc]?"(?:\\.|[^"\\])*"
    | b?'(?:\\[^']*|[^\\'])' | '\w+ | \w+
    | -> | => | :: | \.\.=? | [-+*/%^&|=!<>]= | && | \|\| | .""",
    re.DOTALL | re.VERBOSE)
# An item begins behind these.
BEFORE_ITEM = ("{", "}", ";", "]", ")", "pub", "unsafe", "const")
PAIRS = {"{": "}", "(": ")", "[": "]", "<": ">"}


class Token(NamedTuple):
    text: str
    begin: int
    end: int


class Item(NamedTuple):
    """A function or a constant: `Type::name`, or `name` outside of any type. `begin` and `end` count tokens."""
    name: str
    begin: int
    end: int


def tokens(text):
    return [Token(each[0], each.start(), each.end()) for each in TOKEN.finditer(text) if each["none"] is None]


def items(words):
    """The functions and constants in a file of these tokens, but not those of its `mod tests`."""
    owners, at = [], 0
    while at < len(words):
        while owners and at >= owners[-1].end:
            owners.pop()
        owner = f"{owners[-1].name}::" if owners and owners[-1].name else ""
        begins = at == 0 or words[at - 1] in BEFORE_ITEM
        match words[at:at + 3]:
            case ["mod", "tests", "{"]:
                at = closed(words, at + 2)
                continue
            case ["impl" | "trait", *_] if begins:
                body = until(words, at, "{")
                name = type_of(words[at + 1:body]) if words[at] == "impl" else words[at + 1]
                owners.append(Item(name, at, closed(words, body)))
                at = body
            case ["const" | "static", name, ":"] if begins and name[0].isupper():
                yield Item(owner + name, at, until(words, at, ";") + 1)
            case ["fn", name, "(" | "<"]:
                body = until(words, at, "{", ";")
                yield Item(owner + name, at, closed(words, body) if words[body] == "{" else body + 1)
        at += 1


def closed(words, at):
    """The index behind the bracket that closes the one at `at`."""
    opening, closing, depth = words[at], PAIRS[words[at]], 0
    for index in range(at, len(words)):
        depth += (words[index] == opening) - (words[index] == closing)
        if depth == 0:
            return index + 1
    return len(words)


def until(words, at, *ends):
    """The index of the first of these that stands in no brackets."""
    while at < len(words) and words[at] not in ends:
        at = closed(words, at) if words[at] in ("{", "(", "[") else at + 1
    return at


def type_of(header):
    """The name of the type, from what stands between `impl` and `{`."""
    if header[0] == "<":
        header = header[closed(header, 0):]
    if "for" in header:
        header = header[header.index("for") + 1:]
    path = header[:next((at for at, word in enumerate(header) if word in ("<", "where")), None)]
    return path[-1]
