# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy of 10,000 entries costs to judge and write, in runs of Postfix's own postmap over the same lines; and what a whole run with it costs."""
from __future__ import annotations

import io
import json
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from typing import Iterator

from figures import HERE, TOP, Figure
from plays import ping, site

sys.path.insert(1, str(TOP / "molecule" / "lab"))

from reach import Host  # noqa: E402  it lies in the lab, which is no package

ENTRIES = 10_000
#: Every other entry looks at names. As the module's options have them, None is what was not asked for.
_WHOLE = dict.fromkeys(("match", "fingerprints", "protocols", "ciphers", "exclude", "tafile", "servername", "connection_reuse", "enable_rpk"))
POLICY = [
    {"destination": "partner%d.example.org" % number, **({"level": "secure", "match": ["mx%d.example.org" % (number % 50)]} if number % 2 else {})}
    for number in range(ENTRIES)
]


def figures() -> Iterator[Figure]:
    host = Host("bench1")
    host.run("postconf -m | grep -q lmdb || { apt-get -q update && apt-get -qy install postfix-lmdb; } >/dev/null 2>&1")
    site(1, "-e", '{"tls_policy_destinations": []}')
    rounds = _judged(host)
    yield Figure("a policy of 10,000 entries, judged and written", statistics.median(one / other for one, other in rounds), "postmap lmdb:", 2)
    yield Figure("a policy of 10,000 entries, judged and written, on the host", 1000 * statistics.median(one for one, _other in rounds), "ms")
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"tls_policy_destinations": POLICY}, file)
        file.flush()
        least, _out = ping(1)
        yield Figure("site.yml with a new policy of 10,000 entries", site(1, "-e", "@" + file.name, changed=1)[0] / least, "ping plays")
        seconds, out = site(1, "-vvv", "-e", "@" + file.name, changed=0)
        yield Figure("site.yml again with a policy of 10,000 entries", seconds / least, "ping plays")
    yield Figure("module executions with an unchanged policy of 10,000 entries", len(re.findall(r"SSH: EXEC ssh ", out)), "executions", 1)
    site(1, "-e", '{"tls_policy_destinations": []}')


def _judged(host: Host) -> list:
    """What judging.py measured on the host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(TOP / "plugins" / "module_utils", "ansible_collections/mailsec/postfix_tls/plugins/module_utils", filter=_source)
        archive.add(HERE / "judging.py", "judging.py")
    subprocess.run([*host.ssh(), "sudo rm -rf /root/judging; sudo mkdir /root/judging; sudo tar -xzC /root/judging"], input=packed.getvalue(), check=True)
    entries = [{**_WHOLE, "level": "encrypt", **entry} for entry in POLICY]
    return json.loads(host.run("PYTHONPATH=/root/judging python3 /root/judging/judging.py", stdin=json.dumps(entries)))


def _source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member
