# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The groups in which two sides agree upon a key, under the names that OpenSSL and C(tls_eecdh_auto_curves) give them, best first.

Source: IANA's registry "TLS Supported Groups"; RFC 8422, RFC 7919, RFC 7027, RFC 8734, draft-ietf-tls-ecdhe-mlkem; postconf(5)
tls_eecdh_auto_curves, tls_ffdhe_auto_groups.
"""
from __future__ import annotations

from typing import NamedTuple


class Group(NamedTuple):
    """code: the two bytes on the wire, as one number. kind: hybrid (with ML-KEM), ecdhe, ffdhe. bits: of the curve's field or of the
    prime; of a hybrid, its curve's. since: OpenSSL's release from which its list of groups takes the name; None where a list of ours
    does not have it: RFC 8422 deprecates it, or only China's suites use it.
    """

    code: int
    name: str
    kind: str
    bits: int
    since: tuple | None = None


GROUPS = (
    Group(0x11EC, "X25519MLKEM768", "hybrid", 255, (3, 5)),
    Group(0x001D, "X25519", "ecdhe", 255, (1, 1, 1)),
    Group(0x0017, "prime256v1", "ecdhe", 256, (1, 1, 1)),
    Group(0x0018, "secp384r1", "ecdhe", 384, (1, 1, 1)),
    Group(0x001E, "X448", "ecdhe", 448, (1, 1, 1)),
    Group(0x0019, "secp521r1", "ecdhe", 521, (1, 1, 1)),
    Group(0x11EB, "SecP256r1MLKEM768", "hybrid", 256, (3, 5)),
    Group(0x11ED, "SecP384r1MLKEM1024", "hybrid", 384, (3, 5)),
    # brainpool: one code up to TLS 1.2, another for TLS 1.3
    Group(0x001A, "brainpoolP256r1", "ecdhe", 256, (1, 1, 1)),
    Group(0x001B, "brainpoolP384r1", "ecdhe", 384, (1, 1, 1)),
    Group(0x001C, "brainpoolP512r1", "ecdhe", 512, (1, 1, 1)),
    Group(0x001F, "brainpoolP256r1tls13", "ecdhe", 256, (3, 2)),
    Group(0x0020, "brainpoolP384r1tls13", "ecdhe", 384, (3, 2)),
    Group(0x0021, "brainpoolP512r1tls13", "ecdhe", 512, (3, 2)),
    Group(0x0015, "secp224r1", "ecdhe", 224),
    # RFC 7919: a server answers a DHE suite with one of these primes, or with one of its own
    Group(0x0100, "ffdhe2048", "ffdhe", 2048, (3, 0)),
    Group(0x0101, "ffdhe3072", "ffdhe", 3072, (3, 0)),
    Group(0x0102, "ffdhe4096", "ffdhe", 4096, (3, 0)),
    Group(0x0103, "ffdhe6144", "ffdhe", 6144, (3, 0)),
    Group(0x0104, "ffdhe8192", "ffdhe", 8192, (3, 0)),
    # China's, for its own suites
    Group(0x0029, "curveSM2", "ecdhe", 256),
    Group(0x11EE, "curveSM2MLKEM768", "hybrid", 256),
    # deprecated by RFC 8422
    Group(0x0016, "secp256k1", "ecdhe", 256),
    Group(0x000E, "sect571r1", "ecdhe", 571),
    Group(0x000D, "sect571k1", "ecdhe", 571),
    Group(0x000C, "sect409r1", "ecdhe", 409),
    Group(0x000B, "sect409k1", "ecdhe", 409),
    Group(0x000A, "sect283r1", "ecdhe", 283),
    Group(0x0009, "sect283k1", "ecdhe", 283),
    Group(0x0008, "sect239k1", "ecdhe", 239),
    Group(0x0007, "sect233r1", "ecdhe", 233),
    Group(0x0006, "sect233k1", "ecdhe", 233),
    Group(0x0014, "secp224k1", "ecdhe", 224),
    Group(0x0005, "sect193r2", "ecdhe", 193),
    Group(0x0004, "sect193r1", "ecdhe", 193),
    Group(0x0013, "prime192v1", "ecdhe", 192),
    Group(0x0012, "secp192k1", "ecdhe", 192),
    Group(0x0003, "sect163r2", "ecdhe", 163),
    Group(0x0002, "sect163r1", "ecdhe", 163),
    Group(0x0001, "sect163k1", "ecdhe", 163),
    Group(0x0011, "secp160r2", "ecdhe", 160),
    Group(0x0010, "secp160r1", "ecdhe", 160),
    Group(0x000F, "secp160k1", "ecdhe", 160),
)
#: NIST's names, and SECG's where OpenSSL has another.
_ALIASES = {
    "P-256": "prime256v1", "secp256r1": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1", "P-224": "secp224r1",
    "P-192": "prime192v1", "secp192r1": "prime192v1",
    "B-163": "sect163r2", "B-233": "sect233r1", "B-283": "sect283r1", "B-409": "sect409r1", "B-571": "sect571r1",
    "K-163": "sect163k1", "K-233": "sect233k1", "K-283": "sect283k1", "K-409": "sect409k1", "K-571": "sect571k1",
}
BY_CODE = {group.code: group for group in GROUPS}
#: In small letters: ask through C(named).
BY_NAME = {group.name.lower(): group for group in GROUPS}
BY_NAME.update({alias.lower(): BY_NAME[name.lower()] for alias, name in _ALIASES.items()})


def named(name: str) -> Group | None:
    """The group of that name or alias, in any case as OpenSSL 3 takes it, or None."""
    return BY_NAME.get(name.lower())
