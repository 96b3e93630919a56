# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The last proven state of every file a transaction touches, kept on the host until a newer one is proven.

C(pending/) exists from before the first byte changes until commit or restore: whoever finds it knows that a run died.
C(previous/) is the state before the last committed change, for a deliberate rollback. Each holds C(manifest.json),
which makes it valid, and a copy per file. The directory is root's alone: copies hold keys.
"""
from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from contextlib import contextmanager
from typing import Iterable, Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

ROOT = "/var/lib/mailsec-postfix_tls"


class Kept:
    """The kept states of one Postfix instance."""

    def __init__(self, config_directory: str, root: str = ROOT) -> None:
        self.directory = os.path.join(root, config_directory.strip("/").replace("/", "-"))
        self.pending = Generation(os.path.join(self.directory, "pending"))
        self.previous = Generation(os.path.join(self.directory, "previous"))

    @contextmanager
    def locked(self, wait: float = 60.0) -> Iterator[None]:
        """One run at a time; a second waits, then gives up with an error."""
        try:
            files.make_directory(self.directory, 0o700)
            file = open(os.path.join(self.directory, "lock"), "w", encoding="ascii")
        except OSError as error:
            raise PostfixTlsError(
                self.directory, None, "the state before a change can't be kept there (%s)" % error.strerror,
                "Make it writable for root; nothing was changed.",
            ) from None
        with file:
            deadline = time.monotonic() + wait
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise PostfixTlsError(
                            self.directory, None, "another run has been changing this Postfix for over %g s" % wait,
                            "Wait for it to end, then run again; nothing was changed.",
                        ) from None
                    time.sleep(0.1)
            yield

    def commit(self, kind: str) -> str:
        """What was pending becomes the one generation back. Returns its id, which C(state=restored) may name."""
        try:
            self.pending.mark(kind)
            self.previous.discard()
            os.rename(self.pending.directory, self.previous.directory)
        except (PostfixTlsError, OSError) as error:
            raise PostfixTlsError(
                self.directory, None, "the change stands, but the state before it can't be put by (%s)" % error,
                "Free some space or make it writable, then run again.",
            ) from None
        return self.previous.id


class Generation:
    """One kept state."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._manifest = os.path.join(directory, "manifest.json")

    def exists(self) -> bool:
        return os.path.exists(self._manifest)

    @property
    def id(self) -> str:
        return self._load()["id"]

    @property
    def kind(self) -> str:
        return self._load().get("kind", "")

    def keep(self, changes: Iterable) -> None:
        """Adds the state before each change; what is kept already stays, for it is the older, proven one."""
        try:
            manifest = self._load() if self.exists() else self._fresh()
            known = {row["path"] for row in manifest["files"]}
            for change in changes:
                if change.path in known:
                    continue
                row = {"path": change.path, "content": None, "secret": change.secret}
                row.update(mode=change.before.mode, uid=change.before.uid, gid=change.before.gid)
                if change.before.content is not None:
                    row["content"] = str(len(manifest["files"]))
                    files.write(os.path.join(self.directory, row["content"]), FileState(change.before.content, 0o600))
                manifest["files"].append(row)
            self._save(manifest)
        except OSError as error:
            raise PostfixTlsError(
                self.directory, None, "the state before the change can't be kept (%s)" % error.strerror,
                "Free some space or make it writable; nothing was changed.",
            ) from None

    def mark(self, kind: str) -> None:
        self._save(dict(self._load(), kind=kind))

    def states(self) -> list:
        """(path, FileState, secret) of every file kept, in the order to put them back: main.cf before what it referred to."""
        rows = reversed(self._load()["files"])
        return [(row["path"], self._state(row), row["secret"]) for row in rows]

    def discard(self) -> None:
        """The manifest goes first, so that a half removed generation is never taken for a whole one."""
        if self.exists():
            os.unlink(self._manifest)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _state(self, row: dict) -> FileState:
        content = None
        if row["content"] is not None:
            with open(os.path.join(self.directory, row["content"]), "rb") as file:
                content = file.read()
        return FileState(content, row["mode"], row["uid"], row["gid"])

    def _fresh(self) -> dict:
        shutil.rmtree(self.directory, ignore_errors=True)
        files.make_directory(self.directory, 0o700)
        return {"id": "%d-%d" % (time.time() * 1000, os.getpid()), "files": []}

    def _load(self) -> dict:
        with open(self._manifest, encoding="utf-8") as file:
            return json.load(file)

    def _save(self, manifest: dict) -> None:
        files.write(self._manifest, FileState(json.dumps(manifest, indent=1).encode(), 0o600))
