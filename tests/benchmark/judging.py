# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, as root, with the collection's module_utils on PYTHONPATH: judges and writes a policy as the module does, and has postmap index
the same lines, in turn.

Reads the entries as JSON on standard input; prints [[seconds judged and written, seconds of postmap lmdb:], ...].
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import policy
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft, Intent
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files

TABLE = "/root/policy"
ROUNDS = 7


def main() -> None:
    entries = json.load(sys.stdin)
    host = Instance.read(run, "/etc/postfix")
    told = []
    for _round in range(ROUNDS):
        for name in (TABLE, TABLE + ".lmdb"):
            if os.path.exists(name):
                os.unlink(name)
        started = time.monotonic()
        draft = Draft.of(host, Intent(policy={"destinations": entries, "path": TABLE}))
        policy.write(draft)
        for change in draft.proposal.plan.changes:
            files.write(change.path, change.after)
        judged = time.monotonic() - started
        assert len(draft.proposal.tables["texthash:" + TABLE]) == len(entries)
        os.utime(TABLE, (0, 0))  # postmap waits for files that are younger than a second
        started = time.monotonic()
        subprocess.run(["postmap", "lmdb:" + TABLE], check=True)
        told.append([judged, time.monotonic() - started])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
