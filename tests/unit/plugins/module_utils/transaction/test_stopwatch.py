# SPDX-License-Identifier: GPL-3.0-or-later
"""Every moment of a run is counted to one phase, and to one only."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import stopwatch
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch) -> list:
    """[now], for tests to move on."""
    now = [100.0]
    monkeypatch.setattr(stopwatch.time, "monotonic", lambda: now[0])
    return now


def test_what_is_in_no_phase_is_in_the_rest(clock: list) -> None:
    watch = Stopwatch("write", "plan", "prove")

    def work(seconds: float) -> float:
        clock[0] += seconds
        return seconds

    assert watch.timed("plan", work)(2.0) == 2.0
    work(0.5)
    assert watch.seconds() == {"plan": 2.0, "prove": 0.0, "write": 0.5}


def test_a_phase_within_another_is_counted_to_the_outer_one_alone(clock: list) -> None:
    watch = Stopwatch("write", "plan", "prove")

    def read() -> None:
        clock[0] += 1.0

    watch.timed("prove", watch.timed("plan", read))()
    assert watch.seconds() == {"plan": 0.0, "prove": 1.0, "write": 0.0}


def test_a_phase_that_fails_is_counted_too(clock: list) -> None:
    watch = Stopwatch("write", "live")

    def fail() -> None:
        clock[0] += 3.0
        raise ValueError

    with pytest.raises(ValueError):
        watch.timed("live", fail)()
    assert watch.seconds() == {"live": 3.0, "write": 0.0}
