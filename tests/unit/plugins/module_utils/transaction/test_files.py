# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is replaced in one step, keeps what it had, and is never readable by others while it is written."""
from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState


def state(content: bytes | None, mode: int = 0o644) -> FileState:
    return FileState(content, mode, os.getuid(), os.getgid())


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "main.cf")
    files.write(path, state(b"a = 1\n", 0o640))
    assert files.read(path) == state(b"a = 1\n", 0o640)
    files.write(path, state(None))
    assert files.read(path).content is None
    files.write(path, state(None))


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "main.cf"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write(str(link), state(b"new"))
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_secret_is_nobodys_to_read_from_its_first_byte(tmp_path: Path, monkeypatch) -> None:
    modes = []
    real = os.fchown

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, uid, gid)

    monkeypatch.setattr(files.os, "fchown", fchown)
    files.write(str(tmp_path / "key.pem"), state(b"secret", 0o600))
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_postfix_need_not_wait_for_the_file_to_cool(tmp_path: Path) -> None:
    files.write(str(tmp_path / "main.cf"), state(b""))
    assert time.time() - (tmp_path / "main.cf").stat().st_mtime >= files.COOL


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    path = str(tmp_path / "main.cf")
    files.write(path, FileState(b"a", 0o640, 65534, 65533))
    before = files.read(path)
    assert (before.uid, before.gid, before.mode) == (65534, 65533, 0o640)
    files.write(path, FileState(b"b", before.mode, before.uid, before.gid))
    assert files.read(path) == FileState(b"b", 0o640, 65534, 65533)


def test_a_link_to_a_file_that_is_not_there_yet_is_followed(tmp_path: Path) -> None:
    (tmp_path / "main.cf").symlink_to(tmp_path / "deep" / "real.cf")
    assert files.read(str(tmp_path / "main.cf")).content is None
    files.write(str(tmp_path / "main.cf"), state(b"a"))
    assert (tmp_path / "main.cf").is_symlink() and (tmp_path / "deep" / "real.cf").read_bytes() == b"a"


def test_a_file_keeps_its_selinux_context(tmp_path: Path, monkeypatch) -> None:
    """The attribute is a fake, because this kernel may have none."""
    contexts = {str(tmp_path / "main.cf"): b"system_u:object_r:postfix_etc_t:s0"}

    def rename(fresh: str, target: str) -> None:
        contexts["renamed"] = contexts.get(fresh)
        real(fresh, target)

    real = os.rename
    monkeypatch.setattr(files.os, "getxattr", lambda path, _name: contexts[path])
    monkeypatch.setattr(files.os, "setxattr", lambda path, name, value: contexts.update({path: (name, value)}))
    monkeypatch.setattr(files.os, "rename", rename)
    files.write(str(tmp_path / "main.cf"), state(b"a"))
    assert contexts["renamed"] == ("security.selinux", b"system_u:object_r:postfix_etc_t:s0")


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    files.write(str(tmp_path / "main.cf"), state(b"a"))
    before = sorted(os.listdir("/proc/self/fd"))
    files.write(str(tmp_path / "main.cf"), state(b"b"))
    files.read(str(tmp_path / "main.cf"))
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_where_no_file_can_be_made_that_is_told_and_the_old_one_stays(tmp_path: Path, monkeypatch) -> None:
    """The fault is made: root writes to a read-only directory all the same."""
    path = tmp_path / "main.cf"
    path.write_bytes(b"old")

    def read_only(**_arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.tempfile, "mkstemp", read_only)
    with pytest.raises(PostfixTlsError, match="main.cf: it can't be written .Read-only file system.. That file system is mounted read-only"):
        files.write(str(path), state(b"new"))
    assert path.read_bytes() == b"old"


def test_a_new_directory_has_the_mode_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        files.make_directory(str(tmp_path / "above" / "open"))
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "above" / "open").stat().st_mode) == 0o755
    files.make_directory(str(tmp_path / "closed"), 0o700)
    files.make_directory(str(tmp_path / "closed"))
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == 0o700


@pytest.mark.parametrize("fault", ["fsync", "rename", "fchmod"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch, fault: str) -> None:
    """The fault is made: no test can fill a disk between two calls."""
    path = tmp_path / "main.cf"
    path.write_bytes(b"old")

    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, fault, fail)
    with pytest.raises(PostfixTlsError, match="main.cf: it can't be written .No space left on device"):
        files.write(str(path), state(b"new"))
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("main.cf", b"old")]


def test_what_root_may_not_is_told_with_what_to_do(tmp_path: Path, monkeypatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(files.os, "rename", fail)
    with pytest.raises(PostfixTlsError, match="it can't be written .Operation not permitted.. Root itself may not: lsattr shows .* chattr -i"):
        files.write(str(tmp_path / "main.cf"), state(b"new"))


def test_what_a_killed_run_left_half_written_goes_and_what_is_being_written_stays(tmp_path: Path, monkeypatch) -> None:
    target, link = tmp_path / "real" / "key.pem", tmp_path / "key.pem"
    target.parent.mkdir()
    link.symlink_to(target)
    other = target.parent / ".key.pem.swp"
    other.write_bytes(b"an editor's")
    kept_in_mind = []

    def killed(fresh: str, _target: str) -> None:
        files.discard_unfinished(str(link))  # another run, of another instance
        kept_in_mind.append((os.path.exists(fresh), Path(fresh).read_bytes(), stat.S_IMODE(os.stat(fresh).st_mode)))
        os.link(fresh, fresh.replace(".key.pem.", ".key.pem.left"))  # what is left where nothing is cleaned up

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "rename", killed)
        files.write(str(link), state(b"KEY", 0o600))
    assert kept_in_mind == [(True, b"KEY", 0o600)]
    assert len(list(target.parent.iterdir())) == 3
    files.discard_unfinished(str(link))
    assert list(target.parent.iterdir()) == [other]
    files.discard_unfinished(str(tmp_path / "nowhere" / "main.cf"))


def test_contents_owner_and_mode_are_on_the_disk_before_the_name_and_the_name_before_write_returns(tmp_path: Path, monkeypatch) -> None:
    done: list = []

    def noting(name: str):
        real = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            at = arguments[0]
            done.append((name, "directory" if isinstance(at, int) and stat.S_ISDIR(os.fstat(at).st_mode) else ""))
            return real(*arguments, **options)
        return call

    for name in ("fchown", "fchmod", "fsync", "rename", "unlink", "mkdir"):
        monkeypatch.setattr(files.os, name, noting(name))
    synced = ("fsync", "directory")
    files.write(str(tmp_path / "new" / "main.cf"), state(b"a"))
    assert done == [("mkdir", ""), synced, ("fchown", ""), ("fchmod", ""), ("fsync", ""), ("rename", ""), synced]
    done.clear()
    files.write(str(tmp_path / "new" / "main.cf"), state(None))
    assert done == [("unlink", ""), synced]


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(PostfixTlsError, match="it can't be read .Is a directory"):
        files.read(str(tmp_path))
