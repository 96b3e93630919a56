# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Addresses of hosts, those that Postfix's SMTP client would connect to and in its order.

Source: postconf(5) inet_protocols, smtp_host_lookup, smtp_address_preference, smtp_randomize_addresses, smtp_mx_address_limit,
smtp_balance_inet_protocols; smtp_addr_one() and smtp_balance_inet_proto() of Postfix's smtp_addr.c.
"""
from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender

_FAMILIES = {"ipv4": (socket.AF_INET, "A", "IPv4"), "ipv6": (socket.AF_INET6, "AAAA", "IPv6")}


class Place(NamedTuple):
    """One address of a host, None where it has none that can be used; problem says why.

    rank: places of the same one are tried in any order. left_out: not tried at all, because smtp_mx_address_limit are.
    """

    preference: int | None
    host: str
    address: str | None = None
    problem: str = ""
    rank: int = 0
    left_out: bool = False


class _Unanswered(Exception):
    """Why DNS does not tell."""


def look_up(host: str, sender: Sender, seconds: float) -> tuple:
    """(addresses, why there is none), of the families that this host's Postfix uses. seconds: for each question to DNS."""
    try:
        family = "ipv%d" % ipaddress.ip_address(host).version
        if family in sender.families:
            return (host,), ""
        return (), "it is an %s address, and inet_protocols has none of these used" % _FAMILIES[family][2]
    except ValueError:
        pass
    found: tuple | None = None
    if sender.dns_for_hosts:
        try:
            found = _by_dns(host, sender.families, seconds)
        except _Unanswered as unanswered:
            return (), "DNS does not tell its addresses: %s" % unanswered
    if found or (found is not None and not sender.native):
        return found, "" if found else "DNS has no address of it%s" % _of_these(sender)
    try:
        return _by_system(host, sender.families)
    except (OSError, ValueError) as error:
        return (), "the name does not resolve%s: %s" % (_of_these(sender), getattr(error, "strerror", None) or error)


def _of_these(sender: Sender) -> str:
    return "" if len(sender.families) > 1 else " for %s, all that inet_protocols has used" % _FAMILIES[sender.families[0]][2]


def _by_dns(host: str, families: tuple, seconds: float) -> tuple | None:
    """Those of an IPv4 address first, as Postfix asks. None where nobody here can ask (dnspython). Raises _Unanswered where none was told."""
    try:
        import dns.exception
        import dns.resolver
    except ImportError:
        return None
    found, failed = [], ""
    for family in sorted(families):
        try:
            found += [record.address for record in dns.resolver.get_default_resolver().resolve(host, _FAMILIES[family][1], lifetime=seconds)]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            continue
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            failed = str(error).splitlines()[0]
    if failed and not found:
        raise _Unanswered(failed)
    return tuple(found)


def _by_system(host: str, families: tuple) -> tuple:
    """(addresses, why there is none). Raises OSError where the name does not resolve at all."""
    wanted = {_FAMILIES[family][0] for family in families}
    found = dict.fromkeys((told[0], told[4][0]) for told in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    usable = tuple(address for family, address in found if family in wanted)
    return usable, "" if usable else "it has %s alone, which inet_protocols has not used" % ", ".join(sorted(address for _family, address in found))


def in_order(found: list, sender: Sender) -> list:
    """[Place], of [(preference, host, addresses, problem)], as they are tried; then those that are not, and hosts without an address."""
    places = [Place(preference, host, address) for preference, host, addresses, _problem in found for address in addresses]
    nowhere = [Place(preference, host, None, problem) for preference, host, addresses, problem in found if not addresses]
    wanted = _FAMILIES.get(sender.preference)

    def rank(place: Place) -> tuple:
        return place.preference or 0, int(bool(wanted) and _family(place.address) != sender.preference)

    places.sort(key=rank)
    kept = _balanced(places, sender.most) if sender.balanced else places
    kept = kept[:sender.most] if sender.most else kept
    ranks = {key: number for number, key in enumerate(sorted(set(map(rank, places))))} if sender.shuffled else {}
    tried = [place._replace(rank=ranks.get(rank(place), at)) for at, place in enumerate(kept)]
    return tried + [place._replace(left_out=True) for place in places if place not in kept] + nowhere


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"


def _balanced(places: list, most: int) -> list:
    """No more than so many, of which neither family takes the place of the other."""
    of = {family: [place for place in places if _family(place.address) == family] for family in _FAMILIES}
    if not most or len(places) <= most or not all(of.values()):
        return places
    if len(of["ipv6"]) <= most // 2:
        sixes = len(of["ipv6"])
    elif len(of["ipv4"]) <= most // 2:
        sixes = most - len(of["ipv4"])
    else:
        sixes = most - (most + (places[0] in of["ipv4"])) // 2
    kept = of["ipv6"][:sixes] + of["ipv4"][:most - sixes]
    return [place for place in places if place in kept]
