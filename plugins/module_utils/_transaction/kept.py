# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The last proven state of every file a transaction touches, kept on the host until a newer one is proven.

C(pending/) exists from before the first byte changes until commit or restore: whoever finds it knows that a run died.
C(previous/) is the state before the last committed change, for a deliberate rollback; C(older/ID/) are those before it, the newest few.
Each holds C(manifest.json), which makes it valid, and a copy per file.
The directory is root's alone: copies hold keys.
"""
from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import IO, Callable, Collection, ContextManager, Iterable, Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files, merge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import FileChange, Plan

ROOT = "/var/lib/mailsec-postfix_tls"

#: How many generations are kept.
GENERATIONS = 5


def instance_name(config_directory: str) -> str:
    """A file name for an instance, another for each: etc-postfix of /etc/postfix, and with _ at its head and before each - and _ of any that is not in /etc."""
    path = os.path.realpath(config_directory)
    directory, name = os.path.split(path)
    if directory == "/etc":
        return "etc-%s" % name
    return "_" + path.strip("/").replace("_", "__").replace("-", "_-").replace("/", "-")


class Kept:
    """The kept states of one Postfix instance."""

    def __init__(self, config_directory: str, root: str = ROOT) -> None:
        self.instance = os.path.realpath(config_directory)
        self.directory = os.path.join(root, instance_name(config_directory))
        self.pending = Generation(os.path.join(self.directory, "pending"), self.instance)
        self.previous = Generation(os.path.join(self.directory, "previous"), self.instance)
        self.lock = os.path.join(self.directory, "lock")
        self._older = os.path.join(self.directory, "older")
        self._retired = Generation(os.path.join(self.directory, "retired"), self.instance)
        # As releases up to 0.1.0 named it, where two instances could share one.
        self._former = os.path.join(root, self.instance.strip("/").replace("/", "-"))

    @contextmanager
    def locked(self, wait: float = 60.0, editing: Callable[[], ContextManager] = nullcontext) -> Iterator[list]:
        """One run at a time; a second waits, then gives up with an error. What a killed run left is mended first, with main.cf held by editing.

        Gives the changes of files that this took, for files to be as they were proven last.
        """
        try:
            files.make_directory(self.directory, 0o700)
            file = os.fdopen(files.open_in_place(self.lock, os.O_RDWR | os.O_CREAT), "r+", encoding="ascii")
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
            with editing():
                taken_back = self._mend()
            yield taken_back

    @contextmanager
    def alone(self, wait: float = 60.0) -> Iterator[None]:
        """Nobody else changes what all instances share. Raises PostfixTlsError. To be held within locked, never around it."""
        path = os.path.join(os.path.dirname(self.directory), "lock")
        with os.fdopen(files.open_in_place(path, os.O_RDWR | os.O_CREAT), "r+", encoding="ascii") as file:
            deadline = time.monotonic() + wait
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise PostfixTlsError(
                        path, None, "the run for another instance has been changing what all share for over %g s" % wait,
                        "Wait for it to end, then run again; nothing was changed.",
                    )
                time.sleep(0.1)
            yield

    def generations(self) -> list:
        """What C(state=restored) can return to, the newest first. A damaged one is among them, and says so when it is read."""
        names = sorted(os.listdir(self._older), key=_moment, reverse=True) if os.path.isdir(self._older) else []
        found = [self.previous, *(Generation(os.path.join(self._older, name), self.instance) for name in names)]
        return [generation for generation in found if generation.exists()]

    def back_to(self, identity: str) -> list:
        """The generations to undo, one after the other, for the state before that change. Raises PostfixTlsError for one that is not kept."""
        found = self.generations()
        names = [generation.id for generation in found]
        if identity not in names:
            raise PostfixTlsError(
                "transaction", identity, "this change is not kept here; kept are %s" % (", ".join(names) or "none"),
                "Name one of them, or none for the last change; nothing was changed.",
            )
        return found[:names.index(identity) + 1]

    def _taken(self, lock: Callable, file: IO, deadline: float, reason: str) -> None:
        while True:
            try:
                return lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise PostfixTlsError(self.directory, None, reason, "Wait for it to end, then run again; nothing was changed.") from None
                time.sleep(0.1)

    def commit(self) -> str | None:
        """What was pending becomes the newest generation back. Returns its id, which C(state=restored) may name.

        Where files are as they were kept, nothing was changed after all, and the generations back stay: None.
        """
        try:
            if not self.pending.differing():
                self.pending.discard()
                return None
            self._retire()
            return self._finish_commit()
        except OSError as error:
            raise PostfixTlsError(
                self.directory, None, "the change stands, but the state before it can't be put by (%s)" % error.strerror,
                "%s Then run again." % files.remedy(error),
            ) from None

    def absorb(self) -> None:
        """What was pending is no generation: what it wrote counts as written by the change before, so that a rollback still knows it for ours."""
        written = {row["path"]: (row["digest"], row["written"]) for row in self.pending.rows()}
        for generation in self.generations():
            for path in generation.rewrite(written):
                written.pop(path, None)  # those before it are undone after it
        self.pending.discard()

    def to_forget(self, upto: str | None = None) -> list:
        """That generation, or the newest that holds a key which is not in use, and all before it: what is left can be undone in a row."""
        found = self.generations()
        at = len(self.back_to(upto)) - 1 if upto else next((at for at, generation in enumerate(found) if generation.holds_old_key()), len(found))
        return found[at:]

    def forget(self, upto: str | None = None) -> list:
        """Drops them for good, and returns their ids."""
        gone = self.to_forget(upto)
        names = [generation.id for generation in gone]
        for generation in gone[::-1]:  # the oldest first, whenever this is killed
            generation.discard()
        return names

    def reports(self) -> list:
        return [generation.report() for generation in self.generations()]

    def _retire(self) -> None:
        """Renamed aside, not removed: until the new one is in its place the old one can be needed. One that can't be read is of no use."""
        if not self.previous.exists():
            return
        try:
            name = self.previous.id
        except PostfixTlsError:
            self.previous.discard()
            return
        files.make_directory(self._older, 0o700)
        os.rename(self.previous.directory, os.path.join(self._older, name))
        files.sync_directory(self._older)

    def _finish_commit(self) -> str:
        self.previous.discard()  # without a manifest it is none
        os.rename(self.pending.directory, self.previous.directory)
        files.sync_directory(self.directory)
        for generation in self.generations()[GENERATIONS:]:
            generation.discard()
        return self.previous.id

    def _mend(self) -> list:
        """What a killed run left: a commit is finished, files are as they were proven last, half written ones are gone."""
        try:
            self._adopt()
            if self.pending.exists() and not self.previous.exists() and self.generations():
                self._finish_commit()
            for name in os.listdir(self._older) if os.path.isdir(self._older) else ():
                generation = Generation(os.path.join(self._older, name), self.instance)
                if not generation.exists():
                    generation.discard()
            self.pending.tidy()
        except OSError as error:
            raise PostfixTlsError(
                self.directory, None, "what a killed run left can't be put in order (%s)" % error.strerror,
                "%s Then run again." % files.remedy(error),
            ) from None
        return self.pending.take_back() if self.pending.exists() else []

    def _adopt(self) -> None:
        """What former releases kept: the one generation before last, and states in a folder that two instances could share."""
        if self._retired.exists():
            files.make_directory(self._older, 0o700)
            os.rename(self._retired.directory, os.path.join(self._older, self._retired.id))
        self._retired.discard()
        for generation in (self.previous, self.pending):
            generation.hand_over(os.path.dirname(self.directory))
        if self._former == self.directory:
            return
        for name in ("previous", "pending"):
            former, here = Generation(os.path.join(self._former, name), self.instance), os.path.join(self.directory, name)
            if former.exists() and not os.path.exists(here):
                os.rename(former.directory, here)


