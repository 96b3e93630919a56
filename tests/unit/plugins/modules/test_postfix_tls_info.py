# SPDX-License-Identifier: GPL-3.0-or-later
"""postfix_tls_info as Ansible calls it: what it returns is what is documented, and it changes nothing."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import command
from ansible_collections.mailsec.postfix_tls.plugins.modules import postfix_tls_info
from hosts_of_text import instance, postconf
from issuing import issue

MASTER = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n587 inet n - y - - smtpd -o smtpd_tls_security_level=encrypt\n"


MIDDLE = issue("intermediate", issue("root", authority=True), authority=True)
LEAF = issue("mx.example.org", MIDDLE)


@pytest.fixture
def etc(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "master.cf").write_text(MASTER, encoding="utf-8")
    (tmp_path / "chain.pem").write_text(LEAF.key_pem() + LEAF.pem + MIDDLE.pem, encoding="utf-8")
    values = dict(
        instance().values, default_database_type="hash", smtpd_sasl_auth_enable="no", tls_preempt_cipherlist="no",
        smtpd_tls_chain_files=str(tmp_path / "chain.pem"),
    )
    answer = postconf({str(tmp_path): values}, m="hash\n", T_compile_version="OpenSSL 3.5.6\n", T_run_version="OpenSSL 3.5.9\n")
    monkeypatch.setattr(command, "run", lambda argv, stdin=None: answer(argv))
    return tmp_path


def test_the_documented_results_are_those_that_are_returned(run, etc: Path) -> None:
    keys = yaml.safe_load(postfix_tls_info.RETURN)["instances"]["contains"]
    [told] = run(postfix_tls_info, config_directory=str(etc))["instances"]
    assert set(told) == set(keys)
    assert type(told["tls_library"]["run"]) is type(keys["tls_library"]["sample"]["run"]) and set(told["tls_library"]) == {"compile", "run"}
    documented = keys["listeners"]["contains"]
    screen, submission = told["listeners"]
    for listener in (screen, submission):
        assert list(listener) == list(documented)
    samples = {name: entry["sample"] for name, entry in documented.items()}
    assert {name: type(value) for name, value in submission.items()} == {name: type(value) for name, value in samples.items()}
    assert set(samples["parameters"]) <= set(submission["parameters"]) and set(samples["chain_files"][0]) == set(submission["chain_files"][0])
    assert set(screen["behind"]) == {"service", "level", "parameters", "overrides", "chain_files"} <= set(documented)


def test_the_documented_results_of_a_chain_are_those_that_are_returned(run, etc: Path) -> None:
    documented = yaml.safe_load(postfix_tls_info.RETURN)["chains"]["contains"]
    [told] = run(postfix_tls_info, config_directory=str(etc))["chains"]
    assert list(told) == list(documented) and told["services"] == ["587"] and told["sha256"] == LEAF.sha256
    samples = {name: entry["sample"] for name, entry in documented.items()}
    assert {name: type(value) for name, value in told.items()} == {name: type(value) for name, value in samples.items()}
    assert list(told["ends_first"]) == list(samples["ends_first"])
    for name in ("certificates", "tlsa"):
        assert [list(entry) for entry in told[name]] == [list(entry) for entry in samples[name]]


def test_a_chain_file_that_is_not_there_fails_nothing(run, etc: Path) -> None:
    (etc / "chain.pem").unlink()
    result = run(postfix_tls_info, config_directory=str(etc))
    assert "failed" not in result and len(result["instances"][0]["listeners"]) == 2
    assert result["chains"][0]["error"].startswith("%s/chain.pem: there is no such file on this host" % etc)


def test_no_line_of_a_key_is_returned(run, etc: Path) -> None:
    said = json.dumps(run(postfix_tls_info, config_directory=str(etc)))
    assert not [line for line in LEAF.key_pem().splitlines()[1:-1] if line in said]


def test_it_only_looks_in_check_mode_as_well(run, etc: Path) -> None:
    before = sorted((path, path.read_bytes()) for path in etc.iterdir())
    really, checked = run(postfix_tls_info, config_directory=str(etc)), run(postfix_tls_info, config_directory=str(etc), _ansible_check_mode=True)
    assert (really["instances"], really["chains"]) == (checked["instances"], checked["chains"]) and really["changed"] is False and checked["changed"] is False
    assert sorted((path, path.read_bytes()) for path in etc.iterdir()) == before


def test_a_directory_without_postfix_gives_one_clear_message(run, etc: Path) -> None:
    result = run(postfix_tls_info, config_directory=str(etc / "nosuch"))
    assert result["failed"] and "instances" not in result
    assert result["msg"].startswith("%s/nosuch/main.cf: Postfix can't read its own configuration (postconf: fatal: open" % etc)


def test_a_host_without_postfix_is_told_so(run, monkeypatch) -> None:
    def missing(argv: list, stdin: str | None = None) -> tuple:
        raise FileNotFoundError(argv[0])

    monkeypatch.setattr(command, "run", missing)
    result = run(postfix_tls_info)
    assert result["failed"] and result["msg"] == "postconf: there is no Postfix on this host. Install the package postfix first."


def test_the_documented_options_are_those_of_the_code() -> None:
    documented = yaml.safe_load(postfix_tls_info.DOCUMENTATION)["options"]
    assert {name: (entry["type"], entry["default"]) for name, entry in documented.items()} == {
        name: (entry["type"], entry["default"]) for name, entry in postfix_tls_info.ARGUMENT_SPEC.items()
    }
