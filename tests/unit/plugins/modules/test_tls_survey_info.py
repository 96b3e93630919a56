# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_survey_info as Ansible calls it: what it returns is what is documented. Postfix is text here, the partners are fakes on loopback."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import survey
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import command
from ansible_collections.mailsec.postfix_tls.plugins.modules import tls_survey_info
from hosts_of_text import instance, postconf
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
LEAF = issue("localhost", ROOT)


@pytest.fixture(autouse=True)
def ca_file(tmp_path: Path, monkeypatch) -> str:
    """That smtp_tls_CAfile names."""
    path = tmp_path / "root.pem"
    path.write_text(ROOT.pem, encoding="utf-8")
    values = dict(
        instance().values, disable_dns_lookups="no", smtp_dns_support_level="disabled", smtp_host_lookup="dns", smtp_mx_address_limit="5",
        smtp_tls_CAfile=str(path), smtp_tls_mandatory_protocols=">=TLSv1.2", smtp_tls_servername="", smtp_tls_wrappermode="no",
    )
    answer = postconf({"/etc/postfix": values})
    monkeypatch.setattr(command, "run", lambda argv, stdin=None: answer(argv))
    return str(path)


def test_the_documented_results_are_those_that_are_returned(run) -> None:
    keys = yaml.safe_load(tls_survey_info.RETURN)["results"]["contains"]
    with MailServer(Behaviour(chain=LEAF)) as good, MailServer(Behaviour()) as plain:
        told = run(tls_survey_info, destinations=["localhost:%d" % good.port, "[localhost]:%d" % plain.port, ".example.org"])
    assert [set(result) for result in told["results"]] == [set(keys)] * 3 and told["changed"] is False
    documented = keys["hosts"]["contains"]
    for host in (host for result in told["results"] for host in result["hosts"]):
        assert set(host) == set(documented)
    assert set(told["results"][0]["hosts"][0]["certificate"]) == set(documented["certificate"]["sample"])
    assert {level: set(found) for level, found in told["results"][0]["levels"].items()} == {
        level: set(found) for level, found in keys["levels"]["sample"].items()}
    assert told["entries"] == [{"destination": "localhost:%d" % good.port, "level": "secure"}]
    assert [result["strongest"] for result in told["results"]] == ["secure", "may", "unknown"]


def test_the_cas_that_are_named_take_the_place_of_postfix_s(run, tmp_path: Path, ca_file: str) -> None:
    """Those of Postfix are not even read then."""
    Path(ca_file).unlink()
    other = tmp_path / "other.pem"
    other.write_text(issue("other", authority=True).pem, encoding="utf-8")
    with MailServer(Behaviour(chain=LEAF)) as server:
        told = run(tls_survey_info, destinations=["[localhost]:%d" % server.port], ca_file=str(other))
    assert told["entries"] == [{"destination": "[localhost]:%d" % server.port, "level": "encrypt"}]


def test_what_can_not_be_is_one_error(run) -> None:
    told = run(tls_survey_info, destinations=["[localhost]"], concurrency=0)
    assert told["failed"] and told["msg"] == "concurrency = 0: at least one target has to be looked at a time. Leave it out for 32."
    told = run(tls_survey_info, destinations=["[localhost]"], ca_file="/nowhere.pem")
    assert told["failed"] and told["msg"].startswith("ca_file = /nowhere.pem: no CA certificate can be read from it")
    assert run(tls_survey_info, destinations=[])["entries"] == []


def test_the_documented_options_are_those_of_the_code() -> None:
    documented = yaml.safe_load(tls_survey_info.DOCUMENTATION)["options"]
    assert {name: (entry["type"], entry.get("default"), entry.get("required")) for name, entry in documented.items()} == {
        name: (entry["type"], entry.get("default"), entry.get("required")) for name, entry in survey.ARGUMENT_SPEC.items()}
