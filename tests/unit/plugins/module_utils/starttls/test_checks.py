# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check passes on what is good, fails on what is bad, and what could not be seen never passes."""
from __future__ import annotations

import copy

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import polling, report
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, CHECKS, applying, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import endpoint
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

DIGEST = "ab" * 32
REFUSED = {"verdict": "refused", "reason": "alert handshake_failure"}
ACCEPTED = {"verdict": "accepted", "reason": "TLS_RSA_WITH_NULL_MD5"}
UNKNOWN = {"verdict": "unknown", "reason": "closed"}
LEAF = {
    "sha256": DIGEST, "subject": "CN=mx.example.org", "issuer": "CN=CA", "self_signed": False, "names": ["DNS:mx.example.org"],
    "not_before": "2020-01-01T00:00:00Z", "not_after": "2099-01-01T00:00:00Z", "days_left": 30, "key_type": "EC", "key_bits": 256,
    "curve": "prime256v1", "signature": "ecdsa-with-SHA256", "signature_hash": "SHA256",
}
ROOT = dict(LEAF, subject="CN=CA", sha256="ef" * 32, self_signed=True, days_left=2, signature="sha1WithRSAEncryption", signature_hash="SHA1")
CHAIN = {
    "algorithm": "ECDSA", "connections": 5, "whole": True, "ordered": True, "trust": {"verdict": "pass", "reason": "trusted"},
    "certificates": [LEAF, ROOT], "sni": True, "versions": ["TLSv1.3"], "needless": [ROOT["sha256"]],
}
GOOD = {
    "target": {"host": "mx.example.org", "port": 25, "protocol": "submission", "server_name": "mx.example.org", "address": "192.0.2.1"},
    "vantage": {"source": "192.0.2.9", "own": False},
    "reachable": True,
    "error": None,
    "smtp": {
        "banner": "220 mx.example.org ESMTP", "ehlo": ["PIPELINING", "STARTTLS"], "starttls": True, "starttls_reply": "220 go",
        "after_starttls": None, "ehlo_after_tls": ["PIPELINING", "AUTH PLAIN"], "mail_before_tls": "530 5.7.0 Must issue a STARTTLS command first",
        "injected": False, "smuggling": {"LF.LF": REFUSED, "LF.CRLF": REFUSED},
    },
    "tls": {
        "handshake": "done", "reason": None, "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384",
        "versions": {name: {"verdict": "accepted" if name > "TLSv1.1" else "refused", "reason": "it said so"} for name in NAMES},
        "algorithms": {"ECDSA": ACCEPTED, "RSA": REFUSED}, "suites": {"forbidden": REFUSED, "phase_out": ACCEPTED, "dhe": REFUSED},
        "order": {"verdict": "server", "reason": "a, then a"},
        "groups": {"X25519MLKEM768": REFUSED, "other": REFUSED}, "dh_bits": None, "signatures": {"weak": REFUSED},
        "without_sni": ACCEPTED, "compression": False, "extended_master_secret": True, "secure_renegotiation": True, "accepted": None,
        "trust": {"verdict": "pass", "reason": "trusted"}, "name": {"verdict": "pass", "reason": "named"},
    },
    "certificates": [LEAF, ROOT],
    "chains": [CHAIN],
}
SECOND = dict(CHAIN, algorithm="RSA", certificates=[dict(LEAF, sha256="cd" * 32, key_type="RSA", key_bits=2048, curve=None), ROOT])
ALL = {"deployed": [DIGEST], "profile": "ncsc_2025", "smuggling": True}
UNREACHABLE = dict(
    GOOD, reachable=False, error="nothing listens there", tls=None, certificates=[], chains=[], smtp=dict.fromkeys(GOOD["smtp"]),
)


def altered(**changes: object) -> dict:
    """GOOD with values put at paths, written a__b__c."""
    facts = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = facts
        for parent in parents:
            at = at[int(parent) if parent.isdigit() else parent]
        at[last] = value
    return facts


def verdicts(facts: dict, **expected: object) -> dict:
    return {finding["check"]: finding["verdict"] for finding in judge(facts, Expectation(**expected))}


def with_version(name: str, verdict: str) -> dict:
    facts = copy.deepcopy(GOOD)
    facts["tls"]["versions"][name]["verdict"] = verdict
    return facts


def with_leaf(**changes: object) -> dict:
    return altered(chains__0__certificates=[dict(LEAF, **changes), ROOT])


