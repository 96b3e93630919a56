# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Where mail really goes: the transport and the next hop that trivial-rewrite(8) chooses for a recipient.

The address is taken as it is: what canonical and virtual aliases make of it comes before. Source: transport(5), ADDRESS_CLASS_README,
postconf(5) default_transport, relay_transport, relayhost, sender_dependent_relayhost_maps, sender_dependent_default_transport_maps.
"""
from __future__ import annotations

import os
import re
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import LOCAL, WHOLE, Lookup, kind, tables
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service

#: postconf(5) relayhost: several, separated by commas or blanks, since this release.
SEVERAL_SINCE = (3, 5)
#: Tables whose answers name next hops.
_NAMING = ("transport_maps", "sender_dependent_default_transport_maps", "sender_dependent_relayhost_maps")


class Route(NamedTuple):
    """transport: name of a master.cf service, service: that one, None where there is none. next_hops: as Postfix tries them, in the very text it
    looks up. because: the parameter that says so.
    """

    transport: str
    service: Service | None
    next_hops: tuple
    because: str

    @property
    def smtp(self) -> bool:
        """Whether Postfix's SMTP client delivers it, or its LMTP client."""
        return bool(self.service) and self.service.program in ("smtp", "lmtp")


class Router:
    """host's own routing. lookup: tables of the same instance."""

    def __init__(self, host: Instance, lookup: Lookup) -> None:
        self._host = host
        self._lookup = lookup
        self._dotted = "transport_maps" not in tables(host.effective("parent_domain_matches_subdomains"))

    def diverts(self) -> bool:
        """Whether mail to anywhere may go elsewhere than to its own domain."""
        default = self._host.effective("default_transport").partition(":")[2] or self._host.effective("relay_transport").partition(":")[2]
        return bool(default) or any(map(self._host.effective, ("relayhost", *_NAMING)))

    def asks_servers(self) -> bool:
        """Whether any table that names next hops can't be listed."""
        return any(kind(table) not in LOCAL for name in _NAMING for table in tables(self._host.effective(name)))

    def prepare(self, recipients: list) -> None:
        """Asks each table of transport_maps once for all of them."""
        wanted = [key for recipient in recipients for key in self._transport_keys(_address(recipient))[0]]
        for table in tables(self._host.effective("transport_maps")):
            if kind(table) not in WHOLE:
                self._lookup.prefetch(table, wanted)

    def route(self, recipient: str, sender: str = "") -> Route:
        """recipient: an address, or a domain, which stands for an address in it that no table names. Raises PostfixTlsError for a table that can't be asked."""
        address = _address(recipient)
        domain = address.rpartition("@")[2]
        transport, hop, because = self._by_class(domain, sender.lower())
        found = self._lookup.find(tables(self._host.effective("transport_maps")), *self._transport_keys(address))
        if found and because != "virtual_alias_domains":
            named, _colon, hop_named = found.value.partition(":")
            hop = hop_named or (domain if named else hop)
            transport, because = named or transport, "transport_maps (%s, %s)" % (found.table, found.key)
        hops = re.split(r"[,\s]+", hop) if self._host.version >= SEVERAL_SINCE else [hop]
        service = next((service for service in self._host.services if (service.name, service.kind) == (transport, "unix")), None)
        return Route(transport, service, tuple(looked_up(hop) for hop in hops if hop), because)

    def named_hops(self) -> set:
        """Every next hop that main.cf and tables name in so many words, where their tables can be listed."""
        host = self._host
        told = [(host.effective(name), True) for name in ("default_transport", "relay_transport")]
        told += [(host.effective(name), False) for name in ("relayhost", "smtp_fallback_relay")]
        for name in _NAMING:
            told += [(value, "transport" in name) for table in tables(host.effective(name)) for value in self._lookup.entries(table).values()]
        texts = [value.partition(":")[2] if with_transport else value for value, with_transport in told]
        return {hop.lower() for text in texts for hop in re.split(r"[,\s]+", text) if hop}

    def _by_class(self, domain: str, sender: str) -> tuple:
        """(transport, next hop, parameter that says so), before transport_maps."""
        host = self._host
        if self._in("mydestination", domain):
            return (*self._split(host.effective("local_transport"), domain), "mydestination")
        if self._in("virtual_alias_domains", domain):
            return "error", "", "virtual_alias_domains"
        if self._in("virtual_mailbox_domains", domain):
            return (*self._split(host.effective("virtual_transport"), domain), "virtual_mailbox_domains")
        named = "relay_transport" if self._in("relay_domains", domain) else "default_transport"
        chosen = host.effective(named)
        if named == "default_transport":
            found = self._by_sender("sender_dependent_default_transport_maps", sender)
            chosen, named = (found, "sender_dependent_default_transport_maps") if found else (chosen, named)
        transport, hop = self._split(chosen, "")
        if hop:
            return transport, hop, named
        relay = self._by_sender("sender_dependent_relayhost_maps", sender)
        if relay:
            return transport, relay, "sender_dependent_relayhost_maps"
        relay = host.effective("relayhost")
        return (transport, relay, "relayhost") if relay else (transport, domain, "the recipient's domain")

    def _by_sender(self, name: str, sender: str) -> str:
        """Source: postconf(5) empty_address_relayhost_maps_lookup_key; address_verify and canonical(5) for the order."""
        local, at, domain = sender.partition("@")
        extension = self._extension(local)
        keys = [sender or "<>"] + (["%s@%s" % (extension, domain)] if extension else []) + (["@" + domain] if at else [])
        found = self._lookup.find(tables(self._host.effective(name)), keys, 1 + bool(extension))
        return "" if not found or found.value.upper() == "DUNNO" else found.value

    def _transport_keys(self, address: str) -> tuple:
        """(keys in the order of transport(5), how many of them are whole addresses)"""
        local, _at, domain = address.rpartition("@")
        extension = self._extension(local)
        whole = [address] + (["%s@%s" % (extension, domain)] if extension else [])
        return [*whole, domain, *parents(domain, self._dotted), "*"], len(whole)

    def _extension(self, local: str) -> str:
        """A local part without its extension; "" where it has none."""
        found = [at for at in map(local.find, self._host.effective("recipient_delimiter")) if at > 0]
        return local[:min(found)] if found else ""

    def _in(self, name: str, domain: str) -> bool:
        """Whether a list of domains has it; subdomains count where postconf(5) parent_domain_matches_subdomains names the list."""
        below = name in tables(self._host.effective("parent_domain_matches_subdomains"))
        keys = [domain] + (parents(domain, not below) if name == "relay_domains" else [])
        return _listed(self._host.effective(name), keys, self._lookup)

    @staticmethod
    def _split(value: str, hop: str) -> tuple:
        transport, _colon, named = value.partition(":")
        return transport, named or hop


def looked_up(hop: str) -> str:
    """A next hop of lmtp(8) may say what kind of socket it is, which is no part of what is looked up: inet:mx.example.org:24. Source: lmtp(8)."""
    return re.sub("^inet:", "", hop)


def _address(recipient: str) -> str:
    return (recipient if "@" in recipient else "postmaster@%s" % recipient).lower()


def parents(domain: str, dotted: bool) -> list:
    """The domains above it, with a leading dot or without."""
    labels = domain.split(".")
    return [("." if dotted else "") + ".".join(labels[at:]) for at in range(1, len(labels))]


def _listed(text: str, keys: list, lookup: Lookup) -> bool:
    """Source: postconf(5) mydestination: patterns, files of patterns and tables; the first that matches decides, and ! turns it round."""
    for pattern in tables(text):
        word = pattern.lstrip("!")
        if word.startswith("/"):
            if os.path.exists(word):
                with open(word, encoding="utf-8", errors="replace") as file:
                    if _listed(re.sub(r"(?m)^#.*$", "", file.read()).replace("\n", " "), keys, lookup):
                        return word == pattern
        elif word.lower() in keys or (":" in word and not word.startswith("[") and lookup.find([word], keys, len(keys))):
            return word == pattern
    return False
