# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proof in memory says of a chain, before anything is written, is what the look on the wire finds once Postfix serves it.

Each row has a listener of its own that was configured by hand, and serves whatever it is given. The third opinion is Postfix's own client, at secure: what
is predicted of mail at that level is what it does.
"""
from __future__ import annotations

import io
import json
import secrets
import tarfile
from ipaddress import ip_address
from pathlib import Path
from typing import Callable, NamedTuple

import pytest
from conftest import ALL, Issuer, each, hand_out
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from issuing import Issued, issue, signed_with
from reach import TOP, Host

#: Postfix 3.5 with OpenSSL 1.1.1, which looks for addresses among the names and takes SHA-1; 3.7 with 3.0, 3.10 with 3.5, 3.11 with 3.6.
HOSTS = ALL
OLD, NEWER = HOSTS[:1], HOSTS[1:]
FOLDER = "/srv/verdicts"
CA_FILE = FOLDER + "/roots.pem"
FIRST_PORT = 2601
DRIVER = Path(__file__).with_name("verdicts_on_host.py")
_LISTENER = (
    "127.0.0.1:%d inet n - n - - smtpd -o smtpd_tls_security_level=may -o smtpd_tls_chain_files=%s -o smtpd_tls_CAfile= -o smtpd_tls_CApath="
    " -o tls_server_sni_maps=\n"
)
_UNPACK = 'import sys; sys.stdout.buffer.write(bytes.fromhex(open("modules").read()))'

_MX = x509.DNSName("mx.example.org")


class Row(NamedTuple):
    """chain: Issuer -> PEM of key, leaf and what is behind it. name: that a peer looks for. good: what memory and wire say. unlike: hosts whose Postfix
    says otherwise. stricter: hosts whose Postfix delivers although that is not predicted.
    """

    chain: Callable
    name: str
    good: bool
    unlike: tuple = ()
    stricter: tuple = ()


def _leaf(*names: x509.GeneralName, usage: object = ExtendedKeyUsageOID.SERVER_AUTH, whole: bool = True, **how: object) -> Callable:
    def made(ca: Issuer) -> str:
        extensions = [x509.SubjectAlternativeName(names)] if names else []
        extensions += [x509.ExtendedKeyUsage([usage])] if usage else []
        leaf = issue("mx.example.org", ca.intermediate, extensions=tuple(extensions), **how)
        return leaf.key_pem() + (ca.chain(leaf) if whole else leaf.pem)
    return made


def _below(*extensions: x509.ExtensionType, **how: object) -> Callable:
    def made(ca: Issuer) -> str:
        above = issue("Lab intermediate of its own", ca.root, authority=True, extensions=extensions, **how)
        leaf = issue("mx.example.org", above)
        return leaf.key_pem() + leaf.pem + above.pem
    return made


def _under() -> Callable:
    def made(ca: Issuer) -> str:
        above = ca.leaf()
        leaf = issue("mx.example.org", above)
        return leaf.key_pem() + leaf.pem + above.pem + ca.intermediate.pem
    return made


def _authority(ca: Issuer) -> str:
    leaf = issue("mx.example.org", ca.intermediate, authority=True, extensions=(x509.SubjectAlternativeName([_MX]),))
    return leaf.key_pem() + ca.chain(leaf)


#: Of RSA, for signatures that cryptography makes none with; it is trusted beside the lab's. What signs a root is nobody's business.
ROOT = issue("Lab root of RSA", authority=True, kind="rsa")
ROOT_BY_MD5 = signed_with(hashes.MD5(), ROOT, ROOT)
MIDDLE = issue("Lab intermediate of RSA", ROOT, authority=True, kind="rsa")
WEAK_ROOTS = {
    "P-192": issue("Lab root of P-192", authority=True, key=ec.generate_private_key(ec.SECP192R1())),
    "RSA 1024": issue("Lab root of RSA 1024", authority=True, kind="rsa1024"),
}
RENEWED = issue("Lab root of RSA", ROOT, authority=True)


def _of(*above: Issued, leaf: Callable = lambda made: made) -> Callable:
    """leaf: what is done with it, which the first of those above signed."""
    def made(_ca: Issuer) -> str:
        own = leaf(issue("mx.example.org", above[0]))
        return own.key_pem() + "".join(issued.pem for issued in (own, *above))
    return made


def _subject(*attributes: tuple) -> Callable:
    """No subjectAltName, and a subject of these attributes."""
    def made(ca: Issuer) -> str:
        own = issue("mx.example.org", ca.intermediate, extensions=(), subject=x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes]))
        return own.key_pem() + ca.chain(own)
    return made


def _small_key() -> rsa.RSAPrivateKey:
    """Of 768 bits, which cryptography makes none of; nobody needs it to be good."""
    def prime() -> int:
        while True:
            number = secrets.randbits(384) | 3 << 382 | 1
            if number % 65537 != 1 and all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7)):
                return number
    first, second = prime(), prime()
    secret = pow(65537, -1, (first - 1) * (second - 1))
    public = rsa.RSAPublicNumbers(65537, first * second)
    return rsa.RSAPrivateNumbers(first, second, secret, secret % (first - 1), secret % (second - 1), pow(second, -1, first), public).private_key()


def _beside_an_old_one(ca: Issuer) -> str:
    """The intermediate once more, as another root certified it, until two days ago."""
    leaf, other = ca.leaf(), issue("Lab root of old", authority=True)
    old = issue("", other, authority=True, key=ca.intermediate.key, days=(-9, -2), subject=ca.intermediate.certificate.subject)
    return leaf.key_pem() + ca.chain(leaf) + old.pem


def _root_too(ca: Issuer) -> str:
    leaf = ca.leaf()
    return leaf.key_pem() + ca.chain(leaf) + ca.root.pem


def _alone(*names: str) -> Callable:
    def made(_ca: Issuer) -> str:
        leaf = issue("mx.example.org", names=names)
        return leaf.key_pem() + leaf.pem
    return made


def _constrained(permitted: list | None, excluded: list | None) -> Callable:
    names = [None if listed is None else [x509.DNSName(name) for name in listed] for listed in (permitted, excluded)]
    return _below(x509.NameConstraints(*names))


NAME = "mx.example.org"
ROWS = {
    "its name": Row(_leaf(_MX), NAME, True),
    "its name, asked for in capitals": Row(_leaf(_MX), "MX.example.ORG", True),
    "its name in capitals": Row(_leaf(x509.DNSName("MX.Example.ORG")), NAME, True),
    "another name": Row(_leaf(x509.DNSName("mx.example.net")), NAME, False),
    "another name beside the common name": Row(_leaf(x509.DNSName("other.example.org")), NAME, False),
    "an address, and the common name": Row(_leaf(x509.IPAddress(ip_address("192.0.2.1"))), NAME, False, HOSTS),
    "no subjectAltName, the name is the common name": Row(_leaf(), NAME, False, HOSTS),
    "a wildcard": Row(_leaf(x509.DNSName("*.example.org")), NAME, True),
    "a wildcard two labels up": Row(_leaf(x509.DNSName("*.org")), NAME, False, OLD, OLD),
    "a wildcard for names below": Row(_leaf(x509.DNSName("*.mx.example.org")), NAME, False),
    "a part of a label as a wildcard": Row(_leaf(x509.DNSName("m*.example.org")), NAME, False),
    "IDN in its ASCII form": Row(_leaf(x509.DNSName("xn--mx-eka.example.org")), "xn--mx-eka.example.org", True),
    "an address of IPv4": Row(_leaf(x509.IPAddress(ip_address("192.0.2.1"))), "192.0.2.1", True, OLD),
    "an address of IPv6": Row(_leaf(x509.IPAddress(ip_address("2001:db8::1"))), "2001:db8::1", True, OLD),
    "an address as a name": Row(_leaf(x509.DNSName("192.0.2.1")), "192.0.2.1", False, OLD, OLD),
    "no extendedKeyUsage": Row(_leaf(_MX, usage=None), NAME, True),
    "for clients alone": Row(_leaf(_MX, usage=ExtendedKeyUsageOID.CLIENT_AUTH), NAME, False),
    "for any use": Row(_leaf(_MX, usage=ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), NAME, False),
    "not valid before tomorrow": Row(_leaf(_MX, days=(1, 30)), NAME, False),
    "expired": Row(_leaf(_MX, days=(-9, -1)), NAME, False),
    "P-384": Row(_leaf(_MX, kind="p384"), NAME, True),
    "P-521": Row(_leaf(_MX, kind="p521"), NAME, True),
    "Ed25519": Row(_leaf(_MX, kind="ed25519"), NAME, True),
    "RSA of 3072 bits": Row(_leaf(_MX, kind="rsa3072"), NAME, True),
    "RSA of 1024 bits": Row(_leaf(_MX, kind="rsa1024"), NAME, False, HOSTS),
    "signed with SHA-1": Row(_of(MIDDLE, leaf=lambda made: signed_with(hashes.SHA1(), made, MIDDLE)), NAME, False, OLD),
    "signed with MD5": Row(_of(MIDDLE, leaf=lambda made: signed_with(hashes.MD5(), made, MIDDLE)), NAME, False),
    "an issuer signed with SHA-1": Row(_of(signed_with(hashes.SHA1(), MIDDLE, ROOT)), NAME, False, OLD),
    "an issuer signed with MD5": Row(_of(signed_with(hashes.MD5(), MIDDLE, ROOT)), NAME, False),
    "a root signed with MD5": Row(_of(MIDDLE, ROOT_BY_MD5), NAME, True),
    "a root of P-192": Row(_of(WEAK_ROOTS["P-192"]), NAME, True),
    "a root of RSA with 1024 bits": Row(_of(WEAK_ROOTS["RSA 1024"]), NAME, True),
    "an issuer of P-192": Row(_below(key=ec.generate_private_key(ec.SECP192R1())), NAME, True),
    "an issuer of RSA with 1024 bits": Row(_below(kind="rsa1024"), NAME, False, HOSTS),
    "an issuer of RSA with 768 bits": Row(_below(key=_small_key()), NAME, False),
    "RSA of 768 bits": Row(_leaf(_MX, key=_small_key()), NAME, False),
    "an issuer with its root's name, and another key": Row(_of(RENEWED), NAME, True),
    "its root is sent along": Row(_root_too, "{fqdn}", True),
    "an old certificate of its issuer beside": Row(_beside_an_old_one, "{fqdn}", True),
    "its name and an address": Row(_leaf(_MX, x509.IPAddress(ip_address("192.0.2.1"))), NAME, True),
    "its name with a dot in the certificate": Row(_leaf(x509.DNSName("mx.example.org.")), NAME, False),
    "its name with two dots in the certificate": Row(_leaf(x509.DNSName("mx.example.org..")), NAME, False),
    "a wildcard with a dot at the end": Row(_leaf(x509.DNSName("*.example.org.")), NAME, False),
    "a wildcard above a name with an underscore": Row(_leaf(x509.DNSName("*.example.org")), "mx_1.example.org", False, OLD, OLD),
    "a wildcard below a name with an underscore": Row(_leaf(x509.DNSName("*.a_b.example.org")), "mx.a_b.example.org", False, OLD, OLD),
    "a wildcard in capitals": Row(_leaf(x509.DNSName("*.EXAMPLE.org")), NAME, True),
    "a wildcard in the middle": Row(_leaf(x509.DNSName("mx.*.org")), NAME, False),
    "two wildcards": Row(_leaf(x509.DNSName("*.*.org")), NAME, False),
    "a wildcard above an IDN": Row(_leaf(x509.DNSName("*.example.org")), "xn--mx-eka.example.org", True),
    "an address of IPv6, spelt otherwise": Row(_leaf(x509.IPAddress(ip_address("2001:db8::1"))), "2001:0DB8:0:0:0:0:0:1", True, OLD),
    "a mail address alone": Row(_leaf(x509.RFC822Name("mx@example.org")), NAME, False, HOSTS),
    "two common names, the first": Row(_subject((NameOID.COMMON_NAME, NAME), (NameOID.COMMON_NAME, "other.example.org")), NAME, False, HOSTS),
    "two common names, the second": Row(_subject((NameOID.COMMON_NAME, "other.example.org"), (NameOID.COMMON_NAME, NAME)), NAME, False, NEWER),
    "a common name within an organisation's": Row(_subject((NameOID.ORGANIZATION_NAME, "Foo,CN=" + NAME)), NAME, False),
    "IDN with a letter of 2008": Row(_leaf(x509.DNSName("xn--strae-oqa.example.org")), "straße.example.org", True),
    "IDN as in 2003": Row(_leaf(x509.DNSName("strasse.example.org")), "straße.example.org", False),
    "IDN in capitals": Row(_leaf(x509.DNSName("xn--mnchen-3ya.example.org")), "MÜNCHEN.example.org", True),
    "signed with SHA-512": Row(_leaf(_MX, digest=hashes.SHA512()), NAME, True),
    "names that its issuer may certify": Row(_constrained(["example.org"], None), NAME, True),
    "names that its issuer may not certify": Row(_constrained(["example.net"], None), NAME, False),
    "names that its issuer is kept from": Row(_constrained(None, ["example.org"]), NAME, False),
    "an issuer that ends before its leaf": Row(_below(days=(-9, 5)), NAME, True),
    "an issuer that has ended": Row(_below(days=(-9, -1)), NAME, False),
    "without its issuer": Row(_leaf(_MX, whole=False), NAME, False),
    "an issuer that is no authority": Row(_under(), NAME, False),
    "an issuer that certifies no servers": Row(_below(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])), NAME, False),
    "an authority's own certificate": Row(_authority, NAME, True),
    "secp256k1": Row(_leaf(_MX, key=ec.generate_private_key(ec.SECP256K1())), NAME, False),
    "P-224": Row(_leaf(_MX, key=ec.generate_private_key(ec.SECP224R1())), NAME, False),
    "Ed448": Row(_leaf(_MX, key=ed448.Ed448PrivateKey.generate()), NAME, True),
    "its name with a dot at the end": Row(_leaf(_MX), NAME + ".", True, HOSTS),
    "a name with an underscore": Row(_leaf(x509.DNSName("mx_1.example.org")), "mx_1.example.org", True),
    "IDN in letters": Row(_leaf(x509.DNSName("xn--mnchen-3ya.example.org")), "münchen.example.org", True),
    "self-signed": Row(_alone(), NAME, False),
}


@pytest.fixture(scope="module")
def told() -> dict:
    """{host: {row: {memory, wire, proof, look, predicted, postfix}}}; the listeners are on the hosts meanwhile."""
    return each(_told_on, HOSTS)


def _told_on(host: Host) -> dict:
    ca, packed = Issuer(host), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(TOP / "plugins" / "module_utils", "ansible_collections/mailsec/postfix_tls/plugins/module_utils", filter=_sources)
    places = {what: ("%s/%d.pem" % (FOLDER, port), port) for port, what in enumerate(ROWS, FIRST_PORT)}
    files = {places[what][0]: row.chain(ca) for what, row in ROWS.items()}
    files[CA_FILE] = ca.root.pem + ROOT.pem + "".join(root.pem for root in WEAK_ROOTS.values())
    hand_out(host, {**files, FOLDER + "/driver.py": DRIVER.read_text(encoding="utf-8"), FOLDER + "/modules": packed.getvalue().hex()})
    listeners = "".join(_LISTENER % (port, path) for path, port in places.values())
    host.run("cd %s; python3 -c '%s' | tar x" % (FOLDER, _UNPACK))
    host.run("cp -p /etc/postfix/master.cf %s/; cat >> /etc/postfix/master.cf; postfix reload 2>/dev/null" % FOLDER, stdin=listeners)
    rows = [{"path": path, "port": port, "name": ROWS[what].name.format(fqdn=host.fqdn)} for what, (path, port) in places.items()]
    try:
        said = host.run("PYTHONPATH=%s python3 -B %s/driver.py" % (FOLDER, FOLDER), stdin=json.dumps({"rows": rows, "ca_file": CA_FILE}))
    finally:
        host.run("cp -p %s/master.cf /etc/postfix/; postfix reload 2>/dev/null; rm -r %s" % (FOLDER, FOLDER))
    return dict(zip(ROWS, json.loads(said)))


def _sources(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("what", ROWS)
def test_memory_and_wire_say_the_same_and_what_they_take_postfix_takes(what: str, name: str, told: dict) -> None:
    row, said = ROWS[what], told[name][what]
    taken = {who: word is True for who, word in said.items()}
    by_postfix = row.good != (name in row.unlike)
    expected = {"memory": row.good, "wire": row.good, "postfix": by_postfix, "predicted": by_postfix and name not in row.stricter}
    assert {who: taken[who] for who in expected} == expected, json.dumps(said)
    assert taken["proof"] == taken["look"], json.dumps(said)
