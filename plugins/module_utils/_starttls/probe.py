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
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import enumeration, further, inquiries, names, sslv2
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.asking import Asker
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.certificate import key_kind
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.chains import Chains
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.crowd import side_by_side
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.handshake import NO_HANDSHAKE, Contexts, Handshake, contexts, shake
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import obstacle
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.question import Answer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.session import Session
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures, suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_WIRE, NAMES

#: Connections to one target at a time: a quarter of what a busy server grants a stranger, whatever anvil(8) counts.
_AT_A_TIME = 4

#: Of these, kept for what comes last: a handshake with words in the clear, one without, and a question put again.
_AT_LAST = 4
#: And for certificates beside the usual ones, order and groups, while these are asked about.
_WANTED = 4

_EXTENDED_MASTER_SECRET, _RENEGOTIATION_INFO = 23, 0xFF01
_CLASSIC = NAMES[:-1]
#: Alerts of who wants one: missing_extension, unrecognized_name.
_WANT_A_NAME = (109, 112)
_HYBRID_FIRST = tuple(group.code for group in sorted(groups.GROUPS, key=lambda group: group != inquiries.HYBRID))


def probe(target: Target, look: Look) -> dict:
    """The facts, the same structure whatever happens. Raises PostfixTlsError only for a look that can't be (ca_file)."""
    return _Probe(target, look, contexts(look.ca_file, look.ca_content)).facts()


def probe_all(targets: list, look: Look, concurrency: int = 32) -> list:
    """The facts of each target, in the order of targets, at most concurrency of them at a time; each has its own deadline."""
    shared = contexts(look.ca_file, look.ca_content)
    return side_by_side(lambda target: _Probe(target, look, shared).facts(), targets, concurrency)


def probe_for_anonymous_suites(targets: list, look: Look, concurrency: int = 32) -> list:
    """{verdict, reason} of each: whether it agrees on a suite without a certificate with who prefers these. One connection each."""
    shared = contexts(look.ca_file, look.ca_content)
    return side_by_side(lambda target: _Probe(target, look, shared).anonymous_suite(), targets, concurrency)


