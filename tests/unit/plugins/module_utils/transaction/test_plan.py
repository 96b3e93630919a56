# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan says what a run will do, and says nothing of a key."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan

NONE = FileState(None)
OLD = FileState(b"old \xff\n", 0o644)
NEW = FileState(b"new\n", 0o644)


@pytest.mark.parametrize("before, after, verb", [(NONE, NEW, "create"), (OLD, NEW, "change"), (OLD, NONE, "remove")])
def test_each_change_is_named_by_what_it_does(before: FileState, after: FileState, verb: str) -> None:
    plan = Plan()
    plan.add("/x", before, after)
    assert plan.summary() == [{"path": "/x", "change": verb}]


@pytest.mark.parametrize("after", [FileState(b"old \xff\n", 0o600), FileState(b"old \xff\n", 0o644, 1), FileState(b"old \xff\n", 0o644, 0, 1)])
def test_another_mode_or_owner_is_a_change_and_the_same_state_is_none(after: FileState) -> None:
    plan = Plan()
    plan.add("/x", OLD, OLD)
    assert plan.changes == []
    plan.add("/x", OLD, after)
    assert [change.after for change in plan.changes] == [after]


def test_a_diff_shows_the_text_that_is_written_and_nothing_where_there_is_no_file() -> None:
    plan = Plan()
    plan.add("/x", NONE, NEW)
    plan.add("/y", OLD, NEW)
    assert plan.diff() == [
        {"before_header": "/x", "after_header": "/x", "before": "", "after": "new\n"},
        {"before_header": "/y", "after_header": "/y", "before": "old \ufffd\n", "after": "new\n"},
    ]


def test_of_a_secret_a_diff_shows_only_what_is_said_instead() -> None:
    plan = Plan()
    plan.add("/key", OLD, NEW, secret=True, shown=("digest 1", "digest 2"))
    plan.add("/key", OLD, NONE, secret=True, shown=("digest 1", "digest 2"))
    plan.add("/key", OLD, NEW, secret=True)
    assert [(entry["before"], entry["after"]) for entry in plan.diff()] == [("digest 1", "digest 2"), ("digest 1", ""), ("", "")]
