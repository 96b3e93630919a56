# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs are found, read in their order whatever they are compressed with, and told when they can't be read."""
from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit import sources
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.audit import Audit, audit
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.stamps import Clock
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import log

DAY = 86400


def sent(to: str, ago: float = 60, number: int = 0) -> str:
    stamp = time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - ago))
    return (
        "%s mx postfix/smtp[7]: A%d: to=<a@%s>, relay=r.test[192.0.2.5]:25, conn_use=2, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)\n"
        % (stamp, number, to)
    )


def domains(told: dict) -> dict:
    return {row["domain"]: row["messages"] for row in told["sent"]}


@pytest.fixture
def var_log(tmp_path: Path, monkeypatch) -> Path:
    """A host with no maillog_file, whose syslog writes to this directory, and that has no journal."""
    monkeypatch.setattr(log, "_FILES", (str(tmp_path / "mail.log"), str(tmp_path / "maillog")))
    monkeypatch.setattr(log, "SYSTEMD", str(tmp_path / "no-systemd"))
    return tmp_path


def read(var_log: Path, days: float = 7) -> dict:
    """As the module does, without a configuration."""
    since = time.time() - days * DAY
    found, errors = sources.of_this_host(str(var_log), since)
    audited = Audit(since)
    for source in found:
        audited.read(source)
        errors += [source.error] if source.error else []
    return dict(audited.result(1), files=[os.path.basename(source.name) for source in found], errors=errors)


def aged(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY,) * 2)


def test_rotated_logs_are_read_in_the_order_of_what_they_hold_and_old_ones_are_not_opened(var_log: Path) -> None:
    (var_log / "mail.log").write_text(sent("new.test"), encoding="ascii")
    (var_log / "mail.log.1").write_text(sent("day.test", DAY), encoding="ascii")
    (var_log / "mail.log.2.gz").write_bytes(gzip.compress(sent("days.test", 2 * DAY).encode()))
    (var_log / "mail.log-20261101.xz").write_bytes(lzma.compress(sent("three.test", 3 * DAY).encode()))
    (var_log / "mail.log.20261101-101112.bz2").write_bytes(bz2.compress(sent("four.test", 4 * DAY).encode()))
    (var_log / "mail.log.9").write_text(sent("ancient.test", 9 * DAY), encoding="ascii")
    for name in ("mail.log.bak", "mail.log~", "mail.logs", "mail.log.1.old", "xmail.log"):
        (var_log / name).write_text(sent("other.test"), encoding="ascii")
    aged(var_log / "mail.log.9", 9)
    told = read(var_log)
    assert told["files"] == ["mail.log.20261101-101112.bz2", "mail.log-20261101.xz", "mail.log.2.gz", "mail.log.1", "mail.log"]
    assert domains(told) == {"day.test": 1, "days.test": 1, "four.test": 1, "new.test": 1, "three.test": 1}
    assert told["since"][:10] == time.strftime("%Y-%m-%d", time.gmtime(time.time() - 4 * DAY))


def test_what_syslog_writes_to_two_files_is_counted_once(var_log: Path) -> None:
    for name in ("mail.log", "maillog"):
        (var_log / name).write_text(sent("a.test"), encoding="ascii")
    assert (read(var_log)["files"], domains(read(var_log))) == (["mail.log"], {"a.test": 1})
    aged(var_log / "mail.log", 30)
    assert read(var_log)["files"] == ["maillog"]


def test_the_file_that_main_cf_names_comes_first(var_log: Path) -> None:
    (var_log / "mail.log").write_text(sent("a.test"), encoding="ascii")
    (var_log / "named.log").write_text(sent("b.test"), encoding="ascii")
    (var_log / "main.cf").write_text("maillog_file = %s\n" % (var_log / "named.log"), encoding="ascii")
    assert read(var_log)["files"] == ["named.log"]


def test_no_log_at_all_is_told(var_log: Path) -> None:
    told = read(var_log)
    assert told["errors"] == ["no log was found where Postfix logs, and there is no journal; name its files"]
    assert (told["since"], told["until"], told["lines"], told["sent"]) == (None, None, 0, [])


@pytest.mark.parametrize("content, reason", [
    (gzip.compress(sent("a.test").encode() * 999)[:-20], "Compressed file ended before the end-of-stream marker was reached"),
    (gzip.compress(sent("a.test").encode())[:12] + b"junk" * 9, ""), (b"\x1f\x8bjunk", ""), (b"\xfd7zXZ\x00junk", ""), (b"BZhjunk", ""),
    (b"\x28\xb5\x2f\xfdjunk", "it is compressed by zstd, which is not read here; decompress it first"),
])
def test_a_damaged_file_is_told_and_what_was_read_counts(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "damaged").write_bytes(content)
    (tmp_path / "good").write_text(sent("good.test"), encoding="ascii")
    told = audit(None, "", 7, [str(tmp_path / "damaged"), str(tmp_path / "good")], 1)
    assert domains(told)["good.test"] == 1
    [error] = told["errors"]
    assert error.startswith("%s/damaged: %s" % (tmp_path, reason)) and told["summary"][-1] == "error: " + error


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    told = audit(None, "", 7, [str(tmp_path / "absent"), str(tmp_path), str(tmp_path / "fifo")], 1)
    assert told["errors"] == [
        "%s/absent: No such file or directory" % tmp_path, "%s: it is no regular file" % tmp_path, "%s/fifo: it is no regular file" % tmp_path,
    ]


