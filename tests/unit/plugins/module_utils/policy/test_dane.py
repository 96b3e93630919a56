# SPDX-License-Identifier: GPL-3.0-or-later
"""What TLSA records decide. That Postfix agrees, with real signed zones, is for the scenario policy to show."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.dane import Record, Tlsa, decided
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import Demand, outcome
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.handshake import NO_HANDSHAKE


def facts(starttls: bool = True, trusted: bool = True, **of_leaf: object) -> dict:
    common = {
        "not_before": "2020-01-01T00:00:00Z", "not_after": "2099-01-01T00:00:00Z", "key_type": "RSA", "key_bits": 2048, "signature_hash": "SHA256", **of_leaf,
    }
    leaf = {**common, "sha256": "aa", "spki_sha256": "ab", "names": ["DNS:mx.example.org"], "common_names": [], "subject": "CN=mx.example.org"}
    issuer = {**common, "sha256": "ca", "spki_sha256": "cb", "names": [], "common_names": ["CA"], "subject": "CN=CA"}
    tls = {
        "handshake": "done", "reason": None, "version": "TLSv1.3", "versions": {"TLSv1.3": {"verdict": "accepted"}}, "suites": {},
        **dict.fromkeys(("trust", "trust_at_may"), {"verdict": "pass" if trusted else "fail", "reason": "so it is"}),
    }
    return {
        "target": {"host": "mx.example.org", "protocol": "smtp", "port": 25}, "reachable": True, "error": None,
        "smtp": {"starttls": starttls, "starttls_reply": "220 go" if starttls else None, "mail_before_tls": "250 Ok",
                 "ehlo": [], "ehlo_after_tls": [] if starttls else None},
        "tls": tls if starttls else None, "certificates": [leaf, issuer] if starttls else [],
    }


FITS = Record(3, 1, 1, "ab")
OTHER = Record(3, 1, 1, "ff")


@pytest.mark.parametrize("level, tlsa, seen, told", [
    ("dane", Tlsa(), facts(), (True, "Trusted")),
    ("dane", Tlsa(True), facts(), (True, "Trusted")),
    ("dane", Tlsa(True), facts(trusted=False), (True, "Untrusted")),
    ("dane", Tlsa(True), facts(starttls=False), (True, "clear")),
    ("dane", Tlsa(problem="DNS does not answer"), facts(), (False, "")),
    ("dane", Tlsa(True, (FITS,)), facts(trusted=False), (True, "Verified")),
    ("dane", Tlsa(True, (OTHER, FITS)), facts(), (True, "Verified")),
    ("dane", Tlsa(True, (OTHER,)), facts(), (False, "Untrusted")),
    ("dane", Tlsa(True, (Record(3, 0, 1, "aa"),)), facts(), (True, "Verified")),
    ("dane", Tlsa(True, (Record(3, 0, 1, "ab"),)), facts(), (False, "Untrusted")),
    ("dane", Tlsa(True, (Record(2, 1, 1, "cb"),)), facts(), (True, "Verified")),
    ("dane", Tlsa(True, (Record(2, 0, 1, "ca"),)), facts(), (True, "Verified")),
    ("dane", Tlsa(True, (Record(2, 1, 1, "ab"),)), facts(), (False, "Untrusted")),
    ("dane", Tlsa(True, (Record(2, 1, 1, "cb"),)), facts(not_after="2021-01-01T00:00:00Z"), (False, "Untrusted")),
    ("dane", Tlsa(True, (Record(2, 1, 1, "cb"),)), facts(not_before="2098-01-01T00:00:00Z"), (False, "Untrusted")),
    ("dane", Tlsa(True, (Record(2, 1, 1, "cb"),)), facts(signature_hash="MD5"), (False, "Untrusted")),
    ("dane", Tlsa(True, (Record(2, 1, 1, "cb"),)), facts(key_bits=768), (False, "Untrusted")),
    ("dane", Tlsa(True, (FITS,)), facts(signature_hash="MD5", not_after="2021-01-01T00:00:00Z", key_bits=768), (True, "Verified")),
    ("dane", Tlsa(True, (Record(1, 1, 1, "ab"),)), facts(), (True, "Trusted")),
    ("dane", Tlsa(True, (FITS,)), facts(starttls=False), (False, "")),
    ("dane", Tlsa(True, (Record(3, 1, 2, "ab"),)), facts(), None),
    ("dane-only", Tlsa(), facts(), (False, "")),
    ("dane-only", Tlsa(True), facts(), (False, "")),
    ("dane-only", Tlsa(True, (Record(1, 1, 1, "ab"),)), facts(), (False, "")),
    ("dane-only", Tlsa(True, (FITS,)), facts(), (True, "Verified")),
])
def test_what_records_decide(level: str, tlsa: Tlsa, seen: dict, told: tuple | None) -> None:
    found = decided(Demand(level, nexthop="example.org"), seen, tlsa)
    assert (found and found.found[:2]) == told
    assert found is None or found.found.delivered or found.found.reason
    assert found is None or found.kind == ("delivered" if told[0] else "next")


def test_what_security_level_1_is_against_is_not_delivered_to() -> None:
    seen, tlsa = facts(signature_hash="SHA1"), Tlsa(True, (Record(2, 1, 1, "cb"),))
    assert [decided(Demand("dane", nexthop="example.org", openssl=openssl), seen, tlsa).found.delivered for openssl in ((1, 1), (3, 0))] == [True, False]
    seen["tls"]["trust"] = {"verdict": "fail", "reason": NO_HANDSHAKE + ": dh key too small"}
    found = decided(Demand("dane", nexthop="example.org"), seen, Tlsa(True, (FITS,)))
    assert not found.found.delivered and found.found.reason == "the handshake fails: at security level 1 no handshake comes about: dh key too small"
    assert not outcome(Demand("fingerprint", fingerprints=("aa",)), seen).delivered and outcome(Demand("encrypt"), seen).delivered


def test_an_issuer_s_record_counts_only_for_the_names_it_certified() -> None:
    seen = facts()
    seen["target"]["host"] = "mx.elsewhere.example"
    assert decided(Demand("dane", nexthop="elsewhere.example"), seen, Tlsa(True, (Record(2, 1, 1, "cb"),))).found.delivered is False
    assert decided(Demand("dane", nexthop="elsewhere.example"), seen, Tlsa(True, (FITS,))).found.delivered is True
