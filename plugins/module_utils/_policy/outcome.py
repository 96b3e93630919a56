# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What Postfix's SMTP client does with one host at one level, told from what a look at that host saw. No I/O.

Source: postconf(5) smtp_tls_security_level, smtp_tls_verify_cert_match, smtp_tls_secure_cert_match, smtp_tls_wrappermode; TLS_README
"Client TLS security levels". The words are those of the log, C(Verified TLS connection established to).

Names are compared as from Postfix 3.6 on, which leaves that to OpenSSL. Before, a star also stood for several labels, for one with an underscore, and right
above a top-level domain: there the stricter answer is given.
"""
from __future__ import annotations

import re
import ssl
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import names, verdicts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.handshake import NO_HANDSHAKE
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

#: Levels at which Postfix has OpenSSL's security level 1 for the whole connection, and 0 below. Source: tls_client_start() of Postfix's tls_client.c.
_AUTHENTICATED = ("fingerprint", "verify", "secure")
#: What security level 1 does not speak, from this release of OpenSSL on (SSL_CTX_set_security_level(3)).
_NOT_AT_LEVEL_1 = ("SSLv3", "TLSv1", "TLSv1.1")
_SINCE = (3, 0)
#: From this release on, Postfix leaves names to OpenSSL.
_BY_OPENSSL = (3, 6)

#: What a reason has where the server wants the client to show a certificate.
_CLIENT = re.compile("client certificate|certificate required", re.IGNORECASE)
#: A reply of SMTP in a reason: who gives one within TLS has finished the handshake, and Postfix does not try without TLS then.
_REPLIED = re.compile(r": ([45])[0-9][0-9] ")
#: Words of the log, the worst first; "" for mail that is returned.
_BEST = ("", "clear", "Anonymous", "Untrusted", "Trusted", "Verified")
_LATER = "; Postfix tries again without TLS, once the message is older than minimal_backoff_time"


class Demand(NamedTuple):
    """What a policy asks for. match: as in smtp_tls_policy_maps, names, .names, nexthop, hostname, dot-nexthop; () for the level's own.

    protocols: a list as in smtp_tls_protocols. fingerprints: SHA-256, hexadecimal, of the certificate or its public key.
    nexthop: as a message is sent to, C(example.org), C([mx.example.org]:587). wrapper: smtp_tls_wrappermode. certificate: whether this host has
    one to show where it is asked for. optional: protocols where level dane comes to may, "" for the same. openssl: release of the library that Postfix
    has. postfix: its own. anonymous: whether suites without a certificate are offered at levels that ask for none.
    """

    level: str
    match: tuple = ()
    protocols: str = ""
    fingerprints: tuple = ()
    nexthop: str = ""
    wrapper: bool = False
    certificate: bool = False
    optional: str = ""
    openssl: tuple = ssl.OPENSSL_VERSION_INFO[:2]
    postfix: tuple = (3, 5)
    anonymous: bool = True

    def at_may(self) -> Demand:
        """Of level dane, where a server has no TLSA records. Source: TLS_README "DANE TLS authentication"."""
        return self._replace(level="may", protocols=self.optional or self.protocols)


class Outcome(NamedTuple):
    """delivered: whether mail leaves. word: Verified, Trusted, Untrusted, Anonymous, clear; "" where none is logged.

    reason: why it does not leave, or leaves in the clear although TLS was asked for; "" otherwise.
    """

    delivered: bool
    word: str
    reason: str = ""


class Attempt(NamedTuple):
    """What comes of one server. kind: delivered; returned, where mail goes back at once and no other server is tried; next, where another one is;
    later, where another one is, and where none takes it a second try in the clear ends as found and then say. counts: towards smtp_mx_session_limit.
    """

    kind: str
    found: Outcome
    then: str = ""
    counts: bool = False


def outcome(demand: Demand, facts: dict) -> Outcome:
    """facts: RV(results[]) of starttls_info, of a look that asked for versions. What was not seen never delivers.

    Raises PostfixTlsError for protocols that Postfix does not know.
    """
    return attempt(demand, facts).found


def attempt(demand: Demand, facts: dict) -> Attempt:
    """As outcome, with what comes after it where there are other servers."""
    if demand.level not in TOLD:
        return Attempt("next", Outcome(False, "", "level %s is decided by TLSA records, which are not looked at" % demand.level))
    wrong = _unreachable(demand, facts)
    if wrong:
        return Attempt("next", Outcome(False, "", wrong))
    if demand.level == "none":
        return _in_the_clear(facts, "")
    wrong, clear = _without_tls(demand, facts)
    if wrong and demand.level == "may" and clear is not None:
        found = _in_the_clear(facts, wrong + clear)
        return found._replace(kind="later", then=found.kind) if clear else found
    if wrong:
        return Attempt("returned" if _refused_for_good(facts) else "next", Outcome(False, "", wrong))
    if demand.level in ("may", "encrypt"):
        return _tried(Outcome(True, _word(demand, facts)))
    if too_weak(facts):
        return Attempt("next", Outcome(False, "", too_weak(facts)))
    if not facts["certificates"]:
        return _tried(Outcome(False, "Anonymous", "it shows no certificate"))
    return _tried(_by_fingerprint(demand, facts) if demand.level == "fingerprint" else _by_name(demand, facts))


def too_weak(facts: dict) -> str:
    """Why no handshake comes about at OpenSSL's security level 1, which Postfix has where it has to know the server; "" where one does."""
    reason = facts["tls"]["trust"]["reason"]
    return "the handshake fails: %s" % reason if reason.startswith(NO_HANDSHAKE) else ""


