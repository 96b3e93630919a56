# SPDX-License-Identifier: GPL-3.0-or-later
"""Who must use TLS to deliver is refused in the clear and taken with TLS, everybody else is taken as before, and the postmaster's own restrictions
do what they did.

The client that must is q-sender, by its address; so is the sender domain partner.example, from whatever client. The two hosts that receive are others
for each other. The steps build on each other and run in the order they stand here.
"""
from __future__ import annotations

import json
import re
import smtplib
import uuid
from pathlib import Path
from typing import Iterator

import pytest
from post import Sent, flush, wait
from reach import Host, play
from witness import tree

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
OWN = (Path(__file__).resolve().parents[1] / "etc" / "own.cf").read_text(encoding="utf-8")
DIALOGUE = Path(__file__).with_name("dialogue.py").read_text(encoding="utf-8")
RECEIVERS = ("q-bullseye", "q-forky")
NOBODY = {"smtpd_tls_required_clients": [], "smtpd_tls_required_senders": []}

REFUSED = "450 4.7.1 Session encryption is required"
TAKEN = "250 2.1.5 Ok"

#: What clients, by how they are taken for others (XCLIENT), and senders are held against: each, and whether it must use TLS.
ENTRIES = {
    "smtpd_tls_required_clients": ["192.0.2.0/24", "198.51.100.7", "2001:db8:25::/48", "mail.partner.example", ".below.example"],
    "smtpd_tls_required_senders": ["partner.example", ".below.example", "one+x/y$z@single.example", "xn--bcher-kva.example"],
}
CLIENTS = [
    ("ADDR=192.0.2.255 NAME=[UNAVAILABLE]", True),
    ("ADDR=192.0.3.0 NAME=[UNAVAILABLE]", False),
    ("ADDR=198.51.100.7 NAME=any.example", True),
    ("ADDR=198.51.100.77 NAME=any.example", False),
    ("ADDR=IPV6:2001:db8:25:ffff::1 NAME=[UNAVAILABLE]", True),
    ("ADDR=IPV6:2001:db8:26::1 NAME=[UNAVAILABLE]", False),
    ("ADDR=203.0.113.1 NAME=mail.partner.example", True),
    ("ADDR=203.0.113.1 NAME=MAIL.Partner.example", True),
    ("ADDR=203.0.113.1 NAME=a.mail.partner.example", False),
    ("ADDR=203.0.113.1 NAME=partner.example", False),
    ("ADDR=203.0.113.1 NAME=a.b.below.example", True),
    ("ADDR=203.0.113.1 NAME=below.example", False),
    ("ADDR=203.0.113.1 NAME=[UNAVAILABLE] REVERSE_NAME=mail.partner.example", False),
]
SENDERS = [
    ("a@partner.example", True),
    ("A@PARTNER.example.", True),
    ("\"a@b\"@partner.example", True),
    ("a@sub.partner.example", False),
    ("a@notpartner.example", False),
    ("a@b.below.example", True),
    ("a@below.example", False),
    ("one+x/y$z@single.example", True),
    ("one@single.example", False),
    ("a@xn--bcher-kva.example", True),
    ("a@bücher.example", True),
    ("a@BÜCHER.example", True),
    ("", False),
]


@pytest.fixture(scope="module")
def partner() -> Iterator[Host]:
    """Sends in the clear, but where a test has it otherwise."""
    host = Host("q-sender")
    host.run("postfix start >/dev/null 2>&1 || :")
    sends(host, "none")
    yield host
    sends(host, "none")


@pytest.fixture(params=RECEIVERS)
def receiver(request) -> Host:
    return Host(request.param)


@pytest.fixture
def other(receiver: Host) -> Host:
    return other_than(receiver)


def other_than(receiver: Host) -> Host:
    """A client that nothing is asked of. It sends in the clear."""
    return Host(next(name for name in RECEIVERS if name != receiver.name))


def site(*options: str, **variables: object) -> str:
    return play(CONVERGE, ",".join(RECEIVERS), *options, **variables)


def refused(**variables: object) -> str:
    """What a run said that failed on both hosts, and changed neither."""
    before = trees()
    with pytest.raises(AssertionError) as failed:
        site(**variables)
    said = " ".join(str(failed.value).split())
    assert trees() == before and said.count("fatal: [") == len(RECEIVERS)
    return said


