# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Where the time of a run goes."""
from __future__ import annotations

import time
from typing import Callable


class Stopwatch:
    """seconds: {phase: seconds}. What is in no phase of its own is in the one that rest names."""

    def __init__(self, rest: str, *phases: str) -> None:
        self._rest = rest
        self._phases = dict.fromkeys(phases, 0.0)
        self._begun = time.monotonic()
        self._within = False

    def timed(self, phase: str, function: Callable) -> Callable:
        """The same function, its time counted to a phase."""
        def run(*arguments: object) -> object:
            if self._within:  # counted already, to the phase that called
                return function(*arguments)
            begun, self._within = time.monotonic(), True
            try:
                return function(*arguments)
            finally:
                self._within = False
                self._phases[phase] += time.monotonic() - begun
        return run

    def seconds(self) -> dict:
        """So far, in milliseconds' precision."""
        rest = time.monotonic() - self._begun - sum(self._phases.values())
        return {phase: round(seconds, 3) for phase, seconds in dict(self._phases, **{self._rest: rest}).items()}
