# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, beside the collection's modules: what is said of each chain in memory, on the wire, and by Postfix's own client.

Standard input: {rows: [{path, port, name}], ca_file}. Standard output: a list of {memory, wire, proof, look, predicted, postfix}, true where that took it,
else words. memory and wire: what is asked of a chain before it is served, and after. proof and look: the same without a profile, so what peers need. predicted:
what tls_policy_info would say of mail at secure. postfix: its own client, at secure.
"""
from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import assembly, pem, proof, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import sender as senders
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import Demand, outcome
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target

#: What a chain decides, and what of it peers need.
_CHECKS = ["reachable", "handshake", "trust", "name", "validity", "key", "certificate_signature"]
_NEEDED = _CHECKS[:-2]


def before(row: dict, ca_file: str) -> dict:
    with open(row["path"], encoding="ascii") as file:
        text = file.read()

    def judged(chain: pem.Chain) -> bool:
        strength.judge(chain)
        return proved(chain)

    def proved(chain: pem.Chain) -> bool:
        return proof.prove(chain, [row["name"]], ca_file)

    chain = assembly.assembled(pem.chain("row", text, text))[0]
    return {"memory": _told(judged, chain), "proof": _told(proved, chain)}


def _told(act: Callable, chain: pem.Chain) -> object:
    try:
        return act(chain) or "it is self-signed"
    except PostfixTlsError as error:
        return "%s: %s" % (error.value, error.reason)


def after(row: dict, ca_file: str) -> dict:
    expected, needed = Expectation(profile="interop", depth="standard", checks=_CHECKS), Expectation(checks=_NEEDED)
    facts = probe(Target("127.0.0.1", row["port"], server_name=row["name"]), Look(timeout=20, ca_file=ca_file, depth="standard", **expected.questions()))
    mail = outcome(Demand("secure", (row["name"],), ">=TLSv1.2", nexthop="example.org", postfix=senders.read(runner(), "/etc/postfix", False).postfix), facts)
    return {"wire": _wrong(facts, expected) or True, "look": _wrong(facts, needed) or True, "predicted": mail.delivered or mail.reason}


def _wrong(facts: dict, expected: Expectation) -> str:
    return "; ".join("%(check)s: %(observed)s" % finding for finding in judge(facts, expected) if finding["verdict"] != "pass")


def by_postfix(row: dict, ca_file: str) -> dict:
    words = ["posttls-finger", "-c", "-l", "secure", "-F", ca_file, "-L", "summary,untrusted", "[127.0.0.1]:%d" % row["port"], row["name"]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    return {"postfix": "Verified TLS connection established" in said or said}


def main() -> None:
    asked = json.load(sys.stdin)
    with ThreadPoolExecutor(4) as pool:
        said = [pool.map(lambda row, tell=tell: tell(row, asked["ca_file"]), asked["rows"]) for tell in (before, after, by_postfix)]
        json.dump([{**first, **second, **third} for first, second, third in zip(*said)], sys.stdout)


main()
