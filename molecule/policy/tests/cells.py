#!/usr/bin/env python
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of levels and partners, and what of it the plays need. A cell is a domain of its own, as in secure.good.test.

Run as a program it prints, as JSON, {"destinations": entries of tls_policy_destinations, "transports": {domain: next hop}, "addresses": {domain: address}}.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

from reach import Host  # noqa: E402  it lies in the lab, which is no package
from witness import leaf_digest  # noqa: E402

#: {partner: its host}. What each host's certificate covers is said in SINGLE of the lab's hosts.py, what is wrong with it in prepare.yml.
PARTNERS = {
    "good": "s-good",
    "selfsigned": "s-selfsigned",
    "wrongname": "s-wrongname",  # a good certificate, but for elsewhere.test
    "unknownca": "s-unknownca",
    "expired": "s-expired",
    "rekeyed": "s-good",  # a good certificate, but not the one whose digest we were told
    "plain": "s-plain",  # no STARTTLS
    "tls10": "s-tls10",  # TLS 1.0 and nothing newer
    "broken": "s-broken",  # the key is another certificate's: STARTTLS is offered, and answered with 454
    "stripped": "s-stripped",  # good, behind a proxy that takes STARTTLS out of the offer
    "wrapped": "s-wrapped",  # [relay]:587, TLS from the first byte
    "exim": "s-exim",
    "opensmtpd": "s-opensmtpd",
}
LEVELS = ("none", "may", "encrypt", "fingerprint", "verify", "secure")
CELLS = [(level, partner) for level in LEVELS for partner in PARTNERS]

_NOT_OFFERED = ("deferred", "TLS is required, but was not offered by host")
_ANSWERED_454 = ("deferred", "refused to start TLS: 454 4.7.0 TLS not available due to local problem")
_NO_HANDSHAKE = ("deferred", "Cannot start TLS: handshake failure")
_SELF_SIGNED = ("deferred", "Server certificate not verified: self-signed certificate")
_WRONG_NAME = ("deferred", "Server certificate not verified: num=62:hostname mismatch")
_UNKNOWN_CA = ("deferred", "Server certificate not verified: untrusted issuer")
_EXPIRED = ("deferred", "Server certificate not verified: certificate has expired")
_OTHER_KEY = ("deferred", "Server certificate not verified: num=65:no matching DANE TLSA records")
_WRAPPED = ("deferred", "smtp_tls_wrappermode requires \"smtp_tls_security_level = encrypt\" (or stronger)")

#: {level: {partner: what becomes of the message}}: "clear", or the word the log has for the connection it went over; or ("deferred", words of the
#: reason). Trusted: by a CA we know; Verified: and it is who it should be; Untrusted: encrypted all the same.
EXPECTED = {
    "none": {**dict.fromkeys(PARTNERS, "clear"), "wrapped": _WRAPPED},
    "may": {
        "good": "Trusted", "selfsigned": "Untrusted", "wrongname": "Trusted", "unknownca": "Untrusted", "expired": "Untrusted", "rekeyed": "Trusted",
        "plain": "clear", "tls10": "clear", "broken": "clear", "stripped": "clear", "wrapped": _WRAPPED, "exim": "Trusted", "opensmtpd": "Trusted",
    },
    "encrypt": {
        "good": "Trusted", "selfsigned": "Untrusted", "wrongname": "Trusted", "unknownca": "Untrusted", "expired": "Untrusted", "rekeyed": "Trusted",
        "plain": _NOT_OFFERED, "tls10": _NO_HANDSHAKE, "broken": _ANSWERED_454, "stripped": _NOT_OFFERED,
        "wrapped": "Trusted", "exim": "Trusted", "opensmtpd": "Trusted",
    },
    "fingerprint": {
        "good": "Verified", "selfsigned": "Verified", "wrongname": "Verified", "unknownca": "Verified", "expired": "Verified", "rekeyed": _OTHER_KEY,
        "plain": _NOT_OFFERED, "tls10": _NO_HANDSHAKE, "broken": _ANSWERED_454, "stripped": _NOT_OFFERED,
        "wrapped": "Verified", "exim": "Verified", "opensmtpd": "Verified",
    },
    **dict.fromkeys(("verify", "secure"), {
        "good": "Verified", "selfsigned": _SELF_SIGNED, "wrongname": _WRONG_NAME, "unknownca": _UNKNOWN_CA, "expired": _EXPIRED,
        "rekeyed": "Verified", "plain": _NOT_OFFERED, "tls10": _NO_HANDSHAKE, "broken": _ANSWERED_454, "stripped": _NOT_OFFERED,
        "wrapped": "Verified", "exim": "Verified", "opensmtpd": "Verified",
    }),
}

#: The option that holds the digests at level fingerprint.
_DIGESTS = "fingerprints"


def domain(level: str, partner: str) -> str:
    return "%s.%s.test" % (level, partner)


def destination(level: str, partner: str) -> str:
    """What Postfix looks up in the policy: the next hop."""
    return "[%s]:587" % domain(level, partner) if partner == "wrapped" else domain(level, partner)


def digest(partner: str) -> str:
    """SHA-256 of the partner's certificate, as Postfix writes it, that we were told. One without TLS told us none that it shows; rekeyed told us
    what was the digest of another.
    """
    holder = {"rekeyed": "s-wrongname", "plain": "s-good", "stripped": "s-good"}.get(partner, PARTNERS[partner])
    return ":".join("%02X" % octet for octet in bytes.fromhex(leaf_digest(Host(holder).vars["lab_partner_chain_file"])))


def entries() -> list:
    """For tls_policy_destinations, one a cell."""
    return [
        {"destination": destination(level, partner), "level": level, **({_DIGESTS: [digest(partner)]} if level == "fingerprint" else {})}
        for level, partner in CELLS
    ]


def main() -> None:
    print(json.dumps({
        "destinations": entries(),
        "transports": {domain(*cell): "wrapped:" + destination(*cell) for cell in CELLS if cell[1] == "wrapped"},
        "addresses": {domain(*cell): Host(PARTNERS[cell[1]]).address for cell in CELLS},
    }))


if __name__ == "__main__":
    main()
