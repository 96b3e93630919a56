# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of levels and partners, and what of it the plays need. A cell is a domain of its own, as in secure.good.test.

Run as a program it prints, as JSON, {"destinations": entries of tls_policy_destinations, "others": {key: level} of another table,
"transports": {domain: next hop}, "zones": {zone: its text}}.
"""
from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

from reach import Host  # noqa: E402  it lies in the lab, which is no package
from witness import leaf_digest  # noqa: E402  likewise

#: {partner: its host}. What each host's certificate covers is said in SINGLE of the lab's hosts.py, what is wrong with it in prepare.yml.
PARTNERS = {
    "good": "s-good",
    "selfsigned": "s-selfsigned",
    "wrongname": "s-wrongname",  # a good certificate, but for elsewhere.test
    "unknownca": "s-unknownca",
    "expired": "s-expired",
    "rekeyed": "s-good",  # a good certificate, but not the one whose digest we were told and whose TLSA record is in DNS
    "hosted": "s-good",  # its MX is mx.provider.test, and that is whom the certificate names
    "unsigned": "s-selfsigned",  # a TLSA record that fits, in a zone that nobody signed
    "plain": "s-plain",  # no STARTTLS
    "tls10": "s-tls10",  # TLS 1.0 and nothing newer
    "broken": "s-broken",  # the key is another certificate's: STARTTLS is offered, and answered with 454
    "stripped": "s-stripped",  # good, behind a proxy that takes STARTTLS out of the offer
    "wrapped": "s-wrapped",  # [relay]:587, TLS from the first byte: below encrypt Postfix refuses to try
    "exim": "s-exim",
    "opensmtpd": "s-opensmtpd",
}

#: What waits, and words of the reason that the sender's log gives for it.
DEFERRED = {
    "not-offered": "TLS is required, but was not offered by host",
    "454": "refused to start TLS: 454 4.7.0 TLS not available due to local problem",
    "no-handshake": "Cannot start TLS: handshake failure",
    "self-signed": "Server certificate not verified: self-signed certificate",
    "wrong-name": "Server certificate not verified: num=62:hostname mismatch",
    "unknown-ca": "Server certificate not verified: untrusted issuer",
    "expired": "Server certificate not verified: certificate has expired",
    "other-key": "Server certificate not verified: num=65:no matching DANE TLSA records",  # Postfix's words for digests of level fingerprint too
    "no-tlsa": "no TLSA records found",
    "not-signed": "non DNSSEC destination",
    "refused": "smtp_tls_wrappermode requires \"smtp_tls_security_level = encrypt\" (or stronger)",
}

#: A row a partner, a column a level. clear: delivered so that everybody can read it; what fails in the handshake, on the second try alone. Else the
#: word the log has for the connection that the message was delivered over (Untrusted: encrypted all the same; Trusted: by a CA we know; Verified:
#: and it is who it should be), or one of DEFERRED. Anonymous is not among them: the profile leaves no suite without a certificate.
TABLE = """
             none         may          encrypt      fingerprint  verify       secure       dane         dane-only
