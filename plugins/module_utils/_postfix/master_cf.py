# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The services of master.cf, with their C(-o) overrides. Source: master(5)."""
from __future__ import annotations

import shlex
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Service:
    """name: as written (smtp, 127.0.0.1:10025, ...); kind: inet, unix, pass, fifo; program: smtpd, postscreen, ..."""

    name: str
    kind: str
    program: str
    overrides: dict = field(default_factory=dict)


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
            program, _blank, arguments = columns[7].partition(" ")
            found.append(Service(columns[0], columns[1], program, _overrides(arguments)))
    return found


def _overrides(arguments: str) -> dict:
    """C(-o name=value), C(-o{ name = value }) and C(-oname=value), as {name: value}."""
    overrides = {}
    text = arguments.replace("{", " '").replace("}", "' ")
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    while words:
        word = words.pop(0)
        if word == "-o" and words:
            word = "-o" + words.pop(0)
        if word.startswith("-o") and "=" in word:
            name, value = word[2:].split("=", 1)
            overrides[name.strip()] = value.strip()
    return overrides
