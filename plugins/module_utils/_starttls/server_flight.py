# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a server answers to a ClientHello, read from its bytes: ServerHello, HelloRetryRequest or alert.

Source: RFC 5246 sections 6.2.1, 7.2 and 7.4.1.3; RFC 8446 sections 4.1.3, 4.1.4 and 6.
"""
from __future__ import annotations

from typing import NamedTuple, Optional, Union

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO = 2
_LONGEST_RECORD = 2 ** 14  # RFC 5246 section 6.2.1, for plaintext
# A ServerHello takes a hundred bytes of one record. These bounds keep a server that dribbles from costing us more than time.
_LONGEST_HELLO = 2 ** 12
_MOST_RECORDS = 16
_SUPPORTED_VERSIONS = 43
_WARNING, _UNRECOGNIZED_NAME = 1, 112
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

#: Descriptions of IANA's registry of alerts that a server may send instead of a ServerHello.
ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
    47: "illegal_parameter", 50: "decode_error", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
    86: "inappropriate_fallback", 90: "user_canceled", 109: "missing_extension", 110: "unsupported_extension",
    112: "unrecognized_name", 116: "certificate_required", 120: "no_application_protocol",
}


class Alert(NamedTuple):
    description: int

    def __str__(self) -> str:
        return "alert %s" % ALERTS.get(self.description, self.description)


class ServerHello(NamedTuple):
    """version: on the wire, of TLS 1.3 as its extension says. suite: IANA's number. retry: it was a HelloRetryRequest."""

    version: int
    suite: int
    retry: bool


class _Cut(Exception):
    """The bytes end before what they announce."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise _Cut()
        self.at += count
        return self.data[self.at - count:self.at]

    def rest(self) -> bytes:
        return self.data[self.at:]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))


def parse(data: bytes) -> Optional[Union[ServerHello, Alert]]:
    """The first message of all that was received so far; None while it is not complete.

    Raises PostfixTlsError for bytes that can't become one.
    """
    reader, handshake = _Reader(data), b""
    for _record in range(_MOST_RECORDS):
        try:
            kind, major, _minor, length = reader.number(1), reader.number(1), reader.number(1), reader.number(2)
            if kind not in (_ALERT, _HANDSHAKE) or major != 3 or not 0 < length <= _LONGEST_RECORD:
                raise malformed("that is no TLS record of a ServerHello or an alert")
            if kind == _ALERT:
                level, description = reader.number(1), reader.number(1)
                reader.take(length - 2)
                if (level, description) != (_WARNING, _UNRECOGNIZED_NAME):
                    return Alert(description)
                continue
            # A record that also holds the certificates may still be on its way when its ServerHello is complete.
            content = reader.rest()[:length]
            handshake += content
            hello = _server_hello(handshake)
            if hello:
                return hello
            reader.take(length)
        except _Cut:
            return None
    raise malformed("a ServerHello does not take more than %d records" % _MOST_RECORDS)


def _server_hello(handshake: bytes) -> Optional[ServerHello]:
    if len(handshake) < 4:
        return None
    length = int.from_bytes(handshake[1:4], "big")
    if handshake[0] != _SERVER_HELLO or length > _LONGEST_HELLO:
        raise malformed("that is no ServerHello")
    if len(handshake) < 4 + length:
        return None
    try:
        return _hello_body(_Reader(handshake[4:4 + length]))
    except _Cut:
        raise malformed("the ServerHello is shorter than it says") from None


def _hello_body(reader: _Reader) -> ServerHello:
    version, random = reader.number(2), reader.take(32)
    reader.vector(1)  # session id
    suite = reader.number(2)
    reader.number(1)  # compression
    extensions = _Reader(reader.vector(2) if reader.rest() else b"")
    while extensions.rest():
        number, content = extensions.number(2), extensions.vector(2)
        if number == _SUPPORTED_VERSIONS:
            version = _Reader(content).number(2)
    return ServerHello(version, suite, random == _RETRY_RANDOM)


def malformed(reason: str) -> PostfixTlsError:
    return PostfixTlsError("the server's answer to a ClientHello", "", reason, "Look at what listens there.")
