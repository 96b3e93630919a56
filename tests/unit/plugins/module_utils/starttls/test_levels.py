# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust is that of Postfix's client at verify, secure and dane, at OpenSSL's security level 1; what it would be at may and encrypt is told beside it.

That Postfix finds the same is shown with posttls-finger of four releases by the scenario certificates. The proof in memory agrees with the look in each row.
"""
from __future__ import annotations

import ssl

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import Demand, outcome
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from cryptography.hazmat.primitives import hashes
from issuing import issue, signed_with
from servers import Behaviour, MailServer

NAME = "mx.example.org"
ROOT = issue("root", authority=True, kind="rsa")
MIDDLE = issue("middle", ROOT, authority=True, kind="rsa")
WEAK_MIDDLE = signed_with(hashes.SHA1(), MIDDLE, ROOT)
WEAK_ROOT = signed_with(hashes.MD5(), ROOT, ROOT)
LEAF = issue(NAME, MIDDLE)
#: From OpenSSL 3.0 on SHA-1 is below 80 bits, and MD5 always was.
SINCE_3 = ssl.OPENSSL_VERSION_INFO >= (3, 0)


#: (leaf, what is behind it, whether it is trusted at level 1, and at level 0)
CHAINS = {
    "strong": (LEAF, (MIDDLE,), True, True),
    "leaf signed with SHA-1": (signed_with(hashes.SHA1(), LEAF, MIDDLE), (MIDDLE,), not SINCE_3, True),
    "leaf signed with MD5": (signed_with(hashes.MD5(), LEAF, MIDDLE), (MIDDLE,), False, True),
    "intermediate signed with SHA-1": (LEAF, (WEAK_MIDDLE,), not SINCE_3, True),
    "root signed with MD5, sent along": (LEAF, (MIDDLE, WEAK_ROOT), True, True),
    "SHA-1, and expired": (signed_with(hashes.SHA1(), issue(NAME, MIDDLE, days=(-9, -1)), MIDDLE), (MIDDLE,), False, False),
    "SHA-1, and of a stranger": (
        signed_with(hashes.SHA1(), issue(NAME, STRANGER := issue("stranger", authority=True, kind="rsa")), STRANGER), (STRANGER,), False, False),
}


@pytest.mark.parametrize("depth", ["handshake", "versions", "standard"])
@pytest.mark.parametrize("case", CHAINS)
def test_trust_is_judged_at_level_1_and_told_for_level_0(case: str, depth: str) -> None:
    leaf, more, secure, may = CHAINS[case]
    facts, connections = see(Behaviour(chain=leaf, more=more), depth)
    tls = facts["tls"]
    assert (tls["trust"]["verdict"] == "pass", tls["trust_at_may"]["verdict"] == "pass") == (secure, may), tls
    assert tls["handshake"] == "done" and len(facts["certificates"]) == 1 + len(more)
    usual = {"handshake": 1, "versions": 5, "standard": 15}[depth]
    assert connections <= usual + (not secure) + (secure is not may), connections
    assert connections <= 16
    [finding] = [finding for finding in judge(facts, Expectation(depth=depth)) if finding["check"] == "trust"]
    assert finding["verdict"] == ("pass" if secure else "fail") and (secure or finding["fix"])
    if may and not secure:
        assert "too weak" in finding["observed"] and "SHA-256" in finding["fix"]


@pytest.mark.parametrize("case", CHAINS)
def test_the_proof_in_memory_says_the_same(case: str, tmp_path) -> None:
    leaf, more, secure, _may = CHAINS[case]
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    chain = pem.chain("default", leaf.key_pem(), leaf.pem + "".join(issued.pem for issued in more))
    if secure:
        assert proof.prove(chain, [NAME], str(tmp_path / "root.pem")) is True
    else:
        with pytest.raises(PostfixTlsError):
            proof.prove(chain, [NAME], str(tmp_path / "root.pem"))


@pytest.mark.parametrize("case", CHAINS)
def test_mail_is_said_to_be_delivered_where_postfix_delivers_it(case: str) -> None:
    leaf, more, secure, may = CHAINS[case]
    facts, _connections = see(Behaviour(chain=leaf, more=more), "versions")
    words = {level: outcome(Demand(level, (NAME,), nexthop=NAME, protocols=">=TLSv1.2"), facts) for level in ("may", "encrypt", "verify", "secure")}
    assert {level: (found.delivered, found.word) for level, found in words.items()} == {
        **dict.fromkeys(("may", "encrypt"), (True, "Trusted" if may else "Untrusted")),
        **dict.fromkeys(("verify", "secure"), (secure, "Verified" if secure else "Untrusted")),
    }


@pytest.mark.skipif(not SINCE_3, reason="before OpenSSL 3.0 level 1 has TLS 1.0")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("depth", ["handshake", "versions", "standard"])
def test_a_server_that_level_1_can_not_speak_with_is_seen_at_level_0(depth: str) -> None:
    old = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    facts, connections = see(Behaviour(chain=LEAF, more=(MIDDLE,), versions=old), depth)
    tls = facts["tls"]
    assert (tls["handshake"], tls["version"], tls["trust"]["verdict"], tls["trust_at_may"]["verdict"]) == ("done", "TLSv1.1", "fail", "pass")
    assert tls["trust"]["reason"].startswith("at security level 1 no handshake comes about: ") and connections <= 16
    assert facts["certificates"][0]["sha256"] == LEAF.sha256


def test_a_server_that_lets_no_handshake_through_is_asked_once_more_at_most() -> None:
    facts, connections = see(Behaviour(chain=LEAF, at_tls=lambda connection: connection.close()), "handshake")
    assert facts["tls"]["handshake"] != "done" and facts["tls"]["trust"]["verdict"] == "unknown" and connections == 2


def see(behaviour: Behaviour, depth: str) -> tuple:
    """(facts, connections)"""
    with MailServer(behaviour) as server:
        return probe(Target("127.0.0.1", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=9.0, depth=depth)), server.connections
