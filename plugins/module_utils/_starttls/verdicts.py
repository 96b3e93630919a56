# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What each check makes of the facts about one target. All take (facts, expectation) and return Seen.

Fail is what the server showed; where it never came so far, the verdict is unknown.
"""
from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import names, sslv2
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.certificate import ending
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import keywords
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import demands_certificate, obstacle
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES, below

if TYPE_CHECKING:
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation


#: Of a certificate that only such a client gets.
NAMELESS = "who sends no server name, as Postfix does by default"


class Seen(NamedTuple):
    """One check's answer: the verdict, and what it rests on in words."""

    verdict: str
    observed: str


def reachable(facts: dict, _expectation: Expectation) -> Seen:
    if facts["reachable"]:
        return Seen("pass", facts["smtp"]["banner"] or "a TCP connection")
    observed = facts["error"] or "no connection came about"
    limited = obstacle(observed) and facts["vantage"]["source"] and not _silent(observed)
    return Seen("unknown" if limited else "fail", observed)


def _silent(error: str) -> bool:
    """Whether it took a connection and greeted nobody."""
    return obstacle(error).parameter == "timeout"


def starttls_offered(facts: dict, _expectation: Expectation) -> Seen:
    offered, capabilities = facts["smtp"]["starttls"], facts["smtp"]["ehlo"] or ()
    if offered is None:
        return _unseen(facts)
    masked = [line for line in capabilities if re.match(r"X{5,}", line)]
    if masked and not offered:
        return Seen("fail", "EHLO offers %s where STARTTLS would stand: a device on the way overwrites it" % masked[0])
    return Seen("pass" if offered else "fail", "EHLO offers STARTTLS" if offered else "EHLO offers no STARTTLS")


def starttls_withheld(facts: dict, expectation: Expectation) -> Seen:
    seen = starttls_offered(facts, expectation)
    return Seen({"pass": "fail", "fail": "pass"}.get(seen.verdict, "unknown"), seen.observed)


def handshake(facts: dict, _expectation: Expectation) -> Seen:
    tls = facts["tls"]
    if tls is None:
        return _unseen(facts)
    without_name = tls["without_sni"] or {}
    if tls["handshake"] == "done" and without_name.get("verdict") == "refused":
        return Seen("fail", "refused to %s: %s" % (NAMELESS, without_name["reason"]))
    if tls["handshake"] == "done":
        return Seen("pass", "%s, %s" % (tls["version"], tls["cipher"]))
    limited = obstacle(tls["reason"]) and not demands_certificate(tls["reason"])
    return Seen("fail" if tls["handshake"] == "refused" and not limited else "unknown", _unseen(facts).observed)


def _all_seen(look: Callable) -> Callable:
    """For a check on every chain: where it is not clear whether there is another one, what was seen of the others can't pass."""
    def wary(facts: dict, expectation: Expectation) -> Seen:
        seen = look(facts, expectation)
        unclear = ["%s (%s)" % item for item in _unclear(facts).items()]
        return Seen("unknown", "it is not clear whether it has another certificate: %s" % ", ".join(unclear)) if unclear and seen.verdict == "pass" else seen
    return wary


@_all_seen
def trust(facts: dict, _expectation: Expectation) -> Seen:
    if not facts["tls"]:
        return _unseen(facts)
    return _of_chains(facts, facts["tls"]["trust"], lambda chain: chain["trust"])


@_all_seen
def name(facts: dict, _expectation: Expectation) -> Seen:
    if not facts["tls"] or not facts["chains"]:
        return _unseen(facts)
    wanted, told = facts["target"]["server_name"], {"verdict": "pass", "reason": "another server name was given than the host's"}
    return _of_chains(facts, facts["tls"]["name"], lambda chain: (
        names.verdict(chain["certificates"][0]["names"], wanted) if _counts(facts, chain) else told))


