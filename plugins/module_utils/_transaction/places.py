# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether the files of a plan can be replaced at all, found out before the first one is: the run and check mode refuse the same."""
from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import struct
from typing import Iterable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files

MOUNTS = "/proc/self/mountinfo"

#: ioctl_iflags(2): FS_IOC_GETFLAGS, as most machines number it; where it is another number there is no answer.
_GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20

_UNCHANGED = "nothing was changed"


def review(changes: Iterable) -> list:
    """What the postmaster should know of these FileChanges, as findings. Raises PostfixTlsError for one that can't be carried out."""
    findings = []
    mounted = None
    for change in changes:
        directory, name = files.place(change.path)
        path = os.path.join(directory, name)
        mounted = _mount_points() if mounted is None else mounted
        try:
            with files.folder(directory) as at:
                if at is not None:
                    _refuse_folder(at, directory, change.path)
                    status = _status(at, name)
                    if status is not None:
                        _refuse_file(at, name, status, change.path, path in mounted)
                        findings += _told(change.path, status)
        except OSError as error:
            raise PostfixTlsError(directory, None, "it can't be opened (%s)" % error.strerror, files.remedy(error)) from None
    return findings


def _status(at: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _refuse_folder(at: int, directory: str, path: str) -> None:
    if os.fstatvfs(at).f_flag & os.ST_RDONLY:
        remedy = "%s %s." % (files.remedy(OSError(errno.EROFS, "")), _UNCHANGED.capitalize())
        raise PostfixTlsError(path, None, "it can't be written (%s)" % os.strerror(errno.EROFS), remedy)
    _refuse_flags(at, directory)


def _refuse_file(at: int, name: str, status: os.stat_result, path: str, mounted: bool) -> None:
    """status: of the file itself, not of what a link leads to."""
    if stat.S_ISLNK(status.st_mode):
        raise PostfixTlsError(
            path, "a symbolic link to %s" % os.readlink(name, dir_fd=at), "of the files that are written here, only main.cf and master.cf may be links",
            "Put the file itself there, or name another; %s." % _UNCHANGED,
        )
    if not stat.S_ISREG(status.st_mode):
        raise PostfixTlsError(path, None, "it is not a regular file", "Move it away; %s." % _UNCHANGED)
    if mounted:
        raise PostfixTlsError(
            path, None, "it is a mount point of its own (as a container's -v FILE:FILE makes it), so no file can be put in its place, by postconf -e neither",
            "Mount the directory %s instead of the file; %s." % (os.path.dirname(path), _UNCHANGED),
        )
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    try:
        _refuse_flags(descriptor, path)
    finally:
        os.close(descriptor)


def _refuse_flags(descriptor: int, path: str) -> None:
    """chattr(1): nobody, not even root, replaces what is immutable or may only grow."""
    try:
        [flags] = struct.unpack("l", fcntl.ioctl(descriptor, _GET_FLAGS, b"\0" * struct.calcsize("l")))
    except OSError:  # a file system that has none
        return
    for flag, word, letter in ((_IMMUTABLE, "immutable", "i"), (_APPEND_ONLY, "append-only", "a")):
        if flags & flag:
            raise PostfixTlsError(path, None, "it is %s (lsattr shows it)" % word, "End that with chattr -%s %s; %s." % (letter, path, _UNCHANGED))


def _told(path: str, status: os.stat_result) -> list:
    if status.st_nlink < 2:
        return []
    return [{
        "check": "hard_link",
        "verdict": "note",
        "observed": "%s has %d names (hard links); the others keep the old text, as after postconf -e" % (path, status.st_nlink),
        "expected": "one name",
        "fix": "find them with find -samefile before the next change, and make them symbolic links",
        "reference": "link(2)",
    }]


def _mount_points() -> set:
    """Paths something is mounted at; none where the system does not say. Source: proc(5), mountinfo, with blanks and the like in octal."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split() for line in file]
    except OSError as error:
        if error.errno == errno.ENOENT:
            return set()
        raise
    return {re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), row[4]) for row in rows if len(row) > 4}


def judge(item: str, path: str) -> None:
    """A path that an author gives has to be one that a line of main.cf, a unit and a terminal can hold. Raises PostfixTlsError."""
    if os.path.isabs(path) and path.isprintable() and not re.search(r"[\s,]", path):
        return
    raise PostfixTlsError(
        item, None, "this is not a path that Postfix could be told: absolute, printable, without blank or comma", "Name another place; %s." % _UNCHANGED)