def _tried(found: Outcome) -> Attempt:
    return Attempt("delivered" if found.delivered else "next", found)


def asks_for_mail(demand: Demand, facts: dict) -> bool:
    """Whether it decides what the server says to MAIL in the clear, and that is not known yet."""
    if demand.level not in ("none", "may") or _unreachable(demand, facts) or facts["smtp"]["mail_before_tls"] is not None:
        return False
    if demand.level == "none":
        return True
    wrong, clear = _without_tls(demand._replace(level="may"), facts)
    return bool(wrong) and clear is not None


def over_hosts(demand: Demand, several: list, ranks: list | None = None, sessions: int = 2) -> Outcome:
    """Of a destination with several servers, facts of each in Postfix's order: what becomes of mail there. Others as of delivery()."""
    return delivery([(facts, attempt(demand, facts)) for facts in several], ranks, sessions)


def delivery(seen: list, ranks: list | None = None, sessions: int = 2) -> Outcome | None:
    """seen: [(facts, Attempt)] in Postfix's order, an Attempt of None is one that can't be told. ranks: of each; those of the same one are tried in any
    order, and then the worse counts. sessions: how many may turn mail away (smtp_mx_session_limit), 0 for any number.

    Mail leaves by the first that takes it at once. reason: of all that would not take it, each with its name, even where another one does.
    """
    if not seen:
        return Outcome(False, "", "it has no host")
    ranks = ranks or list(range(len(seen)))
    at, chance = _decides(seen, ranks, sessions, False)
    if at is None:
        at, chance = _decides(seen, ranks, sessions, True)
    if at is not None and seen[at][1] is None:
        return None
    first = seen[at][1].found if at is not None else Outcome(False, seen[0][1].found.word if seen[0][1] else "")
    hosts = [facts["target"]["host"] for facts, _tried in seen]
    reasons = []
    for each, (facts, tried) in enumerate(seen):
        if tried and tried.found.reason and (not tried.found.delivered or each == at):
            address = "[%s]" % facts["target"]["address"] if hosts.count(hosts[each]) > 1 and facts["target"]["address"] else ""
            reasons.append("%s%s: %s" % (hosts[each], address, tried.found.reason) if len(seen) > 1 else tried.found.reason)
    left = "; which of them is tried first is left to chance" if chance and reasons else ""
    return first._replace(reason="; ".join(reasons) + left)


def _decides(seen: list, ranks: list, sessions: int, again: bool) -> tuple:
    """(where in seen mail ends, None where it stays in the queue; whether chance decides between ends of several kinds).

    again: at a second try, where TLS that fails is done without.
    """
    away = 0
    for rank in sorted(set(ranks)):
        ends = []
        for at, (_facts, tried) in enumerate(seen):
            if ranks[at] != rank:
                continue
            kind = tried.then if again and tried and tried.kind == "later" else tried and tried.kind
            ends += [at] if kind in (None, "delivered", "returned") else []
            away += bool(tried and tried.counts and (again or tried.kind != "later"))
        if ends:
            words = {at: seen[at][1].found.word if seen[at][1] and seen[at][1].found.delivered else "" for at in ends}
            return min(ends, key=lambda at: _BEST.index(words[at])), len(set(words.values())) > 1
        if sessions and away >= sessions:
            break
    return None, False


def matched(demand: Demand, facts: dict) -> list:
    """What of the demand's names the certificate is made out to, as it stands there."""
    certified = _certified(facts["certificates"][0], demand) if facts["certificates"] else []
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


def _in_the_clear(facts: dict, reason: str) -> Attempt:
    """What the server says to MAIL decides: 2xx, 4xx or 5xx (RFC 5321 section 4.2.1); what it says to RCPT is not asked."""
    reply = facts["smtp"]["mail_before_tls"] or ""
    before = "%s, and " % reason if reason else ""
    if reply.startswith("2"):
        return Attempt("delivered", Outcome(True, "clear", reason))
    if reply.startswith("5"):
        return Attempt("returned", Outcome(False, "", "%sit takes no mail without TLS and Postfix returns it: %s" % (before, reply)))
    if reply.startswith("4"):
        return Attempt("next", Outcome(False, "", "%sit takes no mail without TLS now: %s" % (before, reply)), counts=True)
    return Attempt("next", Outcome(False, "", "%swhether it takes mail without TLS is not known%s" % (before, reply and ": " + reply)))


