# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Postfix's own lock on the editing of main.cf and master.cf, so that what C(postconf -e) writes during a run is not lost, nor what the run writes.

Whoever edits main.cf holds main.cf.tmp, from before reading main.cf until the new text is in place.
Source: edit_file.c (edit_file_open): open with O_CREAT, lock exclusively, and begin again where that is not the file of this name any more.
"""
from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files

_SUFFIX = ".tmp"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Seconds between two tries.
_PAUSE = 0.01

#: Seconds after which a start may no longer keep others from editing: what Postfix is started by may want to edit itself.
_STARTING = 30.0


class EditLock:
    """wait: seconds until it is given up, for each file. Where no such file can be made nobody else can edit either, and nothing is held."""

    def __init__(self, directory: str, wait: float = 30.0) -> None:
        self._paths = [os.path.join(directory, name + _SUFFIX) for name in ("main.cf", "master.cf")]
        self._wait = wait
        self._held: dict = {}
        self._guard = threading.RLock()
        self._timer = threading.Timer(0, self.release)

    def __enter__(self) -> EditLock:
        """Raises PostfixTlsError."""
        try:
            for path in self._paths:
                with suppress(FileNotFoundError):
                    self._held[path] = self._take(path)
        except OSError as error:
            self.release()
            if error.errno == errno.ELOOP:
                raise PostfixTlsError(path, None, "it is a symbolic link, and Postfix would edit by it", "Remove it; nothing was changed.") from None
            if error.errno not in (errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EPERM):
                raise PostfixTlsError(path, None, "it can't be opened (%s)" % error.strerror, files.remedy(error)) from None
        except PostfixTlsError:
            self.release()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def release(self) -> None:
        """As postconf gives up an edit: the name goes while the lock is held, and who waits begins again."""
        self._timer.cancel()
        with self._guard:
            for path, descriptor in self._held.items():
                with suppress(OSError):
                    if _is_at(descriptor, path):
                        os.unlink(path)
                os.close(descriptor)
            self._held = {}

    def written(self) -> None:
        """All is in place, and who waits need not for much longer.

        Not at once: no program of Postfix ends reading a main.cf that others go on writing to (it waits for the file to cool down), so none would start.
        """
        self._timer.cancel()
        self._timer = threading.Timer(_STARTING, self.release)
        self._timer.daemon = True
        self._timer.start()

    @contextmanager
    def again(self) -> Iterator[None]:
        """Held for another edit, whether it still was or not. Raises PostfixTlsError."""
        self._timer.cancel()
        with self._guard:
            if not self._held:
                self.__enter__()
        yield
        self.written()

    def _take(self, path: str) -> int:
        deadline = time.monotonic() + self._wait
        while True:
            descriptor = os.open(path, _FLAGS, 0o600)
            try:
                # Postfix takes either kind, as it was built.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    return descriptor
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise PostfixTlsError(
                        path, None, "somebody has been editing this file for over %g s" % self._wait,
                        "fuser -v %s names who; end that, then run again; nothing was changed." % path,
                    ) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            time.sleep(_PAUSE)


def _is_at(descriptor: int, path: str) -> bool:
    """Whether the file of that name still is this one."""
    with suppress(FileNotFoundError):
        here, there = os.fstat(descriptor), os.lstat(path)
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    return False
