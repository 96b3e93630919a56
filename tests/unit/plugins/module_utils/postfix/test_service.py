# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix is started by whatever starts it on this host, waited for, and its own words are told.

Commands are fakes that note what they are asked; that real ones bring Postfix up is what the scenarios show. The process
number is a real one: master(8) is played by this test, or by a process that has ended.
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import log, service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.service import Service

WARNING = "2026-01-01T00:00:00 mx postfix/smtpd[%d]: warning: cannot get RSA private key"


class Host:
    """answers: {last word of a command: (status, out, err)}; whatever is not there succeeds without a word."""

    def __init__(self, directory: Path) -> None:
        self.queue = directory / "spool"
        (self.queue / "pid").mkdir(parents=True)
        self.log = directory / "mail.log"
        self.ran: list = []
        self.limits: dict = {}
        self.answers = {"queue_directory": (0, "%s\n" % self.queue, "")}

    def run(self, argv: list, limit: float | None = None) -> tuple:
        self.limits[argv[-1]] = limit
        if argv[0] == "sh" and "stop" in argv[2]:  # the script is real, Postfix in it is not
            return self._script(argv)
        self.ran.append(" ".join(argv))
        return self.answers.get(argv[-1], (0, "", ""))

    def _script(self, argv: list) -> tuple:
        fake = self.queue / "postfix"
        rows = "".join("%s) echo '%s' >&2; exit %d;;\n" % (word, err, status) for word, (status, _out, err) in self.answers.items())
        fake.write_text('#!/bin/sh\necho "postfix $*" >> %s/ran\ncase "$3" in\n%sesac\n' % (self.queue, rows), encoding="utf-8")
        fake.chmod(0o755)
        environment = {**os.environ, "PATH": "%s:%s" % (self.queue, os.environ["PATH"])}
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
        ran = self.queue / "ran"
        self.ran += ran.read_text(encoding="utf-8").splitlines()
        ran.unlink()
        return done.returncode, done.stdout, done.stderr

    def master(self, pid: int | None) -> None:
        path = self.queue / "pid" / "master.pid"
        path.write_text("%15d\n" % pid if pid else "", encoding="ascii")

    def commands(self) -> list:
        return [command for command in self.ran if "queue_directory" not in command]

    def service(self, directory: str = "/etc/postfix", start_timeout: float = 0.0) -> Service:
        return Service(self.run, directory, start_timeout)


