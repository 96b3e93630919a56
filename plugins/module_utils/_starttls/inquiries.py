# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a standard look asks beyond versions: sets of suites, Diffie-Hellman, groups, signatures, whose order counts.

What we offer decides what a server shows. So a thing is asked for in each version that decides on it anew, beside as little else as can
be. Source: RFC 7919 section 4 (a server may have one prime for who offers its groups and another for who does not), RFC 8422 section 5.1
(the curve of an ECDSA certificate), RFC 5246 section 7.4.1.4.1 (signatures).
"""
from __future__ import annotations

from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.question import Answer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures, suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

_TLS12, _TLS13 = "TLSv1.2", "TLSv1.3"
HYBRID = groups.named("X25519MLKEM768")
#: Of a ClientHello that names no prime of RFC 7919; and these primes, the smallest first.
CURVES = tuple(group.code for group in groups.GROUPS if group.kind != "ffdhe")
PRIMES = tuple(sorted((group for group in groups.GROUPS if group.kind == "ffdhe"), key=lambda group: group.bits))
_OF_CERTIFICATES = tuple(groups.named(name).code for name in ("prime256v1", "secp384r1", "secp521r1"))
_RANK = ("accepted", "unknown", "refused")
_NAMED_PRIMES = "to who offers the primes of RFC 7919"


class Known(NamedTuple):
    """What was found of versions. accepted, unclear: names, oldest first. answers: {name of a version or an algorithm: an accepted Answer}.

    curves: codes of those of ECDSA certificates that were seen. named: whether there is a server name to send.
    """

    accepted: tuple
    unclear: tuple
    answers: dict
    curves: tuple = ()
    named: bool = False

    @property
    def newest(self) -> str | None:
        """Of those before TLS 1.3."""
        return next((name for name in reversed(NAMES[:-1]) if name in self.accepted), None)

    @property
    def nothing(self) -> Answer:
        """What is to be said of versions before TLS 1.3 where none is accepted."""
        if set(self.unclear) - {_TLS13}:
            return Answer("unknown", "not asked, because no version before TLSv1.3 was clearly refused or accepted")
        return Answer("refused", "no version before TLSv1.3 is accepted")

    @property
    def rsa(self) -> bool:
        """Whether there is a certificate with such a key for versions before TLS 1.3."""
        return any(_signer(answer) == "RSA" for answer in self.answers.values())


def about_suites(tls: dict, look: Look, known: Known, ask: Callable) -> None:
    """All sets are asked for at once, and what is chosen settles each set that has it; the rest is asked for again.

    No prime of RFC 7919 is offered, but in one more question about suites with DHE.
    """
    sets = look.sets
    if known.newest is None:
        tls["suites"] = {name: known.nothing.told() for name in sets}
        return
    chosen = [answer.flight.hello.suite for answer in known.answers.values()]
    told = {name: _accepted(code) for code in chosen for name, codes in sets.items() if code in codes and name != "dhe"}
    left, primes = {name: codes for name, codes in sets.items() if name not in told}, set(map(_prime, known.answers.values()))
    while left:
        answer = ask(Offer(known.newest, _most_telling(left), CURVES))
        if answer.verdict != "accepted":
            told.update({name: answer.told() for name in left})
            break
        primes.add(_prime(answer))
        told.update({name: _accepted(answer.flight.hello.suite) for name, codes in left.items() if answer.flight.hello.suite in codes})
        left = {name: codes for name, codes in left.items() if name not in told}
    primes.discard(None)
    # Of who showed an ECDSA certificate and none with RSA it is known: that question had these primes in sight.
    if "dhe" in sets and known.newest != "SSLv3" and (known.rsa or known.newest != _TLS12 or "ECDSA" not in known.answers):
        _ask_named_primes(told, primes, sets, lambda offer: ask(offer._replace(version=known.newest)))
    tls["suites"], tls["dh_bits"] = {name: told[name] for name in sets}, min(primes, default=None)


def _ask_named_primes(told: dict, primes: set, sets: dict, ask: Callable) -> None:
    """Adds to told and primes what comes of suites with DHE to who offers the primes of RFC 7919, from the smallest on."""
    offered = tuple(sorted(suites.ordered(sets["dhe"]), key=lambda code: code not in sets.get("forbidden", ())))
    smaller = [group for group in PRIMES if not primes or group.bits < min(primes)]
    while smaller:
        answer = ask(Offer(_TLS12, offered, tuple(group.code for group in smaller)))
        if answer.verdict != "accepted":
            unclear = {name for name, codes in sets.items() if codes & sets["dhe"] and told[name]["verdict"] == "refused"}
            if answer.verdict == "unknown":
                told.update({name: {"verdict": "unknown", "reason": "%s: %s" % (_NAMED_PRIMES, answer.reason)} for name in unclear})
            return
        suite, bits = answer.flight.hello.suite, _prime(answer)
        for name, codes in sets.items():
            if suite in codes and told[name]["verdict"] != "accepted":
                told[name] = {"verdict": "accepted", "reason": "%s, %s" % (suites.name(suite), _NAMED_PRIMES)}
        if bits is None or bits in primes:
            return  # it is the same whatever is offered
        primes.add(bits)
        smaller = [group for group in smaller if group.bits < bits]


def _most_telling(sets: dict) -> tuple:
    """All suites of these sets, before others those that are in several: where the client's order counts, fewer questions are left."""
    together = suites.ordered(frozenset().union(*sets.values()))
    return tuple(sorted(together, key=lambda code: -sum(code in codes for codes in sets.values())))