@_all_seen
def chain_order(facts: dict, _expectation: Expectation) -> Seen:
    if not facts["chains"]:
        return _unseen(facts)
    for chain in facts["chains"]:
        subjects = "; ".join(str(certificate["subject"]) for certificate in chain["certificates"])
        if not chain["whole"]:
            return Seen("unknown", "of the %s only the leaf could be seen" % _which(chain))
        if chain["ordered"] is not True:
            return Seen("fail" if chain["ordered"] is False else "unknown", "%s as sent: %s" % (_which(chain), subjects))
    return Seen("pass", "%s as sent" % " and ".join(str(chain["algorithm"]) for chain in facts["chains"]))


@_all_seen
def validity(facts: dict, expectation: Expectation) -> Seen:
    judged, spare = _needed(facts)
    if not judged:
        return _unseen(facts)
    if any(certificate["days_left"] is None or certificate["not_before"] is None for certificate, _chain in judged):
        return Seen("unknown", "the dates of the certificate could not be read")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    (first, chain) = min(judged, key=lambda pair: pair[0]["days_left"])
    observed = "%s %s%s" % (first["subject"], ending(first), _to_whom(chain))
    for certificate in spare:
        days, begins = certificate["days_left"], certificate["not_before"]
        if None not in (days, begins) and (days < expectation.min_days_left or begins > now):
            observed += "; %s, which is sent too (%s to %s), is not needed" % (
                certificate["subject"], certificate["not_before"], certificate["not_after"])
    for certificate, chain in judged:
        if certificate["not_before"] > now:
            return Seen("fail", "%s begins only on %s%s" % (certificate["subject"], certificate["not_before"], _to_whom(chain)))
    return Seen("pass" if first["days_left"] >= expectation.min_days_left else "fail", observed)


def versions(facts: dict, expectation: Expectation) -> Seen:
    if not facts["tls"]:
        return _unseen(facts)
    answers = facts["tls"]["versions"]
    if not answers:
        return Seen("unknown", "the versions were not asked for")
    too_old = [name for name in (sslv2.NAME, *below(expectation.floor)) if name in answers]
    if not _agreed(facts):
        return _unseen(facts)
    accepted = [name for name in (sslv2.NAME, *NAMES) if name in answers and answers[name]["verdict"] == "accepted"]
    unclear = ["%s (%s)" % (name, answers[name]["reason"]) for name in too_old if answers[name]["verdict"] == "unknown"]
    if set(accepted) & set(too_old):
        return Seen("fail", "accepted: %s" % ", ".join(accepted))
    if unclear:
        return Seen("unknown", "not clearly refused: %s" % ", ".join(unclear))
    wanting = [version for version in expectation.accepts or NAMES if version not in accepted]
    if wanting and (expectation.accepts or not accepted):
        told = ["%s %s (%s)" % (version, answers[version]["verdict"], answers[version]["reason"]) for version in wanting if version not in too_old]
        refused = all(answers[version]["verdict"] == "refused" for version in wanting)
        return Seen("fail" if refused else "unknown", "not accepted: %s" % ", ".join(told))
    unasked = "" if sslv2.NAME in answers else "; %s is asked for where depth is full" % sslv2.NAME
    return Seen("pass", "accepted: %s%s" % (", ".join(accepted), unasked))


@_all_seen
def deployed(facts: dict, expectation: Expectation) -> Seen:
    if not facts["chains"]:
        return _unseen(facts)
    chains = [chain for chain in facts["chains"] if _counts(facts, chain)]
    served = {_leaf(chain) for chain in chains}
    times = ", ".join("%s (%s, %d times%s)" % (_leaf(chain) or "unread", chain["algorithm"], chain["connections"], _to_whom(chain)) for chain in chains)
    if None in served:
        return Seen("unknown", "a chain could not be read: %s" % times)
    if served - set(expectation.deployed):
        return Seen("fail", "served leaf %s" % times)
    missing = set(expectation.deployed) - served
    if missing and facts["tls"]["algorithms"] and not _unclear(facts):
        return Seen("fail", "served leaf %s; not served %s" % (times, ", ".join(sorted(missing))))
    for chain in chains:
        expected = [tuple(digests) for digests in expectation.chains if digests[0] == _leaf(chain)]
        if expected and not chain["whole"]:
            return Seen("unknown", "the leaf is the deployed one, and what follows it could not be seen: %s" % times)
        if expected and tuple(certificate["sha256"] for certificate in chain["certificates"]) not in expected:
            return Seen("fail", "the leaf is the deployed one, what follows it is not: %s" % times)
    return Seen("pass", "served leaf %s" % times)