@dataclass
class Undone:
    """What undoing comes to. after: {path: FileState}, in the order to put them back: main.cf before what it referred to. secret: paths of keys.

    conflicts: sentences, of what both the change and somebody since then wrote. stays: sentences, of what others wrote since, and stays.
    """

    after: dict = field(default_factory=dict)
    secret: set = field(default_factory=set)
    conflicts: list = field(default_factory=list)
    stays: list = field(default_factory=list)

    def changes(self) -> list:
        """Against what is on disk now."""
        plan = Plan()
        for path, state in self.after.items():
            plan.add(path, files.read(path), state, path in self.secret, _SHOWN)
        return plan.changes


class Generation:
    """One kept state of an instance, the real path of its configuration directory."""

    def __init__(self, directory: str, instance: str = "") -> None:
        self.directory = directory
        self._instance = instance
        self.others: list = []
        self._manifest = os.path.join(directory, "manifest.json")

    def exists(self) -> bool:
        """A former release could keep the state of another instance here; that is for the other one to find."""
        return os.path.exists(self._manifest) and self._owner() == self._instance

    def _owner(self) -> str:
        """The instance it is of; where the manifest does not say, by its main.cf or master.cf."""
        with suppress(PostfixTlsError):
            manifest = self._load()
            paths = [os.path.realpath(os.path.dirname(row["path"])) for row in manifest["files"] if merge.is_mergeable(row["path"])]
            return manifest.get("instance") or (paths or [self._instance])[0]
        return self._instance

    def hand_over(self, root: str) -> None:
        """To another instance, where it is of that; root: of all kept states."""
        if not os.path.exists(self._manifest) or self._owner() == self._instance:
            return
        place = os.path.join(root, instance_name(self._owner()))
        files.make_directory(place, 0o700)
        target = os.path.join(place, os.path.basename(self.directory))
        if os.path.exists(target):
            shutil.rmtree(self.directory)  # that instance has kept a newer one since
        else:
            os.rename(self.directory, target)

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
            names = {row[kept] for row in manifest["files"] for kept in ("copy", "after") if row.get(kept)}
            for change in changes:
                row = rows.get(change.path)
                if row is None:
                    row = self._row(change, str(next(at for at in count(len(manifest["files"])) if str(at) not in names)))
                    names.add(row["copy"])
                    manifest["files"].append(row)
                self._note_written(row, change)
                names.add(row.get("after"))
            self._save(manifest)
        except (PostfixTlsError, OSError) as error:
            if new:  # what there is of it takes up room, and may hold keys
                shutil.rmtree(self.directory, ignore_errors=True)
            reason, remedy = (error.reason, error.remedy) if isinstance(error, PostfixTlsError) else (error.strerror, files.remedy(error))
            raise PostfixTlsError(
                self.directory, None, "the state before the change can't be kept (%s)" % reason, "%s Nothing was changed." % remedy,
            ) from None

    def _row(self, change: FileChange, name: str) -> dict:
        before = change.before
        row = {"path": change.path, "copy": None, "secret": change.secret, "digest": _digest(before.content)}
        row.update(mode=before.mode, uid=before.uid, gid=before.gid)
        if before.attributes:
            row["attributes"] = [[key, base64.b64encode(value).decode()] for key, value in before.attributes]
        if before.content is not None:
            row["copy"] = name
            files.write(os.path.join(self.directory, name), FileState(before.content, 0o600))
        return row

    def _note_written(self, row: dict, change: FileChange) -> None:
        """What is written in place of the row; of what can be merged, a copy."""
        after = change.after
        row.update(written=_digest(after.content), written_mode=[after.mode, after.uid, after.gid])
        if row["copy"] is not None and after.content is not None and merge.is_mergeable(change.path) and not change.secret:
            row["after"] = "%s-written" % row["copy"]
            files.write(os.path.join(self.directory, row["after"]), FileState(after.content, 0o600))

    def states(self) -> list:
        """(path, FileState, secret) of every file kept, in the order to put them back: main.cf before what it referred to."""
        return [(row["path"], self._state(row), row["secret"]) for row in self.rows()]

    def undo(self, undone: Undone, ours: bool = False, spared: Collection = ()) -> Undone:
        """Adds what undoing this change comes to, in files as they are after what is undone already.

        ours: where others wrote on the same line, or in the same file, since then, what was before the change is put back all the same. Without, that
        is a conflict, and stays. spared: paths that are left alone.
        """
        for row in self.rows():
            path = row["path"]
            if path in spared:
                continue
            now = undone.after.get(path) or files.read(path)
            undone.after[path] = self._undo(row, now, undone, ours)
            undone.secret |= {path} if row["secret"] else set()
        return undone

    def _undo(self, row: dict, now: FileState, undone: Undone, ours: bool) -> FileState:
        before, digest = self._state(row), _digest(now.content)
        theirs = row.get("written_mode") and [now.mode, now.uid, now.gid] not in (row["written_mode"], [before.mode, before.uid, before.gid])
        if now.content is not None and before.content is not None and theirs:
            before = FileState(before.content, now.mode, now.uid, now.gid, now.attributes)
        if digest in (row["digest"], row["written"]):
            return before
        if row.get("after") and now.content is not None:
            texts = [content.decode("utf-8", "surrogateescape") for content in (before.content or b"", self._written(row), now.content)]
            text, conflicts = merge.undo(row["path"], *texts, ours)
            undone.conflicts += ["%s: %s" % (row["path"], conflict.sentence()) for conflict in conflicts]
            lines = merge.differences(row["path"], texts[1], texts[2])
            undone.stays += ["%s: %s" % (row["path"], item) for item, _old, new in lines if _reads(row["path"], text, item) == new]
            return FileState(text.encode("utf-8", "surrogateescape"), before.mode, before.uid, before.gid)
        if ours:
            return before
        did = "removed it" if now.content is None else "written it"
        undone.conflicts.append("%s: it is not what the change wrote; somebody has %s since then" % (row["path"], did))
        return now

    def differing(self) -> list:
        """What undoing the change comes to, as changes against what is on disk now; what others wrote since stays."""
        return self.undo(Undone()).changes()

    def put_back(self) -> list:
        """Writes what differs, and nothing else: a disk may be full. Returns the paths of all files kept.

        others: sentences, of what somebody wrote meanwhile, and stays.
        """
        for left in (2, 1, 0):
            undone = self.undo(Undone())
            try:
                carry_out(undone.changes())
                break
            except Outdated:  # by somebody who takes no lock
                if not left:
                    raise
        self.others = undone.stays + undone.conflicts
        return [row["path"] for row in self.rows()]

    def take_back(self) -> list:
        """Undoes what the killed run wrote, and returns that as changes. What somebody wrote since then stays theirs."""
        changes = self.differing()
        carry_out(changes)
        manifest = self._load()
        for row in list(manifest["files"]):
            if _digest(files.read(row["path"]).content) == row["digest"]:
                row["written"] = row["digest"]
            else:  # the state to return to is another by now
                manifest["files"].remove(row)
        self._save(manifest)
        self.tidy()
        return changes

    def rewrite(self, written: dict) -> set:
        """Takes {path: (digest before, digest after)} for its own writing, where it is on top of that. Returns the paths it has."""
        manifest = self._load()
        for row in manifest["files"]:
            old, new = written.get(row["path"], (None, None))
            if new is not None and row["written"] == old:
                row["written"] = new
        self._save(manifest)
        return {row["path"] for row in manifest["files"]}

    def holds_old_key(self) -> bool:
        """Whether it holds a key, or what else nobody is to see, that is not what is in that file now."""
        return any(row["secret"] and row["copy"] and _digest(files.read(row["path"]).content) != row["digest"] for row in self.rows())

    def report(self) -> dict:
        """{id, kind, time, who, changes: sentences, holds_key}: what the change did."""
        manifest = self._load()
        changes: list = []
        for row in manifest["files"]:
            changes += ["%s: %s" % (row["path"], words) for words in self._words(row)]
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_moment(manifest["id"]) / 1000))
        return {"id": manifest["id"], "kind": manifest["kind"], "time": moment, "who": manifest.get("who", ""), "changes": changes,
                "holds_key": any(row["secret"] and row["copy"] is not None for row in manifest["files"])}

    def _words(self, row: dict) -> list:
        if row["digest"] == row["written"]:
            return []
        if not row.get("after"):
            return ["created" if row["digest"] is None else "removed" if row["written"] is None else "changed"]
        texts = [content.decode("utf-8", "surrogateescape") for content in (self._state(row).content or b"", self._written(row))]
        return [in_words(*difference) for difference in merge.differences(row["path"], *texts)] or ["changed"]

    def tidy(self) -> None:
        """Removes what a killed run left half written, here and beside the files themselves."""
        if not self.exists():
            self.discard()
            return
        rows = self.rows()
        names = {row.get(kept) for row in rows for kept in ("copy", "after")}
        for name in set(os.listdir(self.directory)) - names - {os.path.basename(self._manifest)}:
            os.unlink(os.path.join(self.directory, name))
        for row in rows:
            files.discard_unfinished(row["path"])

    def discard(self) -> None:
        """The manifest goes first, so that a half removed generation is never taken for a whole one."""
        if self.exists():
            os.unlink(self._manifest)
            files.sync_directory(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def rows(self) -> list:
        """As in the manifest, the last one written first."""
        return self._load()["files"][::-1]

    def _state(self, row: dict) -> FileState:
        content = None
        if row["copy"] is not None:
            path = os.path.join(self.directory, row["copy"])
            content = files.read(path).content
            if _digest(content) != row["digest"]:
                raise self._damaged(path, "it is not there" if content is None else "it is not what was kept")
        attributes = tuple((name, base64.b64decode(value)) for name, value in row.get("attributes", ()))
        return FileState(content, row["mode"], row["uid"], row["gid"], attributes)

    def _written(self, row: dict) -> bytes:
        """What the change wrote, whole; where a renewal wrote since then, that is no file that is merged."""
        path = os.path.join(self.directory, row["after"])
        content = files.read(path).content
        if content is None or _digest(content) != row["written"]:
            raise self._damaged(path, "it is not what was kept")
        return content

    def _save(self, manifest: dict) -> None:
        files.write(self._manifest, FileState(json.dumps(manifest, indent=1).encode(), 0o600))

    def _fresh(self) -> dict:
        shutil.rmtree(self.directory, ignore_errors=True)
        files.make_directory(self.directory, 0o700)
        return {"id": "%d-%d" % (time.time() * 1000, os.getpid()), "instance": self._instance, "who": _who(), "files": []}

    def _load(self) -> dict:
        """{id, kind, instance, who, files: [row]}; a row is {path, copy: name of the copy, digest: its, mode, uid, gid, attributes: [[name, base64]],
        secret, written: digest, written_mode: [mode, uid, gid], after: name of a copy of what was written}.

        None for copy and digest where there was no file, for written where the change removes it; a copy of what was written is there of main.cf and
        master.cf alone. Releases up to 0.1.0 knew neither instance, who, attributes, written_mode nor after.
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

#: What a diff says of a file that holds a key.
_SHOWN = ("(what is installed now)\n", "(what was there before)\n")


def carry_out(changes: Iterable) -> None:
    """Writes them, each only where the file still is as the change has it before. Raises PostfixTlsError."""
    for change in changes:
        if files.read(change.path) != change.before:
            raise Outdated(change.path)
        files.write(change.path, change.after)


class Outdated(PostfixTlsError):
    """Somebody has written to a file since the plan was made from it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, None, "somebody else is writing to this file while this run wants to", "Run again when they have ended.")


