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


OWN = (
    "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own -days 30 -keyout /etc/postfix/own.pem -out /etc/postfix/own.crt 2>/dev/null;"
    " cat /etc/postfix/own.crt >> /etc/postfix/own.pem; chmod 600 /etc/postfix/own.pem; postconf -X smtpd_tls_cert_file smtpd_tls_key_file;"
    " postconf -e smtpd_tls_chain_files=/etc/postfix/own.pem;"
)


@pytest.mark.parametrize("certificate, chosen", [("", False), (OWN, True)], ids=["the distribution's", "one that somebody chose"])
def test_what_is_offered_with_a_self_signed_certificate_goes_on_where_somebody_chose_it(nocert: Host, selfsigned: Host, certificate: str, chosen: bool) -> None:
    nocert.run("cp -a /etc/postfix /srv/before; rm -rf /etc/postfix; cp -a /usr/local/share/postfix-as-installed /etc/postfix; " + certificate
               + " touch -d '1 minute ago' /etc/postfix/main.cf; systemctl restart postfix@-")
    try:
        assert "STARTTLS" in ehlo(nocert, selfsigned)
        said = play(CONVERGE, "nocert", starttls_verify_expect={"trust": False, "name": False})
        assert ("STARTTLS" in ehlo(nocert, selfsigned)) is chosen
        assert ("encryption is offered for receiving as it was before" if chosen else "so encryption is not offered for receiving") in said
    finally:
        nocert.run("rm -rf /etc/postfix; mv /srv/before /etc/postfix; touch -d '1 minute ago' /etc/postfix/main.cf; systemctl restart postfix@-")


def test_a_postfix_that_was_started_by_hand_is_restarted_and_systemd_has_it_again(nocert: Host) -> None:
    nocert.run("set -e; systemctl stop postfix@- postfix; postfix start 2>/dev/null; sleep 1; postfix status")
    before = nocert.run("cat /var/spool/postfix/pid/master.pid").strip()
    assert nocert.run("systemctl is-active postfix || :").strip() == "inactive"
    first = nocert.run("postconf -h smtp_tls_loglevel").strip()
    another = "1" if first == "2" else "2"
    play(CONVERGE, "nocert", smtp_tls_loglevel=another)
    assert nocert.run("postconf -h smtp_tls_loglevel; systemctl is-active postfix").split() == [another, "active"]
    assert nocert.run("cat /var/spool/postfix/pid/master.pid").strip() != before
    play(CONVERGE, "nocert", smtp_tls_loglevel=first)
