# SPDX-License-Identifier: GPL-3.0-or-later
"""Every certificate a server has is looked at: of each kind of key, by each version, and with and without a server name."""
from __future__ import annotations

import hashlib
import ssl
import subprocess

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import handshake, report
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.handshake import contexts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import explain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from issuing import issue
from servers import Behaviour, MailServer

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
KINDS = ("ec", "rsa", "ed25519", "ed448", "p384")
GOOD = {kind: issue(NAME, ROOT, kind=kind) for kind in KINDS}
EXPIRED = {kind: issue(NAME, ROOT, kind=kind, days=(-9, -1)) for kind in KINDS}
OLD, NEW = (ssl.TLSVersion.TLSv1_2,) * 2, (ssl.TLSVersion.TLSv1_3,) * 2
BOTH = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def look(behaviour: Behaviour, host: str = "127.0.0.1", name: str | None = NAME, expected: dict | None = None, **how: object) -> dict:
    with MailServer(behaviour) as server:
        target = Target(host, server.port, server_name=name, address="127.0.0.1")
        facts = probe(target, Look(**{"ca_content": ROOT.pem, "timeout": 10.0, **how}))
        return dict(facts, findings=judge(facts, Expectation(**expected or {})), connections=server.connections, asked=list(server.names))


def verdicts(facts: dict) -> dict:
    return {finding["check"]: finding["verdict"] for finding in facts["findings"]}


def served(facts: dict) -> set:
    return {chain["certificates"][0]["sha256"] for chain in facts["chains"]}


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids=["1.3", "1.2", "both"])
@pytest.mark.parametrize("good, bad", [("ec", "rsa"), ("rsa", "ec"), ("rsa", "ed25519"), ("ec", "ed25519"), ("ed25519", "ed448"), ("ed448", "rsa")])
def test_a_second_certificate_that_is_expired_is_found_in_each_version(versions: tuple, good: str, bad: str) -> None:
    facts = look(Behaviour(chain=GOOD[good], second=EXPIRED[bad], versions=versions))
    assert served(facts) == {GOOD[good].sha256, EXPIRED[bad].sha256}
    assert (verdicts(facts)["trust"], verdicts(facts)["validity"], facts["connections"] <= 16) == ("fail", "fail", True), explain([facts])
    assert {chain["certificates"][0]["sha256"]: chain["trust"]["verdict"] for chain in facts["chains"]} == {
        GOOD[good].sha256: "pass", EXPIRED[bad].sha256: "fail",
    }


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids=["1.3", "1.2", "both"])
def test_a_third_certificate_is_found_and_of_three_good_ones_all_passes(versions: tuple) -> None:
    facts = look(Behaviour(chain=GOOD["ec"], second=GOOD["rsa"], third=EXPIRED["ed25519"], versions=versions))
    assert served(facts) == {GOOD["ec"].sha256, GOOD["rsa"].sha256, EXPIRED["ed25519"].sha256}
    assert verdicts(facts)["validity"] == "fail"
    good = look(Behaviour(chain=GOOD["ec"], second=GOOD["rsa"], third=GOOD["ed25519"], versions=versions))
    assert set(verdicts(good).values()) == {"pass"} and good["connections"] <= 16, explain([good])
    assert all(chain["trust"]["verdict"] == "pass" for chain in good["chains"])


def test_a_third_certificate_is_found_where_the_server_would_rather_have_suites_that_it_has_no_key_for() -> None:
    """OpenSSL chooses suites of an RSA key where rsa_pss_pss is offered, and refuses if that is what it has no key for."""
    suites = "ECDHE+aRSA:ECDHE+aECDSA:@SECLEVEL=0"
    facts = look(Behaviour(chain=GOOD["ec"], second=GOOD["rsa"], third=EXPIRED["ed25519"], versions=OLD, suites=suites))
    assert served(facts) == {GOOD["ec"].sha256, GOOD["rsa"].sha256, EXPIRED["ed25519"].sha256}


def test_of_tls_1_3_alone_every_chain_tells_where_it_was_seen_and_is_whole() -> None:
    facts = look(Behaviour(chain=GOOD["ec"], second=GOOD["rsa"], more=(ROOT,), versions=NEW))
    assert [(chain["versions"], chain["sni"], chain["whole"], len(chain["certificates"])) for chain in facts["chains"]] == [(["TLSv1.3"], True, True, 2)] * 2