good         clear        Trusted      Trusted      Verified     Verified     Verified     Verified     Verified
selfsigned   clear        Untrusted    Untrusted    Verified     self-signed  self-signed  Verified     Verified
wrongname    clear        Trusted      Trusted      Verified     wrong-name   wrong-name   Trusted      no-tlsa
unknownca    clear        Untrusted    Untrusted    Verified     unknown-ca   unknown-ca   Untrusted    no-tlsa
expired      clear        Untrusted    Untrusted    Verified     expired      expired      Verified     Verified
rekeyed      clear        Trusted      Trusted      other-key    Verified     Verified     other-key    other-key
hosted       clear        Trusted      Trusted      Verified     Verified     wrong-name   Trusted      no-tlsa
unsigned     clear        Untrusted    Untrusted    Verified     self-signed  self-signed  Untrusted    not-signed
plain        clear        clear        not-offered  not-offered  not-offered  not-offered  clear        no-tlsa
tls10        clear        clear        no-handshake no-handshake no-handshake no-handshake clear        no-tlsa
broken       clear        clear        454          454          454          454          454          454
stripped     clear        clear        not-offered  not-offered  not-offered  not-offered  not-offered  not-offered
wrapped      refused      refused      Trusted      Verified     Verified     Verified     Verified     Verified
exim         clear        Trusted      Trusted      Verified     Verified     Verified     Verified     Verified
opensmtpd    clear        Trusted      Trusted      Verified     Verified     Verified     Trusted      no-tlsa
"""

LEVELS, *_ROWS = (line.split() for line in TABLE.strip().splitlines())
#: {level: {partner: the word, or ("deferred", words of the reason)}}
EXPECTED = {
    level: {partner: ("deferred", DEFERRED[words[column]]) if words[column] in DEFERRED else words[column] for partner, *words in _ROWS}
    for column, level in enumerate(LEVELS)
}
CELLS = [(level, partner) for level in LEVELS for partner in PARTNERS]

#: {partner that has TLSA records: the host whose key they name}. The others have none.
TLSA = {
    "good": "s-good", "selfsigned": "s-selfsigned", "expired": "s-expired", "rekeyed": "s-wrongname", "unsigned": "s-selfsigned", "broken": "s-broken",
    "stripped": "s-good", "wrapped": "s-wrapped", "exim": "s-exim",
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


def refused(level: str, partner: str) -> bool:
    """Whether Postfix sends nothing at all so, and we write no such entry: it stands in a table of somebody else's, behind ours."""
    return EXPECTED[level][partner] == ("deferred", DEFERRED["refused"])


def entries() -> list:
    """For tls_policy_destinations, one a cell."""
    return [
        {"destination": destination(level, partner), "level": level, **({_DIGESTS: [digest(partner)]} if level == "fingerprint" else {})}
        for level, partner in CELLS if not refused(level, partner)
    ]


def zones() -> dict:
    """{zone: its text}, of test, which is to be signed, and of unsigned.test, which is not."""
    found = {}
    for zone in ("test", "unsigned.test"):
        lines = ["$TTL 3600", "%s. SOA ns.test. postmaster.test. 1 3600 600 86400 60" % zone, "%s. NS ns.test." % zone]
        for partner in PARTNERS:
            lines += _records(partner) if (partner == "unsigned") == (zone == "unsigned.test") else []
        found[zone] = "\n".join(lines) + "\n"
    found["test"] += "ns.test. A 127.0.0.1\nunsigned.test. NS ns.test.\n"
    return found


def _records(partner: str) -> list:
    address = Host(PARTNERS[partner]).address
    if partner == "wrapped":
        servers = ["_587._tcp.%s" % domain(level, partner) for level in LEVELS]
        lines = ["%s. A %s" % (domain(level, partner), address) for level in LEVELS]
    else:
        exchanger = "mx.provider.test" if partner == "hosted" else "mx.%s.test" % partner
        lines = ["*.%s.test. MX 10 %s." % (partner, exchanger), "%s. A %s" % (exchanger, address)]
        servers = ["_25._tcp." + exchanger]
    if partner in TLSA:
        lines += ["%s. TLSA 3 1 1 %s" % (server, _key_digest(TLSA[partner])) for server in servers]
    return lines


def _key_digest(host: str) -> str:
    """SHA-256 of the public key of the certificate that a host serves, or would serve."""
    certificate = x509.load_pem_x509_certificate(Path(Host(host).vars["lab_partner_chain_file"]).read_bytes())
    return hashlib.sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def main() -> None:
    print(json.dumps({
        "destinations": entries(),
        "others": {destination(*cell): cell[0] for cell in CELLS if refused(*cell)},
        "transports": {domain(*cell): "wrapped:" + destination(*cell) for cell in CELLS if cell[1] == "wrapped"},
        "zones": zones(),
    }))


if __name__ == "__main__":
    main()
