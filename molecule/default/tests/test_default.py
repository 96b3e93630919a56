# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardened hosts of every release, looked at by tools that are not ours."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
import testinfra
from reach import Host, play, verified

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
HOSTS = ("bullseye", "bookworm", "trixie", "forky")


@pytest.fixture(params=HOSTS)
def mx(request) -> testinfra.host.Host:
    """A host of each release, as root over SSH."""
    facts = Host(request.param).vars
    return testinfra.get_host(
        "ssh://%s@%s" % (facts["ansible_user"], facts["ansible_host"]),
        ssh_identity_file=facts["ansible_ssh_private_key_file"],
        ssh_extra_args=facts["ansible_ssh_common_args"],
        sudo=True,
    )


def postconf(mx, name: str) -> str:
    return mx.check_output("postconf -h %s", name)


def test_openssl_finishes_a_verified_handshake(mx) -> None:
    name = postconf(mx, "myhostname")
    done = mx.run("openssl s_client -starttls smtp -connect 127.0.0.1:25 -verify_hostname %s -verify_return_error </dev/null", name)
    assert verified(done.stdout)


def test_postfix_finishes_a_verified_handshake_with_itself(mx) -> None:
    name = postconf(mx, "myhostname")
    done = mx.run("posttls-finger -c -l secure -P /etc/ssl/certs -Lsummary %s %s 2>&1", "[127.0.0.1]", name)
    assert "Verified TLS connection established" in done.stdout


def test_every_release_keeps_the_modules_compiled(mx) -> None:
    kept = mx.file("/var/lib/mailsec-postfix_tls/compiled")
    assert (kept.user, kept.mode) == ("root", 0o600) and kept.size > 100_000


def test_tls_1_1_is_refused_and_said_so(mx) -> None:
    done = mx.run("openssl s_client -starttls smtp -connect 127.0.0.1:25 -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null 2>&1")
    assert "alert protocol version" in done.stdout


def test_tls_1_3_is_spoken(mx) -> None:
    done = mx.run("openssl s_client -starttls smtp -connect 127.0.0.1:25 -tls1_3 </dev/null 2>&1")
    assert "TLSv1.3" in done.stdout and verified(done.stdout)


def test_the_served_chain_is_the_deployed_one(mx) -> None:
    served = mx.check_output(
        "openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
    )
    deployed = mx.check_output("openssl x509 -noout -fingerprint -sha256 -in %s", postconf(mx, "smtpd_tls_chain_files"))
    assert served == deployed


def test_the_key_is_roots_alone(mx) -> None:
    file = mx.file(postconf(mx, "smtpd_tls_chain_files"))
    assert (file.user, file.mode) == ("root", 0o600)
    kept = mx.file("/var/lib/mailsec-postfix_tls/etc-postfix")
    assert (kept.user, kept.mode) == ("root", 0o700)


def test_the_key_is_in_no_log_and_no_file_but_its_own(mx) -> None:
    file = postconf(mx, "smtpd_tls_chain_files")
    assert len(mx.check_output("sed -n 3p %s", file)) == 64  # behind the line that says whose file it is, and PEM's first
    # Piped, because sudo writes its command line into the log. What was kept of the state before may hold a key too; it is root's alone.
    found = mx.run("sed -n 3p %s | grep -arlF -f - /var/log /run/log /tmp /var/tmp /home /root /etc", file).stdout.split()
    assert found == [file]


def test_the_policy_table_answers(mx) -> None:
    release = tuple(map(int, postconf(mx, "mail_version").split(".")[:2]))
    protocols = "!SSLv2:!SSLv3:!TLSv1:!TLSv1.1" if release < (3, 6) else ">=TLSv1.2"
    table = postconf(mx, "smtp_tls_policy_maps")
    assert mx.check_output("postmap -q partner.example.com %s", table) == (
        "secure match=mx.partner.example.com:.partner.example.net protocols=%s" % protocols
    )
    assert mx.check_output("postmap -q %s %s", "[relay.example.org]:587", table) == "encrypt"


def test_postfix_has_nothing_to_complain_about(mx) -> None:
    assert mx.run("postconf -n >/dev/null").stderr == ""
    assert mx.run("postfix check").rc == 0
    lines = mx.run("grep -Ei 'postfix.*(warning|error|fatal|panic):.*tls' /var/log/mail.log").stdout.splitlines()
    # What the looks were refused.
    refused = re.compile("TLS library problem: .*(version too low|unsupported protocol|no shared (cipher|signature algorithms)|no suitable)")
    assert [line for line in lines if not refused.search(line)] == []


def test_no_obsolete_parameter_is_left(mx) -> None:
    left = mx.run("postconf -n | grep -E '^smtpd_(use_tls|enforce_tls|tls_(d|ec)?(cert|key)_file) '").stdout
    assert left == ""


def test_a_key_of_another_certificate_is_refused_before_anything_changed(mx) -> None:
    name = mx.check_output("hostname -s")
    files = "cat /etc/postfix/main.cf %s | sha256sum" % postconf(mx, "smtpd_tls_chain_files")
    before = mx.check_output(files)
    other = Host("trixie" if name != "trixie" else "bookworm").vars["lab_key_file"]
    with pytest.raises(AssertionError, match="the key belongs to none of its certificates"):
        play(CONVERGE, name, tls_certificate_key_file=other)
    assert mx.check_output(files) == before
