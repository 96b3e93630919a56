# SPDX-License-Identifier: GPL-3.0-or-later
"""What deeper looks add: both chains of a server, every suite and group it has, whose order counts; and what a look may cost."""
from __future__ import annotations

import ssl
import threading
import time

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import handshake, session
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.suites import BY_NAME
from issuing import Issued, issue
from servers import Behaviour, MailServer

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
LEAF, RSA = issue(NAME, ROOT), issue(NAME, ROOT, kind="rsa")


def see(behaviour: Behaviour, **look: object) -> dict:
    with MailServer(behaviour) as server:
        facts = probe(Target(NAME, server.port, address="127.0.0.1"), Look(**{"ca_content": ROOT.pem, "timeout": 10.0, **look}))
        facts["connections"] = server.connections
        return facts


def verdict(facts: dict, check: str, **expected: object) -> tuple:
    return next((finding["verdict"], finding["observed"]) for finding in judge(facts, Expectation(**expected)) if finding["check"] == check)


def test_a_server_with_two_certificates_is_seen_with_both_and_each_is_judged() -> None:
    facts = see(Behaviour(chain=LEAF, second=RSA))
    assert {(chain["algorithm"], chain["trust"]["verdict"], chain["certificates"][0]["sha256"]) for chain in facts["chains"]} == {
        ("ECDSA", "pass", LEAF.sha256), ("RSA", "pass", RSA.sha256),
    }
    assert all(chain["connections"] >= 2 and chain["ordered"] for chain in facts["chains"]) and facts["connections"] <= 16
    assert verdict(facts, "deployed_chain", deployed=[LEAF.sha256, RSA.sha256])[0] == "pass"
    used = {algorithm: facts["tls"]["signatures"][algorithm]["reason"] for algorithm in ("ECDSA", "RSA")}
    assert used == {"ECDSA": "ecdsa_secp256r1_sha256", "RSA": "rsa_pss_rsae_sha256"}


@pytest.mark.parametrize("stranger, check", [
    (issue(NAME, issue("stranger", authority=True), kind="rsa"), "trust"),
    (issue("mx.example.net", ROOT, kind="rsa"), "name"),
    (issue(NAME, ROOT, kind="rsa", days=(-9, -1)), "validity"),
])
def test_a_fault_of_the_second_certificate_alone_is_found(stranger: Issued, check: str) -> None:
    facts = see(Behaviour(chain=LEAF, second=stranger))
    assert verdict(facts, check)[0] == "fail", facts["chains"]
    assert facts["smtp"]["injected"] is False and facts["connections"] <= 16


def test_every_suite_and_group_is_listed_in_the_server_s_order() -> None:
    facts = see(Behaviour(chain=RSA, suites="ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:AES256-SHA256", curve="prime256v1"), depth="full")
    accepted = facts["tls"]["accepted"]
    expected = ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA256", "AES256-SHA256")
    assert accepted["suites"]["TLSv1.2"] == [BY_NAME[name].name for name in expected]
    assert set(accepted["suites"]) == {"TLSv1.2", "TLSv1.3"} and "TLS_AES_256_GCM_SHA384" in accepted["suites"]["TLSv1.3"]
    assert accepted["groups"] == {"TLSv1.2": ["prime256v1"], "TLSv1.3": ["prime256v1"]} and accepted["complete"] is True
    assert facts["tls"]["suites"]["static_rsa"] == {"verdict": "accepted", "reason": "TLS_RSA_WITH_AES_256_CBC_SHA256"}


def test_a_list_that_broke_off_says_so() -> None:
    behaviour, served = Behaviour(chain=RSA), []

    def leave_after_a_while(_client_hello: bytes) -> None:
        served.append(1)
        if len(served) > 20:
            raise OSError

    behaviour.hello = leave_after_a_while
    assert see(behaviour, depth="full")["tls"]["accepted"]["complete"] is False


@pytest.mark.parametrize("own_order, told", [(True, "server"), (False, "client")])
def test_whose_order_counts_is_seen(own_order: bool, told: str) -> None:
    assert see(Behaviour(chain=LEAF, own_order=own_order))["tls"]["order"]["verdict"] == told


@pytest.mark.parametrize("odd", [issue(NAME, ROOT), issue(NAME)], ids=["stale", "untrusted"])
def test_another_leaf_is_found_on_every_connection_that_shows_one(odd: Issued) -> None:
    found = set()
    for nth in range(1, 15):
        facts = see(Behaviour(chain=LEAF, changing=lambda number, nth=nth: odd if number == nth else None))
        findings = {finding["check"]: finding["verdict"] for finding in judge(facts, Expectation(deployed=[LEAF.sha256]))}
        if "fail" in (findings["deployed_chain"], findings["trust"]):
            found.add(nth)
        else:
            assert odd.sha256 not in str(facts), (nth, facts["chains"])  # a refused ClientHello shows no certificate
    assert len(found) >= 4 and 1 in found, found


