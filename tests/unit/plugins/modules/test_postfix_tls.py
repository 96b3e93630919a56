# SPDX-License-Identifier: GPL-3.0-or-later
"""postfix_tls as Ansible calls it: its plan in check mode, its errors, and that a key stays where it belongs.

Postfix's commands are fakes that print what real ones print; what a run does to real Postfix is what the scenarios show.
"""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import kept
from ansible_collections.mailsec.postfix_tls.plugins.modules import postfix_tls
from hosts_of_text import MASTER, instance
from issuing import issue

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)
SELF_SIGNED = issue("mx.example.org")


@pytest.fixture
def etc(tmp_path: Path, monkeypatch) -> Path:
    """A Postfix of files alone: postconf reads main.cf, the other commands succeed. Kept states lie beside it."""
    etc = tmp_path / "postfix"
    etc.mkdir()
    (etc / "main.cf").write_text("myhostname = mx.example.org\ninet_interfaces = loopback-only\n", encoding="utf-8")
    (etc / "master.cf").write_text(MASTER.splitlines()[1] + "\n", encoding="utf-8")
    (etc / "root.pem").write_text(ROOT.pem, encoding="utf-8")

    def command(_self: object, argv: list, stdin: str | None = None) -> tuple:
        if argv[0] == "postconf" and "-x" in argv:
            main = MainCf((etc / "main.cf").read_text(encoding="utf-8"))
            values = {name: value if main.raw(name) is None else main.raw(name) for name, value in instance(str(etc)).values.items()}
            return 0, "".join("%s = %s\n" % row for row in values.items()), ""
        return 0, "", ""

    monkeypatch.setattr(postfix_tls.PostfixTls, "run", command)
    monkeypatch.setattr(kept, "ROOT", str(tmp_path / "lib"))
    monkeypatch.setattr(postfix_tls, "Kept", lambda directory: kept.Kept(directory, str(tmp_path / "lib")))
    return etc


def arguments(etc: Path, leaf=LEAF, **more: object) -> dict:
    chain = {"name": "default", "key": leaf.key_pem(), "certificate": leaf.pem}
    return dict({
        "config_directory": str(etc), "chains": [chain], "parameters": {"smtpd_tls_security_level": "may"}, "action": "none",
        "verify": {"ca_file": str(etc / "root.pem")},
    }, **more)


def test_check_mode_tells_the_diff_of_a_real_run_and_touches_nothing(run, etc: Path, tmp_path: Path) -> None:
    before = sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())
    predicted = run(postfix_tls, **arguments(etc, _ansible_check_mode=True, _ansible_diff=True))
    assert sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()) == before
    done = run(postfix_tls, **arguments(etc, _ansible_diff=True))
    assert predicted["changed"] and done["changed"]
    assert predicted["diff"] == done["diff"] and predicted["plan"] == done["plan"]
    assert run(postfix_tls, **arguments(etc))["changed"] is False


def test_the_key_is_in_no_result_and_in_no_log(run, etc: Path, monkeypatch) -> None:
    logged: list = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _self, message, **_more: logged.append(message))
    results = [
        run(postfix_tls, **arguments(etc, _ansible_verbosity=4, _ansible_diff=True)),
        run(postfix_tls, **arguments(etc, leaf=issue("other.example.org", ROOT), _ansible_verbosity=4)),
    ]
    assert "chains=['default']" in logged[0] and "parameters={'smtpd_tls_security_level': 'may'}" in logged[0]
    said = json.dumps(results) + str(logged)
    assert not [line for line in LEAF.key_pem().splitlines() if line in said]
    assert "PRIVATE KEY" not in said


def test_a_self_signed_certificate_switches_receiving_off_and_says_so(run, etc: Path) -> None:
    result = run(postfix_tls, **arguments(etc, SELF_SIGNED))
    assert result["receiving"] is False and not (etc / "tls").exists()
    assert "the certificate is self-signed, so encryption is not offered for receiving" in result["findings"][0]["observed"]


def test_restored_takes_back_the_last_change_only_when_it_is_the_one_named(run, etc: Path) -> None:
    before = (etc / "main.cf").read_bytes()
    change = run(postfix_tls, **arguments(etc))
    back = {"config_directory": str(etc), "state": "restored", "action": "none"}
    assert run(postfix_tls, transaction="another", **back)["changed"] is False
    assert run(postfix_tls, _ansible_check_mode=True, **back)["changed"] is True
    assert run(postfix_tls, transaction=change["transaction"], **back)["changed"] is True
    assert (etc / "main.cf").read_bytes() == before and not (etc / "tls/default.pem").exists()
    assert run(postfix_tls, **back)["changed"] is False


@pytest.mark.parametrize("more, told", [
    ({"chains": [{"name": "default", "key": "x"}]}, "one of the following is required: certificate, certificate_file"),
    ({"chains": [{"name": "default", "key": "no key at all", "certificate": "y"}]}, "chain default: one PEM private key was expected, found 0"),
    ({"parameters": {"smtpd_tls_securty_level": "may"}}, "Did you mean smtpd_tls_security_level?"),
    ({"parameters": {"smtpd_tls_security_level": "dane"}}, "dane is a level for sending"),
    ({"policy": {"destinations": [{"destination": "a b"}]}}, "it is not a name that mail goes to"),
    ({"config_directory": "/nonexistent"}, "/nonexistent/master.cf: can't be read"),
])
def test_wrong_arguments_give_one_clear_message_before_anything_changed(run, etc: Path, more: dict, told: str) -> None:
    before = (etc / "main.cf").read_bytes()
    result = run(postfix_tls, **arguments(etc, **more))
    assert result["failed"] and told in result["msg"]
    assert (etc / "main.cf").read_bytes() == before and not (etc / "tls").exists()
