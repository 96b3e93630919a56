# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A change of main.cf or master.cf undone in a file that others have written to since: by parameter, and by service.

Three texts are compared: before (the change), written (by the change) and now. What differs between the first two is ours to undo, where it
still is as written; what differs between the last two is somebody else's and stays.
"""
from __future__ import annotations

import os
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.logical_lines import BLANK, logical
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import MasterCf


class Conflict(NamedTuple):
    """A line that the change wrote and somebody else has written since. Values are None where it is not set.

    item: smtpd_tls_loglevel, or submission/inet, or submission/inet: smtpd_tls_loglevel.
    """

    item: str
    before: str | None
    written: str | None
    now: str | None

    def sentence(self) -> str:
        return "%s: it was %s before the change, the change wrote %s, and since then somebody wrote %s" % (
            self.item, _shown(self.before), _shown(self.written), _shown(self.now),
        )


def is_mergeable(path: str) -> bool:
    return os.path.basename(path) in _UNDO


def undo(path: str, before: str, written: str, now: str, ours: bool = False) -> tuple:
    """(text, conflicts). ours: where both touched one line, what was before is put back all the same; else that line stays as it is now."""
    return _UNDO[os.path.basename(path)](before, written, now, ours)


def differences(path: str, one: str, other: str) -> list:
    """What reads otherwise in the second text, as (item, value in the first, in the second); None where it is not set."""
    return _DIFFERENCES[os.path.basename(path)](one, other)


class _Pieces:
    """A file as pieces, some with a key; several may have the same."""

    def __init__(self, text: str, key_of: Callable[[str], str | None]) -> None:
        self.rows = [(key_of(piece) if said else None, piece) for piece, said in logical(text)]

    def texts(self, key: str) -> list:
        return [text for name, text in self.rows if name == key]

    def text(self) -> str:
        return "".join(text for _name, text in self.rows)

    def put_back(self, key: str, source: _Pieces) -> None:
        """The pieces of that key as they are in source, in the place of those here; else behind what they follow there."""
        wanted = [(key, text) for text in source.texts(key)]
        places = [at for at, (name, _text) in enumerate(self.rows) if name == key]
        at = places[0] if places else self._place_of(key, source)
        self.rows[at:] = wanted + [row for row in self.rows[at:] if row[0] != key]
        if wanted and at and not self.rows[at - 1][1].endswith("\n"):
            self.rows[at - 1] = (self.rows[at - 1][0], self.rows[at - 1][1] + "\n")
        if wanted and at + len(wanted) < len(self.rows) and not wanted[-1][1].endswith("\n"):
            self.rows[at + len(wanted) - 1] = (key, wanted[-1][1] + "\n")

    def _place_of(self, key: str, source: _Pieces) -> int:
        if not source.texts(key):
            return len(self.rows)
        first = [name for name, _text in source.rows].index(key)
        here = [name for name, _text in self.rows]
        for name, _text in source.rows[:first][::-1]:
            if name is not None and name in here:
                return len(here) - here[::-1].index(name)
        return len(here)


def _name(piece: str) -> str | None:
    names = MainCf(piece).names()
    return names[0] if names else None


def _key(piece: str) -> str | None:
    if piece[:1] in BLANK:
        return None
    found = MasterCf(piece).services
    return found[0].key if found else None


def _undo_main(before: str, written: str, now: str, ours: bool) -> tuple:
    old, change, current = MainCf(before), MainCf(written), MainCf(now)
    source, result = _Pieces(before, _name), _Pieces(now, _name)
    lines = _Pieces(written, _name)
    conflicts = []
    for name in dict.fromkeys(old.names() + change.names()):
        if source.texts(name) == lines.texts(name) or result.texts(name) == source.texts(name):
            continue
        values = old.raw(name), change.raw(name), current.raw(name)
        if values[2] == values[1] or ours:
            result.put_back(name, source)
        elif values[2] != values[0]:
            conflicts.append(Conflict(name, *values))
    return result.text(), conflicts


def _undo_master(before: str, written: str, now: str, ours: bool) -> tuple:
    source, lines, result = (_Pieces(text, _key) for text in (before, written, now))
    conflicts: list = []
    for key in dict.fromkeys(name for name, _text in source.rows + lines.rows if name):
        texts = source.texts(key), lines.texts(key), result.texts(key)
        if texts[0] == texts[1] or texts[2] == texts[0]:
            continue
        if texts[2] == texts[1]:
            result.put_back(key, source)
        elif texts[0] and texts[1] and texts[2]:
            undone, more = _undo_service(key, *("".join(text) for text in texts), ours)
            conflicts += more
            result.rows = [row if row[0] != key or at != _last(result, key) else (key, undone) for at, row in enumerate(result.rows)]
        elif ours:
            result.put_back(key, source)
        elif texts[2]:
            conflicts.append(Conflict(key, *("".join(text).strip() or None for text in texts)))
    return result.text(), conflicts


def _undo_service(key: str, before: str, written: str, now: str, ours: bool) -> tuple:
    """(text of the service, conflicts), override by override."""
    overrides = [_overrides(text, key) for text in (before, written, now)]
    entry = MasterCf(now)
    conflicts = []
    for name in dict.fromkeys([*overrides[0], *overrides[1]]):
        old, wrote, current = (row.get(name) for row in overrides)
        if old == wrote or current == old:
            continue
        conflict = Conflict("%s: %s" % (key, name), old, wrote, current)
        try:
            if current != wrote and not ours:
                conflicts.append(conflict)
            elif old is None:
                entry.remove(key, name)
            else:
                entry.set(key, name, old)
        except PostfixTlsError:
            conflicts.append(conflict)
    return entry.text(), conflicts


def _overrides(text: str, key: str) -> dict:
    return next((service.overrides for service in reversed(MasterCf(text).services) if service.key == key), {})


def _last(pieces: _Pieces, key: str) -> int:
    return max(at for at, (name, _text) in enumerate(pieces.rows) if name == key)


def _differences_of_main(one: str, other: str) -> list:
    first, second = MainCf(one), MainCf(other)
    names = dict.fromkeys(first.names() + second.names())
    return [(name, first.raw(name), second.raw(name)) for name in names if first.raw(name) != second.raw(name)]


def _differences_of_master(one: str, other: str) -> list:
    found = []
    first, second = ({service.key: service for service in MasterCf(text).services} for text in (one, other))
    for key in dict.fromkeys([*first, *second]):
        was, now = first.get(key), second.get(key)
        if was is None or now is None:
            found.append((key, was and was.program, now and now.program))
            continue
        names = dict.fromkeys([*was.overrides, *now.overrides])
        rows = [("%s: %s" % (key, name), was.overrides.get(name), now.overrides.get(name)) for name in names]
        found += [row for row in rows if row[1] != row[2]]
    return found


def _shown(value: str | None) -> str:
    return "not set" if value is None else "empty" if not value else value


_UNDO = {"main.cf": _undo_main, "master.cf": _undo_master}
_DIFFERENCES = {"main.cf": _differences_of_main, "master.cf": _differences_of_master}
