# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Every suite and every group a server accepts: offer all, strike the one it chose, ask again, until it refuses."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.inquiries import CURVES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

_TLS13 = "TLSv1.3"


def enumerate_into(tls: dict, ask: Callable[[Offer], object], pool: ThreadPoolExecutor) -> None:
    """Fills C(accepted): {suites: {version: [name]}, groups: {version: [name]}, complete: whether every run ended in a refusal}.

    Suites of SSLv2 are not listed, so where that is accepted it is not complete. Groups are those of TLS 1.3 and of the newest version before
    it, for which the older ones have no others.
    """
    answers = tls["versions"]
    versions = [name for name in NAMES if answers[name]["verdict"] == "accepted"]
    grouped = [name for name in versions if name not in ("SSLv3", _TLS13)][-1:] + [name for name in versions if name == _TLS13]
    by_suite = list(pool.map(lambda version: _suites(version, ask), versions))
    by_group = list(pool.map(lambda version: _groups(version, ask), grouped))
    clear = all(answer["verdict"] != "unknown" and (name in NAMES or answer["verdict"] == "refused") for name, answer in answers.items())
    tls["accepted"] = {
        "suites": {version: names for version, names, _complete in by_suite},
        "groups": {version: names for version, names, _complete in by_group},
        "complete": clear and all(complete for _version, _names, complete in by_suite + by_group),
    }


def _suites(version: str, ask: Callable) -> tuple:
    """Those with DHE with and without the primes of RFC 7919 in sight: a server may have some for who names these only, or names none."""
    offered = list(suites.tls13() if version == _TLS13 else suites.classic())
    found, ended = _strike(offered, lambda rest: ask(Offer(version, tuple(rest))), _suite)
    left = [code for code in offered if code not in found and suites.BY_CODE[code].exchange == "DHE"]
    if ended and left and version != "SSLv3":
        more, ended = _strike(left, lambda rest: ask(Offer(version, tuple(rest), CURVES)), _suite)
        found += more
    return version, [suites.name(code) for code in found], ended


def _suite(flight) -> int:
    return flight.hello.suite


def _groups(version: str, ask: Callable) -> tuple:
    ephemeral = None if version == _TLS13 else tuple(suite.code for suite in suites.SUITES if suite.exchange == "ECDHE")
    offered = [group.code for group in groups.GROUPS]

    def chosen(flight) -> int | None:
        return flight.hello.group or (flight.key_exchange.group if flight.key_exchange else None)

    found, ended = _strike(offered, lambda rest: ask(Offer(version, ephemeral, groups=tuple(rest))), chosen)
    if ended and version != _TLS13:
        # RFC 8422 section 5.1: who does not offer the curve of an ECDSA certificate as well can't be shown it, whatever group is at hand.
        known = tuple(found)
        more, ended = _strike(offered, lambda rest: ask(Offer(version, ephemeral, groups=(*rest, *known))), chosen, known)
        found += more
    return version, [groups.BY_CODE[code].name for code in found], ended


def _strike(offered: list, ask: Callable, chosen: Callable, known: tuple = ()) -> tuple:
    """(what was chosen, in that order; whether it ended because the server refused all that was left, or took what is known instead)"""
    found: list = []
    while offered:
        answer = ask(offered)
        if answer.verdict != "accepted":
            return found, answer.verdict == "refused"
        code = chosen(answer.flight)
        if code not in offered:
            return found, code in known
        offered.remove(code)
        found.append(code)
    return found, True
