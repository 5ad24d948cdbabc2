"""Somebody at a terminal: runs a program in a pseudo-terminal, types what comes on standard input, and shows the screen.

    python3 rank_terminal.py PROGRAM [ARGUMENT...] < WHAT IS TYPED

Each line of the input is typed with Enter, its end is Ctrl-D. `\\` at the end of a line: typed without Enter. After each piece of
output prints `raw PIECE` (its `repr`); when the program is over, `screen LINE` for each line as a person sees it, and `exit CODE`.
"""

import os
import pty
import select
import sys

from say import say


def screen_of(text):
    lines, column = [""], 0
    text = text.replace("\x1b[K", "\0")
    for char in text:
        if char == "\r":
            column = 0
        elif char == "\n":
            lines.append("")
        elif char == "\0":
            lines[-1] = lines[-1][:column]
        else:
            lines[-1] = lines[-1][:column].ljust(column) + char + lines[-1][column + 1 :]
            column += 1
    return lines


def main():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    seen, sources = b"", [terminal, 0]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if terminal in ready:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                piece = b""
            if not piece:
                break
            seen += piece
            say(f"raw {piece.decode(errors='replace')!r}")
        if 0 in ready:
            typed = os.read(0, 65536)
            if not typed:
                sources.remove(0)
                typed = b"\x04"
            os.write(terminal, typed.replace(b"\\\n", b""))
    for line in screen_of(seen.decode(errors="replace")):
        say("screen " + line)
    say(f"exit {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")


if __name__ == "__main__":
    main()
