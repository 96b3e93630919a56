# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Files as a transaction sees them: read whole, written whole, never seen half done."""
from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

#: A Postfix program that reads a file younger than a second waits for it to cool down, lest it is still being written
#: (dict_load_file_xt). A rename shows the whole file at once, so the wait would guard nothing: the time is set back.
COOL = 2.0

_SELINUX = "security.selinux"

_FULL = "Free some space on that file system."

#: What the system calls so, root can't help by permissions.
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "That file system is mounted read-only: mount it writable.",
    errno.EPERM: "Root itself may not: lsattr shows whether it, or its directory, is immutable, and chattr -i ends that.",
}


@dataclass(frozen=True)
class FileState:
    """content is None where there is no such file; mode, uid and gid then are those to create it with."""

    content: bytes | None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def read(path: str) -> FileState:
    """The file behind path, through symbolic links. Raises PostfixTlsError where it is there and can't be read."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return FileState(file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    except FileNotFoundError:
        return FileState(None)
    except OSError as error:
        raise PostfixTlsError(path, None, "it can't be read (%s)" % error.strerror, "Mend that first; nothing was changed.") from None


def write(path: str, state: FileState) -> None:
    """Puts state in place of path in one step, through a symbolic link to its target; content None removes it.

    The new file is 0600 from its first byte until it has its own owner and mode. All of it is on the disk before the name is,
    and the name before this returns. Raises PostfixTlsError.
    """
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    try:
        if state.content is None:
            if os.path.exists(target):
                os.unlink(target)
                sync_directory(directory)
            return
        make_directory(directory)
        before, after = _unfinished(target)
        descriptor, fresh = tempfile.mkstemp(prefix=before, suffix=after, dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(state.content)
                file.flush()
                os.fchown(file.fileno(), state.uid, state.gid)
                os.fchmod(file.fileno(), state.mode)
                _keep_context(target, fresh)
                cool = time.time() - COOL
                os.utime(fresh, (cool, cool))
                os.fsync(file.fileno())
                os.rename(fresh, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(fresh)
            raise
        sync_directory(directory)
    except OSError as error:
        raise PostfixTlsError(path, None, "it can't be written (%s)" % error.strerror, remedy(error)) from None


def discard_unfinished(path: str) -> None:
    """Removes what a killed run left beside path of a file it was writing: it may hold a key. What still is being written stays.

    A lock tells the two apart, for the kernel takes it from whoever is killed.
    """
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    before, after = _unfinished(target)
    with suppress(OSError):  # the directory may be gone; where nothing can be removed, writing will say so
        for name in os.listdir(directory):
            if name.startswith(before) and name.endswith(after):
                left = os.path.join(directory, name)
                with open(left, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(left)


def remedy(error: OSError) -> str:
    """What to do where a file could not be written."""
    return _REMEDIES.get(error.errno or 0, "Make it writable for root.")


def make_directory(path: str, mode: int = 0o755) -> None:
    """The directory and those above it; mode is for the last one, where it is new."""
    if not os.path.isdir(path):
        above = os.path.dirname(path)
        make_directory(above)
        os.mkdir(path, mode)
        os.chmod(path, mode)
        sync_directory(above)


def sync_directory(path: str) -> None:
    """Names in it that are new, other or gone are so after a power failure too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unfinished(target: str) -> tuple:
    """How the name of a file begins and ends while it is being written."""
    return ".%s." % os.path.basename(target), ".postfix_tls"


def _keep_context(target: str, fresh: str) -> None:
    """The SELinux context of the file that is replaced; a new file has its directory's by itself."""
    try:
        os.setxattr(fresh, _SELINUX, os.getxattr(target, _SELINUX))
    except (OSError, AttributeError):
        pass