def test_deployed_is_asked_of_tls_1_3_alone_too() -> None:
    behaviour = Behaviour(chain=GOOD["ec"], versions=NEW)
    expected = {"deployed": [GOOD["ec"].sha256, GOOD["rsa"].sha256]}
    assert verdicts(look(behaviour, expected=expected))["deployed_chain"] == "fail"
    behaviour.second = GOOD["rsa"]
    assert verdicts(look(behaviour, expected=expected))["deployed_chain"] == "pass"


SELF_SIGNED = issue("localhost", kind="rsa")


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids=["1.3", "1.2", "both"])
def test_what_is_served_to_who_names_no_server_counts_and_is_told(versions: tuple) -> None:
    facts = look(Behaviour(chain=GOOD["ec"], nameless=SELF_SIGNED, versions=versions))
    assert {chain["sni"] for chain in facts["chains"] if chain["certificates"][0]["sha256"] == SELF_SIGNED.sha256} == {False}
    assert None in facts["asked"] and facts["connections"] <= 16
    [trust] = [finding for finding in facts["findings"] if finding["check"] == "trust"]
    assert trust["verdict"] == "fail" and "who sends no server name, as Postfix does by default" in trust["observed"], trust
    assert "self-signed" in trust["observed"].replace("self signed", "self-signed") and "smtpd_tls_chain_files" in trust["fix"] and "sni" in trust["fix"]


def test_the_name_of_what_is_served_without_one_counts_against_the_host_and_not_against_another_name() -> None:
    other = issue("mx.example.net", ROOT)
    behaviour = Behaviour(chain=GOOD["ec"], nameless=other)
    assert verdicts(look(behaviour, host=NAME, name=None))["name"] == "fail"
    assert verdicts(look(behaviour, host="mx.example.net"))["name"] == "pass"
    assert verdicts(look(Behaviour(chain=GOOD["ec"], nameless=issue("mx.example.net", ROOT, kind="rsa")), host="mx.example.net"))["name"] == "pass"
    assert verdicts(look(behaviour))["name"] == "pass"
    expected = {"deployed": [GOOD["ec"].sha256]}
    assert verdicts(look(behaviour, host=NAME, name=None, expected=expected))["deployed_chain"] == "fail"
    assert verdicts(look(behaviour, expected=expected))["deployed_chain"] == "pass"


def test_who_sends_no_server_name_is_not_taken_for_who_wants_no_certificate() -> None:
    """As Postfix with tls_preempt_cipherlist, whose list begins with anonymous suites."""
    behaviour = Behaviour(chain=GOOD["rsa"], nameless=GOOD["ec"], versions=OLD, suites="aNULL:ECDHE+AESGCM:@SECLEVEL=0")
    facts = look(behaviour)
    assert facts["tls"]["without_sni"]["verdict"] == "accepted" and facts["connections"] <= 16, explain([facts])
    assert served(facts) == {GOOD["rsa"].sha256, GOOD["ec"].sha256}


def test_survey_and_verifier_agree_about_what_a_postfix_gets_that_sends_no_server_name() -> None:
    """tls_survey_info asks as this Postfix does."""
    with MailServer(Behaviour(chain=GOOD["ec"], nameless=SELF_SIGNED)) as server:
        how = Look(ca_content=ROOT.pem, timeout=10.0)
        asked = [probe(Target(NAME, server.port, address="127.0.0.1", asks_by_name=by_name), how) for by_name in (False, True)]
    survey, verified = asked
    [of_nameless] = [chain for chain in verified["chains"] if chain["sni"] is False]
    assert (survey["tls"]["trust"], survey["certificates"]) == (of_nameless["trust"], of_nameless["certificates"])
    assert {chain["sni"] for chain in survey["chains"]} == {None} and survey["tls"]["without_sni"] is None
    told = [line for line in report.lines(verified) if SELF_SIGNED.sha256 in line]
    assert len(told) == 1 and told[0].endswith("for who sends no server name")


