# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a log holds, it is read to its end, and every number of it adds up."""
from __future__ import annotations

import gzip
import json
import tempfile
import time
from pathlib import Path

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.audit import audit
from hypothesis import given, settings
from hypothesis import strategies as st

STAMP = time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - 60))
PIECES = st.sampled_from([
    STAMP, "mx", "postfix/smtp[7]:", "postfix/smtpd[9]:", "postfix/qmgr[3]:", "postfix/master[1]:", "A1:", "NOQUEUE:", "to=<a@b.test>,", "orig_to=<x>,",
    "relay=r.test[192.0.2.5]:25,", "conn_use=2,", "delay=1,", "delays=0/0/0/1,", "tls=may?,", "dsn=2.0.0,", "status=sent", "(250 ok)",
    "client=h.test[192.0.2.7]",
    "from=<s@c.test>,", "size=1,", "nrcpt=1", "(queue active)", "connect from h.test[192.0.2.7]", "disconnect from h.test[192.0.2.7] ehlo=2 starttls=1",
    "Trusted TLS connection established to r.test[192.0.2.5]:25: TLSv1.3 with cipher X",
    "Anonymous TLS connection established from h.test[192.0.2.7]: TLSv1.2 with cipher Y",
    "reload -- version", "[", "]", ">", '"', "\\", "@", "\x00", "\n",
])
WHOLE = st.sampled_from([
    "smtp[7]: Trusted TLS connection established to r.test[192.0.2.5]:25: TLSv1.3 with cipher X (256/256 bits)",
    "smtp[7]: A1: to=<a@b.test>, relay=r.test[192.0.2.5]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)",
    "smtp[8]: A2: to=<a@c.test>, relay=r.test[192.0.2.5]:25, conn_use=2, delay=1, delays=0/0/0/1, tls=may?, dsn=2.0.0, status=sent (250 ok)",
    "smtp[8]: A2: to=<b@d.test>, relay=r.test[192.0.2.5]:25, delay=1, delays=0/0/1/1, dsn=2.0.0, status=deferred (450 no)",
    "smtpd[9]: connect from h.test[192.0.2.7]", "smtpd[9]: B1: client=h.test[192.0.2.7]", "smtpd[9]: B2: client=h.test[192.0.2.7], sasl_method=PLAIN",
    "smtpd[9]: Anonymous TLS connection established from h.test[192.0.2.7]: TLSv1.2 with cipher Y (256/256 bits)",
    "smtpd[9]: disconnect from h.test[192.0.2.7] ehlo=2 starttls=1 quit=1 commands=4", "smtpd[9]: disconnect from h.test[192.0.2.7] ehlo=1 quit=1 commands=2",
    "qmgr[3]: B1: from=<s@c.test>, size=1, nrcpt=1 (queue active)", "qmgr[3]: B2: from=<>, size=1, nrcpt=1 (queue active)",
    "master[1]: reload -- version 3.10.13",
]).map(lambda text: "%s mx postfix/%s" % (STAMP, text))
LINES = st.one_of(WHOLE, st.lists(PIECES, max_size=14).map(" ".join), st.text(max_size=200))


def told(content: bytes) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content)
        return audit(None, "", 7, [str(path)], 1)


def adds_up(result: dict) -> None:
    json.dumps(result)
    for listed in ("sent", "received", "clients", "submitted"):
        for row in result[listed]:
            assert row["messages"] == row["plaintext"] + row["encrypted"] + row["unknown"] > 0
            assert min(row["plaintext"], row["encrypted"], row["unknown"]) >= 0
            assert sum(row["protocols"].values()) <= row["encrypted"]
            assert all(isinstance(value, (int, dict, list)) or value is None or value.isprintable() for value in row.values())
    totals = result["totals"]
    assert min(number for counts in totals.values() for number in counts.values()) >= 0
    for name, listed in (("received", "received"), ("received", "clients"), ("submitted", "submitted")):
        assert sum(row["messages"] for row in result[listed]) == sum(totals[name].values())
    assert sum(row["messages"] for row in result["sent"]) >= sum(totals["sent"].values())
    assert {entry["destination"] for entry in result["candidates"]} <= {row["domain"] for row in result["sent"] if row["plaintext"] == row["unknown"] == 0}


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=60))
def test_any_mixture_of_lines_adds_up(lines: list) -> None:
    adds_up(told("\n".join(lines).encode("utf-8", "replace")))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_read_to_their_end(content: bytes) -> None:
    for data in (content, gzip.compress(content)[:-3], b"\x1f\x8b" + content, b"BZh" + content, b"\xfd7zXZ\x00" + content):
        adds_up(told(data))
