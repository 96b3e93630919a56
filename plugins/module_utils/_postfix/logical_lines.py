# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Logical lines of main.cf, master.cf and text tables, as Postfix reads them.

A line that begins with a blank continues the one before; comment lines and empty lines belong to neither, and may stand in
between. Source: postconf(5), master(5); readlline.c.
"""
from __future__ import annotations

import re

BLANK = " \t\r\f\v"  # what Postfix takes for blank; Python's own strip() knows many more


def physical(text: str) -> list:
    """The lines with their ends. Only a line feed ends one for Postfix; str.splitlines knows ten more."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def is_aside(line: str) -> bool:
    """Whether a physical line is a comment or empty."""
    stripped = line.strip(BLANK + "\n")
    return not stripped or stripped.startswith("#")


def logical(text: str) -> list:
    """The text in pieces, (piece, whether it says something); joined they are the text.

    A piece is one logical line with its continuations and what stands between them, or one line that is aside.
    """
    pieces: list = []
    waiting: list = []  # what a continuation may still follow
    for line in physical(text):
        if is_aside(line):
            waiting.append(line)
        elif line[0] in BLANK and pieces and pieces[-1][1]:
            pieces[-1] = (pieces[-1][0] + "".join(waiting) + line, True)
            waiting = []
        else:
            pieces += [(one, False) for one in waiting] + [(line, True)]
            waiting = []
    return pieces + [(one, False) for one in waiting]


def asides(text: str) -> str:
    """The comment lines between a logical line and its continuations: they are the postmaster's."""
    return "".join(line for line in physical(text)[1:] if line.lstrip(BLANK).startswith("#"))