def suites(facts: dict, expectation: Expectation) -> Seen:
    """Of TLS 1.3, those that depth full lists: postconf(5) has no parameter for them, so a standard look does not spend connections on them."""
    seen = _refused(facts, "suites", "forbidden", "%s is accepted")
    if seen.verdict != "pass" or (facts["tls"].get("versions") or {}).get(NAMES[-1], {}).get("verdict") == "refused":
        return seen
    listed = (facts["tls"].get("accepted") or {}).get("suites", {}).get(NAMES[-1])
    if listed is None:
        return Seen("pass", "%s; those of TLSv1.3 are listed and judged at depth full" % seen.observed)
    wrong = [name for name in listed if name in expectation.forbidden_suites_of_tls13()]
    return Seen("fail", "%s is accepted in TLSv1.3" % ", ".join(wrong)) if wrong else seen


def groups(facts: dict, _expectation: Expectation) -> Seen:
    return _refused(facts, "groups", "other", "%s is accepted")


def signatures(facts: dict, _expectation: Expectation) -> Seen:
    seen = _refused(facts, "signatures", "weak", "%s is used")
    return Seen(seen.verdict, "%s; TLSv1.3 has none for handshakes" % seen.observed) if seen.verdict == "pass" else seen


def server_order(facts: dict, _expectation: Expectation) -> Seen:
    if not facts["tls"] or not _agreed(facts):
        return _unseen(facts)
    order = facts["tls"]["order"]
    if facts["tls"]["suites"].get("phase_out", {}).get("verdict") == "refused":
        return Seen("pass", "none is accepted that should rank below others")
    if not _accepted_before_13(facts):
        return Seen("pass", "no version before TLSv1.3 is accepted")
    if not order:
        return _unseen(facts)
    return Seen("pass" if order["verdict"] == "server" else "fail", "the %s's order counts: %s" % (order["verdict"], order["reason"]))


def dh_size(facts: dict, expectation: Expectation) -> Seen:
    answer = (facts["tls"] or {}).get("suites", {}).get("dhe")
    if not answer or answer["verdict"] == "unknown":
        return Seen("unknown", answer["reason"]) if answer else _unseen(facts)
    bits = facts["tls"]["dh_bits"]
    if answer["verdict"] == "refused":
        return Seen("pass", "no suite with DHE: %s" % answer["reason"])
    if bits is None:
        return Seen("unknown", "the server's prime could not be read")
    return Seen("pass" if bits >= expectation.dh_bits else "fail", "a prime of %d bits" % bits)


@_all_seen
def key(facts: dict, expectation: Expectation) -> Seen:
    if not facts["chains"]:
        return _unseen(facts)
    shown = []
    for leaf in (chain["certificates"][0] for chain in facts["chains"]):
        kind, bits, curve = leaf["key_type"], leaf["key_bits"], leaf["curve"]
        shown.append("%s, %s bits%s" % (kind, bits, " on %s" % curve if curve else ""))
        if kind is None or bits is None:
            return Seen("unknown", "the certificate's key could not be read")
        curves = expectation.item("curves")
        weak = not expectation.rsa_bits or bits < expectation.rsa_bits if kind == "RSA" else curves is not None and (curve or kind) not in curves
        if weak or kind == "DSA":
            return Seen("fail", shown[-1])
    for issuer in [certificate for certificate, chain in _needed(facts)[0] if certificate is not chain["certificates"][0]]:
        # At OpenSSL's security level 2, the default of many, clients ask as much of an issuer's key.
        if issuer["key_type"] == "RSA" and issuer["key_bits"] is not None and issuer["key_bits"] < PROFILES["interop"].rsa_bits:
            return Seen("fail", "%s has a key of RSA, %d bits" % (issuer["subject"], issuer["key_bits"]))
    return Seen("pass", "; ".join(shown))