def test_who_gets_nothing_without_a_server_name_is_told() -> None:
    behaviour = Behaviour(chain=GOOD["ec"])
    behaviour.hello = lambda hello: None if NAME.encode() in hello else b"\x15\x03\x03\x00\x02\x02\x70"
    facts = look(behaviour)
    [handshake] = [finding for finding in facts["findings"] if finding["check"] == "handshake"]
    assert handshake["verdict"] == "fail" and "no server name" in handshake["observed"], handshake


def test_silence_about_further_certificates_is_unknown() -> None:
    behaviour = Behaviour(chain=GOOD["ec"], versions=NEW)
    behaviour.hello = lambda hello: b"\x15\x03\x03\x00\x02\x02\x5a" if b"\x04\x03" not in hello.partition(b"\x00\x0d")[2][:8] and b"\x00\x33" in hello else None
    facts = look(behaviour)
    assert verdicts(facts)["validity"] == "unknown" and verdicts(facts)["trust"] == "unknown", explain([facts])
    assert facts["tls"]["algorithms"]["any other in TLSv1.3"] == {"verdict": "unknown", "reason": "alert user_canceled"}


@pytest.mark.parametrize("refusal", [b"", b"\x15\x03\x03\x00\x02\x02\x50"], ids=["closes", "internal_error"])
@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids=["1.3", "1.2", "both"])
def test_a_refusal_of_further_certificates_that_is_no_alert_is_one_where_others_are_answered(versions: tuple, refusal: bytes) -> None:
    """As aiosmtpd closes, and OpenSSL 3 says internal_error."""
    facts = look(Behaviour(chain=GOOD["ec"], second=GOOD["rsa"], versions=versions, refusal=refusal))
    assert set(verdicts(facts).values()) == {"pass"}, explain([facts])
    facts = look(Behaviour(chain=GOOD["ec"], second=EXPIRED["rsa"], versions=versions, refusal=refusal))
    assert {check for check, verdict in verdicts(facts).items() if verdict != "pass"} == {"trust", "validity"}, explain([facts])


class OfFile:
    """A chain that the openssl command made: no Python library makes such a key."""

    def __init__(self, folder, days: int) -> None:
        key, certificate = folder / ("%d.key" % days), folder / ("%d.pem" % days)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes", "-keyout", str(key),
             "-out", str(certificate), "-subj", "/CN=" + NAME, "-addext", "subjectAltName=DNS:" + NAME, "-days", str(days)], check=True, capture_output=True,
        )
        self._key, self.pem = key.read_text(), certificate.read_text()
        self.sha256 = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.pem)).hexdigest()

    def key_pem(self) -> str:
        return self._key


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids=["1.3", "1.2", "both"])
def test_a_key_for_rsassa_pss_alone_is_found_beside_a_usual_rsa_key(tmp_path, versions: tuple) -> None:
    pss = OfFile(tmp_path, 30)
    facts = look(Behaviour(chain=GOOD["rsa"], second=pss, versions=versions))
    assert served(facts) == {GOOD["rsa"].sha256, pss.sha256}
    assert (verdicts(facts)["trust"], facts["connections"] <= 16) == ("fail", True)  # it is self-signed
    assert served(look(Behaviour(chain=pss, second=GOOD["rsa"], versions=versions))) == {GOOD["rsa"].sha256, pss.sha256}


def crossed() -> tuple:
    """(leaf, its issuer, an expired certificate for the root by another root, which is expired too), as AddTrust and DST X3 left behind."""
    old = issue("old root", authority=True, days=(-99, -9))
    middle = issue("intermediate", ROOT, authority=True)
    return issue(NAME, middle), middle, issue("root", old, authority=True, days=(-99, -9), key=ROOT.key), old


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids=["1.3", "1.2", "both"])
def test_what_is_sent_beside_a_good_chain_and_not_needed_is_told_and_does_not_fail(versions: tuple) -> None:
    leaf, middle, cross, old = crossed()
    facts = look(Behaviour(chain=leaf, more=(middle, cross, old), versions=versions))
    assert (verdicts(facts)["trust"], verdicts(facts)["validity"]) == ("pass", "pass"), explain([facts])
    [observed] = [finding["observed"] for finding in facts["findings"] if finding["check"] == "validity"]
    assert "CN=root, which is sent too" in observed and "CN=old root, which is sent too" in observed and observed.count("is not needed") == 2
    assert facts["chains"][0]["needless"] == [cross.sha256, old.sha256]