def trees() -> list:
    return [tree(Host(name)) for name in RECEIVERS]


def became(client: Host | None, sender: str = "") -> list:
    """What becomes of a message of a client, or of the other host, at each receiver."""
    logs = [sent(client or other_than(receiver), receiver, sender).log for receiver in map(Host, RECEIVERS)]
    return [re.search(r"status=(\w+)", log).group(1) for log in logs]


def sends(host: Host, level: str) -> None:
    """Has a host send with this level, in the clear or with TLS where that is offered."""
    host.run("postconf -e smtp_tls_security_level=%s; touch -d '1 minute ago' /etc/postfix/main.cf; postfix reload" % level)


def sent(client: Host, receiver: Host, sender: str = "", keep: bool = False) -> Sent:
    """A message with this envelope sender, and what the client's own log says became of it. keep: in the client's queue, where it was deferred."""
    marker = "marker-%s" % uuid.uuid4().hex
    log_from = int(client.run("wc -c </var/log/mail.log"))
    client.run("printf 'Subject: %s\\n\\nbody\\n' | sendmail -f %s admin@%s" % (marker, sender or "admin@" + client.fqdn, receiver.fqdn))
    command = "tail -c +%d /var/log/mail.log | grep -F 'to=<admin@%s>' | grep status=" % (log_from + 1, receiver.fqdn)
    line = str(wait(lambda: client.run(command, check=False)))
    if "status=deferred" in line and not keep:
        client.run("postsuper -d ALL 2>&1")
    return Sent(marker, b"", flush(client, receiver, marker) if "status=sent" in line else None, line)


def answers(client: Host, receiver: Host, *asked: dict) -> list:
    """What the receiver answers to these dialogues (dialogue.py), without a Postfix on the other side."""
    client.write("/tmp/dialogue.py", DIALOGUE)
    lines = [json.dumps(dict({"host": receiver.fqdn, "recipient": "admin@" + receiver.fqdn, "sender": "a@else.example"}, **one)) for one in asked]
    return json.loads(client.run("python3 /tmp/dialogue.py", stdin="\n".join(lines) + "\n"))


def test_a_client_that_must_use_tls_is_refused_in_the_clear_and_taken_with_it(partner: Host, receiver: Host) -> None:
    first = sent(partner, receiver, keep=True)
    assert "status=deferred" in first.log and "said: %s (in reply to RCPT TO command)" % REFUSED in first.log, first.log
    assert "reject: RCPT from q-sender.lab.test[%s]: %s" % (partner.address, REFUSED) in receiver.run("tail -5 /var/log/mail.log")
    sends(partner, "may")
    try:
        message = flush(partner, receiver, first.marker)
        assert message and "with ESMTPS id" in Sent(first.marker, b"", message, "").received, "what was refused for a while is not lost"
    finally:
        sends(partner, "none")


def test_a_sender_that_must_use_tls_is_refused_in_the_clear_and_taken_with_it_from_whatever_client(receiver: Host, other: Host) -> None:
    line = sent(other, receiver, "someone@partner.example").log
    assert "status=deferred" in line and "said: %s (in reply to RCPT TO command)" % REFUSED in line, line
    sends(other, "may")
    try:
        second = sent(other, receiver, "someone@partner.example")
        assert "status=sent" in second.log and "with ESMTPS id" in second.received
    finally:
        sends(other, "none")


@pytest.mark.parametrize("sender", ["", "someone@else.example", "someone@sub.partner.example", "someone@notpartner.example"])
def test_everybody_else_is_taken_in_the_clear(receiver: Host, other: Host, sender: str) -> None:
    message = sent(other, receiver, sender)
    assert "status=sent" in message.log and "with ESMTP id" in message.received


def test_the_restrictions_of_the_house_do_what_they_did(partner: Host, receiver: Host, other: Host) -> None:
    line = sent(other, receiver, "someone@bad.example").log
    assert "status=bounced" in line and "said: 554 5.7.1 <someone@bad.example>: Sender address rejected: not you" in line, line
    kiosk = smtplib.SMTP(receiver.address, 25, "kiosk.example", timeout=20)
    with kiosk:
        kiosk.ehlo()
        kiosk.mail("a@else.example")
        code, text = kiosk.rcpt("admin@" + receiver.fqdn)
    assert code == 554 and b"Client host rejected: Access denied" in text
    assert answers(partner, receiver, {"sender": "someone@bad.example", "tls": True}, {"sender": "someone@bad.example"}) == [TAKEN, REFUSED], \
        "permit_mynetworks permits as ever, behind what is asked first"