NONE_BEFORE_13 = {name: {"verdict": "accepted" if name == "TLSv1.3" else "refused", "reason": "it said so"} for name in NAMES}
NCSC, BSI, MODERN = {"profile": "ncsc_2025"}, {"profile": "bsi_tr02102"}, {"profile": "modern"}
BAD = [
    ("reachable", UNREACHABLE, {}, "fail"),
    ("starttls_offered", altered(smtp__starttls=False, tls=None), {}, "fail"),
    ("starttls_offered", GOOD, {"starttls": False}, "fail"),
    ("handshake", altered(tls__handshake="refused", tls__reason="454"), {}, "fail"),
    ("handshake", altered(tls__handshake="unknown", tls__reason="closed"), {}, "unknown"),
    ("trust", altered(tls__trust={"verdict": "fail", "reason": "self-signed"}), {}, "fail"),
    ("trust", altered(chains=[CHAIN, dict(SECOND, trust={"verdict": "fail", "reason": "self-signed"})]), {}, "fail"),
    ("trust", altered(chains=[CHAIN, dict(SECOND, trust=UNKNOWN)]), {}, "unknown"),
    ("name", altered(tls__name={"verdict": "fail", "reason": "other"}), {}, "fail"),
    ("name", altered(tls__name={"verdict": "unknown", "reason": "unread"}), {}, "unknown"),
    ("name", altered(chains=[CHAIN, dict(SECOND, certificates=[dict(LEAF, names=["DNS:mx.example.net"])])]), {}, "fail"),
    ("validity", GOOD, {"min_days_left": 31}, "fail"),
    ("validity", with_leaf(days_left=-1), {}, "fail"),
    ("validity", altered(chains=[CHAIN, dict(SECOND, certificates=[dict(LEAF, days_left=-1)])]), {}, "fail"),
    ("validity", with_leaf(not_before="2098-01-01T00:00:00Z"), {}, "fail"),
    ("validity", with_leaf(days_left=None), {}, "unknown"),
    ("chain_order", altered(chains__0__ordered=False), {}, "fail"),
    ("chain_order", altered(chains__0__ordered=None), {}, "unknown"),
    ("chain_order", altered(chains__0__whole=False), {}, "unknown"),
    ("trust", altered(tls__algorithms__RSA=UNKNOWN), {}, "unknown"),
    ("name", altered(tls__algorithms__RSA=UNKNOWN), {}, "unknown"),
    ("validity", altered(tls__algorithms__RSA=UNKNOWN), {}, "unknown"),
    ("deployed_chain", altered(tls__algorithms__RSA=UNKNOWN), {"deployed": [DIGEST, "cd" * 32]}, "unknown"),
    ("deployed_chain", altered(chains__0__whole=False), {"chains": ((DIGEST, "ef" * 32),)}, "unknown"),
    ("deployed_chain", altered(chains__0__certificates=[LEAF]), {"chains": ((DIGEST, "ef" * 32),)}, "fail"),
    ("server_order", altered(tls__handshake="refused", tls__reason="454", tls__versions={name: REFUSED for name in NAMES}), NCSC, "unknown"),
    ("compression", altered(tls__handshake="refused", tls__reason="454", tls__versions={name: REFUSED for name in NAMES}), NCSC, "unknown"),
    ("versions", with_version("TLSv1.1", "accepted"), {}, "fail"),
    ("versions", GOOD, {"floor": "TLSv1.3"}, "fail"),
    ("versions", with_version("SSLv3", "unknown"), {}, "unknown"),
    ("versions", altered(tls__versions={}), {}, "unknown"),
    ("versions", altered(tls__versions={name: {"verdict": "refused", "reason": "no"} for name in NAMES}), {}, "fail"),
    ("versions", with_version("TLSv1.3", "refused"), {"accepts": ["TLSv1.3"]}, "fail"),
    ("versions", with_version("TLSv1.3", "unknown"), {"accepts": ["TLSv1.3"]}, "unknown"),
    ("versions", with_version("TLSv1.3", "refused"), {"profile": "interop"}, "fail"),
    ("deployed_chain", GOOD, {"deployed": ["cd" * 32]}, "fail"),
    ("deployed_chain", GOOD, {"deployed": [DIGEST, "cd" * 32]}, "fail"),
    ("deployed_chain", altered(chains=[CHAIN, SECOND]), {"deployed": [DIGEST]}, "fail"),
    ("deployed_chain", GOOD, {"chains": ((DIGEST, "cd" * 32),)}, "fail"),
    ("suites", altered(tls__suites__forbidden=ACCEPTED), NCSC, "fail"),
    ("suites", altered(tls__suites__forbidden=UNKNOWN), NCSC, "unknown"),
    ("suites", altered(tls__accepted={"suites": {"TLSv1.3": ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]}}),
     {"profile": "bsi_tr02102"}, "fail"),
    ("server_order", altered(tls__order={"verdict": "client", "reason": "a, then b"}), NCSC, "fail"),
    ("server_order", altered(tls__order={"verdict": "client", "reason": "a, then b"}), {"server_order": True}, "fail"),
    ("server_order", altered(tls__order=None), NCSC, "unknown"),
    ("groups", altered(tls__groups__other=dict(ACCEPTED, reason="ffdhe2048")), NCSC, "fail"),
    ("groups", altered(tls__groups={}), NCSC, "unknown"),
    ("dh_size", altered(tls__suites__dhe=ACCEPTED, tls__dh_bits=2048), NCSC, "fail"),
    ("dh_size", altered(tls__suites__dhe=ACCEPTED, tls__dh_bits=2048), {"dh_bits": 2049}, "fail"),
    ("dh_size", altered(tls__suites__dhe=ACCEPTED), NCSC, "unknown"),
    ("dh_size", altered(tls__suites__dhe=UNKNOWN), NCSC, "unknown"),
    ("signatures", altered(tls__signatures__weak=dict(ACCEPTED, reason="rsa_pkcs1_sha1")), NCSC, "fail"),
    ("key", altered(chains=[CHAIN, SECOND]), BSI, "fail"),
    ("key", altered(chains=[CHAIN, SECOND]), MODERN, "fail"),
    ("key", altered(chains=[CHAIN, SECOND]), {"rsa_bits": 2049}, "fail"),
    ("key", with_leaf(curve="secp256k1"), NCSC, "fail"),
    ("key", with_leaf(curve=None, key_type="Ed25519"), BSI, "fail"),
    ("key", with_leaf(key_type="DSA"), {"rsa_bits": 1024}, "fail"),
    ("key", with_leaf(key_type=None), NCSC, "unknown"),
    ("key", altered(chains__0__certificates=[LEAF, dict(LEAF, sha256="12" * 32, key_type="RSA", key_bits=1024)]), NCSC, "fail"),
    ("certificate_signature", with_leaf(signature="sha1WithRSAEncryption", signature_hash="SHA1"), NCSC, "fail"),
    ("certificate_signature", with_leaf(signature=None), NCSC, "unknown"),
    ("extended_master_secret", altered(tls__extended_master_secret=False), NCSC, "fail"),
    ("extended_master_secret", altered(tls__extended_master_secret=None), NCSC, "unknown"),
    ("secure_renegotiation", altered(tls__secure_renegotiation=False), NCSC, "fail"),
    ("compression", altered(tls__compression=True), NCSC, "fail"),
    ("starttls_not_offered_again", altered(smtp__ehlo_after_tls=["STARTTLS"]), {}, "fail"),
    ("starttls_not_offered_again", altered(smtp__ehlo_after_tls=None), {}, "unknown"),
    ("auth_before_tls", altered(smtp__ehlo=["AUTH=LOGIN", "STARTTLS"]), {}, "fail"),
    ("response_injection", altered(smtp__after_starttls="250 injected"), {}, "fail"),
    ("command_injection", altered(smtp__injected=True), {}, "fail"),
    ("command_injection", altered(smtp__injected=None), {}, "unknown"),
    ("mail_before_tls", altered(smtp__mail_before_tls="250 2.1.0 Ok"), {}, "fail"),
    ("mail_before_tls", altered(smtp__mail_before_tls=None), {}, "unknown"),
    ("smuggling", altered(smtp__smuggling={"LF.LF": REFUSED, "CR.CRLF": ACCEPTED}), {"smuggling": True}, "fail"),
    ("smuggling", altered(smtp__smuggling={"LF.LF": REFUSED, "CR.CRLF": UNKNOWN}), {"smuggling": True}, "unknown"),
]


