# SPDX-License-Identifier: GPL-3.0-or-later
"""The ring of hosts, each sending to the next one, and what arrived there: its mailbox, whose Received: headers say how each message came."""
from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from post import wait
from reach import Host, ask

NAMES = ("log-bullseye", "log-bookworm", "log-trixie", "log-forky")
HOSTS = {name: Host(name) for name in NAMES}
NEXT = dict(zip(NAMES, NAMES[1:] + NAMES[:1]))
SYSTEMD = NAMES[:3]
MODULE = "mailsec.postfix_tls.tls_log_info"
LOG = "/var/log/mail.log"

#: How much is on its way.
LEFT = "{ postqueue -j | grep -v deferred; find /var/spool/postfix/maildrop -type f; } | wc -l"
MAIL = "m() { printf 'Subject: x\\n\\nx\\n' | sendmail -f s@%s.test \"$@\"; }; "
#: A peer that speaks SMTP itself, of Python's own: host, and the domain it writes to.
PEER = """
import smtplib, ssl, sys
host, domain = sys.argv[1:]
tls, old = ssl._create_unverified_context(), ssl._create_unverified_context()
old.maximum_version = ssl.TLSVersion.TLSv1_2
def send(session, sender):
    session.sendmail(sender, ["a@" + domain], "Subject: x\\r\\n\\r\\nx")
def begin(sender):
    session = smtplib.SMTP(host, 25)
    session.ehlo(), session.mail(sender), session.rcpt("a@" + domain)
    return session
with smtplib.SMTP(host, 25) as session:
    send(session, "p@peer.test"), send(session, "p@peer.test"), session.starttls(context=tls), send(session, "p@peer.test")
with smtplib.SMTP(host, 25) as session:
    session.starttls(context=old), send(session, "p@old.test")
with smtplib.SMTP(host, 25) as session:
    send(session, "")
with smtplib.SMTP(host, 2530) as session:
    send(session, "p@proxied.test")
with begin("p@aborted.test") as session:
    session.docmd("RSET")
session = begin("p@lost.test")
session.docmd("DATA"), session.send(b"x\\r\\n"), session.close()
with smtplib.SMTP(host, 25) as session:
    try:
        session.sendmail("p@refused.test", ["x@elsewhere.test"], "x")
    except smtplib.SMTPRecipientsRefused:
        pass
with smtplib.SMTP(host, 587) as session:
    session.starttls(context=tls), send(session, "u@user.test")
with smtplib.SMTP_SSL(host, 465, context=tls) as session:
    send(session, "u@user.test")
"""


def each(act: Callable, names: tuple = NAMES) -> dict:
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(act, names)))


def told(**arguments: object) -> dict:
    answers = ask("audit", MODULE, "--become", **arguments)
    for name, answer in answers.items():
        assert not answer["failed"] and answer["errors"] == [], (name, answer)
    return answers


def configured(name: str, settings: str, restart: str = "postfix reload 2>/dev/null") -> None:
    """A main.cf younger than a second makes every program that reads it wait, so it is made to look older."""
    HOSTS[name].run("set -e; %s; touch -d '1 minute ago' /etc/postfix/main.cf; %s; sleep 1" % (settings, restart))


def post(letters: str, peer: bool = False, names: tuple = NAMES) -> dict:
    """{host: what arrived at the next one of what this host sent}, once its queue is empty but for what is deferred."""
    def send(name: str) -> None:
        host, there = HOSTS[name], HOSTS[NEXT[name]]
        if peer:
            host.run("python3 - %s clear.%s.test" % (there.fqdn, there.name), stdin=PEER)
        host.run(MAIL % name + letters.replace("NEXT", there.name))

    each(lambda name: HOSTS[name].run("rm -f /var/mail/admin"))
    each(send, names)
    for _side in ("sent", "delivered"):
        each(lambda name: wait(lambda: HOSTS[name].run(LEFT).strip() == "0", 90))
    return {name: Arrived(HOSTS[NEXT[name]].run("cat /var/mail/admin")) for name in names}


class Arrived:
    """What a mailbox says. Each (queue id, domain) is one message, however many recipients it has there."""

    def __init__(self, mailbox: str) -> None:
        self.sent: dict = {}
        self.received: dict = {}
        for letter in ("\n" + mailbox).split("\nFrom ")[1:]:
            headers = letter.split("\n\n", 1)[0].replace("\n\t", " ").replace("\n ", " ")
            received = re.search(r"^Received: (.*)$", headers, re.MULTILINE).group(1)
            came = re.search(r" with (?:UTF8|E)?SMTPS? id (\w+)", received)
            if not came:  # it was handed over on the host itself
                continue
            sender = re.search(r"^Return-Path: <(.*)>$", headers, re.MULTILINE).group(1).rpartition("@")[2] or None
            to = re.search(r"^X-Original-To: \S+@(\S+)$", headers, re.MULTILINE).group(1)
            protocol = (re.findall(r"\(using (\S+) with cipher", received) or [None])[0]
            self.sent.setdefault(to, {})[came.group(1)] = protocol
            self.received.setdefault(sender, {})[came.group(1)] = protocol

    def of(self, sender: str) -> dict:
        """{domain: (clear, encrypted, protocols)} as the sender should tell it."""
        return {to: counts(kept) for to, by_id in self.sent.items() if (kept := {one: by_id[one] for one in by_id if one in self.received[sender]})}

    def by_sender(self) -> dict:
        return {sender: counts(by_id) for sender, by_id in self.received.items()}


def counts(protocols: dict) -> tuple:
    encrypted = Counter(filter(None, protocols.values()))
    return len(protocols) - sum(encrypted.values()), sum(encrypted.values()), dict(encrypted)


def rows(listed: list, key: str) -> dict:
    return {row[key]: (row["plaintext"], row["encrypted"], row["protocols"]) for row in listed}
