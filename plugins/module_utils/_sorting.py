# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What did not pass of one listener, sorted: what refutes the change, what could not be proven, and what was so before and is told."""
from __future__ import annotations

import re
from typing import NamedTuple, Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Listener
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import obstacles
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import endpoint
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import Obstacle

#: What the files of a chain decide by themselves, however often Postfix is restarted.
_OF_THE_FILES = frozenset(("trust", "name", "validity", "key", "certificate_signature"))
#: What a chain that this run asks for has to show at the listeners that have it.
_OF_THE_CHAIN = _OF_THE_FILES | {"handshake", "chain_order", "deployed_chain"}
#: What has to pass before anything else can be seen.
_GATES = frozenset(("reachable", "starttls_offered", "handshake"))
#: What a profile decides.
_OF_THE_PROFILE = frozenset((
    "versions", "suites", "server_order", "groups", "dh_size", "signatures", "key", "certificate_signature", "extended_master_secret",
    "secure_renegotiation", "compression",
))
#: {check: parameters that promise it}
_PARAMETERS = {
    "starttls_offered": {"smtpd_tls_security_level"},
    "mail_before_tls": {"smtpd_tls_security_level"},
    "versions": {"smtpd_tls_protocols", "smtpd_tls_mandatory_protocols"},
    "auth_before_tls": {"smtpd_tls_auth_only"},
}
#: What is not to be seen without a client certificate.
_BEHIND_THE_HANDSHAKE = frozenset(("handshake", "starttls_not_offered_again", "command_injection", "mail_before_tls"))

_FIREWALLED = Obstacle(
    re.compile(""), "the host's own firewall", "a rule that lets the host itself reach its port, for the kernel says that something listens there",
)


class Sorted(NamedTuple):
    """refuting, unproven, told: findings. obstacle: what kept the unproven ones from being seen."""

    refuting: list
    unproven: list
    told: list
    obstacle: Optional[Obstacle] = None


class Asked(NamedTuple):
    """What a change asks of one listener. parameters: names of it that hold there. chain, profile: whether the listener has these of it."""

    parameters: frozenset
    chain: bool
    profile: bool

    def promises(self, check: str) -> bool:
        return (
            self.chain and check in _OF_THE_CHAIN or self.profile and check in _OF_THE_PROFILE
            or not self.parameters.isdisjoint(_PARAMETERS.get(check, ()))
        )


def sort(facts: dict, listener: Listener, asked: Asked, before: dict | None, busy: bool) -> Sorted:
    """facts: with findings, and so is before, of the same listener as it was; None where that is not known. busy: whether master(8)
    said since that it can't start as many processes as there are clients.
    """
    wrong = bad(facts)
    reason = _obstacle(facts, listener, busy) if wrong else None
    unproven = [finding for finding in wrong if reason and _hidden(finding, facts, listener, reason)]
    told = [finding for finding in wrong if finding not in unproven and _was_so(finding, facts, listener, asked, before)]
    if any(finding["check"] in _GATES for finding in told):  # what lies behind could not be seen then either
        told = [finding for finding in wrong if finding not in unproven and (finding in told or finding["verdict"] == "unknown")]
    return Sorted([finding for finding in wrong if finding not in unproven and finding not in told], unproven, told, reason)


def bad(facts: dict) -> list:
    """Findings that did not pass."""
    # What an old Python can't see of a chain that TLS 1.3 alone shows, the handshake in memory has proven before it was written.
    unseen = ("chain_order", "unknown")
    return [finding for finding in facts["findings"] if finding["verdict"] not in ("pass", "note") and (finding["check"], finding["verdict"]) != unseen]


def notes(facts: dict, found: Sorted, listener: Listener, name: str | None = None) -> list:
    """Of what does not refute a change, as findings of the module. name: that was asked for by SNI, of those that have a chain of their own."""
    where = endpoint(facts["target"]["host"], facts["target"]["port"]) + (" for %s" % name if name else "")
    made = []
    if found.unproven:
        checks = ", ".join(dict.fromkeys(finding["check"] for finding in found.unproven))
        made.append({
            "check": "unproven", "verdict": "note",
            "observed": "%s is not proven in full, which %s decides: %s could not be seen (%s)" % (
                where, found.obstacle.parameter, checks, facts["error"] or found.unproven[0]["observed"]),
            "expected": "each listener proven from the host itself", "fix": found.obstacle.remedy,
            "reference": "postconf(5) %s" % found.obstacle.parameter,
        })
    gates = [finding for finding in found.told if finding["check"] in _GATES and finding["verdict"] == "fail"]
    for finding in gates[:1] or found.told:
        overridden = _PARAMETERS.get(finding["check"], set()) & listener.overridden
        own = " (master.cf: %s says so by -o %s)" % (listener.service, ", ".join(sorted(overridden))) if overridden else ""
        made.append(dict(
            finding, verdict="note", observed="%s: %s: %s%s; it is no doing of this change" % (where, finding["check"], finding["observed"], own),
        ))
    return made


def _obstacle(facts: dict, listener: Listener, busy: bool) -> Obstacle | None:
    found = obstacles.of_look(facts)
    if found:
        return found
    if facts["vantage"]["source"] is None:
        return _FIREWALLED if listens(listener.port) else None
    return obstacles.BUSY if busy and not facts["reachable"] else None


def _hidden(finding: dict, facts: dict, listener: Listener, reason: Obstacle) -> bool:
    """Whether the obstacle keeps it from being seen, rather than that something was seen."""
    if reason.parameter == "smtpd_tls_req_ccert":
        return listener.demands_certificate and finding["check"] in _BEHIND_THE_HANDSHAKE
    return finding["verdict"] == "unknown" or not facts["reachable"]


def _was_so(finding: dict, facts: dict, listener: Listener, asked: Asked, before: dict | None) -> bool:
    check = finding["check"]
    if check == "auth_before_tls" and not listener.auth_only:
        return True  # the listener's own parameters allow it, whoever wrote them
    promised = asked.promises(check)
    if before is None:
        served = {one["check"]: one["verdict"] for one in facts["findings"]}.get("deployed_chain") == "pass"
        return check in _OF_THE_FILES and served and not promised
    if before["vantage"]["source"] is None:
        return False  # nothing listened
    earlier = {one["check"] for one in bad(before)}
    if "reachable" in earlier:
        return not facts["reachable"] and (finding["verdict"] == "unknown" or not promised)
    return check in earlier and not promised


def listens(port: int) -> bool:
    """Whether any socket of this machine listens on the port. Source: proc(5) /proc/net/tcp; 0A is TCP_LISTEN."""
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/%s" % name, encoding="ascii") as table:
                rows = [line.split() for line in table][1:]
        except OSError:
            continue
        if any(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows):
            return True
    return False
