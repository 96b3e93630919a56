# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The last proven state of every file a transaction touches, kept on the host until a newer one is proven.

C(pending/) exists from before the first byte changes until commit or restore: whoever finds it knows that a run died.
C(previous/) is the state before the last committed change, for a deliberate rollback; C(retired/) is what it was before that, for
the moment in which a commit is under way. Each holds C(manifest.json), which makes it valid, and a copy per file.
The directory is root's alone: copies hold keys.
"""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from typing import IO, Callable, Iterable, Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan

ROOT = "/var/lib/mailsec-postfix_tls"


class Kept:
    """The kept states of one Postfix instance."""

    def __init__(self, config_directory: str, root: str = ROOT) -> None:
        self.directory = os.path.join(root, config_directory.strip("/").replace("/", "-"))
        self.pending = Generation(os.path.join(self.directory, "pending"))
        self.previous = Generation(os.path.join(self.directory, "previous"))
        self.lock = os.path.join(self.directory, "lock")
        self._retired = Generation(os.path.join(self.directory, "retired"))

    @contextmanager
    def locked(self, wait: float = 60.0) -> Iterator[list]:
        """One run at a time; a second waits, then gives up with an error. What a killed run left is mended first.

        Gives the changes of files that this took, for files to be as they were proven last.
        """
        try:
            files.make_directory(self.directory, 0o700)
            file = open(self.lock, "w", encoding="ascii")
        except OSError as error:
            raise PostfixTlsError(
                self.directory, None, "the state before a change can't be kept there (%s)" % error.strerror,
                "%s Nothing was changed." % files.remedy(error),
            ) from None
        with file:
            deadline = time.monotonic() + wait
            self._taken(fcntl.flock, file, deadline, "another run has been changing this Postfix for over %g s" % wait)
            # A restart that outlives its run holds this other kind of lock on the same file, and so does each that is to come.
            self._taken(fcntl.lockf, file, deadline, "a restart of this Postfix that an earlier run began has not ended within %g s" % wait)
            fcntl.lockf(file, fcntl.LOCK_UN)
            yield self._mend()

    def _taken(self, lock: Callable, file: IO, deadline: float, reason: str) -> None:
        while True:
            try:
                return lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise PostfixTlsError(self.directory, None, reason, "Wait for it to end, then run again; nothing was changed.") from None
                time.sleep(0.1)

    def commit(self) -> str | None:
        """What was pending becomes the one generation back. Returns its id, which C(state=restored) may name.

        Where files are as they were kept, nothing was changed after all, and the generation back stays: None.
        """
        try:
            if not self.pending.differing():
                self.pending.discard()
                return None
            # Renamed aside, not removed: until the new one is in its place the old one can be needed.
            if self.previous.exists():
                os.rename(self.previous.directory, self._retired.directory)
            return self._finish_commit()
        except OSError as error:
            raise PostfixTlsError(
                self.directory, None, "the change stands, but the state before it can't be put by (%s)" % error.strerror,
                "%s Then run again." % files.remedy(error),
            ) from None

    def _finish_commit(self) -> str:
        self.previous.discard()  # without a manifest it is none
        os.rename(self.pending.directory, self.previous.directory)
        files.sync_directory(self.directory)
        self._retired.discard()
        return self.previous.id

    def _mend(self) -> list:
        """What a killed run left: a commit is finished, files are as they were proven last, half written ones are gone."""
        try:
            if self._retired.exists() and self.pending.exists() and not self.previous.exists():
                self._finish_commit()
            self._retired.discard()
            self.pending.tidy()
        except OSError as error:
            raise PostfixTlsError(
                self.directory, None, "what a killed run left can't be put in order (%s)" % error.strerror,
                "%s Then run again." % files.remedy(error),
            ) from None
        return self.pending.take_back() if self.pending.exists() else []


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
        return self._load()["kind"]

    def keep(self, changes: Iterable, kind: str) -> None:
        """Adds the state before each change; what is kept already stays, for it is the older, proven one.

        kind: of transaction, change or restored. The manifest is written last, when all copies are on the disk.
        """
        new = not self.exists()
        try:
            manifest = dict(self._fresh() if new else self._load(), kind=kind)
            rows = {row["path"]: row for row in manifest["files"]}
            for change in changes:
                row = rows.get(change.path)
                if row is None:
                    row = {"path": change.path, "copy": None, "secret": change.secret, "digest": _digest(change.before.content)}
                    row.update(mode=change.before.mode, uid=change.before.uid, gid=change.before.gid)
                    if change.before.content is not None:
                        row["copy"] = str(len(manifest["files"]))
                        files.write(os.path.join(self.directory, row["copy"]), FileState(change.before.content, 0o600))
                    manifest["files"].append(row)
                row["written"] = _digest(change.after.content)
            files.write(self._manifest, FileState(json.dumps(manifest, indent=1).encode(), 0o600))
        except (PostfixTlsError, OSError) as error:
            if new:  # what there is of it takes up room, and may hold keys
                shutil.rmtree(self.directory, ignore_errors=True)
            reason, remedy = (error.reason, error.remedy) if isinstance(error, PostfixTlsError) else (error.strerror, files.remedy(error))
            raise PostfixTlsError(
                self.directory, None, "the state before the change can't be kept (%s)" % reason, "%s Nothing was changed." % remedy,
            ) from None

    def states(self) -> list:
        """(path, FileState, secret) of every file kept, in the order to put them back: main.cf before what it referred to."""
        return [(row["path"], self._state(row), row["secret"]) for row in self._rows()]

    def differing(self) -> list:
        """The kept state as changes against what is on disk now."""
        back = Plan()
        for path, state, secret in self.states():
            back.add(path, files.read(path), state, secret, ("(what is installed now)\n", "(what was there before)\n"))
        return back.changes

    def put_back(self) -> list:
        """Writes what differs, and nothing else: a disk may be full. Returns the paths of all files kept."""
        for change in self.differing():
            files.write(change.path, change.after)
        return [row["path"] for row in self._rows()]

    def take_back(self) -> list:
        """Undoes what the killed run wrote, and returns that as changes. A file that somebody wrote since then stays theirs."""
        written = {row["path"]: (row["digest"], row.get("written")) for row in self._rows()}
        changes = [change for change in self.differing() if _digest(change.before.content) in written[change.path]]
        for change in changes:
            files.write(change.path, change.after)
        return changes

    def tidy(self) -> None:
        """Removes what a killed run left half written, here and beside the files themselves."""
        if not self.exists():
            self.discard()
            return
        rows = self._rows()
        for name in set(os.listdir(self.directory)) - {row["copy"] for row in rows} - {os.path.basename(self._manifest)}:
            os.unlink(os.path.join(self.directory, name))
        for row in rows:
            files.discard_unfinished(row["path"])

    def discard(self) -> None:
        """The manifest goes first, so that a half removed generation is never taken for a whole one."""
        if self.exists():
            os.unlink(self._manifest)
            files.sync_directory(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _rows(self) -> list:
        return self._load()["files"][::-1]

    def _state(self, row: dict) -> FileState:
        content = None
        if row["copy"] is not None:
            path = os.path.join(self.directory, row["copy"])
            content = files.read(path).content
            if _digest(content) != row["digest"]:
                raise self._damaged(path, "it is not there" if content is None else "it is not what was kept")
        return FileState(content, row["mode"], row["uid"], row["gid"])

    def _fresh(self) -> dict:
        shutil.rmtree(self.directory, ignore_errors=True)
        files.make_directory(self.directory, 0o700)
        return {"id": "%d-%d" % (time.time() * 1000, os.getpid()), "files": []}

    def _load(self) -> dict:
        """{id, kind, files: [row]}; a row is {path, copy: name of the copy, digest: its, mode, uid, gid, secret, written: digest}.

        None for copy and digest where there was no file, for written where the change removes it.
        """
        content = files.read(self._manifest).content
        try:
            manifest = json.loads(content or b"")
            whole = isinstance(manifest["id"], str) and isinstance(manifest["kind"], str) and all(map(_ROW.__le__, map(set, manifest["files"])))
        except (ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            raise self._damaged(self._manifest, "it is damaged")
        return manifest

    def _damaged(self, path: str, reason: str) -> PostfixTlsError:
        return PostfixTlsError(
            path, None, "%s, so the kept state can't be put back" % reason,
            "See that Postfix's files are as they should be, remove %s, and run again." % self.directory,
        )


_ROW = {"path", "copy", "digest", "mode", "uid", "gid", "secret", "written"}


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()
