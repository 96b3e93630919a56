# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a certificate says of itself, as plain values.

What verdicts rest on comes from the handshake, so a host needs no library for them. Key and signature come from the library
C(cryptography) where there is one. It is imported only here and only on request, because that takes longer than a probe.
"""
from __future__ import annotations

import hashlib
import socket
import ssl
import time

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import printable
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.names import packed_address

_SHORT = {
    "commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C", "localityName": "L",
    "stateOrProvinceName": "ST", "domainComponent": "DC",
}


def facts(der: bytes, info: dict | None, details: bool) -> dict:
    """Keys as RV(results[].certificates); null where unknown. info: of getpeercert(). details: key and signature, too."""
    info = info or {}
    subject, issuer = _distinguished(info.get("subject")), _distinguished(info.get("issuer"))
    ends = _seconds(info.get("notAfter"))
    known = {
        "sha256": hashlib.sha256(der).hexdigest(),
        "subject": subject,
        "issuer": issuer,
        "self_signed": None if subject is None else subject == issuer,
        "names": _names(info.get("subjectAltName", ())) if info else None,
        "serial": info.get("serialNumber"),
        "not_before": _iso(_seconds(info.get("notBefore"))),
        "not_after": _iso(ends),
        "days_left": None if ends is None else int((ends - time.time()) // 86400),
        "key_type": None,
        "key_bits": None,
        "signature": None,
        "spki_sha256": None,
    }
    if details:
        known.update(_details(der))
    return known


def _details(der: bytes) -> dict:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        return {}
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    except Exception:  # the library names no closed set of errors for a stranger's ASN.1
        return {}
    kind = type(key).__name__.lstrip("_").replace("PublicKey", "")
    return {
        "key_type": "EC" if kind.startswith("Elliptic") else kind,
        # Ed25519 and Ed448 have one size each and no attribute for it.
        "key_bits": getattr(key, "key_size", None) or {"Ed25519": 256, "Ed448": 456}.get(kind),
        "signature": certificate.signature_algorithm_oid._name,
        "spki_sha256": hashlib.sha256(spki).hexdigest(),
    }


def _distinguished(name) -> str | None:
    """RFC 4514 order: the most specific part first."""
    if name is None:
        return None
    parts = ["%s=%s" % (_SHORT.get(kind, kind), printable(value).replace(",", "\\,")) for part in name for kind, value in part]
    return ",".join(reversed(parts))


def _names(alternatives) -> list:
    found = []
    for kind, value in alternatives:
        if kind == "DNS":
            found.append("DNS:" + printable(value))
        elif kind == "IP Address":
            packed = packed_address(value.strip())
            if packed:
                found.append("IP:" + socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed))
    return found


def _seconds(date: str | None) -> int | None:
    try:
        return ssl.cert_time_to_seconds(date) if date else None
    except ValueError:
        return None


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