def _accepted(code: int) -> dict:
    return {"verdict": "accepted", "reason": suites.name(code)}


def _prime(answer: Answer) -> int | None:
    """Bits of the one under a signed key exchange: an anonymous one is nobody's to vouch for."""
    exchange = answer.flight.key_exchange
    return exchange.dh_bits if exchange and _signer(answer) != "anonymous" else None


def _signer(answer: Answer) -> str | None:
    suite = suites.BY_CODE.get(answer.flight.hello.suite)
    return suite.authentication if suite else None


def about_signatures(tls: dict, look: Look, known: Known, ask: Callable) -> None:
    """TLS 1.2 is asked with weak ones alone. TLS 1.3 has none; older versions have no others, and are asked whether they sign at all."""
    signed = suites.signed("ECDSA", ephemeral=True) + suites.signed("RSA", ephemeral=True)
    signing = [name for name, answer in known.answers.items() if name in NAMES[:3] and answer.flight.key_exchange and answer.flight.hello.suite in signed]
    told = known.nothing.told()
    if known.newest == _TLS12:
        told = _chose_signature(ask(Offer(_TLS12, signed, signatures=signatures.with_hashes(*look.hashes))), look.hashes)
    elif known.newest and not signing:
        answer = ask(Offer(known.newest, signed))
        signing, told = [known.newest] if answer.verdict == "accepted" else [], answer.told()
    if told["verdict"] != "accepted" or known.newest != _TLS12:
        weak = "SHA1" in look.hashes and signing
        told = {"verdict": "accepted", "reason": "%s signs with SHA-1 or with MD5 and SHA-1, nothing else" % signing[-1]} if weak else told
    tls["signatures"]["weak"] = told


def _chose_signature(answer: Answer, hashes: frozenset) -> dict:
    """A server may ignore what it was offered and sign as it always does: that is a refusal, too."""
    if answer.verdict != "accepted":
        return answer.told()
    exchange = answer.flight.key_exchange
    scheme = signatures.BY_CODE.get(exchange.signature) if exchange else None
    if scheme is None:
        return {"verdict": "unknown", "reason": "the ServerKeyExchange could not be read"}
    return {"verdict": "accepted" if scheme.hash in hashes else "refused", "reason": scheme.name}


