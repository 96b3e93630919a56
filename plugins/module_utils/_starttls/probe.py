# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Looks at one mail server, or at many at once, the way a peer does, and writes down what it saw.

It judges nothing (C(checks) does), knows nothing of Ansible and needs nothing but the standard library.
"""
from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import enumeration, further, names
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.certificate import key_kind
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.chains import Chains
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.crowd import side_by_side
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.handshake import Contexts, Handshake, contexts, shake
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import obstacle
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.question import Answer, ask
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.session import Session
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import Dialogue
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures, suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_WIRE, NAMES

#: Connections to one target at a time: a quarter of what a busy server grants a stranger, whatever anvil(8) counts.
_AT_A_TIME = 4

_EXTENDED_MASTER_SECRET, _RENEGOTIATION_INFO = 23, 0xFF01
_HYBRID = "X25519MLKEM768"
_OF_CERTIFICATES = tuple(groups.named(name).code for name in ("prime256v1", "secp384r1", "secp521r1"))
_CLASSIC = NAMES[:-1]
#: Alerts of who wants one: missing_extension, unrecognized_name.
_WANT_A_NAME = (109, 112)


def probe(target: Target, look: Look) -> dict:
    """The facts, the same structure whatever happens. Raises PostfixTlsError only for a look that can't be (ca_file)."""
    return _Probe(target, look, contexts(look.ca_file, look.ca_content)).facts()


def probe_all(targets: list, look: Look, concurrency: int = 32) -> list:
    """The facts of each target, in the order of targets, at most concurrency of them at a time; each has its own deadline."""
    shared = contexts(look.ca_file, look.ca_content)
    return side_by_side(lambda target: _Probe(target, look, shared).facts(), targets, concurrency)


