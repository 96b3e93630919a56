# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy of 10,000 entries costs to judge and write, in runs of Postfix's own postmap over the same lines.

Taken is what planning and writing it takes longer, in the module on the host, than planning and writing one entry: it is judged, linted and
indexed in that time. Beside it, what a whole run of such a policy takes.
"""
from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Iterator

from figures import TOP, Figure
from hardening import by_phase
from plays import ping, site

sys.path.insert(1, str(TOP / "molecule" / "lab"))

from reach import Host  # noqa: E402  it lies in the lab, which is no package

ENTRIES = 10_000
_POSTMAP = (
    "import subprocess, time; started = time.monotonic(); subprocess.run(['postmap', 'lmdb:/root/policy'], check=True); print(time.monotonic() - started)"
)


def figures() -> Iterator[Figure]:
    host = Host("bench1")
    host.run("postconf -m | grep -q lmdb || { apt-get -q update && apt-get -qy install postfix-lmdb; } >/dev/null 2>&1")
    with tempfile.TemporaryDirectory() as folder:
        long, short = _variables(Path(folder), ENTRIES), _variables(Path(folder), 1)
        host.run("rm -f /root/policy*; sleep 1.1")
        judged, mapped, whole, again = [], [], [], []
        for _round in range(3):
            site(1, "-e", '{"tls_policy_destinations": []}')
            one = _planned(site(1, "-v", "-e", short, changed=1)[1])
            site(1, "-e", '{"tls_policy_destinations": []}')
            least, _out = ping(1)
            seconds, out = site(1, "-v", "-e", long, changed=1)
            whole.append(seconds / least)
            judged.append(_planned(out) - one)
            host.run("cp -p /etc/postfix/tls_policy /root/policy; touch -d '1 minute ago' /root/policy; rm -f /root/policy.lmdb")
            mapped.append(float(host.run('python3 -c "%s"' % _POSTMAP)))
            again.append(site(1, "-e", long, changed=0)[0] / least)
        _seconds, out = site(1, "-vvv", "-e", long, changed=0)
        site(1, "-e", '{"tls_policy_destinations": []}')
    yield Figure("a policy of 10,000 entries, judged and written", statistics.median(one / other for one, other in zip(judged, mapped)), "postmap lmdb:", 2)
    yield Figure("a policy of 10,000 entries, judged and written, on the host", 1000 * statistics.median(judged), "ms")
    yield Figure("site.yml with a new policy of 10,000 entries", statistics.median(whole), "ping plays")
    yield Figure("site.yml again with a policy of 10,000 entries", statistics.median(again), "ping plays")
    yield Figure("module executions with an unchanged policy of 10,000 entries", len(re.findall(r"SSH: EXEC ssh ", out)), "executions", 1)


def _planned(out: str) -> float:
    told = by_phase(out)
    return told["plan"] + told["write"]


def _variables(folder: Path, size: int) -> str:
    """As an argument of -e. Every other entry looks at names."""
    entries = [
        {"destination": "partner%d.example.org" % number, **({"level": "secure", "match": ["mx%d.example.org" % (number % 50)]} if number % 2 else {})}
        for number in range(size)
    ]
    path = folder / ("%d.json" % size)
    path.write_text(json.dumps({"tls_policy_destinations": entries}), encoding="utf-8")
    return "@%s" % path
