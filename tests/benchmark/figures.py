# SPDX-License-Identifier: GPL-3.0-or-later
"""What a figure is, and the processes whose time is taken."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Optional

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]

#: Of processes that import the collection. Compiled modules are kept, as they are for whatever is installed.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": os.pathsep.join(map(str, (TOP / ".cache", TOP / "tests" / "unit"))),
    "PYTHONPYCACHEPREFIX": str(TOP / ".cache" / "compiled"),
}


class Figure(NamedTuple):
    """value: None where it could not be measured. limit: of a ratio or a count, never of a time; None for what is only told."""

    name: str
    value: Optional[float]
    unit: str
    limit: Optional[float] = None

    @property
    def good(self) -> bool:
        """What was not measured is not known to be within its limit."""
        return self.limit is None or (self.value is not None and self.value <= self.limit)

    def __str__(self) -> str:
        value = "-" if self.value is None else "%.2f" % self.value if self.value >= 1 else "%.3f" % self.value
        limit = "-" if self.limit is None else "%g" % self.limit
        return "\t".join((self.name, value, self.unit, limit, "ok" if self.good else "over"))


def timed(command: list, statuses: tuple = (0,), stdin: str = "", env: dict | None = None) -> tuple:
    """(seconds, output) of one process; one that ends with another status ends the benchmark."""
    started = time.monotonic()
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace", env=env, check=False)
    seconds = time.monotonic() - started
    if done.returncode not in statuses:
        sys.exit("%s: %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
    return seconds, done.stdout


def look(targets: list, concurrency: int = 32, **how: object) -> tuple:
    """(seconds of the whole process, what look.py says)."""
    asked = {"targets": targets, "look": how, "concurrency": concurrency}
    seconds, out = timed([sys.executable, str(HERE / "look.py")], stdin=json.dumps(asked), env=ENVIRONMENT)
    return seconds, json.loads(out)
