# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The hosts behind destinations, found and looked at the way Postfix's SMTP client does.

A host that serves many destinations is looked at once. Of dnspython only what finds MX records is used, and it is loaded only where there
are some to find. Source: RFC 5321 section 5.1, RFC 7505; postconf(5) smtp_host_lookup, smtp_dns_support_level, smtp_mx_address_limit,
smtp_tls_servername, smtp_bind_address. Which addresses a host has, and in which order they are tried, addresses.py tells.
"""
from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import addresses
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import ANONYMOUS, bare
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Deadline, connect, words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all, probe_for_anonymous_suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.session import Session
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import Dialogue
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

#: The cheapest look that tells of handshake, certificate and every version: six connections at most, seven where the chain is not trusted, and
#: one more where TLS 1.3 is not spoken, for suites without a certificate.
DEPTH = "versions"

#: Of modules that look at partners.
OPTIONS = {name: options.ARGUMENT_SPEC[name] for name in ("config_directory", "ca_file", "timeout", "concurrency", "ehlo_name", "source_address")}

_DESTINATION = re.compile(r"(?P<name>[^\s\[\]:]+|\[[^\s\[\]]+\])(?::(?P<port>[A-Za-z0-9-]+))?")
_SMTPS = 465


class Host(NamedTuple):
    """One address of a host. preference: of its MX record, None where there is none. facts: RV(results[]) of starttls_info.

    rank: those of the same one are tried in any order.
    """

    name: str
    preference: int | None
    facts: dict
    rank: int = 0


class Partner(NamedTuple):
    """hosts: in the order in which they are tried. problem: why there are none, "" otherwise. left_out: addresses that are not tried, and so not
    looked at.
    """

    destination: str
    hosts: tuple = ()
    problem: str = ""
    left_out: tuple = ()

    @property
    def facts(self) -> list:
        """Of each host."""
        return [host.facts for host in self.hosts]

    @property
    def ranks(self) -> list:
        """Of each host."""
        return [host.rank for host in self.hosts]


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
    targets = {target: None for _problem, hosts, _left in found for _place, target in hosts if isinstance(target, Target)}
    facts = _look_at(list(targets), sender, how, concurrency)
    return [
        Partner(destination, tuple(
            Host(place.host, place.preference, facts[target] if isinstance(target, Target) else target, place.rank) for place, target in hosts), problem, left)
        for destination, (problem, hosts, left) in zip(destinations, found)
    ]


def ask_for_mail(wanted: list, sender: Sender, how: Look, concurrency: int = 32) -> None:
    """Has the facts of each of these hosts say what it answers to MAIL in the clear, with one more connection to each."""
    servers = {id(host.facts["smtp"]): host.facts for host in wanted}
    with ThreadPoolExecutor(max_workers=min(concurrency, len(servers) or 1)) as pool:
        for facts, reply in zip(servers.values(), pool.map(lambda facts: _mail(facts["target"], sender, how), servers.values())):
            facts["smtp"]["mail_before_tls"] = reply


def _mail(target: dict, sender: Sender, how: Look) -> str:
    """The reply to MAIL in the clear, or why there is none."""
    deadline, host, port = Deadline(how.timeout), target["address"], target["port"]
    try:
        opened, _address = connect(host, port, deadline, _source(host, sender, how)[0])
        with opened:
            dialogue = Dialogue(opened)
            for said in (dialogue.banner(), dialogue.command("EHLO %s" % how.ehlo_name), dialogue.command("MAIL FROM:<>")):
                reply = said
            dialogue.leave()
        return str(reply)
    except PostfixTlsError as error:
        return error.reason


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
    """[(problem, [(Place, its Target, or facts where it has no address)], left out)]. Each domain and each host is asked for once."""
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
    several = [_hosts(match, domains, sender) for match in parsed]
    named = list(dict.fromkeys(host for _problem, hosts in several for _preference, host in hosts))
    with ThreadPoolExecutor(max_workers=min(concurrency, len(named) or 1)) as pool:
        told = dict(zip(named, pool.map(lambda host: addresses.look_up(host, sender, seconds), named)))
    return [_targets(match, problem, [(preference, host, *told[host]) for preference, host in hosts], sender)
            for match, (problem, hosts) in zip(parsed, several)]


def _has_mx(name: str, sender: Sender) -> bool:
    return sender.dns and name[0] not in "[."


def _in_order(records: list, domain: str, sender: Sender) -> list:
    """The hosts that are tried, first the preferred. RFC 7505 section 3; RFC 5321 section 5.1 for a domain without MX."""
    if [name for _preference, name in records] == ["."]:
        raise _Nowhere("it takes no mail, its MX says (RFC 7505)")
    found = [(preference, name) for preference, name in records if name != "."] or [(None, domain)]
    return sorted(found) if sender.shuffled else sorted(found, key=lambda record: record[0] or 0)


def _hosts(match: re.Match | None, domains: dict, sender: Sender) -> tuple:
    """(problem, [(preference, host)]) of one destination."""
    if not match:
        return "it is not a name that mail goes to: write example.org, [relay.example.org] or [relay.example.org]:587", []
    name = match.group("name")
    if name.startswith("."):
        return "it stands for all its subdomains: name those that mail goes to", []
    if "%" in name:
        return "Postfix takes no address with a zone", []
    found = domains.get(name)
    if isinstance(found, _Nowhere) and not (sender.native and isinstance(found, _NoDomain)):
        return str(found), []
    return "", found if isinstance(found, list) else [(None, bare(name))]


def _targets(match: re.Match | None, problem: str, hosts: list, sender: Sender) -> tuple:
    """(problem, [(Place, Target or facts)], addresses that are left out) of one destination."""
    if problem:
        return problem, [], ()
    places = addresses.in_order(hosts, sender)
    try:
        port, nexthop = _port(match.group("port") or sender.port), bare(match.group("name"))
        targets = [(place, _target(place, port, nexthop, sender)) for place in places if not place.left_out]
    except PostfixTlsError as error:
        return error.reason, [], ()
    found = [(place, target if place.address else _unreached(target, place.problem)) for place, target in targets]
    return "", found, tuple("%s[%s]" % (place.host, place.address) for place in places if place.left_out)


def _port(text: str) -> int:
    try:
        return int(text) if text.isdigit() else socket.getservbyname(text, "tcp")
    except OSError:
        raise PostfixTlsError("port", text, "no TCP port is known by the name %s" % text, "Write its number.") from None


def _target(place: addresses.Place, port: int, nexthop: str, sender: Sender) -> Target:
    """postconf(5) smtp_tls_servername: hostname, nexthop, or a name of its own; no SNI where it is empty."""
    server_name = {"hostname": place.host, "nexthop": nexthop}.get(sender.server_name, sender.server_name)
    protocol = "smtps" if sender.wrapper or port == _SMTPS else "smtp"
    return Target(place.host, port, protocol, server_name or None, place.address, bool(server_name))


def _unreached(target: Target, reason: str) -> dict:
    """Facts, as probe has them, of what was not connected to."""
    told = {"host": target.host, "port": target.port, "protocol": target.protocol, "server_name": target.name, "address": target.address}
    return {
        "target": told, "vantage": {"source": None, "own": None}, "reachable": False, "error": reason, "smtp": Session(target, Look()).smtp, "tls": None,
        "certificates": [], "chains": [],
    }


def _look_at(targets: list, sender: Sender, how: Look, concurrency: int) -> dict:
    """{target: facts}. What differs by its name alone is one server to who asks for no name, and is looked at once: a provider has a name for
    each of many domains, and grants a stranger few connections at a time.
    """
    first: dict = {}
    for target in targets:
        first.setdefault(_server(target), target)
    seen, ways = {}, {}
    for server, target in first.items():
        source, problem = _source(target.address, sender, how)
        if problem:
            seen[server] = _unreached(target, problem)
        else:
            ways.setdefault(source, []).append((server, target))
    for source, there in ways.items():
        facts = _probe([target for _server, target in there], dataclasses.replace(how, source_address=source), concurrency)
        seen.update((server, told) for (server, _target), told in zip(there, facts))
    return {target: dict(seen[server], target=dict(seen[server]["target"], host=target.host, server_name=target.name))
            for server, target in ((_server(target), target) for target in targets)}


def _server(target: Target) -> tuple:
    """What tells servers apart."""
    return target.address, target.port, target.protocol, target.sni


def _source(address: str, sender: Sender, how: Look) -> tuple:
    """(where to connect from to an address, None for whatever the system takes, why mail can't go there). What is asked for comes before main.cf."""
    family = ipaddress.ip_address(address).version
    if how.source_address and ipaddress.ip_address(how.source_address.partition("%")[0]).version == family:
        return how.source_address, ""
    source = dict(sender.bound).get("ipv%d" % family)
    if not source:
        return None, ""
    with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET) as trial:
        try:
            trial.bind((source, 0))
        except OSError as error:
            return None, "nothing can be sent from %s (smtp_bind_address_enforce): %s" % (source, words(error)) if sender.enforced else ""
    return source, ""


