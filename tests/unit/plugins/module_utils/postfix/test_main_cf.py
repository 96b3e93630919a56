# SPDX-License-Identifier: GPL-3.0-or-later
"""main.cf is edited in place: what is asked for is there afterwards, and everything else byte for byte."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from hypothesis import example, given
from hypothesis import strategies as st

PIECE = st.sampled_from([
    "a = 1", "a=2", "b = $a", "smtpd_tls_loglevel = 0", "smtpd_tls_auth_only = no", "smtp_tls_loglevel=1", "# a = 9", "   # b", "\tmore",
    "  , x", "", "   ", "junk", "=", "é = ü", "a.b = 1", "\r", "a = 3\r",
])
TEXT = st.one_of(st.text(), st.lists(PIECE).map("\n".join), st.lists(PIECE).map(lambda lines: "\n".join(lines) + "\n"))


def comments(text: str) -> list:
    return [line.rstrip("\r") for line in text.split("\n") if line.lstrip().startswith("#")]


@given(TEXT)
@example("a = 1\n  b\n#c\n  d")
def test_unasked_it_gives_back_what_it_was_given(text: str) -> None:
    assert MainCf(text).text() == text


@given(TEXT, st.sampled_from(["a", "smtpd_tls_loglevel", "new"]))
def test_what_was_set_is_what_is_read_and_setting_it_again_changes_nothing(text: str, name: str) -> None:
    main = MainCf(text)
    main.set(name, "7 8")
    assert main.raw(name) == "7 8"
    again = MainCf(main.text())
    assert again.raw(name) == "7 8"
    again.set(name, "7 8")
    assert again.text() == main.text()


@given(TEXT)
def test_what_was_removed_is_gone_and_no_comment_with_it(text: str) -> None:
    main = MainCf(text)
    main.remove("a")
    assert main.raw("a") is None and MainCf(main.text()).raw("a") is None
    assert comments(main.text()) == comments(text)


@pytest.mark.parametrize("before, after", [
    ("a = 1\nb = 2\n", "a = 5\nb = 2\n"),
    ("b = 2\n\n# why a\na = 1\n  2\n#in\n  3\nc = 4\n", "b = 2\n\n# why a\na = 5\n#in\nc = 4\n"),
    ("a = 1\nb = 2\na = 3\n", "b = 2\na = 5\n"),
    ("a=1", "a = 5\n"),
])
def test_the_last_definition_is_replaced_where_it_stands(before: str, after: str) -> None:
    main = MainCf(before)
    main.set("a", "5")
    assert main.text() == after


def test_a_value_is_read_through_its_continuations_and_past_the_comments_between() -> None:
    assert MainCf("a = 1\n  2\n#in\n\n  # too\n\t3\nb = 4\n").raw("a") == "1 2 3"


def test_a_new_parameter_stands_with_its_family() -> None:
    main = MainCf("smtpd_tls_loglevel = 0\n\nrelayhost =\n")
    main.set("smtpd_tls_auth_only", "yes")
    main.set("smtp_tls_loglevel", "1")
    assert main.text() == "smtpd_tls_loglevel = 0\nsmtpd_tls_auth_only = yes\n\nrelayhost =\nsmtp_tls_loglevel = 1\n"


def test_only_a_line_feed_ends_a_line() -> None:
    main = MainCf("# form feed \x0ca = 1 and \u2028a = 2\na = 3\n")
    assert main.raw("a") == "3"
    main.remove("a")
    assert main.text() == "# form feed \x0ca = 1 and \u2028a = 2\n"
