# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail host is hardened, restarted, broken and hardened again while thousands of messages pass through it.

The steps build on each other and run in the order they stand here. What the host sends arrives exactly once: a restart waits for deliveries
to end. What it takes in is at the sender's discretion (RFC 1047): a client that was cut off between its message's end and our reply sends it
again, and its own log says so.
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

import pytest
from capture import Capture, Segment, segments
from post import wait
from reach import Host, play

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
LEAST = 2000  # messages
WAIT = 60  # seconds until mail flows again
DRAINED = 300  # seconds until every queue is empty

#: Runs on source until there are as many messages as its file says, and then says how many. Without the file it ends at once.
TRAFFIC = (
    "echo 1000000 >/run/traffic; nohup sh -c 'n=0; while [ $n -lt $(cat /run/traffic) ]; do n=$((n+1));"
    " smtp-source -S load-$n -f admin@%s -t admin@%s 127.0.0.1:25 || exit; sleep 0.01; done; echo sent $n'"
    " >/run/traffic.out 2>&1 </dev/null &"
)

#: What Postfix logs of a message whose confirmation did not come.
UNCONFIRMED = "while sending end of data -- message may be sent more than once"


class Load:
    """The three hosts, with mail on its way from source over relay to partner, and a capture of what relay sends partner."""

    def __init__(self) -> None:
        self.source, self.relay, self.partner = Host("l-source"), Host("l-relay"), Host("l-partner")
        self.capture = Capture(self.relay, "dst host %s and tcp dst port 25" % self.partner.address, "eth0")
        self.proven = 0.0  # by relay's clock, when the run returned that puts partner under a policy
        self.source.run(TRAFFIC % (self.source.fqdn, self.partner.fqdn))

    def accepted(self) -> int:
        """Messages that relay has taken in so far."""
        return int(self.relay.run("grep -c 'cleanup.*message-id=' /var/log/mail.log", check=False))

    def starts(self) -> int:
        """How often relay's Postfix has come up so far."""
        return int(self.relay.run("grep -c 'daemon started' /var/log/mail.log", check=False))

    def site(self, **variables: object) -> str:
        return play(CONVERGE, self.relay.name, tls_policy_destinations=[{"destination": self.partner.fqdn, "level": "encrypt"}], **variables)

    def refused(self, **variables: object) -> str:
        """What a run said that failed."""
        with pytest.raises(AssertionError) as failed:
            self.site(**variables)
        return " ".join(str(failed.value).split())

    def stop(self) -> int:
        """Ends the traffic, waits until every queue is empty, and returns the number of messages sent."""
        self.source.run("echo %d >/run/traffic" % LEAST)
        sent = wait(lambda: re.search(r"^sent (\d+)$", self.source.run("cat /run/traffic.out"), re.MULTILINE), DRAINED)
        assert sent, "%d s were not enough" % DRAINED
        for host in (self.source, self.relay, self.partner):
            assert wait(lambda: "Mail queue is empty" in host.run("postqueue -f; postqueue -p"), DRAINED)
        return int(sent.group(1))

    def delivered(self) -> dict:
        """{number of a message: [(queue id on source, on relay) of each copy]} in partner's mailbox."""
        copies: dict = {}
        for message in ("\n" + self.partner.run("cat /var/mail/admin")).split("\nFrom ")[1:]:
            _partner, relay, source = re.findall(r"^\tby \S+ \(Postfix\) with \S+ id (\w+)$", message, re.MULTILINE)
            number = int(re.search(r"^Subject: load-(\d+)$", message, re.MULTILINE).group(1))
            copies.setdefault(number, []).append((source, relay))
        return copies


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    load = Load()
    yield load
    load.source.run("rm -f /run/traffic")


@pytest.fixture
def at_work(load: Load) -> Iterator[None]:
    """Relay takes mail in while the step runs, and mail flows again once it has ended."""
    before = load.accepted()
    yield
    after = load.accepted()
    assert after > before, "relay was idle, so the step proves nothing"
    assert wait(lambda: load.accepted() > after, WAIT)


