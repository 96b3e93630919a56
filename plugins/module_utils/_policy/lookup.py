# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lookups in Postfix's tables, by Postfix's own C(postmap): all keys of a table at once, and each table only once; key by key where it can't answer for one of
them, which says nothing of the others.

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

#: How postmap(1) says that a table has no answer for one key, unlike one that can't be opened.
_OF_A_KEY = "query error"
#: After so many keys in a row that a table could not answer, no more is asked.
_ENOUGH = 5


class Found(NamedTuple):
    key: str
    table: str
    value: str


def kind(table: str) -> str:
    """A table's type, behind proxy: too."""
    while table.startswith("proxy:"):
        table = table[len("proxy:"):]
    return table.partition(":")[0]


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
        self._singly: dict = {}  # {table: how often in a row it had no answer for a key} of those where that is so for some

    def prefetch(self, table: str, keys: Iterable) -> None:
        """Asks for all keys at once. What can't be told then is told to whoever asks for it."""
        known = self._answers.setdefault(table, {})
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if not new or table in self._to_come or table in self._broken or table in self._singly:
            return
        try:
            known.update(self._asked(table, new))
        except PostfixTlsError as error:
            if _OF_A_KEY not in error.reason:
                self._broken[table] = error
            elif len(new) == 1:
                known[new[0]] = error
            else:
                self._singly[table] = 0

    def prepare(self, listed: list, several: list) -> None:
        """For find() with each of several lists of keys, all whole: each table once, but for those that an answer before it settles."""
        for table in listed:
            self.prefetch(table, [key for keys in several for key in keys])
            several = [keys for keys in several if not self._settles(table, keys[0])]

    def _settles(self, table: str, key: str) -> bool:
        try:
            return self._value(table, key) is not None
        except PostfixTlsError:
            return True

    def ask(self, table: str, keys: Iterable) -> dict:
        """{key: value}, of those that are in the table. Raises PostfixTlsError where it can't be asked for one of them."""
        self.prefetch(table, keys)
        found = {key: self._value(table, key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def find(self, listed: list, keys: list, whole: int = 1) -> Found | None:
        """As Postfix finds it: the first key that any of the tables has. Of keys, the first so many are whole, the others parts of an address.

        A table that can't tell ends it, but nobody comes to one behind an answer. Source: maps_find() of Postfix's maps.c.
        """
        for at, key in enumerate(keys):
            for table in listed:
                if at >= whole and kind(table) in WHOLE:
                    continue
                self.prefetch(table, keys)
                value = self._value(table, key)
                if value is not None:
                    return Found(key, table, value)
        return None

    def _value(self, table: str, key: str) -> str | None:
        if table in self._to_come:
            return self._to_come[table].get(key.lower())
        if table in self._broken:
            raise self._broken[table]
        known = self._answers.setdefault(table, {})
        if key not in known:
            try:
                known.update(self._asked(table, [key]))
                self._singly[table] = 0
            except PostfixTlsError as error:
                known[key] = error
                self._singly[table] = self._singly.get(table, 0) + 1
                if self._singly[table] == _ENOUGH:
                    self._broken[table] = error
        if isinstance(known[key], PostfixTlsError):
            raise known[key]
        return known[key]

    def _asked(self, table: str, keys: list) -> dict:
        """{key: value, None where it has none}."""
        out = self._postmap(table, ["-q", "-"], "\n".join(keys) + "\n")
        told = dict(line.split("\t", 1) for line in out.splitlines() if "\t" in line)
        return {key: told.get(key) for key in keys}

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
            raise PostfixTlsError(
                table, None, "this table can't be asked (%s)" % wrong[-1].split(": ", 1)[-1], "Mend it; Postfix defers mail meanwhile.",
            )
        return out
