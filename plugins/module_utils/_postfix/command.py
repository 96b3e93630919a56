# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Commands, Postfix's above all, run by an Ansible module: in the C locale, and where system administrators' commands lie."""
from __future__ import annotations

import os
import subprocess

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run

_PATH = "/usr/sbin:/sbin"


def runner(module, **environment: str) -> Run:
    """module: AnsibleModule. environment: further variables. A command that is not there raises FileNotFoundError."""
    def run(argv: list, stdin: str | None = None) -> tuple:
        if stdin is not None:
            return fed(argv, stdin, **environment)
        return module.run_command(argv, path_prefix=_PATH, environ_update={"LC_ALL": "C", **environment}, handle_exceptions=False)
    return run


def fed(argv: list, stdin: str, **environment: str) -> tuple:
    """(exit status, stdout, stderr) of a command that answers line by line: AnsibleModule.run_command writes all of stdin before it reads, and then
    both sides wait for each other once the answers fill a pipe (64 KiB).
    """
    path = "%s:%s" % (_PATH, os.environ.get("PATH", ""))
    done = subprocess.run(
        argv, input=stdin, capture_output=True, check=False, text=True, encoding="utf-8", errors="surrogateescape",
        env={**os.environ, "LC_ALL": "C", "PATH": path, **environment},
    )
    return done.returncode, done.stdout, done.stderr
