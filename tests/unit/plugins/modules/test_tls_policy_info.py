# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_policy_info as Ansible calls it: what it returns is what is documented. Postfix is text here, the partners are fakes on loopback."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.info import ARGUMENT_SPEC
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import command
from ansible_collections.mailsec.postfix_tls.plugins.modules import tls_policy_info
from hosts_of_text import instance, postconf
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
LEAF = issue("localhost", ROOT)
OTHER = issue("other", authority=True)


@pytest.fixture
def postfix(tmp_path: Path, monkeypatch):
    """Has a Postfix with these entries, whose CA file holds ROOT."""
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    (tmp_path / "other.pem").write_text(OTHER.pem, encoding="utf-8")
    (tmp_path / "master.cf").write_text("smtp unix - - y - - smtp\nlocal unix - n n - - local\n", encoding="utf-8")

    def configured(entries: dict, **values: str) -> str:
        effective = dict(
            instance().values, default_transport="smtp", local_transport="local", mydestination="mx.example.org", smtp_tls_security_level="may",
            smtp_tls_policy_maps="texthash:/p", smtp_tls_secure_cert_match="nexthop, dot-nexthop", smtp_tls_mandatory_protocols=">=TLSv1.2",
            smtp_dns_support_level="disabled", queue_directory="",
            smtp_mx_address_limit="5", smtp_tls_wrappermode="no", smtp_tls_CAfile=str(tmp_path / "root.pem"),
            transport_maps="hash:/t", disable_dns_lookups="no", smtp_host_lookup="dns", smtp_tls_servername="", **values,
        )
        transports = {"%s.example" % at: "smtp:%s" % hop for at, hop in enumerate(entries)}
        answer = postconf({str(tmp_path): effective}, {"texthash:/p": entries, "hash:/t": transports})
        monkeypatch.setattr(command, "run", lambda argv, stdin=None: answer(argv, **({"stdin": stdin} if stdin else {})))
        return str(tmp_path)

    return configured


def test_the_documented_results_are_those_that_are_returned(run, postfix) -> None:
    documented = yaml.safe_load(tls_policy_info.RETURN)["results"]["contains"]
    with MailServer(Behaviour(chain=LEAF)) as good:
        directory = postfix({"[localhost]:%d" % good.port: "secure match=localhost ciphers=high"})
        asked = {"recipients": ["a@0.example", "admin@mx.example.org", "b@elsewhere.example"], "config_directory": directory}
        quiet, looked = run(tls_policy_info, **asked), run(tls_policy_info, **asked, probe=True, timeout=5)
    assert quiet["changed"] is False
    assert [set(result) for result in looked["results"]] == [set(documented)] * 3
    [[hop], none, [other]] = [result["next_hops"] for result in looked["results"]]
    assert none == [] and set(hop) == set(documented["next_hops"]["contains"]) == set(other)
    assert set(quiet["results"][0]["next_hops"][0]) == set(documented["next_hops"]["contains"]) - {"outcome"}
    assert set(hop["outcome"]) == set(documented["next_hops"]["contains"]["outcome"]["sample"])
    assert (hop["key"], hop["level"], hop["outcome"]) == (hop["next_hop"], "secure", {"delivered": True, "word": "Verified", "reason": ""})


def test_a_look_meets_each_next_hop_as_its_policy_says(run, postfix, tmp_path: Path) -> None:
    with MailServer(Behaviour(chain=LEAF)) as good, MailServer(Behaviour()) as plain, MailServer(Behaviour(chain=LEAF)) as same:
        entries = {
            "[localhost]:%d" % good.port: "secure match=localhost tafile=%s" % (tmp_path / "other.pem"), "[localhost]:%d" % plain.port: "encrypt",
            "[localhost]:%d" % same.port: "fingerprint match=AA:BB",
        }
        told = run(tls_policy_info, recipients=["a@0.example", "a@1.example", "a@2.example"], config_directory=postfix(entries), probe=True, timeout=5)
    [anchored], [encrypted], [digest] = (result["next_hops"] for result in told["results"])
    assert anchored["outcome"]["delivered"] is False and "not trusted" in anchored["outcome"]["reason"], "the entry's CA counts, not main.cf's"
    assert encrypted["outcome"] == {"delivered": False, "word": "", "reason": "EHLO offers no STARTTLS"}
    assert digest["outcome"] is None, "AA:BB is no SHA-256"


def test_a_transport_meets_its_servers_in_its_own_way(run, postfix, tmp_path: Path) -> None:
    with MailServer(Behaviour(chain=LEAF)) as good:
        directory = postfix({"[localhost]:%d" % good.port: "secure match=localhost"})
        own = "-o smtp_tls_CAfile=%s" % (tmp_path / "other.pem")
        (tmp_path / "master.cf").write_text("smtp unix - - y - - smtp %s\n" % own, encoding="utf-8")
        told = run(tls_policy_info, recipients=["a@0.example"], config_directory=directory, probe=True, timeout=5)
        (tmp_path / "master.cf").write_text("smtp unix - - y - - lmtp\n", encoding="utf-8")
        by_lmtp = run(tls_policy_info, recipients=["a@0.example"], config_directory=directory, probe=True, timeout=5)
    [hop], [lmtp] = told["results"][0]["next_hops"], by_lmtp["results"][0]["next_hops"]
    assert hop["outcome"]["delivered"] is False and "not trusted" in hop["outcome"]["reason"]
    assert lmtp["outcome"] is None


def test_an_answer_that_stops_all_mail_needs_no_look(run, postfix) -> None:
    told = run(tls_policy_info, recipients=["a@0.example"], config_directory=postfix({"[localhost]:1": "encrypt mtach=x"}), probe=True)
    [hop] = told["results"][0]["next_hops"]
    assert hop["outcome"] == {"delivered": False, "word": "", "reason": "mtach is no attribute"}


def test_a_table_that_cannot_be_asked_is_an_error(run, postfix) -> None:
    told = run(tls_policy_info, recipients=["a@0.example"], config_directory=postfix({}, sender_dependent_relayhost_maps="hash:/gone"))
    assert told["failed"] and told["msg"].startswith("hash:/gone: this table can't be asked")


def test_the_documented_options_are_those_it_takes() -> None:
    documented = yaml.safe_load(tls_policy_info.DOCUMENTATION)["options"]
    assert {name: option.get("default") for name, option in documented.items()} == {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
