# SPDX-License-Identifier: GPL-3.0-or-later
"""How tables are asked, and how far. What Postfix's own postmap says is text here; molecule/policy/tests/test_tables.py holds it against real messages."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup, kind
from hosts_of_text import postconf

TABLES = {
    "hash:/one": {"a.example": "one"}, "hash:/two": {"a.example": "two", ".example": "above"},
    "socketmap:inet:h:1:p": {"b.example": "there", "later.example": "TEMP", ".example": "TEMP"},
    "socketmap:inet:h:2:p": {"%d.example" % number: "TEMP" for number in range(50)},
}


class Asked(Lookup):
    """Counts runs of postmap in runs."""

    def __init__(self) -> None:
        answer, self.runs = postconf({}, TABLES), []

        def run(argv: list, stdin: str = "") -> tuple:
            self.runs.append(argv[-1])
            return answer(argv, stdin)

        super().__init__(run, "/etc/postfix")


def test_the_first_key_that_any_table_has_wins() -> None:
    listed = ["hash:/one", "hash:/two"]
    lookup = Asked()
    assert lookup.find(listed, ["a.example", ".example"], 2) == ("a.example", "hash:/one", "one")
    assert lookup.find(listed, ["c.example", ".example"], 2) == (".example", "hash:/two", "above")
    assert lookup.find(listed, ["c.test"], 1) is None
    assert lookup.find(["hash:/two"], ["A.Example"], 1) == ("A.Example", "hash:/two", "two"), "postmap folds, where Postfix does"


def test_a_table_behind_an_answer_is_not_asked() -> None:
    lookup = Asked()
    assert lookup.find(["hash:/one", "hash:/gone"], ["a.example", ".example"], 2).value == "one"
    with pytest.raises(PostfixTlsError, match="hash:/gone: this table can't be asked"):
        lookup.find(["hash:/one", "hash:/gone"], ["c.example"], 1)
    with pytest.raises(PostfixTlsError):
        lookup.find(["hash:/gone", "hash:/one"], ["a.example"], 1)


def test_what_a_table_can_not_tell_of_one_key_says_nothing_of_others() -> None:
    lookup, table = Asked(), "socketmap:inet:h:1:p"
    lookup.prefetch(table, ["later.example", "b.example", "c.test"])
    assert lookup.find([table], ["b.example", ".example"], 2).value == "there"
    assert lookup.find([table], ["c.test"], 1) is None
    for keys in (["later.example"], ["d.example", ".example"]):
        with pytest.raises(PostfixTlsError, match="query error"):
            lookup.find([table], keys, 2)
    before = len(lookup.runs)
    with pytest.raises(PostfixTlsError):
        lookup.find([table], ["later.example"], 1)
    assert len(lookup.runs) == before, "no key is asked for twice"


def test_a_table_that_answers_nothing_is_given_up() -> None:
    lookup, table = Asked(), "socketmap:inet:h:2:p"
    for number in range(50):
        with pytest.raises(PostfixTlsError):
            lookup.find([table], ["%d.example" % number, "x.example"], 2)
    assert len(lookup.runs) < 10


def test_many_keys_are_asked_for_at_once_and_only_of_tables_that_anybody_comes_to() -> None:
    lookup = Asked()
    lookup.prepare(["hash:/one", "hash:/two", "hash:/gone"], [["a.example"]] * 3)
    assert lookup.runs == ["hash:/one"]
    lookup.prepare(["hash:/one", "hash:/two"], [["%d.example" % number, ".example"] for number in range(100)])
    assert lookup.runs == ["hash:/one", "hash:/one", "hash:/two"]


@pytest.mark.parametrize(("table", "told"), [
    ("hash:/x", "hash"), ("proxy:hash:/x", "hash"), ("proxy:proxy:mysql:/x", "mysql"), ("unionmap:{proxy:mysql:/x, hash:/y}", "unionmap"),
])
def test_the_type_of_a_table(table: str, told: str) -> None:
    assert kind(table) == told
