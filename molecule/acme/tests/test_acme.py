# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates from a real ACME directory (Pebble), RSA and ECDSA side by side, served by real Postfix and verified by others."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

import pytest
from reach import Host, ask, play
from witness import served, tree

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
OTHER = {"a-trixie": "a-bookworm", "a-bookworm": "a-trixie"}
CHALLTESTSRV = "http://a-pebble.lab.test:8055"

#: As certbot calls it: certbot sets the variables, and challtestsrv is the name server.
HOOK = """#!/usr/bin/python3
import json, os, sys, urllib.request
record = {"host": "_acme-challenge.%%s." %% os.environ["CERTBOT_DOMAIN"], "value": os.environ["CERTBOT_VALIDATION"]}
urllib.request.urlopen("%s/" + sys.argv[1], json.dumps(record).encode())
""" % CHALLTESTSRV

ALONE = """
- hosts: all
  become: true
  gather_facts: false
  roles:
    - role: mailsec.postfix_tls.tls_certificate
"""


@pytest.fixture(params=sorted(OTHER))
def host(request) -> Host:
    return Host(request.param)


@pytest.fixture
def trixie() -> Iterator[Host]:
    """Left as converge makes it."""
    yield Host("a-trixie")
    play(CONVERGE, "a-trixie")


@pytest.fixture
def bookworm() -> Iterator[Host]:
    """Left as converge makes it."""
    host = Host("a-bookworm")
    host.write("/usr/local/sbin/txt", HOOK)
    host.run("chmod 0755 /usr/local/sbin/txt")
    yield host
    play(CONVERGE, "a-bookworm")


def shaken(host: Host, kind: str, also: str = "") -> str:
    """What openssl on the other host says of a handshake with a certificate of that kind, which it verifies up to Pebble's root."""
    return Host(OTHER[host.name]).run(
        "openssl s_client -starttls smtp -connect %s:25 -tls1_2 -cipher a%s -CAfile /etc/ssl/pebble.pem -verify_return_error"
        " -verify_hostname %s </dev/null 2>&1" % (host.fqdn, kind, also or host.fqdn), check=False,
    )


def keys(host: Host) -> dict:
    """{type of key: digest of the key as TLSA 3 1 1 has it}, of what is served."""
    spki = "openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum"
    ask_for = "openssl s_client -starttls smtp -connect 127.0.0.1:25 -tls1_2 -cipher a%s </dev/null 2>/dev/null | " + spki
    return {kind: host.run(ask_for % kind).split()[0] for kind in ("RSA", "ECDSA")}


def refused(host: Host, **variables: object) -> str:
    """What a run said that failed, and that left host and Postfix as they were."""
    before = tree(host), served(host), host.run("ls -R /etc/letsencrypt/live")
    with pytest.raises(AssertionError) as failed:
        play(CONVERGE, host.name, **variables)
    assert (tree(host), served(host), host.run("ls -R /etc/letsencrypt/live")) == before and before[1]
    said = " ".join(str(failed.value).split())
    assert "Traceback" not in said and "object at 0x" not in said
    return said


@pytest.mark.parametrize("kind, bits", [("RSA", 3072), ("ECDSA", 256)])
def test_another_host_verifies_each_chain_up_to_the_directorys_root(host: Host, kind: str, bits: int) -> None:
    told = shaken(host, kind)
    assert "Cipher is ECDHE-%s" % kind in told and "Server public key is %d bit" % bits in told, told
    assert "Verified peername: %s" % host.fqdn in told, told
    assert "Verified peername" not in shaken(host, kind, also="elsewhere.lab.test")


def test_our_verifier_sees_both_chains_and_trusts_them(host: Host) -> None:
    ca_file = str(Path(host.vars["lab_ca_file"]).with_name("pebble.pem"))
    targets = [{"host": host.address, "server_name": host.fqdn}]
    [told] = ask("localhost", "mailsec.postfix_tls.starttls_verify", targets=targets, ca_file=ca_file)["localhost"]["results"]
    assert {chain["algorithm"]: chain["trust"]["verdict"] for chain in told["chains"]} == {"RSA": "pass", "ECDSA": "pass"}
    assert {chain["certificates"][0]["spki_sha256"] for chain in told["chains"]} == set(keys(host).values())


