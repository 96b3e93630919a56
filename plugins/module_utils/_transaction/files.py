# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Files as a transaction sees them: read whole, written whole, never seen half done."""
from __future__ import annotations

import os
import stat
import tempfile
import time
from dataclasses import dataclass

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

#: A Postfix program that reads a file younger than a second waits for it to cool down, lest it is still being written
#: (dict_load_file_xt). A rename shows the whole file at once, so the wait would guard nothing: the time is set back.
COOL = 2.0

_SELINUX = "security.selinux"


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

    The new file is 0600 from its first byte until it has its own owner and mode. Raises PostfixTlsError.
    """
    target = os.path.realpath(path)
    try:
        if state.content is None:
            if os.path.exists(target):
                os.unlink(target)
            return
        directory = os.path.dirname(target)
        make_directory(directory)
        descriptor, fresh = tempfile.mkstemp(prefix=".%s." % os.path.basename(target), dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(state.content)
                os.fchown(file.fileno(), state.uid, state.gid)
                os.fchmod(file.fileno(), state.mode)
                file.flush()
                os.fsync(file.fileno())
            _keep_context(target, fresh)
            cool = time.time() - COOL
            os.utime(fresh, (cool, cool))
            os.rename(fresh, target)
        except BaseException:
            os.unlink(fresh)
            raise
        _sync_directory(directory)
    except OSError as error:
        raise PostfixTlsError(path, None, "it can't be written (%s)" % error.strerror, "Make it writable, or free some space.") from None


def make_directory(path: str, mode: int = 0o755) -> None:
    """The directory and those above it; mode is for the last one, where it is new."""
    if not os.path.isdir(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.mkdir(path, mode)
        os.chmod(path, mode)


def _keep_context(target: str, fresh: str) -> None:
    """The SELinux context of the file that is replaced; a new file has its directory's by itself."""
    try:
        os.setxattr(fresh, _SELINUX, os.getxattr(target, _SELINUX))
    except (OSError, AttributeError):
        pass


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
