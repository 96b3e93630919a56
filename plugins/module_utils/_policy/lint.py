# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What Postfix would take without a word, and what of a policy would not hold then: warnings, each with the line to write."""
from __future__ import annotations

import re
from typing import Iterator, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import LOCAL, Lookup, kind
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.nexthop import Router, parents
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.syntax import keys, parsed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.table import LEVELS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance


class Warned(NamedTuple):
    observed: str
    expected: str
    fix: str


class Policies:
    """lines: {key: policy} of our table; others: the tables behind it; host: as it will be."""

    def __init__(self, lines: dict, others: list, host: Instance, lookup: Lookup) -> None:
        self.lines = lines
        self.others = others
        self.host = host
        self.lookup = lookup
        self.levels = {key: line.split(" ", 1)[0] for key, line in lines.items()}


def _less(one: str, other: str) -> bool:
    return one in LEVELS and other in LEVELS and LEVELS.index(one) < LEVELS.index(other)


def _entry(key: str, level: str) -> str:
    return "{destination: %s, level: %s}" % ('"%s"' % key if key[0] == "[" else key, level)


def _weaker(told: Policies) -> Iterator[Warned]:
    levels, default = told.levels, told.host.effective("smtp_tls_security_level") or "none"
    dotted = any(key[0] == "." for key in levels)
    if not dotted and not any(_less(level, default) for level in set(levels.values())):
        return
    for key, level in levels.items():
        above = next((parent for parent in parents(key.lstrip("."), True) if parent in levels), None) if dotted and key[0] != "[" else None
        if _less(level, levels[above] if above else default):
            yield Warned(
                "policy for %s: %s is less than the %s of %s" % (key, level, levels[above] if above else default, above or "smtp_tls_security_level"),
                "entries that ask for more than what holds without them",
                "%s, or leave the entry out" % _entry(key, levels[above] if above else default),
            )


def _unpinned(told: Policies) -> Iterator[Warned]:
    for key, line in told.lines.items() if "verify" in told.levels.values() else ():
        if line.startswith("verify") and " match=" not in line and "[" not in key:
            yield Warned(
                "policy for %s: verify takes the name from DNS, and whoever forges that chooses it" % key, "a name that DNS does not decide",
                "{destination: %s, level: secure, match: [%s]}, with the names its servers have" % (key, "mx.%s" % key.strip(".")),
            )


def _shadowing(told: Policies) -> Iterator[Warned]:
    """What tables behind ours say of the same keys, or of names below ours, where they win: only files are asked, for a server's answer costs time
    and may change.
    """
    levels = told.levels
    dotted = any(key[0] == "." for key in levels)
    for table in told.others:
        if kind(table) not in LOCAL:
            continue
        try:
            there = told.lookup.ask(table, levels)
        except PostfixTlsError as error:
            yield Warned(str(error), "tables that Postfix can read", "mend it or take it out of smtp_tls_policy_maps")
            continue
        for key, text in there.items():
            other = parsed(text)[0]
            if _less(levels[key], other):
                yield Warned(
                    "policy for %s: %s here hides the %s of %s behind it" % (key, levels[key], other, table), "the stronger of both",
                    "%s, or leave the entry out" % _entry(key, other),
                )
        for key, text in told.lookup.entries(table).items() if dotted else ():
            above = next((parent for parent in parents(key.lstrip("."), True) if parent in levels), None) if key not in levels else None
            if above and _less(parsed(text)[0], levels[above]):
                yield Warned(
                    "policy for %s: %s of %s for %s is nearer to it and hides it" % (above, parsed(text)[0], table, key), "the stronger of both",
                    "%s, which is asked first" % _entry(key, levels[above]),
                )


def _unused(told: Policies) -> Iterator[Warned]:
    """Keys that Postfix never looks up, for mail goes another way."""
    levels, router = told.levels, Router(told.host, told.lookup)
    if not router.diverts() and all("[" not in key and ":" not in key for key in levels):
        return
    hops = router.named_hops()
    for key in levels:
        if key in hops or key.startswith("."):
            continue
        if "[" in key or ":" in key:
            host = re.sub(r":[^:\]]*$", "", key).strip("[]")
            near = sorted(hop for hop in hops if re.sub(r":[^:\]]*$", "", hop).strip("[]") == host)
            if near:
                yield Warned("policy for %s: mail goes to %s, and Postfix looks up that text as it is" % (key, near[0]), "the key as the next hop is written",
                             _entry(near[0], levels[key]))
            elif not router.asks_servers():
                yield Warned("policy for %s: nothing sends mail there" % key, "a next hop that relayhost or transport_maps name in these words",
                             _entry(host, levels[key]) + " for mail to that domain, or name the next hop there first")
        else:
            route = router.route(key)
            if not route.smtp:
                yield Warned("policy for %s: mail to it goes by transport %s (%s), which sends no mail by SMTP" % (key, route.transport, route.because),
                             "entries for mail that leaves", "leave the entry out")
            elif key not in [above for hop in route.next_hops for above in keys(hop.lower())]:
                yield Warned(
                    "policy for %s: mail to it goes to %s (%s), and Postfix looks up that instead" % (key, " ".join(route.next_hops), route.because),
                    "the key of the next hop", _entry(route.next_hops[0].lower(), levels[key]),
                )


RULES = (_weaker, _unpinned, _shadowing, _unused)
