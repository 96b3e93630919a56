# SPDX-License-Identifier: GPL-3.0-or-later
"""A signature's two bytes are a hash and a key in TLS 1.2, and its name says the same."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.signatures import BY_CODE, BY_NAME, SIGNATURES, with_hashes

#: RFC 5246 section 7.4.1.4.1.
HASHES = {1: "MD5", 2: "SHA1", 3: "SHA224", 4: "SHA256", 5: "SHA384", 6: "SHA512"}
KEYS = {1: "RSA", 2: "DSA", 3: "ECDSA"}


def test_every_pair_of_tls_12_is_there_with_its_hash_and_key() -> None:
    pairs = {(digest << 8) | key: (KEYS[key], HASHES[digest]) for digest in HASHES for key in KEYS}
    assert {code: (BY_CODE[code].key, BY_CODE[code].hash) for code in pairs} == pairs


def test_a_name_says_key_and_hash() -> None:
    prefixes = {"RSA": "rsa_", "ECDSA": "ecdsa_", "DSA": "dsa_", "EdDSA": "ed", "ML-DSA": "mldsa", "SM2": "sm2sig_"}
    for signature in SIGNATURES:
        assert signature.name.startswith(prefixes[signature.key]) and BY_NAME[signature.name] is BY_CODE[signature.code] is signature
        assert signature.hash == "intrinsic" or signature.name.endswith("_" + signature.hash.lower())


def test_one_hello_can_ask_for_bad_hashes_alone() -> None:
    assert with_hashes("SHA1", "MD5") == (0x0203, 0x0201, 0x0202, 0x0103, 0x0101, 0x0102) and with_hashes("SHA3") == ()


def test_what_no_guideline_takes_comes_last() -> None:
    ranks = [(signature.hash in ("SHA1", "MD5"), signature.hash == "MD5") for signature in SIGNATURES]
    assert ranks == sorted(ranks)
