# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of parameters is read as it is meant; what it says is held against real releases in molecule/upgrade."""
from __future__ import annotations

import re

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.knowledge import PARAMETERS, known

KINDS = {
    "boolean", "integer", "time", "text", "words", "receiving-level", "sending-level", "protocols", "grade", "exclusions", "groups",
    "file", "files", "anchors", "directory", "table", "tables",
}


def test_a_row_is_read_column_by_column() -> None:
    assert known("tlsproxy_client_level") == (
        "tlsproxy_client_level", "sending-level", (3, 4), (), (3, 6), (3, 11), "tlsproxy_client_security_level", "reload",
    )
    assert known("smtpd_tls_CApath")[1:] == ("directory", (2, 2), (), None, None, None, "restart")
    assert known("smtpd_tls_CAPATH") is None


def test_braces_are_taken_in_step() -> None:
    assert (known("smtp_tls_per_site").since, known("smtp_tls_per_site").replaced_by) == ((2, 2), "smtp_tls_policy_maps")
    assert (known("lmtp_tls_per_site").since, known("lmtp_tls_per_site").replaced_by) == ((2, 3), "lmtp_tls_policy_maps")


def test_braces_of_one_row_have_as_many_items_each_and_no_name_stands_twice() -> None:
    lines = [line for line in knowledge._TABLE.splitlines() if line and not line.startswith("#")]
    counts = {line: {group.count(",") for group in re.findall("{(.*?)}", line)} for line in lines}
    assert [line for line, found in counts.items() if len(found) > 1] == []
    names = [row[0] for row in knowledge._rows(knowledge._TABLE)]
    assert len(names) > 200
    assert sorted(names) == sorted(PARAMETERS)


@pytest.mark.parametrize("name, there, missing", [
    ("smtp_tlsrpt_enable", [(3, 10), (3, 10, 0), (3, 12)], [(3, 9), (3, 9, 14)]),
    ("tls_config_file", [(3, 5, 20), (3, 5, 25), (3, 7, 11), (3, 8, 1), (3, 9), (3, 9, 0), (3, 11, 7)], [(3, 5, 19), (3, 5), (3, 8), (3, 8, 0)]),
    ("tls_legacy_public_key_fingerprints", [(3, 5, 25), (3, 10), (3, 10, 13)], [(3, 11), (3, 11, 0)]),
    ("tlsproxy_client_policy", [(3, 6, 20)], [(3, 3, 22), (3, 7, 0)]),
])
def test_a_release_has_it_from_since_or_its_own_patch_level_to_until(name: str, there: list, missing: list) -> None:
    assert [version for version in there if not known(name).known_to(version)] == []
    assert [version for version in missing if known(name).known_to(version)] == []


def test_each_cell_says_something_that_can_be() -> None:
    for parameter in PARAMETERS.values():
        assert re.fullmatch("[a-z_0-9]+(CAfile|CApath|CA)?", parameter.name), parameter
        assert parameter.kind in KINDS or re.fullmatch(r"[a-z]+(\|[a-z]+)+", parameter.kind), parameter
        assert parameter.until is None or parameter.since <= parameter.until, parameter
        assert parameter.deprecated is None or parameter.since <= parameter.deprecated, parameter
        assert all(len(level) == 3 and level[:2] < parameter.since for level in parameter.backports), parameter
        assert parameter.replaced_by is None or parameter.deprecated or parameter.until, parameter
        assert parameter.live in ("reload", "restart"), parameter


def test_no_replacement_is_itself_deprecated_and_it_is_of_the_same_kind_unless_it_takes_more() -> None:
    pairs = [(parameter, known(parameter.replaced_by)) for parameter in PARAMETERS.values() if known(parameter.replaced_by or "")]
    assert len(pairs) > 15
    assert [old.name for old, new in pairs if new.deprecated or new.until] == []
    # A switch became one of several levels; a list of ciphers, a grade.
    assert {(old.kind, new.kind) for old, new in pairs if old.kind != new.kind} == {
        ("boolean", "receiving-level"), ("boolean", "sending-level"), ("boolean", "disabled|enabled|dnssec"), ("text", "grade"),
    }


def test_every_kind_is_one_that_values_are_judged_by() -> None:
    unjudged = {row.kind for row in knowledge.PARAMETERS.values() if not values.is_judged(row.kind)}
    assert unjudged == {"text", "words"}


def test_the_reference_is_the_entry_in_the_manual() -> None:
    assert known("smtp_tls_CAfile").reference == "https://www.postfix.org/postconf.5.html#smtp_tls_CAfile"
