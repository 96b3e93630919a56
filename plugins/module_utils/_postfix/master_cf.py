# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""master.cf as text that is edited in place: the C(-o) overrides of its services, and nothing else.

Source: master(5); braces since Postfix 3.0.
"""
from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Iterator, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.logical_lines import BLANK, is_aside, logical, physical

_COLUMNS = 7  # service, type, private, unprivileged, chroot, wakeup, process limit; then comes the command


@dataclass(frozen=True)
class Service:
    """name: as written (smtp, 127.0.0.1:10025, ...); kind: inet, unix, pass, fifo; program: smtpd, postscreen, ...; chroot: y, n or -."""

    name: str
    kind: str
    program: str
    overrides: dict = field(default_factory=dict)
    chroot: str = "-"

    @property
    def receives(self) -> bool:
        """Whether mail comes in here over TCP."""
        return self.kind == "inet" and self.program in ("smtpd", "postscreen")

    @property
    def key(self) -> str:
        """As postconf(1) C(-P) names it: submission/inet."""
        return "%s/%s" % (self.name, self.kind)


class _Word(NamedTuple):
    """A word of a service's text. start and end: its place there, braces included."""

    text: str
    start: int
    end: int


class _Override(NamedTuple):
    """C(-o name=value), as one word or two. start and end: its place, the C(-o) included."""

    name: str
    value: str
    start: int
    end: int


class MasterCf:
    """text in, text out; C(MasterCf(t).text() == t) for every t.

    A service is known by its key, as in submission/inet; where two have the same, the last is meant, for it is master(8)'s.
    """

    def __init__(self, text: str) -> None:
        self._pieces = [piece for piece, _said in logical(text)]
        self._at = {}
        self.services: list = []
        for at, (piece, said) in enumerate(logical(text)):
            words = _words(piece) if said and piece[0] not in BLANK else []
            if len(words) > _COLUMNS:
                overrides = {override.name: override.value for override in _overrides(words)}
                service = Service(words[0].text, words[1].text, words[_COLUMNS].text, overrides, words[4].text)
                self.services.append(service)
                self._at[service.key] = at

    def text(self) -> str:
        return "".join(self._pieces)

    def set(self, key: str, name: str, value: str) -> None:
        """One override of name remains, where the last one stood; a new one gets a line of its own behind the others.

        Raises PostfixTlsError for what can't be written there, KeyError where there is no such service.
        """
        argument = _argument(key, name, value)
        with self._nothing_else(key, {name: value}):
            for override in reversed(self._named(key, name)[:-1]):
                self._cut(key, override)
            for last in self._named(key, name):
                self._replace(key, last, argument)
                return
            self._add(key, argument)

    def remove(self, key: str, name: str) -> None:
        """Raises like set."""
        with self._nothing_else(key, {name: None}):
            for override in reversed(self._named(key, name)):
                self._cut(key, override)

    @contextmanager
    def _nothing_else(self, key: str, changed: dict) -> Iterator[None]:
        """What a command is given is one line of words to Postfix; however it is laid out, only the words asked for may change."""
        before = self._read(key)
        yield
        wanted = {name: value for name, value in dict(before, **changed).items() if value is not None}
        if self._read(key) != wanted:
            raise PostfixTlsError(
                "master.cf: %s" % key, ", ".join(changed), "this entry can't be edited without changing more of it (a # among its words is no comment)",
                "Write it by hand, one -o a line.",
            )

    def _read(self, key: str) -> dict:
        return {override.name: override.value for override in _overrides(_words(self._pieces[self._at[key]]))}

    def _named(self, key: str, name: str) -> list:
        return [override for override in _overrides(_words(self._pieces[self._at[key]])) if override.name == name]

    def _put(self, key: str, piece: str) -> None:
        self._pieces[self._at[key]] = piece

    def _cut(self, key: str, override: _Override) -> None:
        """Takes it away with the blanks before it, and its line where nothing else stands on that; comments stay."""
        piece = self._pieces[self._at[key]]
        start = len(piece[:override.start].rstrip(" \t"))
        rest = piece[override.end:].lstrip(" \t\r")
        whole_line = start == 0 or piece[start - 1] == "\n"
        if whole_line:
            rest = rest[1:] if rest[:1] in ("", "\n") else piece[start:override.start] + rest
        else:
            rest = piece[override.end:]
        between = _between(piece, override)
        self._put(key, piece[:start] + ("" if not between or whole_line else "\n") + between + rest)

    def _replace(self, key: str, override: _Override, argument: str) -> None:
        piece = self._pieces[self._at[key]]
        before, between = piece[:override.start], _between(piece, override)
        if between:
            head = before.rstrip(" \t")
            before = head + between + before[len(head):] if head.endswith("\n") else head + "\n" + between + "  "
        self._put(key, before + argument + piece[override.end:])

    def _add(self, key: str, argument: str) -> None:
        piece = self._pieces[self._at[key]]
        words = _words(piece)
        after = max([override.end for override in _overrides(words)] + [words[_COLUMNS].end])
        line_end = piece.find("\n", after)
        rest_of_line = piece[after:] if line_end < 0 else piece[after:line_end]
        if rest_of_line.strip(BLANK):
            # Options come before what else a command is given: pipe(8) takes the rest for its own.
            self._put(key, piece[:after] + " " + argument + piece[after:])
            return
        indents = [re.match(r"[ \t]+", line) for line in physical(piece)[1:] if not is_aside(line)]
        indent = next((match.group() for match in indents if match), "  ")
        end = piece[line_end:] if line_end >= 0 else "\n"
        self._put(key, piece[:after] + rest_of_line + "\n" + indent + argument + end)


