# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath over results: what the examples in the documentation give, and what is said of a question that can't be asked."""
from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.mailsec.postfix_tls.plugins.filter import query as plugin
from ansible_collections.mailsec.postfix_tls.plugins.filter.query import query
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import view
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import Expectation, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import Look, Target, probe_all
from ansible_collections.mailsec.postfix_tls.plugins.modules import postfix_tls_info, starttls_info, starttls_verify
from hosts_of_text import instance, postconf
from issuing import issue
from servers import Behaviour, MailServer

TOP = Path(__file__).resolve().parents[4]
ROOT = issue("root", authority=True)
OLD = ssl.TLSVersion.MINIMUM_SUPPORTED
SOON = issue("old.example.org", ROOT, days=(-1, 10))


@pytest.fixture(scope="module")
def looks() -> dict:
    """What the tasks before an example leave behind: old.example.org takes TLS 1.1, and its certificate ends in 10 days."""
    servers = {
        "old.example.org": Behaviour(chain=SOON, versions=(OLD, ssl.TLSVersion.TLSv1_3)),
        "new.example.org": Behaviour(chain=issue("new.example.org", ROOT)),
        "bad.example.org": Behaviour(chain=issue("bad.example.org")),
        "off.example.org": Behaviour(),
    }
    running = {name: MailServer(behaviour).__enter__() for name, behaviour in servers.items()}
    targets = [Target(host=name, port=server.port, address="127.0.0.1") for name, server in running.items()]
    results = probe_all(targets, Look(ca_content=ROOT.pem))
    for server in running.values():
        server.__exit__()
    judged = [dict(facts, findings=judge(facts, Expectation())) for facts in results]
    return {"look": {"results": results}, "proof": {"results": judged}}


@pytest.fixture
def postfix(tmp_path: Path) -> dict:
    (tmp_path / "master.cf").write_text("25 inet n - y - - smtpd\n587 inet n - y - - smtpd -o smtpd_tls_security_level=encrypt\n", encoding="utf-8")
    (tmp_path / "soon.pem").write_text(SOON.key_pem() + SOON.pem, encoding="utf-8")
    values = dict(
        instance().values, smtpd_tls_security_level="may", smtpd_tls_protocols=">=TLSv1.2", smtpd_tls_chain_files=str(tmp_path / "soon.pem"),
    )
    instances = view.instances(postconf({str(tmp_path): values}), str(tmp_path))
    return {"instances": instances, "chains": view.chains(instances)}


def examples(source: ModuleType) -> list:
    """The tasks of its documentation that ask something."""
    return [task for task in yaml.safe_load(source.EXAMPLES) if "postfix_tls.query(" in str(task.get("ansible.builtin.debug"))]


END = SOON.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
ENDING = {"host": "old.example.org", "ending": [["CN=old.example.org", END]]}
ANSWERS = {
    starttls_info: [["old.example.org"], [ENDING]],
    starttls_verify: [["old.example.org"], [ENDING], None],
    plugin: [["old.example.org"], [ENDING], None],
    postfix_tls_info: [[
        {"port": 25, "level": "may", "versions": ">=TLSv1.2"},
        {"port": 587, "level": "encrypt", "versions": ">=TLSv1.2"},
    ], [{"obsolete": [], "mended_in": []}], [{"served_by": ["25", "587"], "ending": "CN=old.example.org", "not_after": END}]],
}


