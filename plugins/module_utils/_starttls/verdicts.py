# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What each check makes of the facts about one target. All take (facts, expectation) and return Seen.

Fail is what the server showed; where it never came so far, the verdict is unknown.
"""
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import keywords
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES, below

if TYPE_CHECKING:
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import Expectation


class Seen(NamedTuple):
    """One check's answer: the verdict, and what it rests on in words."""

    verdict: str
    observed: str


def reachable(facts: dict, _expectation: Expectation) -> Seen:
    if facts["reachable"]:
        return Seen("pass", facts["smtp"]["banner"] or "a TCP connection")
    return Seen("fail", facts["error"])


def starttls_offered(facts: dict, _expectation: Expectation) -> Seen:
    offered = facts["smtp"]["starttls"]
    if offered is None:
        return _unseen(facts)
    return Seen("pass" if offered else "fail", "EHLO offers STARTTLS" if offered else "EHLO offers no STARTTLS")


def starttls_withheld(facts: dict, expectation: Expectation) -> Seen:
    seen = starttls_offered(facts, expectation)
    return Seen({"pass": "fail", "fail": "pass"}.get(seen.verdict, "unknown"), seen.observed)


def handshake(facts: dict, _expectation: Expectation) -> Seen:
    tls = facts["tls"]
    if tls is None:
        return _unseen(facts)
    if tls["handshake"] == "done":
        return Seen("pass", "%s, %s" % (tls["version"], tls["cipher"]))
    return Seen("fail" if tls["handshake"] == "refused" else "unknown", tls["reason"])


def verdict_on(key: str) -> Callable:
    """A check whose verdict the handshake brought along: trust or name."""
    def look(facts: dict, _expectation: Expectation) -> Seen:
        return Seen(facts["tls"][key]["verdict"], facts["tls"][key]["reason"]) if facts["tls"] else _unseen(facts)
    return look


def validity(facts: dict, expectation: Expectation) -> Seen:
    leaf, rest = facts["certificates"][:1], facts["certificates"][1:]
    # A root in the chain is the peer's own business: it is compared with the peer's copy, not by its dates.
    judged = leaf + [certificate for certificate in rest if not certificate["self_signed"]]
    if not judged:
        return _unseen(facts)
    if any(certificate["days_left"] is None or certificate["not_before"] is None for certificate in judged):
        return Seen("unknown", "the dates of the certificate could not be read")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    first = min(judged, key=lambda certificate: certificate["days_left"])
    observed = "%s ends %s, %d days from now" % (first["subject"], first["not_after"], first["days_left"])
    for certificate in judged:
        if certificate["not_before"] > now:
            return Seen("fail", "%s begins only on %s" % (certificate["subject"], certificate["not_before"]))
    return Seen("pass" if first["days_left"] >= expectation.min_days_left else "fail", observed)


def versions(facts: dict, expectation: Expectation) -> Seen:
    if not facts["tls"]:
        return _unseen(facts)
    answers = facts["tls"]["versions"]
    if not answers:
        return Seen("unknown", "the versions were not asked for")
    too_old = below(expectation.floor)
    accepted = [name for name in NAMES if answers[name]["verdict"] == "accepted"]
    unclear = ["%s (%s)" % (name, answers[name]["reason"]) for name in too_old if answers[name]["verdict"] == "unknown"]
    if set(accepted) & set(too_old):
        return Seen("fail", "accepted: %s" % ", ".join(accepted))
    if unclear:
        return Seen("unknown", "not clearly refused: %s" % ", ".join(unclear))
    if not accepted:
        rest = ["%s %s (%s)" % (name, answer["verdict"], answer["reason"]) for name, answer in answers.items() if name not in too_old]
        refused = all(answers[name]["verdict"] == "refused" for name in NAMES)
        return Seen("fail" if refused else "unknown", "none accepted: %s" % ", ".join(rest))
    return Seen("pass", "accepted: %s" % ", ".join(accepted))


def deployed(facts: dict, expectation: Expectation) -> Seen:
    if not facts["certificates"]:
        return _unseen(facts)
    served = facts["certificates"][0]["sha256"]
    return Seen("pass" if served in expectation.deployed else "fail", "served leaf %s" % served)


def not_offered_again(facts: dict, _expectation: Expectation) -> Seen:
    capabilities = facts["smtp"]["ehlo_after_tls"]
    if capabilities is None:
        return _unseen(facts)
    again = "STARTTLS" in keywords(capabilities)
    return Seen("fail" if again else "pass", "EHLO within TLS offers %s" % (", ".join(capabilities) or "nothing"))


def auth_before_tls(facts: dict, _expectation: Expectation) -> Seen:
    capabilities = facts["smtp"]["ehlo"]
    if capabilities is None:
        return _unseen(facts)
    offered = keywords(capabilities).get("AUTH")
    return Seen("pass", "no AUTH before TLS") if offered is None else Seen("fail", "AUTH %s before TLS" % offered)


def response_injection(facts: dict, _expectation: Expectation) -> Seen:
    if not facts["smtp"]["starttls_reply"]:
        return _unseen(facts)
    extra = facts["smtp"]["after_starttls"]
    return Seen("fail" if extra else "pass", "%s, then %s" % (facts["smtp"]["starttls_reply"], extra or "nothing in the clear"))


def _unseen(facts: dict) -> Seen:
    """What a check needs never came; the cause is the one that an earlier check shows, in the same words."""
    if facts["smtp"]["starttls"] is False:
        return Seen("unknown", "EHLO offers no STARTTLS")
    return Seen("unknown", (facts["tls"] or {}).get("reason") or facts["error"] or "the dialogue did not come so far")
