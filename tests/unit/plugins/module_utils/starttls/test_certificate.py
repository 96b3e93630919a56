# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about a certificate are those that its issuer wrote, in visible ASCII, and null where they can't be known."""
from __future__ import annotations

import datetime
import hashlib

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from issuing import Issued, issue


def read(issued: Issued) -> dict:
    return certificate.facts(issued.certificate.public_bytes(serialization.Encoding.DER))


def test_every_fact_is_what_the_certificate_says() -> None:
    names = ("mx.example.org", "*.example.org", "192.0.2.1", "2001:db8::1")
    for kind, told in (("rsa", ("RSA", 2048, None)), ("ec", ("EC", 256, "prime256v1"))):
        leaf = issue("mx.example.org", kind=kind, names=names, days=(-1, 30))
        seen, held = read(leaf), leaf.certificate
        spki = held.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert seen == {
            "sha256": leaf.sha256, "subject": "CN=mx.example.org", "issuer": "CN=mx.example.org", "self_signed": True,
            "names": ["DNS:mx.example.org", "DNS:*.example.org", "IP:192.0.2.1", "IP:2001:db8::1"], "common_names": ["mx.example.org"],
            "serial": "%X" % held.serial_number,
            "not_before": held.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"), "not_after": held.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "days_left": 29, "key_type": told[0], "key_bits": told[1], "curve": told[2],
            "signature": {"rsa": "sha256WithRSAEncryption", "ec": "ecdsa-with-SHA256"}[kind], "signature_hash": "SHA256",
            "spki_sha256": hashlib.sha256(spki).hexdigest(),
        }


EVERY_KIND = {
    "P-384": (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384(), ("EC", 384, "secp384r1", "ecdsa-with-SHA384", "SHA384")),
    "P-521": (ec.generate_private_key(ec.SECP521R1()), hashes.SHA512(), ("EC", 521, "secp521r1", "ecdsa-with-SHA512", "SHA512")),
    "brainpool": (ec.generate_private_key(ec.BrainpoolP256R1()), hashes.SHA224(), ("EC", 256, "brainpoolP256r1", "ecdsa-with-SHA224", "SHA224")),
    "RSA 3072": (rsa.generate_private_key(65537, 3072), hashes.SHA512(), ("RSA", 3072, None, "sha512WithRSAEncryption", "SHA512")),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate(), None, ("Ed25519", 256, None, "ED25519", "intrinsic")),
    "Ed448": (ed448.Ed448PrivateKey.generate(), None, ("Ed448", 456, None, "ED448", "intrinsic")),
    "DSA": (dsa.generate_private_key(2048), hashes.SHA256(), ("DSA", None, None, "2.16.840.1.101.3.4.3.2", None)),
}


@pytest.mark.parametrize("case", EVERY_KIND)
def test_keys_and_signatures_of_every_kind_are_told(case: str) -> None:
    key, digest, told = EVERY_KIND[case]
    seen = certificate.facts(signed_by(key, digest))
    assert tuple(seen[item] for item in ("key_type", "key_bits", "curve", "signature", "signature_hash")) == told


def test_a_signature_with_pss_is_told_with_its_hash() -> None:
    key = rsa.generate_private_key(65537, 2048)
    for digest, told in ((hashes.SHA384(), "SHA384"), (hashes.SHA256(), "SHA256")):
        seen = certificate.facts(signed_by(key, digest, rsa_padding=padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)))
        assert (seen["signature"], seen["signature_hash"]) == ("rsassaPss", told)


def signed_by(key: object, digest: object, **options: object) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "O")])
    now = datetime.datetime(2049, 12, 31, 23, 59, 59)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=400))
    return builder.sign(key, digest, **options).public_bytes(serialization.Encoding.DER)


def test_years_are_read_in_both_of_their_forms() -> None:
    seen = certificate.facts(signed_by(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()))
    assert (seen["not_before"], seen["not_after"], seen["subject"]) == ("2049-12-31T23:59:59Z", "2051-02-04T23:59:59Z", "O=O,CN=mx")
    assert seen["names"] == []


