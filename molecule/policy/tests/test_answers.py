# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of a policy table that Postfix refuses: what tls_policy_info says of each, against real deliveries by four releases."""
from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator

import pytest
from post import wait
from reach import Host, ask

#: {host: what else its main.cf says}. 3.10, 3.11, 3.7 and 3.5, one of them without DNSSEC lookups.
SENDERS = {"s-sender": "smtp_dns_support_level=disabled", "s-plain": "smtp_dns_support_level=disabled", "s-wrapped": "", "s-tls10": ""}

ANSWERS = """
encrypt
may
none
ENCRYPT
secure
verify
dane
dane-only
half-dane
MUST
fingerprint
fingerprint match=AB:CD
fingerprint match=|
fingerprint tafile=/etc/ssl/certs/ca-certificates.crt
encrypt tafile=/etc/ssl/certs/ca-certificates.crt
may tafile=/nowhere
secure tafile=
secure tafile=/nowhere.pem
encrypt match=mx.example.org
encrypt MATCH=mx.example.org
may match=mx.example.org
dane match=mx.example.org
secure match=
secure match=a match=b
encrypt ciphers=
encrypt ciphers=high ciphers=high
encrypt CIPHERS=high
encrypt ciphers = high
encrypt ciphers
encrypt =x
encrypt ciphers=foo
encrypt protocols=
encrypt protocols=FOO
encrypt protocols=>=TLSv1.2
encrypt protocols=TLSv1.2 protocols=TLSv1.2
encrypt exclude=
encrypt exclude=RC4 exclude=RC4
encrypt servername=
encrypt servername=a_b.test
encrypt servername=192.0.2.1
encrypt servername=-x.test
encrypt servername=x.test.
encrypt connection_reuse=no connection_reuse=no
encrypt connection_reuse=maybe
encrypt enable_rpk=no
encrypt enable_rpk=x
verify enable_rpk=no
encrypt { protocols = TLSv1.2 }
encrypt {ciphers=high}
encrypt {ciphers=high}x
encrypt { ciphers=high
encrypt { }
secure match=a policy_type=sts policy_ttl=5
secure match=a policy_type=dane
secure match=a policy_ttl=5
secure policy_type=sts policy_ttl=x
secure policy_type=sts { policy_string = mode: enforce } mx_host_pattern=a mx_host_pattern=b
secure policy_type=sts policy_failure=x
encrypt foo=bar
encrypt, ciphers=high
none match=
""".strip().splitlines()
SERVER = "2526 inet n - n - - smtpd -o smtpd_tls_security_level=may -o smtpd_tls_chain_files=/root/own.pem -o smtpd_tls_auth_only=no" \
         " -o smtpd_recipient_restrictions=permit_mynetworks -o {smtpd_end_of_data_restrictions=check_client_access static:discard}" \
         " -o smtpd_client_connection_count_limit=0"
#: What Postfix says where it was the answer, and not the server, that kept a message.
REFUSED = re.compile("client TLS configuration problem|Cannot start TLS: handshake failure")


def hop(at: int) -> str:
    return "[127.0.3.%d]:2526" % (at + 1)


def delivered(name: str) -> dict:
    """{answer: (status, reason)} of a message each, that the host's own second server is offered over TLS."""
    host = Host(name)
    host.run("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own.test -days 2 -keyout /root/own.pem -out /root/own.crt 2>&1;"
             " cat /root/own.crt >>/root/own.pem")
    host.write("/etc/postfix/answers", "".join("%s\t%s\n" % (hop(at), answer) for at, answer in enumerate(ANSWERS)))
    host.write("/etc/postfix/transport", "".join("a%d.test smtp:%s\n" % (at, hop(at)) for at in range(len(ANSWERS))))
    host.run("postsuper -d ALL; postconf -e transport_maps=texthash:/etc/postfix/transport smtp_tls_policy_maps=texthash:/etc/postfix/answers"
             " smtp_tls_security_level=may smtp_tls_CApath=/etc/ssl/certs %s && postconf -M '2526/inet=%s' && postfix reload" % (SENDERS[name], SERVER))
    time.sleep(1.5)
    log_from = int(host.run("wc -c </var/log/mail.log"))
    host.run("for i in $(seq 0 %d); do printf 'Subject: x\\n\\ny\\n' | sendmail -f admin@%s admin@a$i.test; done" % (len(ANSWERS) - 1, host.fqdn))

    def seen() -> dict:
        log = host.run("tail -c +%d /var/log/mail.log" % (log_from + 1))
        found = re.findall(r"to=<admin@a(\d+)\.test>.*status=(\w+) \((.*)\)", log)
        return {ANSWERS[int(at)]: (status, reason) for at, status, reason in found}

    wait(lambda: len(seen()) == len(ANSWERS), 90)
    return seen()


