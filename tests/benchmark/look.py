# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the engine in a process of its own, as a module has it: what it was asked comes on standard input, its cost goes out.

In: {"targets": [arguments of Target], "look": arguments of Look, "concurrency"}. Out: {"seconds": without the start of the interpreter and
imports, "peak": MiB of this process, "unclear": {position of a target: why it was not looked at to the end}}.
"""
from __future__ import annotations

import json
import resource
import sys
import time

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe, probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target


def _unclear(facts: dict) -> str | None:
    """Less than everything was done: then less time was needed, too."""
    tls = facts["tls"] or {}
    verdicts = [answer["verdict"] for answer in tls.get("versions", {}).values()]
    if facts["error"] or not verdicts or "unknown" in verdicts:
        return facts["error"] or "some versions are unknown"
    accepted = tls["accepted"]
    return None if accepted is None or accepted["complete"] else "the enumeration is not complete"


def main() -> None:
    asked = json.load(sys.stdin)
    targets, look = [Target(**target) for target in asked["targets"]], Look(**asked["look"])
    started = time.monotonic()
    seen = [probe(targets[0], look)] if len(targets) == 1 else probe_all(targets, look, asked["concurrency"])
    seconds = time.monotonic() - started
    unclear = {position: reason for position, reason in enumerate(map(_unclear, seen)) if reason}
    # After all is read: the results are part of what a call needs.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump({"seconds": seconds, "peak": peak, "unclear": unclear}, sys.stdout)


if __name__ == "__main__":
    main()
