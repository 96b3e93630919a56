# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a certificate says of itself, as plain values, read from its DER.

Whether it is to be believed is OpenSSL's verdict in the handshake, never this file's. Python's ssl tells these facts only of
certificates that it verified, and from 3.10 on, and importing a library for them takes longer than a probe: so the few fields are
read here, of any certificate on any host. Source: RFC 5280 sections 4.1 and 4.2.1.6; X.690.
"""
from __future__ import annotations

import datetime
import hashlib
import ipaddress
import re
import time
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import printable

_SEQUENCE, _SET, _INTEGER, _BIT_STRING, _OCTET_STRING, _OID = 0x30, 0x31, 0x02, 0x03, 0x04, 0x06
_UTC_TIME, _GENERALIZED_TIME, _VERSION, _EXTENSIONS = 0x17, 0x18, 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS, _KEY_IDENTIFIER, _ISSUER, _SERIAL, _DIRECTORY_NAME = 0x82, 0x87, 0x80, 0xA1, 0x82, 0xA4
_ENCODINGS = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x0C: "utf-8"}  # BMPString, UniversalString, UTF8String; everything else is shown byte by byte

_ATTRIBUTES = {
    "2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.5": "serialNumber",
    "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}
_COMMON_NAME = "2.5.4.3"
_SUBJECT_ALT_NAME, _SUBJECT_KEY, _AUTHORITY_KEY = "2.5.29.17", "2.5.29.14", "2.5.29.35"

#: {OID: (type of key, its size in bits or None where the key tells)}
_KEYS = {
    "1.2.840.113549.1.1.1": ("RSA", None), "1.2.840.113549.1.1.10": ("RSA", None), "1.2.840.10045.2.1": ("EC", None),
    "1.2.840.10040.4.1": ("DSA", None), "1.3.101.112": ("Ed25519", 256), "1.3.101.113": ("Ed448", 456),
}
_PSS_ALONE = {"1.2.840.113549.1.1.10": "RSA-PSS"}
#: {OID: (name of the curve as OpenSSL has it, bits)}
_CURVES = {
    "1.2.840.10045.3.1.7": ("prime256v1", 256), "1.3.132.0.34": ("secp384r1", 384), "1.3.132.0.35": ("secp521r1", 521),
    "1.3.132.0.33": ("secp224r1", 224), "1.2.840.10045.3.1.1": ("prime192v1", 192), "1.3.132.0.1": ("sect163k1", 163), "1.3.132.0.15": ("sect163r2", 163),
    "1.3.132.0.10": ("secp256k1", 256), "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384), "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512),
}
#: {OID: (name as OpenSSL has it, its hash)}; of RSASSA-PSS the parameters name the hash.
_SIGNATURES = {
    "1.2.840.113549.1.1.4": ("md5WithRSAEncryption", "MD5"), "1.2.840.113549.1.1.5": ("sha1WithRSAEncryption", "SHA1"),
    "1.2.840.113549.1.1.14": ("sha224WithRSAEncryption", "SHA224"), "1.2.840.113549.1.1.11": ("sha256WithRSAEncryption", "SHA256"),
    "1.2.840.113549.1.1.12": ("sha384WithRSAEncryption", "SHA384"), "1.2.840.113549.1.1.13": ("sha512WithRSAEncryption", "SHA512"),
    "1.2.840.113549.1.1.10": ("rsassaPss", "SHA1"), "1.2.840.10045.4.1": ("ecdsa-with-SHA1", "SHA1"),
    "1.2.840.10045.4.3.1": ("ecdsa-with-SHA224", "SHA224"), "1.2.840.10045.4.3.2": ("ecdsa-with-SHA256", "SHA256"),
    "1.2.840.10045.4.3.3": ("ecdsa-with-SHA384", "SHA384"), "1.2.840.10045.4.3.4": ("ecdsa-with-SHA512", "SHA512"),
    "1.2.840.10040.4.3": ("dsa-with-SHA1", "SHA1"), "1.3.101.112": ("ED25519", "intrinsic"), "1.3.101.113": ("ED448", "intrinsic"),
}
_HASHES = {"1.3.14.3.2.26": "SHA1", "2.16.840.1.101.3.4.2.4": "SHA224", "2.16.840.1.101.3.4.2.1": "SHA256",
           "2.16.840.1.101.3.4.2.2": "SHA384", "2.16.840.1.101.3.4.2.3": "SHA512"}

_FIELDS = ("subject", "issuer", "self_signed", "names", "common_names", "serial", "not_before", "not_after", "days_left", "key_type", "key_bits", "curve",
           "signature", "signature_hash", "spki_sha256")


class _Unreadable(Exception):
    """That is no DER, or not of a certificate."""


def facts(der: bytes | None) -> dict:
    """Keys as RV(results[].certificates); all but the digest are null where the DER can't be read, all where there is none."""
    known = dict.fromkeys(("sha256", *_FIELDS))
    if der is None:
        return known
    known["sha256"] = hashlib.sha256(der).hexdigest()
    try:
        known.update(_read(der))
    except (_Unreadable, ValueError, IndexError, OverflowError):
        pass
    return known


