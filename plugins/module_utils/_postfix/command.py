# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Commands, Postfix's above all: in the C locale, where system administrators' commands lie, and none for ever.

AnsibleModule.run_command writes all of stdin before it reads, and both sides wait for ever once the answers fill a pipe (64 KiB): postmap answers each
line as it comes. Nor does it know a time limit, and Postfix's commands can wait for ever: for postlogd(8) that waits for itself, for a table
behind a server that is silent.
"""
from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run

#: Seconds, by a command's name, and for all others. Who knows better says so (limit): what grows with the mail queue, see C(service).
_LIMITS = {
    "certbot": 1800.0,  # hooks may wait for DNS to be known everywhere
    "journalctl": 20.0,
    "postconf": 30.0,
    "postmap": 30.0,
}
_LIMIT = 60.0

#: Seconds in which a command may end by itself once it has been told to.
_ENDING = 2.0


def runner(**environment: str) -> Run:
    """environment: further variables. What it returns takes a limit, too, as run does."""
    return lambda argv, stdin=None, **limit: run(argv, stdin, **limit, **environment)


def run(argv: list, stdin: str | None = None, limit: float | None = None, **environment: str) -> tuple:
    """(exit status, stdout, stderr). A command that is not there raises FileNotFoundError.

    One that takes longer than limit, in seconds, is ended with all it started, and raises PostfixTlsError. It has a session of its own,
    so that whoever hangs up on this process does not hang up on it.
    """
    path = "/usr/sbin:/sbin:%s" % os.environ.get("PATH", "/usr/bin:/bin")
    most = limit or _LIMITS.get(os.path.basename(argv[0]), _LIMIT)
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="surrogateescape",
        env={**os.environ, "LC_ALL": "C", "PATH": path, **environment}, start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin or "", most)
    except subprocess.TimeoutExpired:
        _end(process)
        raise PostfixTlsError(
            " ".join(argv[:8]), None, "it did not end within %g s, and was ended" % most, "Run it by hand to see what it waits for.",
        ) from None
    return process.returncode, out, err


def _end(process: subprocess.Popen) -> None:
    """The whole group. What left it may keep the pipes open: nobody waits for that."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_ENDING)
            return
