# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that are asked much and answer much."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner


class Module:
    """Stands for AnsibleModule, whose own way with stdin is what is not wanted here."""

    def run_command(self, argv: list, **_options: object) -> tuple:
        return 0, " ".join(argv), ""


def test_answers_that_fill_a_pipe_while_there_is_more_to_ask_are_all_read() -> None:
    asked = "".join("partner%d.example.org\n" % number for number in range(20_000))
    status, out, err = runner(Module())(["cat"], stdin=asked)
    assert (status, out, err) == (0, asked, "")


def test_a_command_runs_in_the_c_locale_where_administrators_commands_lie() -> None:
    _status, out, _err = runner(Module(), MORE="x")(["sh", "-c", "echo $LC_ALL $PATH $MORE"], stdin="")
    locale, path, more = out.split()
    assert (locale, more) == ("C", "x") and path.startswith("/usr/sbin:/sbin:")


def test_one_that_is_not_there_is_told_and_one_without_questions_goes_by_ansible() -> None:
    with pytest.raises(FileNotFoundError):
        runner(Module())(["no-such-command"], stdin="x")
    assert runner(Module())(["postconf", "-x"]) == (0, "postconf -x", "")
