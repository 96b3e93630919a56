# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What Ansible leaves of a run that was killed without pipelining: the module in a temporary directory, with the key among its arguments.

Ansible removes it itself when the run ends, however that ends, unless its shell was killed too. Only directories that hold our module are
looked at, and only once no run can still need them.
"""
from __future__ import annotations

import os
import pwd
import stat
import time
from contextlib import suppress

#: Seconds after which nobody needs one any more.
OLD = 6 * 3600.0

#: remote_tmp and system_tmpdirs as Ansible has them by default; the first is below a home.
_HOME, _SYSTEM = (".ansible", "tmp"), ("/tmp", "/var/tmp")

_MODULE = "AnsiballZ_postfix_tls.py"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def discard() -> int:
    """Those of root and of whoever became root. Returns how many. What can't be removed stays: this is no reason to fail."""
    gone = 0
    for user in _users():
        with suppress(OSError):
            gone += _discard_in(os.open(user.pw_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), _HOME, (0, user.pw_uid))
    for path in _SYSTEM:
        with suppress(OSError):
            gone += _discard_in(os.open(path, _FOLDER), (), tuple(user.pw_uid for user in _users()))
    return gone


def _users() -> list:
    found = []
    for name in dict.fromkeys(("root", os.environ.get("SUDO_USER"), os.environ.get("DOAS_USER"))):
        with suppress(KeyError):
            found += [pwd.getpwnam(name)] if name else []
    return found


def _discard_in(at: int, below: tuple, owners: tuple) -> int:
    """at: a descriptor, which is closed. owners: of directories that may be removed."""
    gone = 0
    try:
        for name in below:
            deeper = os.open(name, _FOLDER, dir_fd=at)
            os.close(at)
            at = deeper
        for name in os.listdir(at):
            if name.startswith("ansible-tmp-"):
                with suppress(OSError):
                    gone += _discard_one(at, name, owners)
    finally:
        os.close(at)
    return gone


def _discard_one(parent: int, name: str, owners: tuple) -> bool:
    at = os.open(name, _FOLDER, dir_fd=parent)
    try:
        status = os.fstat(at)
        names = os.listdir(at)
        modes = [os.stat(file, dir_fd=at, follow_symlinks=False).st_mode for file in names]
        if _MODULE not in names or status.st_uid not in owners or time.time() - status.st_mtime < OLD or not all(map(stat.S_ISREG, modes)):
            return False
        for file in names:
            os.unlink(file, dir_fd=at)
        os.rmdir(name, dir_fd=parent)
    finally:
        os.close(at)
    return True