@_all_seen
def certificate_signature(facts: dict, expectation: Expectation) -> Seen:
    judged = [certificate for certificate, _chain in _needed(facts)[0]]
    if not judged:
        return _unseen(facts)
    for certificate in judged:
        if certificate["signature"] is None:
            return Seen("unknown", "the certificate could not be read")
        if certificate["signature_hash"] not in expectation.item("certificate_hashes"):
            return Seen("fail", "%s is signed with %s" % (certificate["subject"], certificate["signature"]))
    return Seen("pass", ", ".join(sorted({certificate["signature"] for certificate in judged})))


def flag(item: str, good: bool) -> Callable:
    """A check of something the server has or has not, up to TLS 1.2."""
    def look(facts: dict, _expectation: Expectation) -> Seen:
        if not facts["tls"] or not _agreed(facts):
            return _unseen(facts)
        value = facts["tls"][item]
        if not _accepted_before_13(facts):
            return Seen("pass", "no version before TLSv1.3 is accepted")
        if value is None:
            return Seen("unknown", "no ServerHello before TLSv1.3 was seen")
        return Seen("pass" if value is good else "fail", "%s: %s" % (item.replace("_", " "), "yes" if value else "no"))
    return look


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


def command_injection(facts: dict, _expectation: Expectation) -> Seen:
    obeyed = facts["smtp"]["injected"]
    if obeyed is None:
        return _unseen(facts)
    return Seen("fail", "NOOP in the clear behind STARTTLS was obeyed within TLS") if obeyed else Seen("pass", "it is discarded or refused")


#: Words of a reply to MAIL that TLS, or that only a login, would change.
_WANTS_TLS = re.compile(r"\b(?:TLS|SSL)\b|encrypt", re.IGNORECASE)
_WANTS_LOGIN = re.compile("authenti|log ?in|credential|SASL", re.IGNORECASE)


def mail_before_tls(facts: dict, _expectation: Expectation) -> Seen:
    """Whatever is no 2xx refuses. But who asks for a login, and offers it before TLS too, takes mail in the clear from who has one."""
    reply = facts["smtp"]["mail_before_tls"]
    if not reply:
        return _unseen(facts)
    if reply.startswith("2"):
        return Seen("fail", "MAIL in the clear is taken: %s" % reply)
    offered = keywords(facts["smtp"]["ehlo"] or ()).get("AUTH")
    login, encryption = _WANTS_LOGIN.search(reply), _WANTS_TLS.search(reply)
    if offered is None or "STARTTLS" in reply.upper() or encryption and not login:
        return Seen("pass", reply)
    if login and not encryption:
        return Seen("fail", "%s; and AUTH %s is offered before TLS: who logs in sends in the clear" % (reply, offered))
    return Seen("unknown", "%s; and AUTH %s is offered before TLS: whether who logs in may send was not tried" % (reply, offered))


def smuggling(facts: dict, _expectation: Expectation) -> Seen:
    answers = facts["smtp"]["smuggling"]
    if not answers:
        return _unseen(facts)
    taken = [end for end, answer in answers.items() if answer["verdict"] == "accepted"]
    unclear = ["%s (%s)" % (end, answer["reason"]) for end, answer in answers.items() if answer["verdict"] == "unknown"]
    # smtpd_forbid_bare_newline_exclusions is $mynetworks by default.
    where = " (from the host itself, for which mynetworks may lift the protection)" if facts["vantage"]["own"] else ""
    if taken:
        return Seen("fail", "taken for the end of a message: %s%s" % (", ".join(taken), where))
    return Seen("unknown", "not clear: %s" % ", ".join(unclear)) if unclear else Seen("pass", "nothing else ends a message")