class _Probe:
    """One target."""

    def __init__(self, target: Target, look: Look, shared: Contexts) -> None:
        self.target = target
        self.look = look
        self.contexts = shared
        self.session = Session(target, look)
        self.tls: dict | None = None
        self.chains = Chains(shared.judge)

    def facts(self) -> dict:
        try:
            self._look()
            if self.look.smuggling_recipient and self.session.reachable:
                with ThreadPoolExecutor(_AT_A_TIME) as pool:
                    self.session.ask_about_smuggling(self.contexts.permissive, pool)
        except PostfixTlsError as error:
            self.session.note(error)
        session = self.session
        return {
            "target": {
                "host": self.target.host, "port": self.target.port, "protocol": self.target.protocol,
                "server_name": self.target.name, "address": session.address,
            },
            "vantage": _vantage(session.source, session.address),
            "reachable": session.reachable,
            "error": session.error,
            "smtp": session.smtp,
            "tls": self.tls,
            "certificates": self.chains.first(),
            "chains": self.chains.facts(),
        }

    def _look(self) -> None:
        verified = self._handshake(self.contexts.verifying)
        if verified is None:
            return
        self.tls = _tls(verified)
        standard = self.look.reaches("standard")
        seen = self._leniently(verified, self._injected if standard else self._handshake)
        self.tls.update(handshake=seen.verdict, reason=seen.reason or None, version=seen.version, cipher=seen.cipher)
        self._keep_handshake(seen, self.tls["trust"])
        if verified.in_the_clear:
            verdict = "unknown" if obstacle(verified.reason) else "refused"
            self.tls["versions"] = {name: {"verdict": verdict, "reason": verified.reason} for name in NAMES}
        elif self.look.reaches("versions"):
            with ThreadPoolExecutor(_AT_A_TIME) as pool:
                self._questions(seen, pool)
            if standard and seen is verified and seen.verdict == "done":
                self._second_handshake()
        leaf = self.chains.first()[:1]
        if leaf:
            self.tls["name"] = names.verdict(leaf[0]["names"], self.target.name)

    def _leniently(self, verified: Handshake, again: Callable) -> Handshake:
        """The handshake that shows all else: this one, or where it was not finished, another one that asks for less. again: from a context to it.

        What security level 1 is against is judged at 0, too, as Postfix does at may and encrypt.
        """
        if verified.untrusted:
            seen = again(self.contexts.permissive) or verified
            if verified.too_weak:
                self.tls["trust_at_may"] = self._trust_at_may(seen)
            return seen
        if verified.version or verified.in_the_clear or obstacle(verified.reason):
            return verified
        lenient = self._again(again, self.contexts.lenient)
        if not lenient or not (lenient.version or lenient.untrusted):
            return verified
        self.tls.update(_at_both_levels(verified, lenient))
        return (again(self.contexts.permissive) or verified) if lenient.untrusted else lenient

    def _trust_at_may(self, seen: Handshake) -> dict:
        """At security level 0; where only the leaf could be seen (Python before 3.10), by one more handshake."""
        if seen.whole and seen.certificates:
            return self.contexts.judge(seen.certificates, leniently=True)
        lenient = self._again(self._handshake, self.contexts.lenient)
        return _trust(lenient) if lenient else {"verdict": "unknown", "reason": "not asked, for %s" % self.session.error}

    def _again(self, handshake: Callable, context) -> Handshake | None:
        """None where it did not come about, which then ends nothing."""
        try:
            return handshake(context)
        except PostfixTlsError as error:
            self.session.note(error)
            return None

    def _second_handshake(self) -> None:
        """With words in the clear behind STARTTLS; of a server with two certificates it is the other one that is judged."""
        other = self.chains.unjudged()
        try:
            outcome = self._injected(self.contexts.of(other) if other else self.contexts.verifying)
            if outcome is None:
                return
            self._keep_handshake(outcome, _trust(outcome))
            if outcome.untrusted:
                self.chains.distrusted(other, _trust(outcome))
                self.tls["trust"] = self.tls["trust"] if other else _trust(outcome)
                self._injected(self.contexts.permissive)
        except PostfixTlsError as error:
            self.session.note(error)

    def _injected(self, context) -> Handshake | None:
        """A handshake with words in the clear behind STARTTLS; where it breaks off, whether it does without them, too."""
        outcome = self._handshake(context, inject=True)
        if outcome is None or outcome.verdict == "done" or outcome.untrusted:
            return outcome
        control = self._handshake(context)
        if control and (control.verdict == "done" or control.untrusted) and self.target.protocol != "smtps":
            self.session.smtp["injected"] = False
        return control

    def _keep_handshake(self, outcome: Handshake, trust: dict) -> None:
        self.chains.served(outcome.certificates, outcome.whole, trust, seen=(outcome.version, self._named))

    @property
    def _named(self) -> bool | None:
        """Whether a server name is sent where nothing else is said; None where there is none to send."""
        return True if self.target.sni else None

    def _handshake(self, context, inject: bool = False) -> Handshake | None:
        """One connection up to EHLO after TLS; None where the server offers no STARTTLS."""
        session = self.session
        with session.connection() as connection:
            dialogue = Dialogue(connection)
            refusal = session.until_tls(dialogue, inject)
            if session.smtp["starttls"] is False:
                return None
            if refusal:
                return Handshake("refused", refusal, in_the_clear=True)
            outcome = shake(connection, context, self.target.sni)
            if outcome.verdict == "done":
                session.within_tls(dialogue, inject)
            return outcome

    def _questions(self, seen: Handshake, pool: ThreadPoolExecutor) -> None:
        tls, standard = self.tls, self.look.reaches("standard")
        by_key = {
            "ECDSA": Offer("TLSv1.2", suites.signed("ECDSA"), compression=True),
            "RSA": Offer("TLSv1.2", suites.signed("RSA"), compression=True),
        }
        offers = {name: Offer(name) for name in NAMES if name != seen.version}
        if standard:
            offers.pop("TLSv1.2", None)
            offers.update(by_key)
            hybrid = (groups.named(_HYBRID).code,)
            # Where TLS 1.3 was not agreed on, the same connection has to tell whether it is accepted at all.
            rest = () if seen.version == "TLSv1.3" else tuple(group.code for group in groups.GROUPS if group.code not in hybrid)
            offers["TLSv1.3"] = Offer("TLSv1.3", groups=hybrid + rest)
        answers = dict(zip(offers, pool.map(lambda offer: self._ask(offer, standard), offers.values())))
        if standard:
            tls["groups"][_HYBRID] = _chose_group(answers["TLSv1.3"], hybrid)
            answers["TLSv1.2"] = _either(answers["ECDSA"], answers["RSA"])
            if answers["TLSv1.2"].verdict == "refused" and seen.version != "TLSv1.2":
                answers["TLSv1.2"] = self._ask(Offer("TLSv1.2"), True)  # with a suite of neither kind: anonymous, DSS
        for name in NAMES:
            done = name == seen.version
            tls["versions"][name] = {"verdict": "accepted", "reason": "the handshake was done with it"} if done else answers[name].told()
        if standard:
            tls["algorithms"] = {algorithm: answers[algorithm].told() for algorithm in by_key}
            for algorithm in by_key:
                self._keep_flight(algorithm, answers[algorithm])
            nameless = self._classic(answers, pool)
            self._further(nameless or (self._ask(Offer(seen.version), True, False) if seen.version and self._named else None), pool)
        if self.look.reaches("full"):
            enumeration.enumerate_into(tls, lambda offer: self._ask(offer, True), pool)

    def _further(self, nameless: Answer | None, pool: ThreadPoolExecutor) -> None:
        """Certificates of other keys than those seen so far; of who sends no server name too, where that one is shown others."""
        tls, full = self.tls, self.look.reaches("full")
        tls["without_sni"] = _without_name(nameless)
        accepted = [version for version in ("TLSv1.3", "TLSv1.2") if tls["versions"][version]["verdict"] == "accepted"]
        runs = [(version, True) for version in (accepted if full else accepted[:1])]
        runs += [(version, False) for version in accepted[:1] if self.chains.differ()]

        def ask_for_further(run: tuple) -> Answer:
            version, named = run
            known = self.chains.keys(version if full or not named else None, named)
            return further.ask_for_further(version, known, lambda offer: self._ask(offer, True, named), _key)

        for (version, named), answer in zip(runs, pool.map(ask_for_further, runs)):
            tls["algorithms"]["any other in %s%s" % (version, "" if named else ", without a server name")] = answer.told()

    def _classic(self, answers: dict, pool: ThreadPoolExecutor) -> Answer | None:
        """What can be asked of versions before TLS 1.3 only, with the newest one that is accepted.

        One of these questions is asked without a server name: its answer, where that brought a certificate.
        """
        tls = self.tls
        accepted = [name for name in _CLASSIC if tls["versions"][name]["verdict"] == "accepted"]
        unclear = [name for name in _CLASSIC if tls["versions"][name]["verdict"] == "unknown"]
        offers: dict = {}
        if accepted:
            version = accepted[-1]
            offers = {name: Offer(version, suites.ordered(codes)) for name, codes in self.look.sets.items()}
            if version == "TLSv1.2":
                signed = suites.signed("ECDSA", ephemeral=True) + suites.signed("RSA", ephemeral=True)
                offers["signatures"] = Offer(version, signed, signatures=signatures.with_hashes(*self.look.hashes))
            known = next((answers[name].flight for name in ("RSA", "ECDSA") if answers[name].verdict == "accepted"), None)
            if known:
                listed = suites.signed("RSA" if answers["RSA"].verdict == "accepted" else "ECDSA")
                offers["order"] = Offer(version, tuple(reversed(listed)))
        others = tuple(groups.named(name).code for name in sorted(self.look.groups))
        if others:
            newest = "TLSv1.3" if tls["versions"]["TLSv1.3"]["verdict"] == "accepted" else (accepted or [None])[-1]
            if newest:
                ephemeral = tuple(suite.code for suite in suites.SUITES if suite.exchange == "ECDHE")
                offers["groups"] = Offer(newest, None if newest == "TLSv1.3" else ephemeral, groups=others)
                if newest != "TLSv1.3":
                    # Before TLS 1.3 a server shows an ECDSA certificate only to who offers its curve (RFC 8422 section 5.1).
                    offers["groups_behind"] = Offer(newest, ephemeral, groups=others + tuple(
                        code for code in _OF_CERTIFICATES if code not in others))
        seen = dict(zip(offers, pool.map(lambda name: self._ask(offers[name], True, name != "order"), offers)))
        nameless = seen.get("order") if self._named else None
        if nameless and _key(nameless) is None:
            nameless, seen["order"] = None, self._ask(offers["order"], True)
        nothing = Answer("unknown", "not asked, because no version before TLSv1.3 was clearly refused or accepted") if unclear else (
            Answer("refused", "no version before TLSv1.3 is accepted"))
        for name in self.look.sets:
            tls["suites"][name] = _chose_suite(seen.get(name, nothing))
        tls["dh_bits"] = _dh_bits(seen.get("dhe"))
        if accepted and version != "TLSv1.2" and "SHA1" in self.look.hashes:
            tls["signatures"]["weak"] = {"verdict": "accepted", "reason": "%s signs with SHA-1 or with MD5 and SHA-1, nothing else" % version}
        else:
            tls["signatures"]["weak"] = _chose_signature(seen.get("signatures", nothing), self.look.hashes)
        tls["order"] = _order(seen.get("order"), answers)
        if "groups" in seen:
            asked = [_chose_group(seen[name], others) for name in ("groups", "groups_behind") if name in seen]
            tls["groups"]["other"] = next((answer for answer in asked if answer["verdict"] == "accepted"), asked[0])
        return nameless

    def _keep_flight(self, algorithm: str, answer: Answer) -> None:
        flight = answer.flight
        if answer.verdict != "accepted":
            return
        if not any(flight.certificates):
            self.chains.unread(algorithm)
        extensions, tls = flight.hello.extensions, self.tls
        scheme = signatures.BY_CODE.get(flight.key_exchange.signature) if flight.key_exchange else None
        tls["signatures"][algorithm] = {"verdict": "accepted", "reason": scheme.name if scheme else "none was seen"}
        tls["compression"] = bool(flight.hello.compression)
        tls["extended_master_secret"] = _EXTENDED_MASTER_SECRET in extensions
        tls["secure_renegotiation"] = _RENEGOTIATION_INFO in extensions

    def _ask(self, offer: Offer, whole: bool, named: bool = True) -> Answer:
        """named: whether the server name is sent, where there is one."""
        session = self.session
        try:
            with session.connection() as connection:
                refusal = session.until_tls(Dialogue(connection))
                if refusal:
                    # Whoever starts TLS too often hears this (smtpd_client_new_tls_session_rate_limit), whatever the version.
                    return Answer("unknown", refusal)
                answer = ask(connection, offer, self.target.sni if named else None, whole)
        except PostfixTlsError as error:
            session.note(error)
            return Answer("unknown", error.reason)
        if whole and answer.flight and any(answer.flight.certificates):
            hello = answer.flight.hello
            suite, version = suites.BY_CODE.get(hello.suite), BY_WIRE.get(hello.version)
            seen = (version.name if version else None, self._named and named)
            self.chains.served(list(answer.flight.certificates), True, algorithm=suite.authentication if suite else None, seen=seen)
        return answer


