# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a server answers to a ClientHello, read from its bytes: an alert, or its flight.

Up to TLS 1.2 the flight is in the clear: ServerHello, Certificate, ServerKeyExchange, ServerHelloDone. Of TLS 1.3 only the
ServerHello or HelloRetryRequest is, and the rest, Certificate and CertificateVerify, is read where C(tls13) can. Source: RFC 5246
sections 6.2.1, 7.2 and 7.4; RFC 8422 section 5.4; RFC 8446 sections 4.1.3, 4.1.4, 4.2.8, 4.4, 5 and 6.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Union

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import tls13

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _SEALED = 20, 21, 22, 23
_SERVER_HELLO, _CERTIFICATE, _SERVER_KEY_EXCHANGE, _SERVER_HELLO_DONE, _CERTIFICATE_VERIFY = 2, 11, 12, 14, 15
_LONGEST_RECORD = 2 ** 14  # RFC 5246 section 6.2.1, for plaintext
_LONGEST_SEALED = 2 ** 14 + 256  # RFC 8446 section 5.2
# These bounds keep a server that dribbles from costing more than time: a ServerHello takes a hundred bytes of one record, and the
# longest chains in the wild a tenth of the second one.
_LONGEST_HELLO, _LONGEST_MESSAGE = 2 ** 12, 2 ** 17
_MOST_RECORDS = 64
_SUPPORTED_VERSIONS, _COOKIE, _KEY_SHARE = 43, 44, 51
#: RFC 8446 section 4.1.3: the random of a ServerHello that is a HelloRetryRequest.
_ASKS_AGAIN = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_TLS12, _TLS13 = 0x0303, 0x0304
_WARNING, _UNRECOGNIZED_NAME = 1, 112

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
    """version: on the wire, of TLS 1.3 as its extension says. suite, group, extensions: IANA's numbers.

    group: that of TLS 1.3's key share, None before. share: the server's public key in it. A HelloRetryRequest is one, too, which asks
    again: for a share of that group, and for its cookie.
    """

    version: int
    suite: int
    compression: int = 0
    extensions: frozenset = frozenset()
    group: Optional[int] = None
    share: bytes = b""
    asks_again: bool = False
    cookie: bytes = b""


class KeyExchange(NamedTuple):
    """group: IANA's number of the curve; or dh_bits: size of the prime. signature: IANA's number of the scheme, from TLS 1.2 on."""

    group: Optional[int] = None
    dh_bits: Optional[int] = None
    signature: Optional[int] = None


