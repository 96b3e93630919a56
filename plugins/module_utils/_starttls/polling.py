# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Looks again at what did not pass, until it does or the retries are used up."""
from __future__ import annotations

import time
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import A_DAY
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import failed


class Means(NamedTuple):
    """look_at(list of Target) -> list of facts in their order. judge(position of the target, facts) -> findings.

    worth(facts with findings) -> whether another look may end otherwise. clock and sleep: as time.monotonic and time.sleep, in seconds.
    """

    look_at: Callable
    judge: Callable
    clock: Callable = time.monotonic
    sleep: Callable = time.sleep
    worth: Callable = lambda facts: True


def verify(targets: list, means: Means, retries: int = 0, delay: float = 5.0) -> tuple:
    """(facts with findings for each target in their order, number of looks).

    delay: seconds from the start of a look to the next.

    Raises PostfixTlsError for retries and a delay that can't be.
    """
    if retries < 0:
        raise PostfixTlsError("retries", retries, "it can't be less than none", "Write 0 to look once.")
    if not 0 <= delay <= A_DAY:
        raise PostfixTlsError("delay", delay, "it has to be from 0 seconds to a day", "5 suits a server that restarts.")
    results: list = [None] * len(targets)
    waiting = list(range(len(targets)))
    for attempt in range(1, retries + 2):
        started = means.clock()
        for position, facts in zip(waiting, means.look_at([targets[position] for position in waiting])):
            results[position] = dict(facts, findings=means.judge(position, facts))
        waiting = [position for position in waiting if failed(results[position]["findings"]) and means.worth(results[position])]
        if not waiting or attempt > retries:
            break
        means.sleep(max(0.0, started + delay - means.clock()))
    return results, attempt