def _vantage(source: str | None, address: str | None) -> dict:
    """source: None where no connection came about. own: a look at the machine itself, from which some protections can't be seen."""
    if source is None:
        return {"source": None, "own": None}
    here, there = _plain(source), _plain(address)
    return {"source": str(here), "own": here == there or there.is_loopback}


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Without the interface it is on, and an IPv4 address as such, as Postfix logs it too."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _tls(verified: Handshake) -> dict:
    """All keys of RV(results[].tls), with what the handshake that judged the chain says."""
    return {
        "handshake": None, "reason": None, "version": None, "cipher": None,
        "versions": {}, "algorithms": {}, "suites": {}, "order": None, "groups": {}, "dh_bits": None, "signatures": {},
        "without_sni": None, "compression": None, "extended_master_secret": None, "secure_renegotiation": None, "accepted": None,
        "trust": _trust(verified),
        "trust_at_may": _trust(verified),
        "name": {"verdict": "unknown", "reason": "no certificate was seen"},
    }


def _trust(verified: Handshake) -> dict:
    verdict = {"done": "pass"}.get(verified.verdict, "fail" if verified.untrusted else "unknown")
    return {"verdict": verdict, "reason": verified.untrusted or verified.reason or "the chain ends at a trusted CA"}


def _at_both_levels(verified: Handshake, lenient: Handshake) -> dict:
    """What Postfix finds at security level 1 (verify, secure, dane) and at 0 (may, encrypt), where a handshake comes about only at the latter."""
    at_may = _trust(lenient)
    reason = "at security level 1 no handshake comes about: %s" % verified.reason
    at_secure = at_may if lenient.untrusted else {"verdict": "fail" if verified.too_weak else "unknown", "reason": reason}
    return {"trust": at_secure, "trust_at_may": at_may}


