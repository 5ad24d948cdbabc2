"""A terminal whose shell suspends a program and has it go on.

    python3 suspended.py PROGRAM [ARGUMENT...]

Is the shell of a pseudo-terminal: starts the program in a process group of its own, in the foreground. Prints `before`, `running`,
`stopped`, `background`, `again`, and, for each of some signals that end it, `after NAME` with how it ended, each with the terminal's modes
`echo` and `canonical`.
"""

import os
import pty
import select
import signal
import sys
import termios
import time

from say import say

PATIENCE = 20


def modes(terminal):
    flags = termios.tcgetattr(terminal)[3]
    return f"echo={bool(flags & termios.ECHO)} canonical={bool(flags & termios.ICANON)}"


def wait_for(terminal, what, done):
    """Waits until the terminal is as it should be, and says how it is."""
    end = time.monotonic() + PATIENCE
    while not done(modes(terminal)) and time.monotonic() < end:
        if select.select([terminal], [], [], 0.02)[0]:
            os.read(terminal, 65536)
    say(f"{what} {modes(terminal)}")


OURS, THEIRS = "echo=True canonical=True", "echo=False canonical=False"


def main():
    terminal, side = pty.openpty()
    # Reads for as long as there is a program, so that its output is never stuck.
    os.setsid() if os.getsid(0) != os.getpid() else None
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    import fcntl

    fcntl.ioctl(side, termios.TIOCSCTTY, 0)

    def start():
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.tcsetpgrp(side, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            for fd in (0, 1, 2):
                os.dup2(side, fd)
            os.execv(sys.argv[1], sys.argv[1:])
        return pid

    say("before " + modes(terminal))
    pid = start()
    wait_for(terminal, "running", lambda now: now == THEIRS)
    for name, how in (("stopped", lambda: os.write(terminal, b"\x1a")), ("stopped", lambda: os.kill(pid, signal.SIGTSTP))):
        how()
        _, status = os.waitpid(pid, os.WUNTRACED)
        say(f"{name} {modes(terminal)} {os.WIFSTOPPED(status)}")
        os.tcsetpgrp(side, os.getpgrp())
        # In the background the terminal is not the program's.
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.3)
        say("background " + modes(terminal))
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        os.tcsetpgrp(side, pid)
        os.kill(pid, signal.SIGCONT)
        wait_for(terminal, "again", lambda now: now == THEIRS)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGUSR1, signal.SIGALRM):
        if number != signal.SIGTERM:
            pid = start()
            wait_for(terminal, "running", lambda now: now == THEIRS)
        os.kill(pid, number)
        end = time.monotonic() + PATIENCE
        ended = 0
        while not ended and time.monotonic() < end:
            if select.select([terminal], [], [], 0.02)[0]:
                os.read(terminal, 65536)
            ended, status = os.waitpid(pid, os.WNOHANG)
        say(f"after {number.name} {modes(terminal)} {os.waitstatus_to_exitcode(status) if ended else 'still there'}")
        os.tcsetpgrp(side, os.getpgrp())


if __name__ == "__main__":
    main()
