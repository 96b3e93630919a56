# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The cipher suites that a mail server can answer to a stranger, best first, and the words Postfix has for excluding them.

Left out: suites that need a shared secret or a password (PSK, SRP, Kerberos, ECCPWD), and GOST. What a suite is made of is read from
its name. Source: IANA's registry "TLS Cipher Suites"; OpenSSL ciphers(1), for its names and keywords.
"""
from __future__ import annotations

from typing import Callable, NamedTuple


class Suite(NamedTuple):
    """One suite.

    code: the two bytes on the wire, as one number. name: IANA's. openssl: OpenSSL's (1.1.0 or newer; else of the last release that had
    it), None when it never had it. exchange: RSA, DH, DHE, ECDH, ECDHE; any in TLS 1.3. Anonymous suites are DHE or ECDHE: their keys
    are made for the connection. authentication: RSA, DSS, ECDSA, anonymous; any in TLS 1.3. cipher: as in C(_BULK). bits: of its key,
    as OpenSSL counts them. mac: MD5, SHA1, SHA256, SHA384, or AEAD. mode: CBC, GCM, CCM, CCM8, POLY1305, stream, none.
    """

    code: int
    name: str
    openssl: str | None
    exchange: str
    authentication: str
    cipher: str
    bits: int
    mac: str
    mode: str

    @property
    def tls13(self) -> bool:
        """Whether it is one of TLS 1.3 only; all others are of TLS 1.2 or older only."""
        return self.exchange == "any"

    @property
    def export(self) -> bool:
        return "_EXPORT_" in self.name


#: The part of IANA's name between key exchange and hash: cipher, bits of its key, mode.
_BULK = {
    "AES_128_GCM": ("AES", 128, "GCM"), "AES_256_GCM": ("AES", 256, "GCM"),
    "AES_128_CCM": ("AES", 128, "CCM"), "AES_256_CCM": ("AES", 256, "CCM"),
    "AES_128_CCM_8": ("AES", 128, "CCM8"), "AES_256_CCM_8": ("AES", 256, "CCM8"),
    "AES_128_CBC": ("AES", 128, "CBC"), "AES_256_CBC": ("AES", 256, "CBC"),
    "CHACHA20_POLY1305": ("CHACHA20", 256, "POLY1305"),
    "CAMELLIA_128_GCM": ("CAMELLIA", 128, "GCM"), "CAMELLIA_256_GCM": ("CAMELLIA", 256, "GCM"),
    "CAMELLIA_128_CBC": ("CAMELLIA", 128, "CBC"), "CAMELLIA_256_CBC": ("CAMELLIA", 256, "CBC"),
    "ARIA_128_GCM": ("ARIA", 128, "GCM"), "ARIA_256_GCM": ("ARIA", 256, "GCM"),
    "ARIA_128_CBC": ("ARIA", 128, "CBC"), "ARIA_256_CBC": ("ARIA", 256, "CBC"),
    "SM4_GCM": ("SM4", 128, "GCM"), "SM4_CCM": ("SM4", 128, "CCM"),
    "SEED_CBC": ("SEED", 128, "CBC"), "IDEA_CBC": ("IDEA", 128, "CBC"), "3DES_EDE_CBC": ("3DES", 168, "CBC"),
    "DES_CBC": ("DES", 56, "CBC"), "DES40_CBC": ("DES", 40, "CBC"), "RC2_CBC_40": ("RC2", 40, "CBC"),
    "RC4_128": ("RC4", 128, "stream"), "RC4_40": ("RC4", 40, "stream"),
    "NULL": ("NULL", 0, "none"), "SHA256": ("NULL", 0, "none"), "SHA384": ("NULL", 0, "none"),
}

#: Code, IANA's name, OpenSSL's name.
_TABLE = (
    # TLS 1.3; the last two do not encrypt (RFC 9150)
    (0x1301, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1304, "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_SHA256"),
    (0x1305, "TLS_AES_128_CCM_8_SHA256", "TLS_AES_128_CCM_8_SHA256"),
    (0x00C6, "TLS_SM4_GCM_SM3", None),
    (0x00C7, "TLS_SM4_CCM_SM3", None),
    (0xC0B4, "TLS_SHA256_SHA256", "TLS_SHA256_SHA256"),
    (0xC0B5, "TLS_SHA384_SHA384", "TLS_SHA384_SHA384"),
    # ECDHE with AES-GCM and ChaCha20
    (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
    (0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    # ECDHE with AES-CBC
    (0xC009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"),
    (0xC00A, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"),
    (0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"),
    (0xC014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"),
    (0xC023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"),
    (0xC024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
    (0xC027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
    (0xC028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
    # DHE with AES and ChaCha20
    (0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256"),
    (0x009F, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"),
    (0x00A2, "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256", "DHE-DSS-AES128-GCM-SHA256"),
    (0x00A3, "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384", "DHE-DSS-AES256-GCM-SHA384"),
    (0xCCAA, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"),
    (0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA", "DHE-DSS-AES128-SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "DHE-RSA-AES128-SHA"),
    (0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA", "DHE-DSS-AES256-SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "DHE-RSA-AES256-SHA"),
    (0x0040, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256", "DHE-DSS-AES128-SHA256"),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "DHE-RSA-AES128-SHA256"),
    (0x006A, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256", "DHE-DSS-AES256-SHA256"),
    (0x006B, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", "DHE-RSA-AES256-SHA256"),
    # RSA with AES
    (0x009C, "TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
    (0x009D, "TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
    (0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
    (0x003C, "TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"),
    (0x003D, "TLS_RSA_WITH_AES_256_CBC_SHA256", "AES256-SHA256"),
    # AES-CCM
    (0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "ECDHE-ECDSA-AES128-CCM"),
    (0xC0AD, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "ECDHE-ECDSA-AES256-CCM"),
    (0xC09E, "TLS_DHE_RSA_WITH_AES_128_CCM", "DHE-RSA-AES128-CCM"),
    (0xC09F, "TLS_DHE_RSA_WITH_AES_256_CCM", "DHE-RSA-AES256-CCM"),
    (0xC09C, "TLS_RSA_WITH_AES_128_CCM", "AES128-CCM"),
    (0xC09D, "TLS_RSA_WITH_AES_256_CCM", "AES256-CCM"),
    (0xC0AE, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8"),
    (0xC0AF, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", "ECDHE-ECDSA-AES256-CCM8"),
    (0xC0A2, "TLS_DHE_RSA_WITH_AES_128_CCM_8", "DHE-RSA-AES128-CCM8"),
    (0xC0A3, "TLS_DHE_RSA_WITH_AES_256_CCM_8", "DHE-RSA-AES256-CCM8"),
    (0xC0A0, "TLS_RSA_WITH_AES_128_CCM_8", "AES128-CCM8"),
    (0xC0A1, "TLS_RSA_WITH_AES_256_CCM_8", "AES256-CCM8"),
    # Camellia, ARIA, SEED
    (0xC048, "TLS_ECDHE_ECDSA_WITH_ARIA_128_CBC_SHA256", None),
    (0xC049, "TLS_ECDHE_ECDSA_WITH_ARIA_256_CBC_SHA384", None),
    (0xC04C, "TLS_ECDHE_RSA_WITH_ARIA_128_CBC_SHA256", None),
    (0xC04D, "TLS_ECDHE_RSA_WITH_ARIA_256_CBC_SHA384", None),
    (0xC05C, "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256", "ECDHE-ECDSA-ARIA128-GCM-SHA256"),
    (0xC05D, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384", "ECDHE-ECDSA-ARIA256-GCM-SHA384"),
    (0xC060, "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", "ECDHE-ARIA128-GCM-SHA256"),
    (0xC061, "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384", "ECDHE-ARIA256-GCM-SHA384"),
    (0xC072, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256", "ECDHE-ECDSA-CAMELLIA128-SHA256"),
    (0xC073, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384", "ECDHE-ECDSA-CAMELLIA256-SHA384"),
    (0xC076, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", "ECDHE-RSA-CAMELLIA128-SHA256"),
    (0xC077, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384", "ECDHE-RSA-CAMELLIA256-SHA384"),
    (0xC086, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC087, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0xC08A, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC08B, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0x0044, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA", "DHE-DSS-CAMELLIA128-SHA"),
    (0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", "DHE-RSA-CAMELLIA128-SHA"),
    (0x0087, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA", "DHE-DSS-CAMELLIA256-SHA"),
    (0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", "DHE-RSA-CAMELLIA256-SHA"),
    (0x0099, "TLS_DHE_DSS_WITH_SEED_CBC_SHA", "DHE-DSS-SEED-SHA"),
    (0x009A, "TLS_DHE_RSA_WITH_SEED_CBC_SHA", "DHE-RSA-SEED-SHA"),
    (0x00BD, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA256", "DHE-DSS-CAMELLIA128-SHA256"),
    (0x00BE, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", "DHE-RSA-CAMELLIA128-SHA256"),
    (0x00C3, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA256", "DHE-DSS-CAMELLIA256-SHA256"),
    (0x00C4, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256", "DHE-RSA-CAMELLIA256-SHA256"),
    (0xC042, "TLS_DHE_DSS_WITH_ARIA_128_CBC_SHA256", None),
    (0xC043, "TLS_DHE_DSS_WITH_ARIA_256_CBC_SHA384", None),
    (0xC044, "TLS_DHE_RSA_WITH_ARIA_128_CBC_SHA256", None),
    (0xC045, "TLS_DHE_RSA_WITH_ARIA_256_CBC_SHA384", None),
    (0xC052, "TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256", "DHE-RSA-ARIA128-GCM-SHA256"),
    (0xC053, "TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384", "DHE-RSA-ARIA256-GCM-SHA384"),
    (0xC056, "TLS_DHE_DSS_WITH_ARIA_128_GCM_SHA256", "DHE-DSS-ARIA128-GCM-SHA256"),
    (0xC057, "TLS_DHE_DSS_WITH_ARIA_256_GCM_SHA384", "DHE-DSS-ARIA256-GCM-SHA384"),
    (0xC07C, "TLS_DHE_RSA_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC07D, "TLS_DHE_RSA_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0xC080, "TLS_DHE_DSS_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC081, "TLS_DHE_DSS_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", "CAMELLIA128-SHA"),
    (0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", "CAMELLIA256-SHA"),
    (0x0096, "TLS_RSA_WITH_SEED_CBC_SHA", "SEED-SHA"),
    (0x00BA, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA256", "CAMELLIA128-SHA256"),
    (0x00C0, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA256", "CAMELLIA256-SHA256"),
    (0xC03C, "TLS_RSA_WITH_ARIA_128_CBC_SHA256", None),
    (0xC03D, "TLS_RSA_WITH_ARIA_256_CBC_SHA384", None),
    (0xC050, "TLS_RSA_WITH_ARIA_128_GCM_SHA256", "ARIA128-GCM-SHA256"),
    (0xC051, "TLS_RSA_WITH_ARIA_256_GCM_SHA384", "ARIA256-GCM-SHA384"),
    (0xC07A, "TLS_RSA_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC07B, "TLS_RSA_WITH_CAMELLIA_256_GCM_SHA384", None),
    # static DH and ECDH: the key of the certificate is the key of the exchange
    (0x0030, "TLS_DH_DSS_WITH_AES_128_CBC_SHA", "DH-DSS-AES128-SHA"),
    (0x0031, "TLS_DH_RSA_WITH_AES_128_CBC_SHA", "DH-RSA-AES128-SHA"),
    (0x0036, "TLS_DH_DSS_WITH_AES_256_CBC_SHA", "DH-DSS-AES256-SHA"),
    (0x0037, "TLS_DH_RSA_WITH_AES_256_CBC_SHA", "DH-RSA-AES256-SHA"),
    (0x003E, "TLS_DH_DSS_WITH_AES_128_CBC_SHA256", "DH-DSS-AES128-SHA256"),
    (0x003F, "TLS_DH_RSA_WITH_AES_128_CBC_SHA256", "DH-RSA-AES128-SHA256"),
    (0x0042, "TLS_DH_DSS_WITH_CAMELLIA_128_CBC_SHA", "DH-DSS-CAMELLIA128-SHA"),
    (0x0043, "TLS_DH_RSA_WITH_CAMELLIA_128_CBC_SHA", "DH-RSA-CAMELLIA128-SHA"),
    (0x0068, "TLS_DH_DSS_WITH_AES_256_CBC_SHA256", "DH-DSS-AES256-SHA256"),
    (0x0069, "TLS_DH_RSA_WITH_AES_256_CBC_SHA256", "DH-RSA-AES256-SHA256"),
    (0x0085, "TLS_DH_DSS_WITH_CAMELLIA_256_CBC_SHA", "DH-DSS-CAMELLIA256-SHA"),
    (0x0086, "TLS_DH_RSA_WITH_CAMELLIA_256_CBC_SHA", "DH-RSA-CAMELLIA256-SHA"),
    (0x0097, "TLS_DH_DSS_WITH_SEED_CBC_SHA", "DH-DSS-SEED-SHA"),
    (0x0098, "TLS_DH_RSA_WITH_SEED_CBC_SHA", "DH-RSA-SEED-SHA"),
    (0x00A0, "TLS_DH_RSA_WITH_AES_128_GCM_SHA256", "DH-RSA-AES128-GCM-SHA256"),
    (0x00A1, "TLS_DH_RSA_WITH_AES_256_GCM_SHA384", "DH-RSA-AES256-GCM-SHA384"),
    (0x00A4, "TLS_DH_DSS_WITH_AES_128_GCM_SHA256", "DH-DSS-AES128-GCM-SHA256"),
    (0x00A5, "TLS_DH_DSS_WITH_AES_256_GCM_SHA384", "DH-DSS-AES256-GCM-SHA384"),
    (0x00BB, "TLS_DH_DSS_WITH_CAMELLIA_128_CBC_SHA256", None),
    (0x00BC, "TLS_DH_RSA_WITH_CAMELLIA_128_CBC_SHA256", None),
    (0x00C1, "TLS_DH_DSS_WITH_CAMELLIA_256_CBC_SHA256", None),
    (0x00C2, "TLS_DH_RSA_WITH_CAMELLIA_256_CBC_SHA256", None),
    (0xC004, "TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA", "ECDH-ECDSA-AES128-SHA"),
    (0xC005, "TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA", "ECDH-ECDSA-AES256-SHA"),
    (0xC00E, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA", "ECDH-RSA-AES128-SHA"),
    (0xC00F, "TLS_ECDH_RSA_WITH_AES_256_CBC_SHA", "ECDH-RSA-AES256-SHA"),
    (0xC025, "TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA256", "ECDH-ECDSA-AES128-SHA256"),
    (0xC026, "TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA384", "ECDH-ECDSA-AES256-SHA384"),
    (0xC029, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA256", "ECDH-RSA-AES128-SHA256"),
    (0xC02A, "TLS_ECDH_RSA_WITH_AES_256_CBC_SHA384", "ECDH-RSA-AES256-SHA384"),
    (0xC02D, "TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256", "ECDH-ECDSA-AES128-GCM-SHA256"),
    (0xC02E, "TLS_ECDH_ECDSA_WITH_AES_256_GCM_SHA384", "ECDH-ECDSA-AES256-GCM-SHA384"),
    (0xC031, "TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256", "ECDH-RSA-AES128-GCM-SHA256"),
    (0xC032, "TLS_ECDH_RSA_WITH_AES_256_GCM_SHA384", "ECDH-RSA-AES256-GCM-SHA384"),
    (0xC03E, "TLS_DH_DSS_WITH_ARIA_128_CBC_SHA256", None),
    (0xC03F, "TLS_DH_DSS_WITH_ARIA_256_CBC_SHA384", None),
    (0xC040, "TLS_DH_RSA_WITH_ARIA_128_CBC_SHA256", None),
    (0xC041, "TLS_DH_RSA_WITH_ARIA_256_CBC_SHA384", None),
    (0xC04A, "TLS_ECDH_ECDSA_WITH_ARIA_128_CBC_SHA256", None),
    (0xC04B, "TLS_ECDH_ECDSA_WITH_ARIA_256_CBC_SHA384", None),
    (0xC04E, "TLS_ECDH_RSA_WITH_ARIA_128_CBC_SHA256", None),
    (0xC04F, "TLS_ECDH_RSA_WITH_ARIA_256_CBC_SHA384", None),
    (0xC054, "TLS_DH_RSA_WITH_ARIA_128_GCM_SHA256", None),
    (0xC055, "TLS_DH_RSA_WITH_ARIA_256_GCM_SHA384", None),
    (0xC058, "TLS_DH_DSS_WITH_ARIA_128_GCM_SHA256", None),
    (0xC059, "TLS_DH_DSS_WITH_ARIA_256_GCM_SHA384", None),
    (0xC05E, "TLS_ECDH_ECDSA_WITH_ARIA_128_GCM_SHA256", None),
    (0xC05F, "TLS_ECDH_ECDSA_WITH_ARIA_256_GCM_SHA384", None),
    (0xC062, "TLS_ECDH_RSA_WITH_ARIA_128_GCM_SHA256", None),
    (0xC063, "TLS_ECDH_RSA_WITH_ARIA_256_GCM_SHA384", None),
    (0xC074, "TLS_ECDH_ECDSA_WITH_CAMELLIA_128_CBC_SHA256", None),
    (0xC075, "TLS_ECDH_ECDSA_WITH_CAMELLIA_256_CBC_SHA384", None),
    (0xC078, "TLS_ECDH_RSA_WITH_CAMELLIA_128_CBC_SHA256", None),
    (0xC079, "TLS_ECDH_RSA_WITH_CAMELLIA_256_CBC_SHA384", None),
    (0xC07E, "TLS_DH_RSA_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC07F, "TLS_DH_RSA_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0xC082, "TLS_DH_DSS_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC083, "TLS_DH_DSS_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0xC088, "TLS_ECDH_ECDSA_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC089, "TLS_ECDH_ECDSA_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0xC08C, "TLS_ECDH_RSA_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC08D, "TLS_ECDH_RSA_WITH_CAMELLIA_256_GCM_SHA384", None),
    # 3DES, IDEA
    (0xC008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-ECDSA-DES-CBC3-SHA"),
    (0xC012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-RSA-DES-CBC3-SHA"),
    (0x0013, "TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA", "DHE-DSS-DES-CBC3-SHA"),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "DHE-RSA-DES-CBC3-SHA"),
    (0x0007, "TLS_RSA_WITH_IDEA_CBC_SHA", "IDEA-CBC-SHA"),
    (0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"),
    (0x000D, "TLS_DH_DSS_WITH_3DES_EDE_CBC_SHA", "DH-DSS-DES-CBC3-SHA"),
    (0x0010, "TLS_DH_RSA_WITH_3DES_EDE_CBC_SHA", "DH-RSA-DES-CBC3-SHA"),
    (0xC003, "TLS_ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA", "ECDH-ECDSA-DES-CBC3-SHA"),
    (0xC00D, "TLS_ECDH_RSA_WITH_3DES_EDE_CBC_SHA", "ECDH-RSA-DES-CBC3-SHA"),
    # DES, RC4
    (0xC007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE-ECDSA-RC4-SHA"),
    (0xC011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE-RSA-RC4-SHA"),
    (0x0012, "TLS_DHE_DSS_WITH_DES_CBC_SHA", "EDH-DSS-DES-CBC-SHA"),
    (0x0015, "TLS_DHE_RSA_WITH_DES_CBC_SHA", "EDH-RSA-DES-CBC-SHA"),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5", "RC4-MD5"),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA", "RC4-SHA"),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA", "DES-CBC-SHA"),
    (0x000C, "TLS_DH_DSS_WITH_DES_CBC_SHA", "DH-DSS-DES-CBC-SHA"),
    (0x000F, "TLS_DH_RSA_WITH_DES_CBC_SHA", "DH-RSA-DES-CBC-SHA"),
    (0xC002, "TLS_ECDH_ECDSA_WITH_RC4_128_SHA", "ECDH-ECDSA-RC4-SHA"),
    (0xC00C, "TLS_ECDH_RSA_WITH_RC4_128_SHA", "ECDH-RSA-RC4-SHA"),
    # export
    (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", "EXP-RC4-MD5"),
    (0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", "EXP-RC2-CBC-MD5"),
    (0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA", "EXP-DES-CBC-SHA"),
    (0x000B, "TLS_DH_DSS_EXPORT_WITH_DES40_CBC_SHA", "EXP-DH-DSS-DES-CBC-SHA"),
    (0x000E, "TLS_DH_RSA_EXPORT_WITH_DES40_CBC_SHA", "EXP-DH-RSA-DES-CBC-SHA"),
    (0x0011, "TLS_DHE_DSS_EXPORT_WITH_DES40_CBC_SHA", "EXP-EDH-DSS-DES-CBC-SHA"),
    (0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", "EXP-EDH-RSA-DES-CBC-SHA"),
    # anonymous
    (0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA", "ADH-AES128-SHA"),
    (0x003A, "TLS_DH_anon_WITH_AES_256_CBC_SHA", "ADH-AES256-SHA"),
    (0x0046, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA", "ADH-CAMELLIA128-SHA"),
    (0x006C, "TLS_DH_anon_WITH_AES_128_CBC_SHA256", "ADH-AES128-SHA256"),
    (0x006D, "TLS_DH_anon_WITH_AES_256_CBC_SHA256", "ADH-AES256-SHA256"),
    (0x0089, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA", "ADH-CAMELLIA256-SHA"),
    (0x009B, "TLS_DH_anon_WITH_SEED_CBC_SHA", "ADH-SEED-SHA"),
    (0x00A6, "TLS_DH_anon_WITH_AES_128_GCM_SHA256", "ADH-AES128-GCM-SHA256"),
    (0x00A7, "TLS_DH_anon_WITH_AES_256_GCM_SHA384", "ADH-AES256-GCM-SHA384"),
    (0x00BF, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA256", "ADH-CAMELLIA128-SHA256"),
    (0x00C5, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA256", "ADH-CAMELLIA256-SHA256"),
    (0xC018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "AECDH-AES128-SHA"),
    (0xC019, "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", "AECDH-AES256-SHA"),
    (0xC046, "TLS_DH_anon_WITH_ARIA_128_CBC_SHA256", None),
    (0xC047, "TLS_DH_anon_WITH_ARIA_256_CBC_SHA384", None),
    (0xC05A, "TLS_DH_anon_WITH_ARIA_128_GCM_SHA256", None),
    (0xC05B, "TLS_DH_anon_WITH_ARIA_256_GCM_SHA384", None),
    (0xC084, "TLS_DH_anon_WITH_CAMELLIA_128_GCM_SHA256", None),
    (0xC085, "TLS_DH_anon_WITH_CAMELLIA_256_GCM_SHA384", None),
    (0x0018, "TLS_DH_anon_WITH_RC4_128_MD5", "ADH-RC4-MD5"),
    (0x001A, "TLS_DH_anon_WITH_DES_CBC_SHA", "ADH-DES-CBC-SHA"),
    (0x001B, "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA", "ADH-DES-CBC3-SHA"),
    (0xC016, "TLS_ECDH_anon_WITH_RC4_128_SHA", "AECDH-RC4-SHA"),
    (0xC017, "TLS_ECDH_anon_WITH_3DES_EDE_CBC_SHA", "AECDH-DES-CBC3-SHA"),
    (0x0017, "TLS_DH_anon_EXPORT_WITH_RC4_40_MD5", "EXP-ADH-RC4-MD5"),
    (0x0019, "TLS_DH_anon_EXPORT_WITH_DES40_CBC_SHA", "EXP-ADH-DES-CBC-SHA"),
    # no encryption
    (0x0001, "TLS_RSA_WITH_NULL_MD5", "NULL-MD5"),
    (0x0002, "TLS_RSA_WITH_NULL_SHA", "NULL-SHA"),
    (0x003B, "TLS_RSA_WITH_NULL_SHA256", "NULL-SHA256"),
    (0xC001, "TLS_ECDH_ECDSA_WITH_NULL_SHA", "ECDH-ECDSA-NULL-SHA"),
    (0xC006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA", "ECDHE-ECDSA-NULL-SHA"),
    (0xC00B, "TLS_ECDH_RSA_WITH_NULL_SHA", "ECDH-RSA-NULL-SHA"),
    (0xC010, "TLS_ECDHE_RSA_WITH_NULL_SHA", "ECDHE-RSA-NULL-SHA"),
    (0xC015, "TLS_ECDH_anon_WITH_NULL_SHA", "AECDH-NULL-SHA"),
)


def _parsed(code: int, name: str, openssl: str | None) -> Suite:
    keys, __, rest = name[len("TLS_"):].rpartition("_WITH_")
    bulk, digest = (rest, "") if rest in _BULK else rest.rsplit("_", 1)
    cipher, bits, mode = _BULK[bulk]
    mac = "AEAD" if mode in ("GCM", "CCM", "CCM8", "POLY1305") else "SHA1" if digest == "SHA" else digest
    words = keys.replace("_EXPORT", "").split("_")
    exchange, authentication = words[0] or "any", words[-1] or "any"
    if authentication == "anon":
        exchange, authentication = exchange + "E", "anonymous"
    return Suite(code, name, openssl, exchange, authentication, cipher, bits, mac, mode)


SUITES = tuple(_parsed(*row) for row in _TABLE)
BY_CODE = {suite.code: suite for suite in SUITES}
#: Under IANA's names and OpenSSL's.
BY_NAME = {suite.name: suite for suite in SUITES}
BY_NAME.update({suite.openssl: suite for suite in SUITES if suite.openssl})
# What they were called before OpenSSL 1.1.0, which still takes it.
BY_NAME.update({"EDH-%s-DES-CBC3-SHA" % key: BY_NAME["DHE-%s-DES-CBC3-SHA" % key] for key in ("RSA", "DSS")})


def _codes(chosen: Callable[[Suite], bool]) -> frozenset:
    return frozenset(suite.code for suite in SUITES if chosen(suite))


def _broken(suite: Suite) -> bool:
    return suite.cipher in ("NULL", "DES", "3DES", "RC2", "RC4", "IDEA") or suite.export or suite.mac == "MD5"


#: Questions that one ClientHello asks: an alert to all of a set is a refusal of each.
SETS = {
    "broken": _codes(_broken),
    "anonymous": _codes(lambda suite: suite.authentication == "anonymous"),
    "weak": _codes(lambda suite: _broken(suite) or suite.authentication == "anonymous"),  # what no guideline lists
    "static_rsa": _codes(lambda suite: suite.exchange in ("RSA", "DH", "ECDH")),  # no forward secrecy
    "cbc": _codes(lambda suite: suite.mode == "CBC"),
    "dhe": _codes(lambda suite: suite.exchange == "DHE" and suite.authentication != "anonymous"),
}


def classic() -> tuple:
    """The codes of SSLv3 to TLS 1.2, best first."""
    return tuple(suite.code for suite in SUITES if not suite.tls13)


def tls13() -> tuple:
    """The codes of TLS 1.3, best first."""
    return tuple(suite.code for suite in SUITES if suite.tls13)


def _named(suite: Suite) -> bool:
    return suite.authentication != "anonymous"


def _ephemeral(suite: Suite) -> bool:
    return suite.exchange not in ("DH", "ECDH")


#: OpenSSL's keywords. Those of static DH and ECDH went with these suites in 1.1.0, those of export grade too. A strength is that of
#: OpenSSL 1.1.0 and newer.
_KEYWORDS = {
    "ALL": lambda suite: suite.cipher != "NULL", "COMPLEMENTOFALL": lambda suite: suite.cipher == "NULL",
    "HIGH": lambda suite: suite.cipher in ("AES", "CAMELLIA", "ARIA", "CHACHA20"),
    "MEDIUM": lambda suite: suite.cipher in ("3DES", "RC4", "SEED", "IDEA") and not suite.export,
    "LOW": lambda suite: suite.cipher == "DES" and not suite.export,
    "EXPORT": lambda suite: suite.export, "EXP": lambda suite: suite.export,
    "EXPORT40": lambda suite: suite.export, "EXPORT56": lambda suite: False,
    "NULL": lambda suite: suite.cipher == "NULL", "eNULL": lambda suite: suite.cipher == "NULL",
    # How the key is agreed upon.
    "kRSA": lambda suite: suite.exchange == "RSA", "RSA": lambda suite: suite.exchange == "RSA",
    "kDHE": lambda suite: suite.exchange == "DHE", "kEDH": lambda suite: suite.exchange == "DHE",
    "DHE": lambda suite: suite.exchange == "DHE" and _named(suite), "EDH": lambda suite: suite.exchange == "DHE" and _named(suite),
    "kECDHE": lambda suite: suite.exchange == "ECDHE", "kEECDH": lambda suite: suite.exchange == "ECDHE",
    "ECDHE": lambda suite: suite.exchange == "ECDHE" and _named(suite), "EECDH": lambda suite: suite.exchange == "ECDHE" and _named(suite),
    "DH": lambda suite: suite.exchange in ("DH", "DHE"), "ECDH": lambda suite: suite.exchange in ("ECDH", "ECDHE"),
    "kDHr": lambda suite: (suite.exchange, suite.authentication) == ("DH", "RSA"),
    "kDHd": lambda suite: (suite.exchange, suite.authentication) == ("DH", "DSS"),
    "kDH": lambda suite: suite.exchange == "DH", "aDH": lambda suite: suite.exchange == "DH",
    "kECDHr": lambda suite: (suite.exchange, suite.authentication) == ("ECDH", "RSA"),
    "kECDHe": lambda suite: (suite.exchange, suite.authentication) == ("ECDH", "ECDSA"),
    "kECDH": lambda suite: suite.exchange == "ECDH", "aECDH": lambda suite: suite.exchange == "ECDH",
    # Who signs it.
    "aNULL": lambda suite: not _named(suite),
    "ADH": lambda suite: suite.exchange == "DHE" and not _named(suite), "AECDH": lambda suite: suite.exchange == "ECDHE" and not _named(suite),
    "aRSA": lambda suite: suite.authentication == "RSA" and _ephemeral(suite),
    "aECDSA": lambda suite: suite.authentication == "ECDSA" and _ephemeral(suite),
    "ECDSA": lambda suite: suite.authentication == "ECDSA" and _ephemeral(suite),
    "aDSS": lambda suite: suite.authentication == "DSS" and _ephemeral(suite),
    "DSS": lambda suite: suite.authentication == "DSS" and _ephemeral(suite),
    # What encrypts.
    "AES": lambda suite: suite.cipher == "AES",
    "AES128": lambda suite: (suite.cipher, suite.bits) == ("AES", 128), "AES256": lambda suite: (suite.cipher, suite.bits) == ("AES", 256),
    "AESGCM": lambda suite: (suite.cipher, suite.mode) == ("AES", "GCM"),
    "AESCCM": lambda suite: suite.cipher == "AES" and suite.mode in ("CCM", "CCM8"),
    "AESCCM8": lambda suite: (suite.cipher, suite.mode) == ("AES", "CCM8"),
    "CHACHA20": lambda suite: suite.cipher == "CHACHA20",
    "CAMELLIA": lambda suite: suite.cipher == "CAMELLIA",
    "CAMELLIA128": lambda suite: (suite.cipher, suite.bits) == ("CAMELLIA", 128),
    "CAMELLIA256": lambda suite: (suite.cipher, suite.bits) == ("CAMELLIA", 256),
    "ARIA": lambda suite: suite.cipher == "ARIA", "ARIAGCM": lambda suite: (suite.cipher, suite.mode) == ("ARIA", "GCM"),
    "ARIA128": lambda suite: (suite.cipher, suite.bits) == ("ARIA", 128), "ARIA256": lambda suite: (suite.cipher, suite.bits) == ("ARIA", 256),
    "SEED": lambda suite: suite.cipher == "SEED", "IDEA": lambda suite: suite.cipher == "IDEA",
    "3DES": lambda suite: suite.cipher == "3DES", "DES": lambda suite: suite.cipher == "DES",
    "RC4": lambda suite: suite.cipher == "RC4", "RC2": lambda suite: suite.cipher == "RC2",
    "CBC": lambda suite: suite.mode == "CBC",
    # What protects against changes: not the hash in the name of an AEAD suite.
    "MD5": lambda suite: suite.mac == "MD5", "SHA": lambda suite: suite.mac == "SHA1", "SHA1": lambda suite: suite.mac == "SHA1",
    "SHA256": lambda suite: suite.mac == "SHA256", "SHA384": lambda suite: suite.mac == "SHA384",
    # The oldest protocol that has the suite.
    "TLSv1.2": lambda suite: suite.mac not in ("SHA1", "MD5"),
    "TLSv1": lambda suite: suite.mac == "SHA1" and suite.exchange in ("ECDH", "ECDHE"),
    "TLSv1.0": lambda suite: suite.mac == "SHA1" and suite.exchange in ("ECDH", "ECDHE"),
    "SSLv3": lambda suite: suite.mac in ("SHA1", "MD5") and suite.exchange not in ("ECDH", "ECDHE"),
}
#: Keywords of OpenSSL for suites that are not in the table.
_ELSEWHERE = frozenset("PSK kPSK aPSK kRSAPSK kDHEPSK kECDHEPSK SRP kSRP aSRP KRB5 kKRB5 aKRB5 kGOST aGOST aGOST01 GOST94 GOST89MAC RC5".split())


def matches(keyword: str) -> frozenset | None:
    """The codes a word of smtpd_tls_exclude_ciphers takes away, or None when OpenSSL would silently ignore it: a typo.

    keyword: one keyword or suite name, or several joined by + (all must hold). Case matters, as to OpenSSL. Empty: the word is right
    but takes away nothing of the table, such as PSK; or a suite of TLS 1.3, which no cipher list reaches. OpenSSL takes IANA's names
    of the older suites since 3.2. A keyword that only an old OpenSSL knows is none of our typos.
    """
    found = frozenset(classic())
    for word in keyword.split("+"):
        if word in _KEYWORDS:
            found &= _codes(_KEYWORDS[word])
        elif word in BY_NAME:
            found &= {BY_NAME[word].code}
        elif word in _ELSEWHERE:
            found = frozenset()
        else:
            return None
    return found
