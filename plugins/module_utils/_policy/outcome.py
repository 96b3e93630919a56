# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What Postfix's SMTP client does with one host at one level, told from what a look at that host saw. No I/O.

Source: postconf(5) smtp_tls_security_level, smtp_tls_verify_cert_match, smtp_tls_secure_cert_match, smtp_tls_wrappermode; TLS_README
"Client TLS security levels". The words are those of the log, C(Verified TLS connection established to).

Names are compared as from Postfix 3.6 on. Before, a star also stood for several labels, and right above a top-level domain; and since then an
IP address in a certificate counts where the host is one. In both cases the stricter answer is given.
"""
from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import names, verdicts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

#: {level: the names that a certificate may be made out to, where a policy does not say}. postconf(5) smtp_tls_verify_cert_match,
#: smtp_tls_secure_cert_match.
MATCH = {"verify": ("hostname",), "secure": ("nexthop", "dot-nexthop")}
#: The levels that can be told from a look. What dane, half-dane and dane-only do is decided by TLSA records.
TOLD = ("none", "may", "encrypt", "fingerprint", "verify", "secure")
#: postconf(5) smtp_tls_protocols and smtp_tls_mandatory_protocols, where nothing is set.
PROTOCOLS = "!SSLv2, !SSLv3"
#: Of suites that need no certificate: at may and encrypt Postfix offers them, a verifying peer does not. As in Look.sets.
ANONYMOUS = "anonymous"

_LATER = "; Postfix tries again without TLS, once the message is older than minimal_backoff_time"


class Demand(NamedTuple):
    """What a policy asks for. match: as in smtp_tls_policy_maps, names, .names, nexthop, hostname, dot-nexthop; () for the level's own.

    protocols: a list as in smtp_tls_protocols. fingerprints: SHA-256, hexadecimal, of the certificate or its public key.
    nexthop: as a message is sent to, C(example.org), C([mx.example.org]:587). wrapper: smtp_tls_wrappermode.
    """

    level: str
    match: tuple = ()
    protocols: str = ""
    fingerprints: tuple = ()
    nexthop: str = ""
    wrapper: bool = False


class Outcome(NamedTuple):
    """delivered: whether mail leaves. word: Verified, Trusted, Untrusted, Anonymous, clear; "" where none is logged.

    reason: why it does not leave, or leaves in the clear although TLS was asked for; "" otherwise.
    """

    delivered: bool
    word: str
    reason: str = ""


def outcome(demand: Demand, facts: dict) -> Outcome:
    """facts: RV(results[]) of starttls_info, of a look that asked for versions. What was not seen never delivers.

    Raises PostfixTlsError for protocols that Postfix does not know.
    """
    if demand.level not in TOLD:
        return Outcome(False, "", "level %s is decided by TLSA records, which are not looked at" % demand.level)
    wrong = _unreachable(demand, facts)
    if wrong:
        return Outcome(False, "", wrong)
    if demand.level == "none":
        return _in_the_clear(facts, "")
    wrong, later = _without_tls(demand, facts)
    if wrong:
        return _in_the_clear(facts, wrong + later) if demand.level == "may" else Outcome(False, "", wrong)
    if demand.level in ("may", "encrypt"):
        return Outcome(True, _word(facts))
    if not facts["certificates"]:
        return Outcome(False, "Anonymous", "it shows no certificate")
    return _by_fingerprint(demand, facts) if demand.level == "fingerprint" else _by_name(demand, facts)


def over_hosts(demand: Demand, several: list) -> Outcome:
    """Of a destination with several hosts, facts of each in the order of preference: mail leaves by the first that takes it at once.

    reason: of all that would not take it, each with its name, even where another one does.
    """
    seen = [(facts["target"]["host"], outcome(demand, facts)) for facts in several]
    takers = sorted((found for _host, found in seen if found.delivered), key=lambda found: found.reason.endswith(_LATER))
    first = takers[0] if takers else Outcome(False, seen[0][1].word if seen else "")
    told = [(host, found) for host, found in seen if not found.delivered or found is first]
    reasons = ["%s: %s" % (host, found.reason) if len(seen) > 1 else found.reason for host, found in told if found.reason]
    return first._replace(reason="; ".join(reasons) if seen else "it has no host")


def matched(demand: Demand, facts: dict) -> list:
    """What of the demand's names the certificate is made out to, as it stands there."""
    certified = _certified(facts["certificates"][0]) if facts["certificates"] else []
    wanted = demand.match or MATCH.get(demand.level, ())
    return [entry for entry in wanted if any(_covers(name, *_reference(entry, demand, facts)) for name in certified)]


def bare(nexthop: str) -> str:
    """The domain of a next hop: without brackets and port, in ASCII. [mx.example.org]:587 is mx.example.org."""
    inside = re.match(r"\[(?:IPv6:)?([^\]]+)\]", nexthop, re.IGNORECASE)
    name = inside.group(1) if inside else nexthop.partition(":")[0]
    try:
        return name.lower() if names.packed_address(name) else names.ascii_name(name).lower()
    except UnicodeError:
        return name.lower()