def test_of_tls_1_3_alone_both_connections_with_a_handshake_are_compared() -> None:
    only = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    old = issue(NAME, ROOT)
    facts = see(Behaviour(chain=LEAF, versions=only, changing=lambda number: old if number > 1 else None))
    assert verdict(facts, "deployed_chain", deployed=[LEAF.sha256])[0] == "fail"


def test_the_trust_of_one_leaf_is_not_that_of_another_of_its_algorithm() -> None:
    stranger = issue(NAME, kind="rsa")
    facts = see(Behaviour(chain=LEAF, second=RSA, changing=lambda number: stranger if number == 6 else None))
    assert verdict(facts, "trust")[0] != "pass" or len(facts["chains"]) == 2


def test_a_second_certificate_is_judged_where_words_in_the_clear_are_refused() -> None:
    facts = see(Behaviour(chain=LEAF, second=RSA, refuses_injected=b"554 5.5.0 no\r\n"))
    assert verdict(facts, "trust")[0] == "pass" and facts["smtp"]["injected"] is False and facts["connections"] <= 16


def test_whether_words_in_the_clear_are_obeyed_is_unknown_where_tls_was_refused_for_another_reason() -> None:
    behaviour = Behaviour(chain=LEAF, obeys_injected=True)
    with MailServer(behaviour) as server:
        behaviour.hello = lambda _hello: setattr(behaviour, "starttls", b"454 no\r\n") if server.connections > 9 else None
        facts = probe(Target("127.0.0.1", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=10.0))
    assert facts["smtp"]["injected"] in (None, True) and verdict(facts, "command_injection")[0] != "pass"


def test_where_python_tells_only_the_leaf_a_short_look_knows_no_more_and_a_standard_one_reads_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_certificates", lambda done: ([done.getpeercert(binary_form=True)], False))
    only = Behaviour(chain=LEAF, more=(ROOT,), versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3))
    short, deployed = see(only, depth="handshake"), {"chains": ((LEAF.sha256, ROOT.sha256),)}
    assert [chain["whole"] for chain in short["chains"]] == [False] and verdict(short, "deployed_chain", **deployed)[0] == "unknown"
    assert verdict(short, "chain_order")[0] == "unknown"
    for behaviour in (only, Behaviour(chain=LEAF, more=(ROOT,))):
        facts = see(behaviour)
        assert [chain["whole"] for chain in facts["chains"]] == [True]
        assert (verdict(facts, "chain_order")[0], verdict(facts, "deployed_chain", **deployed)[0]) == ("pass", "pass")


def test_a_wrapped_service_that_turns_us_away_is_not_reachable() -> None:
    with MailServer(Behaviour(chain=LEAF, implicit=True, banner=b"554 5.7.1 no\r\n")) as server:
        facts = probe(Target("127.0.0.1", server.port, "smtps", NAME), Look(ca_content=ROOT.pem, timeout=10.0))
    assert verdict(facts, "reachable")[0] == "fail"


def test_a_short_look_can_pass() -> None:
    for depth in ("handshake", "versions"):
        facts = see(Behaviour(chain=LEAF, second=RSA), depth=depth)
        assert {finding["verdict"] for finding in judge(facts, Expectation(depth=depth))} == {"pass"}


def test_of_tls_1_3_alone_nothing_older_is_asked_in_vain() -> None:
    facts = see(Behaviour(chain=LEAF, versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)))
    assert {answer["verdict"] for answer in facts["tls"]["suites"].values()} == {"refused"} and facts["tls"]["order"] is None
    assert facts["tls"]["versions"]["TLSv1.2"]["verdict"] == "refused" and facts["connections"] <= 11


def test_a_server_that_speaks_tls_1_2_at_most_is_asked_about_1_3_with_every_group() -> None:
    facts = see(Behaviour(chain=LEAF, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)))
    assert facts["tls"]["versions"]["TLSv1.3"]["verdict"] == "refused" and facts["tls"]["groups"]["X25519MLKEM768"]["verdict"] == "refused"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_what_speaks_tls_1_1_at_most_signs_with_sha_1() -> None:
    facts = see(Behaviour(chain=LEAF, versions=(ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)))
    assert facts["tls"]["signatures"]["weak"]["verdict"] == "accepted"
    assert verdict(facts, "signatures", profile="ncsc_2025")[0] == "fail"


def test_no_more_connections_are_made_than_allowed_and_what_was_not_asked_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST_CONNECTIONS", 8)
    facts = see(Behaviour(chain=LEAF))
    assert facts["connections"] == 8
    assert any("more than 8 connections" in answer["reason"] and answer["verdict"] == "unknown" for answer in facts["tls"]["suites"].values())


def test_at_most_four_connections_are_open_at_a_time() -> None:
    open_now, most, lock = [0], [0], threading.Lock()

    def counted(_client_hello: bytes) -> None:
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        time.sleep(0.05)
        with lock:
            open_now[0] -= 1

    see(Behaviour(chain=LEAF, hello=counted))
    assert 2 <= most[0] <= 4


