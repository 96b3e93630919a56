# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is replaced in one step, keeps what it had, and is never readable by others while it is written."""
from __future__ import annotations

import errno
import os
import stat
import struct
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


def test_a_file_keeps_its_selinux_context_and_a_system_that_refuses_it_stops_nothing(tmp_path: Path, monkeypatch) -> None:
    """The attribute is a fake, because this kernel may have none."""
    label = "system_u:object_r:postfix_etc_t:s0"
    (tmp_path / "main.cf").write_text("a", encoding="utf-8")
    written: list = []

    def setxattr(descriptor: int, name: str, value: bytes) -> None:
        written.append((name, value))
        if len(written) == 2:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(files.os, "listxattr", lambda _at: ["security.selinux"])
    monkeypatch.setattr(files.os, "getxattr", lambda _at, _name: label.encode())
    monkeypatch.setattr(files.os, "setxattr", setxattr)
    for content in (b"b", b"c"):
        files.write(str(tmp_path / "main.cf"), state(content))
    assert written == [("security.selinux", label.encode())] * 2 and (tmp_path / "main.cf").read_bytes() == b"c"


def acl(named: int, mask: int) -> bytes:
    """system.posix_acl_access as the kernel has it: rw-, user 12345 as named, r--, the mask, ---."""
    rows = [(0x01, 6, 0xFFFFFFFF), (0x02, named, 12345), (0x04, 4, 0xFFFFFFFF), (0x10, mask, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def test_a_file_keeps_its_acl_and_attributes_and_is_made_again_with_them(tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.note", b"by hand")
        os.setxattr(path, "system.posix_acl_access", acl(6, 6))
    except OSError:
        pytest.skip("this file system has no extended attributes")
    before = files.read(str(path))
    assert before.mode == 0o660, "the mask, as every program sees it"
    files.write(str(path), FileState(b"new", before.mode, before.uid, before.gid))
    assert os.getxattr(path, "user.note") == b"by hand" and os.getxattr(path, "system.posix_acl_access") == acl(6, 6)
    files.write(str(path), FileState(None))
    files.write(str(path), before)
    assert os.getxattr(path, "system.posix_acl_access") == acl(6, 6) and stat.S_IMODE(path.stat().st_mode) == 0o660
    files.write(str(path), FileState(b"KEY", 0o600, before.uid, before.gid))
    assert os.getxattr(path, "system.posix_acl_access") == acl(6, 0), "an ACL gives nobody a secret"


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

    def read_only(name: str, flags: int, *more: int, **at: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(name, flags, *more, **at)

    real = os.open
    monkeypatch.setattr(files.os, "open", read_only)
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

    def fail(*_arguments: object, **_at: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, fault, fail)
    with pytest.raises(PostfixTlsError, match="main.cf: it can't be written .No space left on device"):
        files.write(str(path), state(b"new"))
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("main.cf", b"old")]


def test_what_root_may_not_is_told_with_what_to_do(tmp_path: Path, monkeypatch) -> None:
    def fail(*_arguments: object, **_at: int) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(files.os, "rename", fail)
    with pytest.raises(PostfixTlsError, match="it can't be written .Operation not permitted.. Root itself may not: lsattr shows .* chattr -i"):
        files.write(str(tmp_path / "main.cf"), state(b"new"))


def test_what_a_killed_run_left_half_written_goes_and_what_is_being_written_stays(tmp_path: Path, monkeypatch) -> None:
    target, link = tmp_path / "real" / "main.cf", tmp_path / "main.cf"
    target.parent.mkdir()
    link.symlink_to(target)
    other = target.parent / ".main.cf.swp"
    other.write_bytes(b"an editor's")
    kept_in_mind = []

    def killed(name: str, _target: str, **_at: int) -> None:
        files.discard_unfinished(str(link))  # another run, of another instance
        fresh = target.parent / name
        kept_in_mind.append((fresh.exists(), fresh.read_bytes(), stat.S_IMODE(fresh.stat().st_mode)))
        os.link(fresh, str(fresh).replace(".main.cf.", ".main.cf.left"))  # what is left where nothing is cleaned up

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "rename", killed)
        files.write(str(link), state(b"KEY", 0o600))
    assert kept_in_mind == [(True, b"KEY", 0o600)]
    assert len(list(target.parent.iterdir())) == 3
    files.discard_unfinished(str(link))
    assert list(target.parent.iterdir()) == [other]
    files.discard_unfinished(str(tmp_path / "nowhere" / "main.cf"))


def test_of_files_that_are_ours_no_link_is_followed_nor_its_target_removed(tmp_path: Path) -> None:
    shadow, path = tmp_path / "shadow", tmp_path / "tls" / "default.pem"
    shadow.write_bytes(b"root:*")
    path.parent.mkdir()
    for content in (b"KEY", None):
        path.symlink_to(shadow)
        files.write(str(path), state(content, 0o600))
        assert shadow.read_bytes() == b"root:*" and not path.is_symlink()
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777], ids=oct)
@pytest.mark.parametrize("below", ["", "deep", "deep/deeper"])
def test_where_others_can_write_nothing_is_written(tmp_path: Path, mode: int, below: str) -> None:
    open_folder = tmp_path / "open"
    (open_folder / below).mkdir(parents=True)
    open_folder.chmod(mode)
    path = open_folder / below / "default.pem"
    path.write_bytes(b"old")
    for content in (b"KEY", None):
        with pytest.raises(PostfixTlsError, match="open = %04o: others than root can write to this directory.*chmod go-w" % mode):
            files.write(str(path), state(content, 0o600))
    assert path.read_bytes() == b"old" and [entry.name for entry in path.parent.iterdir() if entry.is_file()] == ["default.pem"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_folder_of_somebody_else_is_refused_also_behind_a_link(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    (tmp_path / "tls").symlink_to(theirs)
    (tmp_path / "main.cf").symlink_to(theirs / "main.cf")
    for name in ("tls/default.pem", "main.cf"):
        with pytest.raises(PostfixTlsError, match="theirs: this directory belongs to user 65534"):
            files.write(str(tmp_path / name), state(b"a"))
    assert not list(theirs.iterdir())


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