@pytest.mark.parametrize("attributes, told", [
    ([("ORGANIZATION_NAME", "Foo,CN=mx.example.org"), ("COUNTRY_NAME", "DE")], []),
    ([("ORGANIZATION_NAME", "Foo\\,CN=mx.example.org")], []),
    ([("COMMON_NAME", "mx.example.org, Inc.")], ["mx.example.org, Inc."]),
    ([("COMMON_NAME", "first.example"), ("ORGANIZATION_NAME", "O"), ("COMMON_NAME", "second.example")], ["first.example", "second.example"]),
    ([("COMMON_NAME", "mx.ex\u00e4mple")], ["mx.ex\\xe4mple"]),
])
def test_common_names_are_those_of_the_subject_and_not_of_its_text(attributes: list, told: list) -> None:
    name = x509.Name([x509.NameAttribute(getattr(NameOID, kind), value) for kind, value in attributes])
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now).sign(key, hashes.SHA256())
    assert certificate.facts(made.public_bytes(serialization.Encoding.DER))["common_names"] == told


ROOT = issue("root", authority=True)


@pytest.mark.parametrize("made, told", [
    (ROOT, True),
    (issue("root", authority=True, identifiers=False), True),
    (issue("root", ROOT, authority=True), False),  # the root's new key, certified by its old one
    (issue("root", ROOT, authority=True, kind="rsa", identifiers=False), False),  # signed with ECDSA, and it is a key of RSA
    (issue("mx.example.org", ROOT), False),
], ids=["root", "without identifiers", "change of keys", "change of the kind of key", "leaf"])
def test_self_signed_is_what_its_own_key_signed(made: Issued, told: bool) -> None:
    assert read(made)["self_signed"] is told


@pytest.mark.parametrize("seconds, told", [
    (40 * 86400 + 60, "ends {}, 40 days from now"), (86400 + 60, "ends {}, 1 day from now"), (60, "ends {}, less than a day from now"),
    (-60, "ended {}, less than a day ago"), (-86400 - 60, "ended {}, 1 day ago"), (-2 * 86400 - 60, "ended {}, 2 days ago"),
])
def test_an_end_is_told_in_days_that_have_passed_or_are_to_come(seconds: int, told: str) -> None:
    seen = read(issue("mx.example.org", days=(-90, seconds / 86400)))
    assert certificate.ending(seen) == told.format(seen["not_after"])


DER = issue("mx.example.org", names=("mx.example.org", "192.0.2.1")).certificate.public_bytes(serialization.Encoding.DER)


@given(st.data())
def test_a_damaged_certificate_is_read_or_is_not_and_never_throws(data) -> None:
    der = bytearray(DER)
    for _change in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(der[:data.draw(st.integers(0, len(der)))])
    for mangled in (bytes(der), cut):
        seen = certificate.facts(mangled)
        assert set(seen) == set(certificate.facts(DER)) and all(str(value).isascii() for value in seen.values())


def test_a_number_without_end_in_a_name_takes_no_time() -> None:
    oid = b"\x06\x83\x01\x00\x00" + b"\xff" * 65535 + b"\x01"
    with pytest.raises(certificate._Unreadable):
        certificate._oid(oid[5:])


def test_a_stranger_s_subject_is_shown_in_visible_ascii_and_cannot_pass_for_another() -> None:
    seen = read(issue("mx\r\n\x1b[31m,O=Trusted é", names=("mx.example.org\x00.example.net",)))
    assert seen["subject"] == "CN=mx\\r\\n\\x1b[31m\\,O=Trusted \\xe9"
    assert all(name.isascii() and name.isprintable() and name != "DNS:mx.example.org" for name in seen["names"])


@pytest.mark.parametrize("hours, left", [(25, 1), (1, 0), (0, 0), (-1, -1), (-25, -2)])
def test_days_left_are_whole_days_and_below_nothing_from_the_moment_it_ends(hours: int, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = issue("mx.example.org")
    ends = leaf.certificate.not_valid_after_utc.timestamp()
    monkeypatch.setattr(certificate.time, "time", lambda: ends - hours * 3600)
    assert read(leaf)["days_left"] == left


def test_a_chain_is_ordered_when_each_is_issued_by_the_next() -> None:
    root = issue("root", authority=True)
    middle = issue("middle", root, authority=True)
    leaf = issue("mx.example.org", middle)
    chain = [read(issued) for issued in (leaf, middle, root)]
    assert certificate.ordered(chain) is True and certificate.ordered(chain[:1]) is True
    assert certificate.ordered([chain[0], chain[2], chain[1]]) is False
    assert certificate.ordered([chain[0], certificate.facts(b"")]) is None