@dataclass
class ServerFlight:
    """Grows by feed. certificates: DER as sent, leaf first. done: nothing more comes that can be read.

    How a ServerKeyExchange is to be read depends on the suite; dhe: numbers of those that exchange keys over a prime. decryption: where
    the ClientHello had shares. wanted: the HelloRetryRequest that waits for another ClientHello.
    """

    dhe: frozenset = frozenset()
    decryption: Optional[tls13.Decryption] = None
    alert: Optional[Alert] = None
    hello: Optional[ServerHello] = None
    wanted: Optional[ServerHello] = None
    certificates: tuple = ()
    key_exchange: Optional[KeyExchange] = None
    done: bool = False
    _header: bytes = b""
    _left: int = 0  # bytes of the current record that are still to come
    _kind: int = 0
    _records: int = 0
    _pending: bytearray = field(default_factory=bytearray)  # of the current alert, or of handshake messages
    _sealed: bytearray = field(default_factory=bytearray)  # of the current record, where it is encrypted
    _asked: bytes = b""  # the HelloRetryRequest

    @property
    def answer(self) -> Optional[Union[ServerHello, Alert]]:
        """What decides: the first of both; None while neither is complete."""
        return self.hello or self.alert

    @property
    def refusal(self) -> Optional[Alert]:
        """The alert that came instead of a ServerHello, or behind one of TLS 1.3 instead of what it begins."""
        unfinished = self.hello is None or self.decryption is not None and not self.certificates
        return self.alert if unfinished else None

    def asked_again(self, client_hello: bytes) -> None:
        """client_hello: the second one, a handshake message, to be sent now."""
        try:
            self.decryption.asked_again(self.wanted.suite, self._asked, client_hello)
        except tls13.Unreadable:
            self.decryption = None
        self.wanted = None

    def feed(self, data: bytes) -> None:
        """Takes what came next. Raises PostfixTlsError for bytes that can't become a flight."""
        while data and not (self.done or self.alert):
            if not self._left:
                wanted = 5 - len(self._header)
                self._header, data = self._header + data[:wanted], data[wanted:]
                self._begin_record()
            taken, data = data[:self._left], data[self._left:]
            self._left -= len(taken)
            complete = not self._left and self._header == b""
            if self._kind == _HANDSHAKE:
                self._pending += taken
                self._take_messages()
            elif self._kind == _ALERT:
                self._pending += taken
                if complete:
                    self._take_alert()
            elif self._kind == _SEALED:
                self._sealed += taken
                if complete:
                    self._open()

    def _begin_record(self) -> None:
        header = self._header
        self._kind = header[0]
        sealed = self._encrypted and self._kind in (_CHANGE_CIPHER_SPEC, _SEALED)
        if not sealed and self._kind not in (_ALERT, _HANDSHAKE) or len(header) > 1 and header[1] != 3 or self._kind == _ALERT and self._pending:
            raise self._malformed()
        if len(header) < 5:
            return
        self._header = b""
        self._left = int.from_bytes(header[3:], "big")
        self._records += 1
        if not 0 < self._left <= (_LONGEST_SEALED if sealed else _LONGEST_RECORD):
            raise self._malformed()
        if self._records > _MOST_RECORDS:
            raise malformed("it takes more than %d records" % _MOST_RECORDS)

    @property
    def _encrypted(self) -> bool:
        """Whether what comes now may be: behind a ServerHello of TLS 1.3."""
        return self.decryption is not None and self.hello is not None and self.hello.version == _TLS13

    def _open(self) -> None:
        record = bytes(self._sealed)
        self._sealed.clear()
        try:
            kind, content = self.decryption.open(record)
        except tls13.Unreadable:
            raise malformed("a record that can't be decrypted") from None
        if kind not in (_ALERT, _HANDSHAKE) or kind == _ALERT and self._pending:
            raise malformed("a record that can't be decrypted, or is none of a handshake")
        self._pending += content
        if kind == _ALERT:
            self._take_alert()
        else:
            self._take_messages()

    def _take_alert(self) -> None:
        if len(self._pending) < 2:
            raise self._malformed()
        level, description = self._pending[:2]
        self._pending.clear()
        if (level, description) != (_WARNING, _UNRECOGNIZED_NAME):
            self.alert = Alert(description)
            self.done = self.hello is not None

    def _take_messages(self) -> None:
        # A record that also holds the certificates may still be on its way when its ServerHello is complete.
        while len(self._pending) >= 4 and not self.done and not self.wanted:
            kind, length = self._pending[0], int.from_bytes(self._pending[1:4], "big")
            if self.hello is None and (kind != _SERVER_HELLO or length > _LONGEST_HELLO):
                raise malformed("that is no ServerHello")
            if length > _LONGEST_MESSAGE:
                raise malformed("a message of %d bytes" % length)
            if len(self._pending) < 4 + length:
                return
            message = bytes(self._pending[:4 + length])
            del self._pending[:4 + length]
            try:
                self._take(kind, _Reader(message[4:]), message)
            except _Cut:
                raise malformed("the %s is shorter than it says" % _MESSAGES[kind]) from None

    def _take(self, kind: int, body: _Reader, message: bytes) -> None:
        newest = self.hello is not None and self.hello.version >= _TLS13
        if kind == _SERVER_HELLO:
            self._take_hello(_server_hello(body), message)
        elif kind == _CERTIFICATE:
            self.certificates = _certificates(body, newest)
        elif kind == _SERVER_KEY_EXCHANGE and not newest:
            self.key_exchange = _key_exchange(body, self.hello, self.hello.suite in self.dhe)
        elif kind == _CERTIFICATE_VERIFY and newest:
            self.key_exchange = KeyExchange(self.hello.group, None, body.number(2))
            self.done = True
        elif kind == _SERVER_HELLO_DONE:
            self.done = True

    def _take_hello(self, hello: ServerHello, message: bytes) -> None:
        again = self.hello is not None
        self.hello = hello
        if hello.version < _TLS13:
            return
        if self.decryption is None or hello.version > _TLS13 or again and not self._asked:
            self.done = True
        elif hello.asks_again:
            self.done = again or hello.group is None
            self.wanted, self._asked = None if self.done else hello, message
        else:
            try:
                self.decryption.agree(hello.suite, hello.group, hello.share, message)
            except tls13.Unreadable:
                self.done = True

    def _malformed(self) -> PostfixTlsError:
        return malformed("that is no TLS record of a ServerHello or an alert")


_MESSAGES = {
    _SERVER_HELLO: "ServerHello", _CERTIFICATE: "Certificate", _SERVER_KEY_EXCHANGE: "ServerKeyExchange", _CERTIFICATE_VERIFY: "CertificateVerify",
}


class _Cut(Exception):
    """The bytes end before what they announce."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise _Cut()
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))


def _server_hello(body: _Reader) -> ServerHello:
    version, random = body.number(2), body.take(32)
    body.vector(1)  # session id
    suite, compression, group = body.number(2), body.number(1), None
    numbers, share, cookie = set(), b"", b""
    extensions = _Reader(body.vector(2) if body else b"")
    while extensions:
        number, content = extensions.number(2), _Reader(extensions.vector(2))
        numbers.add(number)
        if number == _SUPPORTED_VERSIONS:
            version = content.number(2)
        elif number == _KEY_SHARE:
            group, share = content.number(2), content.vector(2) if content else b""
        elif number == _COOKIE:
            cookie = content.vector(2)
    return ServerHello(version, suite, compression, frozenset(numbers), group, share, random == _ASKS_AGAIN, cookie)


def _certificates(body: _Reader, newest: bool) -> tuple:
    """newest: as TLS 1.3 has it, with a context in front and extensions behind each."""
    if newest:
        body.vector(1)
    listed, found = _Reader(body.vector(3)), []
    while listed:
        found.append(listed.vector(3))
        if newest:
            listed.vector(2)
    return tuple(found)


def _key_exchange(body: _Reader, hello: ServerHello, dhe: bool) -> KeyExchange:
    group = dh_bits = None
    if dhe:
        dh_bits = int.from_bytes(body.vector(2), "big").bit_length()
        body.vector(2)  # generator
        body.vector(2)  # the server's public value
    elif body.number(1) == 3:  # named_curve
        group = body.number(2)
        body.vector(1)
    else:
        return KeyExchange()
    signed = bool(body)  # an anonymous server signs nothing
    return KeyExchange(group, dh_bits, body.number(2) if signed and hello.version == _TLS12 else None)


def malformed(reason: str) -> PostfixTlsError:
    return PostfixTlsError("the server's answer to a ClientHello", "", reason, "Look at what listens there.")
