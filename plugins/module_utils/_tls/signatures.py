# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The signatures a server may put under its key exchange, best first.

In TLS 1.2 the two bytes are a hash and a kind of key (RFC 5246 section 7.4.1.4.1), in TLS 1.3 one scheme (RFC 8446 section 4.2.3);
the codes do not collide. Source: IANA's registry "TLS SignatureScheme"; for hashes it leaves out, "TLS HashAlgorithm".
"""
from __future__ import annotations

from typing import NamedTuple


class Signature(NamedTuple):
    """code: the two bytes on the wire, as one number. name: IANA's, or made like it. key: RSA, ECDSA, EdDSA, DSA, SM2, ML-DSA.
    hash: MD5, SHA1, SHA224, SHA256, SHA384, SHA512, SM3; intrinsic where the scheme brings its own.
    """

    code: int
    name: str
    key: str
    hash: str


SIGNATURES = (
    Signature(0x0403, "ecdsa_secp256r1_sha256", "ECDSA", "SHA256"),  # in TLS 1.2 with any curve; the next two too
    Signature(0x0503, "ecdsa_secp384r1_sha384", "ECDSA", "SHA384"),
    Signature(0x0603, "ecdsa_secp521r1_sha512", "ECDSA", "SHA512"),
    Signature(0x0807, "ed25519", "EdDSA", "intrinsic"),
    Signature(0x0808, "ed448", "EdDSA", "intrinsic"),
    Signature(0x081A, "ecdsa_brainpoolP256r1tls13_sha256", "ECDSA", "SHA256"),
    Signature(0x081B, "ecdsa_brainpoolP384r1tls13_sha384", "ECDSA", "SHA384"),
    Signature(0x081C, "ecdsa_brainpoolP512r1tls13_sha512", "ECDSA", "SHA512"),
    Signature(0x0804, "rsa_pss_rsae_sha256", "RSA", "SHA256"),
    Signature(0x0805, "rsa_pss_rsae_sha384", "RSA", "SHA384"),
    Signature(0x0806, "rsa_pss_rsae_sha512", "RSA", "SHA512"),
    Signature(0x0809, "rsa_pss_pss_sha256", "RSA", "SHA256"),
    Signature(0x080A, "rsa_pss_pss_sha384", "RSA", "SHA384"),
    Signature(0x080B, "rsa_pss_pss_sha512", "RSA", "SHA512"),
    Signature(0x0401, "rsa_pkcs1_sha256", "RSA", "SHA256"),
    Signature(0x0501, "rsa_pkcs1_sha384", "RSA", "SHA384"),
    Signature(0x0601, "rsa_pkcs1_sha512", "RSA", "SHA512"),
    Signature(0x0904, "mldsa44", "ML-DSA", "intrinsic"),
    Signature(0x0905, "mldsa65", "ML-DSA", "intrinsic"),
    Signature(0x0906, "mldsa87", "ML-DSA", "intrinsic"),
    Signature(0x0708, "sm2sig_sm3", "SM2", "SM3"),
    Signature(0x0402, "dsa_sha256", "DSA", "SHA256"),
    Signature(0x0502, "dsa_sha384", "DSA", "SHA384"),
    Signature(0x0602, "dsa_sha512", "DSA", "SHA512"),
    Signature(0x0303, "ecdsa_sha224", "ECDSA", "SHA224"),
    Signature(0x0301, "rsa_pkcs1_sha224", "RSA", "SHA224"),
    Signature(0x0302, "dsa_sha224", "DSA", "SHA224"),
    Signature(0x0203, "ecdsa_sha1", "ECDSA", "SHA1"),
    Signature(0x0201, "rsa_pkcs1_sha1", "RSA", "SHA1"),
    Signature(0x0202, "dsa_sha1", "DSA", "SHA1"),
    Signature(0x0103, "ecdsa_md5", "ECDSA", "MD5"),
    Signature(0x0101, "rsa_pkcs1_md5", "RSA", "MD5"),
    Signature(0x0102, "dsa_md5", "DSA", "MD5"),
)
BY_CODE = {signature.code: signature for signature in SIGNATURES}
BY_NAME = {signature.name: signature for signature in SIGNATURES}
#: Names that every OpenSSL from 1.1.1 on takes in SignatureAlgorithms. With one that it does not know, the whole list is as if it were
#: not there, and neither OpenSSL nor Postfix says so.
IN_EVERY_OPENSSL = tuple(
    signature.name for signature in SIGNATURES
    if signature.key in ("ECDSA", "EdDSA", "RSA") and signature.hash in ("SHA256", "SHA384", "SHA512", "intrinsic") and "brainpool" not in signature.name
)


def with_hashes(*hashes: str) -> tuple:
    """The codes of the schemes with one of these hashes, best first: one ClientHello that asks whether a server signs with them."""
    return tuple(signature.code for signature in SIGNATURES if signature.hash in hashes)