def in_words(item: str, before: str | None, after: str | None) -> str:
    """A line that a change wrote: C(name = value), with what it was."""
    if after is None:
        return "%s removed (it was %s)" % (item, before or "empty")
    return "%s = %s (%s)" % (item, after, "new" if before is None else "it was %s" % (before or "empty"))


def summary_of(change: FileChange) -> list:
    """What putting a file back comes to, in words."""
    before, after = change.before.content, change.after.content
    if before is None or after is None:
        return ["%s: %s" % (change.path, "is removed" if after is None else "is back")]
    if not merge.is_mergeable(change.path):
        return ["%s: is as it was" % change.path]
    texts = [content.decode("utf-8", "surrogateescape") for content in (before, after)]
    lines = [in_words(*difference) for difference in merge.differences(change.path, *texts)]
    return ["%s: %s" % (change.path, line) for line in lines or ["is as it was"]]


def _reads(path: str, text: str, item: str) -> str | None:
    """What a line of the text says, by the name that differences gives it."""
    return {name: value for name, _none, value in merge.differences(path, "", text)}.get(item)


def _who() -> str:
    """Who had the change made, as sudo or the system names them."""
    with suppress(KeyError):
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def _moment(identity: str) -> int:
    """The milliseconds in a generation's id; 0 in what is none."""
    number = identity.partition("-")[0]
    return int(number) if number.isdigit() else 0


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()
