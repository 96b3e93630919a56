# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates made at test time, with whatever is to be wrong about them."""
from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FORMATS = {
    "PKCS8": serialization.PrivateFormat.PKCS8,
    "traditional": serialization.PrivateFormat.TraditionalOpenSSL,  # PKCS1 for RSA, SEC1 for EC
}
KINDS = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
}


@dataclass(frozen=True)
class Issued:
    """A key and the certificate for it."""

    key: object
    certificate: x509.Certificate

    def key_pem(self, form: str = "PKCS8", passphrase: bytes | None = None) -> str:
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, FORMATS[form], encryption).decode()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def issue(
    name: str, issuer: Issued | None = None, *, names: tuple = (), authority: bool = False, days: tuple = (-1, 30), kind: str = "ec",
    client: bool = False, digest: hashes.HashAlgorithm = hashes.SHA256(), key: object = None, identifiers: bool = True,
    extensions: tuple | None = None, subject: x509.Name | None = None,
) -> Issued:
    """names: for subjectAltName, the name itself without. days: from now, of the first and the last. kind: of KINDS.

    client: not for servers. digest: of the issuer's signature. key: one that is there already. identifiers: of both keys, RFC 5280 section 4.2.1.1.
    extensions: in place of subjectAltName and extendedKeyUsage; of an authority, beside its others.
    subject: instead of name as the common name.
    """
    key = key or KINDS[kind]()
    subject = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signer_name = (issuer.key, issuer.certificate.subject) if issuer else (key, subject)
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(signer_name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0])).not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    for extension in extensions or ():
        builder = builder.add_extension(extension, critical=False)
    if not authority and extensions is None:
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(entry) for entry in names or (name,)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Issued(key, builder.sign(signer, None if isinstance(signer, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else digest))


def signed_with(digest: hashes.HashAlgorithm, issued: Issued, issuer: Issued) -> Issued:
    """The same certificate with a signature by MD5 or SHA-1, which cryptography makes none with. Its issuer's key is of RSA, and it was signed with SHA-256."""
    last = {"md5": b"\x04", "sha1": b"\x05"}[digest.name]
    algorithm = bytes.fromhex("06092a864886f70d0101")
    der = issued.certificate.public_bytes(serialization.Encoding.DER).replace(algorithm + b"\x0b", algorithm + last)
    signed = issued.certificate.tbs_certificate_bytes.replace(algorithm + b"\x0b", algorithm + last)
    signature = issuer.key.sign(signed, padding.PKCS1v15(), digest)
    return Issued(issued.key, x509.load_der_x509_certificate(der[:-len(signature)] + signature))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
