# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Every suite and every group a server accepts: offer all, strike the one it chose, ask again, until it refuses."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, suites

_TLS13 = "TLSv1.3"


def enumerate_into(tls: dict, ask: Callable[[Offer], object], pool: ThreadPoolExecutor) -> None:
    """Fills C(accepted): {suites: {version: [name]}, groups: {version: [name]}, complete: whether every run ended in a refusal}."""
    versions = [name for name, answer in tls["versions"].items() if answer["verdict"] == "accepted"]
    by_suite = list(pool.map(lambda version: _suites(version, ask), versions))
    by_group = list(pool.map(lambda version: _groups(version, ask), [version for version in versions if version in ("TLSv1.2", _TLS13)]))
    tls["accepted"] = {
        "suites": {version: names for version, names, _complete in by_suite},
        "groups": {version: names for version, names, _complete in by_group},
        "complete": all(complete for _version, _names, complete in by_suite + by_group),
    }


def _suites(version: str, ask: Callable) -> tuple:
    offered = list(suites.tls13() if version == _TLS13 else suites.classic())
    found, ended = _strike(offered, lambda rest: ask(Offer(version, tuple(rest))), lambda flight: flight.hello.suite)
    return version, [suites.name(code) for code in found], ended


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
