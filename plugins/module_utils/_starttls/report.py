# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Findings as text for a person."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import endpoint


#: Of what Postfix logged, this much is told; the findings have all of it.
_MOST_LINES = 4


def failed(findings: list) -> list:
    """Those that did not pass."""
    return [finding for finding in findings if finding["verdict"] != "pass"]


def explain(results: list) -> str:
    """One text for a person: per target what did not pass, what was seen instead, and what to write. results: facts with findings."""
    told = []
    for result in results:
        groups: dict = {}
        for finding in failed(result["findings"]):
            groups.setdefault(finding["observed"], []).append(finding)
        logged = list(dict.fromkeys(line for finding in result["findings"] for line in finding.get("log", ())))[:_MOST_LINES]
        for observed, (first, *same) in groups.items():
            where = endpoint(result["target"]["host"], result["target"]["port"])
            line = "%s: %s %s: %s. Expected: %s. Fix: %s." % (where, first["check"], first["verdict"], observed, first["expected"], first["fix"])
            told.append(line + (" For the same reason unknown: %s." % ", ".join(finding["check"] for finding in same) if same else ""))
            if logged:
                told[-1] += " Postfix logged: %s." % " | ".join(line.rstrip(".") for line in logged)
                logged = []
    return "\n".join(told)


def lines(facts: dict) -> tuple:
    """What a peer sees of one target, a line each, the same words for the same thing: for comparing two looks."""
    tls = facts["tls"] or {}
    told = ["STARTTLS is %s" % ("offered" if facts["smtp"]["starttls"] else "not offered")] if facts["target"]["protocol"] != "smtps" else []
    if tls:
        told.append("handshake: %s" % ("%s, %s" % (tls["version"], tls["cipher"]) if tls["handshake"] == "done" else tls["handshake"]))
        told += ["%s is %s" % (version, answer["verdict"]) for version, answer in tls["versions"].items()]
        told.append("trust: %s" % tls["trust"]["reason"])
    for chain in facts["chains"]:
        leaf = chain["certificates"][0]
        whom = ", for who sends no server name" if chain["sni"] is False else ""
        told.append("%s leaf %s of %s until %s%s" % (chain["algorithm"], leaf["sha256"], leaf["subject"], leaf["not_after"], whom))
    return tuple(told)
