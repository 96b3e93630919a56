# SPDX-License-Identifier: GPL-3.0-or-later
"""starttls_info tells and never fails on what it sees; starttls_verify fails on it, with the same results."""
from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.doc_fragments.starttls import ModuleDocFragment
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _verification
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options
from ansible_collections.mailsec.postfix_tls.plugins.modules import starttls_info, starttls_verify
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    return str(tmp_path / "root.pem")


def target(server: MailServer) -> dict:
    return {"host": "127.0.0.1", "port": server.port, "server_name": "mx.example.org"}


def test_a_good_server_passes_and_a_bad_one_fails_with_the_same_structure(run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as good, MailServer(Behaviour()) as bad:
        passed = run(starttls_verify, targets=[target(good)], ca_file=ca_file)
        failed = run(starttls_verify, targets=[target(good), target(bad)], ca_file=ca_file)
        told = run(starttls_info, targets=[target(bad)], ca_file=ca_file)
    assert not passed.get("failed") and passed["changed"] is False and passed["attempts"] == 1
    assert failed["failed"] and failed["msg"].startswith("127.0.0.1:%d: starttls_offered fail: EHLO offers no STARTTLS." % bad.port)
    assert "Fix: smtpd_tls_security_level = may" in failed["msg"]
    assert set(passed["results"][0]) == set(failed["results"][0]) == set(failed["results"][1]) == set(told["results"][0]) | {"findings"}
    assert not told.get("failed") and told["results"][0]["smtp"]["starttls"] is False


def test_the_deployed_chain_is_compared_with_the_served_one(run, ca_file: str, tmp_path: Path) -> None:
    deployed = tmp_path / "chain.pem"
    with MailServer(Behaviour(chain=LEAF)) as server:
        for leaf, failed in ((LEAF, False), (issue("mx.example.org", ROOT), True)):
            deployed.write_text(leaf.key_pem() + leaf.pem, encoding="utf-8")
            result = run(starttls_verify, targets=[target(server)], ca_file=ca_file, deployed_chain=str(deployed), checks=["deployed_chain"])
            assert bool(result.get("failed")) is failed
    deployed.write_text("none", encoding="utf-8")
    told = run(starttls_verify, targets=[{"host": "mx"}], deployed_chain=str(deployed))["msg"]
    assert told.startswith("deployed_chain = %s: it holds no certificate." % deployed)


@pytest.mark.parametrize("arguments, told", [
    ({"targets": []}, "targets: there is none, so nothing would be looked at"),
    ({"targets": [{"host": "a b"}]}, "host = 'a b': that is no host name"),
    ({"targets": [{"host": "mx"}], "ca_file": "/nonexistent"}, "ca_file = /nonexistent: no CA certificate can be read from it"),
    ({"targets": [{"host": "mx"}], "deployed_chain": "/nonexistent"}, "deployed_chain = /nonexistent: No such file or directory"),
    ({"targets": [{"host": "mx"}], "checks": ["spelling"]}, "value of checks must be one or more of: reachable"),
    ({"targets": [{"host": "mx"}], "expect": {"floor": "1.2"}}, "value of floor must be one of: SSLv3"),
    ({"targets": [{"host": "mx"}], "expect": {"trust": False}, "checks": ["trust"]}, "nothing is expected there, so it could not fail"),
])
def test_wrong_arguments_give_one_clear_message(run, arguments: dict, told: str) -> None:
    result = run(starttls_verify, **arguments)
    assert result["failed"] and told in result["msg"] and "results" not in result


def documented(sample: object, real: object, path: str) -> None:
    """Asserts that each key and each kind of value is the documented one; of versions and suites, the sample shows some."""
    if isinstance(sample, dict):
        some = path.endswith((".versions", ".suites"))
        assert set(sample) <= set(real) if some else set(sample) == set(real), path
        for key, value in sample.items():
            documented(value, real[key], "%s.%s" % (path, key))
    elif isinstance(sample, list):
        if sample and real:
            documented(sample[0], real[0], path + "[]")
    else:
        assert type(sample) is type(real) or path.endswith(".dh_bits"), (path, sample, real)  # this server has no prime


@pytest.mark.parametrize("module", [starttls_info, starttls_verify])
def test_the_documented_results_are_those_that_are_returned(module, run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF, versions=(ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3))) as server:
        result = run(module, targets=[target(server)], ca_file=ca_file)["results"][0]
    keys = yaml.safe_load(module.RETURN)["results"]["contains"]
    assert set(keys) == set(result)
    samples = {key: value["sample"] for key, value in keys.items()}
    if "findings" in result:
        result["findings"] = [finding for finding in result["findings"] if finding["check"] == "versions"]
    documented(samples, result, "results")


def test_the_documented_options_are_those_of_the_code() -> None:
    shared = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    own = yaml.safe_load(starttls_verify.DOCUMENTATION)["options"]
    assert set(shared) == set(options.ARGUMENT_SPEC)
    assert set(shared) | set(own) == set(_verification.ARGUMENT_SPEC)
    for name, documented in {**shared, **own}.items():
        assert documented.get("default") == _verification.ARGUMENT_SPEC[name].get("default"), name
        assert documented.get("choices") == _verification.ARGUMENT_SPEC[name].get("choices"), name
