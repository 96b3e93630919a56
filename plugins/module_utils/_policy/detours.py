# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Ways that mail of a named partner can take around its entry: next hops that are looked up under a name of their own, and where less holds.

No way round, for the entry decides there too: smtp_bind_address, smtp_generic_maps (they change what is said to the partner's server, not who that is),
smtp_sasl_*, soft_bounce, reused connections (Postfix keys them by level and next hop), bounces. STARTTLS that smtp_discard_ehlo_keyword_address_maps hides
has mail wait. A service's own C(-o) is told where all overrides are.
Source: postconf(5) smtp_fallback_relay, content_filter, sender_dependent_relayhost_maps, sender_dependent_default_transport_maps, multi_instance_directories;
header_checks(5) and access(5) FILTER; virtual(5), canonical(5).
"""
from __future__ import annotations

import ipaddress
import os
import re
from functools import partial
from typing import Callable, Iterator, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.explain import default_level
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lint import Policies, Warned, entry
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import LOCAL, kind, tables
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.nexthop import looked_up
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.syntax import keys
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import effective_values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.values import keeps_level

_EXPECTED = "no less than encrypt wherever mail of a partner goes"
_BY_SENDER = ("sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps")
#: Tables that send mail on to other recipients.
_REWRITING = ("virtual_alias_maps", "canonical_maps", "recipient_canonical_maps", "recipient_bcc_maps")
#: Tables of whatever type whose answer may be FILTER; access(5) tables stand in lists of restrictions.
_FILTERING = ("header_checks", "mime_header_checks", "nested_header_checks", "body_checks", "milter_header_checks")
_RESTRICTIONS = tuple("smtpd_%s_restrictions" % name for name in ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data"))
_FILTER = re.compile(r"(?:^|[\s\"'/}])FILTER\s+([\w.-]+):(\S*)")
_ACCESS = re.compile(r"check_\w+_access[\s,]+([a-z]+:[^\s,]+)")


class Detour(NamedTuple):
    """hop: as Postfix looks it up. service: that delivers there. where: what names it. partner: whose mail goes there, "" for that of anyone."""

    hop: str
    service: Service
    where: str
    partner: str = ""


def _ways(source: Callable, told: Policies) -> Iterator[Warned]:
    """Where less than encrypt holds, each once."""
    partners, seen = told.mandatory(), set()
    for detour in source(told, partners) if partners else ():
        policy = told.explainer.policy(detour.hop, detour.service)
        way = (detour.hop, detour.where, policy.level)
        if not policy.wrong and not keeps_level(policy.level, "encrypt") and way not in seen:
            seen.add(way)
            yield Warned(
                "%s: mail of %s can go to %s, where %s holds, and so in the clear" % (
                    detour.where, detour.partner or "named partners", detour.hop, policy.level),
                _EXPECTED, _remedy(told, detour),
            )


def _remedy(told: Policies, detour: Detour) -> str:
    """An entry, where our table is asked; else how to have it asked, too."""
    name, service = "%s_tls_policy_maps" % detour.service.program, detour.service
    line = entry(detour.hop.lower(), "encrypt") if re.match(r"[\w.\[-]", detour.hop) and not detour.hop.startswith("unix:") else ""
    if told.table in tables(told.host.effective(name, service)) and line:
        return line
    if name in service.overrides:
        return "smtpd_tls_services: {%s: {%s: null}} (the module's services)%s" % (service.key, name, line and ", and %s" % line)
    if service.program == "lmtp" and line:
        return "smtp_tls_parameters: {%s: $smtp_tls_policy_maps} (the module's parameters), and %s" % (name, line)
    return "smtp_tls_parameters: {%s_tls_security_level: encrypt} (the module's parameters)" % service.program


def _own(told: Policies, service: Service, name: str) -> str:
    """A parameter for a service, without asking Postfix where its -o says nothing of it."""
    return told.host.expanded(service.overrides[name]) if name in service.overrides else told.host.effective(name)


def _fallback_relays(told: Policies, _partners: list) -> Iterator[Detour]:
    for service in told.clients():
        name = "%s_fallback_relay" % service.program
        where = "master.cf: %s -o %s" % (service.key, name) if name in service.overrides else name
        # One that asks a table of its own is told where all overrides are.
        for hop in tables(_own(told, service, name)) if "%s_tls_policy_maps" % service.program not in service.overrides else ():
            yield Detour(hop, service, where)


def _by_sender(told: Policies, partners: list) -> Iterator[Detour]:
    default = told.host.effective("default_transport").partition(":")[0]
    for name in _BY_SENDER:
        for table in tables(told.host.effective(name)):
            for sender, value in told.lookup.entries(table).items():
                transport, _colon, hop = (default, "", value) if name == _BY_SENDER[0] else value.partition(":")
                yield from _detours(told, transport, hop, "%s (%s, %s)" % (name, table, sender), partners[0])


def _transports(told: Policies, partners: list) -> Iterator[Detour]:
    """What transport_maps say of single recipients and subdomains; what they say of partners themselves is told of their entries."""
    default, named = told.host.effective("default_transport").partition(":")[0], set(partners)
    for table in tables(told.host.effective("transport_maps")):
        for key, value in told.lookup.entries(table).items():
            domain = key.rpartition("@")[2].lstrip(".")
            if key not in told.levels and any(above in named for above in keys(domain)[key.startswith("."):] + [key]):
                transport, _colon, hop = value.partition(":")
                yield from _detours(told, transport or default, hop, "transport_maps (%s, %s)" % (table, key), domain)


def _routes(told: Policies, partners: list) -> Iterator[Detour]:
    """Partners whose mail goes by a service that asks a table of its own: lmtp(8), or one with -o smtp_tls_policy_maps."""
    own = {service.name for service in told.clients() if service.program == "lmtp" or "smtp_tls_policy_maps" in service.overrides}
    used = {told.host.effective(name).partition(":")[0] for name in ("default_transport", "relay_transport")}
    if not own or not (told.router.diverts() or own & used):
        return
    for key in partners:
        route = told.router.route(key) if re.match(r"[^\[:.]+(\.[^\[:.]+)*$", key) else None
        if route and route.smtp and route.service.name in own:
            for hop in route.next_hops:
                yield Detour(hop, route.service, route.because, key)


def _filters(told: Policies, partners: list) -> Iterator[Detour]:
    """Content filters on other hosts: loopback is no wire."""
    host = told.host
    found = [("content_filter", host.effective("content_filter"))]
    found += [("master.cf: %s -o content_filter" % at.key, _own(told, at, "content_filter")) for at in host.services if "content_filter" in at.overrides]
    for table, text in _filtering(told):
        found += [("FILTER in %s" % table, "%s:%s" % pair) for pair in dict.fromkeys(_FILTER.findall(text))]
    for where, value in found:
        transport, _colon, hop = value.partition(":")
        if not _on_loopback(hop):
            yield from _detours(told, transport, hop, where, partners[0])


def _filtering(told: Policies) -> Iterator[tuple]:
    """(table, all that it says) of header and body checks and access tables in files."""
    effective = told.host.effective
    listed = [table for name in _FILTERING for table in tables(effective(name))]
    listed += [table for name in _RESTRICTIONS for table in _ACCESS.findall(effective(name))]
    for table in dict.fromkeys(listed):
        path = table.partition(":")[2]
        if kind(table) in LOCAL and kind(table) != "texthash":
            yield table, "\n".join(told.lookup.entries(table).values())
        elif os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                yield table, re.sub(r"(?m)^\s*#.*$", "", file.read())


def _detours(told: Policies, transport: str, hop: str, where: str, partner: str) -> Iterator[Detour]:
    service = told.client(transport)
    for each in re.split(r"[,\s]+", hop or partner.lstrip(".")) if service else ():
        yield Detour(looked_up(each), service, where)


def _on_loopback(hop: str) -> bool:
    name = re.sub(r":[^:\]]*$", "", re.sub("^(inet|unix):", "", hop)).strip("[]").replace("IPv6:", "").replace("ipv6:", "")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.startswith("/") or hop.startswith("unix:")


def _rewritten(told: Policies, partners: list) -> Iterator[Detour]:
    """Other domains that recipients at partners are rewritten to, or that get a copy."""
    named = set(partners)
    for name in _REWRITING:
        for table in tables(told.host.effective(name)):
            for key, value in told.lookup.entries(table).items():
                domain = key.rpartition("@")[2].lower()
                if not any(above in named for above in keys(domain)):
                    continue
                others = {address.rpartition("@")[2].lower() for address in tables(value) if "@" in address} - {domain}
                for route in map(told.router.route, sorted(others)):
                    for hop in route.next_hops if route.smtp else ():
                        yield Detour(hop, route.service, "%s (%s, %s)" % (name, table, key), domain)


def unlisted(told: Policies) -> Iterator[Warned]:
    """Tables of servers that choose the next hop by sender: what they would say can't be listed."""
    asked = [(name, table) for name in _BY_SENDER for table in tables(told.host.effective(name)) if kind(table) not in LOCAL]
    for name, table in asked if told.mandatory() else ():
        yield Warned(
            "%s: which next hops %s names can't be listed, and each is looked up under a name of its own" % (name, table), _EXPECTED,
            "an entry, level encrypt or above, for each of its next hops; tls_policy_info with a sender says what holds",
        )


def other_instances(told: Policies) -> Iterator[Warned]:
    """Postfix instances beside this one that send mail and ask no policy table."""
    for directory in tables(told.host.effective("multi_instance_directories")) if told.mandatory() else ():
        try:
            theirs = effective_values(told.host.run, directory)
        except PostfixTlsError:
            continue  # none that could send
        level, _source = default_level(lambda name, values=theirs: values.get("smtp_" + name, ""), "smtp")
        if theirs.get("multi_instance_enable") == "yes" and not theirs.get("smtp_tls_policy_maps") and not keeps_level(level, "encrypt"):
            yield Warned(
                "%s: what this instance sends is held to no policy table, and %s holds there" % (directory, level), _EXPECTED,
                "run this for it too, with tls_hardening_config_directory: %s (the module's config_directory)" % directory,
            )


#: Beside those of lint.
RULES = (
    *(partial(_ways, source) for source in (_fallback_relays, _by_sender, _transports, _routes, _filters, _rewritten)), unlisted, other_instances,
)
