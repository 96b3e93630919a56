# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix's lock on main.cf and master.cf, held by one at a time."""
from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import editing
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.editing import EditLock


def names(folder: Path) -> list:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_held_by_both_kinds_of_lock_and_leaves_nothing(tmp_path: Path) -> None:
    with EditLock(str(tmp_path)) as lock:
        assert names(tmp_path) == ["main.cf.tmp", "master.cf.tmp"]
        with open(tmp_path / "main.cf.tmp", encoding="ascii") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.release()
        assert names(tmp_path) == []
    assert names(tmp_path) == []


def test_what_somebody_left_is_taken_and_who_edits_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "master.cf.tmp"
    path.write_bytes(b"left")
    with EditLock(str(tmp_path)):
        """It was nobody's."""
    with open(path, "wb") as editor:
        fcntl.flock(editor, fcntl.LOCK_EX)
        with pytest.raises(PostfixTlsError, match="master.cf.tmp: somebody has been editing this file for over 0.05 s.*nothing was changed"):
            EditLock(str(tmp_path), wait=0.05).__enter__()
        assert names(tmp_path) == ["master.cf.tmp"]

        def done() -> None:
            os.rename(path, tmp_path / "master.cf")
            editor.close()
        threading.Timer(0.1, done).start()
        with EditLock(str(tmp_path)):
            assert names(tmp_path) == ["main.cf.tmp", "master.cf", "master.cf.tmp"]


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "main.cf.tmp").symlink_to(tmp_path / "shadow")
    with pytest.raises(PostfixTlsError, match="main.cf.tmp: it is a symbolic link"):
        EditLock(str(tmp_path)).__enter__()
    assert names(tmp_path) == ["main.cf.tmp"]


def test_where_there_is_no_such_directory_or_nothing_can_be_made_nothing_is_held(tmp_path: Path, monkeypatch) -> None:
    with EditLock(str(tmp_path / "nowhere")):
        assert names(tmp_path) == []

    def read_only(*_arguments: object) -> int:
        raise OSError(30, "Read-only file system")
    monkeypatch.setattr(os, "open", read_only)
    with EditLock(str(tmp_path)):
        assert names(tmp_path) == []


def test_once_all_is_written_it_is_given_up_in_a_while_and_taken_again_to_put_back(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(editing, "_STARTING", 0.05)
    held = ["main.cf.tmp", "master.cf.tmp"]
    with EditLock(str(tmp_path)) as lock:
        lock.written()
        assert names(tmp_path) == held
        time.sleep(0.3)
        assert names(tmp_path) == []
        for _held_or_not in range(2):
            with lock.again():
                time.sleep(0.1)
                assert names(tmp_path) == held
        assert names(tmp_path) == held
    assert names(tmp_path) == []
