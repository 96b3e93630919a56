# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Restarts master(8) between deliveries instead of within them, and does so to the end, whoever has died meanwhile.

C(postfix stop) signals everything at once. A delivery that dies between the receiver's confirmation and its own note in the queue file is
made again after the start, and the message arrives twice (RFC 1047). So first the queue manager goes, while master can't start another:
what is being delivered ends by itself, and is noted. Whoever takes longer than the limit is cut off as ever.

A program of its own, run by its source text in a session of its own: where the connection drops that Ansible came by, the kernel hangs up
on all that has its terminal (SIGHUP), sudo passes TERM on, and nobody reads its output any more. Whoever lets master go on is there before
master is held, and does so at the latest after a time limit or when this program dies.
Source: deliver_request.c (a message being delivered is locked), master_sig.c, proc(5), termios(3) (hangup).
"""
from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

#: Said on standard output as soon as this program runs, so that its caller knows whether it ever did.
BEGUN = b"begun\n"

#: As sysexits.h has it (EX_TEMPFAIL), where another restart or this one does not end in time.
NOT_IN_TIME = 75


def drain(queue: str, master: int, limit: float) -> int:
    """queue: queue_directory. limit: in seconds. Returns with master held, and nobody delivering, what keeps its guardian patient."""
    guarded = guard(master, limit)
    os.kill(master, signal.SIGSTOP)
    for manager in managers(master):
        with suppress(ProcessLookupError):
            os.kill(manager, signal.SIGTERM)
    deadline = time.monotonic() + limit
    while delivering(queue) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.write(guarded, b"drained")
    return guarded


def guard(master: int, limit: float) -> int:
    """Forks the process that will let master go on. Returns a descriptor: written to, it looks more often; closed, it lets master go on at once."""
    (ours, theirs), (apart, coming) = os.pipe(), os.pipe()
    if os.fork() == 0:
        try:
            os.setsid()
            for end in (theirs, coming):
                os.close(end)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):  # nobody who reads those has to wait for it
                os.dup2(nowhere, stream)
            release(master, ours, limit)
        finally:
            os._exit(0)
    for end in (ours, coming):
        os.close(end)
    os.read(apart, 1)  # until it is out of reach of whoever ends this session
    os.close(apart)
    return theirs


def release(master: int, guarded: int, limit: float) -> None:
    """Lets master go on once it has been told to stop: before, it would start another queue manager. At the latest when guarded
    is closed at its other end, or after twice the limit, in seconds: once for the deliveries, once for the command.
    """
    deadline, pause = time.monotonic() + 2 * limit, 0.05
    with suppress(OSError):
        while not told_to_stop(master) and time.monotonic() < deadline:
            if select.select([guarded], [], [], pause)[0]:
                if not os.read(guarded, 16):
                    break
                pause = 0.001  # a moment later, postfix stop sleeps a second before it looks again
    resume(master)


def resume(master: int) -> None:
    """One that does not stand still is not disturbed by it."""
    with suppress(OSError):
        if is_master(master):
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


def alone(lock: str, limit: float) -> bool:
    """Whether no other restart is under way, after seconds of waiting for it. Holds until this process ends, and no child of it does."""
    held, deadline = os.open(lock, os.O_RDWR), time.monotonic() + limit
    while True:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > deadline:
                return False
        time.sleep(0.05)


def carried_out(command: list, limit: float) -> tuple:
    """(exit status, what it said) of a command, ended with all its group after seconds. What it starts may keep its output open."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        try:
            status, late = process.wait(limit), b""
        except subprocess.TimeoutExpired:
            status, late = NOT_IN_TIME, b"error: it did not end within %d s, and was ended\n" % limit
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        said.seek(0)
        return status, late + said.read()


def main() -> None:
    for hangup in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(hangup, signal.SIG_IGN)
    lock, queue, number, limit, patience, *command = sys.argv[1:]
    master, guarded = int(number), None
    with suppress(OSError):
        os.write(1, BEGUN)
    if not alone(lock, float(patience)):
        status, told = NOT_IN_TIME, b"error: another restart of Postfix has not ended within %s s\n" % patience.encode()
    else:
        with suppress(OSError):  # one that is gone needs no stopping
            if is_master(master):
                guarded = drain(queue, master, float(limit))
        status, told = carried_out(command, float(patience))
        if guarded is not None:
            os.close(guarded)
    with suppress(OSError):
        os.write(2, told)
    raise SystemExit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
