# SPDX-License-Identifier: GPL-3.0-or-later
"""What four releases of Postfix do with a message to foreign servers at each level, against what tls_policy_info and tls_survey_info say of them on the
same host.
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Iterator

import pytest
from differences import RELEASES
from faults import CASES, intermediate, named, root
from mailservers import NAME
from post import wait
from reach import Host, ask
from running import prepare, running
from tried import tries

SENDERS = tuple(RELEASES.values())
LEVELS = ("may", "encrypt", "secure")
#: {case: what becomes of mail at each level, where it does not matter which release sends; by release, where it does}. From the log: the word of the
#: connection, clear, waits, returned.
BECOMES = {
    "exim healthy": ("Trusted", "Trusted", "Verified"),
    "exim unnamed-self-signed": ("Untrusted", "Untrusted", "waits"),
    "exim sha1": ("Trusted", "Trusted", {"y-bullseye": "Verified", "": "waits"}),
    "exim client-demanded": ("waits", "waits", "waits"),
    "exim key-of-another": ("clear", "waits", "waits"),
    "nginx client-demanded-tls12": ("waits", "waits", "waits"),
    "stunnel expired": ("Untrusted", "Untrusted", "waits"),
    "aiosmtpd client-demanded": ("waits", "waits", "waits"),
    "chasquid other-name": ("Trusted", "Trusted", "waits"),
    "courier healthy": ("Trusted", "Trusted", "Verified"),
}
PORTS = {name: 2000 + [named(case) for case in CASES].index(name) for name in BECOMES}
CELLS = [(level, name) for name in BECOMES for level in LEVELS]
_LOG = "/var/log/mail.log"


def recipient(level: str, name: str) -> str:
    return "admin@%s.%d.foreign.test" % (level, PORTS[name])


def hop(name: str) -> str:
    return "[%s]:%d" % (NAME, PORTS[name])


def expected(sender: str, level: str, name: str) -> str:
    word = BECOMES[name][LEVELS.index(level)]
    return word if isinstance(word, str) else word.get(sender, word[""])