@pytest.mark.parametrize("refusal", [b"554 5.5.0 Error: improper command pipelining\r\n", b"220 go\r\n"])
@pytest.mark.parametrize("leaf, trust", [(LEAF, "pass"), (issue(NAME), "fail")])
def test_a_server_that_breaks_off_at_words_in_the_clear_is_protected_and_seen_whole(refusal: bytes, leaf: Issued, trust: str) -> None:
    facts = see(Behaviour(chain=leaf, refuses_injected=refusal))
    assert facts["smtp"]["injected"] is False and facts["connections"] <= 16
    assert (facts["tls"]["handshake"], facts["tls"]["trust"]["verdict"]) == ("done", trust)


@pytest.mark.parametrize("protocol, told, said", [("submission", "530 5.7.0 no", {b"MAIL", b"RSET"}), ("smtp", None, set())])
def test_mail_before_tls_is_asked_for_on_submission_alone_and_nothing_is_sent(protocol: str, told: str, said: set) -> None:
    with MailServer(Behaviour(chain=LEAF, mail=b"530 5.7.0 no\r\n")) as server:
        facts = probe(Target("127.0.0.1", server.port, protocol, NAME), Look(ca_content=ROOT.pem, timeout=10.0))
    assert facts["smtp"]["mail_before_tls"] == told
    verbs = {command.split(b" ")[0] for command in server.commands}
    assert verbs - {b"EHLO", b"STARTTLS", b"NOOP", b"QUIT", b""} == said


def certificate_flight(*certificates: bytes) -> bytes:
    listed = b"".join(len(der).to_bytes(3, "big") + der for der in certificates)
    hello = b"\x03\x03" + bytes(32) + b"\x00" + b"\xc0\x2b" + b"\x00"
    body = len(listed).to_bytes(3, "big") + listed
    messages = b"".join(bytes([kind]) + len(part).to_bytes(3, "big") + part for kind, part in ((2, hello), (11, body), (14, b"")))
    pieces = [messages[at:at + 16384] for at in range(0, len(messages), 16384)]
    return b"".join(b"\x16\x03\x03" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


HOSTILE = {
    "oversized certificates": certificate_flight(b"\x30" * 70000),
    "more certificates than fit": certificate_flight(*[b"\x30\x80" * 20000] * 5),
    "hostile ASN.1": certificate_flight(b"\x30\x84\xff\xff\xff\xff" + b"\x30\x80" * 500),
    "nesting without end": certificate_flight(b"\x30\x83\x00\xff\xf0" + b"\x30\x83\x00\xff\x00" * 900),
    "an empty certificate": certificate_flight(b""),
    "no certificate": certificate_flight(),
    "a record of another length": b"\x16\x03\x03\xff\xff" + b"\x00" * 99,
    "garbage": b"\x00\xff\x80" * 400,
    "a flight that stops": certificate_flight(b"\x30" * 900)[:300],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_flights_are_facts_or_unknown_in_bounded_time_and_text(case: str) -> None:
    facts = see(Behaviour(chain=LEAF, hello=lambda hello: HOSTILE[case] if b"\x02\x01\x00" in hello[76:] else None), timeout=4.0)
    findings = judge(facts, Expectation(deployed=[LEAF.sha256], profile="ncsc_2025"))
    assert facts["tls"]["handshake"] == "done" and facts["tls"]["trust"]["verdict"] == "pass"
    key = next(finding["verdict"] for finding in findings if finding["check"] == "key")
    assert key == "unknown"  # whatever it is, it does not tell that there is no second certificate
    assert len(str(facts)) < 400000 and str(facts).isprintable() and str(facts).isascii()


@pytest.mark.parametrize("options, told", [
    ({"depth": "deepest"}, "depth = deepest: it is none of handshake, versions, standard, full"),
    ({"smuggling_recipient": "nobody"}, "that is no mail address"),
    ({"smuggling_recipient": "a@b>\r\nDATA"}, "that is no mail address"),
])
def test_a_look_that_cannot_be_is_refused(options: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        Look(**options)


@pytest.mark.parametrize("depth, verdict, told", [
    ("standard", "pass", "are listed and judged at depth full"), ("full", "fail", "TLS_CHACHA20_POLY1305_SHA256"),
])
def test_suites_of_tls_1_3_are_judged_where_they_are_listed(depth: str, verdict: str, told: str) -> None:
    """BSI TR-02102-2 has no ChaCha20, and OpenSSL offers it by default."""
    expected = Expectation(profile="bsi_tr02102", depth=depth)
    with MailServer(Behaviour(chain=LEAF, versions=(ssl.TLSVersion.TLSv1_3,) * 2)) as server:
        facts = probe(Target("127.0.0.1", server.port, server_name=NAME), Look(depth=depth, timeout=10.0, **expected.questions()))
    [finding] = [finding for finding in judge(facts, expected) if finding["check"] == "suites"]
    assert finding["verdict"] == verdict and told in finding["observed"], finding
    assert verdict == "pass" or "Ciphersuites" in finding["fix"]