class _Probe:
    """One target."""

    def __init__(self, target: Target, look: Look, shared: Contexts) -> None:
        self.target = target
        self.look = look
        self.contexts = shared
        self.session = Session(target, look)
        self.tls: dict | None = None
        self.chains = Chains(shared.judge)
        self._broken_off = 0  # handshakes in which the server closed the connection
        self.asker = Asker(self.session, self._keep_chain)

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

    def anonymous_suite(self) -> dict:
        """Accepted only where the server then answers within TLS."""
        try:
            outcome = self._handshake(self.contexts.anonymous)
        except PostfixTlsError as error:
            return {"verdict": "unknown", "reason": error.reason}
        if outcome is None or outcome.verdict != "done":
            return {"verdict": outcome.verdict if outcome else "refused", "reason": outcome.reason if outcome else "STARTTLS is not offered"}
        return {"verdict": "refused" if outcome.certificates else "accepted", "reason": outcome.cipher}

    def _look(self) -> None:
        verified = self._handshake(self.contexts.verifying)
        if verified is None:
            return
        self.tls = _tls(verified)
        self._finished(verified)
        standard = self.look.reaches("standard")
        seen = self._leniently(verified, self._injected if standard else self._later)
        self.tls.update(handshake=seen.verdict, reason=seen.reason or None, version=seen.version, cipher=seen.cipher)
        self._keep_handshake(seen, self.tls["trust"])
        if verified.in_the_clear:
            verdict = "unknown" if obstacle(verified.reason) else "refused"
            self.tls["versions"] = {name: {"verdict": verdict, "reason": verified.reason} for name in NAMES}
        elif self.look.reaches("versions"):
            with ThreadPoolExecutor(_AT_A_TIME) as pool:
                self._questions(seen, pool, seen is verified and seen.version is not None)
        accepted = any(answer["verdict"] == "accepted" for answer in self.tls["versions"].values())
        if accepted and seen.closed and self._broken_off > 1:
            # As where a client certificate is demanded up to TLS 1.2, by a server that sends no alert.
            told = "%s, %d times; it answers each ClientHello" % (seen.reason, self._broken_off)
            self.tls.update(handshake="refused", reason=told)
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
        lenient = again(self.contexts.lenient)
        if not lenient or not (lenient.version or lenient.untrusted):
            return verified
        self.tls.update(_at_both_levels(verified, lenient))
        return (again(self.contexts.permissive) or verified) if lenient.untrusted else lenient

    def _trust_at_may(self, seen: Handshake) -> dict:
        """At security level 0; where only the leaf could be seen (Python before 3.10), by one more handshake."""
        if seen.whole and seen.certificates:
            return self.contexts.judge(seen.certificates, leniently=True)
        lenient = self._later(self.contexts.lenient)
        return _trust(lenient) if lenient else {"verdict": "unknown", "reason": "STARTTLS is not offered any more"}

    def _second_handshake(self) -> None:
        """With words in the clear behind STARTTLS; of a server with two certificates it is the other one that is judged."""
        other = self.chains.unjudged()
        outcome = self._injected(self.contexts.of(other) if other else self.contexts.verifying)
        if outcome is None:
            return
        self._keep_handshake(outcome, _trust(outcome))
        if outcome.untrusted:
            self.chains.distrusted(other, _trust(outcome))
            self.tls["trust"] = self.tls["trust"] if other else _trust(outcome)
            self._injected(self.contexts.permissive)

    def _injected(self, context) -> Handshake | None:
        """A handshake with words in the clear behind STARTTLS; where it breaks off, whether it does without them, too.

        On submission MAIL is asked about before, and where that ends the connection, the rest without it.
        """
        smtp = self.session.smtp
        submits = self.target.protocol == "submission" and smtp["mail_before_tls"] is None
        outcome = self._later(context, inject=True, mail=submits)
        if submits and smtp["mail_before_tls"] is None:
            outcome = self._later(context, inject=True)
        if outcome is None or outcome.failed or outcome.verdict == "done" or outcome.untrusted:
            return outcome
        control = self._later(context)
        if control and (control.verdict == "done" or control.untrusted) and self.target.protocol != "smtps":
            smtp["injected"] = False
        return control

    def _keep_handshake(self, outcome: Handshake, trust: dict) -> None:
        self.chains.served(outcome.certificates, outcome.whole, trust, seen=(outcome.version, self._named))

    @property
    def _named(self) -> bool | None:
        """Whether a server name is sent where nothing else is said; None where there is none to send."""
        return True if self.target.sni else None

    def _later(self, context, inject: bool = False, mail: bool = False) -> Handshake | None:
        """As _handshake, of a target that was seen already: what goes wrong is told, and ends nothing."""
        try:
            outcome = self._handshake(context, inject, mail)
        except PostfixTlsError as error:
            self.session.note(error)
            return Handshake("unknown", error.reason, failed=True)
        if outcome:
            self._finished(outcome)
        return outcome

    def _handshake(self, context, inject: bool = False, mail: bool = False) -> Handshake | None:
        """One connection up to EHLO after TLS; None where the server offers no STARTTLS."""
        session = self.session
        with session.ready(inject, mail) as (dialogue, refusal):
            if session.smtp["starttls"] is False:
                return None
            if refusal:
                return Handshake("refused", refusal, in_the_clear=True)
            outcome = shake(dialogue.connection, context, self.target.sni)
            if outcome.verdict == "done":
                outcome.verdict, outcome.reason = session.within_tls(dialogue, inject) or ("done", "")
            return outcome

    def _finished(self, outcome: Handshake) -> None:
        """A server that came so far as to show a certificate does answer."""
        if outcome.version or outcome.untrusted:
            self.asker.answered(Offer(outcome.version) if outcome.version else None)
        self._broken_off += outcome.closed

    def _questions(self, seen: Handshake, pool: ThreadPoolExecutor, twice: bool) -> None:
        """twice: whether a second handshake tells more."""
        tls, standard = self.tls, self.look.reaches("standard")
        by_key = {key: Offer("TLSv1.2", suites.signed(key), compression=True) for key in ("ECDSA", "RSA")}
        # What a handshake of an older version has shows only its ServerHello; of TLS 1.2 that is asked for with each kind of certificate.
        known = () if standard and seen.version in _CLASSIC else (seen.version,)
        offers = {name: Offer(name, compression=name in _CLASSIC) for name in NAMES if name not in known}
        if standard:
            offers.pop("TLSv1.2", None)
            offers.update(by_key)
            if "TLSv1.3" in offers:
                # Where TLS 1.3 was not agreed on, one connection tells whether it is accepted, and with what group.
                offers["TLSv1.3"] = Offer("TLSv1.3", groups=_HYBRID_FIRST)
        answers = self.asker.ask_all(offers, pool, standard)
        if standard:
            answers["TLSv1.2"] = _either(answers["ECDSA"], answers["RSA"])
            if answers["TLSv1.2"].verdict == "refused" and seen.version != "TLSv1.2":
                answers["TLSv1.2"] = self.asker.ask(Offer("TLSv1.2", compression=True))  # with a suite of neither kind: anonymous, DSS
        if self.look.reaches("full"):
            tls["versions"][sslv2.NAME] = self.asker.ask(Offer(sslv2.NAME)).told()
        for name in NAMES:
            tls["versions"][name] = _agreed(seen) if name == seen.version else answers[name].told()
        if standard:
            tls["algorithms"] = {algorithm: answers[algorithm].told() for algorithm in by_key}
            if not any(tls["versions"][name]["verdict"] == "accepted" for name in _CLASSIC):
                self.asker.take_back(tls, at_last=False)  # what follows from that is said below
            self._keep_flights(answers)
            self._beyond_versions(answers, seen, pool, twice)
        if self.look.reaches("full"):
            enumeration.enumerate_into(tls, self.asker.ask, pool)
        if self.asker.take_back(tls) and tls["accepted"]:
            tls["accepted"]["complete"] = False

    def _beyond_versions(self, answers: dict, seen: Handshake, pool: ThreadPoolExecutor, twice: bool) -> None:
        """The second handshake comes last: it shows that the server still answers."""
        tls = self.tls
        named = {verdict: tuple(name for name in NAMES if tls["versions"][name]["verdict"] == verdict) for verdict in ("accepted", "unknown")}
        curves = filter(None, (groups.named(curve or "") for _type, curve in self.chains.keys(None, True)))
        accepted = {name: answer for name, answer in answers.items() if answer.verdict == "accepted"}
        known = inquiries.Known(named["accepted"], named["unknown"], accepted, tuple(group.code for group in curves), bool(self._named))
        first = [version for version in ("TLSv1.3", "TLSv1.2") if version in known.accepted]
        self.asker.keep(_WANTED, int(twice))
        ordered = pool.submit(inquiries.about_order_and_groups, tls, self.look, known, self.asker.ask)
        struck = [pool.submit(self._further, version, True) for version in (first if self.look.reaches("full") else first[:1])]
        besides = [pool.submit(inquire, tls, self.look, known, self.asker.ask_besides) for inquire in inquiries.BESIDES]
        for inquiry in struck:
            inquiry.result()
        nameless = ordered.result()
        self.asker.release()
        if not nameless and seen.version and self._named:
            certified = None if seen.version == "TLSv1.3" else suites.signed("ECDSA") + suites.signed("RSA")
            nameless = self.asker.ask(Offer(seen.version, certified), by_name=False)
        tls["without_sni"] = _without_name(nameless)
        if first and self.chains.differ():
            self._further(first[0], False)
        for inquiry in besides:
            inquiry.result()
        tls["groups"][inquiries.HYBRID.name] = self._hybrid(answers)
        if twice:
            self._second_handshake()

    def _further(self, version: str, by_name: bool) -> None:
        """Certificates of other keys than those seen so far; of who sends no server name too, where that one is shown others."""
        full = self.look.reaches("full")
        known = self.chains.keys(version if full or not by_name else None, by_name)
        signers = ("ECDSA", "RSA", "DSS") if full else () if by_name else ("ECDSA", "RSA")
        answer = further.ask_for_further(version, known, lambda offer: self.asker.ask(offer, by_name), _key, signers)
        self.tls["algorithms"]["any other in %s%s" % (version, "" if by_name else ", without a server name")] = answer.told()

    def _hybrid(self, answers: dict) -> dict:
        """Of interest, but no check's: asked where connections are left for what is."""
        if "TLSv1.3" not in answers and self.session.spare < _AT_LAST:
            return {"verdict": "unknown", "reason": "not asked, because that would take more than %d connections" % self.session.most}
        hybrid = (inquiries.HYBRID.code,)
        return inquiries.chose_group(answers.get("TLSv1.3") or self.asker.ask(Offer("TLSv1.3", groups=hybrid)), hybrid)

    def _keep_flights(self, answers: dict) -> None:
        """What the newest version before TLS 1.3 shows; of TLS 1.2, with each kind of certificate."""
        shown = [answers[name] for name in ("ECDSA", "RSA") if answers[name].verdict == "accepted"]
        for answer in shown or [answers[name] for name in reversed(_CLASSIC) if name in answers and answers[name].verdict == "accepted"][:1]:
            flight, suite = answer.flight, suites.BY_CODE.get(answer.flight.hello.suite)
            if not any(flight.certificates) and suite and suite.authentication != "anonymous":
                self.chains.unread(suite.authentication)
            if suite and shown:
                scheme = signatures.BY_CODE.get(flight.key_exchange.signature) if flight.key_exchange else None
                self.tls["signatures"][suite.authentication] = {"verdict": "accepted", "reason": scheme.name if scheme else "none was seen"}
            self.tls.update(
                compression=bool(flight.hello.compression), extended_master_secret=_EXTENDED_MASTER_SECRET in flight.hello.extensions,
                secure_renegotiation=_RENEGOTIATION_INFO in flight.hello.extensions,
            )

    def _keep_chain(self, by_name: bool, answer: Answer) -> None:
        if answer.flight and any(answer.flight.certificates):
            hello = answer.flight.hello
            suite, version = suites.BY_CODE.get(hello.suite), BY_WIRE.get(hello.version)
            seen = (version.name if version else None, self._named and by_name)
            self.chains.served(list(answer.flight.certificates), True, algorithm=suite.authentication if suite else None, seen=seen)


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
        "handshake": "unknown", "reason": verified.reason, "version": None, "cipher": None,
        "versions": {}, "algorithms": {}, "suites": {}, "order": None, "groups": {}, "dh_bits": None, "signatures": {},
        "without_sni": None, "compression": None, "extended_master_secret": None, "secure_renegotiation": None, "accepted": None,
        "trust": _trust(verified),
        "trust_at_may": _trust(verified),
        "name": {"verdict": "unknown", "reason": "no certificate was seen"},
    }


def _trust(verified: Handshake) -> dict:
    """version is there where our own side of the handshake was done, whatever the server made of it then."""
    if verified.version:
        return {"verdict": "pass", "reason": "the chain ends at a trusted CA"}
    return {"verdict": "fail" if verified.untrusted else "unknown", "reason": verified.untrusted or verified.reason}


def _agreed(seen: Handshake) -> dict:
    return {"verdict": "accepted", "reason": "the handshake was done with it" if seen.verdict == "done" else "ServerHello with %s" % seen.version}


def _at_both_levels(verified: Handshake, lenient: Handshake) -> dict:
    """What Postfix finds at security level 1 (verify, secure, dane) and at 0 (may, encrypt), where a handshake comes about only at the latter."""
    at_may = _trust(lenient)
    reason = "%s: %s" % (NO_HANDSHAKE, verified.reason)
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
