# SPDX-License-Identifier: GPL-3.0-or-later
"""One message for each cell of the table, what the sender's log says of them, and what the wire showed meanwhile."""
from __future__ import annotations

import re
import time
import uuid
from typing import NamedTuple

import pytest
from capture import Capture
from cells import CELLS, LEVELS, PARTNERS, domain
from post import wait
from reach import Host

WAIT = 60  # seconds for all messages to be tried
WIRE = "(tcp port 25 or tcp port 587) and not host 127.0.0.1"
_SEEN: dict = {}

#: An smtp process has one message at a time, so the connection it tells of is that of the status it tells of next.
_LINE = re.compile(
    r"/smtp\[(?P<pid>\d+)\]: (?:(?P<word>\w+) TLS connection (?:established|reused) to |"
    r"(?:server )?certificate verification failed for [^ ]+: (?P<fault>.*)|warning: (?P<warning>smtp_tls_.*)|"
    r"\w+: (?P<lost>(?:lost connection|conversation) with .*)$|"
    r"\w+: to=<admin@(?P<domain>[^>]+)>, .*status=(?P<status>\w+) \((?P<reason>.*)\)$)"
)


class Try(NamedTuple):
    """One attempt to deliver. word: of its connection, as in EXPECTED, "clear" where none was encrypted, or "deferred". reason: what the server or
    Postfix said, and then what Postfix found wrong, where it said that in a line of its own.
    """

    word: str
    reason: str


class Mail(NamedTuple):
    """All messages. markers, tries: {(level, partner): marker, or each Try in order}. wire: every captured byte."""

    markers: dict
    tries: dict
    wire: bytes


def tries(log: str) -> dict:
    """{domain: each Try in order} of the sender's log."""
    words: dict = {}
    faults: dict = {}
    found: dict = {}
    for line in filter(None, map(_LINE.search, log.splitlines())):
        if line["word"]:
            words[line["pid"]] = line["word"]
        elif line["lost"]:
            words.pop(line["pid"], None)  # what comes next is another connection
        elif not line["status"]:
            faults[line["pid"]] = ": " + (line["fault"] or line["warning"])
        else:
            word, fault = words.pop(line["pid"], "clear"), faults.pop(line["pid"], "")
            attempt = Try(word, line["reason"]) if line["status"] == "sent" else Try(line["status"], line["reason"] + fault)
            found.setdefault(line["domain"], []).append(attempt)
    return found


@pytest.fixture(scope="session")
def sender() -> Host:
    return Host("s-sender")


@pytest.fixture(scope="session")
def mail(sender: Host) -> Mail:
    """Each was tried until it was delivered, but no more than twice: where it may, Postfix delivers in the clear on the second try alone."""
    markers = {cell: "marker-%s" % uuid.uuid4().hex for cell in CELLS}
    sender.run("postsuper -d ALL")
    log_from = int(sender.run("wc -c </var/log/mail.log"))
    capture = Capture(sender, WIRE)

    def told() -> str:
        return sender.run("tail -c +%d /var/log/mail.log" % (log_from + 1))

    def settled(deferrals: int) -> bool:
        seen = tries(told())
        return all(domain(*cell) in seen and (seen[domain(*cell)][-1].word != "deferred" or len(seen[domain(*cell)]) >= deferrals) for cell in CELLS)

    sender.run(
        "while read marker to; do printf 'Subject: %%s\\n\\nThe body holds %%s too.\\n' $marker $marker | sendmail -f admin@%s $to; done" % sender.fqdn,
        stdin="".join("%s admin@%s\n" % (marker, domain(*cell)) for cell, marker in markers.items()),
    )
    wait(lambda: settled(1), WAIT)
    time.sleep(1.5)  # more than minimal_backoff_time
    sender.run("postqueue -f")
    wait(lambda: settled(2), WAIT)
    seen = tries(told())
    mail = Mail(markers, {cell: seen.get(domain(*cell), []) for cell in CELLS}, capture.stop())
    _SEEN.update(mail.tries)
    return mail


def pytest_terminal_summary(terminalreporter) -> None:
    """What became of each message: a row a partner, a column a level; then the reasons of what waits."""
    if not _SEEN:
        return
    terminalreporter.section("policy: levels and partners")
    last = {cell: attempts[-1] if attempts else Try("-", "not tried") for cell, attempts in _SEEN.items()}
    for row in [("", *LEVELS), *((partner, *(last[level, partner].word for level in LEVELS)) for partner in PARTNERS)]:
        terminalreporter.write_line("".join("%-13s" % text for text in row).rstrip())
    for (level, partner), attempt in last.items():
        if attempt.word == "deferred":
            terminalreporter.write_line("%s: %s" % (domain(level, partner), attempt.reason))
