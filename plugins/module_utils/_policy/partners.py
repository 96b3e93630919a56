# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The hosts behind destinations, found and looked at the way Postfix's SMTP client does.

A host that serves many destinations is looked at once. Of dnspython only what finds MX records is used, and it is loaded only where there
are some to find. Source: RFC 5321 section 5.1, RFC 7505; postconf(5) smtp_host_lookup, smtp_dns_support_level, smtp_mx_address_limit,
smtp_tls_servername.
"""
from __future__ import annotations

import dataclasses
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import ANONYMOUS, bare
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.suites import SETS

#: The cheapest look that tells of handshake, certificate and every version: six connections at most, seven where the chain is not trusted.
DEPTH = "versions"

#: Of modules that look at partners.
OPTIONS = {name: options.ARGUMENT_SPEC[name] for name in ("config_directory", "ca_file", "timeout", "concurrency", "ehlo_name", "source_address")}

_DESTINATION = re.compile(r"(?P<name>[^\s\[\]:]+|\[[^\s\[\]]+\])(?::(?P<port>[A-Za-z0-9-]+))?")
_SMTPS = 465


class Host(NamedTuple):
    """preference: of its MX record, None where there is none. facts: RV(results[]) of starttls_info."""

    name: str
    preference: int | None
    facts: dict


class Partner(NamedTuple):
    """hosts: in the order in which they are tried. problem: why there are none, "" otherwise."""

    destination: str
    hosts: tuple = ()
    problem: str = ""


class _Nowhere(Exception):
    """Why mail to a destination has no host to go to."""


class _NoDomain(_Nowhere):
    """DNS says that there is no such name, which /etc/hosts may have all the same."""


#: (domain, seconds) -> [(preference, host)] of its MX records, [] where it has none. Raises _Nowhere.
Resolve = Callable[[str, float], list]


def look(destinations: list, sender: Sender, how: Look, concurrency: int = 32, resolve: Resolve | None = None) -> list:
    """[Partner], in the order of destinations, as keys of a policy have them: example.org, [mx.example.org], each with :port or without.

    how: its depth and CAs are set here where it names none. concurrency: domains, then hosts, at a time. resolve: instead of DNS.
    Raises PostfixTlsError where dnspython is wanted and missing, or a look can't be.
    """
    how = dataclasses.replace(how, depth=DEPTH, ca_content=None if how.ca_file else how.ca_content or sender.ca_content)
    found = _find(destinations, sender, how.timeout, concurrency, resolve)
    targets = {target: None for _problem, hosts in found for _preference, target in hosts}
    facts = _look_at(list(targets), how, concurrency)
    return [
        Partner(destination, tuple(Host(target.host, preference, facts[target]) for preference, target in hosts), problem)
        for destination, (problem, hosts) in zip(destinations, found)
    ]


def mail_exchangers(domain: str, seconds: float) -> list:
    """[(preference, host)] by DNS. Raises _Nowhere, and PostfixTlsError where dnspython is missing."""
    try:
        import dns.exception
        import dns.resolver
    except ImportError:
        raise PostfixTlsError(
            "dnspython", None, "the MX records of %s can't be looked up without it" % domain,
            "Install python3-dnspython (on PyPI: dnspython) on this host, or name hosts instead, as in [mx.%s]." % domain,
        ) from None
    try:
        answer = dns.resolver.get_default_resolver().resolve(domain, "MX", lifetime=seconds)
    except dns.resolver.NXDOMAIN:
        raise _NoDomain("DNS has no domain %s" % domain) from None
    except dns.resolver.NoAnswer:
        return []
    except (dns.exception.DNSException, OSError) as error:
        raise _Nowhere("DNS does not tell its MX: %s" % str(error).splitlines()[0]) from None
    return [(record.preference, record.exchange.to_text(omit_final_dot=True)) for record in answer]


def _find(destinations: list, sender: Sender, seconds: float, concurrency: int, resolve: Resolve | None) -> list:
    """[(problem, [(preference, Target)])]. Each domain is asked for once."""
    parsed = [_DESTINATION.fullmatch(destination) for destination in destinations]
    domains = {match.group("name"): None for match in parsed if match and _has_mx(match.group("name"), sender)}

    def asked(domain: str) -> object:
        try:
            return _in_order((resolve or mail_exchangers)(bare(domain), seconds), bare(domain), sender)
        except _Nowhere as nowhere:
            return nowhere

    if domains:
        with ThreadPoolExecutor(max_workers=min(concurrency, len(domains))) as pool:
            domains = dict(zip(domains, pool.map(asked, domains)))
    return [_targets(match, domains, sender) for match in parsed]


def _has_mx(name: str, sender: Sender) -> bool:
    return sender.dns and name[0] not in "[."


def _in_order(records: list, domain: str, sender: Sender) -> list:
    """The hosts that are tried, first the preferred. RFC 7505 section 3; RFC 5321 section 5.1 for a domain without MX."""
    if [name for _preference, name in records] == ["."]:
        raise _Nowhere("it takes no mail, its MX says (RFC 7505)")
    return sorted((preference, name) for preference, name in records if name != ".")[:sender.most or None] or [(None, domain)]


def _targets(match: re.Match | None, domains: dict, sender: Sender) -> tuple:
    """(problem, [(preference, Target)]) of one destination."""
    if not match:
        return "it is not a name that mail goes to: write example.org, [relay.example.org] or [relay.example.org]:587", []
    name = match.group("name")
    if name.startswith("."):
        return "it stands for all its subdomains: name those that mail goes to", []
    found = domains.get(name)
    if isinstance(found, _Nowhere) and not (sender.native and isinstance(found, _NoDomain)):
        return str(found), []
    hosts = found if isinstance(found, list) else [(None, bare(name))]
    try:
        port = _port(match.group("port"))
        return "", [(preference, _target(host, port, bare(name), sender)) for preference, host in hosts]
    except PostfixTlsError as error:
        return error.reason, []


def _port(text: str | None) -> int:
    text = text or "25"
    try:
        return int(text) if text.isdigit() else socket.getservbyname(text, "tcp")
    except OSError:
        raise PostfixTlsError("port", text, "no TCP port is known by the name %s" % text, "Write its number.") from None


def _target(host: str, port: int, nexthop: str, sender: Sender) -> Target:
    """postconf(5) smtp_tls_servername: hostname, nexthop, or a name of its own; no SNI where it is empty."""
    server_name = {"hostname": host, "nexthop": nexthop}.get(sender.server_name, sender.server_name)
    protocol = "smtps" if sender.wrapper or port == _SMTPS else "smtp"
    return Target(host, port, protocol, server_name or None, asks_by_name=bool(server_name))


def _look_at(targets: list, how: Look, concurrency: int) -> dict:
    """{target: facts}. What differs by its name alone is one server to who asks for no name, and is looked at once: a provider has a name for
    each of many domains, and grants a stranger few connections at a time.
    """
    if not targets:
        return {}
    with ThreadPoolExecutor(max_workers=min(concurrency, len(targets))) as pool:
        servers = list(pool.map(_server, targets))
    first: dict = {}
    for server, target in zip(servers, targets):
        first.setdefault(server, target)
    seen = dict(zip(first, _probe(list(first.values()), how, concurrency)))
    return {
        target: dict(seen[server], target=dict(seen[server]["target"], host=target.host, server_name=target.name))
        for server, target in zip(servers, targets)
    }


def _server(target: Target) -> tuple:
    """What tells servers apart. A name without an address stands for itself; the look then tells of it."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        where = frozenset(address[0] for _family, _type, _protocol, _name, address in found)
    except (OSError, ValueError):
        where = target.host
    return where, target.port, target.protocol, target.sni


