# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether the files to be renewed are still those of the last look: where systemd sees a change of something else beside them, nothing more is done.

Imports nothing of the collection, so that it costs a start of Python and no more.
"""
from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Iterable

#: {"units": of systemd, of all instances of the last look, "files": {path: status}}; gone after a boot.
KEPT = "/run/postfix-tls-renew.json"


def statuses(paths: Iterable) -> dict:
    """{path: what changes with every change of the file behind it}, null where there is none."""
    return {path: _status(path) for path in paths}


def _status(path: str) -> list | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def nothing_new() -> bool:
    """Whether a unit of ours started this that watches files (systemd.exec(5) TRIGGER_UNIT, since 252), and all of them were served as they are."""
    try:
        with open(KEPT, encoding="utf-8") as file:
            kept = json.load(file)
        return os.environ.get("TRIGGER_UNIT") in kept["units"] and statuses(kept["files"]) == kept["files"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def keep(units: Iterable, files: dict) -> None:
    """After a look that found everything served. files: their statuses from before it."""
    with suppress(OSError):
        descriptor = os.open(KEPT + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"units": list(units), "files": files}, file)
        os.rename(KEPT + ".new", KEPT)


def forget() -> None:
    """After a look that found something wrong, the next one is thorough whatever starts it."""
    with suppress(OSError):
        os.unlink(KEPT)
