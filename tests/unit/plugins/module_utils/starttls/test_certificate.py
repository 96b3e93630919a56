# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about a certificate are those that its issuer wrote, in visible ASCII, and null where they can't be known."""
from __future__ import annotations

import builtins
import hashlib
import ssl

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import Look, Target, probe
from cryptography.hazmat.primitives import serialization
from issuing import Issued, issue
from servers import Behaviour, MailServer


def served(leaf: Issued, details: bool = True) -> dict:
    with MailServer(Behaviour(chain=leaf)) as server:
        look = Look(ca_content=leaf.pem, timeout=5.0, versions=False, details=details)
        return probe(Target("127.0.0.1", server.port), look)["certificates"][0]


def test_every_fact_is_what_the_certificate_says() -> None:
    leaf = issue("mx.example.org", kind="rsa", names=("mx.example.org", "*.example.org", "192.0.2.1", "2001:db8::1"), days=(-1, 30))
    seen = served(leaf)
    held = leaf.certificate
    spki = held.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert seen == {
        "sha256": leaf.sha256, "subject": "CN=mx.example.org", "issuer": "CN=mx.example.org", "self_signed": True,
        "names": ["DNS:mx.example.org", "DNS:*.example.org", "IP:192.0.2.1", "IP:2001:db8::1"],
        "serial": seen["serial"],
        "not_before": held.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"), "not_after": held.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days_left": 29, "key_type": "RSA", "key_bits": 2048, "signature": "sha256WithRSAEncryption", "spki_sha256": hashlib.sha256(spki).hexdigest(),
    }
    assert int(seen["serial"], 16) == held.serial_number


def test_a_stranger_s_subject_is_shown_in_visible_ascii_and_cannot_pass_for_another() -> None:
    seen = served(issue("mx\r\n\x1b[31m,O=Trusted é", names=("mx.example.org\x00.example.net",)))
    assert seen["subject"] == "CN=mx\\r\\n\\x1b[31m\\,O=Trusted \\xe9"
    assert all(name.isascii() and name.isprintable() and name != "DNS:mx.example.org" for name in seen["names"])


@pytest.mark.parametrize("hours, left", [(25, 1), (1, 0), (0, 0), (-1, -1), (-25, -2)])
def test_days_left_are_whole_days_and_below_nothing_from_the_moment_it_ends(hours: int, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate.time, "time", lambda: ssl.cert_time_to_seconds("Jan  1 00:00:00 2030 GMT") - hours * 3600)
    seen = certificate.facts(b"", {"notAfter": "Jan  1 00:00:00 2030 GMT", "notBefore": "soon"}, details=False)
    assert (seen["days_left"], seen["not_after"], seen["not_before"]) == (left, "2030-01-01T00:00:00Z", None)


def test_without_the_library_or_without_need_only_the_details_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = issue("mx.example.org")
    whole = served(leaf)
    details = {"key_type", "key_bits", "signature", "spki_sha256"}
    assert served(leaf, details=False) == {**whole, **dict.fromkeys(details)}
    real = builtins.__import__

    def lacking(name: str, *arguments: object, **options: object):
        if name.partition(".")[0] == "cryptography":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", lacking)
    assert served(leaf) == {**whole, **dict.fromkeys(details)}