def _probe(targets: list, how: Look, concurrency: int) -> list:
    """The facts of each. Where a first look leaves something open, a second one of another kind follows."""
    facts = probe_all(targets, how, concurrency)
    silent = [at for at, target in enumerate(targets) if _silent(target, facts[at])]
    if silent:
        again = probe_all([dataclasses.replace(targets[at], protocol="smtps") for at in silent], how, concurrency)
        for at, seen in zip(silent, again):
            facts[at] = seen if (seen["tls"] or {}).get("handshake") == "done" else facts[at]
    uncertified = [at for at, seen in enumerate(facts) if _without_certificate(seen)]
    if uncertified:
        deeper = dataclasses.replace(how, depth="standard", sets={ANONYMOUS: SETS[ANONYMOUS]})
        for at, seen in zip(uncertified, probe_all([targets[at] for at in uncertified], deeper, concurrency)):
            facts[at]["tls"]["suites"] = (seen["tls"] or {}).get("suites", {})
    return facts


def _silent(target: Target, seen: dict) -> bool:
    """A host that took the connection and said nothing may wait for a ClientHello, where its port is not the one of mail exchangers."""
    return target.port != 25 and target.protocol == "smtp" and bool(seen["target"]["address"]) and seen["smtp"]["banner"] is None


def _without_certificate(seen: dict) -> bool:
    """A handshake that failed although a version is spoken: where Postfix asks for no certificate, it may still succeed (TLS_README)."""
    tls = seen["tls"]
    if not tls or tls["handshake"] == "done" or seen["certificates"]:
        return False
    return any(answer["verdict"] == "accepted" for answer in tls["versions"].values())
