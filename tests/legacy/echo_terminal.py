r"""A person at a terminal: runs a program in a pseudo-terminal and types whenever it asks.

    python3 echo_terminal.py PROMPT KEYS... -- PROGRAM ARGUMENTS...

Each of KEYS is typed when PROMPT stands at the end of the screen; escapes such as `\n`, `\x04` (Ctrl-D) and
`\x03` (Ctrl-C) are understood. Prints all that the terminal showed, and `exit CODE` as its last line (minus
the signal's number if a signal ended it).
"""

import os
import pty
import select
import sys
import time

from say import say

PATIENCE = 20


def main():
    at = sys.argv.index("--")
    prompt, keys = sys.argv[1].encode(), [key.encode().decode("unicode_escape") for key in sys.argv[2:at]]
    program = sys.argv[at + 1:]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(program[0], program)
    screen, typed = b"", 0
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if keys and screen[typed:].endswith(prompt):
            typed = len(screen)
            os.write(terminal, keys.pop(0).encode())
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break  # Linux says this where others say that the stream has ended.
            if not data:
                break
            screen += data
    else:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    say(screen.decode(errors="backslashreplace"))
    say(f"exit {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