@pytest.mark.parametrize("source", ANSWERS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_example_gives_what_its_name_promises_in_ansible_itself(source: ModuleType, looks: dict, postfix: dict, tmp_path: Path) -> None:
    tasks = examples(source)
    for task in tasks:  # each answer in a line of its own, as JSON
        task["ansible.builtin.debug"]["msg"] = task["ansible.builtin.debug"]["msg"].replace(" }}", " | to_json }}")
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    (tmp_path / "results.json").write_text(json.dumps(dict(looks, postfix=postfix)), encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-e", "@%s" % (tmp_path / "results.json"), str(tmp_path / "play.yml")],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=True,
    ).stdout
    answers = [json.loads(json.loads(line.partition(":")[2])) for line in said.splitlines() if line.strip().startswith('"msg":')]
    assert len(answers) == len(tasks) == len(ANSWERS[source])
    for answer, expected in zip(answers, ANSWERS[source]):
        assert answer if expected is None else answer == expected
    given = {"look.results": looks["look"]["results"], "proof.results": looks["proof"]["results"]}
    given.update({"postfix.%s" % name: value for name, value in postfix.items()})
    for task, answer in zip(tasks, answers):
        [name] = [name for name in given if "{{ %s |" % name in task["ansible.builtin.debug"]["msg"]]
        assert query(given[name], task["vars"]["wanted"]) == answer


def test_what_did_not_pass_is_shown_with_the_line_that_mends_it(looks: dict) -> None:
    told = query(looks["proof"]["results"], examples(starttls_verify)[-1]["vars"]["wanted"])
    wrong = {entry["host"]: {check: fix for check, _observed, fix in entry["wrong"]} for entry in told}
    assert set(wrong["off.example.org"]) == {"starttls_offered"} and wrong["new.example.org"] == {}
    assert "smtpd_tls_security_level = may" in wrong["off.example.org"]["starttls_offered"]
    assert set(wrong["old.example.org"]) == {"versions"} and "smtpd_tls_protocols" in wrong["old.example.org"]["versions"]


def test_a_host_that_nobody_would_trust_is_named_with_the_reason(looks: dict) -> None:
    [[host, reason]] = query(looks["look"]["results"], examples(plugin)[-1]["vars"]["wanted"])
    assert host == "bad.example.org" and "self-signed" in reason.replace("self signed", "self-signed")


class Text(str):
    """As Ansible's own kinds of text are."""


class Number(int):
    """As Ansible's own kinds of numbers are."""


@pytest.mark.parametrize("value, expression, answer", [
    ([{"n": Text("b")}, {"n": Text("a")}], "sort_by(@, &n)[0].n", "a"),
    ([Number(2), Number(3)], "sum(@)", 5),
    ({Text("k"): Text("v")}, "k", "v"),
    ((Text("a"), True, None, 1.5), "@", ["a", True, None, 1.5]),
    ([True, 1], "[?@ == `true`]", [True]),
    ({}, "a.b[0]", None),
])
def test_a_question_sees_plain_values_and_gives_them(value: object, expression: str, answer: object) -> None:
    given = query(value, Text(expression))
    assert given == answer
    for each in given if isinstance(given, list) else [given]:
        assert type(each) in (str, int, float, bool, type(None))


@pytest.mark.parametrize("expression, told", [
    ("results[?x", "the expression results[?x can't be read at character 11, its end: Incomplete expression"),
    ("a b", "the expression a b can't be read at character 3, before b: Unexpected token: b"),
    ("'x", "the expression 'x can't be read at character 1, before 'x: Unclosed ' delimiter"),
    ("a.$b", "the expression a.$b can't be read at character 3, before $b: Unknown token $"),
    (" ", "the expression is empty. Write @ for everything"),
    ("nosuch(@)", "the expression nosuch(@) does not fit what it is asked of: Unknown function: nosuch()"),
    ("sum(a, b)", "the expression sum(a, b) does not fit what it is asked of: Expected 1 argument for function sum(), received 2"),
    ("abs(@)", "the expression abs(@) does not fit what it is asked of: In function abs(), invalid type for value"),
    (7, "the expression 7 is no text"),
])
def test_a_question_that_cannot_be_asked_is_told_in_one_line_with_its_position(expression: object, told: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        query({"a": 1}, expression)
    message = str(refused.value)
    assert message.startswith("mailsec.postfix_tls.query: " + told)
    assert "\n" not in message and message.endswith(".")


def test_without_the_library_it_says_what_to_install_and_where(monkeypatch) -> None:
    monkeypatch.setattr(plugin, "jmespath", None)
    with pytest.raises(AnsibleFilterError, match="jmespath is not there. Install it on the controller.*python3 -m pip install jmespath"):
        query([], "@")


def test_python_without_the_library_can_still_load_the_filter() -> None:
    script = (
        "import sys; sys.modules['jmespath'] = None; sys.path.insert(0, %r)\n"
        "from ansible_collections.mailsec.postfix_tls.plugins.filter.query import FilterModule\n"
        "try: FilterModule().filters()['query']([], '@')\n"
        "except Exception as error: print(type(error).__name__, error)" % str(TOP / ".cache")
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "python3 -m pip install jmespath" in said