def _of_chains(facts: dict, first: dict, verdict: Callable) -> Seen:
    """The worst verdict over all chains; first: of the one that the verified handshake brought."""
    told = [("", first)] + [("%s: " % _which(chain), verdict(chain)) for chain in facts["chains"][1:]]
    worst = max(told, key=lambda entry: ("pass", "unknown", "fail").index(entry[1]["verdict"]))
    return Seen(worst[1]["verdict"], worst[0] + worst[1]["reason"])


def _which(chain: dict) -> str:
    kind = chain["certificates"][0]["key_type"]
    return "%s chain%s" % (kind if kind in ("Ed25519", "Ed448") else chain["algorithm"], _to_whom(chain))


def _to_whom(chain: dict) -> str:
    return ", which is for %s" % NAMELESS if chain["sni"] is False else ""


def _counts(facts: dict, chain: dict) -> bool:
    """Whether a chain is to be made out to the target's name: not where that is another than the host's, and was not asked for."""
    target = facts["target"]
    return chain["sni"] is not False or target["host"].rstrip(".").lower() == target["server_name"].rstrip(".").lower()


def _refused(facts: dict, kind: str, name: str, accepted: str) -> Seen:
    answer = (facts["tls"] or {}).get(kind, {}).get(name)
    if not answer:
        return _unseen(facts)
    if answer["verdict"] == "accepted":
        return Seen("fail", accepted % answer["reason"])
    refused = answer["verdict"] == "refused"
    return Seen("pass" if refused else "unknown", "refused: %s" % answer["reason"] if refused else answer["reason"])


def _needed(facts: dict) -> tuple:
    """([(certificate, its chain)] of those by which peers find the way from a leaf to a root, [certificate] of those that are sent besides).

    A root in a chain is the peer's own business: it is compared with the peer's copy, not by its dates or its signature.
    """
    needed, spare = [], []
    for chain in facts["chains"]:
        for position, certificate in enumerate(chain["certificates"]):
            if position and (certificate["self_signed"] or certificate["sha256"] in chain["needless"]):
                spare.append(certificate)
            else:
                needed.append((certificate, chain))
    return needed, spare


def _agreed(facts: dict) -> bool:
    """Whether TLS came about at all, whatever became of the session within."""
    tls = facts["tls"]
    return tls["handshake"] == "done" or any(answer["verdict"] == "accepted" for answer in tls["versions"].values())


def _accepted_before_13(facts: dict) -> bool:
    answers = facts["tls"]["versions"]
    return not answers or any(answers[version]["verdict"] != "refused" for version in NAMES[:-1])


def _leaf(chain: dict) -> str | None:
    return chain["certificates"][0]["sha256"]


def _unclear(facts: dict) -> dict:
    """{algorithm or kind of client: why}, of those of which a standard look could not tell whether there is a certificate."""
    answers = (facts["tls"] or {}).get("algorithms", {})
    if (facts["tls"] or {}).get("without_sni"):
        answers = dict(answers, **{"the one for %s" % NAMELESS: facts["tls"]["without_sni"]})
    return {algorithm: answer["reason"] for algorithm, answer in answers.items() if answer["verdict"] == "unknown"}


def _unseen(facts: dict) -> Seen:
    """What a check needs never came; the cause is the one that an earlier check shows, in the same words."""
    if facts["smtp"]["starttls"] is False:
        return Seen("unknown", "EHLO offers no STARTTLS")
    return Seen("unknown", (facts["tls"] or {}).get("reason") or facts["error"] or "the dialogue did not come so far")
