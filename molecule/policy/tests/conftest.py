# SPDX-License-Identifier: GPL-3.0-or-later
"""One message for each cell of the table, what the sender's log says of them, and what the wire showed meanwhile."""
from __future__ import annotations

import time
import uuid
from typing import NamedTuple

import pytest
from capture import Capture
from cells import CELLS, LEVELS, PARTNERS, domain
from post import wait
from reach import Host
from tried import Try, tries

WAIT = 60  # seconds for all messages to be tried
WIRE = "(tcp port 25 or tcp port 587) and not host 127.0.0.1"
_SEEN: dict = {}


class Mail(NamedTuple):
    """All messages. markers, tries: {(level, partner): marker, or each Try in order}. wire: every captured byte."""

    markers: dict
    tries: dict
    wire: bytes


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
