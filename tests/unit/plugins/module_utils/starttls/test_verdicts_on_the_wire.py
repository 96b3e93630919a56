# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a server does to what is said of it: each thing that is wrong fails the check for it, and only what hangs on it."""
from __future__ import annotations

import socket
import re
import ssl
import subprocess

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import smuggling
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import explain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.suites import SETS
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from issuing import issue
from servers import Behaviour, MailServer

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
MIDDLE = issue("intermediate", ROOT, authority=True)
LEAF = issue(NAME, MIDDLE)
OTHER = issue(NAME, MIDDLE)
EXPIRED = issue(NAME, MIDDLE, days=(-9, -1))
RSA = issue(NAME, MIDDLE, kind="rsa")
DH_PARAMETERS = subprocess.run(
    ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"], capture_output=True, text=True, check=True,
).stdout
SHA224 = issue(NAME, MIDDLE, digest=hashes.SHA224())
BEHIND_TLS = {
    "handshake", "trust", "name", "validity", "chain_order", "versions", "deployed_chain", "starttls_not_offered_again", "response_injection",
    "command_injection",
}


def good(**changes: object) -> Behaviour:
    return Behaviour(**{"chain": LEAF, "more": (MIDDLE,), **changes})


def strict(**changes: object) -> Behaviour:
    """Good enough for a guideline, and for submission."""
    return good(**{"suites": "ECDHE+AESGCM:ECDHE+CHACHA20", "curve": "prime256v1", "mail": b"530 5.7.0 Must issue a STARTTLS command first\r\n", **changes})


def look(behaviour: Behaviour, deployed: str = LEAF.sha256, **expected: object) -> dict:
    """Facts with findings of one look at a server that behaves so."""
    expectation = Expectation(deployed=[deployed], **expected)
    asked: dict = {}
    if expectation.profile:
        asked = {"sets": {"forbidden": expectation.forbidden_suites(), "dhe": SETS["dhe"]}, "groups": expectation.forbidden_groups()}
    if expectation.smuggling:
        asked["smuggling_recipient"] = "test@example.org"
    with MailServer(behaviour) as server:
        target = Target("127.0.0.1", server.port, "submission" if expectation.profile else "smtp", NAME)
        facts = probe(target, Look(ca_content=ROOT.pem, timeout=5.0, **asked))
        return dict(facts, findings=judge(facts, expectation), connections=server.connections)


def look_strictly(behaviour: Behaviour, profile: str = "ncsc_2025") -> dict:
    return look(behaviour, profile=profile, smuggling=True)


def old_flight(client_hello: bytes) -> bytes | None:
    """A TLS 1.2 flight with compression, and with neither extended master secret nor secure renegotiation, for whoever offers compression."""
    at = 43 + 1 + client_hello[43]  # behind the session id
    at += 2 + int.from_bytes(client_hello[at:at + 2], "big")  # and the suites
    if client_hello[at:at + 3] != b"\x02\x01\x00" or b"\xc0\x2c" not in client_hello[44:at]:
        return None
    hello = b"\x03\x03" + bytes(32) + b"\x00" + b"\xc0\x2c" + b"\x01"
    chain = b"".join(len(der).to_bytes(3, "big") + der for der in (issued.certificate.public_bytes(Encoding.DER) for issued in (LEAF, MIDDLE)))
    parts = ((2, hello), (11, len(chain).to_bytes(3, "big") + chain), (14, b""))
    messages = b"".join(bytes([kind]) + len(body).to_bytes(3, "big") + body for kind, body in parts)
    return b"\x16\x03\x03" + len(messages).to_bytes(2, "big") + messages


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smuggling, "_PATIENCE", 0.2)


def named(result: dict, verdict: str) -> set:
    return {finding["check"] for finding in result["findings"] if finding["verdict"] == verdict}


