# SPDX-License-Identifier: GPL-3.0-or-later
"""With a self-signed certificate, or none, a host sends encrypted and does not offer encryption for receiving."""
from __future__ import annotations

from pathlib import Path

import pytest
from post import ehlo, send
from reach import Host, play

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"


@pytest.fixture(scope="module")
def selfsigned() -> Host:
    return Host("selfsigned")


@pytest.fixture(scope="module")
def nocert() -> Host:
    return Host("nocert")


@pytest.mark.parametrize("name", ["selfsigned", "nocert"])
def test_receiving_is_off_and_sending_is_on(name: str) -> None:
    host = Host(name)
    assert host.run("postconf -h smtpd_tls_security_level smtp_tls_security_level").split() == ["none", "may"]


def test_ehlo_does_not_offer_starttls(selfsigned: Host, nocert: Host) -> None:
    assert "STARTTLS" not in ehlo(selfsigned, seen_from=nocert)
    assert "STARTTLS" not in ehlo(nocert, seen_from=selfsigned)


def test_no_self_signed_certificate_is_installed(selfsigned: Host) -> None:
    assert selfsigned.run("postconf -h smtpd_tls_chain_files").strip() == ""


def test_the_run_says_why_and_how_to_override_it() -> None:
    said = " ".join(play(CONVERGE, "sending_only").split())
    assert "the certificate is self-signed, so encryption is not offered for receiving" in said
    assert "there is no certificate, so encryption is not offered for receiving" in said
    assert "smtpd_tls_allow_self_signed: true" in said


def test_on_a_private_network_it_can_be_allowed_and_mail_then_comes_in_encrypted_too(selfsigned: Host, nocert: Host) -> None:
    play(CONVERGE, "selfsigned", smtpd_tls_allow_self_signed=True)
    sent = send(nocert, selfsigned)
    assert "with ESMTPS" in sent.received, sent.log
    assert sent.marker.encode() not in sent.wire
    play(CONVERGE, "selfsigned")
    assert "STARTTLS" not in ehlo(selfsigned, seen_from=nocert)
