# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run shows beforehand, and what it refuses, on real Postfix."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from reach import Host, play

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
ROLLBACK = Path(__file__).resolve().parents[3] / "playbooks" / "rollback.yml"


@pytest.fixture
def trixie() -> Host:
    return Host("trixie")


def configuration(mx: Host) -> str:
    """Every file of the configuration, with owner and mode."""
    return mx.run("cd /etc/postfix && find . -type f | sort | xargs ls -ln --time-style=+ && find . -type f | sort | xargs sha256sum")


def refused(mx: Host, **variables: object) -> str:
    """What a run said that failed."""
    with pytest.raises(AssertionError) as failed:
        play(CONVERGE, mx.name, **variables)
    return " ".join(str(failed.value).split())


def test_check_mode_shows_the_diff_of_the_real_run_and_changes_nothing(trixie: Host) -> None:
    def diff(said: str) -> list:
        files = said[said.index("--- before"):said.index("changed: ")].partition("--- before: what peers see")[0]
        return re.findall(r"^(?:---|\+\+\+|@@|[-+ ]).*$", files, re.MULTILINE)

    before, master = configuration(trixie), trixie.run("cat /var/spool/postfix/pid/master.pid")
    wanted = {
        "smtpd_tls_loglevel": 2, "tls_policy_destinations": [{"destination": "other.example.com"}], "smtpd_tls_profile": "ncsc_2025",
        "smtpd_tls_services": {"smtp/inet": {"smtpd_tls_received_header": True}},
    }
    predicted = play(CONVERGE, trixie.name, "--check", "--diff", **wanted)
    assert (configuration(trixie), trixie.run("cat /var/spool/postfix/pid/master.pid")) == (before, master)
    assert {"main.cf", "master.cf", "tls/openssl.cnf", "tls_policy"} <= set(re.findall(r"^\+\+\+ after: /etc/postfix/(.*)$", predicted, re.MULTILINE))
    assert diff(predicted) == diff(play(CONVERGE, trixie.name, "--diff", **wanted))
    assert configuration(trixie) != before
    play(ROLLBACK, trixie.name)


def test_a_host_keeps_the_modules_compiled_for_the_next_run_whatever_becomes_of_that_file(trixie: Host) -> None:
    def kept() -> str:
        return trixie.run("stat -c '%a %U %s %i' /var/lib/mailsec-postfix_tls/compiled")

    play(CONVERGE, trixie.name)
    whole = kept()
    assert whole.startswith("600 root ")
    assert "changed=0" in play(CONVERGE, trixie.name) and kept() == whole, "it is only read where nothing is compiled"
    trixie.run("truncate -s -1 /var/lib/mailsec-postfix_tls/compiled")
    assert "changed=0" in play(CONVERGE, trixie.name) and kept().split()[:3] == whole.split()[:3], "what is damaged is made anew"
    trixie.run("rm /var/lib/mailsec-postfix_tls/compiled")
    play(CONVERGE, trixie.name, "--check")
    trixie.run("! test -e /var/lib/mailsec-postfix_tls/compiled")


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