def key_identifiers(der: bytes) -> tuple:
    """(of the certificate's own key, of the key that signed it), each None where it does not say so. RFC 5280 sections 4.2.1.1 and 4.2.1.2."""
    try:
        [(_tag, whole, _raw)] = _elements(der, _SEQUENCE)
        own, issuer = _identifiers([value for tag, value, _raw in _elements(_elements(whole)[0][1]) if tag == _EXTENSIONS])
        return own, issuer.get(_KEY_IDENTIFIER)
    except (_Unreadable, ValueError, IndexError):
        return None, None


def key_kind(der: bytes) -> tuple | None:
    """(type, curve) of the key, an RSA key that is for RSASSA-PSS alone (RFC 4055 section 1.2) a type of its own; None where it can't be read."""
    try:
        [(_tag, whole, _raw)] = _elements(der, _SEQUENCE)
        fields = [element for element in _elements(_elements(whole)[0][1]) if element[0] != _VERSION]
        kind, _bits, curve = _key(fields[5][1])
        oid, _parameters = _algorithm(_elements(fields[5][1])[0][1])
        return (_PSS_ALONE.get(oid, kind), curve) if kind else None
    except (_Unreadable, ValueError, IndexError):
        return None


def ending(certificate: dict) -> str:
    """When it ends or ended (facts whose days_left is known), in words: "ends 2027-01-01T00:00:00Z, 36 days from now"."""
    days = certificate["days_left"]
    left = "%d day%s" % (days if days >= 0 else -1 - days, "" if days in (1, -2) else "s") if days not in (0, -1) else "less than a day"
    return "%s %s, %s" % ("ends" if days >= 0 else "ended", certificate["not_after"], left + (" from now" if days >= 0 else " ago"))


def ordered(chain: list) -> bool | None:
    """Whether each certificate (facts, as sent) was issued by the next one, RFC 5246 section 7.4.2. None where one can't be read.

    More of the same name, and what is behind the last issuer, are passed over, as peers do (RFC 8446 section 4.4.2).
    """
    if any(certificate["subject"] is None for certificate in chain):
        return None
    last = 0
    for position, upper in enumerate(chain[1:], 1):
        if chain[last]["issuer"] == upper["subject"]:
            last = position
        elif upper["subject"] != chain[last]["subject"] or not last:
            return last > 0 and chain[last]["issuer"] not in [certificate["subject"] for certificate in chain[position:]]
    return True