def _unreachable(demand: Demand, facts: dict) -> str:
    """Why there is not even a session, "" where there is one."""
    if not facts["reachable"]:
        return facts["error"] or "it did not answer"
    if demand.wrapper and demand.level in ("none", "may"):
        return "with smtp_tls_wrappermode Postfix connects at level encrypt or above only"
    if demand.wrapper and facts["target"]["protocol"] != "smtps":
        return "it greets in the clear, and smtp_tls_wrappermode expects TLS from the first byte"
    if not demand.wrapper and facts["target"]["protocol"] == "smtps":
        return "it speaks TLS from the first byte, which takes a transport with smtp_tls_wrappermode = yes"
    return ""


def _in_the_clear(facts: dict, reason: str) -> Outcome:
    refusal = facts["smtp"]["mail_before_tls"] or ""
    if refusal.startswith("530"):
        return Outcome(False, "", "%sit takes no mail without TLS: %s" % (reason and "%s, and " % reason, refusal))
    return Outcome(True, "clear", reason)


def _without_tls(demand: Demand, facts: dict) -> tuple:
    """(why no TLS comes about, what Postfix does of it at level may), "" and "" where it does."""
    smtp, tls = facts["smtp"], facts["tls"]
    if smtp["starttls"] is False:
        return verdicts.starttls_offered(facts, None).observed, ""
    reply = smtp["starttls_reply"]
    if reply and not reply.startswith("220"):
        return "it offers STARTTLS and answers %s" % reply, ""
    if tls is None:
        return facts["error"] or "the dialogue did not come so far", _LATER
    if tls["handshake"] != "done" and not _anonymous(facts):
        return "the handshake fails: %s" % tls["reason"], _LATER
    wrong = _no_version(demand.protocols or PROTOCOLS, tls)
    return wrong, _LATER if wrong else ""


def _no_version(protocols: str, tls: dict) -> str:
    """Why there is none that both sides speak, "" where there is."""
    ours = protocol_list.accepted(protocols)
    answers = tls["versions"] or {tls["version"]: {"verdict": "accepted"}}
    theirs = [name for name in NAMES if answers.get(name, {}).get("verdict") == "accepted"]
    if ours & set(theirs):
        return ""
    unclear = ["%s (%s)" % (name, answers[name]["reason"]) for name in NAMES if name in ours and answers.get(name, {}).get("verdict") == "unknown"]
    if unclear:
        return "it is not clear whether it speaks %s" % ", ".join(unclear)
    return "it speaks %s and this host only %s" % (", ".join(theirs) or "no version", ", ".join(name for name in NAMES if name in ours))


def _anonymous(facts: dict) -> bool:
    """Whether a suite without a certificate is what Postfix gets, where it does not ask for one: from TLS 1.3 on there is none."""
    tls = facts["tls"]
    accepted = tls["suites"].get(ANONYMOUS, {}).get("verdict") == "accepted"
    return accepted and (tls["handshake"] != "done" or tls["version"] != "TLSv1.3")


def _word(facts: dict) -> str:
    if _anonymous(facts) or not facts["certificates"]:
        return "Anonymous"
    return "Trusted" if facts["tls"]["trust_at_may"]["verdict"] == "pass" else "Untrusted"


def _by_fingerprint(demand: Demand, facts: dict) -> Outcome:
    """postconf(5) smtp_tls_fingerprint_cert_match: neither issuer, names nor dates count."""
    leaf = facts["certificates"][0]
    shown = {leaf["sha256"], leaf["spki_sha256"]} - {None}
    if shown & {digest.replace(":", "").lower() for digest in demand.fingerprints}:
        return Outcome(True, "Verified")
    return Outcome(False, "Untrusted", "its certificate has none of the digests that are asked for; SHA-256 of the key is %s" % leaf["spki_sha256"])


def _by_name(demand: Demand, facts: dict) -> Outcome:
    trust = facts["tls"]["trust"]
    if trust["verdict"] != "pass":
        return Outcome(False, "Untrusted", "its certificate is not trusted: %s" % trust["reason"])
    if matched(demand, facts):
        return Outcome(True, "Verified")
    wanted = [subdomains * "." + name for name, subdomains in
              (_reference(entry, demand, facts) for entry in demand.match or MATCH[demand.level])]
    certified = ", ".join(_certified(facts["certificates"][0])[:10]) or "no name"
    return Outcome(False, "Trusted", "its certificate is made out to %s, and not to %s" % (certified, " or ".join(wanted)))


def _reference(entry: str, demand: Demand, facts: dict) -> tuple:
    """(name, whether any of its subdomains is meant instead) of one word of match."""
    if entry.lower() in ("nexthop", "dot-nexthop"):
        return bare(demand.nexthop or facts["target"]["host"]), entry.lower() == "dot-nexthop"
    if entry.lower() == "hostname":
        return bare("[%s]" % facts["target"]["host"]), False
    return bare("[%s]" % entry.lstrip(".")), entry.startswith(".")


def _certified(leaf: dict) -> list:
    """DNS names of a certificate; where it has none, the common name of its subject (RFC 6125 section 6.4.4), which Postfix takes, too: of several the
    first, from Postfix 3.6 on any.
    """
    return [entry[4:] for entry in leaf["names"] or () if entry.startswith("DNS:")] or (leaf["common_names"] or [])[:1]


def _covers(certified: str, wanted: str, subdomains: bool) -> bool:
    if subdomains:
        return certified.lower().endswith("." + wanted) and len(certified) > len(wanted) + 1
    return names.covers(["DNS:" + certified], wanted)
