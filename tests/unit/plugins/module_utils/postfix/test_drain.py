# SPDX-License-Identifier: GPL-3.0-or-later
"""A restart waits for what is being delivered. Real processes stand in for Postfix's; molecule/load has the real one."""
from __future__ import annotations

import fcntl
import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import drain


@pytest.fixture
def postfix(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process called master with a child called qmgr, by copies of a shell."""
    for name in ("master", "qmgr"):
        shutil.copy(os.path.realpath("/bin/sleep" if name == "qmgr" else "/bin/sh"), tmp_path / name)
    (tmp_path / "spool" / "active").mkdir(parents=True)
    (tmp_path / "spool" / "lock").touch()
    with subprocess.Popen([tmp_path / "master", "-c", "%s 60 & wait; sleep 60" % (tmp_path / "qmgr")]) as master:
        while not drain.managers(master.pid):
            time.sleep(0.01)
        yield master
        master.kill()


def program(spool: Path, master: int, limit: float) -> list:
    return [sys.executable, "-c", inspect.getsource(drain), str(spool / "lock"), str(spool), str(master), str(limit)]


def restart(master: int, spool: Path, limit: float) -> subprocess.Popen:
    return subprocess.Popen(
        [*program(spool, master, limit), "sh", "-c", "kill $0; echo started", str(master)], stdout=subprocess.PIPE, text=True)


def test_the_queue_manager_goes_at_once_and_master_when_the_last_delivery_has_ended(postfix, tmp_path: Path) -> None:
    message = tmp_path / "spool" / "active" / "4BC1234"
    message.touch()
    with message.open("rb") as delivered:
        fcntl.flock(delivered, fcntl.LOCK_SH)
        assert drain.delivering(str(tmp_path / "spool"))
        with restart(postfix.pid, tmp_path / "spool", 60) as command:
            while drain.managers(postfix.pid):
                time.sleep(0.01)
            assert Path("/proc/%d/stat" % postfix.pid).read_text(encoding="ascii").split()[2] == "T" and command.poll() is None
            delivered.close()
            assert command.communicate()[0] == "started\n"
    assert postfix.wait() == -signal.SIGTERM


def test_master_goes_on_when_nobody_tells_it_to_stop(postfix, tmp_path: Path) -> None:
    with subprocess.Popen([*program(tmp_path / "spool", postfix.pid, 0.3), "true"]) as command:
        assert command.wait() == 0
    while Path("/proc/%d/stat" % postfix.pid).read_text(encoding="ascii").split()[2] == "T":
        time.sleep(0.01)
    assert postfix.poll() is None


def test_a_delivery_that_does_not_end_is_cut_off_after_the_limit(postfix, tmp_path: Path) -> None:
    with (tmp_path / "spool" / "active" / "4BC1234").open("wb") as delivered:
        fcntl.flock(delivered, fcntl.LOCK_SH)
        with restart(postfix.pid, tmp_path / "spool", 0.2) as command:
            assert command.communicate()[0] == "started\n"
    assert postfix.wait() == -signal.SIGTERM


def test_a_master_that_is_gone_already_is_started_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with restart(2 ** 22 + 1, tmp_path, 1) as command:
        assert command.communicate()[0] == "started\n"


def test_only_a_process_of_that_name_is_taken_for_master(postfix) -> None:
    assert drain.is_master(postfix.pid) and not drain.is_master(os.getpid()) and not drain.is_master(2 ** 22 + 1)


def test_of_two_restarts_the_second_waits_for_the_first_whoever_has_died(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    first = program(tmp_path, 0, 1)
    with subprocess.Popen([*first, "sh", "-c", "echo begun; read go; echo ended"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout.readline() == "begun\n"
        with subprocess.Popen([*first, "echo", "second"], stdout=subprocess.PIPE, text=True) as other:
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.5)
            assert one.communicate("go\n")[0] == "ended\n"
            assert other.communicate()[0] == "second\n"
