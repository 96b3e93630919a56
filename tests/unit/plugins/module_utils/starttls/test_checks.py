# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check passes on what is good, fails on what is bad, and what could not be seen never passes."""
from __future__ import annotations

import copy

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import polling, report
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, CHECKS, Expectation, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

DIGEST = "ab" * 32
GOOD = {
    "target": {"host": "mx.example.org", "port": 25, "protocol": "smtp", "server_name": "mx.example.org", "address": "192.0.2.1"},
    "reachable": True,
    "error": None,
    "smtp": {
        "banner": "220 mx.example.org ESMTP", "ehlo": ["PIPELINING", "STARTTLS"], "starttls": True, "starttls_reply": "220 go",
        "after_starttls": None, "ehlo_after_tls": ["PIPELINING", "AUTH PLAIN"],
    },
    "tls": {
        "handshake": "done", "reason": None, "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384",
        "versions": {name: {"verdict": "accepted" if name > "TLSv1.1" else "refused", "reason": "it said so"} for name in NAMES},
        "trust": {"verdict": "pass", "reason": "trusted"}, "name": {"verdict": "pass", "reason": "named"},
    },
    "certificates": [{
        "sha256": DIGEST, "subject": "CN=mx.example.org", "self_signed": False, "not_before": "2020-01-01T00:00:00Z",
        "not_after": "2099-01-01T00:00:00Z", "days_left": 30,
    }],
}
UNREACHABLE = dict(
    GOOD, reachable=False, error="nothing listens there", tls=None, certificates=[], smtp=dict.fromkeys(GOOD["smtp"]),
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


BAD = [
    ("reachable", UNREACHABLE, {}, "fail"),
    ("starttls_offered", altered(smtp__starttls=False, tls=None), {}, "fail"),
    ("starttls_offered", GOOD, {"starttls": False}, "fail"),
    ("handshake", altered(tls__handshake="refused", tls__reason="454"), {}, "fail"),
    ("handshake", altered(tls__handshake="unknown", tls__reason="closed"), {}, "unknown"),
    ("trust", altered(tls__trust={"verdict": "fail", "reason": "self-signed"}), {}, "fail"),
    ("name", altered(tls__name={"verdict": "fail", "reason": "other"}), {}, "fail"),
    ("name", altered(tls__name={"verdict": "unknown", "reason": "unread"}), {}, "unknown"),
    ("validity", GOOD, {"min_days_left": 31}, "fail"),
    ("validity", altered(certificates__0__days_left=-1), {}, "fail"),
    ("validity", altered(certificates__0__not_before="2098-01-01T00:00:00Z"), {}, "fail"),
    ("validity", altered(certificates__0__days_left=None), {}, "unknown"),
    ("versions", with_version("TLSv1.1", "accepted"), {}, "fail"),
    ("versions", GOOD, {"floor": "TLSv1.3"}, "fail"),
    ("versions", with_version("SSLv3", "unknown"), {}, "unknown"),
    ("versions", altered(tls__versions={}), {}, "unknown"),
    ("versions", altered(tls__versions={name: {"verdict": "refused", "reason": "no"} for name in NAMES}), {}, "fail"),
    ("deployed_chain", GOOD, {"deployed": ["cd" * 32]}, "fail"),
    ("starttls_not_offered_again", altered(smtp__ehlo_after_tls=["STARTTLS"]), {}, "fail"),
    ("starttls_not_offered_again", altered(smtp__ehlo_after_tls=None), {}, "unknown"),
    ("auth_before_tls", altered(smtp__ehlo=["AUTH=LOGIN", "STARTTLS"]), {}, "fail"),
    ("response_injection", altered(smtp__after_starttls="250 injected"), {}, "fail"),
]


def test_a_good_server_passes_every_check_there_is() -> None:
    assert verdicts(GOOD, deployed=[DIGEST]) == dict.fromkeys(CHECK_NAMES, "pass")


@pytest.mark.parametrize("check, facts, expected, verdict", BAD, ids=["%s-%s" % (row[0], row[3]) for row in BAD])
def test_a_bad_server_does_not_pass(check: str, facts: dict, expected: dict, verdict: str) -> None:
    assert verdicts(facts, **expected)[check] == verdict
    finding = next(finding for finding in judge(facts, Expectation(**expected)) if finding["check"] == check)
    assert finding["fix"] and finding["observed"] and finding["expected"] and finding["reference"]


def test_each_check_has_been_seen_to_fail() -> None:
    assert {row[0] for row in BAD if row[3] == "fail"} == set(CHECK_NAMES)


def test_of_a_server_that_was_not_reached_nothing_passes() -> None:
    seen = verdicts(UNREACHABLE, deployed=[DIGEST])
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
])
def test_an_expectation_that_could_not_fail_is_refused(expected: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        Expectation(**expected)


def test_checks_of_which_none_applies_are_refused() -> None:
    with pytest.raises(PostfixTlsError, match="none of them applies to protocol smtps"):
        judge(altered(target__protocol="smtps"), Expectation(checks=["auth_before_tls"]))


def test_digests_are_taken_with_colons_and_capitals() -> None:
    assert verdicts(GOOD, deployed=[":".join(["AB"] * 32)])["deployed_chain"] == "pass"


def test_the_text_names_target_check_what_was_seen_and_the_remedy_once_per_cause() -> None:
    results = [dict(facts, findings=judge(facts, Expectation())) for facts in (GOOD, UNREACHABLE)]
    text = report.explain(results)
    assert text.startswith("mx.example.org:25: reachable fail: nothing listens there. Expected: a greeting with 220")
    assert "Fix: " in text and "For the same reason unknown: starttls_offered, handshake" in text
    assert len(text.splitlines()) == 1 and report.explain(results[:1]) == ""
    assert report.where({"host": "2001:db8::1", "port": 25}) == "[2001:db8::1]:25"


def test_only_what_did_not_pass_is_looked_at_again_at_even_intervals() -> None:
    looks, slept, now = [], [], [100.0]

    def look_at(targets: list) -> list:
        looks.append(list(targets))
        now[0] += 2.0
        return [GOOD if target == "good" or len(looks) == 3 else UNREACHABLE for target in targets]

    means = polling.Means(look_at, clock=lambda: now[0], sleep=lambda seconds: (slept.append(seconds), now.__setitem__(0, now[0] + seconds)))
    results, attempts = polling.verify(["good", "late"], Expectation(), means, retries=5, delay=5.0)
    assert (looks, attempts, slept) == ([["good", "late"], ["late"], ["late"]], 3, [3.0, 3.0])
    assert not [finding for result in results for finding in report.failed(result["findings"])]


def test_polling_ends_when_the_retries_are_used_up_and_keeps_the_last_look() -> None:
    slept: list = []
    means = polling.Means(lambda targets: [UNREACHABLE] * len(targets), sleep=slept.append)
    results, attempts = polling.verify(["a"], Expectation(), means, retries=2, delay=0.0)
    assert (attempts, len(slept), results[0]["reachable"]) == (3, 2, False)


@pytest.mark.parametrize("options, told", [
    ({"retries": -1}, "retries = -1: it can't be less than none. Write 0 to look once."),
    ({"delay": -1.0}, "delay = -1.0: it has to be from 0 seconds to a day"),
    ({"delay": float("inf")}, "it has to be from 0 seconds to a day"),
    ({"delay": float("nan")}, "it has to be from 0 seconds to a day"),
])
def test_polling_that_cannot_be_is_refused_before_the_first_look(options: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        polling.verify(["a"], Expectation(), polling.Means(lambda targets: pytest.fail("it was looked")), **options)


def test_rows_that_share_a_name_never_apply_together() -> None:
    for facts in (GOOD, altered(target__protocol="smtps")):
        for starttls in (True, False):
            applied = [check.name for check in CHECKS if check.applies(facts, Expectation(starttls=starttls, deployed=[DIGEST]))]
            assert len(applied) == len(set(applied))
