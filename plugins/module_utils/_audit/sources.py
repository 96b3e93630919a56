# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Where mail logs are, and their lines as a stream: files, rotated and compressed ones too, and the journal.

A log of any size is read in pieces, and a line of any length is cut. What can't be read is told, and fails nothing.
"""
from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import subprocess
import tempfile
import time
import zlib
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.stamps import Clock
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import log

#: Bytes.
_PIECE = 1 << 18
_LONGEST = 1 << 14

#: How compressed files begin, and what reads them.
_OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
_ZSTANDARD = b"\x28\xb5\x2f\xfd"

#: As logrotate(8) and C(postfix logrotate) name what they put aside.
_ROTATED = re.compile(r"[.-][0-9][0-9TZ-]*(?:\.(?:gz|bz2|xz|zst))?")

#: What a damaged or vanishing file raises.
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)


class Source:
    """A file or the journal. name: its path, or V(journal). last: when it was written last, in seconds since 1970. error: why it ends early, or None."""

    def __init__(self, name: str, last: float) -> None:
        self.name = name
        self.last = last
        self.error: str | None = None

    def lines(self) -> Iterator[bytes]:
        """Without their ends. An error ends them, and is told afterwards."""
        try:
            yield from _cut(self._pieces())
        except _UNREADABLE as error:
            self.error = "%s: %s" % (self.name, _reason(error))

    def first(self) -> float:
        """When the first line with a stamp was written; C(last) where none has one."""
        clock = Clock(self.last)
        for number, line in enumerate(self.lines()):
            told = clock.split(line[:64])[0]
            if told is not None:
                return told
            if number > 1000:
                break
        return self.last

    def _pieces(self) -> Iterator[bytes]:
        with open(self.name, "rb") as file:
            begins = file.read(6)
        if begins.startswith(_ZSTANDARD):
            raise OSError("it is compressed by zstd, which is not read here; decompress it first")
        opener = next((opener for magic, opener in _OPENERS if begins.startswith(magic)), open)
        with opener(self.name, "rb") as file:
            while True:
                piece = file.read(_PIECE)
                if not piece:
                    return
                yield piece


class Journal(Source):
    """What systemd's journal has of the facility mail, since a moment, oldest first."""

    def __init__(self, since: float) -> None:
        super().__init__("journal", time.time())
        self._argv = ["journalctl", "--no-pager", "--output=short-unix", "--since=@%d" % since, "SYSLOG_FACILITY=2"]

    def _pieces(self) -> Iterator[bytes]:
        with tempfile.TemporaryFile() as complaints:
            with subprocess.Popen(self._argv, stdout=subprocess.PIPE, stderr=complaints, env=dict(os.environ, LC_ALL="C")) as asked:
                try:
                    while True:
                        piece = asked.stdout.read(_PIECE)
                        if not piece:
                            break
                        yield piece
                finally:
                    asked.kill()  # one that has ended does not mind
            complaints.seek(0)
            said = complaints.read(2000).decode("utf-8", "replace").split("\n")[0].strip()
        if said:
            raise OSError(said)


def named(paths: list, since: float) -> tuple:
    """(sources, errors) of files that somebody names, the oldest first; what was written last before since is left out."""
    found, errors = [], []
    for path in dict.fromkeys(paths):
        try:
            state = os.stat(path)
        except OSError as error:
            errors.append("%s: %s" % (path, _reason(error)))
            continue
        if not stat.S_ISREG(state.st_mode):
            errors.append("%s: it is no regular file" % path)
        elif state.st_size and state.st_mtime >= since:
            found.append(Source(path, state.st_mtime))
    return sorted(found, key=lambda source: source.first()), errors


def of_this_host(directory: str, since: float) -> tuple:
    """(sources, errors) of where this host's Postfix logs: the first of C(log.files) that was written since, with what was rotated of it, else the journal.

    directory: that of its main.cf. Two of them are never added up, for syslog may write every line to both.
    """
    errors: list = []
    for path in log.files(directory):
        found, problems = named(_with_rotated(path), since)
        errors += problems
        if found:
            return found, errors
    if os.path.isdir(log.SYSTEMD):
        return [Journal(since)], errors
    return [], [*errors, "no log was found where Postfix logs, and there is no journal; name its files"]


def _with_rotated(path: str) -> list:
    """The file and its rotated siblings, those that are there."""
    folder, name = os.path.split(path)
    try:
        there = os.listdir(folder or ".")
    except OSError:
        return []
    return [os.path.join(folder, other) for other in there if other == name or other.startswith(name) and _ROTATED.fullmatch(other[len(name):])]


def _cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines out of pieces. Of a line that is longer than any of Postfix's, the beginning."""
    rest = b""
    for piece in pieces:
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()[:_LONGEST]
        yield from lines
    if rest:
        yield rest


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "it can't be read (%s); become root" % error.strerror
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
