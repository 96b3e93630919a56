# SPDX-License-Identifier: GPL-3.0-or-later
"""starttls_info tells and never fails on what it sees; starttls_verify fails on it, with the same results."""
from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.doc_fragments.starttls import ModuleDocFragment
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _verification
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import log
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options
from ansible_collections.mailsec.postfix_tls.plugins.modules import starttls_info, starttls_verify
from hosts_of_text import instance, postconf
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


@pytest.fixture
def postfix_log(tmp_path: Path, monkeypatch) -> list:
    """Lines that a look at this host causes in a log of its own."""
    file, caused = tmp_path / "mail.log", []
    file.write_text("Jan 1 mx postfix/smtpd[7]: warning: key at index 1 in a.pem does not match next certificate\n", encoding="utf-8")
    monkeypatch.setattr(log, "_FILES", (str(file),))
    look = _verification.probe_all

    def logged(*arguments: object) -> list:
        facts = look(*arguments)
        with file.open("a", encoding="utf-8") as stream:
            stream.write("".join(line + "\n" for line in caused))
        return facts

    monkeypatch.setattr(_verification, "probe_all", logged)
    return caused


def test_what_fails_on_this_host_is_told_with_what_its_own_log_says_of_it_once_a_target(run, ca_file: str, postfix_log: list) -> None:
    for text in ("connect from localhost[127.0.0.1]", *("warning: TLS library problem: %d" % number for number in range(9))):
        postfix_log.append("Jan 1 mx postfix/smtpd[7]: %s" % text)
    with MailServer(Behaviour()) as bad, MailServer(Behaviour(chain=LEAF)) as good:
        failed = run(starttls_verify, targets=[target(bad), target(good)], ca_file=ca_file)
        apart = run(starttls_verify, targets=[target(bad)], ca_file=ca_file, log=False)
        passed = run(starttls_verify, targets=[target(good)], ca_file=ca_file)
    told = " Postfix logged: warning: key at index 1 in a.pem does not match next certificate | warning: TLS library problem: 0 | "
    problems = tuple("warning: TLS library problem: %d" % number for number in (1, 2))
    assert failed["msg"].count("Postfix logged: ") == 1 and failed["msg"].endswith(told + "%s | %s." % problems)
    findings = failed["results"][0]["findings"] + failed["results"][1]["findings"]
    assert {finding["verdict"]: len(finding["log"]) for finding in findings} == {"pass": 0, "fail": 10, "unknown": 10}
    assert "Postfix logged" not in apart["msg"] and not any(finding["log"] for finding in apart["results"][0]["findings"])
    assert not any(finding["log"] for finding in passed["results"][0]["findings"])


def test_the_log_of_this_host_is_not_asked_about_another(run, postfix_log: list) -> None:
    postfix_log.append("Jan 1 mx postfix/smtpd[7]: connect from localhost[127.0.0.1]")
    elsewhere = run(starttls_verify, targets=[{"host": "mx", "address": "192.0.2.1"}], timeout=0.1)
    assert elsewhere["failed"] and "Postfix logged" not in elsewhere["msg"]


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
    ({"targets": [{"host": "mx"}], "concurrency": 0}, "concurrency = 0: at least one target has to be looked at a time"),
    ({"targets": [{"host": "mx"}], "min_days_left": -1}, "min_days_left = -1: it can't be less than none"),
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


def test_what_both_return_is_documented_in_the_same_words() -> None:
    """Ansible shares fragments of options, not of return values; so the text stands twice, and is held together here."""
    told, judged = (yaml.safe_load(module.RETURN)["results"]["contains"] for module in (starttls_info, starttls_verify))
    assert told == {key: value for key, value in judged.items() if key != "findings"}


def test_the_documented_options_are_those_of_the_code() -> None:
    shared = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    own = yaml.safe_load(starttls_verify.DOCUMENTATION)["options"]
    assert set(shared) == set(options.ARGUMENT_SPEC)
    assert set(shared) | set(own) == set(_verification.ARGUMENT_SPEC)
    for name, documented in {**shared, **own}.items():
        assert documented.get("default") == _verification.ARGUMENT_SPEC[name].get("default"), name
        assert documented.get("choices") == _verification.ARGUMENT_SPEC[name].get("choices"), name


@pytest.fixture
def own_host(monkeypatch, tmp_path: Path):
    """A Postfix of files alone, whose postconf reads them: (main.cf, lines of master.cf) -> nothing."""
    def configured(main: dict, *services: str) -> None:
        (tmp_path / "master.cf").write_text("\n".join(services) + "\n", encoding="utf-8")
        read = postconf({str(tmp_path): dict(instance(str(tmp_path)).values, **main)})

        for module in (starttls_info, starttls_verify):
            monkeypatch.setattr(module, "runner", lambda: lambda argv, stdin=None: read(argv))
    return configured


