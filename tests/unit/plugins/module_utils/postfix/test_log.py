# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix logged of our own connections is told, and nothing that it logged of others.

The lines are those of real Postfix 3.5 to 3.11 in the scenario `faults`; only names, addresses and process numbers were shortened.
"""
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import log
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.causes import Causes, caused_by

US = "127.0.0.1"
MISSING = 'warning: cannot get RSA certificate from file "/etc/postfix/absent.pem": disabling TLS support'
FOPEN = (
    "warning: TLS library problem: error:80000002:system library::No such file or directory:../crypto/bio/bss_file.c:299:"
    "calling fopen(/etc/postfix/absent.pem, r):"
)
CIPHER = "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2509:"
TOO_LOW = "warning: TLS library problem: error:0A00018C:SSL routines::version too low:../ssl/statem/statem_srvr.c:1924:"
UNSUPPORTED = (
    "warning: TLS library problem: error:14209102:SSL routines:tls_early_post_process_client_hello:unsupported protocol:"
    "../ssl/statem/statem_srvr.c:1685:"
)
ACCEPT = "SSL_accept error from localhost[127.0.0.1]: -1"
LOST = "NOQUEUE: lost connection after STARTTLS from localhost[127.0.0.1]"
DONE = "Anonymous TLS connection established from localhost[127.0.0.1]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
SASL = ("warning: xsasl_cyrus_server_get_mechanism_list: no applicable SASL mechanisms", "fatal: no SASL authentication mechanisms")
EXIT = "warning: process /usr/lib/postfix/sbin/smtpd pid %d exit status 1"
THROTTLED = "warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling"


def said(pid: int, *texts: str, program: str = "smtpd", tag: str = "postfix") -> list:
    return ["Nov 24 13:08:29 mx %s/%s[%d]: %s" % (tag, program, pid, text) for text in texts]


def session(pid: int, *texts: str, client: str = "localhost[127.0.0.1]", end: str = "ehlo=1 starttls=0/1 commands=1/2") -> list:
    return said(pid, "connect from " + client, *texts, "disconnect from %s %s" % (client, end))


def test_what_the_process_said_when_it_started_is_told_though_it_started_long_before() -> None:
    before = said(7, MISSING, FOPEN) + session(7, client="peer[192.0.2.1]") + said(8, "warning: of another process")
    assert caused_by(before, session(7), US) == [MISSING, FOPEN]


def test_what_went_wrong_with_others_is_not_told() -> None:
    theirs = session(7, "SSL_accept error from peer[192.0.2.1]: -1", CIPHER, client="peer[192.0.2.1]")
    side_by_side = said(9, "connect from peer[192.0.2.1]", CIPHER)
    assert caused_by(theirs, side_by_side + session(7) + theirs, US) == []


def test_an_earlier_session_of_our_own_is_not_told_either() -> None:
    assert caused_by(session(7, "warning: localhost[127.0.0.1]: invalid cipher grade: \"bogus\""), session(7), US) == []


def test_the_cause_comes_first_and_its_consequences_are_left_out() -> None:
    after = session(7, ACCEPT, CIPHER, LOST) * 3
    opening = "warning: error opening chain file: /etc/postfix/absent.pem: No such file or directory"
    assert caused_by(said(7, opening), after, US) == [opening]
    assert caused_by([], after, US) == [CIPHER, ACCEPT, LOST]


def test_refusals_that_a_look_sets_out_to_see_are_told_only_where_no_handshake_was_done() -> None:
    refused = session(7, ACCEPT, TOO_LOW, LOST) + session(7, ACCEPT, UNSUPPORTED, LOST)
    assert caused_by([], refused, US) == [TOO_LOW, UNSUPPORTED, ACCEPT, LOST]
    assert caused_by([], session(7, DONE) + refused, US) == []
    assert caused_by([], session(7, end="ehlo=2 starttls=1 quit=1 commands=4") + refused, US) == []
    assert caused_by([], session(7, DONE) + session(7, CIPHER) + refused, US) == []
    assert caused_by([], session(7, DONE) + session(7, CIPHER.replace("no shared cipher", "internal error")) + refused, US) != []


def test_keywords_that_are_kept_back_are_a_cause_when_starttls_is_among_them() -> None:
    after = session(7, "discarding EHLO keywords: DSN") + session(7, "discarding EHLO keywords: DSN STARTTLS")
    assert caused_by([], after, US) == ["discarding EHLO keywords: DSN STARTTLS"]


def test_a_server_that_dies_on_us_is_told_with_what_master_says() -> None:
    after = said(7, "connect from localhost[127.0.0.1]", *SASL) + said(1, EXIT % 7, THROTTLED, program="master")
    assert caused_by([], after, US) == [SASL[1], SASL[0], EXIT % 7, THROTTLED]


def test_a_server_that_is_held_back_since_it_died_on_another_is_told_until_somebody_is_served() -> None:
    before = said(7, "connect from peer[192.0.2.1]", *SASL) + said(1, EXIT % 7, THROTTLED, program="master")
    assert caused_by(before, [], US) == [SASL[1], SASL[0], EXIT % 7, THROTTLED]
    assert caused_by(before + said(8, "connect from peer[192.0.2.1]"), [], US) == []
    assert caused_by(before + said(1, "daemon started -- version 3.10.13", program="master"), [], US) == []
    assert caused_by(said(7, *SASL), [], US) == [SASL[1], SASL[0]]


@pytest.mark.parametrize("tag", ["postfix", "postfix/submission", "postfix-out", "mx.example.org"])
def test_syslog_name_may_be_anything(tag: str) -> None:
    assert caused_by(said(7, MISSING, tag=tag), [line.replace("postfix/", tag + "/") for line in session(7)], US) == [MISSING]


@pytest.mark.parametrize("stamp", ["2026-11-24T13:08:29.123456+00:00 mx ", "Nov  4 13:08:29 mx ", "<22>Nov 24 13:08:29 ", ""])
def test_the_time_may_be_written_anyhow(stamp: str) -> None:
    lines = [stamp + line.partition(" mx ")[2] for line in said(7, MISSING) + session(7)]
    assert caused_by([], lines, US) == [MISSING]


def test_postscreen_and_tlsproxy_serve_many_at_once() -> None:
    after = said(5, "CONNECT from [127.0.0.1]:46098 to [127.0.0.1]:25", program="postscreen")
    after += said(6, MISSING, "CONNECT from [127.0.0.1]:46098", "CONNECT from [192.0.2.1]:1", "SSL_accept error from [192.0.2.1]:1: -1", program="tlsproxy")
    after += said(6, "DISCONNECT [127.0.0.1]:46098", CIPHER, program="tlsproxy")
    assert caused_by([], after, US) == [MISSING]


def test_ipv6_and_ports_in_the_log_are_understood() -> None:
    assert caused_by([], session(7, CIPHER, client="localhost[::1]:4711"), "::1") == [CIPHER]
    assert caused_by([], session(7, CIPHER, client="localhost[::1]"), US) == []


def test_a_name_that_does_not_resolve_is_no_cause_and_other_programs_are_not_asked() -> None:
    name = "warning: hostname mx.example.org does not resolve to address 127.0.0.1: Name or service not known"
    after = said(7, name) + session(7) + said(9, "warning: hash/btree support is deprecated", program="tlsmgr")
    assert caused_by([], after, US) == []


def test_a_stranger_can_not_speak_for_postfix() -> None:
    forged = "Nov 24 13:08:29 mx sshd[3]: Invalid user postfix/smtpd[7]: warning: all is lost"
    assert caused_by([forged], [forged, *session(7)], US) == []


def test_garbage_is_nobodys_line_and_control_characters_are_not_handed_on() -> None:
    garbage = ["\x00\ufffd[[[]]]\x1b[31m" * 9, "[" * 5000, "a/smtpd[" + "9" * 5000, " " * 5000, "a/" * 2500, "x" * 5000, ""] * 50
    started = time.monotonic()
    assert caused_by(garbage, [*garbage, *said(7, "warning: red \x1b[31m\u202e"), *session(7)], US) == ["warning: red ?[31m?"]
    assert time.monotonic() - started < 1.0


@pytest.fixture
def file(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(log, "_FILES", (str(tmp_path / "mail.log"), str(tmp_path / "maillog")))
    monkeypatch.setattr(log, "SYSTEMD", str(tmp_path / "no-systemd"))
    return tmp_path / "mail.log"


def append(path: Path, lines: list) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(line + "\n" for line in lines))


def silent(_argv: list) -> tuple:
    return 0, "", ""


def marked(tmp_path: Path, run=silent) -> Causes:
    mail_log = Causes(run, str(tmp_path))
    mail_log.mark()
    return mail_log


def test_the_file_is_the_one_that_main_cf_names(file: Path, tmp_path: Path) -> None:
    named = tmp_path / "named.log"
    (tmp_path / "main.cf").write_text("# maillog_file = x\nmaillog_file =\n  %s\n" % named, encoding="utf-8")
    append(named, said(7, MISSING))
    append(file, [])
    mail_log = marked(tmp_path)
    append(named, session(7))
    assert mail_log.caused_by(US, patience=0.0) == [MISSING]


@pytest.mark.parametrize("value", ["/dev/null", "$queue_directory/log", "/nonexistent/log", ""])
def test_a_maillog_file_that_is_none_is_passed_over(file: Path, tmp_path: Path, value: str) -> None:
    (tmp_path / "main.cf").write_text("maillog_file = %s\n" % value, encoding="utf-8")
    append(file, said(7, MISSING))
    mail_log = marked(tmp_path)
    append(file, session(7))
    assert mail_log.caused_by(US, patience=0.0) == [MISSING]


def test_it_looks_back_so_far_and_no_further(file: Path, tmp_path: Path) -> None:
    append(file, said(7, MISSING) + ["x" * 1023] * 300)
    mail_log = marked(tmp_path)
    append(file, session(7))
    assert mail_log.caused_by(US, patience=0.0) == []
    assert len(mail_log.before()) == 255


def test_lines_of_a_megabyte_and_binary_garbage_are_read_past(file: Path, tmp_path: Path) -> None:
    file.write_bytes(os.urandom(1 << 16) + b"\n" + b"a" * (1 << 17) + b"\n")
    append(file, said(7, MISSING))
    mail_log = marked(tmp_path)
    with file.open("ab") as stream:
        stream.write(b"\xff\x00\n" + b"[" * (1 << 19) + b"\n")
    append(file, session(7))
    assert mail_log.caused_by(US, patience=0.0) == [MISSING]


@pytest.mark.parametrize("rotate", [lambda file: file.rename(file.with_suffix(".1")), lambda file: file.write_text("", encoding="utf-8")])
def test_a_log_that_was_rotated_meanwhile_is_read_from_its_start(file: Path, tmp_path: Path, rotate) -> None:
    append(file, said(7, "warning: old") + ["x" * 2000])
    mail_log = marked(tmp_path)
    rotate(file)
    append(file, session(7, CIPHER))
    assert mail_log.caused_by(US, patience=0.0) == [CIPHER]
    file.unlink()
    assert mail_log.caused_by(US, patience=0.0) == []


def test_without_a_file_that_speaks_the_journal_is_asked_for_both_sides_of_the_mark(file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(log, "SYSTEMD", str(tmp_path))
    append(file, said(7, "warning: from when there was a syslog"))

    def journal(argv: list) -> tuple:
        assert argv[0] == "journalctl"
        return 0, "\n".join(said(7, FOPEN) if argv[-1].startswith("--until=@") else session(7)) + "\n", ""

    assert marked(tmp_path, journal).caused_by(US, patience=0.0) == [FOPEN]


def test_a_log_that_can_not_be_read_says_nothing(file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(log, "SYSTEMD", str(tmp_path))

    def no_journal(_argv: list) -> tuple:
        raise FileNotFoundError("journalctl")

    append(file, said(7, MISSING))
    mail_log = marked(tmp_path, no_journal)
    append(file, session(7))

    def refused(*_arguments, **_options):
        raise PermissionError("mail.log")

    monkeypatch.setattr("builtins.open", refused)
    assert mail_log.caused_by(US, patience=0.0) == []
    assert marked(tmp_path, no_journal).caused_by(US, patience=0.0) == []


def test_a_log_that_lags_is_waited_for_but_not_long(file: Path, tmp_path: Path, monkeypatch) -> None:
    append(file, [])
    mail_log = marked(tmp_path)
    monkeypatch.setattr(log.time, "sleep", lambda _seconds: append(file, session(7, CIPHER)))
    assert mail_log.caused_by(US) == [CIPHER]
    monkeypatch.undo()
    started = time.monotonic()
    assert mail_log.caused_by("192.0.2.9") == [] and time.monotonic() - started < 1.0