def alert(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x50")


WRONG = {
    "no STARTTLS": (Behaviour(), {"starttls_offered"}, BEHIND_TLS),
    "454": (good(starttls=b"454 4.7.0 TLS not available\r\n"), {"handshake"}, BEHIND_TLS - {"handshake", "response_injection"}),
    "the intermediate first": (good(more=(ROOT, MIDDLE)), {"chain_order"}, set()),
    "injected within TLS": (good(obeys_injected=True), {"command_injection"}, set()),
    "421 to STARTTLS": (good(starttls=b"421 4.7.0 too many\r\n"), set(), BEHIND_TLS),
    "an alert": (good(at_tls=alert), {"handshake"}, BEHIND_TLS - {"handshake", "response_injection"}),
    "gone at the handshake": (good(at_tls=lambda connection: None), set(), BEHIND_TLS - {"response_injection"}),
    "turned away": (good(banner=b"554 5.7.1 no\r\n"), {"reachable"}, BEHIND_TLS | {"starttls_offered", "auth_before_tls"}),
    "AUTH before TLS": (good(ehlo=(b"AUTH PLAIN LOGIN",)), {"auth_before_tls"}, set()),
    "STARTTLS within TLS": (good(ehlo_after=(b"PIPELINING", b"STARTTLS")), {"starttls_not_offered_again"}, set()),
    "injected": (good(starttls=b"220 go\r\n250 injected\r\n"), {"response_injection"}, set()),
    "old versions too": (good(versions=(ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3)), {"versions"}, set()),
    "expired": (good(chain=EXPIRED), {"trust", "validity", "deployed_chain"}, set()),
    "not valid yet": (good(chain=issue(NAME, MIDDLE, days=(1, 9))), {"trust", "validity", "deployed_chain"}, set()),
    "the wrong name": (good(chain=issue("mx.example.net", MIDDLE)), {"name", "deployed_chain"}, set()),
    "an unknown CA": (good(chain=issue(NAME, issue("stranger", authority=True)), more=()), {"trust", "deployed_chain"}, set()),
    "self-signed": (good(chain=issue(NAME), more=()), {"trust", "deployed_chain"}, set()),
    "no intermediate": (good(more=()), {"trust"}, set()),
    "not the deployed one": (good(chain=OTHER), {"deployed_chain"}, set()),
}


#: By a guideline, and with smuggling asked about.
WEAK = {
    "suites": (strict(suites="ECDHE+AES"), {"suites"}),
    "a suite with DHE": (strict(suites="ECDHE+AESGCM:DHE+AESGCM", chain=RSA, dh_parameters=DH_PARAMETERS), {"dh_size", "deployed_chain"}),
    "groups": (strict(curve="secp521r1"), {"groups"}, "intermediate"),
    "a signature with SHA-1": (strict(suites="ECDHE+AESGCM:@SECLEVEL=0", chain=RSA), {"signatures", "deployed_chain"}),
    "a small key": (strict(chain=RSA, suites="ECDHE+AESGCM"), {"key", "deployed_chain"}, "bsi_tr02102"),
    "a certificate signed with SHA-224": (strict(chain=SHA224, suites="ECDHE+AESGCM"), {"certificate_signature", "deployed_chain"}, "bsi_tr02102"),
    "what only old libraries do": (strict(hello=old_flight), {"extended_master_secret", "secure_renegotiation", "compression"}),
    "the client's order": (strict(own_order=False), {"server_order"}),
    "MAIL before TLS by who logs in": (
        strict(mail=b"530 5.7.0 Authentication required\r\n", ehlo=(b"AUTH PLAIN",)), {"mail_before_tls", "auth_before_tls"}),
    "MAIL before TLS": (strict(mail=b"250 2.1.0 Ok\r\n"), {"mail_before_tls"}),
    "another end of a message": (strict(ends=(b"\r\n.\r\n", b"\n.\n")), {"smuggling"}),
}


def test_a_healthy_server_passes_every_check_within_sixteen_connections() -> None:
    result = look_strictly(strict())
    assert named(result, "pass") == set(CHECK_NAMES), explain([result])
    assert result["connections"] <= 16 + len(smuggling.ENDS)
    assert explain([result]) == ""


@pytest.mark.parametrize("case", WEAK)
def test_what_a_guideline_does_not_have_fails_the_check_for_it(case: str) -> None:
    behaviour, fails, *profile = WEAK[case]
    result = look_strictly(behaviour, *profile)
    assert (named(result, "fail"), named(result, "unknown")) == (fails, set()), explain([result])


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_wrong_fails_and_what_could_not_be_seen_is_unknown(case: str) -> None:
    behaviour, fails, unknown = WRONG[case]
    result = look(behaviour)
    assert (named(result, "fail"), named(result, "unknown")) == (fails, unknown), explain([result])
    assert result["connections"] <= 16


def test_each_check_was_seen_to_fail_on_the_wire() -> None:
    assert set().union(*(row[1] for row in (*WRONG.values(), *WEAK.values()))) == set(CHECK_NAMES)


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_text_says_where_what_was_seen_and_what_to_write(case: str) -> None:
    result = look(WRONG[case][0])
    for line in explain([result]).splitlines():
        assert line.startswith("127.0.0.1:%d: " % result["target"]["port"]) and " Expected: " in line and " Fix: " in line
        assert line.isascii() and line.isprintable()
    told = explain([result])
    assert all(name in told for name in named(result, "fail") | named(result, "unknown"))


def test_an_expired_certificate_is_the_only_thing_wrong_where_trust_is_not_asked_for() -> None:
    result = look(good(chain=EXPIRED), deployed=EXPIRED.sha256, trust=False)
    assert (named(result, "fail"), named(result, "unknown")) == ({"validity"}, set())
    assert re.search(r"ended \d{4}-\S+Z, \d days? ago", explain([result]))


def test_days_that_are_left_are_counted_for_the_intermediate_too() -> None:
    short = issue("short", ROOT, authority=True, days=(-1, 10))
    leaf = issue(NAME, short)
    for days, fails in ((9, set()), (10, {"validity"})):
        assert named(look(good(chain=leaf, more=(short,)), deployed=leaf.sha256, min_days_left=days), "fail") == fails


def test_an_old_root_that_is_sent_along_is_not_judged_by_its_days() -> None:
    root = issue("own root", authority=True, days=(-1, 3))
    leaf = issue(NAME, root)
    with MailServer(good(chain=leaf, more=(root,))) as server:
        facts = probe(Target("127.0.0.1", server.port, server_name=NAME), Look(ca_content=root.pem, timeout=5.0))
    assert len(facts["certificates"]) == 2
    assert {finding["check"]: finding["verdict"] for finding in judge(facts, Expectation(min_days_left=20))}["validity"] == "pass"
