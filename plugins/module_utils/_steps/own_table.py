# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A table of ours among those of a parameter: in front of whatever tables are there, which are not judged.

It is a texthash: Postfix reads it as it is when a process starts, so there is no index to make, and none to forget (DATABASE_README). A long
one has an index, lmdb or what the host has by default, for each process would read all of it.
"""
from __future__ import annotations

import os
import tempfile

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import parameters
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

HEADER = "# Written by mailsec.postfix_tls; what is changed here by hand is overwritten.\n"
#: More entries than that are indexed: with so many, reading all of them takes a process 20 ms when it starts, which it does once in 100 messages.
LONG = 10_000
#: Types that postmap(1) makes one file of.
_INDEXED = {kind: values.ON_DISK[kind] for kind in ("lmdb", "cdb", "hash", "btree")}
#: What they add to its name, each once.
_SUFFIXES = tuple(dict.fromkeys(_INDEXED.values()))


def put(draft: Draft, name: str, path: str, lines: dict, remedy: str, behind: list | None = None) -> tuple:
    """(the table as main.cf names it, the tables behind it). name: of the parameter. lines: {key: value}. behind: tables to come after it, None
    for those that are there; one of any type of file at path is the one that this takes the place of. Raises PostfixTlsError, with remedy, for a
    file that was not written here.
    """
    before = files.read(path)
    indexes = [suffix for suffix in _SUFFIXES if os.path.exists(path + suffix)]
    if before.content is None and indexes:
        raise _foreign(path + indexes[0], remedy)
    text = _text(lines)
    keep(draft, path, HEADER + text, remedy)
    kind = _kind(draft.host, len(lines))
    mine, others = "%s:%s" % (kind, path), _others(draft, name, path, behind, tuple(values.ON_DISK))
    if kind in _INDEXED:  # after the text, for Postfix warns of one that is older
        index = files.read(path + _INDEXED[kind])
        if before.content != (HEADER + text).encode() or not _answers(draft.host, mine, lines):
            index = FileState(_index(draft.host, kind, text), 0o644)
        draft.add(path + _INDEXED[kind], index, secret=True, describe=_described)
    _drop(draft, path, [suffix for suffix in indexes if suffix != _INDEXED.get(kind)])
    parameters.put(draft, name, ", ".join([mine, *others]))
    return mine, others


def take_away(draft: Draft, name: str, path: str, behind: list | None = None) -> None:
    """The other tables stay, and so does a file that was not written here, as the table that it is."""
    kinds = () if is_foreign(path) else ("texthash", *(_INDEXED if _ours(files.read(path)) else ()))
    others = _others(draft, name, path, behind, kinds)
    if others != _listed(draft, name):
        parameters.put(draft, name, ", ".join(others) or None)
    if _ours(files.read(path)):
        _drop(draft, path, ["", *filter(lambda suffix: os.path.exists(path + suffix), _SUFFIXES)])


def keep(draft: Draft, path: str, text: str, remedy: str) -> None:
    """The table's file. Raises as put does."""
    if is_foreign(path):
        raise _foreign(path, remedy)
    draft.add(path, FileState(text.encode(), 0o644))


def drop(draft: Draft, path: str) -> None:
    """The table's file goes, where it was written here."""
    if not is_foreign(path):
        draft.drop(path)


def is_foreign(path: str) -> bool:
    """Whether there is a file that was not written here."""
    state = files.read(path)
    return state.content is not None and not _ours(state)


def listed(directory: str) -> set:
    """Files in it that were written here."""
    there = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    return {path for path in (os.path.join(directory, name) for name in there) if os.path.isfile(path) and _ours(files.read(path))}


def _text(lines: dict) -> str:
    return "".join(["%s\t%s\n" % line for line in lines.items()])


def _ours(state: FileState) -> bool:
    return (state.content or b"").startswith(HEADER.encode())


def _listed(draft: Draft, name: str) -> list:
    return words((draft.written[name] or "") if name in draft.written else draft.host.effective(name), ", \t")


def _others(draft: Draft, name: str, path: str, behind: list | None, kinds: tuple) -> list:
    """The tables but those of these types at path."""
    there = _listed(draft, name) if behind is None else words(draft.value(name, behind) or "", ", \t")
    return [table for table in there if table.rpartition(":")[2] != path or table.split("proxy:")[-1].partition(":")[0] not in kinds]


def _kind(host: Instance, entries: int) -> str:
    kinds = ("lmdb", host.effective("default_database_type")) if entries > LONG else ()
    return next((kind for kind in kinds if kind in _INDEXED and kind in host.table_types), "texthash")


def _answers(host: Instance, table: str, lines: dict) -> bool:
    """Whether an index says the same already."""
    _status, out, _err = host.run(["postmap", "-c", host.directory, "-q", "-", table], stdin="\n".join(lines) + "\n")
    return out == _text(lines)


def _index(host: Instance, kind: str, text: str) -> bytes:
    """Made aside, by Postfix itself, so that no process ever sees half of one. Raises PostfixTlsError."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.utime(path, (0, 0))  # a file that is older than a second: postmap waits for younger ones
        status, _out, err = host.run(["postmap", "-c", host.directory, "%s:%s" % (kind, path)])
        if status != 0:
            raise PostfixTlsError("%s:%s" % (kind, path), None, "Postfix can't make the index (%s)" % err.strip(), "Mend that; nothing was changed.")
        return files.read(path + _INDEXED[kind]).content or b""


def _described(state: FileState) -> str:
    return "" if state.content is None else "an index that postmap made, %d bytes\n" % len(state.content)


def _drop(draft: Draft, path: str, suffixes: list) -> None:
    for suffix in suffixes:
        draft.drop(path + suffix)


def _foreign(path: str, remedy: str) -> PostfixTlsError:
    return PostfixTlsError(path, None, "this file is not one that was written here, and its entries would be lost", remedy)
