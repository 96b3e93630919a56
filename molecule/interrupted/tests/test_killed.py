# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed, at whatever step, leaves a Postfix that serves a whole configuration, and the next run ends well."""
from __future__ import annotations

import json

import pytest
from conftest import INTENTS, PLACE, arguments, chain_file, fed
from witness import leaf_digest


@pytest.fixture(scope="session")
def died(hosts) -> dict:
    """{host: {whole: {intent: seen}, rows: [one killed run and the run after it]}}, as dying.py saw it."""
    def die(host) -> dict:
        asked = {"states": {intent: arguments(host.name, intent) for intent in INTENTS}, "turn": hosts.names.index(host.name)}
        return json.loads(fed(host, "cd %s && exec python3 -B dying.py" % PLACE, json.dumps(asked).encode()))
    died = hosts.each(die)
    for name, told in died.items():
        assert {intent: seen["served"] for intent, seen in told["whole"].items()} == {intent: leaf_digest(chain_file(name, intent)) for intent in INTENTS}
    return died


def rows(died: dict) -> list:
    """(what to say of it, the states of whole runs, row) of every run that was killed."""
    return [
        ("%s, step %d: %s" % (name, row["step"], row["killed"]), told["whole"], row)
        for name, told in died.items() for row in told["rows"] if row["killed"]
    ]


def test_runs_were_killed_at_every_step_until_one_got_through(died) -> None:
    for name, told in died.items():
        *killed, last = [row["killed"] for row in told["rows"]]
        assert last == "" and all(killed), name
        assert {step.split()[0] for step in killed} == {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "before", "amid"}, killed
        for step in ("manifest.json'", "main.cf'", "default.pem'", "previous'", "amid"):  # as they are named within their directories
            assert [one for one in killed if step in one], (name, step, killed)
        assert {row["then"] for row in told["rows"]} == {*INTENTS, "restored"}
        print("%s: %d steps" % (name, len(killed)))


def test_postfix_serves_the_old_or_the_new_whole_whenever_a_run_is_killed(died) -> None:
    for told, whole, row in rows(died):
        old, new, seen = whole[row["old"]], whole[row["new"]], row["seen"]
        assert seen["served"] in (old["served"], new["served"]), told
        assert seen["main"] in (old["main"], new["main"]), told
        assert seen["check"] == "", told


def test_no_key_is_readable_by_others_whenever_a_run_is_killed(died) -> None:
    for told, _whole, row in rows(died):
        assert (row["seen"]["open"], row["after"]["open"]) == ("", ""), told


def test_the_run_after_a_killed_one_ends_in_one_whole_state_proven(died) -> None:
    for told, whole, row in rows(died):
        told = "%s, then %s: %s" % (told, row["then"], row["result"].get("msg"))
        assert not row["result"].get("failed"), told
        assert row["result"]["changed"] or row["seen"]["tree"] == row["after"]["tree"], told
        assert row["result"]["results"], told
        assert (row["after"]["tree"], row["after"]["served"]) == (whole[row["leads_to"]]["tree"], whole[row["leads_to"]]["served"]), told


def test_nothing_is_left_lying_but_the_generation_back(died) -> None:
    littered = [row for _told, _whole, row in rows(died) if row["seen"]["half"]]
    assert littered, "a killed run leaves half written files, or this shows nothing"
    for told, _whole, row in rows(died):
        assert (row["after"]["kept"], row["after"]["half"]) in ((["lock", "previous"], []), (["lock", "older", "previous"], [])), told
