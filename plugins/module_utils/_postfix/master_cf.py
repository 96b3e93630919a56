# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The services of master.cf, with their C(-o) overrides. Source: master(5)."""
from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words


@dataclass(frozen=True)
class Service:
    """name: as written (smtp, 127.0.0.1:10025, ...); kind: inet, unix, pass, fifo; program: smtpd, postscreen, ..."""

    name: str
    kind: str
    program: str
    overrides: dict = field(default_factory=dict)

    @property
    def receives(self) -> bool:
        """Whether mail comes in here over TCP."""
        return self.kind == "inet" and self.program in ("smtpd", "postscreen")


def services(text: str) -> list[Service]:
    """All services, in order. Lines that master(8) itself would not take are left to C(postfix check)."""
    logical: list[str] = []
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and logical:
            logical[-1] += " " + line.strip()
        else:
            logical.append(line.strip())
    found = []
    for line in logical:
        columns = line.split(None, 7)
        if len(columns) == 8:
            program, *arguments = words(columns[7])
            found.append(Service(columns[0], columns[1], program, _overrides(arguments)))
    return found


def _overrides(arguments: list) -> dict:
    """C(-o name=value), C(-o { name = value }) and C(-oname=value), as {name: value}."""
    overrides = {}
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("-o"):
            continue
        pair = word[2:] or (left.pop(0) if left else "")
        if pair.startswith("{") and pair.endswith("}"):
            pair = pair[1:-1]
        name, equals, value = pair.partition("=")
        if equals:
            overrides[name.strip()] = value.strip()
    return overrides