def test_keys_can_be_read_by_root_alone(host: Host) -> None:
    modes = host.run("stat -Lc '%a %U' /etc/letsencrypt/live/*/privkey.pem /etc/postfix/tls/*.pem").splitlines()
    assert len(modes) >= 4 and set(modes) == {"600 root"}


def test_a_further_name_is_obtained_for_the_same_keys_which_no_output_shows(trixie: Host) -> None:
    before = keys(trixie)
    Host("a-pebble").run(
        """python3 -c 'import urllib.request as r; r.urlopen("%s/add-a", b"{\\"host\\": \\"more.lab.test.\\", \\"addresses\\": [\\"%s\\"]}")'"""
        % (CHALLTESTSRV, trixie.address)
    )
    names = [trixie.fqdn, "more.lab.test"]
    foreseen = play(CONVERGE, trixie.name, "--check", "--diff", tls_certificate_names=names)
    assert foreseen.count("+names: a-trixie.lab.test, more.lab.test") == 2
    said = play(CONVERGE, trixie.name, "-vvv", "--diff", tls_certificate_names=names)
    assert said.count("+names: a-trixie.lab.test, more.lab.test") == 2
    for kind in ("RSA", "ECDSA"):
        assert "Verified peername: more.lab.test" in shaken(trixie, kind, also="more.lab.test")
    assert keys(trixie) == before
    for line in trixie.run("cat /etc/letsencrypt/live/*/privkey.pem").splitlines():
        assert line.startswith("-----") or line not in said


def test_by_dns_with_hooks_a_name_is_obtained_that_has_no_address(bookworm: Host) -> None:
    hooks = {"tls_certificate_acme_auth_hook": "/usr/local/sbin/txt set-txt", "tls_certificate_acme_cleanup_hook": "/usr/local/sbin/txt clear-txt"}
    names = [bookworm.fqdn, "dns.lab.test"]
    play(CONVERGE, bookworm.name, tls_certificate_acme_challenge="dns", tls_certificate_names=names, **hooks)
    for kind in ("RSA", "ECDSA"):
        assert "Verified peername: dns.lab.test" in shaken(bookworm, kind, also="dns.lab.test")
    again = play(CONVERGE, bookworm.name, tls_certificate_acme_challenge="dns", tls_certificate_names=names, **hooks)
    assert "changed=0" in again, again


def test_a_run_that_finds_nothing_due_does_not_ask_the_directory(host: Host) -> None:
    pebble = Host("a-pebble")
    pebble.run("systemctl kill --signal=STOP pebble")
    try:
        assert "changed=0" in play(CONVERGE, host.name)
    finally:
        pebble.run("systemctl kill --signal=CONT pebble")


def test_the_certificates_role_alone_serves_them_as_well(trixie: Host, tmp_path: Path) -> None:
    (tmp_path / "alone.yml").write_text(ALONE, encoding="utf-8")
    said = play(
        tmp_path / "alone.yml", trixie.name, tls_certificate_source="acme", tls_certificate_name="alone", tls_certificate_acme_key_types=["ecdsa"],
        tls_certificate_acme_directory="https://a-pebble.lab.test:14000/dir", tls_certificate_acme_terms_agreed=True,
        tls_certificate_ca_file="/etc/ssl/pebble.pem",
    )
    assert "changed=2" in said, said
    assert trixie.run("postconf -h smtpd_tls_chain_files").strip() == "/etc/postfix/tls/alone-ecdsa.pem"
    trixie.run("certbot delete --non-interactive --cert-name alone-ecdsa")


#: Another name, so that there is something to obtain.
NEW = {"tls_certificate_name": "new"}


def test_what_the_directory_says_of_an_order_is_told_by_every_certbot(host: Host) -> None:
    """certbot 2.1 with Python 3.11 says "can't set attribute" of it, and no more."""
    said = refused(host, **NEW, tls_certificate_names=[host.fqdn, "x.blocked.test"])
    assert '"x.blocked.test" (rejectedIdentifier). Name only what this directory issues for' in said, said


