# SPDX-License-Identifier: GPL-3.0-or-later
"""A line that is four times as long takes about four times as long: nothing that reads a log goes over a stranger's words again and again."""
from __future__ import annotations

import time
from typing import Callable

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.received import Received
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.sent import Sent
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.stamps import Clock
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.tally import Silence
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import causes, log

#: What a stranger may repeat as often as a line is long, behind what a line of Postfix's begins with.
BEGINS = (
    "", "A1: to=<", "A1: client=", "A1: from=<", "connect from ", "proxy-accept: END-OF-MESSAGE: 250 Ok; from=<", "proxy-accept: END-OF-MESSAGE: ",
    "Trusted TLS connection established from ", "Trusted TLS connection established to ", "disconnect from ", "mx postfix/smtpd[7]: connect from ",
    "A1: to=<a@b>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (",
)
BOMBS = ("; from=<", "postfix", "a", "<", ">", '"', '\\"', "[", "[1", "[1.", "]", " ", "a/", "a ", "> to=<", "1", ".", ", relay=", "queued as A", "@", "a=b ")
SHORT, LONG = 3000, 12000
READERS: dict = {
    "what was sent": lambda line: Sent(Silence()).line(b"mx postfix/smtp", b"7", line.encode(), 1.0, True),
    "what was received": lambda line: _received(line.encode()),
    "stamps": lambda line: Clock(1.0).split(line.encode()),
    "warnings": log._warns,
    "causes": lambda line: causes.caused_by([], [line, "mx postfix/smtpd[7]: " + line], "127.0.0.1"),
}


def _received(line: bytes) -> None:
    session = Received(Silence())
    session.smtpd(b"mx postfix/smtpd", b"9", b"connect from h[192.0.2.7]", 1.0, True)
    session.smtpd(b"mx postfix/smtpd", b"9", b"NOQUEUE: client=h[192.0.2.7]", 1.0, True)
    session.smtpd(b"mx postfix/smtpd", b"9", line, 1.0, True)
    session.qmgr(b"mx postfix/qmgr", b"3", line, 1.0, True)


def seconds(read: Callable, line: str) -> float:
    """Of this process alone, the best of three: what else the machine does only adds to it."""
    best = float("inf")
    for _turn in range(3):
        begun = time.process_time()
        read(line)
        best = min(best, time.process_time() - begun)
    return best


@pytest.mark.parametrize("reader", READERS)
def test_no_line_takes_sixteen_times_as_long_for_four_times_the_length(reader: str, monkeypatch) -> None:
    monkeypatch.setattr(causes, "LONGEST", LONG * 2)  # as if no line were cut
    slow = []
    for begin in BEGINS:
        for bomb in BOMBS:
            short, long = (seconds(READERS[reader], begin + bomb * (length // len(bomb))) for length in (SHORT, LONG))
            if long > 10 * max(short, 0.0005):  # less than that is not measured well
                slow.append((begin, bomb, short, long))
    assert slow == []
