# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Many targets side by side: as many at a time as the caller wants, as this process may open connections to, and as it keeps up with.

A target's clock runs from its first connection. With more of them at a time than the machine can serve, a healthy server would use up its time
while this process does something else; so no further target is begun while this process is late.
"""
from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

try:
    import resource
except ImportError:  # not on every platform
    resource = None

#: Targets at a time that are begun without a look at how late this process is; as many as there are by default.
AT_ONCE = 32
#: Targets at a time, whatever is asked for: each has up to five threads.
MOST = 200
#: Open files: of one target (four connections, and one for a name server or a program), and of everything else that is still to be opened.
_FILES_OF_ONE, _FILES_TO_SPARE = 5, 40
#: Seconds: how long to wait until one more is begun, and by how much that may be late.
_PACE = 0.02


def room(concurrency: int) -> int:
    """How many targets there may be at a time, one at least."""
    return max(1, min(concurrency, MOST, (_files() - _FILES_TO_SPARE) // _FILES_OF_ONE))


def side_by_side(act: Callable, items: list, concurrency: int, clock: Callable = time.monotonic) -> list:
    """What act returns for each of items, in their order; what it raises is raised."""
    gate = _Gate(room(min(concurrency, len(items))), clock)

    def one(item: object) -> object:
        try:
            return act(item)
        finally:
            gate.leave()

    with ThreadPoolExecutor(max_workers=gate.most) as pool:
        begun = []
        for item in items:
            gate.enter()
            begun.append(pool.submit(one, item))
        return [future.result() for future in begun]


class _Gate:
    """Lets one in where there is room. most: how many there may be inside at a time."""

    def __init__(self, most: int, clock: Callable) -> None:
        self.most = most
        self._clock = clock
        self._least = self._room = min(most, AT_ONCE)
        self._inside = 0
        self._changed = threading.Condition()

    def enter(self) -> None:
        with self._changed:
            while self._inside >= self._room:
                began = self._clock()
                if self._changed.wait(_PACE):
                    continue
                # Whoever is woken late shares the machine with too many already.
                in_time = self._clock() - began < 2 * _PACE
                self._room = min(self.most, self._room + 1) if in_time else max(self._least, self._inside)
            self._inside += 1

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify()


def _files() -> int:
    """Files that this process may open beside those it has."""
    if resource is None:
        return _FILES_TO_SPARE + AT_ONCE * _FILES_OF_ONE
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        used = _FILES_TO_SPARE
    return MOST * _FILES_OF_ONE + _FILES_TO_SPARE if limit == resource.RLIM_INFINITY else limit - used