def test_what_is_needed_is_judged_though_it_is_sent_beside_what_is_not() -> None:
    leaf, middle, cross, old = crossed()
    facts = look(Behaviour(chain=leaf, more=(middle, cross)), ca_content=old.pem)
    assert (verdicts(facts)["trust"], verdicts(facts)["validity"]) == ("fail", "fail")
    soon = issue("soon", ROOT, authority=True, days=(-9, 3))
    short = issue(NAME, soon)
    assert verdicts(look(Behaviour(chain=short, more=(soon,)), expected={"min_days_left": 7}))["validity"] == "fail"
    cross = issue("root", old, authority=True, days=(-99, 3), key=ROOT.key)
    assert verdicts(look(Behaviour(chain=leaf, more=(middle, cross)), expected={"min_days_left": 7}))["validity"] == "pass"


def test_a_root_s_new_key_that_its_old_one_certified_is_judged_by_its_days_where_peers_need_it() -> None:
    old = issue("root", authority=True)
    rolled = issue("root", old, authority=True, days=(-9, 3))
    leaf = issue(NAME, rolled)
    behaviour, expected = Behaviour(chain=leaf, more=(rolled,)), {"min_days_left": 14}
    assert verdicts(look(behaviour, ca_content=old.pem, expected=expected))["validity"] == "fail"
    anchored = look(behaviour, ca_content=issue("root", authority=True, key=rolled.key).pem, expected=expected)
    assert (verdicts(anchored)["trust"], verdicts(anchored)["validity"]) == ("pass", "pass")
    assert "CN=root, which is sent too" in next(finding["observed"] for finding in anchored["findings"] if finding["check"] == "validity")


def test_a_weak_signature_on_what_is_not_needed_does_not_fail() -> None:
    leaf, middle, _cross, old = crossed()
    weak = issue("root", old, authority=True, key=ROOT.key, digest=hashes.SHA224())
    facts = look(Behaviour(chain=leaf, more=(middle, weak)), expected={"profile": "bsi_tr02102", "checks": ["certificate_signature"]})
    assert verdicts(facts) == {"certificate_signature": "pass"}


CHAINS = {
    "good": (GOOD["ec"],), "expired": (EXPIRED["ec"],), "self-signed": (SELF_SIGNED,), "another CA": (issue(NAME, issue("root", authority=True)),),
    "no intermediate": crossed()[:1], "needless ones": crossed()[:4], "no server": (issue(NAME, ROOT, client=True),),
    "not yet": (issue(NAME, ROOT, days=(1, 9)),),
    "Ed25519": (GOOD["ed25519"],),
}


@pytest.mark.parametrize("case", CHAINS)
def test_trust_that_no_handshake_judged_is_what_openssl_verify_says(case: str, tmp_path) -> None:
    leaf, *rest = CHAINS[case]
    for name, pem in (("root", ROOT.pem), ("leaf", leaf.pem), ("rest", "".join(issued.pem for issued in rest) or ROOT.pem)):
        (tmp_path / name).write_text(pem, encoding="utf-8")
    verified = subprocess.run(
        ["openssl", "verify", "-purpose", "sslserver", "-auth_level", "1", "-no-CApath", "-CAfile", str(tmp_path / "root"),
         "-untrusted", str(tmp_path / "rest"), str(tmp_path / "leaf")], capture_output=True, text=True, check=False,
    )
    trust = contexts(ca_content=ROOT.pem).judge([ssl.PEM_cert_to_DER_cert(issued.pem) for issued in (leaf, *rest)])
    assert trust["verdict"] == ("fail" if verified.returncode else "pass"), verified.stderr
    assert not verified.returncode or trust["reason"] in verified.stderr


def test_where_openssl_does_not_judge_at_once_trust_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    judging = contexts(ca_content=ROOT.pem)
    monkeypatch.setattr(handshake, "_first_messages", lambda _certificates: b"")
    assert judging.judge([ssl.PEM_cert_to_DER_cert(GOOD["ec"].pem)])["verdict"] == "unknown"


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_any_bytes_as_a_chain_are_a_verdict_and_none_passes(sent: list) -> None:
    assert contexts(ca_content=ROOT.pem).judge(sent)["verdict"] in ("fail", "unknown")
