# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether a certificate is made out to a name. Source: RFC 9525 section 6; the subject's common name does not count."""
from __future__ import annotations

import socket


def covers(names: list, wanted: str) -> bool:
    """names: of a certificate, C(DNS:mx.example), C(DNS:*.example), C(IP:192.0.2.1). wanted: a host name or an address."""
    packed = packed_address(wanted)
    for kind, _colon, name in (entry.partition(":") for entry in names):
        if packed and kind == "IP" and packed_address(name) == packed:
            return True
        if not packed and kind == "DNS" and _same_host(name, wanted):
            return True
    return False


def verdict(made_out_to: list | None, wanted: str) -> dict:
    """{verdict, reason} on a certificate's names; None where they could not be read. wanted: as a target has it, A-labels or not."""
    if made_out_to is None:
        return {"verdict": "unknown", "reason": "the certificate's names could not be read"}
    covered = covers(made_out_to, wanted if packed_address(wanted) else ascii_name(wanted))
    shown = ", ".join(made_out_to[:10]) or "no name at all"
    return {"verdict": "pass" if covered else "fail", "reason": "the certificate is made out to %s" % shown}


def packed_address(text: str) -> bytes | None:
    """An IPv4 or IPv6 address as bytes, None for anything else."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, text)
        except (OSError, ValueError):
            pass
    return None


def ascii_name(name: str) -> str:
    """As it stands in DNS and in certificates: A-labels, no dot at the end. Raises UnicodeError for what DNS can't hold."""
    labels = name.rstrip(".").encode("idna").decode("ascii")
    if not labels:
        raise UnicodeError("nothing is left without the dots")
    return labels


def _same_host(pattern: str, wanted: str) -> bool:
    """A star stands for the whole leftmost label and nothing else, and never right above a top-level domain."""
    pattern, wanted = pattern.rstrip(".").lower(), wanted.rstrip(".").lower()
    first, _dot, rest = pattern.partition(".")
    if first != "*":
        return pattern == wanted and "*" not in pattern
    label, _dot, parent = wanted.partition(".")
    return bool(label) and "." in rest and "*" not in rest and parent == rest
