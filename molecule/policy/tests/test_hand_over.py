# SPDX-License-Identifier: GPL-3.0-or-later
"""A table that a postmaster wrote and wants to hand over, as tutorials name it, and tables that Postfix can't open: mail to everybody goes on."""
from __future__ import annotations

from typing import Iterator

import pytest
from post import wait
from reach import Host, ask

MODULE = "mailsec.postfix_tls.postfix_tls"
POLICY = {"destinations": [{"destination": "bank.test", "level": "encrypt"}]}


@pytest.fixture
def theirs() -> Iterator[Host]:
    """With /etc/postfix/tls_policy and its index. Its configuration is the same again afterwards."""
    host = Host("s-plain")
    host.run("rm -rf /root/postfix-before && cp -a /etc/postfix /root/postfix-before; rm -f /etc/postfix/tls_policy*; postsuper -d ALL")
    host.write("/etc/postfix/tls_policy", "bank.test encrypt\n")
    host.write("/etc/postfix/transport", "elsewhere.test smtp:[127.0.0.2]:9\n")
    host.run("postmap %s && postconf -e transport_maps=texthash:/etc/postfix/transport smtp_tls_policy_maps=%s && postfix reload"
             % (("$(postconf -hx default_database_type):/etc/postfix/tls_policy",) * 2))
    yield host
    host.run("postsuper -d ALL; rm -rf /etc/postfix && mv /root/postfix-before /etc/postfix; postfix reload", check=False)


def refused(host: Host) -> str:
    before = host.run("cat /etc/postfix/main.cf; ls -l /etc/postfix")
    told = ask(host.name, MODULE, "--become", policy=POLICY)[host.name]
    assert told["failed"] and host.run("cat /etc/postfix/main.cf; ls -l /etc/postfix") == before
    return told["msg"]


def last_word(host: Host, domain: str) -> str:
    """What becomes of a message, as the log has it."""
    log_from = int(host.run("wc -c </var/log/mail.log"))
    host.run("printf 'Subject: x\\n\\ny\\n' | sendmail -f admin@%s admin@%s" % (host.fqdn, domain))
    return wait(lambda: host.run("tail -c +%d /var/log/mail.log | grep -o 'to=<admin@%s>.*status=.*'" % (log_from + 1, domain), check=False))


def test_a_table_is_handed_over_in_two_steps_that_are_told_and_mail_goes_on(theirs: Host) -> None:
    table = theirs.run("postconf -h smtp_tls_policy_maps").strip()
    index = "/etc/postfix/tls_policy." + {"hash": "db"}.get(table.split(":")[0], table.split(":")[0])
    assert refused(theirs).startswith("/etc/postfix/tls_policy: this file is not one that was written here")
    theirs.run("mv /etc/postfix/tls_policy /etc/postfix/tls_policy.old")
    assert refused(theirs).startswith("%s: this file is not one that was written here" % index), "what is in the way now"
    theirs.run("mv %s %s.old" % (index, index))
    assert "client TLS configuration problem" in last_word(theirs, "elsewhere.test"), "what would be so if the table stayed in the list"
    assert not ask(theirs.name, MODULE, "--become", policy=POLICY)[theirs.name]["failed"]
    assert theirs.run("postconf -h smtp_tls_policy_maps").strip() == "texthash:/etc/postfix/tls_policy"
    assert "Connection refused" in last_word(theirs, "elsewhere.test"), "it is tried again; nobody listens there"


@pytest.mark.parametrize("table", ["hash:/etc/postfix/gone", "inline:{ a.test }"])
def test_a_table_that_postfix_cannot_open_is_refused_before_anything_is_written(table: str, theirs: Host) -> None:
    theirs.run("rm -f /etc/postfix/tls_policy*; postconf -e 'smtp_tls_policy_maps=%s' && postfix reload && sleep 1.2" % table)
    assert "client TLS configuration problem" in last_word(theirs, "elsewhere.test")
    assert refused(theirs).startswith("smtp_tls_policy_maps = %s: this table can't be asked" % table)


@pytest.mark.parametrize("setting, level, reason", [
    ("smtp_tls_wrappermode=yes", "may", "smtp_tls_wrappermode needs level encrypt or a stronger one"),
    ("smtp_dns_support_level=disabled", "dane-only", "this host does not validate DNS for mail"),
    ("smtp_never_send_ehlo=yes", "encrypt", "smtp_never_send_ehlo is yes"),
    ("smtp_discard_ehlo_keywords=starttls", "encrypt", "smtp_discard_ehlo_keywords hides STARTTLS"),
])
def test_an_entry_on_which_nothing_would_be_sent_is_refused_and_is_one(setting: str, level: str, reason: str, theirs: Host) -> None:
    """The host's own port 25 is the partner: it takes mail, and has TLS for whoever asks."""
    theirs.run("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own.test -days 2 -keyout /root/own.pem -out /root/own.crt 2>&1;"
               " cat /root/own.crt >>/root/own.pem")
    theirs.write("/etc/postfix/transport", "bank.test smtp:[127.0.0.1]:2526\n")
    theirs.write("/etc/postfix/by_hand", "[127.0.0.1]:2526 %s\n" % level)
    theirs.run(
        "rm -f /etc/postfix/tls_policy*; postconf -M '2526/inet=2526 inet n - n - - smtpd -o smtpd_tls_security_level=may"
        " -o smtpd_tls_chain_files=/root/own.pem -o {smtpd_end_of_data_restrictions=check_client_access static:discard}';"
        " postconf -e transport_maps=texthash:/etc/postfix/transport smtp_tls_policy_maps=texthash:/etc/postfix/by_hand smtp_tls_security_level=may '%s';"
        " postfix reload; sleep 1.2" % setting)
    assert "status=deferred" in last_word(theirs, "bank.test")
    theirs.run("postconf -X smtp_tls_policy_maps")
    told = ask(theirs.name, MODULE, "--become", policy={"destinations": [{"destination": "[127.0.0.1]:2526", "level": level}]})[theirs.name]
    assert told["failed"] and reason in told["msg"], told
