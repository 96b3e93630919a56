# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Has master(8) stop between deliveries instead of within them: waits for those, then becomes the command that restarts it.

C(postfix stop) signals everything at once. A delivery that dies between the receiver's confirmation and its own note in the queue file is
made again after the start, and the message arrives twice (RFC 1047). So first the queue manager goes, while master can't start another:
what is being delivered ends by itself, and is noted. Whoever takes longer than the limit is cut off as ever.

A program of its own, run by its source text, so that it goes on when the run that called it is killed.
Source: deliver_request.c (a message being delivered is locked), master_sig.c, proc(5).
"""
from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from contextlib import suppress


def drain(queue: str, master: int, limit: float) -> None:
    """queue: queue_directory. limit: in seconds. Returns with master held, and nobody delivering."""
    os.kill(master, signal.SIGSTOP)
    for manager in managers(master):
        with suppress(ProcessLookupError):
            os.kill(manager, signal.SIGTERM)
    deadline = time.monotonic() + limit
    while delivering(queue) and time.monotonic() < deadline:
        time.sleep(0.05)


def release(master: int, limit: float) -> None:
    """Lets master go on once it has been told to stop, or after the limit: before, it would start another queue manager."""
    deadline = time.monotonic() + limit
    while not told_to_stop(master) and time.monotonic() < deadline:
        time.sleep(0.001)  # a moment later, postfix stop sleeps a second before it looks again
    os.kill(master, signal.SIGCONT)


def told_to_stop(process: int) -> bool:
    """Whether SIGTERM waits for a process that is held."""
    with open("/proc/%d/status" % process, encoding="ascii", errors="replace") as file:
        pending = [int(line.split()[1], 16) for line in file if line.startswith("ShdPnd:")]
    return bool(pending and pending[0] >> (signal.SIGTERM - 1) & 1)


def running(process: int) -> tuple:
    """(program, parent) of a process; (None, None) of one that is gone or dead, and where there is no /proc."""
    with suppress(OSError):
        with open("/proc/%d/stat" % process, encoding="ascii", errors="replace") as file:
            program, _close, rest = file.read().partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        if state not in ("Z", "X"):
            return program, int(parent)
    return None, None


def is_master(process: int) -> bool:
    """Whether it is one, by its name: the number in a file may be somebody else's by now."""
    return running(process)[0] == "master"


def managers(master: int) -> list:
    """The process numbers of master's queue manager."""
    processes = map(int, filter(str.isdigit, os.listdir("/proc")))
    return [process for process in processes if running(process) in (("qmgr", master), ("oqmgr", master))]


def delivering(queue: str) -> bool:
    """Whether a message in the active queue is locked by somebody."""
    with suppress(OSError):
        with open("/proc/locks", encoding="ascii") as file:
            rows = [line.split() for line in file]
        locked = {int(row[-3].rpartition(":")[2]) for row in rows if "FLOCK" in row}
        for directory, _folders, files in os.walk(os.path.join(queue, "active")):
            if any(inode(os.path.join(directory, name)) in locked for name in files):
                return True
    return False


def inode(path: str) -> int | None:
    with suppress(FileNotFoundError):
        return os.stat(path).st_ino
    return None


def main() -> None:
    lock, queue, number, limit, *command = sys.argv[1:]
    # Kept through exec, and by no child of it: who restarts next waits until this restart is done, whoever has died meanwhile.
    held = os.open(lock, os.O_RDWR)
    os.set_inheritable(held, True)
    fcntl.lockf(held, fcntl.LOCK_EX)
    master = int(number)
    with suppress(OSError):  # one that is gone needs no stopping
        if is_master(master):
            drain(queue, master, float(limit))
            if os.fork() == 0:
                with suppress(OSError):
                    release(master, float(limit))
                os._exit(0)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
