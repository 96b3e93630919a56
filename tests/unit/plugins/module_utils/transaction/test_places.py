# SPDX-License-Identifier: GPL-3.0-or-later
"""What can't be replaced is told before anything is written; what Ansible left is found."""
from __future__ import annotations

import os
import pwd
import struct
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files, leftovers, places
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import FileChange


def review(path: Path) -> list:
    return places.review([FileChange(str(path), files.read(str(path)) if path.is_file() else FileState(None), FileState(b"new"))])


def test_an_ordinary_file_and_one_that_is_to_come_are_passed_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_bytes(b"old")
    assert review(tmp_path / "main.cf") == review(tmp_path / "new" / "default.pem") == []


@pytest.mark.parametrize("name, kind", [("default.pem", "a link"), ("tls_policy", "a directory"), ("tls_policy", "a pipe")])
def test_what_is_not_a_file_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    {"a link": lambda: path.symlink_to("/etc/shadow"), "a directory": path.mkdir, "a pipe": lambda: os.mkfifo(path)}[kind]()
    change = FileChange(str(path), FileState(None), FileState(b"new"))
    with pytest.raises(PostfixTlsError, match="a symbolic link to /etc/shadow|it is not a regular file"):
        places.review([change])


def test_main_cf_may_be_a_link_and_its_target_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "main.cf").write_bytes(b"old")
    (tmp_path / "main.cf").symlink_to("real/main.cf")
    assert review(tmp_path / "main.cf") == []
    os.link(tmp_path / "real" / "main.cf", tmp_path / "other")
    assert [finding["check"] for finding in review(tmp_path / "main.cf")] == ["hard_link"]
    (tmp_path / "real").chmod(0o1777)
    with pytest.raises(PostfixTlsError, match="real = 1777: others than root can write"):
        review(tmp_path / "main.cf")


def test_a_mount_point_is_refused_whatever_its_name(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mounts").write_text("1 2 0:3 / %s/a\\040b/main.cf rw - ext4 /dev/x rw\n" % tmp_path, encoding="utf-8")
    monkeypatch.setattr(places, "MOUNTS", str(tmp_path / "mounts"))
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "main.cf").write_bytes(b"old")
    with pytest.raises(PostfixTlsError, match="a mount point of its own .*Mount the directory .*/a b instead"):
        review(tmp_path / "a b" / "main.cf")


@pytest.mark.parametrize("flag, told", [(0x10, "it is immutable .*chattr -i"), (0x20, "it is append-only .*chattr -a")])
def test_what_not_even_root_may_replace_is_refused(tmp_path: Path, monkeypatch, flag: int, told: str) -> None:
    """The flag is made, for not every file system has it."""
    (tmp_path / "main.cf").write_bytes(b"old")
    monkeypatch.setattr(places.fcntl, "ioctl", lambda *_arguments: struct.pack("l", flag))
    with pytest.raises(PostfixTlsError, match=told):
        review(tmp_path / "main.cf")


@pytest.mark.parametrize("path", ["etc/postfix", "/etc/post fix", "/etc/x\nrelayhost = evil", "/etc/a,b", "/etc/\u2028x", "/etc/\x1b[31m", ""])
def test_a_path_that_no_line_could_hold_is_refused_unshown(path: str) -> None:
    with pytest.raises(PostfixTlsError, match="^policy.path: this is not a path that Postfix could be told") as refused:
        places.judge("policy.path", path)
    assert not path or path not in str(refused.value)


@pytest.fixture
def homes(tmp_path: Path, monkeypatch) -> Path:
    me = os.getuid()
    entry = SimpleNamespace(pw_dir=str(tmp_path / "home"), pw_uid=me)
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: entry)
    monkeypatch.setattr(leftovers, "_SYSTEM", (str(tmp_path / "var"),))
    (tmp_path / "home" / ".ansible" / "tmp").mkdir(parents=True)
    return tmp_path / "home" / ".ansible" / "tmp"


def left(folder: Path, *names: str, age: float = leftovers.OLD + 60) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("KEY", encoding="utf-8")
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


def test_what_a_killed_run_left_in_ansibles_directory_goes_and_nothing_else(homes: Path) -> None:
    ours = left(homes / "ansible-tmp-1", "AnsiballZ_postfix_tls.py", "args")
    others = [
        left(homes / "ansible-tmp-2", "AnsiballZ_postfix_tls.py", age=60), left(homes / "ansible-tmp-3", "AnsiballZ_copy.py"),
        left(homes / "mine-4", "AnsiballZ_postfix_tls.py"),
    ]
    elsewhere = left(homes.parent / "elsewhere", "AnsiballZ_postfix_tls.py")
    (homes / "ansible-tmp-5").symlink_to(elsewhere)
    inner = left(homes / "ansible-tmp-6", "AnsiballZ_postfix_tls.py")
    (inner / "link").symlink_to(elsewhere / "AnsiballZ_postfix_tls.py")
    os.utime(inner, (0, 0))
    assert leftovers.discard() == 1 and not ours.exists()
    assert all(path.exists() for path in [*others, elsewhere / "AnsiballZ_postfix_tls.py", inner / "AnsiballZ_postfix_tls.py"])
