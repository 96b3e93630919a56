# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Questions put to one target, a connection each; and what it means where a server ends one without saying so.

Some servers refuse by closing the connection (asyncio in Python, Dovecot's submission), with close_notify (GnuTLS in Courier) or with
internal_error (OpenSSL 3 at a security level that TLS 1.1 does not reach). An overloaded or broken one may do the same to anybody. So such
an end counts as a refusal only where the same question, put again, ends in the same manner, and others are answered, one of them at last.
"""
from __future__ import annotations

import threading
import time
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.question import CLOSED, Answer, ask
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.session import Session


#: Questions that are put once more at the end of a look where ends were taken for refusals.
_ONCE_MORE = 3
_OTHERS = "; other questions were answered"


class Asker:
    """kept: takes (by_name, answer) of each answer that was read whole, in any thread."""

    def __init__(self, session: Session, kept: Callable) -> None:
        self.session = session
        self._kept = kept
        self._kept_back = self._later = 0  # connections that are meant for something else
        self._released = threading.Event()
        self._answered_at = 0.0  # on a monotonic clock, of the last time; 0 for never
        self._taken: tuple = ()  # a question that was answered
        self._told: dict = {}  # {reason of a refusal: when an end was last taken for it}
        self._settled_so: list = []  # (manner, question) of what was taken for a refusal
        self._ends: dict = {}  # {manner of an end: how often}
        self._meant: dict = {}  # {manner of an end: whether it is a refusal}, once that was tried
        self._counting, self._deciding = threading.Lock(), threading.Lock()

    def answered(self, offer: Offer | None = None) -> None:
        """The server has just answered somebody's ClientHello. offer: what it would answer likewise, where that is known."""
        self._answered_at = time.monotonic()
        if offer and not self._taken:
            self._taken = (offer, True, True)

    def take_back(self, facts: dict, at_last: bool = True) -> bool:
        """Makes unknown what was taken for a refusal in these facts and did not stand: whether that was anything.

        A server that ends all it is asked from some moment on has refused nothing; nor has one that did not even greet, or that answers the
        same question at another time. at_last: nothing else is to be asked, so connections that are left may be used for that.
        """
        def late() -> list:
            return [reason for reason, at in self._told.items() if at > self._answered_at]

        if late() and self._taken:
            self._once(*self._taken)
        closed = [reason for reason in self._told if reason.startswith(CLOSED)] if self.session.lost else []
        answered = self._answered_after_all() if at_last else ()
        changes = [(reason, "; the same question was answered another time") for reason in self._told if reason.startswith(answered)]
        changes += [(reason, "; so were connections on which nothing had been asked") for reason in closed]
        changes += [(reason, "; then nothing was answered any more") for reason in late()]
        for reason, instead in changes:
            _make_unknown(facts, reason, instead)
        return bool(changes)

    def _answered_after_all(self) -> tuple:
        """Manners of ends that are none of refusals: where connections are left, some questions are put once more."""
        wrong = set()
        for manner, question in self._settled_so[:_ONCE_MORE]:
            again = self._once(*question) if self.session.spare > 0 and manner not in wrong else None
            if again and again.flight and again.end != manner:
                wrong.add(manner)
        return tuple(wrong)

    def ask(self, offer: Offer, by_name: bool = True) -> Answer:
        """Of what is wanted first. by_name: send SNI, where the target has a name for it."""
        return self._settled(self._once(offer, True, by_name), offer, True, by_name)

    def keep(self, wanted: int, later: int) -> None:
        """Of the connections that are left, wanted are meant for what ask() is used for, until release(); later for what comes at last."""
        self._kept_back, self._later = wanted + later, later
        self._released.clear()

    def release(self) -> None:
        """What was wanted is known."""
        self._kept_back = self._later
        self._released.set()

    def ask_besides(self, offer: Offer, by_name: bool = True) -> Answer:
        """Where connections are left beside those kept for something else."""
        if self.session.spare <= self._kept_back:
            self._released.wait(self.session.deadline.left())
        if self.session.spare <= self._kept_back:
            return Answer("unknown", "not asked, because that would take more than %d connections" % self.session.most)
        return self.ask(offer, by_name)

    def ask_all(self, offers: dict, pool, whole: bool) -> dict:
        """{name: Answer} of {name: Offer}. pool: of threads."""
        answers = dict(zip(offers, pool.map(lambda offer: self._once(offer, whole, True), offers.values())))
        # The last one is that which is likeliest to be taken: it is the one that is put again.
        return {name: self._settled(answers[name], offers[name], whole, True) for name in reversed(list(offers))}

    def _once(self, offer: Offer, whole: bool, by_name: bool) -> Answer:
        session = self.session
        try:
            with session.ready() as (dialogue, refusal):
                if refusal:
                    # Whoever starts TLS too often hears this (smtpd_client_new_tls_session_rate_limit), whatever the version.
                    return Answer("unknown", refusal)
                answer = ask(dialogue.connection, offer, session.target.sni if by_name else None, whole)
        except PostfixTlsError as error:
            session.note(error)
            return Answer("unknown", error.reason)
        with self._counting:
            if answer.verdict == "accepted":
                self.answered()
                self._taken = self._taken or (offer, whole, by_name)
            if answer.end:
                self._ends[answer.end] = self._ends.get(answer.end, 0) + 1
        if whole:
            self._kept(by_name, answer)
        return answer

    def _settled(self, answer: Answer, offer: Offer, whole: bool, by_name: bool) -> Answer:
        if not answer.end:
            return answer
        with self._deciding:
            if not self._answered_at:
                return answer
            if answer.end not in self._meant:
                again = self._once(offer, whole, by_name)
                if answer.end == again.end == CLOSED:
                    again = self._once(offer, whole, by_name)  # which says the least, and comes of load, too
                put = again.flight is not None
                self._meant[answer.end] = again.end == answer.end if put else self._ends[answer.end] > 1
                if put and again.end != answer.end:
                    return again if again.verdict != "unknown" else answer
            if not self._meant[answer.end]:
                return answer
            times = self._ends[answer.end]
            told = "%s, %s%s" % (answer.end, "twice" if times == 2 else "%d times" % times, _OTHERS)
            self._told[told] = time.monotonic()
            self._settled_so.append((answer.end, (offer, whole, by_name)))
            return answer._replace(verdict="refused", reason=told, end=None)


def _make_unknown(facts: dict, reason: str, instead: str) -> None:
    if facts.get("verdict") == "refused" and reason in facts.get("reason", ""):
        facts.update(verdict="unknown", reason=facts["reason"].replace(_OTHERS, instead))
    for value in facts.values():
        if isinstance(value, dict):
            _make_unknown(value, reason, instead)
