# SPDX-License-Identifier: GPL-3.0-or-later
"""What looking at many targets in one call costs, and that ten that hang cost no more than one: fakes on loopback, in another process."""
from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import contextmanager
from typing import Iterator

from figures import ENVIRONMENT, HERE, Figure, look

ROUNDS = 2
DEADLINE = 5  # seconds for one target
HEALTHY, HANGING, MANY = 190, 10, 1000


def figures() -> Iterator[Figure]:
    with _fakes() as fakes:
        healthy = _targets(fakes["healthy"], HEALTHY)
        # The worst order: the last of the healthy ones are done when these begin.
        hanging = _targets(fakes["silent"] + fakes["slow"], HANGING)
        ratios, peaks = [], []
        for _round in range(ROUNDS):
            alone = _look(fakes, healthy)
            together = _look(fakes, healthy + hanging, hanging=HANGING)
            ratios.append(together["seconds"] / (DEADLINE + alone["seconds"]))
            peaks.append(together["peak"])
        many = _look(fakes, _targets(fakes["healthy"], MANY))
    count = HEALTHY + HANGING
    peak = statistics.median(peaks)
    yield Figure("%d targets, %d of them hanging, over a deadline and the others alone" % (count, HANGING), statistics.median(ratios), "ratio", 1.05)
    yield Figure("%d healthy targets" % HEALTHY, alone["seconds"], "s")
    yield Figure("peak memory of a process that looks at %d targets" % count, peak, "MiB")
    yield Figure("peak memory of one that looks at %d targets" % MANY, many["peak"], "MiB")
    yield Figure("peak memory, %d targets over %d" % (MANY, count), many["peak"] / peak, "ratio", 2)


def _look(fakes: dict, targets: list, hanging: int = 0) -> dict:
    """What look.py says. Less time is worth nothing where it was saved by seeing less."""
    _seconds, said = look(targets, timeout=DEADLINE, ca_content=fakes["ca"])
    if sorted(map(int, said["unclear"])) != list(range(len(targets) - hanging, len(targets))):
        sys.exit("Exactly the last %d of %d targets were to be unclear: %s" % (hanging, len(targets), said["unclear"]))
    return said


def _targets(ports: list, count: int) -> list:
    return [{"host": "127.0.0.1", "port": ports[number % len(ports)], "server_name": "mx.example.org"} for number in range(count)]


@contextmanager
def _fakes() -> Iterator[dict]:
    """What fakes.py says of its servers."""
    command = [sys.executable, str(HERE / "fakes.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as fakes:
        try:
            yield json.loads(fakes.stdout.readline() or sys.exit("The fake servers did not start."))
        finally:
            fakes.stdin.close()
