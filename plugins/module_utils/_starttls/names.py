# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether a certificate is made out to a name, by OpenSSL's rules as Postfix asks for them from 3.6 on (SSL_set_hostflags(3)).

Source: RFC 9525 section 6, X509_check_host(3) with X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS. The subject's common name does not count.
"""
from __future__ import annotations

import re
import socket

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.idna import a_labels

#: A star for the whole leftmost label, and two labels or more behind it, of letters, digits, and hyphens in between.
_STARRED = re.compile(r"\*((?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?){2,})")
#: What a star may stand for: no underscore.
_LABEL = re.compile(r"[a-z0-9-]+")
_VISIBLE = re.compile(r"[!-~]+")


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
    """As it stands in DNS and in certificates: A-labels, without the one dot that a name may end in. Raises UnicodeError for what DNS can't hold."""
    labels = a_labels(name)
    if not _VISIBLE.fullmatch(labels):
        raise UnicodeError("a host name has no blank and no control character")
    return labels[:-1] if labels.endswith(".") else labels


def _same_host(pattern: str, wanted: str) -> bool:
    """wanted: in ASCII; of its dots, the one at the end does not count. Of the pattern every dot counts: what is behind it is a label without letters."""
    pattern, wanted = pattern.lower(), (wanted[:-1] if wanted.endswith(".") else wanted).lower()
    if "*" not in pattern:
        return bool(pattern) and pattern == wanted
    starred, (label, dot, parent) = _STARRED.fullmatch(pattern), wanted.partition(".")
    return bool(starred and _LABEL.fullmatch(label)) and starred.group(1) == dot + parent
