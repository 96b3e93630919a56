# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a server says, in whatever pieces it arrives, is a reply or one clear error, and never shown raw."""
from __future__ import annotations

import re

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import failure
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import LONGEST_LINE, MOST_LINES, Dialogue, Reply, keywords
from hypothesis import given
from hypothesis import strategies as st
from servers import Said


LINE = st.builds(
    lambda code, mark, text, end: code + mark + text + end,
    st.sampled_from([b"220", b"250", b"421", b"554", b"199", b"25", b""]), st.sampled_from([b"-", b" ", b"", b"\t"]),
    st.binary(max_size=12), st.sampled_from([b"\r\n", b"\n", b""]),
)


@given(st.lists(st.one_of(LINE, st.binary(min_size=1, max_size=40)), max_size=8))
def test_any_bytes_are_a_reply_or_an_error_in_visible_ascii(pieces: list) -> None:
    try:
        reply = Dialogue(Said(*filter(None, pieces))).banner()
    except PostfixTlsError as error:
        shown = str(error)
    else:
        shown = str(reply)
        assert 200 <= reply.code <= 599 and reply.code != 421 and reply.lines
    assert shown.isascii() and shown.isprintable()


@given(st.lists(st.integers(0, 60), max_size=6))
def test_how_a_reply_is_cut_into_packets_makes_no_difference(cuts: list) -> None:
    said = b"250-mx.example.org\r\n250-PIPELINING\n250-SIZE 10240000\r\n250 STARTTLS\r\n250 injected\r\n"
    edges = [0, *sorted(cuts), len(said)]
    whole = Said(*filter(None, (said[start:end] for start, end in zip(edges, edges[1:]))))
    assert Dialogue(whole).command("EHLO me.example.org") == Reply(250, ("mx.example.org", "PIPELINING", "SIZE 10240000", "STARTTLS"))
    assert whole.sent == b"EHLO me.example.org\r\n"


@pytest.mark.parametrize("said, told", [
    (b"", "closed the connection instead of sending its banner"),
    (b"220 cut off", "closed the connection instead of sending its banner"),
    (b"220-first\r\n", "closed the connection instead of sending its banner"),
    (b"hello\r\n", "no SMTP reply when sending its banner: hello"),
    (b"220\tmx\r\n", r"no SMTP reply when sending its banner: 220\\tmx"),
    (b"2200 mx\r\n", "no SMTP reply"),
    (b"120 mx\r\n", "no SMTP reply"),
    (b"x" * 100 + b"\r\n", "banner: x{80}$"),
    (b"220-x\r\n" * MOST_LINES, "more than %d lines" % MOST_LINES),
    (b"220 " + b"x" * LONGEST_LINE, "a line of more than %d bytes" % LONGEST_LINE),
    (b"421 4.3.2 full\r\n", "the server ended the session: 421 4.3.2 full"),
])
def test_what_is_no_greeting_is_told(said: bytes, told: str) -> None:
    with pytest.raises(PostfixTlsError) as caught:
        Dialogue(Said(*filter(None, [said]))).banner()
    assert caught.value.item == "mx.example.org:25" and re.search(told, caught.value.reason), caught.value.reason


def test_only_421_says_that_the_session_is_over() -> None:
    for said, ended in ((b"421 bye\r\n", True), (b"hello\r\n", False), (b"220-x\r\n" * MOST_LINES, False)):
        with pytest.raises(PostfixTlsError) as caught:
            Dialogue(Said(said)).banner()
        assert bool(caught.value.details.get("session_ended")) is ended


def test_as_many_lines_and_bytes_as_are_allowed_are_taken() -> None:
    assert len(Dialogue(Said(b"220-x\r\n" * (MOST_LINES - 1) + b"220 x\r\n")).banner().lines) == MOST_LINES
    assert len(Dialogue(Said(b"220 " + b"x" * (LONGEST_LINE - 4), b"\r\n")).banner().lines[0]) == LONGEST_LINE - 4


def test_what_came_after_a_reply_is_forgotten_once_and_returned() -> None:
    dialogue = Dialogue(Said(b"220 go\r\n250 \x1b[2Jinjected\r\n", b"250 later\r\n"))
    assert dialogue.command("STARTTLS") == Reply(220, ("go",))
    assert (dialogue.discard(), dialogue.discard()) == ("250 \\x1b[2Jinjected\\r\\n", "")
    assert dialogue.banner() == Reply(250, ("later",))


def test_a_goodbye_that_cannot_be_said_is_nobodys_business() -> None:
    said = Said()
    Dialogue(said).leave()
    assert said.sent == b"QUIT\r\n"

    def reset(_data: bytes, _purpose: str) -> None:
        raise failure(said.where, "reset")

    said.send = reset
    Dialogue(said).leave()


def test_keywords_are_capitals_and_an_old_habit_of_auth_counts() -> None:
    assert keywords(["size 10", "AUTH=LOGIN", "auth PLAIN", " 8BITMIME "]) == {"SIZE": "10", "AUTH": "PLAIN", "8BITMIME": ""}
    assert keywords(["AUTH=LOGIN PLAIN"]) == {"AUTH": "LOGIN PLAIN"}