def services(text: str) -> list:
    """All services, in order. Lines that master(8) itself would not take are left to C(postfix check)."""
    return MasterCf(text).services


def _between(piece: str, override: _Override) -> str:
    """The comment lines between the two words of an override: they are the postmaster's."""
    return "".join(line for line in physical(piece[override.start:override.end])[1:-1] if is_aside(line))


def _words(piece: str) -> list:
    """The words of a service's lines; a pair of braces keeps what it encloses together, from the command on."""
    found: list = []
    begun, depth, at = None, 0, 0
    for line in physical(piece):
        if is_aside(line):
            at += len(line)
            continue
        for char in line:
            if depth == 0 and char in BLANK + "\n":
                if begun is not None:
                    found.append(_word(piece, begun, at))
                begun = None
            else:
                begun = at if begun is None else begun
                if len(found) > _COLUMNS:
                    depth = max(0, depth + {"{": 1, "}": -1}.get(char, 0))
            at += 1
    return found + ([_word(piece, begun, len(piece))] if begun is not None else [])


def _word(piece: str, start: int, end: int) -> _Word:
    lines = physical(piece[start:end])
    text = "".join(line for at, line in enumerate(lines) if at == 0 or not is_aside(line))
    return _Word(text.replace("\n", " "), start, end)


def _overrides(words: list) -> list:
    """C(-o name=value), C(-o { name = value }) and C(-oname=value), in order."""
    found = []
    left = words[_COLUMNS + 1:]
    while left:
        word = left.pop(0)
        if not word.text.startswith("-o"):
            continue
        last = word
        pair = word.text[2:]
        if not pair and left:
            last = left.pop(0)
            pair = last.text
        if pair.startswith("{") and pair.endswith("}"):
            pair = pair[1:-1]
        name, equals, value = pair.partition("=")
        if equals:
            found.append(_Override(name.strip(), value.strip(), word.start, last.end))
    return found


def _argument(key: str, name: str, value: str) -> str:
    """The words that set it: in braces where the value has blanks, or begins like that form."""
    opened = 0
    for char in value:
        opened += {"{": 1, "}": -1}.get(char, 0)
        if opened < 0:
            break
    if opened:
        raise PostfixTlsError(
            "%s: %s" % (key, name), value, "its braces are not paired, and master.cf can't hold such a value", "Pair them, or set it in main.cf.",
        )
    return "-o { %s = %s }" % (name, value) if re.search("[ \t]", value) else "-o %s=%s" % (name, value)
