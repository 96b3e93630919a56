# SPDX-License-Identifier: GPL-3.0-or-later
"""The two plays that are compared, each on the first so many hosts of the group bench."""
from __future__ import annotations

import re
import sys
from pathlib import Path

from figures import HERE, TOP, timed

INVENTORY = TOP / ".cache" / "lab" / "inventory" / "bench.json"
VARIABLES = TOP / "tests" / "demo" / "variables.yml"
FORKS = 20


def ping(hosts: int) -> tuple:
    """(seconds, output) of the least a play can do."""
    return _play(HERE / "ping.yml", hosts)


def site(hosts: int, *more: str, changed: int | None = None) -> tuple:
    """(seconds, output) of site.yml; one that changes another number of things on any host ends the benchmark."""
    seconds, out = _play(TOP / "playbooks" / "site.yml", hosts, *more)
    if changed is not None and re.findall(r" changed=(\d+) ", out) != [str(changed)] * hosts:
        sys.exit("This run was to end with changed=%d on %d hosts:\n%s" % (changed, hosts, out))
    return seconds, out


def _play(playbook: Path, hosts: int, *more: str) -> tuple:
    options = ["-i", str(INVENTORY), "-e", "@%s" % VARIABLES, "--limit", "bench[0:%d]" % (hosts - 1), "--forks", str(FORKS)]
    return timed(["ansible-playbook", *options, str(playbook), *more])