def test_a_file_that_may_not_be_read_says_to_become_root(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "log").write_text(sent("a.test"), encoding="ascii")

    def refused(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    assert audit(None, "", 7, [str(tmp_path / "log")], 1)["errors"] == ["%s/log: it can't be read (Permission denied); become root" % tmp_path]


def test_lines_without_end_and_binary_junk_are_read_past_in_little_memory(tmp_path: Path) -> None:
    junk = os.urandom(1 << 20)
    with (tmp_path / "log").open("wb") as file:
        for _turn in range(40):
            file.write(junk.replace(b"\n", b"x") + b"\x00" * 100000)
        file.write(b"\n" + junk + b"\n" + sent("a.test").encode())
    tracemalloc.start()
    told = audit(None, "", 7, [str(tmp_path / "log")], 1)
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert domains(told) == {"a.test": 1} and most < 8 << 20


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch):
    """A journalctl that says this; the real one is asked in the scenario `audit`."""
    def install(script: str) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "journalctl").write_text("#!/bin/sh\n%s\n" % script, encoding="ascii")
        (tmp_path / "bin" / "journalctl").chmod(0o755)
        monkeypatch.setenv("PATH", "%s/bin:%s" % (tmp_path, os.environ["PATH"]))
        monkeypatch.setattr(log, "SYSTEMD", str(tmp_path))
    return install


def test_where_there_is_no_file_the_journal_is_read(var_log: Path, journalctl) -> None:
    line = sent("a.test").split(" mx ")[1].strip()
    journalctl("echo \"$@\" >%s/asked; echo '%.6f mx %s'" % (var_log, time.time() - 60, line.replace("'", "")))
    told = read(var_log)
    assert (told["files"], domains(told), told["errors"]) == (["journal"], {"a.test": 1}, [])
    asked = (var_log / "asked").read_text(encoding="ascii").split()
    assert asked[:2] == ["--no-pager", "--output=short-unix"] and asked[-1] == "SYSLOG_FACILITY=2"
    assert abs(float(asked[2].partition("@")[2]) - (time.time() - 7 * DAY)) < 10


def test_a_journal_that_may_not_be_read_is_told_in_its_own_words(var_log: Path, journalctl) -> None:
    journalctl("echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1")
    assert read(var_log)["errors"] == ["journal: No journal files were opened due to insufficient permissions."]


def test_a_journal_without_its_program_is_told(var_log: Path, monkeypatch) -> None:
    monkeypatch.setattr(log, "SYSTEMD", str(var_log))
    monkeypatch.setenv("PATH", str(var_log))
    assert read(var_log)["errors"] == ["journal: No such file or directory"]


def at(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


@pytest.mark.parametrize("stamp, written, expected", [
    ("Nov 24 22:28:11", "2026-11-24 22:30:00", "2026-11-24 22:28:11"),
    ("Nov  4 02:08:01", "2026-11-24 22:30:00", "2026-11-04 02:08:01"),
    ("Dec 31 23:59:59", "2027-01-01 00:00:05", "2026-12-31 23:59:59"),
    ("Jan  1 00:00:05", "2027-01-01 00:00:05", "2027-01-01 00:00:05"),
    ("Feb 29 12:00:00", "2028-03-01 00:00:00", "2028-02-29 12:00:00"),
    ("Nov 25 03:00:00", "2026-11-24 22:30:00", "2026-11-25 03:00:00"),
])
def test_a_stamp_without_a_year_is_of_the_year_before_the_file_was_written_last(stamp: str, written: str, expected: str) -> None:
    assert Clock(at(written)).split(b"%s mx postfix/smtp" % stamp.encode()) == (at(expected), b"mx postfix/smtp")


@pytest.mark.parametrize("stamp, expected", [
    ("2026-11-24T22:28:11.123456+00:00", 1795559291.123456), ("2026-11-24T23:28:11+01:00", 1795559291.0), ("2026-11-24T17:28:11.5-0500", 1795559291.5),
    ("2026-11-24T22:28:11Z", 1795559291.0), ("1795559291.123456", 1795559291.123456),
])
def test_stamps_with_a_year_mean_the_same_anywhere(stamp: str, expected: float) -> None:
    for _again in range(2):
        assert Clock(0).split(b"%s mx postfix/smtp" % stamp.encode()) == (pytest.approx(expected, abs=1e-6), b"mx postfix/smtp")


@pytest.mark.parametrize("stamp", ["", "x", "Nov 24 22:28", "Foo 24 22:28:11", "Nov 24 99:28:11", "2026-99-24T22:28:11Z", "9" * 400])
def test_what_is_no_stamp_has_no_time(stamp: str) -> None:
    assert Clock(time.time()).split(b"%s mx postfix/smtp" % stamp.encode())[0] is None


def test_a_log_of_more_than_a_year_without_years_counts_this_year_alone(tmp_path: Path) -> None:
    """A year ago today looks like today, until the log goes on into what was the rest of that year."""
    path = tmp_path / "log"
    between = "".join(sent("m%d.test" % month, (365 - 30 * month) * DAY) for month in range(1, 12))
    path.write_text(sent("last.test", 365 * DAY + 60) + between + sent("this.test"), encoding="ascii")
    assert domains(audit(None, "", 7, [str(path)], 1)) == {"this.test": 1}


def test_other_forms_of_syslog_count_the_same(tmp_path: Path) -> None:
    for number, stamp in enumerate((time.strftime("%Y-%m-%dT%H:%M:%S.123456+00:00", time.gmtime(time.time() - 9)), "%.6f" % (time.time() - 9))):
        (tmp_path / str(number)).write_text(stamp + sent("a.test")[15:], encoding="ascii")
        assert domains(audit(None, "", 7, [str(tmp_path / str(number))], 1)) == {"a.test": 1}
