# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a protocol version is accepted, from the bytes of the answer to a ClientHello."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import question
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES
from hypothesis import given
from hypothesis import strategies as st
from servers import Said


@given(st.sampled_from(NAMES), st.lists(st.binary(min_size=1, max_size=60), max_size=4))
def test_any_answer_to_a_client_hello_is_a_verdict(version: str, pieces: list) -> None:
    answer = question.ask(Said(*pieces), Offer(version), "mx.example.org").told()
    assert set(answer) == {"verdict", "reason"} and answer["verdict"] in ("accepted", "refused", "unknown") and answer["reason"]


def server_hello(version: int) -> bytes:
    body = version.to_bytes(2, "big") + bytes(32) + b"\x00" + b"\x00\x2f" + b"\x00"
    handshake = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake


FLIGHTS = (
    (server_hello(0x0301), "accepted", "ServerHello with TLSv1"),
    (server_hello(0x0300), "refused", "ServerHello with SSLv3"),
    (server_hello(0x0305), "unknown", "ServerHello with the unknown version 0x0305"),
    (b"\x15\x03\x01\x00\x02\x02\x28", "refused", "alert handshake_failure"),
    (b"\x15\x03\x01\x00\x02\x02\x46", "refused", "alert protocol_version"),
    (b"\x15\x03\x01\x00\x02\x02\x47", "refused", "alert insufficient_security"),
    (b"\x15\x03\x01\x00\x02\x02\x56", "refused", "alert inappropriate_fallback"),
    (b"\x15\x03\x01\x00\x02\x02\x50", "unknown", "alert internal_error"),
    (b"\x15\x03\x01\x00\x02\x01\x00", "unknown", "alert close_notify"),
    (b"\x15\x03\x01\x00\x02\x02\xff", "unknown", "alert 255"),
    (b"\x15\x03\x01\x00\x02\x01\x70" + server_hello(0x0301), "accepted", "ServerHello with TLSv1"),
    (b"\x15\x03\x01\x00\x02\x02\x70", "unknown", "alert unrecognized_name"),
    (b"", "unknown", "the server closed the connection instead of answering a ClientHello"),
    (server_hello(0x0301)[:-1], "unknown", "the server closed the connection instead of answering a ClientHello"),
    (b"554 no\r\n", "unknown", "that is no TLS record of a ServerHello or an alert"),
    (b"\x16\x03\x01\x00\x04\x0b\x00\x00\x00", "unknown", "that is no ServerHello"),
    (b"\x16\x03\x01\x00\x06\x02\x00\x00\x02\x03\x01", "unknown", "the ServerHello is shorter than it says"),
    (b"\x16\x03\x01\x00\x00", "unknown", "that is no TLS record of a ServerHello or an alert"),
    (b"\x15\x03\x01\x00\x02\x01\x70" * 65, "unknown", "it takes more than 64 records"),
)


@pytest.mark.parametrize("flight, verdict, reason", FLIGHTS, ids=range(len(FLIGHTS)))
def test_a_version_is_accepted_or_refused_only_by_what_the_server_says(flight: bytes, verdict: str, reason: str) -> None:
    assert question.ask(Said(*filter(None, [flight])), Offer("TLSv1"), None).told() == {"verdict": verdict, "reason": reason}
