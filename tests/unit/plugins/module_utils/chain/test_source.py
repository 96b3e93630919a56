# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that can't be key or chain is refused for what it is, and nothing waits for it."""
from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, source
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from cryptography.hazmat.primitives.serialization import Encoding
from issuing import issue

ALONE = issue("mx.example.org")


def missing(_path: Path) -> None:
    """Nothing is there."""


def dangling(path: Path) -> None:
    path.symlink_to("archive/gone.pem")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


WRONG = {
    "missing": (missing, "there is no such file on this host. Name the file that holds it"),
    "dangling": (dangling, "it is a link to archive/gone.pem, where there is nothing"),
    "directory": (Path.mkdir, "it is a directory. Name the file in it, such as fullchain.pem"),
    "pipe": (os.mkfifo, "it is a pipe. Name a regular file"),
    "socket": (listening, r"it can't be read \(No such device or address\)"),
    "huge": (lambda path: path.write_bytes(b"x" * 10_000_000), "with 10000000 bytes that is no key or chain"),
    "binary": (lambda path: path.write_bytes(ALONE.certificate.public_bytes(Encoding.DER)), "it is binary .*openssl x509 -inform DER"),
}
READ = {
    "as it is": ALONE.pem.encode(),
    "with the mark of UTF-8": b"\xef\xbb\xbf" + ALONE.pem.encode(),
    "in UTF-16, as some editors write": ALONE.pem.encode("utf-16"),
    "with text of another encoding around it": b"f\xfcr den Postausgang\r\n" + ALONE.pem.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_file_of_keys_is_refused_for_what_it_is(case: str, tmp_path: Path) -> None:
    make, told = WRONG[case]
    make(tmp_path / "key.pem")
    with pytest.raises(PostfixTlsError, match="chain default = %s/key.pem: %s" % (tmp_path, told)):
        source.text("chain default", str(tmp_path / "key.pem"))


def test_a_device_is_refused() -> None:
    with pytest.raises(PostfixTlsError, match="chain default = /dev/zero: it is a device"):
        source.text("chain default", "/dev/zero")


def test_what_root_may_not_read_either_is_told(tmp_path: Path, monkeypatch) -> None:
    """Such as a file of another machine, where this one's root is nobody; here the system call is made to say so."""
    def refused(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source.os, "open", refused)
    with pytest.raises(PostfixTlsError, match=r"it can't be read \(Permission denied\). Mend that first; nothing was changed"):
        source.text("chain default", str(tmp_path / "key.pem"))


@pytest.mark.parametrize("case", READ)
def test_what_people_have_is_read(case: str, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(READ[case])
    text = source.text("chain default", str(tmp_path / "chain.pem"))
    assert pem.chain("default", ALONE.key_pem(), text).certificates == (ALONE.pem,)