def about_order_and_groups(tls: dict, look: Look, known: Known, ask: Callable) -> Answer | None:
    """Of groups, the newest version before TLS 1.3 and TLS 1.3 itself decide apart: some are known to one of them only.

    A server may show an ECDSA certificate only to who offers its curve, so that is offered, too; the same question then tells the order, and
    what is shown to who sends no server name: that answer is returned, where it brought a certificate.
    """
    others = tuple(groups.named(name).code for name in sorted(look.groups))
    beside = _beside(known, others) if others else ()
    signer = next((name for name in ("RSA", "ECDSA") if name in known.answers), None)
    together, nameless = None, None
    if signer:
        listed = tuple(reversed(suites.signed(signer)))
        together, nameless = _without_a_name(Offer(_TLS12, listed, (others + beside) if beside else None), known, ask)
        reverse = together if together.verdict == "accepted" or not beside else ask(Offer(_TLS12, listed))
        together = together if beside else None
        tls["order"] = _order(known.answers[signer], reverse)
    told = {}
    if known.newest:
        told[known.newest] = _classic_groups(known, others, beside, together, ask)
    elif set(known.unclear) - {_TLS13}:
        told["older versions"] = known.nothing.told()
    if _TLS13 in known.accepted and others:
        told[_TLS13] = chose_group(ask(Offer(_TLS13, groups=others)), others)
    elif _TLS13 in known.unclear:
        told[_TLS13] = {"verdict": "unknown", "reason": "not asked, because TLSv1.3 was not clearly refused or accepted"}
    if told and others:
        tls["groups"]["other"] = _worst(told)
    return nameless


def _without_a_name(offer: Offer, known: Known, ask: Callable) -> tuple:
    """(Answer, the same where it was given to who sent no name and has a certificate, else None)"""
    answer = ask(offer, by_name=False) if known.named else None
    if answer and answer.verdict == "accepted" and any(answer.flight.certificates):
        return answer, answer
    return ask(offer), None


def _beside(known: Known, others: tuple) -> tuple:
    """Curves of certificates that have to be offered beside others."""
    if known.rsa or known.newest in (None, "SSLv3"):
        return ()
    return tuple(code for code in known.curves or _OF_CERTIFICATES if code not in others)


def _classic_groups(known: Known, others: tuple, beside: tuple, together: Answer | None, ask: Callable) -> dict:
    """together: what came of others and beside in a question about something else, too."""
    if known.newest == "SSLv3" or not others:
        return {"verdict": "refused", "reason": "a ClientHello has no way to name one"}
    offered = tuple(suite.code for suite in suites.SUITES if suite.exchange == "ECDHE" and not (known.rsa and suite.authentication == "ECDSA"))
    asked = [together or ask(Offer(known.newest, offered, others + beside))] if beside else []
    asked = [chose_group(answer, others) for answer in asked]
    if not any(answer["verdict"] == "accepted" for answer in asked):
        asked.insert(0, chose_group(ask(Offer(known.newest, offered, others)), others))
    return min(asked, key=lambda answer: _RANK.index(answer["verdict"]))


def chose_group(answer: Answer, offered: tuple) -> dict:
    if answer.verdict != "accepted":
        return answer.told()
    exchange = answer.flight.key_exchange
    chosen = answer.flight.hello.group or (exchange.group if exchange else None)
    known = groups.BY_CODE.get(chosen)
    return {"verdict": "accepted" if chosen in offered else "refused", "reason": known.name if known else "a suite without a group"}


def _worst(told: dict) -> dict:
    """Of {version: verdict} one verdict: accepted where one is, refused where all are; each with its version in the reason."""
    verdict = min((answer["verdict"] for answer in told.values()), key=_RANK.index)
    reasons = ["%s in %s" % (answer["reason"], version) for version, answer in told.items() if answer["verdict"] == verdict]
    return {"verdict": verdict, "reason": ", ".join(reasons)}


def _order(first: Answer, reverse: Answer) -> dict | None:
    """Whose order counts: a server that takes the same suite from the front and from the back of a list has its own."""
    if reverse.verdict != "accepted":
        return None
    one, other = first.flight.hello.suite, reverse.flight.hello.suite
    return {"verdict": "server" if one == other else "client", "reason": "%s, then %s" % (suites.name(one), suites.name(other))}


#: What is asked beside order, groups and certificates.
BESIDES = (about_signatures, about_suites)
