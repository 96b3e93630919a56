# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Commands, Postfix's above all: in the C locale, and where system administrators' commands lie.

AnsibleModule.run_command writes all of stdin before it reads, and both sides wait for ever once the answers fill a pipe (64 KiB): postmap answers each
line as it comes.
"""
from __future__ import annotations

import os
import subprocess

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run


def runner(**environment: str) -> Run:
    """environment: further variables."""
    return lambda argv, stdin=None: run(argv, stdin, **environment)


def run(argv: list, stdin: str | None = None, **environment: str) -> tuple:
    """(exit status, stdout, stderr). A command that is not there raises FileNotFoundError."""
    path = "/usr/sbin:/sbin:%s" % os.environ.get("PATH", "/usr/bin:/bin")
    done = subprocess.run(
        argv, input=stdin or "", capture_output=True, check=False, encoding="utf-8", errors="surrogateescape",
        env={**os.environ, "LC_ALL": "C", "PATH": path, **environment},
    )
    return done.returncode, done.stdout, done.stderr
