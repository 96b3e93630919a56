# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""From facts to findings: what was seen against what was expected, one row of a table per check.

A finding is {check, verdict, observed, expected, fix, reference}. Its verdict is pass, fail or unknown, and unknown never passes.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import verdicts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES


@dataclass(frozen=True)
class Expectation:
    """What a target has to show. floor: the oldest protocol version it may accept. trust, name: whether they are judged.

    min_days_left: for each certificate. deployed: SHA-256 digests (hexadecimal) of leaf certificates, one of which has to be
    served; empty or None judges nothing. checks: names of those to make, None for all. Raises PostfixTlsError for what can't be.
    """

    starttls: bool = True
    floor: str = "TLSv1.2"
    trust: bool = True
    name: bool = True
    min_days_left: int = 0
    deployed: Optional[list] = None
    checks: Optional[list] = None

    def __post_init__(self) -> None:
        if self.floor not in NAMES:
            raise PostfixTlsError("floor", self.floor, "that is no protocol version", "Write one of %s." % ", ".join(NAMES))
        digests = [digest.replace(":", "").lower() for digest in self.deployed or ()]
        for digest in digests:
            if not re.match(r"[0-9a-f]{64}\Z", digest):
                raise PostfixTlsError("deployed", digest, "that is no SHA-256 digest", "Write its 64 hexadecimal digits.")
        object.__setattr__(self, "deployed", digests)
        switched = {"trust": self.trust, "name": self.name, "deployed_chain": digests}
        for name in self.checks or ():
            if name not in CHECK_NAMES:
                raise PostfixTlsError("checks", name, "there is no such check", "The checks are %s." % ", ".join(CHECK_NAMES))
            if not switched.get(name, True):
                raise PostfixTlsError("checks", name, "nothing is expected there, so it could not fail", "Expect something or leave it out.")


class Check(NamedTuple):
    """look(facts, expectation) -> Seen; called only when applies(facts, expectation). expected: may hold {fields} of Expectation, and {server_name}."""

    name: str
    applies: Callable
    look: Callable
    expected: str
    fix: str
    reference: str


def judge(facts: dict, expectation: Expectation) -> list:
    """The findings about one target, in the order of C(CHECKS)."""
    findings = []
    fields = dict(vars(expectation), deployed=", ".join(expectation.deployed), server_name=facts["target"]["server_name"])
    for check in CHECKS:
        if expectation.checks is not None and check.name not in expectation.checks or not check.applies(facts, expectation):
            continue
        seen = check.look(facts, expectation)
        findings.append({
            "check": check.name,
            "verdict": seen.verdict,
            "observed": seen.observed,
            "expected": check.expected.format(**fields),
            "fix": None if seen.verdict == "pass" else check.fix.format(**fields),
            "reference": check.reference,
        })
    if not findings:
        raise PostfixTlsError(
            "checks", ", ".join(expectation.checks or ()), "none of them applies to protocol %s" % facts["target"]["protocol"],
            "Leave checks out to make all that apply.",
        )
    return findings


def _always(_facts: dict, _expectation: Expectation) -> bool:
    return True


def _encrypts(facts: dict, expectation: Expectation) -> bool:
    return expectation.starttls or facts["target"]["protocol"] == "smtps"


def _upgrades(facts: dict, expectation: Expectation) -> bool:
    return expectation.starttls and facts["target"]["protocol"] != "smtps"


def _stays_plain(facts: dict, expectation: Expectation) -> bool:
    return not expectation.starttls and facts["target"]["protocol"] != "smtps"


def _wants(field: str) -> Callable:
    return lambda facts, expectation: _encrypts(facts, expectation) and bool(getattr(expectation, field))


CHECKS = (
    Check(
        "reachable", _always, verdicts.reachable,
        "a greeting with 220 and a reply to EHLO",
        "Postfix listens as inet_interfaces and master.cf say: postfix status, the mail log, and the firewall between",
        "RFC 5321 section 3.1",
    ),
    Check(
        "starttls_offered", _upgrades, verdicts.starttls_offered,
        "EHLO offers STARTTLS",
        "smtpd_tls_security_level = may (and no starttls in smtpd_discard_ehlo_keywords)",
        "RFC 3207 section 4",
    ),
    Check(
        "starttls_offered", _stays_plain, verdicts.starttls_withheld,
        "EHLO offers no STARTTLS",
        "smtpd_tls_security_level = none",
        "RFC 3207 section 4",
    ),
    Check(
        "handshake", _encrypts, verdicts.handshake,
        "a finished handshake",
        "smtpd_tls_chain_files = a file that Postfix can read: key, its certificate, then the intermediates; the mail log has the cause",
        "RFC 3207 section 4.1",
    ),
    Check(
        "trust", _wants("trust"), verdicts.verdict_on("trust"),
        "a chain that ends at a trusted CA",
        "smtpd_tls_chain_files = a file with every intermediate after the certificate; ca_file names the CA where it is your own",
        "RFC 5280 section 6",
    ),
    Check(
        "name", _wants("name"), verdicts.verdict_on("name"),
        "a certificate made out to {server_name}",
        "smtpd_tls_chain_files = a file whose certificate has the name of the MX record, usually myhostname",
        "RFC 9525 section 6",
    ),
    Check(
        "validity", _encrypts, verdicts.validity,
        "certificates that are valid for at least {min_days_left} more days",
        "smtpd_tls_chain_files = a file with a renewed certificate, then: postfix reload",
        "RFC 5280 section 4.1.2.5",
    ),
    Check(
        "versions", _encrypts, verdicts.versions,
        "{floor} or newer is accepted and everything older is refused",
        "smtpd_tls_protocols = >={floor} (before Postfix 3.6 name what is older, each with a !), smtpd_tls_mandatory_protocols alike",
        "RFC 9325 section 3.1.1",
    ),
    Check(
        "deployed_chain", _wants("deployed"), verdicts.deployed,
        "a leaf certificate of what was deployed: {deployed}",
        "postfix reload (a running smtpd serves its old certificate up to max_use times)",
        "postconf(5) max_use",
    ),
    Check(
        "starttls_not_offered_again", _encrypts, verdicts.not_offered_again,
        "EHLO within TLS does not offer STARTTLS",
        "smtpd_proxy_filter and whatever else stands in front must not answer EHLO for Postfix, which never offers it twice",
        "RFC 3207 section 4.2",
    ),
    Check(
        "auth_before_tls", _upgrades, verdicts.auth_before_tls,
        "no AUTH before TLS",
        "smtpd_tls_auth_only = yes",
        "RFC 4954 section 9",
    ),
    Check(
        "response_injection", _upgrades, verdicts.response_injection,
        "nothing between the reply to STARTTLS and TLS",
        "a device between here and smtpd adds to its replies: compare with a look from the host itself",
        "RFC 3207 section 4.2",
    ),
)
CHECK_NAMES = tuple(dict.fromkeys(check.name for check in CHECKS))