def test_cli_ini_has_no_say_in_keys_and_burns_no_certificate(trixie: Host) -> None:
    variables = {**NEW, "tls_certificate_acme_key_types": ["ecdsa"]}
    trixie.run("cp /etc/letsencrypt/cli.ini /root/cli.ini; printf 'reuse-key = true\\nelliptic-curve = secp384r1\\n' >> /etc/letsencrypt/cli.ini")
    try:
        for reuse_key, changed in ((True, True), (False, True), (False, False)):
            said = play(CONVERGE, trixie.name, tls_certificate_acme_reuse_key=reuse_key, **variables)
            assert ("changed=0" not in said) is changed, said
        assert trixie.run("ls /etc/letsencrypt/archive/new-ecdsa/ | grep -c fullchain") == "2\n"
        assert "prime256v1" in trixie.run("openssl x509 -in /etc/letsencrypt/live/new-ecdsa/cert.pem -noout -text")
        lock = "python3 -c 'import fcntl, time; lock = open(\"/etc/letsencrypt/.certbot.lock\", \"w\"); fcntl.lockf(lock, fcntl.LOCK_EX); time.sleep(12)'"
        trixie.run("certbot delete --non-interactive --cert-name new-ecdsa; systemd-run --quiet %s" % lock)
        assert "changed=" in play(CONVERGE, trixie.name, **variables)  # another certbot at work is waited for
    finally:
        trixie.run("cp /root/cli.ini /etc/letsencrypt/cli.ini; certbot delete --non-interactive --cert-name new-ecdsa; rm -f /etc/postfix/tls/new-ecdsa.pem")


def test_days_that_no_renewal_would_give_are_told_and_nothing_is_refused_or_obtained_for_them(trixie: Host) -> None:
    said = play(CONVERGE, trixie.name, "-v", tls_certificate_min_days_left=80)  # of the 90 it is issued for
    assert "so it can't be asked for 80 more" in " ".join(said.split()) and "changed=1" in said, said  # what the program is to tell of


@pytest.mark.parametrize("variables, told", [
    ({"tls_certificate_acme_terms_agreed": False},
     "tls_certificate_acme_terms_agreed: not set, and tls_certificate_source = acme needs it. Read the terms of service of https://a-pebble"),
    ({"tls_certificate_acme_terms_agreed": "false"}, "tls_certificate_acme_terms_agreed: not set"),
    ({"tls_certificate_acme_challenge": "webroot", "tls_certificate_acme_webroot": ""},
     "tls_certificate_acme_webroot: not set, and tls_certificate_acme_challenge = webroot needs it."),
    ({"tls_certificate_acme_challenge": "dns"}, "tls_certificate_acme_auth_hook: not set, and tls_certificate_acme_challenge = dns needs it."),
    ({"tls_certificate_acme_challenge": "tls"}, "value of tls_certificate_acme_challenge must be one of: standalone, webroot, dns, got: tls"),
    ({"tls_certificate_acme_directory": "https://a-pebble.lab.test:14001/dir"}, "certbot could not obtain it: the directory does not answer. Mend the URL"),
    ({"tls_certificate_acme_directory": "https://nosuch.lab.test/dir"}, "certbot could not obtain it: the directory's name does not resolve. Mend"),
    ({"tls_certificate_acme_directory": "https://a-pebble.lab.test:14000/nosuch"}, "certbot could not obtain it: what answers there is no ACME directory."),
    ({**NEW, "tls_certificate_acme_ca_file": "/etc/ssl/pebble.pem"}, "the directory's own certificate, of its https, is not trusted. Name the root"),
    ({**NEW, "tls_certificate_acme_ca_file": "/nosuch"}, "ca_file = /nosuch: there is no such file on this host."),
    ({**NEW, "tls_certificate_names": ["nosuch.lab.test"]}, "certificate new-ecdsa = nosuch.lab.test: certbot could not obtain it: nosuch.lab.test: "),
    ({**NEW, "tls_certificate_names": ["a-bookworm.lab.test"]}, "(unauthorized). Have port 80 of each name lead to this host"),
    ({**NEW, "tls_certificate_acme_http_port": 25}, "Could not bind TCP port 25 because it is already in use"),
    ({**NEW, "tls_certificate_acme_challenge": "webroot", "tls_certificate_acme_webroot": "/nosuch"}, "/nosuch does not exist or is not a directory."),
])
def test_what_can_not_be_obtained_is_told_in_one_message_and_postfix_serves_what_it_served(variables: dict, told: str) -> None:
    said = refused(Host("a-trixie"), **variables)
    assert told in said, said
    assert len(re.findall(r"\[ERROR\]|fatal: ", said)) <= 2, said
