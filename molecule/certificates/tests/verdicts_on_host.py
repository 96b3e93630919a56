# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, beside the collection's modules: what is said of each chain in memory, on the wire, and by Postfix's own client.

Standard input: {rows: [{path, port, name}], ca_file}. Standard output: a list of {memory, wire, postfix}, true where that took it, else words.
"""
from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, proof, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target

#: What a chain decides.
_CHECKS = ["reachable", "handshake", "trust", "name", "validity", "key", "certificate_signature"]


def memory(row: dict, ca_file: str) -> object:
    with open(row["path"], encoding="ascii") as file:
        text = file.read()
    chain = pem.chain("row", text, text)
    try:
        strength.judge(chain)
        return proof.prove(chain, [row["name"]], ca_file) or "it is self-signed"
    except PostfixTlsError as error:
        return "%s: %s" % (error.value, error.reason)


def wire(row: dict, ca_file: str) -> object:
    expected = Expectation(profile="interop", depth="standard", checks=_CHECKS)
    facts = probe(Target("127.0.0.1", row["port"], server_name=row["name"]), Look(timeout=10, ca_file=ca_file, depth="standard", **expected.questions()))
    wrong = ["%(check)s: %(observed)s" % finding for finding in judge(facts, expected) if finding["verdict"] != "pass"]
    return "; ".join(wrong) or True


def postfix(row: dict, ca_file: str) -> object:
    words = ["posttls-finger", "-c", "-l", "secure", "-F", ca_file, "-L", "summary,untrusted", "[127.0.0.1]:%d" % row["port"], row["name"]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    return "Verified TLS connection established" in said or said


def main() -> None:
    asked = json.load(sys.stdin)
    with ThreadPoolExecutor(4) as pool:
        told = pool.map(lambda row: {look.__name__: look(row, asked["ca_file"]) for look in (memory, wire, postfix)}, asked["rows"])
        json.dump(list(told), sys.stdout)


main()
