# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""main.cf as text that is edited in place: what is not asked for stays byte for byte.

Source: postconf(5) "SYNOPSIS"/file format: a logical line starts with non-blank text, a line that starts with
blanks continues it, comment lines and empty lines in between belong to neither; the last definition counts.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.logical_lines import BLANK, asides, is_aside, logical, physical

_DEFINITION = re.compile(r"^(?P<name>[^\s=#][^\s=]*)\s*=", re.ASCII)  # any name: smtp-slow_destination_rate_delay is one


class _Line:
    """A logical line: a definition with its continuations, or anything else (name is None)."""

    def __init__(self, text: str, name: str | None) -> None:
        self.text = text
        self.name = name


class MainCf:
    """text in, text out; C(MainCf(t).text() == t) for every t."""

    def __init__(self, text: str) -> None:
        self._lines: list[_Line] = []
        for piece, said in logical(text):
            match = _DEFINITION.match(piece) if said else None
            self._lines.append(_Line(piece, match.group("name") if match else None))

    def text(self) -> str:
        return "".join(line.text for line in self._lines)

    def names(self) -> list:
        """The parameters it sets, each once, in order."""
        return list(dict.fromkeys(line.name for line in self._lines if line.name))

    def raw(self, name: str) -> str | None:
        """The value as written, continuation lines joined by one blank; None where it is not set."""
        for line in reversed(self._lines):
            if line.name == name:
                value = line.text.split("=", 1)[1]
                parts = [part.strip(BLANK + "\n") for part in physical(value)]
                return " ".join(part for at, part in enumerate(parts) if part and (at == 0 or part[0] != "#"))
        return None

    def set(self, name: str, value: str) -> None:
        """One definition of name remains, where the last one stood; a new one joins its family, or the end."""
        new = "%s = %s\n" % (name, value) if value else "%s =\n" % name
        places = [at for at, line in enumerate(self._lines) if line.name == name]
        if places:
            last = self._lines[places[-1]]
            last.text = new + asides(last.text)
            self._lines = [line for line in (_unless(line, name, last) for line in self._lines) if line.text]
            return
        family = name.split("_tls_")[0] + "_tls_"
        kin = [at for at, line in enumerate(self._lines) if line.name and line.name.startswith(family)]
        at = kin[-1] + 1 if kin else len(self._lines)
        if at and not self._lines[at - 1].text.endswith("\n"):
            self._lines[at - 1].text += "\n"
        self._lines.insert(at, _Line(new, name))

    def put_first(self, name: str, check: str, table: str) -> None:
        """These words at the head of a list, where what it says already stays byte for byte; a new definition where there is none."""
        line = self._last(name)
        if not line:
            self.set(name, "%s %s" % (check, table))
            return
        at = line.text.index("=") + 1
        for number, part in enumerate(physical(line.text[at:])):
            blank = len(part) - len(part.lstrip(BLANK + "\n"))
            if part[blank:] and (number == 0 or not is_aside(part)):
                behind = ",\n" + part[:blank] if number else ", "
                line.text = "%s%s %s%s%s" % (line.text[:at + blank], check, table, behind, line.text[at + blank:])
                return
            at += len(part)
        # A definition that says nothing keeps its line, so that it can be told from a new one.
        line.text = "%s%s    %s %s\n" % (line.text, "" if line.text.endswith("\n") else "\n", check, table)

    def take_out(self, name: str, check: str, table: str) -> None:
        """Undoes put_first, wherever the words stand now; a definition goes where it was made for them."""
        line = self._last(name)
        if not line:
            return
        begin, equals, value = line.text.partition("=")
        item = r"%s[\s,]+%s(?![^\s,])" % (re.escape(check), re.escape(table))
        value = re.sub(r"\n[%s]+%s[%s,]*(?=\n|$)" % (BLANK, item, BLANK), "", value)  # on a line of its own
        left = re.sub(
            r"(\n[%s]*#[^\n]*)|(?<![^\s,])%s[%s]*,?[%s]*" % (BLANK, item, BLANK, BLANK), lambda found: found.group(1) or "", value,
        )
        line.text = begin + equals + left
        if left != value and not self.raw(name):
            self.remove(name)

    def _last(self, name: str) -> _Line | None:
        """The definition that counts."""
        return next((line for line in reversed(self._lines) if line.name == name), None)

    def remove(self, name: str) -> None:
        self._lines = [line for line in (_unless(line, name, None) for line in self._lines) if line.text]


def _unless(line: _Line, name: str, last: _Line | None) -> _Line:
    """The line, or only its comments when it defines name and is not the one to keep."""
    return line if line.name != name or line is last else _Line(asides(line.text), None)
