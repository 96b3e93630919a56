# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put at the head of a list in main.cf leaves the list as its postmaster wrote it, and is taken out without a trace."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from hypothesis import example, given
from hypothesis import strategies as st

ONE = ("check_client_access", "cidr:/etc/postfix/one")
TWO = ("check_sender_access", "regexp:/etc/postfix/two")

PIECE = st.sampled_from([
    "list = permit, reject", "list=$mine", "list =", "list = #word", "list = ,", "other = 1", "# list = 9", "    permit_mynetworks,", "\treject", "  # why",
    "  #check_client_access cidr:/etc/postfix/one", "  check_client_access", "  , x", "", "   ", "\r", "list = a\r", "junk", "\fmore",
])
TEXT = st.lists(PIECE).map(lambda lines: "".join(line + "\n" for line in lines))


def put(text: str, *items: tuple) -> str:
    main = MainCf(text)
    for item in reversed(items):
        main.put_first("list", *item)
    return main.text()


def taken(text: str, *items: tuple) -> str:
    main = MainCf(text)
    for item in items:
        main.take_out("list", *item)
    return main.text()


def said(text: str) -> list:
    return words(MainCf(text).raw("list") or "", ", \t\r\n\f")


@pytest.mark.parametrize("before, after", [
    ("", "list = {one}, {two}\n"),
    ("a = 1\n", "a = 1\nlist = {one}, {two}\n"),
    ("list = permit_mynetworks, reject\n", "list = {one}, {two}, permit_mynetworks, reject\n"),
    ("list=$mine\n", "list={one}, {two}, $mine\n"),
    ("list =\n    permit_mynetworks,\n    reject\n", "list =\n    {one},\n    {two},\n    permit_mynetworks,\n    reject\n"),
    ("list =\n# why\n\tpermit\n  # last\n\treject\n", "list =\n# why\n\t{one},\n\t{two},\n\tpermit\n  # last\n\treject\n"),
    ("list = permit,\n  reject\n", "list = {one}, {two}, permit,\n  reject\n"),
    ("list =\nb = 2\n", "list =\n    {one},\n    {two}\nb = 2\n"),
    ("list = a\nlist = b\n", "list = a\nlist = {one}, {two}, b\n"),
])
def test_at_the_head_of_the_definition_that_counts_and_back(before: str, after: str) -> None:
    after = after.format(one=" ".join(ONE), two=" ".join(TWO))
    assert put(before, ONE, TWO) == after
    assert taken(after, ONE, TWO) == before
    assert taken(after, TWO, ONE) == before


@given(TEXT)
@example("list =\n    \n")
@example("list = \n  #check_client_access cidr:/etc/postfix/one\n  permit\n")
def test_whatever_the_list_looks_like_it_comes_first_and_goes_without_a_trace(text: str) -> None:
    there = put(text, ONE, TWO)
    assert said(there) == [*ONE, *TWO, *said(text)]
    assert taken(there, ONE, TWO) == text
    assert taken(text, ONE, TWO) == text, "what is not there is not taken out"


@pytest.mark.parametrize("rewritten, left", [
    ("list = permit_mynetworks, {one}\n", ["permit_mynetworks"]),
    ("list = permit_mynetworks, {one}, reject\n", ["permit_mynetworks", "reject"]),
    ("list =\n  permit_mynetworks\n  {one}\n  reject\n", ["permit_mynetworks", "reject"]),
    ("list = permit check_client_access\n    cidr:/etc/postfix/one reject\n", ["permit", "reject"]),
    ("list =\n  check_client_access\n    cidr:/etc/postfix/one\n  reject\n", ["reject"]),
    ("list = check_client_access,cidr:/etc/postfix/one,reject\n", ["reject"]),
    ("list = x{one}, {one}s, y\n", ["xcheck_client_access", "cidr:/etc/postfix/one", "check_client_access", "cidr:/etc/postfix/ones", "y"]),
])
def test_it_is_found_where_a_postmaster_has_moved_it(rewritten: str, left: list) -> None:
    assert said(taken(rewritten.format(one=" ".join(ONE)), ONE)) == left


def test_a_definition_that_was_made_for_it_goes_with_it_and_one_that_was_there_stays() -> None:
    assert taken(put("a = 1\n", ONE), ONE) == "a = 1\n"
    assert taken(put("a = 1\nlist =\n", ONE), ONE) == "a = 1\nlist =\n"
