# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that are asked much and answer much."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import run, runner


def test_answers_that_fill_a_pipe_while_there_is_more_to_ask_are_all_read() -> None:
    asked = "".join("partner%d.example.org\n" % number for number in range(20_000))
    assert run(["cat"], stdin=asked) == (0, asked, "")


def test_a_command_runs_in_the_c_locale_where_administrators_commands_lie() -> None:
    _status, out, _err = runner(MORE="x")(["sh", "-c", "echo $LC_ALL $PATH $MORE"])
    locale, path, more = out.split()
    assert (locale, more) == ("C", "x") and path.startswith("/usr/sbin:/sbin:")


def test_status_and_both_outputs_are_told_bytes_that_are_no_text_included() -> None:
    assert run(["sh", "-c", r"printf '\377'; echo wrong >&2; exit 3"]) == (3, "\udcff", "wrong\n")


def test_one_that_is_not_there_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        run(["no-such-command"])