def test_a_good_server_passes_every_check_there_is() -> None:
    assert verdicts(GOOD, **ALL) == dict.fromkeys(CHECK_NAMES, "pass")


@pytest.mark.parametrize("check, facts, expected, verdict", BAD, ids=["%s-%s" % (row[0], row[3]) for row in BAD])
def test_a_bad_server_does_not_pass(check: str, facts: dict, expected: dict, verdict: str) -> None:
    assert verdicts(facts, **expected)[check] == verdict
    finding = next(finding for finding in judge(facts, Expectation(**expected)) if finding["check"] == check)
    assert finding["fix"] and finding["observed"] and finding["expected"] and finding["reference"]


def test_each_check_has_been_seen_to_fail() -> None:
    assert {row[0] for row in BAD if row[3] == "fail"} == set(CHECK_NAMES)


def test_of_a_server_that_was_not_reached_nothing_passes() -> None:
    seen = verdicts(UNREACHABLE, **ALL)
    assert seen.pop("reachable") == "fail" and set(seen.values()) == {"unknown"} and len(seen) == len(CHECK_NAMES) - 1


def test_a_server_that_is_to_be_plain_is_judged_by_that_alone() -> None:
    plain = altered(smtp__starttls=False, tls=None, smtp__ehlo=["PIPELINING"])
    assert verdicts(plain, starttls=False) == {"reachable": "pass", "starttls_offered": "pass"}
    assert verdicts(UNREACHABLE, starttls=False)["starttls_offered"] == "unknown"


