# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""main.cf as text that is edited in place: what is not asked for stays byte for byte.

Source: postconf(5) "SYNOPSIS"/file format: a logical line starts with non-blank text, a line that starts with
blanks continues it, comment lines and empty lines in between belong to neither; the last definition counts.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.logical_lines import BLANK, asides, logical, physical

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

    def remove(self, name: str) -> None:
        self._lines = [line for line in (_unless(line, name, None) for line in self._lines) if line.text]


def _unless(line: _Line, name: str, last: _Line | None) -> _Line:
    """The line, or only its comments when it defines name and is not the one to keep."""
    return line if line.name != name or line is last else _Line(asides(line.text), None)