def _probe(targets: list, how: Look, concurrency: int) -> list:
    """The facts of each. Where a first look leaves something open, a second one of another kind follows."""
    facts = probe_all(targets, how, concurrency)
    silent = [at for at, target in enumerate(targets) if _silent(target, facts[at])]
    if silent:
        again = probe_all([dataclasses.replace(targets[at], protocol="smtps") for at in silent], how, concurrency)
        for at, seen in zip(silent, again):
            facts[at] = seen if (seen["tls"] or {}).get("handshake") == "done" else facts[at]
    older = [at for at, seen in enumerate(facts) if _may_be_anonymous(seen)]
    if older:
        asked = [dataclasses.replace(targets[at], protocol=facts[at]["target"]["protocol"]) for at in older]
        for at, answer in zip(older, probe_for_anonymous_suites(asked, how, concurrency)):
            facts[at]["tls"]["suites"] = {ANONYMOUS: answer}
    return facts


def _silent(target: Target, seen: dict) -> bool:
    """A host that took the connection and said nothing may wait for a ClientHello, where its port is not the one of mail exchangers."""
    return target.port != 25 and target.protocol == "smtp" and bool(seen["target"]["address"]) and seen["smtp"]["banner"] is None


def _may_be_anonymous(seen: dict) -> bool:
    """Up to TLS 1.2 there are suites without a certificate, which Postfix prefers where it asks for none (TLS_README, "Anonymous TLS"): also where
    a handshake fails for want of one, although a version is spoken.
    """
    tls = seen["tls"]
    if not tls or tls["version"] == NAMES[-1]:
        return False
    return tls["handshake"] == "done" or any(tls["versions"].get(name, {}).get("verdict") == "accepted" for name in NAMES[:-1])
