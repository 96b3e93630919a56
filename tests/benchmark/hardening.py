# SPDX-License-Identifier: GPL-3.0-or-later
"""What hardening a host costs, in runs of a play that only pings it: they are taken in turn, and a figure is the median of neighbours.

Beside it, where the module's own time on the host went in the very same runs.
"""
from __future__ import annotations

import json
import re
import statistics
from typing import Iterator

from figures import Figure
from plays import ping, site

PHASES = ("plan", "write", "live", "prove")


def figures() -> Iterator[Figure]:
    site(1)
    yield Figure("module executions on a hardened host", _executions(), "executions", 3)
    yield from _runs("site.yml again on a hardened host, proof included", 1.6, 7, 0)
    yield from _runs("site.yml that changes and restarts", 4, 3, 1, "-e", "smtpd_tls_enabled=false")


def _runs(name: str, limit: float, pairs: int, changed: int, *prepare: str) -> Iterator[Figure]:
    """site.yml's time over the ping play's, and its phases; prepare are options of a run that undoes something first, untimed."""
    ratios, phases = [], []
    for _pair in range(pairs):
        if prepare:
            site(1, *prepare)
        least, _out = ping(1)
        seconds, out = site(1, "-v", changed=changed)
        ratios.append(seconds / least)
        phases.append(by_phase(out))
    yield Figure(name, statistics.median(ratios), "ping plays", limit)
    for phase in PHASES:
        yield Figure("%s: %s, on the host" % (name, phase), 1000 * statistics.median(told[phase] for told in phases), "ms")


def by_phase(out: str) -> dict:
    """{phase: seconds}, as the module returned it."""
    [told] = re.findall(r'"seconds": (\{[^}]*\})', out)
    return json.loads(told)


def _executions() -> int:
    """Module executions on the host in one unchanged run: with pipelining, each is one command over SSH."""
    _seconds, out = site(1, "-vvv", changed=0)
    return len(re.findall(r"SSH: EXEC ssh ", out))
