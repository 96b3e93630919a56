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
    "\fmore", "\x0ba = 4", "\ra = 5", "a\f= 6", " \u00a0# no comment", "smtp-slow_x = 1",
])
TEXT = st.one_of(st.text(), st.lists(PIECE).map("\n".join), st.lists(PIECE).map(lambda lines: "\n".join(lines) + "\n"))


def comments(text: str) -> list:
    return [line.rstrip("\r") for line in text.split("\n") if line.lstrip(" \t\r\f\v").startswith("#")]


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


@pytest.mark.parametrize("text, value", [
    ("a = 1\n\fa = 2\n", "1 a = 2"),
    ("a = 1\n\x0b2\n\r3\n", "1 2 3"),
    ("a\f= 1\n", "1"),
    ("a = 1\r\n  2\r\n", "1 2"),
    ("a = 1\n \u00a0# 2\n", "1 \u00a0# 2"),
    ("a = # 1\n", "# 1"),
])
def test_blank_is_what_postfix_takes_for_blank(text: str, value: str) -> None:
    """What postconf of 3.5 and 3.10 says of the same texts; it is not asked here, for a machine without Postfix runs this too."""
    main = MainCf(text)
    assert main.raw("a") == value
    main.set("a", "9")
    assert main.text() == "a = 9\n"


def test_a_name_with_a_dash_is_one_name_and_is_not_written_twice() -> None:
    main = MainCf("smtp-slow_destination_rate_delay = 1s\nrelayhost =\n")
    assert main.raw("smtp-slow_destination_rate_delay") == "1s"
    main.set("smtp-slow_destination_rate_delay", "2s")
    assert main.text() == "smtp-slow_destination_rate_delay = 2s\nrelayhost =\n"
    main.remove("smtp-slow_destination_rate_delay")
    assert main.text() == "relayhost =\n"


def test_windows_line_ends_of_other_lines_stay() -> None:
    main = MainCf("# a\r\nb = 1\r\n\r\na = 2\r\n")
    main.set("a", "3")
    assert main.text() == "# a\r\nb = 1\r\n\r\na = 3\n"


def test_an_empty_value_is_a_value_and_a_file_without_a_last_line_end_gets_one() -> None:
    main = MainCf("b = 1")
    main.set("a", "")
    assert main.text() == "b = 1\na =\n" and main.raw("a") == ""
