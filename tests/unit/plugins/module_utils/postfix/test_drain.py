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


def program(spool: Path, master: int, limit: float, patience: int = 60) -> list:
    return [sys.executable, "-I", "-c", inspect.getsource(drain), str(spool / "lock"), str(spool), str(master), str(limit), str(patience)]


def restart(master: int, spool: Path, limit: float) -> subprocess.Popen:
    return subprocess.Popen(
        [*program(spool, master, limit), "sh", "-c", "kill $0; echo started", str(master)], stderr=subprocess.PIPE, text=True)


def standing_still(process: int) -> bool:
    return Path("/proc/%d/stat" % process).read_text(encoding="ascii").split()[2] == "T"


def until(holds, most: float = 10.0) -> bool:
    end = time.monotonic() + most
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_the_queue_manager_goes_at_once_and_master_when_the_last_delivery_has_ended(postfix, tmp_path: Path) -> None:
    message = tmp_path / "spool" / "active" / "4BC1234"
    message.touch()
    with message.open("rb") as delivered:
        fcntl.flock(delivered, fcntl.LOCK_SH)
        assert drain.delivering(str(tmp_path / "spool"))
        with restart(postfix.pid, tmp_path / "spool", 60) as command:
            while drain.managers(postfix.pid):
                time.sleep(0.01)
            assert standing_still(postfix.pid) and command.poll() is None
            delivered.close()
            assert command.communicate()[1].endswith("started\n")
    assert postfix.wait() == -signal.SIGTERM


def test_master_goes_on_when_nobody_tells_it_to_stop(postfix, tmp_path: Path) -> None:
    with subprocess.Popen([*program(tmp_path / "spool", postfix.pid, 0.3), "true"]) as command:
        assert command.wait() == 0
    assert until(lambda: not standing_still(postfix.pid)) and postfix.poll() is None


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE])
def test_a_restart_goes_on_when_the_connection_drops_while_master_is_held(postfix, tmp_path: Path, number: int) -> None:
    """As sshd, sudo and systemd end a session: nobody reads any more, and the whole group is signalled."""
    with (tmp_path / "spool" / "active" / "4BC1234").open("wb") as delivered:
        fcntl.flock(delivered, fcntl.LOCK_SH)
        command = ["sh", "-c", "kill $0; echo said; : > %s/started" % tmp_path, str(postfix.pid)]
        with subprocess.Popen([*program(tmp_path / "spool", postfix.pid, 60), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True) as restarting:
            assert until(lambda: standing_still(postfix.pid))
            restarting.stdout.close()
            restarting.stderr.close()
            os.killpg(restarting.pid, number)
            time.sleep(0.1)
            fcntl.flock(delivered, fcntl.LOCK_UN)
            assert restarting.wait(10) == 0
    assert (tmp_path / "started").exists() and postfix.wait() == -signal.SIGTERM


def test_master_goes_on_when_the_program_that_held_it_is_killed(postfix, tmp_path: Path) -> None:
    with (tmp_path / "spool" / "active" / "4BC1234").open("wb") as delivered:
        fcntl.flock(delivered, fcntl.LOCK_SH)
        with subprocess.Popen([*program(tmp_path / "spool", postfix.pid, 60), "true"], start_new_session=True) as restarting:
            assert until(lambda: standing_still(postfix.pid))
            os.killpg(restarting.pid, signal.SIGKILL)
        assert until(lambda: not standing_still(postfix.pid)) and postfix.poll() is None


def test_master_goes_on_when_the_command_neither_stops_it_nor_ends(postfix, tmp_path: Path) -> None:
    with subprocess.Popen([*program(tmp_path / "spool", postfix.pid, 0.3), "sleep", "60"], start_new_session=True) as restarting:
        assert until(lambda: standing_still(postfix.pid)) and until(lambda: not standing_still(postfix.pid), most=3)
        assert restarting.poll() is None
        os.killpg(restarting.pid, signal.SIGKILL)


def test_a_command_that_hangs_is_ended_with_all_it_started_and_told(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    begun = time.monotonic()
    command = ["sh", "-c", "echo waiting; sleep 61 & echo $! > %s/child; wait" % tmp_path]
    done = subprocess.run([*program(tmp_path, 0, 1, patience=1), *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (75, "error: it did not end within 1 s, and was ended\nwaiting\n")
    assert time.monotonic() - begun < 10
    child = int((tmp_path / "child").read_text(encoding="ascii"))
    assert until(lambda: drain.running(child) == (None, None))


def test_a_delivery_that_does_not_end_is_cut_off_after_the_limit(postfix, tmp_path: Path) -> None:
    with (tmp_path / "spool" / "active" / "4BC1234").open("wb") as delivered:
        fcntl.flock(delivered, fcntl.LOCK_SH)
        with restart(postfix.pid, tmp_path / "spool", 0.2) as command:
            assert command.communicate()[1].endswith("started\n")
    assert postfix.wait() == -signal.SIGTERM


def test_a_master_that_is_gone_already_is_started_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with restart(2 ** 22 + 1, tmp_path, 1) as command:
        assert command.communicate()[1].endswith("started\n")


def test_only_a_process_of_that_name_is_taken_for_master(postfix) -> None:
    assert drain.is_master(postfix.pid) and not drain.is_master(os.getpid()) and not drain.is_master(2 ** 22 + 1)


def test_of_two_restarts_the_second_waits_for_the_first_and_gives_up_after_a_time(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    held = ["sh", "-c", "echo > %s/begun; while [ ! -e %s/go ]; do sleep 0.05; done" % (tmp_path, tmp_path)]
    with subprocess.Popen([*program(tmp_path, 0, 1), *held]) as one:
        assert until((tmp_path / "begun").exists)
        given_up = subprocess.run([*program(tmp_path, 0, 1, patience=0), "false"], capture_output=True, text=True, check=False)
        assert (given_up.returncode, given_up.stderr) == (75, "error: another restart of Postfix has not ended within 0 s\n")
        with subprocess.Popen([*program(tmp_path, 0, 1), "echo", "second"], stderr=subprocess.PIPE, text=True) as other:
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.5)
            (tmp_path / "go").touch()
            assert one.wait(10) == 0
            assert other.communicate()[1] == "second\n"