def _read(der: bytes) -> dict:
    [(_tag, whole, _raw)] = _elements(der, _SEQUENCE)
    (_tag, signed, _raw), (_tag, signature_algorithm, _raw), _signature = _elements(whole)
    fields = [element for element in _elements(signed) if element[0] != _VERSION]
    serial, _algorithm, issuer, validity, subject, spki = fields[:6]
    extensions = [value for tag, value, _raw in fields[6:] if tag == _EXTENSIONS]
    begins, ends = (_seconds(tag, value) for tag, value, _raw in _elements(validity[1]))
    signature, signature_hash = _signature_of(signature_algorithm)
    key_type, key_bits, curve = _key(spki[1])
    return {
        "subject": _distinguished(subject[1]),
        "issuer": _distinguished(issuer[1]),
        "self_signed": subject[2] == issuer[2] and _by_own_key(extensions, issuer, serial[1]) and _may_sign(key_type, signature),
        "names": _names(extensions),
        "common_names": [printable(text) for kind, text in _attributes(subject[1]) if kind == _COMMON_NAME],
        "serial": "%X" % int.from_bytes(serial[1], "big"),
        "not_before": _iso(begins),
        "not_after": _iso(ends),
        "days_left": int((ends - time.time()) // 86400),
        "key_type": key_type,
        "key_bits": key_bits,
        "curve": curve,
        "signature": signature,
        "signature_hash": signature_hash,
        "spki_sha256": hashlib.sha256(spki[2]).hexdigest(),
    }


def _elements(data: bytes, expected: int | None = None) -> list:
    """[(tag, value, the whole element)] of DER; expected: the tag that each must have."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise _Unreadable()
        tag, length, begin = data[at], data[at + 1], at + 2
        if length > 0x84 or length == 0x80 or tag & 0x1F == 0x1F:
            raise _Unreadable()
        if length > 0x80:
            width, begin = length - 0x80, begin + length - 0x80
            length = int.from_bytes(data[begin - width:begin], "big")
        end = begin + length
        if end > len(data) or expected not in (None, tag):
            raise _Unreadable()
        found.append((tag, data[begin:end], data[at:end]))
        at = end
    return found


def _oid(value: bytes) -> str:
    parts, number = [], 0
    if len(value) > 64:
        raise _Unreadable()
    for byte in value:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            parts.append(number)
            number = 0
    if not parts:
        raise _Unreadable()
    first = min(parts[0] // 40, 2)
    return ".".join(map(str, (first, parts[0] - 40 * first, *parts[1:])))


def _seconds(tag: int, value: bytes) -> int:
    """RFC 5280 section 4.1.2.5: years of two digits are 1950 to 2049; always in UTC and with seconds."""
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "5" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise _Unreadable()
    parts = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z", text)  # strptime would import more than a look takes
    if not parts:
        raise _Unreadable()
    return int((datetime.datetime(*map(int, parts.groups())) - datetime.datetime(1970, 1, 1)).total_seconds())


def _iso(seconds: int) -> str:
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _distinguished(name: bytes) -> str:
    """RFC 4514 order: the most specific part first; a comma within a value is escaped."""
    parts = ["%s=%s" % (_ATTRIBUTES.get(kind, kind), printable(text).replace(",", "\\,")) for kind, text in _attributes(name)]
    return ",".join(reversed(parts))


def _attributes(name: bytes) -> Iterator[tuple]:
    """(OID, text) of each attribute of a distinguished name, in the order in which they stand there."""
    for _tag, relative, _raw in _elements(name, _SET):
        for _tag, attribute, _raw in _elements(relative, _SEQUENCE):
            yield _pair(attribute)


def _pair(attribute: bytes) -> tuple:
    (_tag, oid, _raw), (tag, value, _raw) = _elements(attribute)
    return _oid(oid), value.decode(_ENCODINGS.get(tag, "latin-1"), "backslashreplace")


def _names(wrapped: list) -> list:
    found = []
    for kind, value in _general_names(wrapped):
        if kind == _DNS_NAME:
            found.append("DNS:" + printable(value))
        elif kind == _IP_ADDRESS and len(value) in (4, 16):
            found.append("IP:%s" % ipaddress.ip_address(value))
    return found


def _general_names(wrapped: list) -> Iterator[tuple]:
    for oid, value in _extensions(wrapped):
        if oid == _SUBJECT_ALT_NAME:
            [(_tag, alternatives, _raw)] = _elements(value, _SEQUENCE)
            for kind, name, _raw in _elements(alternatives):
                yield kind, name


def _extensions(wrapped: list) -> Iterator[tuple]:
    """(OID, value) of each. wrapped: the extensions of a certificate, in a list that is empty where it has none."""
    for whole in wrapped[:1]:
        [(_tag, extensions, _raw)] = _elements(whole, _SEQUENCE)
        for _tag, extension, _raw in _elements(extensions, _SEQUENCE):
            (_tag, oid, _raw), *_critical, (_tag, value, _raw) = _elements(extension)
            yield _oid(oid), value


def _identifiers(wrapped: list) -> tuple:
    """(identifier of the own key or None, {tag: value} of what is said of the issuer's key)"""
    extensions = dict(_extensions(wrapped))
    own = _elements(extensions[_SUBJECT_KEY], _OCTET_STRING)[0][1] if _SUBJECT_KEY in extensions else None
    parts = _elements(_elements(extensions[_AUTHORITY_KEY], _SEQUENCE)[0][1]) if _AUTHORITY_KEY in extensions else []
    return own, {tag: value for tag, value, _raw in parts}


def _by_own_key(wrapped: list, issuer: tuple, serial: bytes) -> bool:
    """Whether a certificate whose issuer has its own name may be signed with its own key: not where it names another, as after a root's change of keys.

    Source: OpenSSL, X509_check_akid, which so tells what is self-signed.
    """
    own, said = _identifiers(wrapped)
    if own and said.get(_KEY_IDENTIFIER, own) != own or said.get(_SERIAL, serial) != serial:
        return False
    directory = [value for tag, value, _raw in _elements(said.get(_ISSUER, b"")) if tag == _DIRECTORY_NAME]
    return not directory or directory[0] == issuer[2]


def _may_sign(key_type: str | None, signature: str) -> bool:
    """Whether a key of that type makes such signatures; what is not known may."""
    kind = next((kind for mark, kind in (("rsa", "RSA"), ("ecdsa", "EC"), ("dsa", "DSA"), ("ed", "Ed")) if mark in signature.lower()), "")
    return key_type is None or key_type.startswith(kind)


def _algorithm(sequence: bytes) -> tuple:
    """(OID, its parameters as one element or None)"""
    (_tag, oid, _raw), *parameters = _elements(sequence)
    return _oid(oid), parameters[0] if parameters else None


def _key(spki: bytes) -> tuple:
    """(type, bits, name of the curve); null what is not known."""
    (_tag, algorithm, _raw), (_tag, bits, _raw) = _elements(spki)
    oid, parameters = _algorithm(algorithm)
    kind, size = _KEYS.get(oid, (None, None))
    if kind == "EC" and parameters and parameters[0] == _OID:
        curve, size = _CURVES.get(_oid(parameters[1]), (None, None))
        return kind, size, curve
    if kind == "RSA":
        [(_tag, key, _raw)] = _elements(bits[1:], _SEQUENCE)
        size = int.from_bytes(_elements(key, _INTEGER)[0][1], "big").bit_length()
    return kind, size, None


def _signature_of(algorithm: bytes) -> tuple:
    """(name, hash)"""
    oid, parameters = _algorithm(algorithm)
    name, digest = _SIGNATURES.get(oid, (oid, None))
    if name == "rsassaPss" and parameters:
        for tag, value, _raw in _elements(parameters[1]):
            if tag == 0xA0:
                [(_tag, hashed, _raw)] = _elements(value, _SEQUENCE)
                digest = _HASHES.get(_algorithm(hashed)[0])
    return name, digest