def test_before_the_change_mail_flows(load: Load) -> None:
    assert wait(lambda: load.accepted() > 100, WAIT)


def test_the_host_is_hardened_and_its_partner_put_under_a_policy(load: Load, at_work: None) -> None:
    before = load.starts()
    load.site()
    load.proven = float(load.relay.run("date +%s.%N"))
    assert load.starts() == before + 1


def test_the_host_is_restarted_and_takes_mail_again(load: Load, at_work: None) -> None:
    for level in (0, 1, 0):
        accepted, before = load.accepted(), load.starts()
        load.site(smtpd_tls_loglevel=level)
        assert wait(lambda: load.accepted() > accepted, WAIT)
        assert load.starts() == before + 1


def test_a_key_of_another_certificate_is_refused_and_nothing_is_restarted(load: Load, at_work: None) -> None:
    before = load.starts()
    said = load.refused(tls_certificate_key_file=load.partner.vars["lab_key_file"])
    assert "the key belongs to none of its certificates" in said
    assert load.starts() == before


def test_a_change_that_breaks_the_handshake_is_put_back(load: Load, at_work: None) -> None:
    before = load.starts()
    configuration = load.relay.run("cat /etc/postfix/main.cf")
    said = load.refused(smtpd_tls_parameters={"smtpd_tls_exclude_ciphers": "ALL"})
    assert "The old state is back and Postfix answers with it" in said
    assert load.relay.run("cat /etc/postfix/main.cf") == configuration
    assert load.starts() == before + 2, "once with the change, once without"


def test_the_host_is_hardened_again(load: Load, at_work: None) -> None:
    before = load.starts()
    load.site(smtpd_tls_loglevel=2)
    assert load.starts() == before + 1


def test_every_message_arrives_and_none_is_sent_twice(load: Load) -> None:
    sent = load.stop()
    copies = load.delivered()
    assert sent >= LEAST
    assert sorted(set(range(1, sent + 1)) - set(copies)) == [], "lost, of %d" % sent
    repeated = {number: paths for number, paths in copies.items() if len(paths) > 1}
    unexplained = {number: paths for number, paths in repeated.items() if len(paths) - 1 != cut_off(load, paths)}
    assert unexplained == {}, "sent again, of %d" % sent


def test_some_went_to_the_partner_in_the_clear_before_the_policy_was_proven_and_none_after(load: Load) -> None:
    sessions = dialogues(segments(load.capture.stop()))
    clear = [session for session in sessions if readable(session)]
    encrypted = [session for session in sessions if not readable(session) and b"STARTTLS\r\n" in said(session)]
    before = [session for session in clear if session[0].time < load.proven]
    after = [said(session)[:200] for session in clear if session[-1].time >= load.proven]
    assert before, "the capture holds nothing in the clear, so it can't see any"
    assert after == [], "%d of %d sessions" % (len(after), len(sessions))
    assert [session for session in encrypted if session[0].time > load.proven], "the capture ends with the policy, so it proves nothing"


def cut_off(load: Load, paths: list) -> int:
    """How many further copies of a message were sent to us again, for want of our reply. None of them may have been sent again by us."""
    [source] = {source for source, _relay in paths}
    again = int(load.source.run("grep -c ' %s: .*%s' /var/log/mail.log" % (source, UNCONFIRMED), check=False))
    return min(again, len({relay for _source, relay in paths}) - 1)


def dialogues(captured: Iterator[Segment]) -> list:
    """The segments that carry something, a list a connection. A port comes back with another connection, which its SYN tells."""
    sessions: list = []
    current: dict = {}
    for segment in captured:
        if segment.opens:
            current[segment.port] = []
            sessions.append(current[segment.port])
        elif segment.payload:
            current[segment.port].append(segment)
    return [session for session in sessions if session]


def said(session: list) -> bytes:
    return b"".join(segment.payload for segment in session)


def readable(session: list) -> bool:
    return bool(re.search(rb"^(MAIL FROM:|RCPT TO:|DATA\r\n|Subject: load-)", said(session), re.MULTILINE))
