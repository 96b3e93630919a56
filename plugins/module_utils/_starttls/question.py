# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether a server accepts what one ClientHello offers. Refused is only what the server itself refuses; everything else is unknown."""
from __future__ import annotations

import time
from typing import NamedTuple, Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import sslv2, tls13
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer, client_hello
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.server_flight import Alert, ServerFlight
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_WIRE

#: Alerts that answer the question: handshake_failure, protocol_version, insufficient_security, inappropriate_fallback.
#: Others, internal_error for one, may speak of the server's own state.
_REFUSALS = (40, 70, 71, 86)
#: Those of them with which a server may end what it does not take all the same: close_notify, unexpected_message, illegal_parameter,
#: decode_error, internal_error, missing_extension, unsupported_extension.
_ENDS = (0, 10, 47, 50, 80, 109, 110)
#: The manner of an end in which nothing is said. Whether it is a close or a reset depends on what the server had read.
CLOSED = "closed without an alert"
#: Seconds within which an end is one of this ClientHello, and not of the server's patience.
_AT_ONCE = 5.0
_DHE = frozenset(suite.code for suite in suites.SUITES if suite.exchange == "DHE")


class Answer(NamedTuple):
    """verdict: accepted, refused or unknown. flight: what was read of the server's, None where no ClientHello was sent.

    end: in which manner the server ended it right behind the ClientHello, where that alone is no refusal; else None.
    """

    verdict: str
    reason: str
    flight: Optional[ServerFlight] = None
    end: Optional[str] = None

    def told(self) -> dict:
        """As in RV(results)."""
        return {"verdict": self.verdict, "reason": self.reason}


def ask(connection: Connection, offer: Offer, server_name: str | None, whole: bool = False) -> Answer:
    """connection: where the server now expects a ClientHello. whole: wait for certificates and key exchange, too.

    Of TLS 1.3 that is so unless groups are asked about: who brings a key for one of them has the server take that.
    """
    if offer.version == sslv2.NAME:
        return _ask_for_sslv2(connection)
    shares = tls13.AT_ONCE if whole and offer.version == "TLSv1.3" and offer.groups is None else ()
    hello = client_hello(offer, server_name, shares)
    flight, heard, started = ServerFlight(_DHE, tls13.Decryption(hello[5:]) if shares else None), False, time.monotonic()
    try:
        connection.send(hello, "taking a ClientHello")
        while not (flight.done if whole else flight.answer) and not flight.alert:
            data = connection.receive("answering a ClientHello")
            heard = True
            flight.feed(data)
            if flight.wanted:
                if not _ask_again(connection, flight, offer, server_name, hello):
                    break
                heard = False
    except PostfixTlsError as error:
        if not (flight.hello and heard):
            at_once = error.details.get("closed") and not heard and time.monotonic() - started < _AT_ONCE
            return Answer("unknown", error.reason, flight, CLOSED if at_once else None)
    return _judged(flight, offer)


def _ask_for_sslv2(connection: Connection) -> Answer:
    flight, started = ServerFlight(), time.monotonic()
    try:
        spoken = sslv2.ask(connection)
    except PostfixTlsError as error:
        at_once = error.details.get("closed") and time.monotonic() - started < _AT_ONCE
        return Answer("unknown", error.reason, flight, CLOSED if at_once else None)
    if isinstance(spoken, bool):
        return Answer("accepted", "SERVER-HELLO with SSLv2", flight) if spoken else Answer("refused", "ERROR, or SERVER-HELLO with another version", flight)
    return _of_alert(spoken, flight)


def _ask_again(connection: Connection, flight: ServerFlight, offer: Offer, server_name: str | None, hello: bytes) -> bool:
    """Whether what a HelloRetryRequest wants could be said. hello: the first one."""
    wanted = flight.wanted
    try:
        again = client_hello(offer, server_name, (wanted.group,), (hello, wanted.cookie))
    except tls13.Unreadable:
        return False
    flight.asked_again(again[5:])
    connection.send(again, "taking a second ClientHello")
    return True


def _of_alert(alert: Alert, flight: ServerFlight) -> Answer:
    said = str(alert)
    if alert.description in _REFUSALS:
        return Answer("refused", said, flight)
    return Answer("unknown", said, flight, said if alert.description in _ENDS else None)


def _judged(flight: ServerFlight, offer: Offer) -> Answer:
    hello, alert = flight.hello, flight.refusal
    if alert:
        return _of_alert(alert, flight)
    chosen = BY_WIRE.get(hello.version)
    if chosen is None:
        return Answer("unknown", "ServerHello with the unknown version 0x%04x" % hello.version, flight)
    if chosen.name != offer.version:
        return Answer("refused", "ServerHello with %s" % chosen.name, flight)
    if offer.suites and hello.suite not in offer.suites:
        return Answer("unknown", "ServerHello with %s, which was not offered" % suites.name(hello.suite), flight)
    return Answer("accepted", "ServerHello with %s" % chosen.name, flight)
