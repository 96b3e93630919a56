# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority of the lab's own, with a root and an intermediate, and a key and chain per host."""
from __future__ import annotations

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 365


class Authority:
    """folder: root.pem (to trust), and per name NAME.key (mode 0600) and NAME.pem."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.root = folder / "root.pem"
        if not (folder / "intermediate.pem").exists():
            root = self._issue("Lab root", None, authority=True)
            self._write("root", *root)
            self._write("intermediate", *self._issue("Lab intermediate", root, authority=True))

    def chain(self, host: str, another: str = "", **leaf: object) -> tuple:
        """(key file, chain file) for a host: its certificate, then the intermediate.

        another: a word for the files of one more chain. leaf: days (valid from now; below zero, ended so long ago), key, and names in place of
        the host's.
        """
        name = "-".join(filter(None, (host, another)))
        if not (self.folder / (name + ".pem")).exists():
            issuer = self._read("intermediate")
            key, certificate = self._issue(host, issuer, **leaf)
            self._write(name, key, certificate, issuer[1])
        return self.folder / (name + ".key"), self.folder / (name + ".pem")

    def rsa_chain(self, host: str) -> tuple:
        """As chain, with an RSA key, and with the root at its end as some hand it out: not of the other chain's length."""
        name = host + "-rsa-with-root"
        if not (self.folder / (name + ".pem")).exists():
            issuer = self._read("intermediate")
            key, leaf = self._issue(host, issuer, key=rsa_key())
            self._write(name, key, leaf, issuer[1], self._read("root")[1])
        return self.folder / (name + ".key"), self.folder / (name + ".pem")

    def selfsigned(self, host: str, names: tuple = ()) -> tuple:
        """(key file, chain file) of a certificate that only vouches for itself. names: in place of the host's."""
        name = host + "-selfsigned"
        if not (self.folder / (name + ".pem")).exists():
            self._write(name, *self._issue(host, None, names=names))
        return self.folder / (name + ".key"), self.folder / (name + ".pem")

    def unknown_chain(self, host: str, names: tuple = ()) -> tuple:
        """As chain, below a root that nobody trusts and whose key is not kept."""
        name = host + "-unknown"
        if not (self.folder / (name + ".pem")).exists():
            root = self._issue("Unknown root", None, authority=True)
            self._write(name, *self._issue(host, root, names=names), root[1])
        return self.folder / (name + ".key"), self.folder / (name + ".pem")

    def issuer(self, name: str = "intermediate") -> tuple:
        """(key, certificate) of the intermediate or of the root, to issue with."""
        return self._read(name)

    @staticmethod
    def _issue(
        name: str, issuer: tuple | None, authority: bool = False, days: int = _DAYS, key: object = None, names: tuple = (),
    ) -> tuple:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer_key, issuer_name = (issuer[0], issuer[1].subject) if issuer else (key, subject)
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=min(days, 0), hours=-1)).not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(_usage(authority), critical=True)
        )
        if not authority:
            builder = (
                builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names or (name,)))), critical=False)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            )
        return key, builder.sign(issuer_key, hashes.SHA256())

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *certificates: x509.Certificate) -> None:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
        )
        descriptor = os.open(self.folder / (name + ".key"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
        text = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)
        (self.folder / (name + ".pem")).write_bytes(text)

    def _read(self, name: str) -> tuple:
        key = serialization.load_pem_private_key((self.folder / (name + ".key")).read_bytes(), None)
        return key, x509.load_pem_x509_certificate((self.folder / (name + ".pem")).read_bytes())


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )
