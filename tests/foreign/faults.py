# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server is given, sound or not, and what has to be said of it: a row each, for every server that takes what the row wants."""
from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import issuing
from cryptography import x509
from mailservers import NAME, SERVERS, Server, Wanted


class Chain(NamedTuple):
    """key: of the leaf, or another where that is the fault. certificates: leaf first."""

    key: issuing.Issued
    certificates: tuple

    @property
    def key_pem(self) -> str:
        return self.key.key_pem()

    @property
    def pem(self) -> str:
        return "".join(certificate.pem for certificate in self.certificates)


@lru_cache(maxsize=None)
def root() -> issuing.Issued:
    return issuing.issue("Foreign root", authority=True, days=(-900, 900))


@lru_cache(maxsize=None)
def intermediate() -> issuing.Issued:
    return issuing.issue("Foreign intermediate", root(), authority=True, days=(-900, 900))


@lru_cache(maxsize=None)
def _key(kind: str, _which: str = "") -> object:
    return issuing.KINDS[kind]()


def leaf(kind: str = "rsa", name: str = NAME, **how: object) -> issuing.Issued:
    return issuing.issue(name, intermediate(), key=_key(kind), **how)


def _good(kind: str = "rsa", **how: object) -> Chain:
    made = leaf(kind, **how)
    return Chain(made, (made, intermediate()))


def _expired(kind: str = "rsa") -> Chain:
    return _good(kind, days=(-60, -2))


def _alone() -> Chain:
    made = leaf()
    return Chain(made, (made,))


def _selfsigned(kind: str = "rsa") -> Chain:
    made = issuing.issue(NAME, key=_key(kind))
    return Chain(made, (made,))


def _elsewhere() -> Chain:
    other = issuing.issue("Foreign intermediate", issuing.issue("Unknown root", authority=True), authority=True)
    made = issuing.issue(NAME, other, key=_key("rsa"))
    return Chain(made, (made, other))


def _other_key() -> Chain:
    return Chain(issuing.issue(NAME, kind="rsa"), _good().certificates)


def _signed_with(digest: str) -> Chain:
    """By OpenSSL's own program, for cryptography signs with nothing weak any more."""
    made, issuer = issuing.issue(NAME, key=_key("rsa"), identifiers=False), intermediate()  # the program certifies what signed itself
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"leaf.pem": made.pem, "issuer.pem": issuer.pem, "issuer.key": issuer.key_pem()}.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        pem = subprocess.run(
            ["openssl", "x509", "-in", "leaf.pem", "-CA", "issuer.pem", "-CAkey", "issuer.key", "-set_serial", "7", "-preserve_dates", "-" + digest],
            cwd=folder, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
    again = issuing.Issued(made.key, x509.load_pem_x509_certificate(pem))
    return Chain(again, (again, issuer))


def _crossed() -> Chain:
    """As with AddTrust in 2020 and DST X3 in 2021: beside what is enough, a certificate of the root itself that another root issued and that has ended."""
    old = issuing.issue("Old root", authority=True, days=(-900, -10))
    crossed = issuing.issue("Foreign root", old, authority=True, days=(-800, -10), key=root().key)
    return Chain(leaf(), (leaf(), intermediate(), crossed))


@dataclass(frozen=True)
class Fault:
    """chains: functions that make one each. wanted: beside their number. fails: {check: verdict} of what must not pass, all others must. expects: of the
    verifier's Expectation. only: names of servers, where others that take it would only show the same.
    """

    name: str
    chains: tuple = (_good,)
    wanted: tuple = ()
    fails: tuple = ()
    expects: tuple = ()
    only: tuple = ()

    @property
    def wants(self) -> Wanted:
        return Wanted(chains=len(self.chains), **dict(self.wanted))


FAULTS = (
    Fault("healthy"),
    Fault("healthy-ecdsa", (partial(_good, "ec"),)),
    Fault("healthy-two", (_good, partial(_good, "ec"))),
    Fault("expired", (_expired,), fails=(("trust", "fail"), ("validity", "fail"))),
    Fault("not-yet", (partial(_good, days=(2, 30)),), fails=(("trust", "fail"), ("validity", "fail"))),
    Fault("self-signed", (_selfsigned,), fails=(("trust", "fail"),)),
    Fault("other-name", (partial(_good, name="mx.elsewhere.test"),), fails=(("name", "fail"),)),
    Fault("final-dot", (partial(_good, names=(NAME + ".",)),), fails=(("name", "fail"),)),
    Fault("no-intermediate", (_alone,), fails=(("trust", "fail"),)),
    Fault("unknown-root", (_elsewhere,), fails=(("trust", "fail"),)),
    Fault("sha1", (partial(_signed_with, "sha1"),), (("weak", True),), fails=(("trust", "fail"),)),
    Fault("crossed-expired", (_crossed,)),
    Fault("second-expired", (_good, partial(_expired, "ec")), fails=(("trust", "fail"), ("validity", "fail"))),
    Fault("second-expired-tls13", (_good, partial(_expired, "ec")), (("oldest", "TLSv1.3"),), fails=(("trust", "fail"), ("validity", "fail"))),
    Fault("third-expired", (_good, partial(_good, "ec"), partial(_expired, "ed25519")), fails=(("trust", "fail"), ("validity", "fail"))),
    Fault("unnamed-self-signed", (_selfsigned, _good), (("named", True),), fails=(("trust", "fail"),)),
    Fault("tls13-only", wanted=(("oldest", "TLSv1.3"),)),
    Fault("tls12-only", wanted=(("newest", "TLSv1.2"),)),
    Fault("tls10", wanted=(("oldest", "TLSv1"),), fails=(("versions", "fail"),)),
    Fault("tls10-only", wanted=(("oldest", "TLSv1"), ("newest", "TLSv1"),), fails=(("versions", "fail"),)),
    Fault("stock", wanted=(("oldest", None), ("newest", None))),
    Fault("stock-two", (_good, partial(_good, "ec")), (("oldest", None), ("newest", None)), only=("exim",)),
    Fault("client-demanded", wanted=(("client", True),), fails=(("handshake", "fail"),)),
    Fault("client-demanded-tls12", wanted=(("client", True), ("newest", "TLSv1.2")), fails=(("handshake", "fail"),)),
    Fault("dh1024", wanted=(("dh", True),), fails=(("dh_size", "fail"),), expects=(("dh_bits", 2048),)),
    Fault("odd-groups", wanted=(("curves", "X25519:prime256v1:sect163k1:secp256k1"),), fails=(("groups", "fail"),),
          expects=(("profile", "intermediate"), ("checks", ("groups",)))),
    Fault("requires-tls", wanted=(("requires_tls", True),)),
    Fault("pause", wanted=(("pause", 5),)),
    Fault("key-of-another", (_other_key,), fails=(("handshake", "fail"),), only=("exim", "courier")),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def suits(server: Server, fault: Fault) -> bool:
    if server.name not in (fault.only or (server.name,)) or fault.name not in (server.only or (fault.name,)):
        return False
    usual = Wanted()
    wanted = fault.wants
    needed = {field.name for field in fields(Wanted) if getattr(wanted, field.name) != getattr(usual, field.name)} - {"chains"}
    return needed <= server.takes and wanted.chains <= server.chains


def failing(server: Server, fault: Fault) -> dict:
    """{check: verdict} of what must not pass."""
    return dict((*server.always, *(() if fault.wants.oldest else server.stock), *fault.fails))


#: Every server with everything that it takes.
CASES = tuple((server, fault) for server in SERVERS for fault in FAULTS if suits(server, fault))
