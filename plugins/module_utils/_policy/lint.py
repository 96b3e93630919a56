# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What Postfix would take without a word, and what of a policy would not hold then: warnings, each with the line to write."""
from __future__ import annotations

import ipaddress
import json
import re
from typing import Iterator, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.effect import by_main_cf, effect
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.explain import Explainer, default_level
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import LOCAL, WHOLE, Lookup, kind, tables
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.nexthop import Route, Router, parents
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.syntax import keys, parsed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.table import LEVELS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.values import incomparable, keeps_level

#: Levels at which only a server that is known for certain gets mail. Which of two is more can't always be told, and then neither is told to be less.
_AUTHENTICATED = ("dane-only", "fingerprint", "verify", "secure")
#: Of a transport's -o, what may have it send nothing at some levels.
_DECIDING = {"smtp_tls_wrappermode", "smtp_dns_support_level", "smtp_host_lookup", "smtp_discard_ehlo_keywords", "smtp_never_send_ehlo"}


class Warned(NamedTuple):
    observed: str
    expected: str
    fix: str


class Policies:
    """lines: {key: policy} of our table; others: the tables behind it; host: as it will be. lookup: of tables as they will be. table: ours, as main.cf
    names it.
    """

    def __init__(self, lines: dict, others: list, host: Instance, lookup: Lookup, table: str = "") -> None:
        self.lines = lines
        self.table = table
        self.others = others
        self.host = host
        self.lookup = lookup
        self.levels = {key: line.split(" ", 1)[0] for key, line in lines.items()}
        self.router = Router(host, lookup)
        self.explainer = Explainer(host, lookup)
        self.smtp = by_main_cf(host)

    def mandatory(self) -> list:
        """Keys of partners to whom nothing may go in the clear."""
        strict = {level for level in set(self.levels.values()) if keeps_level(level, "encrypt")}
        return [key for key, level in self.levels.items() if level in strict]

    def clients(self) -> list:
        """Services of master.cf that deliver over a network."""
        return [service for service in self.host.services if service.kind == "unix" and service.program in ("smtp", "lmtp")]

    def client(self, transport: str) -> Service | None:
        return next((service for service in self.clients() if service.name == transport), None)

    def default(self) -> str:
        """The level that holds where no entry does: dane is may, where Postfix looks up no TLSA record."""
        level, _source = default_level(lambda name: self.host.effective("smtp_" + name), "smtp")
        return effect(self.host, self.smtp, "", level, {}).level


def entry(key: str, level: str, attributes: dict | None = None) -> str:
    """As a user writes it. attributes: as parsed has them, of the entry that asks for this level."""
    more, written = attributes or {}, {"destination": key, "level": level}
    if more.get("match") and level in ("verify", "secure", "fingerprint"):
        written["fingerprints" if level == "fingerprint" else "match"] = more["match"]
    if more.get("tafile") and level in ("verify", "secure"):
        written["tafile"] = more["tafile"][0]
    return "{%s}" % ", ".join("%s: %s" % (name, _yaml(value)) for name, value in written.items())


def _yaml(value: str | list) -> str:
    if isinstance(value, list):
        return "[%s]" % ", ".join(map(_yaml, value))
    return value if re.fullmatch(r"[A-Za-z./][\w./-]*|\.[\w.-]+", value) else json.dumps(value, ensure_ascii=False)


def asks_less(one: str, other: str) -> bool:
    """Whether a level leaves out something that another one asks for. Two levels that both know the server for certain are not held against each other."""
    if one not in LEVELS or other not in LEVELS or keeps_level(one, other):
        return False
    return not (one in _AUTHENTICATED and other in _AUTHENTICATED and incomparable(one, other))


def _both(key: str, one: str, other: str, attributes: dict) -> str:
    """The entry to write instead of one at level one, so that nothing that either asks for is lost."""
    if keeps_level(other, one):
        return entry(key, other, attributes)
    if "verify" in (one, other):
        return entry(key, "secure", attributes)
    return "%s where it has TLSA records; where it has none, %s" % (
        entry(key, "dane-only"), "encrypt is right" if one == "encrypt" else entry(key, "encrypt"))


def _less(one: str, other: str) -> str:
    if (one, other) == ("encrypt", "dane"):
        return "encrypt matches no TLSA records, unlike"
    return "%s sends in the clear where there are no TLSA records, unlike" % one if (one, other) == ("dane", "encrypt") else "%s is less than" % one


def _weaker(told: Policies) -> Iterator[Warned]:
    levels, default = told.levels, told.default()
    dotted = any(key[0] == "." for key in levels)
    if not dotted and not any(asks_less(level, default) for level in set(levels.values())):
        return
    for key, level in levels.items():
        above = next((parent for parent in parents(key.lstrip("."), True) if parent in levels), None) if dotted and key[0] != "[" else None
        other = levels[above] if above else default
        if asks_less(level, other):
            attributes = parsed(told.lines[above], told.host.version)[1] if above else {}
            yield Warned(
                "policy for %s: %s the %s of %s" % (key, _less(level, other), other, above or "smtp_tls_security_level"),
                "entries that ask for more than what holds without them",
                _both(key, level, other, attributes) + (", or leave the entry out" if keeps_level(other, level) else ""),
            )


