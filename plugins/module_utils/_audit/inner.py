# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Inner hops: deliveries to a content filter on another host, or to the store of this host's own domains. They are not the partner.

Source: FILTER_README, postconf(5) content_filter, access(5) FILTER, ADDRESS_CLASS_README.
"""
from __future__ import annotations

import re
from typing import Iterator, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup, tables
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance

_OWN = ("mydestination", "virtual_mailbox_domains", "relay_domains")
#: Parameters whose tables may answer C(FILTER transport:nexthop).
_ASKING = re.compile(r".*_(?:restrictions|checks)")
_TABLE = re.compile(r"[a-z]+:(/[^\s,{}]+)")
_FILTER = re.compile(r"\bFILTER\s+(\S+)")
_NEXT_HOP = re.compile(r"\[?(?:ipv6:)?(?P<host>[^\[\]\s]+?)\]?(?::(?P<port>[0-9]+))?", re.IGNORECASE)
#: Bytes of a table's source that are read.
_MOST = 4 << 20


class InnerHops(NamedTuple):
    """filters: (host or address in lower case, port), as the relay of a delivery is logged. domains: this host's own, in lower case."""

    filters: frozenset = frozenset()
    domains: frozenset = frozenset()


def inner_hops(host: Instance) -> InnerHops:
    """Of the configuration of today; tables that can't be listed name no domain here."""
    lookup = Lookup(host.run, host.directory)
    domains = {name.lower() for parameter in _OWN for name in _domains(host.effective(parameter), lookup)}
    filters = {hop for text in _filters(host) for hop in _relay(text)}
    return InnerHops(frozenset(filters), frozenset(name.encode() for name in domains))


def _domains(text: str, lookup: Lookup) -> Iterator[str]:
    for word in tables(text):
        if ":" in word and not word.startswith("["):
            yield from lookup.entries(word)
        elif not word.startswith(("/", "!")):
            yield word


def _filters(host: Instance) -> Iterator[str]:
    """Each C(transport:nexthop) that mail is filtered by."""
    parameters = [host.values, *(service.overrides for service in host.services)]
    for values in parameters:
        yield host.expanded(values.get("content_filter", ""))
    texts = [value for values in parameters for name, value in values.items() if _ASKING.fullmatch(name)]
    for path in sorted({path for text in texts for path in _TABLE.findall(text)}):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                yield from _FILTER.findall(file.read(_MOST))
        except OSError:
            continue  # nothing to filter by, or nothing that Postfix could read either


def _relay(text: str) -> Iterator[tuple]:
    match = _NEXT_HOP.fullmatch(text.partition(":")[2])
    if match:
        yield match.group("host").lower().encode(), (match.group("port") or "25").encode()