@pytest.fixture(scope="module")
def answers() -> Iterator[dict]:
    """{host: {answer: what became of it}}; the hosts' configuration is the same again afterwards."""
    for name in SENDERS:
        Host(name).run("rm -rf /root/postfix-before && cp -a /etc/postfix /root/postfix-before")
    try:
        with ThreadPoolExecutor(len(SENDERS)) as pool:
            yield dict(zip(SENDERS, pool.map(delivered, SENDERS)))
    finally:
        for name in SENDERS:
            Host(name).run("postsuper -d ALL; rm -rf /etc/postfix && mv /root/postfix-before /etc/postfix && postfix reload")


@pytest.mark.parametrize("name", SENDERS)
def test_no_mail_goes_where_postfix_sends_none(name: str, answers: dict) -> None:
    truth = answers[name]
    assert len(truth) == len(ANSWERS), "not every message was tried"
    recipients = ["admin@a%d.test" % at for at in range(len(ANSWERS))]
    told = ask(name, "mailsec.postfix_tls.tls_policy_info", "--become", recipients=recipients)[name]["results"]
    wrong = {answer: result["next_hops"][0]["wrong"] for answer, result in zip(ANSWERS, told)}
    said = {answer: result["explanation"] for answer, result in zip(ANSWERS, told)}
    refused = {answer for answer, (status, reason) in truth.items() if status == "deferred" and REFUSED.search(reason)}
    assert {answer for answer in ANSWERS if wrong[answer]} == refused, {
        answer: (truth[answer], wrong[answer]) for answer in ANSWERS if bool(wrong[answer]) != (answer in refused)}
    assert all(("No mail goes there: %s." % wrong[answer] in said[answer]) for answer in refused)
    assert {"encrypt", "may", "none"} <= {answer for answer, (status, _reason) in truth.items() if status == "sent"}


def test_dane_without_dnssec_lookups_goes_as_with_may(answers: dict) -> None:
    assert answers["s-plain"]["dane"][0] == "sent"
    [hops] = [result["next_hops"] for result in ask(
        "s-plain", "mailsec.postfix_tls.tls_policy_info", "--become", recipients=["admin@a%d.test" % ANSWERS.index("dane")])["s-plain"]["results"]]
    assert hops[0]["level"] == "may" and hops[0]["explanation"].startswith("Level dane is may here: smtp_dns_support_level is disabled, not dnssec.")


def test_a_table_that_cannot_be_opened_keeps_all_mail(answers: dict) -> None:
    assert answers["s-sender"]
    host = Host("s-sender")
    host.write("/etc/postfix/transport", "elsewhere.test smtp:[127.0.3.200]:2526\n", append=True)
    host.run("postconf -e 'smtp_tls_policy_maps=texthash:/etc/postfix/answers, hash:/etc/postfix/gone' && postfix reload && sleep 1.2")
    log_from = int(host.run("wc -c </var/log/mail.log"))
    for domain in ("a0.test", "elsewhere.test"):
        host.run("printf 'Subject: x\\n\\ny\\n' | sendmail -f admin@%s admin@%s" % (host.fqdn, domain))

    def log() -> str:
        return host.run("tail -c +%d /var/log/mail.log" % (log_from + 1))

    wait(lambda: log().count(" status=") >= 2)
    held = ask("s-sender", "mailsec.postfix_tls.tls_policy_info", "--become", recipients=["admin@elsewhere.test", "admin@a0.test"])["s-sender"]["results"]
    assert held[0]["next_hops"][0]["wrong"].startswith("hash:/etc/postfix/gone: this table can't be asked") and held[1]["next_hops"][0]["wrong"] == ""
    assert re.search(r"to=<admin@elsewhere\.test>.*status=deferred \(client TLS configuration problem\)", log()), log()
    assert re.search(r"to=<admin@a0\.test>.*status=sent", log()), log()