def test_implicit_tls_is_not_asked_about_starttls() -> None:
    smtps = altered(target__protocol="smtps", smtp__starttls=None, smtp__ehlo=None)
    assert not {"starttls_offered", "auth_before_tls", "response_injection"} & set(verdicts(smtps))


@pytest.mark.parametrize("expected, told", [
    ({"floor": "TLSv2"}, "that is no protocol version"),
    ({"deployed": ["abc"]}, "that is no SHA-256 digest"),
    ({"checks": ["spelling"]}, "there is no such check. The checks are reachable,"),
    ({"checks": ["deployed_chain"]}, "nothing is expected there, so it could not fail"),
    ({"checks": ["trust"], "trust": False}, "nothing is expected there, so it could not fail"),
    ({"checks": ["suites"]}, "nothing is expected there, so it could not fail"),
    ({"checks": ["signatures"], "profile": "interop"}, "nothing is expected there, so it could not fail"),
    ({"checks": ["smuggling"]}, "nothing is expected there, so it could not fail"),
    ({"checks": ["suites"], "profile": "interop", "depth": "versions"}, "a look of depth versions does not show it"),
    ({"min_days_left": -1}, "it can't be less than none"),
    ({"profile": "paranoid"}, "there is no such profile. The profiles are opportunistic, interop,"),
    ({"accepts": ["TLSv2"]}, "that is no protocol version"),
])
def test_an_expectation_that_could_not_fail_is_refused(expected: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        applying("smtp", Expectation(**expected))


@pytest.mark.parametrize("check", ["suites", "signatures", "server_order", "extended_master_secret", "secure_renegotiation", "compression"])
def test_of_a_server_with_tls_1_3_alone_nothing_older_is_held_against_it(check: str) -> None:
    facts = altered(
        tls__versions=NONE_BEFORE_13, tls__order=None, tls__compression=None, tls__extended_master_secret=None, tls__secure_renegotiation=None,
    )
    assert verdicts(facts, **NCSC)[check] == "pass"


def test_the_client_s_order_is_good_where_nothing_is_accepted_that_should_come_last() -> None:
    facts = altered(tls__suites__phase_out=REFUSED, tls__order={"verdict": "client", "reason": "a, then b"})
    assert verdicts(facts, **NCSC)["server_order"] == "pass"


def test_a_dh_prime_that_is_large_enough_passes_and_a_finding_names_the_profile_s_clause() -> None:
    facts = altered(tls__suites__dhe=ACCEPTED, tls__dh_bits=3072)
    finding = next(finding for finding in judge(facts, Expectation(**NCSC)) if finding["check"] == "dh_size")
    assert (finding["verdict"], finding["observed"]) == ("pass", "a prime of 3072 bits") and finding["reference"].startswith("NCSC-NL")


def test_an_item_of_expect_goes_before_the_profile() -> None:
    assert verdicts(with_version("TLSv1.1", "accepted"), profile="ncsc_2025", floor="TLSv1.1")["versions"] == "pass"
    assert verdicts(altered(chains=[CHAIN, SECOND]), profile="bsi_tr02102", rsa_bits=2048)["key"] == "pass"


def test_after_a_short_look_only_what_it_shows_is_judged() -> None:
    short = set(verdicts(GOOD, depth="versions", **ALL))
    assert not short & {"suites", "command_injection", "mail_before_tls", "key", "groups", "chain_order"} and {"versions", "trust"} <= short
    assert "versions" not in verdicts(GOOD, depth="handshake")


def test_a_whole_chain_that_is_the_deployed_one_passes() -> None:
    assert verdicts(GOOD, chains=((DIGEST, "ef" * 32),))["deployed_chain"] == "pass"


def test_an_overwritten_starttls_is_told_from_one_that_is_not_offered() -> None:
    facts = altered(smtp__starttls=False, smtp__ehlo=["PIPELINING", "XXXXXXXA"], tls=None)
    [finding] = [finding for finding in judge(facts, Expectation()) if finding["check"] == "starttls_offered"]
    assert (finding["verdict"], finding["observed"]) == ("fail", "EHLO offers XXXXXXXA where STARTTLS would stand: a device on the way overwrites it")


def test_smuggling_seen_from_the_host_itself_says_so() -> None:
    facts = altered(smtp__smuggling={"LF.LF": ACCEPTED}, vantage={"source": "127.0.0.1", "own": True})
    [finding] = [finding for finding in judge(facts, Expectation(smuggling=True)) if finding["check"] == "smuggling"]
    assert finding["observed"].endswith("(from the host itself, for which mynetworks may lift the protection)")


def test_checks_of_which_none_applies_are_none() -> None:
    assert applying("smtps", Expectation(checks=["auth_before_tls"])) == [] == judge(altered(target__protocol="smtps"), Expectation(checks=["auth_before_tls"]))
    assert applying("smtp", Expectation(checks=["auth_before_tls"])) == ["auth_before_tls"]


def test_digests_are_taken_with_colons_and_capitals() -> None:
    assert verdicts(GOOD, deployed=[":".join(["AB"] * 32)])["deployed_chain"] == "pass"


def test_the_text_names_target_check_what_was_seen_and_the_remedy_once_per_cause() -> None:
    results = [dict(facts, findings=judge(facts, Expectation())) for facts in (GOOD, UNREACHABLE)]
    text = report.explain(results)
    assert text.startswith("mx.example.org:25: reachable fail: nothing listens there. Expected: a greeting with 220")
    assert "Fix: " in text and "For the same reason unknown: starttls_offered, handshake" in text
    assert len(text.splitlines()) == 1 and report.explain(results[:1]) == ""
    assert endpoint("2001:db8::1", 25) == "[2001:db8::1]:25"


def by_default(_position: int, facts: dict) -> list:
    return judge(facts, Expectation())


def test_only_what_did_not_pass_is_looked_at_again_at_even_intervals() -> None:
    looks, slept, now = [], [], [100.0]

    def look_at(targets: list) -> list:
        looks.append(list(targets))
        now[0] += 2.0
        return [GOOD if target == "good" or len(looks) == 3 else UNREACHABLE for target in targets]

    means = polling.Means(look_at, by_default, clock=lambda: now[0], sleep=lambda seconds: (slept.append(seconds), now.__setitem__(0, now[0] + seconds)))
    results, attempts = polling.verify(["good", "late"], means, retries=5, delay=5.0)
    assert (looks, attempts, slept) == ([["good", "late"], ["late"], ["late"]], 3, [3.0, 3.0])
    assert not [finding for result in results for finding in report.failed(result["findings"])]


def test_polling_ends_when_the_retries_are_used_up_and_keeps_the_last_look() -> None:
    slept: list = []
    means = polling.Means(lambda targets: [UNREACHABLE] * len(targets), by_default, sleep=slept.append)
    results, attempts = polling.verify(["a"], means, retries=2, delay=0.0)
    assert (attempts, len(slept), results[0]["reachable"]) == (3, 2, False)


@pytest.mark.parametrize("options, told", [
    ({"retries": -1}, "retries = -1: it can't be less than none. Write 0 to look once."),
    ({"delay": -1.0}, "delay = -1.0: it has to be from 0 seconds to a day"),
    ({"delay": float("inf")}, "it has to be from 0 seconds to a day"),
    ({"delay": float("nan")}, "it has to be from 0 seconds to a day"),
])
def test_polling_that_cannot_be_is_refused_before_the_first_look(options: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        polling.verify(["a"], polling.Means(lambda targets: pytest.fail("it was looked"), by_default), **options)


def test_rows_that_share_a_name_never_apply_together() -> None:
    for facts in (GOOD, altered(target__protocol="smtps")):
        for starttls in (True, False):
            applied = [check.name for check in CHECKS if check.applies(facts, Expectation(starttls=starttls, **ALL))]
            assert len(applied) == len(set(applied))
