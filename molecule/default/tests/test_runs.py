# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run shows beforehand, what it refuses, and what it puts back, on real Postfix."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from reach import Host, play

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
ROLLBACK = Path(__file__).resolve().parents[3] / "playbooks" / "rollback.yml"
BREAKS = {"smtp_tls_CApath": "/etc/ssl/certs", "smtpd_tls_exclude_ciphers": "ALL"}


@pytest.fixture(params=["bullseye", "bookworm", "trixie", "forky"])
def mx(request) -> Host:
    return Host(request.param)


@pytest.fixture
def trixie() -> Host:
    return Host("trixie")


def configuration(mx: Host) -> str:
    """Every file of the configuration, with owner and mode."""
    return mx.run("cd /etc/postfix && find . -type f | sort | xargs ls -ln --time-style=+ && find . -type f | sort | xargs sha256sum")


def served(mx: Host) -> str:
    return mx.run("openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256")


def refused(mx: Host, **variables: object) -> str:
    """What a run said that failed."""
    with pytest.raises(AssertionError) as failed:
        play(CONVERGE, mx.name, **variables)
    return " ".join(str(failed.value).split())


def test_a_change_that_breaks_the_handshake_is_put_back_and_told_with_the_lines_that_explain_it(mx: Host) -> None:
    before, certificate = configuration(mx), served(mx)
    said = refused(mx, smtpd_tls_parameters=BREAKS)
    assert "handshake: observed" in said and "The old state is back and Postfix answers with it: /etc/postfix/main.cf" in said
    assert re.search("Postfix logged: .*(cipher|TLS)", said), said
    assert (configuration(mx), served(mx)) == (before, certificate)
    assert "changed=0" in play(CONVERGE, mx.name)


def test_a_change_that_fails_the_look_from_outside_is_put_back(trixie: Host) -> None:
    before = configuration(trixie)
    said = refused(
        trixie, smtpd_tls_loglevel=0, starttls_verify_expect={"floor": "TLSv1.3"}, starttls_verify_retries=0,
    )
    assert "versions fail: accepted: TLSv1.2, TLSv1.3" in said and "The state before this change is back, restarted and proven." in said
    assert configuration(trixie) == before


def test_a_killed_run_is_completed_by_the_next(trixie: Host) -> None:
    # The run dies where a machine would: right after main.cf was renamed into place, before Postfix is restarted.
    trixie.run("mv /usr/sbin/postfix /usr/sbin/postfix.real; printf '#!/bin/sh\\nkill -9 $PPID\\n' > /usr/sbin/postfix; chmod 755 /usr/sbin/postfix")
    try:
        refused(trixie, smtpd_tls_loglevel=2)
    finally:
        trixie.run("mv /usr/sbin/postfix.real /usr/sbin/postfix")
    assert trixie.run("ls /var/lib/mailsec-postfix_tls/etc-postfix/pending/manifest.json; postconf -h smtpd_tls_loglevel").endswith("2\n")
    assert "changed=1" in play(CONVERGE, trixie.name, smtpd_tls_loglevel=2)
    assert "changed=1" in play(CONVERGE, trixie.name)
    assert trixie.run("ls /var/lib/mailsec-postfix_tls/etc-postfix").split() == ["lock", "previous"]


def test_a_rollback_returns_to_the_state_before_and_a_second_one_changes_nothing(trixie: Host) -> None:
    before = configuration(trixie)
    play(CONVERGE, trixie.name, smtpd_tls_loglevel=2, tls_policy_destinations=[])
    assert configuration(trixie) != before
    assert "changed=1" in play(ROLLBACK, trixie.name)
    assert configuration(trixie) == before
    assert "changed=0" in play(ROLLBACK, trixie.name)


def test_check_mode_shows_the_diff_of_the_real_run_and_changes_nothing(trixie: Host) -> None:
    def diff(said: str) -> list:
        return re.findall(r"^(?:---|\+\+\+|@@|[-+ ]).*$", said[said.index("--- before"):said.index("changed: ")], re.MULTILINE)

    before, master = configuration(trixie), trixie.run("cat /var/spool/postfix/pid/master.pid")
    wanted = {"smtpd_tls_loglevel": 2, "tls_policy_destinations": [{"destination": "other.example.com"}]}
    predicted = play(CONVERGE, trixie.name, "--check", "--diff", **wanted)
    assert (configuration(trixie), trixie.run("cat /var/spool/postfix/pid/master.pid")) == (before, master)
    assert diff(predicted) == diff(play(CONVERGE, trixie.name, "--diff", **wanted))
    assert configuration(trixie) != before
    play(ROLLBACK, trixie.name)


@pytest.mark.parametrize("variables, told", [
    ({"smtpd_tls_securty_level": "may"}, "the role smtpd_tls has no such variable; did you mean smtpd_tls_security_level?"),
    ({"smtpd_tls_enabled": "perhaps"}, "'smtpd_tls_enabled' is of type str and we were unable to convert to bool"),
    ({"tls_certificate_key_file": "/nonexistent"}, "tls_certificate_key_file = /nonexistent: there is no such file on the controller"),
    ({"smtpd_tls_parameters": {"smtpd_tls_exclude_cipher": "MD5"}}, "Did you mean smtpd_tls_exclude_ciphers?"),
    ({"smtpd_tls_security_level": "encrypt"}, "a public server must take mail in the clear too (RFC 3207)"),
    ({"tls_policy_destinations": [{"destination": "a b"}]}, "it is not a name that mail goes to"),
    ({"tls_certificate_names": ["elsewhere.lab.test"]}, "chain default = elsewhere.lab.test: it does not cover that name"),
])
def test_bad_input_is_refused_with_what_to_write_before_anything_changed(trixie: Host, variables: dict, told: str) -> None:
    before = configuration(trixie)
    assert told in refused(trixie, **variables)
    assert configuration(trixie) == before


def test_a_host_without_postfix_is_told_so(trixie: Host) -> None:
    trixie.run("mv /usr/sbin/postconf /usr/sbin/postconf.away")
    try:
        assert "postconf: there is no Postfix on this host. Install the package postfix first." in refused(trixie)
    finally:
        trixie.run("mv /usr/sbin/postconf.away /usr/sbin/postconf")
