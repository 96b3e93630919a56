# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Clients and senders that must use TLS: entries judged, and written as the patterns of tables for access(5).

A table is a dictionary here, {pattern: a key that it has to answer for}. Networks are patterns of a C(cidr) table, names of a C(regexp) table:
what C(example.org) stands for in other types depends on C(parent_domain_matches_subdomains), and C(.example.org) matches nothing with its default.
Source: access(5), cidr_table(5), regexp_table(5), RFC 5321 section 4.1.2.
"""
from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.domains import domain, in_letters

#: postconf(5): refuses in the clear, and says nothing of a session with TLS, so that what stands behind it is asked as ever.
ACTION = "reject_plaintext_session"

_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class _Kind(NamedTuple):
    """exact: how the pattern of a name itself begins. sample: what a key has before the name.

    letters: whether a client may spell the name in letters that are not ASCII; DNS does not.
    """

    item: str
    remedy: str
    exact: str
    sample: str
    letters: bool

    def refuse(self, entry: str, reason: str, remedy: str = "") -> PostfixTlsError:
        return PostfixTlsError(self.item, repr(entry), reason, remedy or self.remedy)

    def name(self, entry: str, name: str) -> str:
        """Raises PostfixTlsError naming the entry that it is of."""
        try:
            return domain(name)
        except ValueError as error:
            raise self.refuse(entry, str(error)) from None

    def patterns(self, entry: str) -> dict:
        """Of example.org, or of .example.org for what is below it. Raises PostfixTlsError."""
        if entry.startswith("."):
            return self.spelt(self.name(entry, entry[1:]), r"\.", self.sample + "any.")
        return self.spelt(self.name(entry, entry), self.exact, self.sample)

    def spelt(self, name: str, begin: str, sample: str) -> dict:
        spellings = (name, in_letters(name)) if self.letters else (name,)
        return {"/%s%s$/" % (begin, _escaped(spelling)): sample + spelling for spelling in spellings}

    def add(self, table: dict, entry: str, patterns: dict) -> None:
        if not table.keys().isdisjoint(patterns):
            raise self.refuse(entry, "it is listed twice", "Keep one of them.")
        table.update(patterns)


_CLIENT = _Kind(
    "required client",
    "Write 192.0.2.1, 192.0.2.0/24, 2001:db8::/32, mail.example.org, or .example.org for all hosts below it; senders have a list of their own.",
    "^", "", letters=False,
)
_SENDER = _Kind(
    "required sender", "Write example.org, .example.org for all domains below it, or user@example.org; hosts and networks belong to the clients.",
    "@", "any@", letters=True,
)


def clients(entries: list, everyone: bool = False) -> tuple:
    """(table of networks, table of hosts). everyone: whether a network may be all addresses. Raises PostfixTlsError naming the entry."""
    networks: dict = {}
    hosts: dict = {}
    for entry in entries:
        network = _network(entry)
        if network is None:
            _CLIENT.add(hosts, entry, _CLIENT.patterns(entry))
        elif network.prefixlen or everyone:
            _CLIENT.add(networks, entry, {str(network): str(network.network_address)})
        else:
            raise _CLIENT.refuse(
                entry, "that is everybody, and a public server must take mail in the clear too (RFC 3207)",
                "Name the networks; where only known peers connect, say so with smtpd_tls_allow_encrypt: true (the module's public_encrypt: allow).",
            )
    return networks, hosts


def senders(entries: list) -> dict:
    """The table of senders. Raises PostfixTlsError naming the entry."""
    table: dict = {}
    for entry in entries:
        local, at, name = entry.lower().rpartition("@")
        if entry in ("", "<>"):
            raise _SENDER.refuse(
                entry, "every server sends its bounces with the null sender, so that would be everybody",
                "Leave it out; bounces of a partner are covered where its hosts are required clients.",
            )
        if at and (len(local) > 64 or not _LOCAL_PART.fullmatch(local)):
            raise _SENDER.refuse(entry, "what is before the @ is no plain local part of an address")
        _SENDER.add(table, entry, _SENDER.spelt(_SENDER.name(entry, name), "^%s@" % _escaped(local), local + at) if at else _SENDER.patterns(entry))
    return table


def text(table: dict) -> str:
    """The lines of the file."""
    return "".join("%s\t%s\n" % (pattern, ACTION) for pattern in table)


def answers(table: dict) -> dict:
    """{key: answer} that C(postmap -q) has to give."""
    return dict.fromkeys(table.values(), ACTION)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """None where it is a name, if anything. Raises PostfixTlsError."""
    text_of_address, slash, _prefix = entry.partition("/")
    try:
        address, network = ipaddress.ip_address(text_of_address), ipaddress.ip_network(entry, strict=False)
    except ValueError:
        if slash or ":" in entry:
            raise _CLIENT.refuse(entry, "it is neither an address nor a network") from None
        return None
    if "%" in entry:
        raise _CLIENT.refuse(entry, "an address in a table has no interface")
    if address != network.network_address:
        raise _CLIENT.refuse(
            entry, "it has bits beyond its prefix, and Postfix passes over such a line (cidr_table(5))",
            "Write %s for the network, or %s for that host alone." % (network, address),
        )
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped and network.prefixlen >= 96:
        plain = ipaddress.ip_network("%s/%d" % (mapped, network.prefixlen - 96))
        raise _CLIENT.refuse(entry, "Postfix knows such a client by its IPv4 address", "Write %s." % (mapped if plain.prefixlen == 32 else plain))
    return network


def _escaped(literal: str) -> str:
    """For a POSIX extended regular expression between slashes."""
    return re.sub(r"[.^$*+?{|/]", r"\\\g<0>", literal)
