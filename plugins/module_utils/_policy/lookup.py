# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lookups in Postfix's tables, by Postfix's own C(postmap): all keys of a table at once, and each table only once.

Source: postmap(1) C(-q -), C(-s).
"""
from __future__ import annotations

from typing import Iterable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

#: Types that answer from files, so that asking costs nothing and says the same tomorrow; others ask a server.
LOCAL = ("texthash", "hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "inline", "static")
#: Types that match whole addresses only: Postfix does not ask them for parts of one.
WHOLE = ("regexp", "pcre", "cidr")


class Found(NamedTuple):
    key: str
    table: str
    value: str


def kind(table: str) -> str:
    """A table's type, behind proxy: too."""
    return table.split("proxy:")[-1].partition(":")[0]


def tables(text: str) -> list:
    """The tables that a parameter lists."""
    return words(text, ", \t")


class Lookup:
    """run and directory as of an Instance. to_come: {table: its entries} of tables that are not written yet."""

    def __init__(self, run: Run, directory: str, to_come: dict | None = None) -> None:
        self._run = run
        self._directory = directory
        self._to_come = to_come or {}
        self._answers: dict = {}
        self._entries: dict = dict(self._to_come)
        self._broken: dict = {}

    def ask(self, table: str, keys: Iterable) -> dict:
        """{key: value}, of those that are in the table. Raises PostfixTlsError for a table that can't be asked."""
        if table in self._to_come:
            return {key: self._to_come[table][key] for key in keys if key in self._to_come[table]}
        if table in self._broken:
            raise self._broken[table]
        known = self._answers.setdefault(table, {})
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            out = self._postmap(table, ["-q", "-"], "\n".join(new) + "\n")
            told = dict(line.split("\t", 1) for line in out.splitlines() if "\t" in line)
            known.update((key, told.get(key)) for key in new)
        return {key: known[key] for key in keys if known[key] is not None}

    def find(self, listed: list, keys: list, whole: int = 1) -> Found | None:
        """As Postfix finds it: the first key that any of the tables has. Of keys, the first so many are whole, the others parts of an address."""
        for at, key in enumerate(keys):
            for table in listed:
                if at >= whole and kind(table) in WHOLE:
                    continue
                value = self.ask(table, [key] if key in self._answers.get(table, ()) else keys).get(key)
                if value is not None:
                    return Found(key, table, value)
        return None

    def entries(self, table: str) -> dict:
        """All of a table, {key: value}; empty where its type can't be listed."""
        if table not in self._entries:
            try:
                out = self._postmap(table, ["-s"]) if kind(table) in LOCAL else ""
            except PostfixTlsError:
                out = ""
            self._entries[table] = dict(line.split("\t", 1) for line in out.splitlines() if "\t" in line)
        return self._entries[table]

    def _postmap(self, table: str, options: list, stdin: str | None = None) -> str:
        _status, out, err = self._run(["postmap", "-c", self._directory, *options, table], **({"stdin": stdin} if stdin else {}))
        wrong = [line for line in err.splitlines() if "fatal:" in line or "error:" in line]
        if wrong:
            self._broken[table] = PostfixTlsError(
                table, None, "this table can't be asked (%s)" % wrong[-1].split(": ", 1)[-1], "Mend it; Postfix defers mail meanwhile.",
            )
            raise self._broken[table]
        return out