def test_the_restrictions_of_the_house_stand_as_they_were_written(receiver: Host) -> None:
    written = receiver.run("cat /etc/postfix/main.cf")
    ours = re.findall(r"    check_(?:client|sender)_access (?:cidr|regexp):/etc/postfix/tls_required_\w+,\n", written)
    assert len(ours) == 2 and OWN.replace("    permit_mynetworks", "".join(ours) + "    permit_mynetworks") in written


def test_a_postmaster_can_have_it_refused_for_good(partner: Host) -> None:
    site(smtpd_tls_parameters={"plaintext_reject_code": 530})
    for receiver in map(Host, RECEIVERS):
        line = sent(partner, receiver).log
        assert "status=bounced" in line and "said: 530 5.7.1 Session encryption is required (in reply to RCPT TO command)" in line, line
    site(smtpd_tls_parameters={"plaintext_reject_code": None}, **ENTRIES)
    assert "said: %s" % REFUSED in sent(Host(RECEIVERS[0]), Host(RECEIVERS[1]), "a@partner.example").log


def test_an_entry_stands_for_what_it_says_and_for_nothing_else(partner: Host) -> None:
    asked = [{"xclient": client} for client, _must in CLIENTS] + [{"xclient": "ADDR=203.0.113.1", "sender": sender} for sender, _must in SENDERS]
    expected = [(one, REFUSED if must else TAKEN) for one, (_name, must) in zip(asked, CLIENTS + SENDERS)]
    for receiver in map(Host, RECEIVERS):
        assert list(zip(asked, answers(partner, receiver, *asked))) == expected
        assert answers(partner, receiver, *[dict(one, tls=True) for one in asked]) == [TAKEN] * len(asked)


def test_a_client_is_known_by_its_name_too(partner: Host) -> None:
    site(smtpd_tls_required_clients=["q-sender.lab.test"])
    assert (became(partner), became(None)) == (["deferred"] * 2, ["sent"] * 2)
    site(smtpd_tls_required_clients=[".lab.test"])
    assert (became(partner), became(None)) == (["deferred"] * 2, ["deferred"] * 2)


def test_it_is_the_same_where_restrictions_are_asked_at_once(partner: Host) -> None:
    """What stands in smtpd_client_restrictions is then asked before a client can use TLS; there the house turns the kiosk away, so nobody looks from it."""
    site(smtpd_tls_parameters={"smtpd_delay_reject": False}, tls_hardening_verify=False)
    for receiver in map(Host, RECEIVERS):
        assert answers(partner, receiver, {}, {"tls": True}) == [REFUSED, TAKEN]


def test_it_is_refused_where_nobody_could_use_tls() -> None:
    assert "this host offers no TLS for receiving, so those who must use it could never deliver" in refused(smtpd_tls_enabled=False)


def test_an_entry_that_can_not_be_meant_is_refused_before_anything_changed() -> None:
    said = refused(smtpd_tls_required_clients=["192.0.2.1/24"])
    assert "Write 192.0.2.0/24 for the network, or 192.0.2.1 for that host alone." in said


def test_check_mode_says_what_would_be_taken_away_and_takes_nothing(partner: Host) -> None:
    before = trees()
    said = site("--check", "--diff", smtpd_tls_parameters={"smtpd_delay_reject": None}, **NOBODY)
    assert len(re.findall(r"^-\s+check_client_access cidr:/etc/postfix/tls_required_networks,$", said, re.MULTILINE)) == said.count("changed=1") == 2
    assert trees() == before
    assert became(partner) == ["deferred"] * 2


def test_once_nobody_must_all_is_as_if_nobody_ever_had_to(partner: Host) -> None:
    site(smtpd_tls_parameters={"smtpd_delay_reject": None}, **NOBODY)
    never = trees()
    assert all(OWN in Host(name).run("cat /etc/postfix/main.cf") for name in RECEIVERS) and "tls_required" not in str(never)
    assert (became(partner), became(None, "someone@partner.example")) == (["sent"] * 2, ["sent"] * 2)
    site()
    assert not set(trees()) & set(never)
    site(**NOBODY)
    assert trees() == never
