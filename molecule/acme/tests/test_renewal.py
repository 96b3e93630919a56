# SPDX-License-Identifier: GPL-3.0-or-later
"""Renewals as certbot's timer makes them, without Ansible: what is served afterwards, and what is when a renewal went wrong."""
from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from post import wait
from reach import Host

OTHER = {"a-trixie": "a-bookworm", "a-bookworm": "a-trixie"}
KINDS = {"ecdsa": "aECDSA", "rsa": "aRSA"}
MESSAGES, CONNECTIONS = 150, 10

_SEND = "for number in $(seq %d); do printf 'Subject: renewal-%%s-end\\n\\n.\\n' $number | sendmail -f admin@%s admin@%s; sleep 0.05; done"
_RENEW = "certbot renew --force-renewal --no-random-sleep-on-renew --cert-name default-%s 2>&1"


@pytest.fixture(params=sorted(OTHER))
def host(request) -> Host:
    return Host(request.param)


def leaf(host: Host, kind: str) -> tuple:
    """(serial number, digest of the key as TLSA 3 1 1 has it) of the certificate that is served to another host."""
    told = Host(OTHER[host.name]).run(
        "openssl s_client -starttls smtp -connect %s:25 -tls1_2 -cipher %s -CAfile /etc/ssl/pebble.pem -verify_return_error </dev/null 2>/dev/null > /tmp/leaf;"
        " openssl x509 -in /tmp/leaf -noout -serial; openssl x509 -in /tmp/leaf -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum"
        % (host.fqdn, KINDS[kind])
    )
    serial, key = re.findall(r"^serial=(\w+)|^(\w{64}) ", told, re.MULTILINE)
    return serial[0], key[1]


def written(host: Host, kind: str) -> str:
    return host.run("openssl x509 -in /etc/letsencrypt/live/default-%s/cert.pem -noout -serial" % kind).strip().partition("=")[2]


def arrived(host: Host) -> list:
    """The numbers of the messages in the mailbox, in order, each as often as it is there."""
    return sorted(map(int, re.findall(r"^Subject: renewal-(\d+)-end$", host.run("cat /var/mail/admin 2>/dev/null", check=False), re.MULTILINE)))


def test_a_renewal_is_served_on_every_connection_with_the_same_key_and_no_message_is_lost(host: Host) -> None:
    sender = Host(OTHER[host.name])
    host.run("rm -f /var/mail/admin")
    before = {kind: leaf(host, kind) for kind in KINDS}
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(sender.run, _SEND % (MESSAGES, sender.fqdn, host.fqdn))
        for kind in KINDS:
            host.run(_RENEW % kind)
            assert {leaf(host, kind) for _connection in range(CONNECTIONS)} == {(written(host, kind), before[kind][1])}
            assert written(host, kind) != before[kind][0]
        sending.result()
    sender.run("postqueue -f")
    assert wait(lambda: set(arrived(host)) == set(range(1, MESSAGES + 1)), 60), arrived(host)


def test_a_chain_without_its_intermediate_is_not_served_and_the_mail_log_says_why(host: Host) -> None:
    live = "/etc/letsencrypt/live/default-ecdsa"
    before = leaf(host, "ecdsa")
    host.run("cp -L {0}/fullchain.pem /root/whole.pem; cat {0}/cert.pem > $(readlink -f {0}/fullchain.pem)".format(live))
    try:
        told = host.run("/etc/letsencrypt/renewal-hooks/deploy/postfix-tls-renew 2>&1; echo status $?")
        assert "chain default-ecdsa" in told and "an intermediate is missing" in told and told.endswith("status 1\n"), told
        assert "an intermediate is missing" in host.run("journalctl -q --no-pager -t postfix-tls-renew")
        assert leaf(host, "ecdsa") == before
    finally:
        host.run("cat /root/whole.pem > $(readlink -f %s/fullchain.pem)" % live)
    assert host.run("/usr/local/sbin/postfix-tls-renew; echo $?") == "0\n" and leaf(host, "ecdsa") == before
