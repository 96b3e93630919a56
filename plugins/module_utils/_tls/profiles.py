# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the guidelines say of a mail server's TLS, each as one row of data to judge by.

They contradict each other: the BSI lists neither X25519 nor ChaCha20, Mozilla's groups begin with X25519, NCSC-NL lets go of RSA keys of
2048 bits that Mozilla and RFC 9325 take. So there are several, and no one truth.

Sources: Mozilla's guidelines 6.0 (JSON); NCSC-NL's "IT Security Guidelines for TLS" 2025-05 as internet.nl tests it for mail; BSI
TR-02102-2, version 2025-01; RFC 9325, with RFC 7672 and RFC 9155.
"""
from __future__ import annotations

from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.groups import GROUPS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.suites import BY_CODE, BY_NAME, SETS, SUITES


class Profile(NamedTuple):
    """One guideline. Whatever is None is not judged.

    name: the key of C(PROFILES). title, reference: for people.
    floor: the oldest version that may be accepted. accepts: the versions that must be.
    suites: codes that may be accepted, of all versions. groups: names of C(_tls.groups) that may be, both ECDHE and FFDHE.
    dh_bits: least size of a DH prime, of any group; None too where no DHE suite is among suites.
    hashes: of the signature under the key exchange, as in C(_tls.signatures). extended_master_secret: whether RFC 7627 is required.
    server_order: whether a server has to put its own order first, so that what is in phase_out comes last; nothing to judge on one
    that accepts nothing of phase_out.
    rsa_bits: least size of a certificate's RSA key; 0 when RSA keys are not allowed at all. curves: that a certificate's EC key may be on,
    by their names in C(_tls.groups), and Ed25519, Ed448. certificate_hashes: of the signatures in the chain, but that of the root.
    phase_out: of what is allowed, what the guideline wants gone; the field's name to a set like it, and C(rsa_bits) to the size below which.
    clauses: the field's name to what the guideline says.
    grade: Postfix's grade of ciphers to begin with. exclude: words for smtpd_tls_exclude_ciphers that leave nothing of it but suites without
    phase_out; () where no version with a cipher list is left.
    """

    name: str
    title: str
    reference: str
    floor: str
    accepts: tuple
    suites: frozenset
    groups: frozenset | None
    dh_bits: int | None
    hashes: frozenset | None
    rsa_bits: int | None
    curves: frozenset | None
    certificate_hashes: frozenset | None
    server_order: bool | None
    extended_master_secret: bool | None
    phase_out: dict
    clauses: dict
    grade: str
    exclude: tuple


def _suites(names: str) -> frozenset:
    return frozenset(BY_NAME[name].code for name in names.split())


def _where(**wanted) -> frozenset:
    """The suites up to TLS 1.2 whose every named attribute is among those wanted."""
    return frozenset(suite.code for suite in SUITES if not suite.tls13 and all(getattr(suite, item) in values for item, values in wanted.items()))


_SHA2 = frozenset(("SHA256", "SHA384", "SHA512"))
_SHA224 = frozenset(("SHA224",))
_INTRINSIC = frozenset(("intrinsic",))  # Ed25519, Ed448: no hash of their own choice to judge
_NIST = frozenset(("prime256v1", "secp384r1", "secp521r1"))
_BRAINPOOL = frozenset(("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"))
_BRAINPOOL_TLS13 = frozenset(name + "tls13" for name in _BRAINPOOL)
_HYBRID = frozenset(("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"))

_TLS13 = _suites("TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256")
_CCM_TLS13 = _suites("TLS_AES_128_CCM_SHA256")
_EPHEMERAL = {"exchange": ("ECDHE",), "authentication": ("RSA", "ECDSA")}
#: The six on which all of them but the BSI agree: four with AES, two with ChaCha20.
_ECDHE_AEAD = _where(cipher=("AES", "CHACHA20"), mode=("GCM", "POLY1305"), **_EPHEMERAL)
_ECDSA_CCM = _where(exchange=("ECDHE",), authentication=("ECDSA",), cipher=("AES",), mode=("CCM",))

#: NCSC-NL: whatever else agrees upon a fresh key and does not use SHA-1, but CCM with a short tag.
_NCSC_PHASE_OUT = _where(
    exchange=("ECDHE", "DHE"), authentication=("RSA", "ECDSA"), cipher=("AES", "CHACHA20", "CAMELLIA", "ARIA"),
    mode=("GCM", "CCM", "CBC", "POLY1305"), mac=("AEAD", "SHA256", "SHA384"),
) - _ECDHE_AEAD - _ECDSA_CCM

_BSI = _where(
    exchange=("ECDHE", "DHE"), authentication=("RSA", "ECDSA", "DSS"), cipher=("AES",),
    mode=("GCM", "CCM", "CBC"), mac=("AEAD", "SHA256", "SHA384"),
)

#: All but what is weak: RFC 9325 forbids little, and says of the rest what it would rather not see.
_RFC9325 = frozenset(BY_CODE) - SETS["weak"]

#: Words to exclude. With DHE, too: whoever has AES-GCM with it has it with ECDHE as well, and before Postfix 3.8 no parameter says
#: which primes are used.
_ECDHE_ALONE = ("aNULL", "kRSA", "kDHE", "SHA1")

PROFILES = {profile.name: profile for profile in (
    # For port 25 by default, where a refusal means that the message goes in plaintext (RFC 7435): every suite that is better than that, of TLS 1.2
    # and newer, for RFC 8996 has older versions gone. Anonymous suites encrypt as well as others, and who sends without DANE or MTA-STS does not
    # look at the certificate (RFC 7672 section 8.2). Limits of primes and certificates are as below.
    Profile(
        name="opportunistic",
        title="Encrypts with all of TLS 1.2 and newer that is not broken",
        reference="RFC 8996; RFC 7435; RFC 7672 section 8.2",
        floor="TLSv1.2",
        accepts=("TLSv1.2", "TLSv1.3"),
        suites=frozenset(BY_CODE) - SETS["broken"],
        groups=None,
        dh_bits=1024,
        hashes=_SHA2 | _SHA224 | _INTRINSIC | {"SHA1", "SM3"},
        rsa_bits=2048,
        curves=None,
        certificate_hashes=_SHA2 | _SHA224 | _INTRINSIC | {"SM3"},
        server_order=None,
        extended_master_secret=None,
        phase_out={},
        clauses={
            "floor": "RFC 8996: TLS 1.0 and 1.1 MUST NOT be used",
            "suites": "RFC 7672 section 8.2, RFC 7435: anonymous suites and those without forward secrecy are better than plaintext; broken ones are not",
            "rsa_bits": "clients at OpenSSL's security level 2 break off at smaller keys",
        },
        grade="medium",
        exclude=("3DES", "RC4", "IDEA"),
    ),
    # For port 25, where a refusal means that the message goes in plaintext: all that is better than that. Anonymous suites encrypt as
    # well as others, and who sends without DANE or MTA-STS does not look at the certificate (RFC 7672 section 8.2). What is broken stays
    # out: senders that have nothing better are hardly left, and Postfix 3.8 excludes most of it itself. Primes of 1024 bits: stock
    # Postfix answers anonymous suites with one. A certificate with a smaller key or with SHA-1 makes senders at OpenSSL's security
    # level 2, Debian's default, break off; hence these limits, though to encrypt they would not be needed.
    Profile(
        name="interop",
        title="Encrypts with all that is not broken",
        reference="RFC 7672 section 8.2; what current senders take",
        floor="TLSv1",
        accepts=("TLSv1.2", "TLSv1.3"),
        suites=frozenset(BY_CODE) - SETS["broken"],
        groups=None,
        dh_bits=1024,
        hashes=_SHA2 | _SHA224 | _INTRINSIC | {"SHA1", "SM3"},
        rsa_bits=2048,
        curves=None,
        certificate_hashes=_SHA2 | _SHA224 | _INTRINSIC | {"SM3"},
        server_order=None,
        extended_master_secret=None,
        phase_out={},
        clauses={
            "floor": "a sender refused on port 25 delivers in plaintext: TLS 1.0 is better than that",
            "suites": "RFC 7672 section 8.2: anonymous suites are no loss to opportunistic TLS; broken ciphers are not encryption",
            "rsa_bits": "clients at OpenSSL's security level 2 break off at smaller keys",
        },
        grade="medium",
        exclude=("3DES", "RC4", "IDEA"),
    ),
    Profile(
        name="intermediate",
        title="Mozilla intermediate",
        reference="Mozilla Server Side TLS 6.0, intermediate",
        floor="TLSv1.2",
        accepts=("TLSv1.2", "TLSv1.3"),
        suites=_TLS13 | _ECDHE_AEAD,
        groups=frozenset(("X25519MLKEM768", "X25519", "prime256v1", "secp384r1")),
        dh_bits=None,
        hashes=None,
        rsa_bits=2048,
        curves=frozenset(("prime256v1", "secp384r1")),
        certificate_hashes=_SHA2,
        server_order=None,
        extended_master_secret=None,
        phase_out={},
        clauses={item: "Mozilla Server Side TLS 6.0, intermediate" for item in (
            "floor", "accepts", "suites", "groups", "rsa_bits", "curves", "certificate_hashes")},
        grade="high",
        exclude=(*_ECDHE_ALONE, "SHA256", "SHA384", "ARIA", "CAMELLIA", "AESCCM"),
    ),
    Profile(
        name="modern",
        title="Mozilla modern",
        reference="Mozilla Server Side TLS 6.0, modern",
        floor="TLSv1.3",
        accepts=("TLSv1.3",),
        suites=_TLS13,
        groups=frozenset(("X25519MLKEM768", "X25519", "prime256v1", "secp384r1")),
        dh_bits=None,
        hashes=None,
        rsa_bits=0,
        curves=frozenset(("prime256v1", "secp384r1")),
        certificate_hashes=_SHA2,
        server_order=None,
        extended_master_secret=None,
        phase_out={},
        clauses={item: "Mozilla Server Side TLS 6.0, modern" for item in (
            "floor", "accepts", "suites", "groups", "rsa_bits", "curves", "certificate_hashes")},
        grade="high",
        exclude=(),
    ),
    # A DH prime must be one of RFC 7919 besides, of 3072 bits or more: groups has these.
    Profile(
        name="ncsc_2025",
        title="NCSC-NL 2025-05, as internet.nl tests mail",
        reference="NCSC-NL, IT Security Guidelines for TLS, 2025-05",
        floor="TLSv1.2",
        accepts=(),
        suites=_TLS13 | _CCM_TLS13 | _ECDHE_AEAD | _ECDSA_CCM | _NCSC_PHASE_OUT,
        groups=_HYBRID | _NIST | _BRAINPOOL | _BRAINPOOL_TLS13 | {"X25519", "X448", "secp224r1", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"},
        dh_bits=3072,
        hashes=_SHA2 | _SHA224 | _INTRINSIC,
        rsa_bits=2048,
        curves=_NIST | _BRAINPOOL | {"Ed25519", "Ed448", "secp224r1"},
        certificate_hashes=_SHA2 | _SHA224 | _INTRINSIC,
        server_order=True,
        extended_master_secret=True,
        phase_out={
            "suites": _NCSC_PHASE_OUT,
            "groups": frozenset(("secp224r1", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192")),
            "hashes": _SHA224,
            "rsa_bits": 3072,
            "curves": frozenset(("secp224r1",)),
            "certificate_hashes": _SHA224,
        },
        clauses={
            "floor": "NCSC-NL TLS 2025-05, 3.3.1: TLS 1.1 and older are insufficient",
            "suites": "NCSC-NL TLS 2025-05, appendix B: whatever is not listed is insufficient",
            "groups": "NCSC-NL TLS 2025-05, 3.3.3.1",
            "dh_bits": "NCSC-NL TLS 2025-05, 3.3.3.1: the primes of RFC 7919 from 3072 bits on are to be phased out, all others insufficient",
            "hashes": "NCSC-NL TLS 2025-05, 3.3.5: SHA-1 and MD5 are insufficient, SHA-224 is to be phased out",
            "rsa_bits": "NCSC-NL TLS 2025-05, 3.3.2.1: 3072 bits; 2048 are to be phased out",
            "curves": "NCSC-NL TLS 2025-05, 3.3.2.1",
            "certificate_hashes": "NCSC-NL TLS 2025-05, 3.3.2: SHA-2 in all certificates but the root's",
            "server_order": "NCSC-NL TLS 2025-05: what is to be phased out ranks below what is not",
            "extended_master_secret": "NCSC-NL TLS 2025-05: extended master secret is required",
        },
        grade="high",
        exclude=(*_ECDHE_ALONE, "SHA256", "SHA384", "ARIA", "CAMELLIA", "AESCCM8"),
    ),
    Profile(
        name="bsi_tr02102",
        title="BSI TR-02102-2",
        reference="BSI TR-02102-2, version 2025-01",
        floor="TLSv1.2",
        accepts=(),
        suites=_suites("TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384") | _CCM_TLS13 | _BSI,
        groups=_NIST | _BRAINPOOL | _BRAINPOOL_TLS13 | {"ffdhe3072", "ffdhe4096"},
        dh_bits=3000,
        hashes=_SHA2,
        rsa_bits=3000,
        curves=_NIST | _BRAINPOOL,
        certificate_hashes=_SHA2,
        server_order=None,
        extended_master_secret=None,
        phase_out={},
        clauses={
            "floor": "BSI TR-02102-2: TLS 1.2 and TLS 1.3 are recommended, older versions are not",
            "suites": "BSI TR-02102-2, recommended suites: ephemeral keys with AES, neither SHA-1 nor ChaCha20",
            "groups": "BSI TR-02102-2, recommended groups: X25519 is not listed",
            "dh_bits": "BSI TR-02102-2, key lengths: at least 3000 bits",
            "hashes": "BSI TR-02102-2, recommended hashes: SHA-256, SHA-384, SHA-512",
            "rsa_bits": "BSI TR-02102-2, key lengths: at least 3000 bits",
            "curves": "BSI TR-02102-2, key lengths: at least 250 bits, on the recommended curves",
            "certificate_hashes": "BSI TR-02102-2, recommended signatures: SHA-256, SHA-384, SHA-512",
        },
        grade="high",
        exclude=(*_ECDHE_ALONE, "CHACHA20", "ARIA", "CAMELLIA", "AESCCM8"),
    ),
    # Its SHOULD NOTs are phase_out here, but 3DES and anonymous suites, which are in no one's list.
    Profile(
        name="rfc9325",
        title="RFC 9325, BCP 195",
        reference="RFC 9325",
        floor="TLSv1.2",
        accepts=("TLSv1.2",),
        suites=_RFC9325,
        groups=frozenset(group.name for group in GROUPS if group.bits >= 224),
        dh_bits=2048,
        hashes=_SHA2 | _SHA224 | _INTRINSIC | {"SM3"},
        rsa_bits=2048,
        curves=None,
        certificate_hashes=_SHA2 | _SHA224 | _INTRINSIC | {"SM3"},
        server_order=True,
        extended_master_secret=True,
        phase_out={"suites": _RFC9325 & (SETS["static_rsa"] | SETS["dhe"])},
        clauses={
            "floor": "RFC 9325: TLS 1.0 and 1.1 MUST NOT be negotiated",
            "accepts": "RFC 9325: TLS 1.2 MUST be supported, TLS 1.3 SHOULD be",
            "suites": "RFC 9325: no NULL, no RC4, nothing below 112 bits; below 128 bits, static RSA, static DH, and DHE: SHOULD NOT",
            "groups": "RFC 9325: curves of at least 224 bits",
            "dh_bits": "RFC 9325: at least 2048 bits",
            "hashes": "RFC 9155: MD5 and SHA-1 MUST NOT be used",
            "rsa_bits": "RFC 9325: at least 2048 bits",
            "certificate_hashes": "RFC 9325: neither MD5 nor SHA-1",
            "server_order": "RFC 9325: recommended suites MUST be preferred, even when not proposed first",
            "extended_master_secret": "RFC 9325: extended master secret MUST be supported",
        },
        grade="high",
        exclude=("aNULL", "kRSA", "kDHE"),
    ),
)}

#: The name that stands for two rows: where TLS is optional, and where it is mandatory, for nothing goes in plaintext there.
DEFAULT = "default"
OPTIONAL, MANDATORY = PROFILES["opportunistic"], PROFILES["intermediate"]
