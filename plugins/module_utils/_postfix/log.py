# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Postfix's log: where it is, and what was written since a moment. Postfix logs no key material, so its words may be told."""
from __future__ import annotations

import os
import re
import stat
import time
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf

DEFAULT_DIRECTORY = "/etc/postfix"

#: Bytes. How much is read after a mark, and how far before it a process may have said what is wrong.
MOST_AFTER = 1 << 20
MOST_BEFORE = 256 << 10

#: Characters, more than Postfix writes (msg_vstring.c, vbuf of 2000); what is longer is cut, for it is none of its lines.
LONGEST = 2500
_FILES = ("/var/log/mail.log", "/var/log/maillog")
#: Where it is, there is a journal.
SYSTEMD = "/run/systemd/system"

_WARNS = re.compile(r"(?:warning|error|fatal|panic):")
_PREFIX = re.compile(r"^.*?\[\d+\]: ")


class MailLog:
    """maillog_file of main.cf and the usual files; the journal where none of them says anything. Without a mark, since now. run: as Run in C(instance).

    What can't be read tells nothing: a log is worth asking, not failing for.
    """

    def __init__(self, run: Callable, directory: str = DEFAULT_DIRECTORY) -> None:
        self._run = run
        self._directory = directory
        self._since = time.time()
        self._marks: dict[str, tuple] = {}

    def mark(self) -> None:
        """From here on, C(after) tells what was logged."""
        self._since = time.time()
        self._marks = {}
        for path in files(self._directory):
            try:
                state = os.stat(path)
            except OSError:
                continue
            if stat.S_ISREG(state.st_mode):  # maillog_file may be /dev/stdout
                self._marks[path] = (state.st_ino, state.st_size)

    def after(self) -> list:
        """The lines since C(mark), from files, else from the journal."""
        return self._after_in_files() or self._journal("--lines=2000", "--since=@%d" % self._since)

    def before(self) -> list:
        """The last lines before C(mark), from where C(after) has its own."""
        if not self._after_in_files():
            told = self._journal("--lines=1000", "--until=@%d" % self._since)
            if told:
                return told
        lines: list[str] = []
        for path, (inode, size) in self._marks.items():
            start = max(0, size - MOST_BEFORE)
            # Another file, or a shorter one, has been begun since; what came before is not in it.
            read = _read(path, start, size - start, lambda state, known=(inode, size): state.st_ino == known[0] and state.st_size >= known[1])
            lines += read[1:] if start else read
        return lines

    def warnings(self, most: int = 10) -> list:
        """The last lines since C(mark) in which any part of Postfix warns."""
        # The last of each: retries and further processes say the same again.
        told = {_PREFIX.sub("", line): line.strip() for line in self.after() if _warns(line)}
        return list(told.values())[-most:]

    def _after_in_files(self) -> list:
        lines: list[str] = []
        for path, (inode, size) in self._marks.items():
            try:
                state = os.stat(path)
            except OSError:
                continue
            lines += _read(path, size if state.st_ino == inode and state.st_size >= size else 0, MOST_AFTER)
        return lines

    def _journal(self, *which: str) -> list:
        if not os.path.isdir(SYSTEMD):
            return []
        try:
            _status, out, _err = self._run(["journalctl", "--quiet", "--no-pager", "--output=short", "SYSLOG_FACILITY=2", *which])
        except (OSError, PostfixTlsError):
            return []
        return [printable(line[:LONGEST]) for line in out.split("\n") if line]


def printable(text: str) -> str:
    """What a terminal shows as it is: control characters, and those that turn the direction of writing, become question marks."""
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)


def _warns(line: str) -> bool:
    begin = line.find("postfix")
    return begin >= 0 and bool(_WARNS.search(line, begin))


def files(directory: str) -> list:
    """The files that Postfix may log to, most likely first: C(maillog_file) of this directory's main.cf, and what syslog writes. Not all are there."""
    try:
        with open(os.path.join(directory, "main.cf"), encoding="utf-8", errors="replace") as file:
            named = MainCf(file.read()).raw("maillog_file")
    except OSError:
        named = None
    return list(dict.fromkeys([*([named] if named and "$" not in named else []), *_FILES]))


def _read(path: str, start: int, most: int, right=lambda state: True) -> list:
    """Lines, cut and made printable; none where the file can't be read or is not the right one."""
    try:
        with open(path, "rb") as file:
            if not right(os.fstat(file.fileno())):
                return []
            file.seek(start)
            content = file.read(most)
    except OSError:
        return []
    return [printable(line[:LONGEST].decode("utf-8", "replace")) for line in content.split(b"\n") if line]
