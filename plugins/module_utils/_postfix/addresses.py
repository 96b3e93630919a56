# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Where Postfix listens, in the forms that its own parameters and master.cf have: postconf(5) inet_interfaces, inet_protocols,
master_service_disable; master(5).

Only master.cf may write C([ipv6:ADDRESS]); in C(inet_interfaces) Postfix takes that for a host name and does not start.
"""
from __future__ import annotations

import ipaddress
import re
import socket

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

#: {what stands for addresses: those it stands for, as (IPv4, IPv6)}
WILDCARDS = {"all": ("0.0.0.0", "::"), "loopback-only": ("127.0.0.1", "::1")}
_SEPARATORS = ", \t\r\n"


def split(service: str) -> tuple:
    """(host or "", port) of an inet service's name, as in C([ipv6:::1]:25), C(127.0.0.1:smtp) or C(submission)."""
    host, _colon, port = service.rpartition(":")
    return re.sub(r"^\[(?:ipv6:)?(.*)\]$", r"\1", host, flags=re.IGNORECASE), port


def interfaces(text: str) -> list:
    """The addresses and names of a value of inet_interfaces; all where it is empty."""
    return [re.sub(r"^\[(.*)\]$", r"\1", word) for word in words(text, _SEPARATORS)] or ["all"]


def own_loopback(inet_protocols: str) -> str:
    """The loopback address that a listener of every address can be reached at."""
    enabled = words(inet_protocols, _SEPARATORS)
    return "::1" if "ipv6" in enabled and not {"ipv4", "all"} & set(enabled) else "127.0.0.1"


def is_loopback(interface: str) -> bool:
    """Whether only the host itself reaches it. A name is as the host resolves it: of Debian's, myhostname is often 127.0.1.1."""
    if interface in WILDCARDS:
        return interface == "loopback-only"
    try:
        return ipaddress.ip_address(interface).is_loopback
    except ValueError:
        pass
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(interface, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return interface == "localhost"
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def reached_at(interface: str, loopback: str) -> str:
    """What to connect to from the host itself."""
    return {"all": loopback, "loopback-only": loopback, "localhost": loopback, "0.0.0.0": "127.0.0.1", "::": "::1"}.get(interface, interface)


def opened(master_service_disable: str, name: str, kind: str) -> bool:
    """Whether master(8) opens a service of this name and kind. The first pattern that matches decides; with a ! before it, it is opened."""
    for word in words(re.sub(r"!\s+", "!", master_service_disable), _SEPARATORS):
        pattern = word.lstrip("!").lower().replace("/", ".")
        if pattern in (kind.lower(), ("%s.%s" % (name, kind)).lower()):
            return word.startswith("!")
    return True
