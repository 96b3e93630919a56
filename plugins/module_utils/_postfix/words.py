# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Text as Postfix cuts it into words: a pair of braces keeps what it encloses together; quotes and backslashes mean nothing.

Source: master(5) "Command name + arguments", DATABASE_README (inline: tables).
"""
from __future__ import annotations


def words(text: str, separators: str = " \t\r\n") -> list:
    """The words, braces and all. A brace that never closes runs to the end."""
    found, depth = [""], 0
    for char in text:
        if depth == 0 and char in separators:
            found.append("")
            continue
        depth = max(0, depth + {"{": 1, "}": -1}.get(char, 0))
        found[-1] += char
    return [word for word in found if word]
