# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocol lists mean to us what they mean to Postfix, and are written so that each release understands them."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list
from hypothesis import given
from hypothesis import strategies as st

MODERN = {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize("text, left_on", [
    ("", set(protocol_list.NAMES)),
    (">=TLSv1.2", MODERN),
    (">= TLSv1.2", None),
    ("!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", MODERN),
    ("!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", MODERN),
    ("TLSv1.2", {"TLSv1.2"}),
    ("tlsv1.2 TLSv1.3", MODERN),
    (">=TLSv1, <=TLSv1.1", {"TLSv1", "TLSv1.1"}),
    ("TLSv1.2, !TLSv1.2", set()),
    ("FOO", None),
    ("!TLSv1.4", None),
])
def test_a_list_leaves_on_what_postfix_leaves_on(text: str, left_on: set | None) -> None:
    if left_on is None:
        with pytest.raises(PostfixTlsError, match="is no protocol version; Postfix would switch TLS off"):
            protocol_list.accepted(text)
    else:
        assert protocol_list.accepted(text) == left_on


@pytest.mark.parametrize("version, written", [
    ((3, 5), "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"),
    ((3, 6), ">=TLSv1.2"),
    ((3, 11), ">=TLSv1.2"),
])
def test_a_range_is_spelt_out_where_the_release_knows_none(version: tuple, written: str) -> None:
    assert protocol_list.render(">=TLSv1.2", version) == written


def test_a_bare_name_that_would_lose_tls_1_3_is_refused_with_what_to_write() -> None:
    with pytest.raises(PostfixTlsError, match="TLS 1.3 would be off. Write '>=TLSv1.2'"):
        protocol_list.render("TLSv1.2", (3, 10), "smtpd_tls_protocols")


@pytest.mark.parametrize("version", [(3, 5), (3, 10)])
@pytest.mark.parametrize("text, written", [("TLSv1.2:TLSv1.3", "TLSv1.2, TLSv1.3"), ("!SSLv2  !SSLv3,!TLSv1", "!SSLv2, !SSLv3, !TLSv1")])
def test_what_every_release_understands_is_kept_as_it_was_said(text: str, written: str, version: tuple) -> None:
    assert protocol_list.render(text, version) == written


def test_a_name_nobody_knows_is_refused_with_the_parameter_and_the_names_there_are() -> None:
    with pytest.raises(PostfixTlsError) as refused:
        protocol_list.render(">=TLSv1.2, TLS1.3", (3, 10), "smtpd_tls_protocols")
    assert str(refused.value) == (
        "smtpd_tls_protocols = >=TLSv1.2, TLS1.3: 'TLS1.3' is no protocol version; Postfix would switch TLS off. "
        "Write for example '>=TLSv1.2'; the names are SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3."
    )


def test_a_list_that_leaves_nothing_on_is_refused() -> None:
    with pytest.raises(PostfixTlsError, match="it leaves no protocol version on"):
        protocol_list.render(">=TLSv1.2, <=TLSv1.1", (3, 10))


def test_tls_1_3_can_be_excluded_in_so_many_words() -> None:
    assert protocol_list.accepted(protocol_list.render(">=TLSv1.2, !TLSv1.3", (3, 5))) == {"TLSv1.2"}


TOKEN = st.builds("".join, st.tuples(st.sampled_from(["!", ">=", "<=", ""]), st.sampled_from(protocol_list.NAMES)))


@given(st.lists(TOKEN, max_size=5), st.sampled_from([(3, 4), (3, 5), (3, 6), (3, 7), (3, 10), (3, 11)]))
def test_what_is_written_means_what_was_said(tokens: list, version: tuple) -> None:
    said = ", ".join(tokens)
    try:
        written = protocol_list.render(said, version)
    except PostfixTlsError:
        return
    assert protocol_list.accepted(written) == protocol_list.accepted(said)
    if version < (3, 6):
        assert not set("<>") & set(written)
    assert protocol_list.same(written, said)


def test_lists_are_the_same_by_meaning_not_by_spelling() -> None:
    assert protocol_list.same(">=TLSv1.2", "!TLSv1 !SSLv3:!TLSv1.1")
    assert not protocol_list.same(">=TLSv1.2", ">=TLSv1.1")
    assert protocol_list.same(">=TLSv1.2", "FOO") is False


@pytest.mark.parametrize("text, floor", [("", "SSLv3"), (">=TLSv1.2", "TLSv1.2"), ("!SSLv3", "TLSv1")])
def test_the_floor_is_the_oldest_version_left(text: str, floor: str) -> None:
    assert protocol_list.floor(text) == floor