@pytest.fixture
def host(tmp_path: Path, monkeypatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setattr(log, "_FILES", (str(host.log), str(tmp_path / "maillog")))
    monkeypatch.setattr(service.drain, "is_master", lambda process: process in (os.getpid(), os.getppid()))
    manage(monkeypatch)
    return host


def manage(monkeypatch, systemd: bool = False, script: bool = False) -> None:
    """What there is on this host to start services with."""
    monkeypatch.setattr(service.os.path, "isdir", lambda path: systemd and path == "/run/systemd/system")
    monkeypatch.setattr(service.os, "access", lambda path, _mode: script and path == "/etc/init.d/postfix")


def ended() -> int:
    """The number of a process that ran and is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("managed, directory, commands", [
    ({"systemd": True, "script": True}, "/etc/postfix", ["systemctl reset-failed postfix*.service", "systemctl restart postfix"]),
    ({}, "/etc/postfix", ["postfix -c /etc/postfix stop", "postfix -c /etc/postfix start"]),
    ({"systemd": True}, "/etc/postfix-out", ["postfix -c /etc/postfix-out stop", "postfix -c /etc/postfix-out start"]),
])
def test_it_is_restarted_by_what_manages_it(host: Host, monkeypatch, managed: dict, directory: str, commands: list) -> None:
    manage(monkeypatch, **managed)
    host.service(directory).make_live("restart")
    assert host.commands() == commands


def test_an_init_script_restarts_the_first_instance_where_no_systemd_runs(host: Host, monkeypatch) -> None:
    manage(monkeypatch, script=True)
    host.service().make_live("restart")
    assert host.commands() == ["/etc/init.d/postfix restart"]


def test_a_restart_is_a_program_apart_and_in_a_unit_of_its_own_unless_systemd_refuses(host: Host, monkeypatch, tmp_path: Path) -> None:
    asked: list = []
    refused: list = [True]

    def run(argv: list, limit: float | None = None) -> tuple:
        asked.append((argv, limit))
        return (1, "", "Failed to start transient scope unit") if argv[0] == "systemd-run" and refused[0] else (0, "begun\n", "")

    manage(monkeypatch, systemd=True)
    monkeypatch.setattr(service.shutil, "which", lambda name: "/usr/bin/" + name)
    at = Service(run, "/etc/postfix", 10.0, lock=str(tmp_path / "lock"))
    at._queue = str(host.queue)
    at.make_live("restart")
    assert [argv[0] for argv, _limit in asked] == ["systemctl", "systemd-run", sys.executable]
    assert asked[1][0][5:] == asked[2][0] and asked[2][0][1:3] == ["-I", "-c"]
    assert asked[2][0][-7:] == [str(host.queue), "0", "5", "60", "systemctl", "restart", "postfix"]
    assert asked[2][1] > 60 + 60 + 5  # what the program itself waits for, it tells
    refused[0] = False
    del asked[:]
    at.make_live("restart")
    assert [argv[0] for argv, _limit in asked] == ["systemctl", "systemd-run"]


def test_postfix_has_time_for_its_whole_queue_as_its_postmaster_says(host: Host) -> None:
    host.service(start_timeout=30.0).check()
    assert host.limits["check"] == 120
    host.service(start_timeout=0.5).check()
    assert host.limits["check"] == 10


def test_a_reload_needs_a_running_master_else_it_is_started(host: Host) -> None:
    host.master(os.getpid())
    host.service().make_live("reload")
    assert host.commands() == ["postfix -c /etc/postfix reload"]
    for gone in (None, ended()):
        host.ran = []
        host.master(gone)
        host.service().make_live("reload")
        assert host.commands() == ["postfix -c /etc/postfix stop", "postfix -c /etc/postfix start"]


def test_a_stop_that_fails_is_no_failure_and_a_start_that_fails_is_told(host: Host) -> None:
    host.answers["stop"] = (1, "", "postfix: fatal: not running")
    host.service().make_live("restart")
    assert host.commands() == ["postfix -c /etc/postfix stop", "postfix -c /etc/postfix start"]
    host.answers["start"] = (1, "", "noise\npostfix/postfix-script: fatal: cannot start\n")
    with pytest.raises(PostfixTlsError, match="^postfix start: postfix/postfix-script: fatal: cannot start"):
        host.service().make_live("restart")


def test_after_a_restart_it_is_up_when_another_master_runs(host: Host) -> None:
    host.master(os.getpid())
    same = host.service(start_timeout=0.2)
    same.make_live("restart")
    with pytest.raises(PostfixTlsError, match="Postfix: it did not come up within 0.2 s"):
        same.wait()
    patient = host.service(start_timeout=5.0)
    patient.make_live("restart")
    host.master(os.getppid())
    patient.wait()


def test_after_a_reload_it_is_up_when_a_master_runs(host: Host) -> None:
    host.master(os.getpid())
    patient = host.service(start_timeout=5.0)
    patient.make_live("reload")
    patient.wait()
    host.master(ended())
    with pytest.raises(PostfixTlsError, match="it did not come up"):
        host.service(start_timeout=0.2).wait()


def test_what_postfix_check_does_not_like_is_told_in_its_own_words(host: Host) -> None:
    host.service().check()
    assert host.ran == ["postfix -c /etc/postfix check"]
    host.answers["check"] = (1, "", "postfix: warning: a\npostfix: fatal: bad numerical configuration: x = y\n")
    with pytest.raises(PostfixTlsError, match="postfix check: postfix: fatal: bad numerical configuration: x = y"):
        host.service().check()
    for words, told in (("\n noise \nmore\n", "postfix check: noise[.]"), ("a\npostfix: error: b\n", "postfix check: postfix: error: b")):
        host.answers["check"] = (1, "", words)
        with pytest.raises(PostfixTlsError, match=told):
            host.service().check()
    host.answers["check"] = (1, "", "")
    with pytest.raises(PostfixTlsError, match="it failed without a word") as failed:
        host.service().check()
    assert failed.value.details["log"] == []


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def test_the_log_is_what_was_warned_of_since_it_was_marked_each_thing_once(host: Host) -> None:
    append(host.log, WARNING % 1, "é" * 3)
    at = host.service()
    at.mark_log()
    assert at.log() == []
    append(host.log, WARNING % 2, "mx postfix/smtpd[2]: connect from x", "mx sshd[2]: error: x", WARNING % 3, "mx postfix/master[4]: fatal: y")
    assert at.log() == [WARNING % 3, "mx postfix/master[4]: fatal: y"]
    assert at.log(most=1) == ["mx postfix/master[4]: fatal: y"]


def test_a_log_that_was_rotated_meanwhile_is_read_from_its_start(host: Host) -> None:
    append(host.log, "x" * 1000)
    at = host.service()
    at.mark_log()
    host.log.write_text(WARNING % 5 + "\n", encoding="utf-8")
    assert at.log() == [WARNING % 5]
    host.log.unlink()
    assert at.log() == []


def test_without_a_log_file_the_journal_is_asked(host: Host, monkeypatch) -> None:
    manage(monkeypatch, systemd=True)
    at = host.service()
    monkeypatch.setattr(service.time, "time", lambda: 1234.5)
    at.mark_log()
    assert at.log() == []
    [asked] = host.ran
    assert asked.startswith("journalctl ") and asked.endswith("--since=@1234")
    host.answers[asked.split()[-1]] = (0, "Jan 01 mx postfix/smtpd[7]: warning: z\n", "")
    assert at.log() == ["Jan 01 mx postfix/smtpd[7]: warning: z"]


def test_the_journal_is_not_asked_where_a_log_file_tells_or_no_journal_runs(host: Host, monkeypatch) -> None:
    at = host.service()
    at.mark_log()
    assert at.log() == [] and host.ran == []
    manage(monkeypatch, systemd=True)
    append(host.log, "")
    at.mark_log()
    append(host.log, WARNING % 1)
    assert at.log() == [WARNING % 1] and host.ran == []


def test_one_log_file_that_is_gone_does_not_hide_the_other(host: Host, tmp_path: Path) -> None:
    append(host.log, "")
    append(tmp_path / "maillog", "")
    at = host.service()
    at.mark_log()
    host.log.unlink()
    append(tmp_path / "maillog", WARNING % 1)
    assert at.log() == [WARNING % 1]
