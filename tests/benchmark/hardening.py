# SPDX-License-Identifier: GPL-3.0-or-later
"""What hardening a host costs, in runs of a play that only pings it: they are taken in turn, and a figure is the median of neighbours."""
from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path
from typing import Iterator

from figures import HERE, TOP, Figure, timed

INVENTORY = TOP / ".cache" / "lab" / "inventory" / "bench.json"
VARIABLES = TOP / "tests" / "demo" / "variables.yml"
SITE = TOP / "playbooks" / "site.yml"
PING = HERE / "ping.yml"


def figures() -> Iterator[Figure]:
    _play(SITE)
    yield Figure("module executions on a hardened host", _executions(), "executions", 3)
    yield Figure("site.yml again on a hardened host, proof included", _ratio(7, 0), "ping plays", 1.8)
    yield Figure("site.yml that changes and restarts", _ratio(3, 1, "-e", "smtpd_tls_enabled=false"), "ping plays", 4)


def _play(playbook: Path, *more: str) -> tuple:
    """(seconds, output) of one run."""
    return timed(["ansible-playbook", "-i", str(INVENTORY), "-e", "@%s" % VARIABLES, str(playbook), *more])


def _ratio(pairs: int, changed: int, *prepare: str) -> float:
    """Median of site.yml's time over the ping play's; prepare are options of a run that undoes something first, untimed."""
    ratios = []
    for _pair in range(pairs):
        if prepare:
            _play(SITE, *prepare)
        ping, _out = _play(PING)
        site, out = _play(SITE)
        if "changed=%d " % changed not in out:
            sys.exit("This run was to end with changed=%d:\n%s" % (changed, out))
        ratios.append(site / ping)
    return statistics.median(ratios)


def _executions() -> int:
    """Module executions on the host in one unchanged run: with pipelining, each is one command over SSH."""
    _seconds, out = _play(SITE, "-vvv")
    return len(re.findall(r"SSH: EXEC ssh ", out))
