# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A plan carried out so that it holds, proven, or nothing changed."""
from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Callable, ContextManager

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.kept import Kept, Outdated, carry_out
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan


#: The kind of a change that nobody asked for: what a rollback returns to stays the state before the last one that somebody did.
RENEWAL = "renewal"


@dataclass
class Outcome:
    """action_taken: none, reload or restart. transaction: id of the kept state before the change, None without one.

    results: of prove. before: of observe, where something was changed.
    """

    changed: bool = False
    action_taken: str = "none"
    transaction: str | None = None
    resumed: bool = False
    results: list = field(default_factory=list)
    before: dict = field(default_factory=dict)


@dataclass
class Transaction:
    """Knows files, an action and a proof; of what is proven, nothing.

    action: restart, reload or none. service: check, make_live, wait, stop, mark_log and log of _postfix.service.
    ready: raises PostfixTlsError where Postfix could not start with the plan. stopped: it did not run before, and is to be started now.
    check: looks at what was written before it is live. prove: returns results, or raises PostfixTlsError.
    observe: {listener: what a peer sees there now}; what answered before a change has to answer the same when restored.
    written: called once all files are written. restoring: what the files are held by while they are put back.
    """

    kept: Kept
    action: str
    service: object
    check: Callable[[], None]
    prove: Callable[[], list]
    observe: Callable[[], dict]
    kind: str = "change"
    ready: Callable[[], None] = lambda: None
    stopped: bool = False
    went_live: bool = False
    written: Callable[[], None] = lambda: None
    restoring: Callable[[], ContextManager] = nullcontext

    def carry_out(self, plan: Plan) -> Outcome:
        """Raises PostfixTlsError, with details C(restored) and C(log), where it does not hold."""
        resumed = self.kept.pending.exists()
        self.went_live = resumed  # by the run that was killed
        self.service.mark_log()
        if not plan.changes and not resumed:
            return self._confirm()
        if self.action != "none":
            self.ready()
        seen_before = {} if resumed or self.action == "none" else self.observe()
        self.kept.pending.keep(plan.changes, self.kind)
        try:
            carry_out(plan.changes)
            self.written()
            self.service.check()
            self.check()
            results = self._live()
        except Outdated:
            self._withdraw(resumed)
            raise
        except PostfixTlsError as error:
            raise self._restore(error, seen_before) from None
        except Exception as error:  # whatever it was, Postfix does not stay on a state that is not proven
            unforeseen = PostfixTlsError("postfix_tls", repr(error), "this was not foreseen", "Report it.")
            raise self._restore(unforeseen, seen_before) from error
        return Outcome(True, self.action, self._committed(), resumed, results, seen_before)

    def _committed(self) -> str | None:
        if self.kind != RENEWAL:
            return self.kept.commit()
        self.kept.absorb()
        return None

    def _withdraw(self, resumed: bool) -> None:
        """Nothing is live yet: what was written of a plan that is out of date is undone, and what a killed run left is left for the next try."""
        self.kept.pending.take_back()
        if not resumed:
            self.kept.pending.discard()

    def _live(self) -> list:
        if self.action == "none":
            return []
        self.went_live = True
        self.service.make_live(self.action)
        self.service.wait()
        return self.prove()

    def _confirm(self) -> Outcome:
        """Nothing to write. Where Postfix does not serve what is written (stopped, never restarted), it is made to."""
        self.written()
        if self.action == "none":
            return Outcome()
        if not self.stopped:
            with suppress(PostfixTlsError):
                return Outcome(results=self.prove())
        self.ready()
        try:
            return Outcome(True, self.action, results=self._live())
        except PostfixTlsError:
            if self.stopped:
                self.service.stop()
            raise

    def _restore(self, error: PostfixTlsError, seen_before: dict) -> PostfixTlsError:
        """Puts back what was kept and makes it live; the error then says what was tried and what is so now."""
        log = error.details.get("log") or self.service.log()
        try:
            self.written()
            with self.restoring():
                paths = self.kept.pending.put_back()
            back = "The old state is back%s: %s." % (self._live_again(seen_before), ", ".join(sorted(paths)))
        except Exception as second:  # whatever it was, the first error is the one to tell
            return PostfixTlsError(
                error.item, error.value, "%s; putting the old state back failed too: %s" % (error.reason, second),
                "The old files are kept in %s." % self.kept.pending.directory,
                **dict(error.details, restored=False, log=log),
            )
        if self.kept.pending.others:
            back += " What others wrote meanwhile stays: %s." % "; ".join(self.kept.pending.others)
        self.kept.pending.discard()
        logged = " Postfix logged: %s" % " | ".join(log) if log else ""
        return PostfixTlsError(
            error.item, error.value, error.reason, "%s %s%s" % (error.remedy, back, logged),
            **dict(error.details, restored=True, log=log),
        )

    def _live_again(self, seen_before: dict) -> str:
        """Postfix as it was before, and how that is, in words. A state that it refuses is not tried at the cost of what runs."""
        if self.action == "none":
            return ""
        if self.stopped:
            self.service.stop()
            return ", and Postfix is stopped as it was"
        try:
            if not self.went_live:
                self.service.check()
        except PostfixTlsError as refusal:
            return ", but it is none that Postfix can start with (%s), so it was not restarted and goes on as it was" % refusal.reason
        self.service.make_live("restart")
        self.service.wait()
        if not self._as_before(seen_before):
            raise PostfixTlsError("Postfix", None, "it does not answer as it did before the change", "Look at it now.")
        return " and Postfix answers with it"

    def _as_before(self, seen_before: dict) -> bool:
        """Whether every listener that answered before answers the same again, given a moment to come up."""
        return seen_before.items() <= until(self.observe, lambda seen: seen_before.items() <= seen.items()).items()


def until(look: Callable[[], object], good: Callable[[object], bool], tries: int = 20, pause: float = 0.25, most: float = 30.0) -> object:
    """The first good look, or the last one. 20 looks 0.25 s apart outlast a Postfix that is just coming up.

    most: seconds after which no further look is begun, for one at a server that is silent takes long.
    """
    end = time.monotonic() + most
    for left in range(tries, 0, -1):
        seen = look()
        if good(seen) or left == 1 or time.monotonic() > end:
            return seen
        time.sleep(pause)
