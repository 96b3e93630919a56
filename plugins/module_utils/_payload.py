# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""All modules that a change needs, on their way to the host as one argument of the module postfix_tls, and kept there compiled.

Ansible's own way would cost more than all else that an unchanged host needs: the controller parses each of a hundred files to find its imports, and the
host compiles each, twice, in every run. Here the controller parses none, and the host compiles only what is other text than in the last run.
"""
from __future__ import annotations

import base64
import hashlib
import importlib.abc
import importlib.util
import json
import marshal
import os
import stat
import zlib
from contextlib import suppress
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

#: Beside the kept states, where nobody but root writes: what is in it, root runs.
KEPT = "/var/lib/mailsec-postfix_tls/compiled"

_PACKAGE = __name__.rpartition(".")[0]

#: Folders that only other modules need.
_LEFT_OUT = ("_acme", "_audit")


def pack() -> str:
    """{name of a module: its text} as JSON, compressed; of a package, the text is empty. On the controller."""
    top = Path(__file__).resolve().parent
    paths = sorted(path.relative_to(top) for path in top.glob("**/*.py") if path.relative_to(top).parts[0] not in _LEFT_OUT)
    texts = {_name(path.parent): "" for path in paths if path.parent.name}
    texts.update((_name(path.with_suffix("")), (top / path).read_text(encoding="utf-8")) for path in paths)
    return base64.b64encode(zlib.compress(json.dumps(texts).encode(), 4)).decode()


class Payload(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """What pack() made, for sys.meta_path. On the host."""

    def __init__(self, packed: str, path: str = KEPT) -> None:
        self._packed = packed
        self._path = path
        self._head = importlib.util.MAGIC_NUMBER + hashlib.sha256(packed.encode()).digest()
        self._kept = self._read()
        self._code = dict(self._kept)

    @cached_property
    def _texts(self) -> dict:
        """Only looked at for what is not kept."""
        return json.loads(zlib.decompress(base64.b64decode(self._packed)))

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith(_PACKAGE + "."):
            return None
        names = self._code if fullname in self._code else self._texts
        if fullname not in names:
            return None
        package = any(name.startswith(fullname + ".") for name in names)
        return importlib.util.spec_from_file_location(fullname, _file(fullname), loader=self, submodule_search_locations=[] if package else None)

    def get_source(self, fullname: str) -> str:
        return self._texts[fullname]

    def get_code(self, fullname: str) -> CodeType:
        if fullname not in self._code:
            self._code[fullname] = self.source_to_code(self.get_source(fullname), _file(fullname))
        return self._code[fullname]

    def keep(self) -> None:
        """What this run compiled, for the next one. Where it can't be written, that one compiles it again."""
        if self._code.keys() != self._kept.keys():
            files = importlib.import_module(_PACKAGE + "._transaction.files")
            code = marshal.dumps(self._code)
            files.discard_unfinished(self._path)
            with suppress(PostfixTlsError):
                files.write(self._path, files.FileState(self._head + hashlib.sha256(code).digest() + code, 0o600))

    def _read(self) -> dict:
        """{name: code}, where the same text was compiled by this very Python, and all of it is there."""
        content = _content_of_root(self._path)
        head = len(self._head)
        digest, code = content[head:head + 32], content[head + 32:]
        return marshal.loads(code) if content.startswith(self._head) and hashlib.sha256(code).digest() == digest else {}


def _content_of_root(path: str) -> bytes:
    """Nothing where the file is a link, or where it or its directory is not, or not only, root's to write: root is about to run it."""
    try:
        at = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            descriptor = os.open(os.path.basename(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                return file.read() if stat.S_ISREG(status.st_mode) and _is_roots(status) and _is_roots(os.fstat(at)) else b""
        finally:
            os.close(at)
    except OSError:
        return b""


def _is_roots(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _name(path: Path) -> str:
    return ".".join((_PACKAGE, *path.parts))


def _file(name: str) -> str:
    """As tracebacks name it; they get its lines from get_source."""
    return name.replace(".", "/") + ".py"
