# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of real Postfix 3.5, 3.7, 3.10 and 3.11 count for what was really sent.

They are those of the scenario `audit`, which holds them against what arrived; only the lines of other programs were left out.
"""
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.audit import audit

LOGS = Path(__file__).parent / "logs"
RING = {"3.5": "bookworm", "3.7": "trixie", "3.10": "forky", "3.11": "bullseye"}
BEFORE = {"3.5": "forky", "3.7": "bullseye", "3.10": "bookworm", "3.11": "trixie"}
#: {word: (clear, encrypted, trust)} sent to the next host, first each over a connection of its own, then over connections that are used again.
SENT = {
    "clear": (5, 0, {}), "untrusted": (0, 1, {"Untrusted": 1}), "trusted": (0, 5, {"Trusted": 5}), "verified": (0, 4, {"Verified": 4}),
    "mixed": (1, 1, {"Trusted": 1}),
}
#: {sender's domain: (clear, encrypted)} of a peer, beside the host before, which sends the same as this one.
PEERS = {"peer.test": (2, 1), "old.test": (0, 1), "proxied.test": (1, 0), None: (1, 0)}


@pytest.fixture(params=list(RING))
def release(request) -> str:
    return request.param


def read(tmp_path: Path, text: str) -> dict:
    """As on the day it was written, of which the stamps tell all but the year."""
    path = tmp_path / "mail.log"
    path.write_text(text, encoding="ascii")
    written = time.mktime(time.strptime("2026 " + text.splitlines()[-1][:15], "%Y %b %d %H:%M:%S"))
    os.utime(path, (written, written))
    return audit(None, "", 36500, [str(path)], 1)


def lines(release: str) -> list:
    return (LOGS / (release + ".log")).read_text(encoding="ascii").splitlines()


def test_what_was_sent(tmp_path: Path, release: str) -> None:
    told = read(tmp_path, "\n".join(lines(release)) + "\n")
    assert {row["domain"]: (row["plaintext"], row["encrypted"], row["trust"]) for row in told["sent"]} == {
        "%s.log-%s.test" % (word, RING[release]): numbers for word, numbers in SENT.items()
    }
    assert (told["totals"]["sent"], told["left_out"]["loopback_sent"]) == ({"plaintext": 6, "encrypted": 11, "unknown": 0}, 1)


def test_what_was_received(tmp_path: Path, release: str) -> None:
    told = read(tmp_path, "\n".join(lines(release)) + "\n")
    received = {row["domain"]: (row["plaintext"], row["encrypted"]) for row in told["received"]}
    assert received == dict(PEERS, **{"log-%s.test" % BEFORE[release]: (6, 11)})
    assert [(row["service"], row["encrypted"]) for row in told["submitted"]] == [("postfix/smtps/smtpd", 1), ("postfix/submission/smtpd", 1)]
    assert told["floor"]["TLSv1.3"]["received"] == [{"client": "lab.test", "messages": 1}]


def test_without_a_word_of_tls_only_3_11_tells(tmp_path: Path, release: str) -> None:
    """As with smtp_tls_loglevel = 0, of the letters for which no connection was used again."""
    [_begins, used_again] = [at for at, line in enumerate(lines(release)) if ": reload -- " in line]
    told = read(tmp_path, "\n".join(line for line in lines(release)[:used_again] if " TLS connection established to " not in line) + "\n")
    expected = {"plaintext": 3, "encrypted": 5, "unknown": 0} if release == "3.11" else {"plaintext": 0, "encrypted": 0, "unknown": 8}
    assert told["totals"]["sent"] == expected and {tuple(row["trust"]) for row in told["sent"]} == {()}
