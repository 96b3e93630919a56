# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether a server speaks SSL 2.0, whose messages have a form of their own. A server that does gives away keys of TLS as well (CVE-2016-0800).

Source: "The SSL Protocol" (Hickman, 1995), sections 1.1, 2.5, 2.6 and 2.7; RFC 6101 appendix E.
"""
from __future__ import annotations

import os

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.server_flight import Alert

NAME = "SSLv2"
_VERSION = b"\x00\x02"
#: All there are: RC4, RC2, IDEA, DES, 3DES, and those for export.
_CIPHERS = bytes.fromhex("0700c0 050080 030080 010080 060040 040080 020080")
_ERROR, _SERVER_HELLO = 0, 4
_ALERT = 21
#: Bytes of a SERVER-HELLO's fixed part, with its header.
_FIXED = 13


def client_hello() -> bytes:
    body = b"\x01" + _VERSION + len(_CIPHERS).to_bytes(2, "big") + b"\x00\x00" + b"\x00\x10" + _CIPHERS + os.urandom(16)
    return (0x8000 | len(body)).to_bytes(2, "big") + body


def ask(connection: Connection) -> bool | Alert:
    """Whether it is spoken, as a SERVER-HELLO or an ERROR says; or the alert of a newer protocol that came instead.

    connection: where the server now expects a ClientHello. Raises PostfixTlsError for anything else.
    """
    connection.send(client_hello(), "taking a ClientHello")
    heard = b""
    while True:
        try:
            heard += connection.receive("answering a ClientHello of SSLv2")
        except PostfixTlsError as error:
            raise _none(error.reason) if heard else error
        if heard[0] == _ALERT and len(heard) >= 7:
            return Alert(heard[6])
        if heard[0] & 0x80 and len(heard) >= 5 and heard[2] == _ERROR:
            return False
        if heard[0] & 0x80 and len(heard) >= _FIXED and heard[2] == _SERVER_HELLO:
            return heard[5:7] == _VERSION
        if len(heard) >= _FIXED or heard[0] != _ALERT and not heard[0] & 0x80:
            raise _none("that is none")


def _none(reason: str) -> PostfixTlsError:
    return PostfixTlsError("the server's answer to a ClientHello of SSLv2", "", reason, "Look at what listens there.")
