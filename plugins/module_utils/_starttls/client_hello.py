# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A ClientHello that offers exactly one protocol version, as bytes.

Python's ssl offers only what the local OpenSSL and its system-wide policy allow: no SSLv3, often no TLS 1.0. These bytes do
not depend on either. Source: RFC 6101 section 5.6.1.2, RFC 5246 section 7.4.1.2, RFC 8446 section 4.1.2, RFC 8422, RFC 6066.
"""
from __future__ import annotations

import os
import struct

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.groups import GROUPS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.signatures import SIGNATURES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_NAME, Version

_SECURE_RENEGOTIATION = 0x00FF  # RFC 5746 section 3.3: the way to say it without extensions


def client_hello(version: str, server_name: str | None) -> bytes:
    """One record. version: a name of C(_tls.versions). server_name: for SNI, an ASCII host name, or None."""
    asked = BY_NAME[version]
    tls13 = asked.wire >= BY_NAME["TLSv1.3"].wire
    offered = suites.tls13() if tls13 else suites.classic()
    body = struct.pack("!H", min(asked.wire, BY_NAME["TLSv1.2"].wire)) + os.urandom(32)
    # RFC 8446 appendix D.4: a session id makes middleboxes take TLS 1.3 for a resumed TLS 1.2.
    body += _vector(1, os.urandom(32) if tls13 else b"")
    body += _vector(2, _numbers(offered + (_SECURE_RENEGOTIATION,))) + _vector(1, b"\x00")
    if asked.name != "SSLv3":
        body += _vector(2, _extensions(asked, server_name))
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BH", 22, min(asked.wire, BY_NAME["TLSv1"].wire)) + _vector(2, handshake)


def _extensions(asked: Version, server_name: str | None) -> bytes:
    content = [
        (10, _vector(2, _numbers(group.code for group in GROUPS))),
        (11, _vector(1, b"\x00")),
        (23, b""),  # extended master secret
    ]
    if server_name:
        content.insert(0, (0, _vector(2, b"\x00" + _vector(2, server_name.encode("ascii")))))
    if asked.wire >= BY_NAME["TLSv1.2"].wire:
        content.append((13, _vector(2, _numbers(signature.code for signature in SIGNATURES))))
    if asked.name == "TLSv1.3":
        # An empty key share makes the server name a group in a HelloRetryRequest, so that we need no key.
        content += [(43, _vector(1, _numbers([asked.wire]))), (45, _vector(1, b"\x01")), (51, _vector(2, b""))]
    return b"".join(struct.pack("!H", number) + _vector(2, data) for number, data in content)


def _vector(width: int, data: bytes) -> bytes:
    """data behind its own length in width bytes."""
    return len(data).to_bytes(width, "big") + data


def _numbers(values) -> bytes:
    return b"".join(struct.pack("!H", value) for value in values)
