# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries from several places: group_vars of several groups, and the inventory itself, where a fleet encrypts to each other."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[3] / ".cache"
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: mailsec.postfix_tls.tls_policy
        tasks_from: intent
        rolespec_validate: false
    - ansible.builtin.copy:
        content: "{{ {'intent': intent.policy | default({}), 'wrong': wrong} | to_json }}"
        dest: "{{ folder }}/{{ inventory_hostname }}.json"
      vars:
        wrong: "{{ query('mailsec.postfix_tls.role_complaints', 'tls_policy') + __tls_policy_complaints }}"
        intent: "{{ {'policy': __tls_policy_intent} | dict2items | rejectattr('value', 'equalto', omit) | items2dict }}"
"""


def told(folder: Path, groups: dict, hosts: dict) -> dict:
    """{host: {intent, wrong}}. groups: {name: (hosts, variables)}."""
    inventory = {"all": {
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "folder": str(folder)},
        "hosts": hosts,
        "children": {name: {"hosts": dict.fromkeys(members), "vars": variables} for name, (members, variables) in groups.items()},
    }}
    (folder / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventory.json", "play.yml"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CACHE), "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: json.loads((folder / ("%s.json" % name)).read_text(encoding="utf-8")) for name in hosts}


def test_lists_of_several_groups_are_one(tmp_path: Path) -> None:
    groups = {
        "mx": (["mx1", "mx2"], {"tls_policy_destinations": [{"destination": "all.example"}]}),
        "banking": (["mx1"], {"tls_policy_destinations_banks": [{"destination": "bank.example", "level": "secure", "match": ["mx.bank.example"]}]}),
        "states": (["mx1"], {"tls_policy_destinations_offices": [{"destination": "office.example"}, {"destination": "all.example"}]}),
    }
    seen = told(tmp_path, groups, {"mx1": {}, "mx2": {"tls_policy_maps": ["socketmap:inet:127.0.0.1:8461:postfix"], "tls_policy_file": "/x"}})
    assert seen["mx1"]["intent"] == {"destinations": [
        {"destination": "all.example"}, {"destination": "bank.example", "level": "secure", "match": ["mx.bank.example"]}, {"destination": "office.example"},
        {"destination": "all.example"},
    ]}
    assert seen["mx2"]["intent"] == {
        "destinations": [{"destination": "all.example"}], "maps": ["socketmap:inet:127.0.0.1:8461:postfix"], "path": "/x",
    }
    assert [seen[name]["wrong"] for name in seen] == [[], []]


def test_a_further_list_is_checked_like_the_first(tmp_path: Path) -> None:
    groups = {"banking": (["mx1"], {"tls_policy_destinations_banks": [{"destinaton": "bank.example"}], "tls_policy_destination": []})}
    [wrong] = [seen["wrong"] for seen in told(tmp_path, groups, {"mx1": {}}).values()]
    assert "tls_policy_destination: the role tls_policy has no such variable; did you mean tls_policy_destinations?" in wrong
    assert any("tls_policy_destinations_banks.destinaton" in line or "destinaton" in line for line in wrong) and len(wrong) == 3


def test_a_fleet_encrypts_to_each_other(tmp_path: Path) -> None:
    own = [{"destination": "two.example", "level": "secure"}]
    groups = {"fleet": (["mx1", "mx2", "mx3"], {"tls_policy_fleet": "fleet", "tls_policy_destinations": own})}
    hosts = {"mx1": {"tls_policy_domains": ["one.example"]}, "mx2": {"tls_policy_domains": ["two.example", "shared.example"]},
             "mx3": {"tls_policy_domains": ["shared.example", "three.example"], "tls_policy_fleet_level": "verify"}}
    seen = told(tmp_path, groups, hosts)
    assert seen["mx1"]["intent"]["destinations"] == [
        *own, {"destination": "shared.example", "level": "encrypt"}, {"destination": "three.example", "level": "encrypt"},
    ]
    assert seen["mx3"]["intent"]["destinations"] == [
        *own, {"destination": "one.example", "level": "verify"}, {"destination": "shared.example", "level": "verify"},
    ]
    assert [told["wrong"] for told in seen.values()] == [[], [], []]


@pytest.mark.parametrize("variables, wrong", [
    ({"tls_policy_fleet": "flet"}, "tls_policy_fleet = flet: the inventory has no such group. Name one of"),
    ({"tls_policy_fleet": "fleet"}, "tls_policy_fleet = fleet: no other host of this group says which domains it receives mail for. List them there as"),
])
def test_a_fleet_that_is_none_is_told(variables: dict, wrong: str, tmp_path: Path) -> None:
    [complaint] = told(tmp_path, {"fleet": (["mx1", "mx2"], {})}, {"mx1": variables, "mx2": {}})["mx1"]["wrong"]
    assert complaint.startswith(wrong)


def test_where_nobody_wrote_of_destinations_those_that_a_host_has_stay(tmp_path: Path) -> None:
    written = {"none": {"tls_policy_destinations": []}, "maps": {"tls_policy_maps": ["hash:/etc/postfix/theirs"]},
               "banks": {"tls_policy_destinations_banks": []}}
    seen = told(tmp_path, {}, {"nobody": {}, **written})
    assert {name: host["wrong"] for name, host in seen.items()} == dict.fromkeys(seen, [])
    assert seen["nobody"]["intent"] == {}
    assert {name: seen[name]["intent"] for name in written} == {
        "none": {"destinations": []}, "maps": {"destinations": [], "maps": ["hash:/etc/postfix/theirs"]}, "banks": {"destinations": []},
    }
