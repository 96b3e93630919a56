# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Files as a transaction sees them: read whole, written whole, never seen half done, and only where nobody but root can lead root astray."""
from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

#: A Postfix program that reads a file younger than a second waits for it to cool down, lest it is still being written
#: (dict_load_file_xt). A rename shows the whole file at once, so the wait would guard nothing: the time is set back.
COOL = 2.0

#: Folders from here downwards are looked at.
TOP = "/"

#: Files of Postfix that may be a symbolic link; what is ours may not.
_MAY_BE_LINKS = ("main.cf", "master.cf")

_FULL = "Free some space on that file system."

#: What the system calls so, root can't help by permissions.
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "That file system is mounted read-only: mount it writable.",
    errno.EPERM: "Root itself may not: lsattr shows whether it, or its directory, is immutable, and chattr -i ends that.",
    errno.EACCES: "That takes root: run with become.",
    errno.EBUSY: "It is a mount point of its own, as a container's -v FILE:FILE makes it: mount its directory instead.",
}

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class FileState:
    """content is None where there is no such file; mode, uid and gid then are those to create it with.

    attributes: ((name, value), ...) of xattr(7), POSIX ACLs among them, for a file that has to be made again; one that is replaced keeps its own.
    """

    content: bytes | None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    attributes: tuple = field(default=(), compare=False)


def read(path: str) -> FileState:
    """The file behind path, through symbolic links. Raises PostfixTlsError where it is there and can't be read."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return FileState(file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, _attributes(file.fileno()))
    except FileNotFoundError:
        return FileState(None)
    except OSError as error:
        raise PostfixTlsError(path, None, "it can't be read (%s)" % error.strerror, "Mend that first; nothing was changed.") from None


def write(path: str, state: FileState) -> None:
    """Puts state in place of path in one step; content None removes it. Of symbolic links, only main.cf and master.cf are followed.

    The new file is 0600 from its first byte until it has its own owner and mode. All of it is on the disk before the name is,
    and the name before this returns. Raises PostfixTlsError.
    """
    directory, name = place(path)
    try:
        with folder(directory, make=state.content is not None) as at:
            if at is None:
                return
            if state.content is None:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=at)
                    os.fsync(at)
                return
            _replace(at, name, state)
            os.fsync(at)
    except OSError as error:
        raise PostfixTlsError(path, None, "it can't be written (%s)" % error.strerror, remedy(error)) from None


def place(path: str) -> tuple:
    """(directory, name) of what write puts in place of path."""
    if os.path.basename(path) in _MAY_BE_LINKS:
        return os.path.split(os.path.realpath(path))
    return os.path.realpath(os.path.dirname(path)), os.path.basename(path)


@contextmanager
def folder(path: str, make: bool = False, mode: int = 0o755) -> Iterator[int | None]:
    """A descriptor of a directory that nobody but root can write to, nor to any above it; None where there is none and it is not to be made.

    mode: of a new one. Raises PostfixTlsError, or OSError where it can't be made.
    """
    at: int | None = os.open("/", _FOLDER)
    walked, real = "/", os.path.realpath(path)
    try:
        _judge(at, walked)
        for name in filter(None, real.split("/")):
            below = _below(at, name, make, mode if os.path.join(walked, name) == real else 0o755)
            os.close(at)
            at, walked = below, os.path.join(walked, name)
            if at is None:
                break
            _judge(at, walked)
        yield at
    finally:
        if at is not None:
            os.close(at)


def open_in_place(path: str, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the very file, by no link. Raises PostfixTlsError, or OSError."""
    with folder(os.path.dirname(path)) as at:
        if at is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return os.open(os.path.basename(path), flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=at)


def discard_unfinished(path: str) -> None:
    """Removes what a killed run left beside path of a file it was writing: it may hold a key. What still is being written stays.

    A lock tells the two apart, for the kernel takes it from whoever is killed.
    """
    directory, target = place(path)
    before, after = _unfinished(target)
    # The directory may be gone, or not root's alone; where nothing can be removed, writing will say so.
    with suppress(OSError, PostfixTlsError), folder(directory) as at:
        for name in os.listdir(at) if at is not None else ():
            if name.startswith(before) and name.endswith(after):
                left = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
                try:
                    fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=at)
                finally:
                    os.close(left)


def remedy(error: OSError) -> str:
    """What to do where a file could not be written."""
    return _REMEDIES.get(error.errno or 0, "Make it writable for root.")


def make_directory(path: str, mode: int = 0o755) -> None:
    """The directory and those above it; mode is for the last one, where it is new. Raises PostfixTlsError, or OSError."""
    with folder(path, make=True, mode=mode):
        """It is there."""


def sync_directory(path: str) -> None:
    """Names in it that are new, other or gone are so after a power failure too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _below(at: int, name: str, make: bool, mode: int) -> int | None:
    """A descriptor of the directory of that name; None where there is none and it is not to be made."""
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
    except FileNotFoundError:
        if not make:
            return None
    os.mkdir(name, mode, dir_fd=at)
    below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
    try:
        os.chmod(below, mode)  # whatever the umask is
        os.fsync(at)
    except BaseException:
        os.close(below)
        raise
    return below


def _judge(at: int, path: str) -> None:
    """Whoever can write to a directory can put another file, or a link, in place of what root is about to write (as sshd and sudo have it)."""
    if os.path.commonpath([path, TOP]) != TOP:
        return
    status = os.fstat(at)
    if status.st_uid not in (0, os.geteuid()):
        raise PostfixTlsError(
            path, None, "this directory belongs to user %d, who could lead root astray in it" % status.st_uid,
            "Have it belong to root (chown root %s), or name another directory; nothing was changed there." % path,
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PostfixTlsError(
            path, "%04o" % stat.S_IMODE(status.st_mode), "others than root can write to this directory, and could lead root astray in it",
            "Take that from them (chmod go-w %s), or name another directory; nothing was changed there." % path,
        )


def _replace(at: int, name: str, state: FileState) -> None:
    """A new file in place of name, whole, with the attributes of the one it replaces."""
    before, after = _unfinished(name)
    fresh = before + secrets.token_hex(8) + after
    descriptor = os.open(fresh, _FRESH, 0o600, dir_fd=at)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(state.content or b"")
            file.flush()
            os.fchown(file.fileno(), state.uid, state.gid)
            _keep_attributes(_attributes_of(at, name, state.attributes), file.fileno())
            os.fchmod(file.fileno(), state.mode)  # last, for it is the mask of an ACL
            cool = time.time() - COOL
            os.utime(file.fileno(), (cool, cool))
            os.fsync(file.fileno())
            os.rename(fresh, name, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=at)
        raise


def _unfinished(target: str) -> tuple:
    """How the name of a file begins and ends while it is being written."""
    return ".%s." % target, ".postfix_tls"


def _attributes_of(at: int, name: str, otherwise: tuple) -> tuple:
    """Those of the file that is replaced; of none, otherwise."""
    try:
        replaced = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except OSError:
        return otherwise
    try:
        return _attributes(replaced)
    finally:
        os.close(replaced)


def _attributes(descriptor: int) -> tuple:
    """((name, value), ...); none where the file system has none."""
    try:
        return tuple((name, os.getxattr(descriptor, name)) for name in os.listxattr(descriptor))
    except (OSError, AttributeError):
        return ()


def _keep_attributes(attributes: tuple, descriptor: int) -> None:
    """Raises OSError; what the system itself labels files with (security.*) it may keep to itself."""
    for name, value in attributes:
        try:
            os.setxattr(descriptor, name, value)
        except OSError:
            if not name.startswith("security."):
                raise
