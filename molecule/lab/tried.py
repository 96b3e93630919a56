# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sender's log says became of messages to users called admin."""
from __future__ import annotations

import re
from typing import NamedTuple

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
