# SPDX-License-Identifier: GPL-3.0-or-later
"""Each finding has words, whatever could not be seen, and its remedy is about the fault at hand."""
from __future__ import annotations

import copy
from typing import Iterator

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import report
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from test_checks import ALL, GOOD, SECOND, UNREACHABLE, altered

#: Keys that are what the facts are about: a look always has them.
_ALWAYS = ("target",)


def paths(facts: object, at: tuple = ()) -> Iterator[tuple]:
    """Of everything that facts hold, as keys and positions."""
    for key in facts if isinstance(facts, dict) else range(len(facts)) if isinstance(facts, list) else ():
        yield (*at, key)
        yield from paths(facts[key], (*at, key))


def lacking(facts: dict, path: tuple, gone: bool) -> dict:
    """A copy where one thing is None, or gone."""
    made = copy.deepcopy(facts)
    at = made
    for key in path[:-1]:
        at = at[key]
    if gone:
        del at[path[-1]]
    else:
        at[path[-1]] = None
    return made


def findings(facts: dict, **expected: object) -> dict:
    return {finding["check"]: finding for finding in judge(facts, Expectation(**expected))}


SHAPES = {"seen": altered(chains=[*GOOD["chains"], SECOND]), "without TLS": altered(tls=None), "not reached": UNREACHABLE}
EXPECTATIONS = [{}, ALL, {"starttls": False}, {"profile": "modern"}, {"profile": "bsi_tr02102", "depth": "versions"}, {"depth": "handshake"}]


@pytest.mark.parametrize("gone", [False, True], ids=["None", "gone"])
@pytest.mark.parametrize("expected", EXPECTATIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_is_missing_every_finding_has_words_and_nothing_passes_for_it(shape: str, expected: dict, gone: bool) -> None:
    facts = SHAPES[shape]
    before = findings(facts, **expected)
    for path in paths(facts):
        if path[0] in _ALWAYS or path[0] == "chains" and isinstance(path[-1], int):  # a chain or certificate that is not there was not sent
            continue
        judged = judge(lacking(facts, path, gone), Expectation(**expected))
        for finding in judged:
            told = " ".join((finding["observed"], finding["expected"], finding["fix"] or ""))
            assert finding["observed"] and "None" not in told and "{" not in told, (path, finding)
            assert bool(finding["fix"]) is (finding["verdict"] != "pass"), (path, finding)
            assert finding["verdict"] != "pass" or before[finding["check"]]["verdict"] == "pass", (path, finding)
        assert "None" not in report.explain([dict(facts, findings=judged)]), path


def finding(check: str, facts: dict, **expected: object) -> tuple:
    found = findings(facts, **expected)[check]
    return found["verdict"], found["observed"], found["fix"]


IN_THE_CLEAR = [
    ("250 2.1.0 Ok", [], "fail"),
    ("530 5.7.0 Must issue a STARTTLS command first", [], "pass"),
    ("530 5.7.0 Must issue a STARTTLS command first", ["AUTH PLAIN"], "pass"),
    ("530 5.7.0 Must issue a STARTTLS command before authentication", ["AUTH PLAIN"], "pass"),
    ("550 5.7.9 Mail to submission port must be authenticated", [], "pass"),  # chasquid
    ("550 Administrative prohibition", [], "pass"),  # Exim, deny !encrypted
    ("451 4.7.1 Greylisted", [], "pass"),
    ("530 5.7.0 Authentication required", [], "pass"),
    ("530 5.7.0 Authentication required", ["AUTH PLAIN LOGIN"], "fail"),  # aiosmtpd, auth_required without auth_require_tls
    ("530 5.7.0 Authentication required", ["AUTH=LOGIN"], "fail"),
    ("535 5.7.8 Error: you have to log in at tls.example.org", ["AUTH PLAIN"], "unknown"),
    ("550 5.7.1 Encryption required", ["AUTH PLAIN"], "pass"),
    ("550 5.7.1 Sender rejected", ["AUTH PLAIN"], "unknown"),
    ("451 4.7.1 Greylisted", ["AUTH PLAIN"], "unknown"),
]


@pytest.mark.parametrize("reply, offered, verdict", IN_THE_CLEAR)
def test_mail_in_the_clear_is_what_is_taken_or_taken_from_who_logs_in(reply: str, offered: list, verdict: str) -> None:
    facts = altered(smtp__mail_before_tls=reply, smtp__ehlo=["STARTTLS", *offered])
    said, observed, fix = finding("mail_before_tls", facts)
    assert said == verdict and reply in observed
    assert fix is None or "smtpd_tls_security_level = encrypt" in fix


@pytest.mark.parametrize("error, told", [
    ("the name does not resolve: Name or service not known", "A or AAAA record"),
    ("192.0.2.1: cannot assign requested address", "source_address ="),
    ("the server turned us away: 554 5.7.1 go away", "smtpd_client_restrictions"),
    ("the server sent no SMTP reply when sending its banner: HTTP/1.1 400 Bad Request", "the port of an SMTP server"),
    ("no time was left for sending its banner: the limit is 20 s for everything", "protocol = smtps"),
    ("192.0.2.1: connection refused, nothing listens there", "inet_interfaces"),
])
def test_a_server_that_was_not_reached_is_told_what_to_do_about_the_reason(error: str, told: str) -> None:
    verdict, observed, fix = finding("reachable", dict(UNREACHABLE, error=error))
    assert (verdict, observed) == ("fail", error) and told in fix


@pytest.mark.parametrize("reason, told", [
    ("no time was left for replying to EHLO: the limit is 20 s for everything", "timeout: "),
    ("connection reset by peer instead of replying to MAIL", "nothing that was seen is wrong"),
])
def test_what_could_not_be_asked_is_not_told_to_be_mended(reason: str, told: str) -> None:
    verdict, observed, fix = finding("command_injection", altered(smtp__injected=None, error=reason))
    assert (verdict, observed) == ("unknown", reason) and fix.startswith(told)
