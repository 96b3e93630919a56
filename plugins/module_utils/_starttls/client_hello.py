# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A ClientHello that offers exactly one protocol version, as bytes.

Python's ssl offers only what the local OpenSSL and its system-wide policy allow: no SSLv3, often no TLS 1.0. These bytes do
not depend on either. Source: RFC 6101 section 5.6.1.2, RFC 5246 section 7.4.1.2, RFC 8446 section 4.1.2, RFC 8422, RFC 6066.
"""
from __future__ import annotations

import os
import struct

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_NAME, Version

#: First and last code of runs in IANA's registry of cipher suites, the usual ones first: whoever asks for a version takes any.
#: Left out: suites that need a shared secret (PSK, Kerberos), which no mail server could answer to a stranger.
_CLASSIC_SUITES = (
    (0xC02B, 0xC030),  # ECDHE with AES-GCM
    (0xCCA8, 0xCCAA),  # ECDHE and DHE with ChaCha20
    (0xC007, 0xC014), (0xC023, 0xC028),  # ECDHE with AES-CBC, 3DES, RC4
    (0x009C, 0x009F), (0x0067, 0x006B), (0x002F, 0x0039), (0x003C, 0x0040),  # RSA and DHE with AES
    (0x0041, 0x0045), (0x0084, 0x0088), (0x00BA, 0x00C4), (0xC072, 0xC077),  # Camellia
    (0xC09C, 0xC0A3), (0xC0AC, 0xC0AF), (0xC050, 0xC053), (0xC05C, 0xC05D), (0xC060, 0xC061),  # AES-CCM, ARIA-GCM
    (0x0096, 0x009A), (0x0003, 0x0016),  # SEED, 3DES, DES, RC4, export
    (0xC015, 0xC019), (0x0017, 0x001B), (0x0034, 0x0034), (0x003A, 0x003A), (0x006C, 0x006D), (0x00A6, 0x00A7),  # anonymous
    (0x0001, 0x0002),  # no encryption
)
_TLS13_SUITES = ((0x1301, 0x1305),)
_SECURE_RENEGOTIATION = 0x00FF  # RFC 5746 section 3.3: the way to say it without extensions

_GROUPS = (
    0x11EC, 0x001D, 0x0017, 0x0018, 0x001E, 0x0019,  # X25519MLKEM768, x25519, P-256, P-384, x448, P-521
    0x001A, 0x001B, 0x001C, 0x0015,  # brainpool 256, 384 and 512, P-224
    0x0100, 0x0101, 0x0102, 0x0103, 0x0104,  # ffdhe2048 to ffdhe8192
)
_SIGNATURES = (
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808,  # ECDSA with SHA-2, Ed25519, Ed448
    0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B,  # RSA-PSS
    0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0203, 0x0201, 0x0202,  # RSA with SHA-2; SHA-224, SHA-1, DSA
)


def client_hello(version: str, server_name: str | None) -> bytes:
    """One record. version: a name of C(_tls.versions). server_name: for SNI, an ASCII host name, or None."""
    asked = BY_NAME[version]
    tls13 = asked.wire >= BY_NAME["TLSv1.3"].wire
    runs = _TLS13_SUITES if tls13 else _CLASSIC_SUITES
    suites = [code for first, last in runs for code in range(first, last + 1)] + [_SECURE_RENEGOTIATION]
    body = struct.pack("!H", min(asked.wire, BY_NAME["TLSv1.2"].wire)) + os.urandom(32)
    # RFC 8446 appendix D.4: a session id makes middleboxes take TLS 1.3 for a resumed TLS 1.2.
    body += _vector(1, os.urandom(32) if tls13 else b"")
    body += _vector(2, _numbers(suites)) + _vector(1, b"\x00")
    if asked.name != "SSLv3":
        body += _vector(2, _extensions(asked, server_name))
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BH", 22, min(asked.wire, BY_NAME["TLSv1"].wire)) + _vector(2, handshake)


def _extensions(asked: Version, server_name: str | None) -> bytes:
    content = [
        (10, _vector(2, _numbers(_GROUPS))),
        (11, _vector(1, b"\x00")),
        (23, b""),  # extended master secret
    ]
    if server_name:
        content.insert(0, (0, _vector(2, b"\x00" + _vector(2, server_name.encode("ascii")))))
    if asked.wire >= BY_NAME["TLSv1.2"].wire:
        content.append((13, _vector(2, _numbers(_SIGNATURES))))
    if asked.name == "TLSv1.3":
        # An empty key share makes the server name a group in a HelloRetryRequest, so that we need no key.
        content += [(43, _vector(1, _numbers([asked.wire]))), (45, _vector(1, b"\x01")), (51, _vector(2, b""))]
    return b"".join(struct.pack("!H", number) + _vector(2, data) for number, data in content)


def _vector(width: int, data: bytes) -> bytes:
    """data behind its own length in width bytes."""
    return len(data).to_bytes(width, "big") + data


def _numbers(values) -> bytes:
    return b"".join(struct.pack("!H", value) for value in values)