def _key(answer: Answer) -> tuple | None:
    """Of the certificate that it brought, where it can be read."""
    return key_kind(answer.flight.certificates[0]) if answer.flight and any(answer.flight.certificates) else None


def _without_name(nameless: Answer | None) -> dict | None:
    """As in RV(results[].tls.without_sni)."""
    if nameless is None:
        return None
    alert = nameless.flight.refusal if nameless.flight else None
    if nameless.verdict == "accepted" and not any(nameless.flight.certificates):
        return {"verdict": "unknown", "reason": "the certificate could not be read"}
    return {"verdict": "refused", "reason": str(alert)} if alert and alert.description in _WANT_A_NAME else nameless.told()


def _either(*answers: Answer) -> Answer:
    """Accepted where one is, refused only where all are."""
    rank = ("accepted", "unknown", "refused")
    return min(answers, key=lambda answer: rank.index(answer.verdict))


def _chose_suite(answer: Answer) -> dict:
    if answer.verdict == "accepted":
        return {"verdict": "accepted", "reason": suites.name(answer.flight.hello.suite)}
    return answer.told()


def _chose_group(answer: Answer, offered: tuple) -> dict:
    if answer.verdict != "accepted":
        return answer.told()
    exchange = answer.flight.key_exchange
    chosen = answer.flight.hello.group or (exchange.group if exchange else None)
    known = groups.BY_CODE.get(chosen)
    return {"verdict": "accepted" if chosen in offered else "refused", "reason": known.name if known else "a suite without a group"}


def _chose_signature(answer: Answer, hashes: frozenset) -> dict:
    """A server may ignore what it was offered and sign as it always does: that is a refusal, too."""
    if answer.verdict != "accepted":
        return answer.told()
    exchange = answer.flight.key_exchange
    scheme = signatures.BY_CODE.get(exchange.signature) if exchange else None
    if scheme is None:
        return {"verdict": "unknown", "reason": "the ServerKeyExchange could not be read"}
    return {"verdict": "accepted" if scheme.hash in hashes else "refused", "reason": scheme.name}


def _dh_bits(answer: Answer | None) -> int | None:
    return answer.flight.key_exchange.dh_bits if answer and answer.verdict == "accepted" and answer.flight.key_exchange else None


def _order(reverse: Answer | None, answers: dict) -> dict | None:
    """Whose order counts: a server that takes the same suite from the front and from the back of a list has its own."""
    if reverse is None or reverse.verdict != "accepted":
        return None
    flight = next(answers[name].flight for name in ("RSA", "ECDSA") if answers[name].verdict == "accepted")
    first, second = flight.hello.suite, reverse.flight.hello.suite
    return {"verdict": "server" if first == second else "client", "reason": "%s, then %s" % (suites.name(first), suites.name(second))}
