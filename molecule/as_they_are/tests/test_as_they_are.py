# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten configurations as people run them: what check mode says is what the run does, nothing becomes weaker, a second run changes nothing, partners are
held, the way back is exact, and mail flows all the while."""
from __future__ import annotations

import hashlib

from story import Story, Told
from weaker import weaker


def test_it_can_be_hardened(story: Story) -> None:
    assert all(story.ended["run"]), [said.get("msg") for said in story.said["run"]]
    assert all(said["changed"] for said in story.said["run"]) and story.trees["run"] != story.trees["before"]


def test_what_check_mode_says_is_what_the_run_does(story: Story) -> None:
    assert story.trees["check"] == story.trees["before"]
    assert story.ended["check"] == story.ended["run"], [[said.get("msg") for said in story.said[moment]] for moment in ("check", "run")]
    for checked, ran in zip(story.said["check"], story.said["run"]):
        for part in ("changed", "failed", "plan", "action_taken"):
            assert checked.get(part) == ran.get(part), part
        assert _of_files(checked) == _of_files(ran)
        assert [finding for finding in checked.get("findings", ()) if finding not in ran.get("findings", ())] == []


def test_the_files_are_what_check_mode_showed(story: Story) -> None:
    """By the host's own digests: what the diff shows after the change is what is there."""
    for said in story.said["check"]:
        for change in said.get("diff", ()) if all(story.ended["run"]) else ():
            path = change.get("after_header", "")
            if path.endswith(("main.cf", "master.cf")):
                assert _in_tree(story.trees["run"], path, change["after"]), path


def _of_files(said: dict) -> list:
    """Its diff, without what the real run adds of the wire."""
    return [change for change in said.get("diff", ()) if change.get("after_header", "").startswith("/")]


def _in_tree(lines: list, path: str, text: str) -> bool:
    return "%s  %s" % (hashlib.sha256(text.encode()).hexdigest(), path.lstrip("/")) in lines


def test_nothing_is_weaker_than_it_was(story: Story) -> None:
    found = []
    for directory, before in story.services["before"].items():
        after = story.services["run"][directory]
        assert set(before) <= set(after)
        said = {service: list(weaker(before[service], after[service])) for service in before}
        found += ["%s main.cf: %s" % (directory, words) for words in said[""]]
        found += ["%s %s: %s" % (directory, service, words) for service in said for words in said[service] if words not in said[""]]
    assert not found, "\n".join(found)


def test_clients_meet_no_less_than_before(story: Story) -> None:
    for listener, before in story.faces["before"].items():
        after = story.faces["run"][listener]
        assert "error" not in before and "error" not in after, (listener, before, after)
        assert after["starttls"] >= before["starttls"] and after["auth"] <= before["auth"] and after["auth_in_tls"] == before["auth_in_tls"], listener
        assert after["version"] >= before["version"] and after["old"] <= before["old"] and after["leaf"] == before["leaf"], listener


def test_a_second_run_changes_nothing(story: Story) -> None:
    assert story.trees["again"] == story.trees["run"]
    assert all(story.ended["again"]) and not any(said.get("changed") for said in story.said["again"]), story.said["again"]


def test_mail_to_partners_waits_rather_than_go_in_the_clear(story: Story, told: Told) -> None:
    for (held, marker, why), still in zip(story.held, story.still_held):
        assert why and still, "%s does not wait" % (held,)
        assert not [note for note in told.notes if note["marker"] == marker], held
    assert len(story.held) >= len(story.configuration.held)


def test_nothing_goes_to_a_partner_in_the_clear(story: Story, told: Told) -> None:
    markers = [message.marker for message in story.messages] + [marker for _held, marker, _why in story.held]
    assert told.wire.count(b"STARTTLS") > 0
    assert not [marker for marker in markers if marker.encode() in told.wire]
    own = [note for note in told.notes if note["marker"] in markers]
    assert own and all(note["tls"] for note in own)
    assert all(note["user"] for note in own if note["port"] == 587)


def test_the_way_back_is_exact(story: Story) -> None:
    assert story.trees["rollback"] == story.trees["before"]
    for directory, before in story.services["before"].items():
        assert not {name: values for name, values in story.services["rollback"][directory].items() if values != before.get(name)}.keys()
    assert story.faces["rollback"] == story.faces["before"]


def test_mail_flows_throughout_and_none_is_lost_or_arrives_twice(story: Story) -> None:
    refused = [message.errors for message in story.messages if not message.accepted and not message.uncertain]
    assert not refused
    accepted = {message.marker: message.way for message in story.messages if message.accepted}
    assert not {way for marker, way in accepted.items() if marker not in story.arrived}
    assert not {marker: count for marker, count in story.arrived.items() if count > 1}
    ways = {message.way for message in story.traffic.messages}
    assert ways == set(story.configuration.ways), "not every way was gone while the runs were under way"
