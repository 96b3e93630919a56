# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host more costs the controller, in processor time: hosts work side by side, but all of them share the controller."""
from __future__ import annotations

import resource
import statistics
from functools import partial
from typing import Callable, Iterator

from figures import Figure
from plays import ping, site

HOSTS = (1, 10, 20)
ROUNDS = 3
SITE, PING = "site.yml again", "ping play"
PLAYS = {SITE: partial(site, changed=0), PING: ping}


def figures() -> Iterator[Figure]:
    site(max(HOSTS))
    rounds = [{(name, hosts): _cpu(play, hosts) for hosts in HOSTS for name, play in PLAYS.items()} for _round in range(ROUNDS)]
    cpu = {key: statistics.median(spent[key] for spent in rounds) for key in rounds[0]}
    for (name, hosts), seconds in cpu.items():
        yield Figure("controller, %s, hosts: %d" % (name, hosts), seconds, "CPU s")
    for most in HOSTS[1:]:
        site_more, ping_more = ((cpu[name, most] - cpu[name, 1]) / (most - 1) for name in (SITE, PING))
        yield Figure("controller, %s, each host more, 1 to %d" % (SITE, most), site_more, "CPU s")
        yield Figure("controller, %s, each host more, 1 to %d" % (PING, most), ping_more, "CPU s")
        yield Figure("controller, site.yml again over ping play, each host more, 1 to %d" % most, site_more / ping_more, "ratio")


def _cpu(play: Callable, hosts: int) -> float:
    """User and system time of one run: ansible-playbook and its workers. SSH connections that are kept open outlive it and are not in it."""
    before = _waited_for()
    play(hosts)
    return _waited_for() - before


def _waited_for() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
