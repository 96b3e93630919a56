# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A ClientHello that offers exactly one protocol version, as bytes.

Python's ssl offers only what the local OpenSSL and its system-wide policy allow: no SSLv3, often no TLS 1.0. These bytes do
not depend on either. Source: RFC 6101 section 5.6.1.2, RFC 5246 section 7.4.1.2, RFC 8446 section 4.1.2, RFC 8422, RFC 6066.
"""
from __future__ import annotations

import os
import struct
from typing import NamedTuple, Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import tls13
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites as suite_table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.groups import GROUPS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.signatures import SIGNATURES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_NAME, Version

_SECURE_RENEGOTIATION = 0x00FF  # RFC 5746 section 3.3: the way to say it without extensions
_GROUPS = tuple(group.code for group in GROUPS)
_SIGNATURES = tuple(signature.code for signature in SIGNATURES)


class Offer(NamedTuple):
    """What one ClientHello offers. version: a name of C(_tls.versions). suites, groups, signatures: IANA's numbers, None for all.

    compression: offer DEFLATE (RFC 3749) as well.
    """

    version: str
    suites: Optional[tuple] = None
    groups: Optional[tuple] = None
    signatures: Optional[tuple] = None
    compression: bool = False


def client_hello(offer: Offer, server_name: str | None, shares: tuple = (), again: tuple = ()) -> bytes:
    """One record. server_name: for SNI, an ASCII host name, or None.

    shares: groups for which a public key is sent, so that the answer can be read whole (C(tls13)); without one, a TLS 1.3 server names a
    group in a HelloRetryRequest. again: (the first ClientHello, the server's cookie), where one came.
    """
    asked = BY_NAME[offer.version]
    newest = asked.name == "TLSv1.3"
    suites = offer.suites or (suite_table.tls13() if newest else suite_table.classic())
    first, cookie = again or (b"", b"")
    body = struct.pack("!H", min(asked.wire, BY_NAME["TLSv1.2"].wire)) + (first[11:43] or os.urandom(32))
    # RFC 8446 appendix D.4: a session id makes middleboxes take TLS 1.3 for a resumed TLS 1.2.
    body += _vector(1, (first[44:76] or os.urandom(32)) if newest else b"")
    body += _vector(2, _numbers((*suites, _SECURE_RENEGOTIATION))) + _vector(1, b"\x01\x00" if offer.compression else b"\x00")
    if asked.name != "SSLv3":
        extensions = _extensions(asked, offer, server_name) + (_opening(asked, shares, cookie) if newest else [])
        body += _vector(2, b"".join(struct.pack("!H", number) + _vector(2, data) for number, data in extensions))
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BH", 22, min(asked.wire, BY_NAME["TLSv1"].wire)) + _vector(2, handshake)


def _extensions(asked: Version, offer: Offer, server_name: str | None) -> list:
    """[(number, content)]"""
    content = [
        (10, _vector(2, _numbers(offer.groups or _GROUPS))),
        (11, _vector(1, b"\x00")),
        (22, b""),  # encrypt then MAC
        (23, b""),  # extended master secret
    ]
    if server_name:
        content.insert(0, (0, _vector(2, b"\x00" + _vector(2, server_name.encode("ascii")))))
    if asked.wire >= BY_NAME["TLSv1.2"].wire:
        content.append((13, _vector(2, _numbers(offer.signatures or _SIGNATURES))))
        # Of what is within certificates all is taken, so that the server's key alone decides which one fits (RFC 8446 section 4.2.3).
        content.append((50, _vector(2, _numbers(_SIGNATURES))))
    return content


def _opening(asked: Version, shares: tuple, cookie: bytes) -> list:
    """What TLS 1.3 has besides."""
    listed = b"".join(struct.pack("!H", group) + _vector(2, tls13.share(group)) for group in shares)
    content = [(43, _vector(1, _numbers([asked.wire]))), (45, _vector(1, b"\x01")), (51, _vector(2, listed))]
    return content + ([(44, _vector(2, cookie))] if cookie else [])


def _vector(width: int, data: bytes) -> bytes:
    """data behind its own length in width bytes."""
    return len(data).to_bytes(width, "big") + data


def _numbers(values) -> bytes:
    return b"".join(struct.pack("!H", value) for value in values)