def _without_tls(demand: Demand, facts: dict) -> tuple:
    """(why no TLS comes about, how Postfix goes on without at level may: "" at once, _LATER, None not at all), "" and "" where it does."""
    smtp, tls = facts["smtp"], facts["tls"]
    if smtp["starttls"] is False:
        return verdicts.starttls_offered(facts, None).observed, ""
    reply = smtp["starttls_reply"]
    if reply and not reply.startswith("220"):
        return "it offers STARTTLS and answers %s" % reply, ""
    if tls is None:
        return facts["error"] or "the dialogue did not come so far", _LATER
    anonymous = _anonymous(demand, facts)
    done = tls["handshake"] == "done"
    if not anonymous and not (done and smtp["ehlo_after_tls"] is not None):
        wrong = (facts["error"] or "it does not answer EHLO within TLS") if done else tls["reason"]
        if demand.certificate and (tls["version"] or _CLIENT.search(wrong or "")):
            return "whether it takes this host's certificate is not known; it says to who has none: %s" % wrong, None
        replied = _REPLIED.search(wrong or "")
        if done or replied:
            returned = " and Postfix returns it" if replied and replied.group(1) == "5" else ""
            return "within TLS it takes no mail%s: %s" % (returned, wrong), None if replied else _LATER
        return "the handshake fails: %s" % wrong, _LATER
    wrong = _no_version(demand, tls)
    return wrong, _LATER if wrong else ""


def _refused_for_good(facts: dict) -> bool:
    """Whether EHLO, and so HELO, is answered with 5xx within TLS: mail is returned then."""
    tls = facts["tls"]
    if not tls or not tls["version"] or facts["smtp"]["ehlo_after_tls"] is not None:
        return False
    replied = _REPLIED.search((facts["error"] if tls["handshake"] == "done" else tls["reason"]) or "")
    return bool(replied) and replied.group(1) == "5"


def _no_version(demand: Demand, tls: dict) -> str:
    """Why there is none that both sides speak, "" where there is."""
    ours = protocol_list.accepted(demand.protocols or PROTOCOLS)
    if demand.level in _AUTHENTICATED and demand.openssl >= _SINCE:
        ours = ours - set(_NOT_AT_LEVEL_1)
    answers = tls["versions"] or {tls["version"]: {"verdict": "accepted"}}
    theirs = [name for name in NAMES if answers.get(name, {}).get("verdict") == "accepted"]
    if ours & set(theirs):
        return ""
    unclear = ["%s (%s)" % (name, answers[name]["reason"]) for name in NAMES if name in ours and answers.get(name, {}).get("verdict") == "unknown"]
    if unclear:
        return "it is not clear whether it speaks %s" % ", ".join(unclear)
    return "it speaks %s and this host only %s" % (", ".join(theirs) or "no version", ", ".join(name for name in NAMES if name in ours))


def _anonymous(demand: Demand, facts: dict) -> bool:
    """Whether a suite without a certificate is what Postfix gets, where it does not ask for one: from TLS 1.3 on there is none."""
    tls = facts["tls"]
    if not demand.anonymous or demand.level not in ("may", "encrypt"):
        return False
    accepted = tls["suites"].get(ANONYMOUS, {}).get("verdict") == "accepted"
    return accepted and (tls["handshake"] != "done" or tls["version"] != "TLSv1.3")


def _word(demand: Demand, facts: dict) -> str:
    if _anonymous(demand, facts) or not facts["certificates"]:
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
    certified = ", ".join(name.partition(":")[2] for name in _certified(facts["certificates"][0], demand)[:10]) or "no name"
    return Outcome(False, "Trusted", "its certificate is made out to %s, and not to %s" % (certified, " or ".join(wanted)))


def _reference(entry: str, demand: Demand, facts: dict) -> tuple:
    """(name, whether any of its subdomains is meant instead) of one word of match."""
    if entry.lower() in ("nexthop", "dot-nexthop"):
        return bare(demand.nexthop or facts["target"]["host"]), entry.lower() == "dot-nexthop"
    if entry.lower() == "hostname":
        return bare("[%s]" % facts["target"]["host"]), False
    return bare("[%s]" % entry.lstrip(".")) + "." * entry.endswith("."), entry.startswith(".")


def _certified(leaf: dict, demand: Demand) -> list:
    """Names of a certificate as RV(results[].certificates[].names), as far as this Postfix compares them.

    Where there is none for DNS, common names count, too (RFC 6125 section 6.4.4): of several the first, from Postfix 3.6 on any. From then on, with OpenSSL
    3.0, addresses do where one is asked for (SSL_add1_host(3)).
    """
    delegates = demand.postfix >= _BY_OPENSSL
    found = [entry for entry in leaf["names"] or () if entry.startswith("DNS:")]
    common = leaf["common_names"] or []
    found = found or ["DNS:" + name for name in (common if delegates else common[:1])]
    return found + [entry for entry in leaf["names"] or () if entry.startswith("IP:") and delegates and demand.openssl >= _SINCE]


def _covers(certified: str, wanted: str, subdomains: bool) -> bool:
    if wanted.endswith("."):
        return False  # OpenSSL takes every dot of a policy's name as it is, and a certificate has none at the end
    if subdomains:
        return certified.startswith("DNS:") and certified.lower().endswith("." + wanted) and len(certified) > len("DNS:.") + len(wanted)
    return names.covers([certified], wanted)
