# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What becomes of a message at the levels dane and dane-only: TLSA records, as far as DNSSEC vouches for them, decide.

Whether it does, the host's own resolver says (AD), as to Postfix: it has to validate and be on loopback.
Source: RFC 7672; TLS_README "DANE TLS authentication"; postconf(5) smtp_tls_dane_insecure_mx_policy.
"""
from __future__ import annotations

import time
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import Attempt, Demand, Outcome, attempt, matched, too_weak

LEVELS = ("dane", "dane-only")


class Record(NamedTuple):
    """Of a TLSA record, data as hexadecimal in small letters. Source: RFC 6698 section 2.1."""

    usage: int
    selector: int
    matching_type: int
    data: str


class Tlsa(NamedTuple):
    """What DNS says of one host. signed: whether DNSSEC vouches for it. problem: why it can't be told."""

    signed: bool = False
    records: tuple = ()
    problem: str = ""


def look(domain: str | None, host: str, port: int, seconds: float) -> Tlsa:
    """domain: whose MX the host is, None where it is named itself. Raises PostfixTlsError where dnspython is missing."""
    try:
        import dns.exception
        import dns.flags
        import dns.rdatatype
        import dns.resolver
    except ImportError:
        raise PostfixTlsError(
            "dnspython", None, "TLSA records of %s can't be looked up without it" % host, "Install python3-dnspython (on PyPI: dnspython) on this host.",
        ) from None
    resolver = dns.resolver.Resolver()
    resolver.use_edns(0, dns.flags.DO, 1232)
    resolver.flags = dns.flags.RD | dns.flags.AD

    def asked(name: str, kind: str) -> tuple:
        """(whether it is signed, the answers); that there is none may be signed, too."""
        try:
            answer = resolver.resolve(name, kind, lifetime=seconds, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as error:
            return bool(error.response(error.qnames()[-1]).flags & dns.flags.AD), []
        return bool(answer.response.flags & dns.flags.AD), list(answer.rrset or ())

    try:
        signed, addresses = asked(host, "A")
        if not addresses:
            signed, _addresses = asked(host, "AAAA")
        if not signed or (domain and not asked(domain, "MX")[0]):
            return Tlsa()
        signed, answers = asked("_%d._tcp.%s" % (port, host), "TLSA")
    except dns.exception.DNSException as error:
        return Tlsa(problem="DNS does not answer: %s" % error)
    records = tuple(Record(one.usage, one.selector, one.mtype, one.cert.hex()) for one in answers)
    return Tlsa(signed, records if signed else ())


def decided(demand: Demand, facts: dict, tlsa: Tlsa) -> Attempt | None:
    """As attempt(), at one of LEVELS. None where it takes a digest that a look does not tell."""
    if tlsa.problem:
        return _waits(tlsa.problem)
    if not tlsa.records:
        if demand.level == "dane":
            return attempt(demand.at_may(), facts)
        return _waits("it has no TLSA records" if tlsa.signed else "DNSSEC does not vouch for it")
    usable = [record for record in tlsa.records if record.usage in (2, 3) and record.selector in (0, 1) and record.matching_type in (0, 1, 2)]
    encrypted = attempt(demand._replace(level="encrypt"), facts)
    if not usable and demand.level == "dane-only":
        return _waits("none of its TLSA records is usable")
    if not usable or not encrypted.found.delivered:
        return encrypted
    if too_weak(facts):
        return _waits(too_weak(facts))
    if any(_fits(record, demand, facts) for record in usable):
        return Attempt("delivered", Outcome(True, "Verified"))
    if any(record.matching_type != 1 for record in usable):
        return None
    return Attempt("next", Outcome(False, "Untrusted", "its certificate fits none of its TLSA records"))


def _waits(reason: str) -> Attempt:
    return Attempt("next", Outcome(False, "", reason))


def _fits(record: Record, demand: Demand, facts: dict) -> bool:
    """Usage 3 is the leaf, whatever its names and dates; usage 2 an issuer that is sent along, and then names count, and what is below it.

    Source: RFC 7672 sections 3.1.1 and 3.2.2.
    """
    key = "spki_sha256" if record.selector else "sha256"
    shown = [certificate[key] for certificate in facts["certificates"]]
    if record.matching_type != 1 or record.data not in shown[record.usage == 2:]:
        return False
    if record.usage == 3:
        return record.data == shown[0]
    below = facts["certificates"][:shown.index(record.data)]
    return all(_sound(certificate, demand) for certificate in below) and bool(matched(demand._replace(match=("nexthop", "hostname")), facts))


def _sound(certificate: dict, demand: Demand) -> bool:
    """Valid now, and strong enough for OpenSSL's security level 1, which Postfix has at these levels (SSL_CTX_set_security_level(3))."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    weak = ("MD5", "SHA1") if demand.openssl >= (3, 0) else ("MD5",)
    small = certificate["key_type"] == "RSA" and (certificate["key_bits"] or 0) < 1024
    return (certificate["not_before"] or now) <= now <= (certificate["not_after"] or "") and certificate["signature_hash"] not in weak and not small