def _unpinned(told: Policies) -> Iterator[Warned]:
    for key, line in told.lines.items() if "verify" in told.levels.values() else ():
        if line.startswith("verify") and " match=" not in line and "[" not in key:
            yield Warned(
                "policy for %s: verify takes the name from DNS, and whoever forges that chooses it" % key, "a name that DNS does not decide",
                "{destination: %s, level: secure, match: [%s]}, with the names its servers have" % (key, "mx.%s" % key.strip(".")),
            )


def openable(told: Policies) -> None:
    """Raises PostfixTlsError for a table of files behind ours that Postfix can't open: all mail that no entry of ours is for would wait."""
    for table in told.others:
        if kind(table) in LOCAL + WHOLE:
            try:
                told.lookup.ask(table, told.levels)
            except PostfixTlsError as error:
                raise PostfixTlsError(
                    "smtp_tls_policy_maps", table, "%s, so Postfix would send no mail but that which an entry is for" % error.reason,
                    "Mend it (postmap %s), or take it out of smtp_tls_policy_maps (tls_policy_maps, the module's policy.maps)." % table,
                ) from None


def sendable(told: Policies) -> None:
    """Raises PostfixTlsError for an entry of ours on which a transport with settings of its own sends nothing."""
    own = {service.name: service for service in told.clients() if _DECIDING & set(service.overrides)}
    for table in tables(told.host.effective("transport_maps")) if own else ():
        for key, value in told.lookup.entries(table).items():
            transport, _colon, hop = value.partition(":")
            hop = hop or key.rpartition("@")[2].lstrip(".")
            policy = told.explainer.policy(hop, own[transport]) if transport in own else None
            if policy and policy.wrong and policy.source == told.table:
                raise PostfixTlsError(
                    "policy for %s" % policy.key, policy.text,
                    "mail to it goes by transport %s (%s), and no mail goes there: %s" % (transport, table, policy.wrong),
                    "Use another level or other attributes here, or change that transport.",
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
        for key, text in told.lookup.ask(table, levels).items():
            other, attributes = _says(told, key, text)
            if asks_less(levels[key], other):
                again = "" if incomparable(levels[key], other) else ", or leave the entry out"
                yield Warned(
                    "policy for %s: %s here hides the %s of %s behind it" % (key, levels[key], other, table), "the stronger of both",
                    _both(key, levels[key], other, attributes) + again,
                )
        for key, text in told.lookup.entries(table).items() if dotted else ():
            above = next((parent for parent in parents(key.lstrip("."), True) if parent in levels), None) if key not in levels else None
            other = _says(told, key, text)[0] if above else ""
            if above and asks_less(other, levels[above]):
                attributes = parsed(told.lines[above], told.host.version)[1]
                yield Warned(
                    "policy for %s: %s of %s for %s is nearer to it and hides it" % (above, other, table, key), "the stronger of both",
                    "%s, which is asked first" % _both(key, other, levels[above], attributes),
                )


def _says(told: Policies, key: str, text: str) -> tuple:
    """(level in effect, attributes) of another table's answer; level "" for one on which Postfix sends nothing."""
    level, attributes, wrong = parsed(text, told.host.version)
    if wrong:
        return "", {}
    return effect(told.host, told.smtp, key, level, attributes).level, attributes


def _unused(told: Policies) -> Iterator[Warned]:
    """Keys that Postfix never looks up, for mail goes another way."""
    levels, router = told.levels, told.router
    if not router.diverts() and all("[" not in key and ":" not in key for key in levels):
        return
    hops = router.named_hops()
    for key in levels:
        if key in hops or key.startswith("."):
            continue
        if "[" in key or ":" in key:
            host = _host(key)
            near = sorted(hop for hop in hops if _host(hop) == host)
            if near:
                yield Warned("policy for %s: mail goes to %s, and Postfix looks up that text as it is" % (key, near[0]), "the key as the next hop is written",
                             entry(near[0], levels[key], _attributes(told, key)))
            elif not router.asks_servers():
                yield Warned("policy for %s: nothing sends mail there" % key, "a next hop that relayhost or transport_maps name in these words",
                             "name the next hop there first, or leave the entry out" if not re.search("[a-z]", host) or ":" in host else
                             entry(host, levels[key], _attributes(told, key)) + " for mail to that domain, or name the next hop there first")
        else:
            yield from _elsewhere(told, key, router.route(key))


def _host(hop: str) -> str:
    """Of a next hop, without brackets and port; an address in the one form that all its spellings have."""
    inside = re.match(r"\[(?:ipv6:)?([^\]]*)\]", hop)
    name = inside.group(1) if inside else hop.rpartition(":")[0] or hop
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _attributes(told: Policies, key: str) -> dict:
    return parsed(told.lines[key], told.host.version)[1]


def _elsewhere(told: Policies, key: str, route: Route) -> Iterator[Warned]:
    if not route.smtp:
        yield Warned("policy for %s: mail to it goes by transport %s (%s), which sends no mail by SMTP" % (key, route.transport, route.because),
                     "entries for mail that leaves", "leave the entry out")
    elif key not in [above for hop in route.next_hops for above in keys(hop.lower())]:
        level, attributes = told.levels[key], _attributes(told, key)
        yield Warned(
            "policy for %s: mail to it goes to %s (%s), and Postfix looks up that instead" % (key, " ".join(route.next_hops), route.because),
            "the key of the next hop", " and ".join(entry(hop.lower(), level, attributes) for hop in route.next_hops),
        )


RULES = (_weaker, _unpinned, _shadowing, _unused)
