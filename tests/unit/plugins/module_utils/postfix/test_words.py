# SPDX-License-Identifier: GPL-3.0-or-later
"""Text is cut into words where Postfix cuts it."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("text, cut", [
    ("", []),
    (" \t ", []),
    ("smtpd\t-v  -o\r\na=b", ["smtpd", "-v", "-o", "a=b"]),
    ("-o a=${b} -o { c = it's {d} e }", ["-o", "a=${b}", "-o", "{ c = it's {d} e }"]),
    ('-o a="b c"', ["-o", 'a="b', 'c"']),
    ("a} b", ["a}", "b"]),
    ("a { b c", ["a", "{ b c"]),
])
def test_braces_keep_together_and_quotes_do_not(text: str, cut: list) -> None:
    assert words(text) == cut


def test_the_separators_are_those_of_the_place() -> None:
    assert words("inline:{ {a.example = encrypt}, b.example=may }, hash:/x\tlmdb:/y", ", \t") == [
        "inline:{ {a.example = encrypt}, b.example=may }", "hash:/x", "lmdb:/y",
    ]


@given(st.text("ab{} ,="))
def test_nothing_but_separators_is_lost(text: str) -> None:
    assert "".join(words(text)).replace(" ", "") == text.replace(" ", "")
