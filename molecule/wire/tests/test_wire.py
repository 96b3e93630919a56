# SPDX-License-Identifier: GPL-3.0-or-later
"""The postmaster's own acceptance test, step by step, on two real Postfix hosts and the wire between them.

The steps build on each other and run in the order they stand here.
"""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from post import Sent, ehlo, flush, send
from reach import Host, play, verified

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"

ENCRYPTED = re.compile(r"\(using TLSv1\.[23] with cipher \S+ .*by wire[12]\.lab\.test .*with ESMTPS id", re.DOTALL)


@pytest.fixture(scope="module")
def wire1() -> Host:
    return Host("wire1")


@pytest.fixture(scope="module")
def wire2() -> Host:
    return Host("wire2")


def site(limit: str = "wire", **variables: object) -> None:
    play(CONVERGE, limit, **variables)


def assert_encrypted(sent: Sent) -> None:
    assert sent.message is not None, sent.log
    assert ENCRYPTED.search(sent.received), sent.received
    assert b"STARTTLS" in sent.wire, "the capture holds no dialogue at all, so it proves nothing"
    assert sent.marker.encode() not in sent.wire
    assert b"MAIL FROM" not in sent.wire.upper()


def assert_readable(sent: Sent) -> None:
    assert sent.message is not None, sent.log
    assert sent.marker.encode() in sent.wire
    assert "with ESMTP id" in sent.received, sent.received


def test_before_the_change_a_message_can_be_read_on_the_wire_both_ways(wire1: Host, wire2: Host) -> None:
    assert_readable(send(wire1, wire2))
    assert_readable(send(wire2, wire1))
    assert "STARTTLS" not in ehlo(wire2, wire1)


def test_after_it_nothing_of_a_message_can_be_read_and_received_headers_name_tls(wire1: Host, wire2: Host) -> None:
    site()
    assert_encrypted(send(wire1, wire2))
    assert_encrypted(send(wire2, wire1))


@pytest.mark.parametrize("way", [("wire1", "wire2"), ("wire2", "wire1")])
def test_ehlo_offers_starttls_and_a_verified_handshake_finishes(way: tuple) -> None:
    here, there = Host(way[0]), Host(way[1])
    assert "250-STARTTLS" in ehlo(there, here)
    finger = here.run("posttls-finger -c -l secure -P /etc/ssl/certs -Lsummary '[%s]' %s 2>&1" % (there.address, there.fqdn))
    assert "Verified TLS connection established to %s" % there.address in finger, finger
    shaken = here.run(
        "openssl s_client -starttls smtp -connect %s:25 -verify_hostname %s -verify_return_error </dev/null 2>&1" % (there.fqdn, there.fqdn)
    )
    assert verified(shaken), shaken


def test_with_only_receiving_on_mail_comes_in_encrypted_and_leaves_in_the_clear(wire1: Host, wire2: Host) -> None:
    site(limit="wire1", smtpd_tls_enabled=True, smtp_tls_enabled=False)
    assert_encrypted(send(wire2, wire1))
    assert_readable(send(wire1, wire2))


def test_with_only_sending_on_mail_leaves_encrypted_and_comes_in_in_the_clear(wire1: Host, wire2: Host) -> None:
    site(limit="wire1", smtpd_tls_enabled=False, smtp_tls_enabled=True)
    assert_encrypted(send(wire1, wire2))
    assert_readable(send(wire2, wire1))


def test_mail_to_a_named_partner_waits_rather_than_leave_in_the_clear_and_goes_once_the_partner_is_mended(
    wire1: Host, wire2: Host,
) -> None:
    site(limit="wire1", tls_policy_destinations=[{"destination": wire2.fqdn, "level": "encrypt"}])
    site(limit="wire2", smtpd_tls_enabled=False)
    waiting = send(wire1, wire2, until_deferred=True)
    assert waiting.message is None
    assert re.search(r"status=deferred \(TLS is required, but was not offered by host wire2\.lab\.test", waiting.log), waiting.log
    assert b"EHLO" in waiting.wire, "the capture holds no dialogue at all, so it proves nothing"
    assert b"MAIL FROM" not in waiting.wire.upper()
    assert waiting.marker.encode() not in waiting.wire

    site(limit="wire2", smtpd_tls_enabled=True)
    message = flush(wire1, wire2, waiting.marker)
    assert message is not None, wire1.run("tail -50 /var/log/mail.log")
    assert ENCRYPTED.search(Sent(waiting.marker, b"", message, "").received), message