def test_without_targets_every_own_listener_is_held_against_what_its_parameters_promise(run, own_host, ca_file: str, tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(LEAF.key_pem() + LEAF.pem, encoding="utf-8")
    main = {"myhostname": "mx.example.org", "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": str(chain)}
    main.update(smtpd_tls_protocols=">=TLSv1.2", smtpd_tls_mandatory_protocols=">=TLSv1.2")
    old = (ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3)
    with MailServer(Behaviour(chain=LEAF)) as one, MailServer(Behaviour(chain=LEAF, versions=old)) as other, MailServer(Behaviour()) as plain:
        services = (
            "127.0.0.1:%d inet n - y - - smtpd" % one.port,
            "127.0.0.1:%d inet n - y - - smtpd -o smtpd_tls_security_level=encrypt" % other.port,
            "127.0.0.1:%d inet n - y - - smtpd -o smtpd_tls_security_level=none" % plain.port,
        )
        own_host(main, *services)
        told = run(starttls_verify, config_directory=str(tmp_path), ca_file=ca_file)
        seen = run(starttls_info, config_directory=str(tmp_path), ca_file=ca_file)
        healthy = run(starttls_verify, config_directory=str(tmp_path), ca_file=ca_file, checks=["reachable"])
    assert [result["target"]["port"] for result in told["results"]] == [one.port, other.port, plain.port]
    wrong = [
        {finding["check"] for finding in result["findings"] if finding["verdict"] != "pass"} for result in told["results"]
    ]
    assert wrong == [set(), {"versions", "mail_before_tls"}, set()] and told["failed"]
    assert "configuration" in [finding["check"] for finding in told["results"][0]["findings"]]
    assert [result["smtp"]["starttls"] for result in seen["results"]] == [True, True, False] and not healthy.get("failed")


@pytest.mark.parametrize("name, value, told", [
    ("smtpd_tls_exclude_ciphers", "aNULLL", "did you mean aNULL?"),
    ("tls_eecdh_auto_curves", "X25519 prime256v1x", "did you mean prime256v1?"),
    ("smtpd_tls_protocols", "TLSv1.2", "TLS 1.3 would be off"),
])
def test_what_postfix_takes_without_a_word_fails_a_check_of_its_own(run, own_host, ca_file: str, tmp_path: Path, name: str, value: str, told: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as server:
        own_host({"myhostname": "mx.example.org", "smtpd_tls_security_level": "may", name: value}, "127.0.0.1:%d inet n - y - - smtpd" % server.port)
        result = run(starttls_verify, config_directory=str(tmp_path), ca_file=ca_file)
    assert {finding["check"] for finding in result["results"][0]["findings"] if finding["verdict"] != "pass"} == {"configuration"}
    assert "%s = %s: " % (name, value) in result["msg"] and told in result["msg"]


def test_starttls_stripped_on_the_way_shows_against_the_host_s_own_look(run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as host, MailServer(Behaviour(ehlo=(b"PIPELINING", b"XXXXXXXA"))) as stripping:
        inside = run(starttls_info, targets=[target(host)], ca_file=ca_file)["results"]
        same = run(starttls_verify, targets=[target(host)], ca_file=ca_file, inside=inside)
        inside[0]["target"]["port"] = stripping.port
        told = run(starttls_verify, targets=[target(stripping)], ca_file=ca_file, inside=inside)
    assert same["results"][0]["findings"][-1]["check"] == "same_from_inside" and not same.get("failed")
    assert "same_from_inside fail: STARTTLS is not offered here, STARTTLS is offered there." in told["msg"]
    assert "EHLO offers XXXXXXXA where STARTTLS would stand: a device on the way overwrites it" in told["msg"]


def test_a_look_from_inside_that_saw_nothing_proves_nothing_and_another_name_may_have_another_certificate(run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as host:
        told = run(starttls_verify, targets=[target(host)], ca_file=ca_file, inside=[{"target": {"port": host.port}}])
        inside = run(starttls_info, targets=[target(host)], ca_file=ca_file)["results"]
        inside[0]["target"]["server_name"] = "mx2.example.org"
        inside[0]["certificates"][0]["sha256"] = "ab" * 32
        other = run(starttls_verify, targets=[target(host)], ca_file=ca_file, inside=inside)
    assert told["failed"] and "same_from_inside unknown: nothing was seen on both sides" in told["msg"]
    assert not other.get("failed"), other["msg"]


@pytest.mark.parametrize("inside", [
    {"target": None}, {}, {"target": {"port": 1}, "tls": {"versions": {"x": {}}}}, {"target": {"port": 1}, "certificates": [{}]},
])
def test_what_is_no_result_of_a_look_is_refused_as_one_from_inside(run, ca_file: str, inside: dict) -> None:
    with MailServer(Behaviour(chain=LEAF)) as host:
        told = run(starttls_verify, targets=[target(host)], ca_file=ca_file, inside=[inside])
    assert told["failed"] and "that is no result of a look" in told["msg"]


def test_checks_that_apply_to_one_target_alone_judge_that_one(run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as plain, MailServer(Behaviour(chain=LEAF, implicit=True)) as wrapped:
        targets = [target(plain), dict(target(wrapped), protocol="smtps")]
        both = run(starttls_verify, targets=targets, ca_file=ca_file, checks=["starttls_offered"])
        none = run(starttls_verify, targets=targets[1:], ca_file=ca_file, checks=["starttls_offered"])
    assert not both.get("failed") and [len(result["findings"]) for result in both["results"]] == [1, 0]
    assert none["failed"] and none["msg"].startswith("checks = starttls_offered: none of them applies to any target")


def test_a_profile_is_judged_and_single_items_go_before_it(run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as server:
        strictly = run(starttls_verify, targets=[target(server)], ca_file=ca_file, profile="intermediate", checks=["suites", "key"])
        broadly = run(starttls_verify, targets=[target(server)], ca_file=ca_file, profile="interop", checks=["suites", "key"])
        longer = run(starttls_verify, targets=[target(server)], ca_file=ca_file, profile="modern", expect={"floor": "TLSv1.2"}, checks=["versions"])
    assert strictly["failed"] and "Mozilla Server Side TLS 6.0, intermediate" in str(strictly["results"])
    assert not broadly.get("failed") and not longer.get("failed"), (broadly.get("msg"), longer.get("msg"))


def inside(server: MailServer, reachable: bool = True) -> list:
    return [{"target": target(server), "reachable": reachable, "smtp": {"starttls": True}, "tls": {}, "certificates": []}]


@pytest.mark.parametrize("answer", [b"554 5.7.1 Service unavailable; client blocked\r\n", b"421 4.7.0 mx Error: too many connections from x\r\n", b""])
def test_who_gets_no_answer_where_the_host_itself_has_one_says_so_and_looks_once(run, ca_file: str, answer: bytes) -> None:
    server = MailServer(Behaviour(chain=LEAF, banner=answer))
    options = {"targets": [target(server)], "ca_file": ca_file, "retries": 3, "delay": 0}
    if answer:
        server.__enter__()
    else:
        server._listener.close()
    failed = run(starttls_verify, inside=inside(server), **options)
    told = run(starttls_verify, inside=inside(server), unproven="tell", **options)
    wrong = run(starttls_verify, inside=inside(server, reachable=False), unproven="tell", **options)
    if answer:
        server.__exit__()
    assert failed["failed"] and "starttls_verify_vantage" in failed["msg"] and "tls_hardening_verify" in failed["msg"] and failed["attempts"] == 1
    assert not told.get("failed") and told["unproven"][0]["port"] == server.port and "starttls_verify_vantage" in str(told["warnings"])
    assert wrong["failed"] and wrong["unproven"] == [] and wrong["attempts"] == 4


def test_a_wrong_answer_from_outside_is_never_excused(run, ca_file: str) -> None:
    for behaviour in (Behaviour(), Behaviour(chain=LEAF, instead=lambda connection: connection.close())):
        with MailServer(behaviour) as server:
            wrong = run(starttls_verify, targets=[target(server)], ca_file=ca_file, inside=inside(server), unproven="tell")
        assert wrong["failed"] and wrong["unproven"] == []


def test_auth_before_tls_is_judged_unless_it_is_said_not_to_be(run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF, ehlo=(b"AUTH PLAIN",))) as server:
        assert "auth_before_tls fail" in run(starttls_verify, targets=[target(server)], ca_file=ca_file)["msg"]
        assert not run(starttls_verify, targets=[target(server)], ca_file=ca_file, expect={"auth_only": False}).get("failed")


def test_what_there_was_no_time_for_is_not_blamed_on_postfix(run, ca_file: str) -> None:
    slow = Behaviour(chain=LEAF)
    slow.after_handshake = lambda: setattr(slow, "instead", lambda connection: connection.recv(1))
    with MailServer(slow) as server:
        said = run(starttls_verify, targets=[target(server)], ca_file=ca_file, timeout=1)["msg"]
    assert "Fix: timeout: a longer timeout" in said and "an update of Postfix" not in said


def test_an_ipv4_address_in_ipv6_clothes_is_this_host_s_own(run, ca_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as server:
        seen = run(starttls_info, targets=[dict(target(server), host="::ffff:127.0.0.1")], ca_file=ca_file)["results"][0]
    assert seen["vantage"] == {"source": "127.0.0.1", "own": True}
