# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that are asked much and answer much."""
from __future__ import annotations

import os
import time

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import command
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


@pytest.mark.parametrize("script", [
    "echo $$ > %s/pid; sleep 61",
    "trap '' TERM; echo $$ > %s/pid; while :; do sleep 0.2; done",
    "sleep 61 & echo $! > %s/pid; wait",
    "setsid sleep 3 & echo $$ > %s/pid; cat /dev/zero >/dev/null",
], ids=["waits", "can't be told to end", "waits for a child", "leaves somebody with its pipes"])
def test_one_that_hangs_is_ended_with_all_it_started_and_told(tmp_path, monkeypatch, script: str) -> None:
    monkeypatch.setattr(command, "_ENDING", 0.3)
    begun = time.monotonic()
    with pytest.raises(PostfixTlsError, match="^sh -c .* it did not end within 0.5 s, and was ended. Run it by hand"):
        run(["sh", "-c", script % tmp_path], limit=0.5)
    assert time.monotonic() - begun < 2.5
    number = int((tmp_path / "pid").read_text(encoding="ascii"))
    for _try in range(100):
        if not os.path.exists("/proc/%d" % number):
            return
        time.sleep(0.02)
    with open("/proc/%d/stat" % number, encoding="ascii") as file:
        assert file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_table_that_is_silent_holds_nobody_for_long(monkeypatch) -> None:
    monkeypatch.setitem(command._LIMITS, "sleep", 0.2)
    with pytest.raises(PostfixTlsError, match="sleep 61: it did not end within 0.2 s"):
        runner()(["/bin/sleep", "61"])
