# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of this scenario: what an independent client sees of each, what is handed to them, and what the role is asked for."""
from __future__ import annotations

import json
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Callable, NamedTuple

import pytest
from issuing import Issued, issue
from pki import Authority
from reach import Host
from witness import leaf_digest

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
ALL = ("c-bullseye", "c-bookworm", "c-trixie", "c-forky")

#: Each chain of converge.yml: kind of key, the name a client asks for it by, and where the chain's names are not the host's, those.
WORDS = {
    "ecdsa": ("ec", None, ()),
    "rsa": ("rsa", None, ()),
    "net_ecdsa": ("ec", "mx.example.net", ("mx.example.net", "mail.example.net")),
    "net_rsa": ("rsa", "mx.example.net", ("mx.example.net", "mail.example.net")),
    "below": ("ec", "any.example.org", ("*.example.org",)),
}

_CLIENT = (
    "echo the next:; timeout 10 openssl s_client -starttls smtp -connect {address}:25 -showcerts -CAfile /usr/local/share/ca-certificates/lab.crt"
    " -verify_return_error {options} </dev/null 2>&1"
)
#: What limits a client of TLS 1.2 to one kind of certificate.
_KINDS = {"": "", "ec": "-tls1_2 -cipher aECDSA", "rsa": "-tls1_2 -cipher aRSA"}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)

_UNPACK = """import json, os, sys
os.umask(0o77)
for path, text in json.load(sys.stdin).items():
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text.encode())
"""


class Seen(NamedTuple):
    """What a client was served: sha256 of each certificate, leaf first, none where no handshake was finished and verified. said: by it."""

    certificates: tuple
    said: str


def each(act: Callable, names: tuple = ALL) -> dict:
    """{host: what act(Host) returns}, side by side."""
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(lambda name: act(Host(name)), names)))


def look(host: Host, *asks: tuple) -> list:
    """A Seen for each of asks, by the openssl s_client of another host, which verifies the chain up to the lab's root, and the name.

    asks: (name asked for by SNI, None for no SNI; kind of key, empty for any; name to verify, where it is another).
    """
    lines = []
    for name, kind, *verified in asks:
        options = [_KINDS[kind], "-servername %s" % name if name else "-noservername", "-verify_hostname %s" % (verified[0] if verified else name or host.fqdn)]
        lines.append(_CLIENT.format(address=host.address, options=" ".join(options)))
    client = Host(ALL[ALL.index(host.name) - 1])
    return [_seen(said) for said in client.run("; ".join(lines), check=False).split("the next:\n")[1:]]


def _seen(said: str) -> Seen:
    verified = "Verify return code: 0 (ok)" in said
    return Seen(tuple(sha256(ssl.PEM_cert_to_DER_cert(block)).hexdigest() for block in _PEM.findall(said)) if verified else (), said)


def leaves(host: Host) -> dict:
    """{word: sha256 of the leaf that a client is served who asks for it}"""
    seen = look(host, *[(name, kind) for kind, name, _names in WORDS.values()])
    return {word: ("".join(found.certificates[:1]) or found.said) for word, found in zip(WORDS, seen)}


def converged(host: Host) -> dict:
    """{word: sha256 of the leaf} of the chains that converge.yml installs."""
    return {word: leaf_digest(host.vars["lab_%s_chain_file" % word]) for word in WORDS}


def asked(source: str, **options: str) -> dict:
    """The role's variables for all chains. options: {option of an entry: its text, with %s for the chain's word}."""
    def entry(word: str) -> dict:
        return {"name": word, **{option: text % word for option, text in options.items()}}
    names = ["mx.example.net", "mail.example.net"]
    return {
        "tls_certificate_source": source,
        "tls_certificate_chains": [entry("ecdsa"), entry("rsa")],
        "tls_certificate_sni": [{"names": names, "chains": [entry("net_ecdsa"), entry("net_rsa")]}, {"names": [".example.org"], **entry("below")}],
    }


class Issuer:
    """The lab's authority for a host. Keys and certificates are made anew each time."""

    def __init__(self, host: Host) -> None:
        self.host = host
        authority = Authority(Path(host.vars["lab_ca_file"]).parent)
        self.root, self.intermediate = (Issued(*authority.issuer(name)) for name in ("root", "intermediate"))

    def leaf(self, **how: object) -> Issued:
        """how: as issue."""
        return issue(self.host.fqdn, self.intermediate, **how)

    def chain(self, leaf: Issued) -> str:
        return leaf.pem + self.intermediate.pem


def issued(host: Host) -> tuple:
    """({word: (key, chain)}, {word: sha256 of the leaf}) of new chains."""
    ca = Issuer(host)
    made = {word: ca.leaf(kind=kind, names=names) for word, (kind, _name, names) in WORDS.items()}
    return {word: (leaf.key_pem(), ca.chain(leaf)) for word, leaf in made.items()}, {word: leaf.sha256 for word, leaf in made.items()}


def as_texts(folder: Path, chains: dict) -> dict:
    """The role's variables for chains, {host: {word: (key, chain)}}, as texts that lie in a folder: as with a vault, no command line holds them."""
    for name, pairs in chains.items():
        for word, pair in pairs.items():
            for kind, text in zip(("key", "chain"), pair):
                (folder / "-".join((name, word, kind))).write_text(text, encoding="utf-8")
    text = "{{ lookup('ansible.builtin.file', '%s/' + inventory_hostname + '-%%s-%s') }}"
    return asked("content", key_content=text % (folder, "key"), chain_content=text % (folder, "chain"))


def hand_out(host: Host, texts: dict) -> None:
    """{path: text} as files of root's own. Piped, because a command line is logged."""
    host.run("python3 -c '%s'" % _UNPACK, stdin=json.dumps(texts))


def sha1_signed(host: Host, issuer: Issued, leaf: Issued) -> str:
    """A certificate for the leaf's key, signed with SHA-1, which cryptography won't: by the host's openssl."""
    extensions = "subjectAltName = DNS:%s\nextendedKeyUsage = serverAuth\n" % host.fqdn
    files = {"ca.key": issuer.key_pem(), "ca.pem": issuer.pem, "leaf.key": leaf.key_pem(), "extensions": extensions}
    hand_out(host, {"/root/sha1/" + name: text for name, text in files.items()})
    return host.run(
        "set -e; cd /root/sha1; openssl req -new -key leaf.key -subj /CN=%s -out request; openssl x509 -req -in request -CA ca.pem -CAkey ca.key"
        " -set_serial 7 -sha1 -days 30 -extfile extensions 2>/dev/null; rm -r /root/sha1" % host.fqdn
    )


@pytest.fixture(params=ALL)
def host(request) -> Host:
    """A host of each release."""
    return Host(request.param)
