# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The one real TLS handshake: what a peer that checks certificates would get.

Trust and name are two verdicts, so OpenSSL judges the chain and the name is compared here. Where the chain is not trusted, the
caller shakes hands once more without that judgement, so that everything else is still known.

Postfix's client is at OpenSSL's security level 1 where it has to know whom it talks to (fingerprint, verify, secure, dane), and at 0 where not
(may, encrypt): tls_client.c, SSL_set_security_level(3). So trust is judged at 1, and what that level alone is against is told apart.
"""
from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.certificate import key_kind
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection, words

# Whatever the server has is looked at; only anonymous suites are not, because a handshake without a certificate proves nothing.
_SUITES = "ALL:!aNULL:!eNULL:@SECLEVEL=%d"

#: X509_V_ERR_* of a key or a signature that a security level is against: EE_KEY_TOO_SMALL, CA_KEY_TOO_SMALL, CA_MD_TOO_WEAK.
_TOO_WEAK = (66, 67, 68)

#: What is said of a chain that passes; and of one of a server that level 1 can't speak with, with what it is against.
TRUSTED = "the chain ends at a trusted CA"
NO_HANDSHAKE = "at security level 1 no handshake comes about"


class Contexts:
    """verifying: judges the chain, at security level 1. permissive: takes any, at 0. Safe to share between threads."""

    def __init__(self, trust: Callable[[ssl.SSLContext], None]) -> None:
        self._trust = trust
        self.verifying = self._judging(_SUITES % 1)
        self.permissive = _context(_SUITES % 0)
        self.permissive.verify_mode = ssl.CERT_NONE
        self._of: dict = {}
        self._judges = False

    def judge(self, certificates: list, leniently: bool = False) -> dict:
        """{verdict, reason} on the trust of a chain (DER, leaf first) that was read, and of which no handshake was done. leniently: at security level 0.

        A client judges a chain as soon as it has it, before anything is signed: so it is handed a server's first messages, in memory.
        """
        # Whether this OpenSSL does so, a client shows that trusts nobody.
        self._judges = self._judges or _judged(certificates, _context(_SUITES % 1))["verdict"] == "fail"
        if not self._judges:
            return {"verdict": "unknown", "reason": "OpenSSL can't judge the chain"}
        return _judged(certificates, self.lenient if leniently else self.verifying)

    @property
    def lenient(self) -> ssl.SSLContext:
        """verifying, at security level 0, as Postfix has it at may and encrypt."""
        if "" not in self._of:
            self._of[""] = self._judging(_SUITES % 0)
        return self._of[""]

    @property
    def anonymous(self) -> ssl.SSLContext:
        """permissive, with suites that need no certificate before others of their strength, as Postfix has them at may and encrypt: up to TLS 1.2."""
        if "aNULL" not in self._of:
            context = _context("aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH:@SECLEVEL=0")  # postconf(5) tls_medium_cipherlist
            context.verify_mode, context.maximum_version = ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
            self._of["aNULL"] = context
        return self._of["aNULL"]

    def of(self, algorithm: str) -> ssl.SSLContext:
        """verifying, but a server with two certificates has to show the one of this algorithm, RSA or ECDSA: up to TLS 1.2 suites choose."""
        if algorithm not in self._of:
            context = self._judging("a%s:!eNULL:@SECLEVEL=1" % algorithm)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            self._of[algorithm] = context
        return self._of[algorithm]

    def _judging(self, suites: str) -> ssl.SSLContext:
        context = _context(suites)
        self._trust(context)
        return context


@dataclass
class Handshake:
    """verdict: done (the server answered within TLS), refused (it sent an alert or a wrong signature, or left us without a word) or unknown.

    untrusted: OpenSSL's reason against the chain, or None. version, cipher: where our own side of it was done; a TLS 1.3 server may refuse
    after that. certificates: DER, leaf first. whole: whether that is all that was sent, or only the leaf, which is all that Python tells
    before 3.10. in_the_clear: refused before TLS, in SMTP. failed: it never came so far. closed: the server closed the
    connection within it. too_weak: an alert, or our own OpenSSL's reason, which a security level may have brought about; "" where that can't be.
    """

    verdict: str
    reason: str
    untrusted: str | None = None
    version: str | None = None
    cipher: str | None = None
    certificates: list = field(default_factory=list)
    whole: bool = False
    in_the_clear: bool = False
    failed: bool = False
    closed: bool = False
    too_weak: str = ""


def contexts(ca_file: str | None = None, ca_content: str | None = None) -> Contexts:
    """ca_file, ca_content: PEM certificates that are trusted instead of the system's. Raises PostfixTlsError where unusable."""
    if not (ca_file or ca_content):
        return _system()
    try:
        return Contexts(lambda context: context.load_verify_locations(cafile=ca_file, cadata=ca_content))
    except (OSError, ValueError) as error:
        raise PostfixTlsError(
            "ca_file" if ca_file else "ca_content", ca_file, "no CA certificate can be read from it: %s" % words(error),
            "Name a file of PEM certificates on the machine that runs this module.",
        ) from error


@lru_cache(maxsize=1)
def _system() -> Contexts:
    """Reading the system's store takes longer than a probe, so a process does it once."""
    return Contexts(lambda context: context.load_default_certs())


def shake(connection: Connection, context: ssl.SSLContext, server_name: str | None) -> Handshake:
    """One handshake, after which the connection speaks TLS. server_name: for SNI, an ASCII host name, or None."""
    try:
        connection.start_tls(context, server_name)
    except PostfixTlsError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            weak = cause.verify_message if cause.verify_code in _TOO_WEAK else ""
            return Handshake("unknown", "the chain is not trusted", untrusted=cause.verify_message, too_weak=weak)
        alert = getattr(cause, "reason", None) or ""
        weak = error.reason if isinstance(cause, ssl.SSLError) and not isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) else ""
        # A key that does not belong to the certificate is nothing that anybody takes.
        refused = "ALERT" in alert or alert == "BAD_SIGNATURE"
        return Handshake("refused" if refused else "unknown", error.reason, closed=bool(error.details.get("closed")), too_weak=weak)
    done = connection.socket
    return Handshake("done", "", None, done.version(), done.cipher()[0], *_certificates(done))


def _judged(certificates: list, context: ssl.SSLContext) -> dict:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        incoming.write(_first_messages(certificates))
    try:
        client.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return {"verdict": "fail", "reason": error.verify_message}
    except ssl.SSLWantReadError:
        return {"verdict": "pass", "reason": TRUSTED}
    except ssl.SSLError as error:
        return {"verdict": "unknown", "reason": "OpenSSL can't judge the chain: %s" % words(error)}
    return {"verdict": "unknown", "reason": "OpenSSL can't judge the chain"}


def _first_messages(certificates: list) -> bytes:
    """ServerHello and Certificate of TLS 1.2 (RFC 5246 sections 7.4.1.3 and 7.4.2), with secure renegotiation (RFC 5746), without which no client goes on."""
    kind = key_kind(certificates[0])
    suite = b"\xc0\x2f" if kind and kind[0].startswith("RSA") else b"\xc0\x2b"  # ECDHE with AES_128_GCM
    hello = b"\x03\x03" + bytes(32) + b"\x00" + suite + b"\x00" + b"\x00\x05\xff\x01\x00\x01\x00"
    listed = b"".join(len(der).to_bytes(3, "big") + der for der in certificates)
    chain = len(listed).to_bytes(3, "big") + listed
    messages = b"".join(bytes([number]) + len(body).to_bytes(3, "big") + body for number, body in ((2, hello), (11, chain)))
    pieces = [messages[at:at + 2 ** 14] for at in range(0, len(messages), 2 ** 14)]
    return b"".join(b"\x16\x03\x03" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def _context(suites: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers(suites)
    return context


def _certificates(done: ssl.SSLSocket) -> tuple:
    """(the chain as the server sent it, True) where Python tells, from 3.10 on; else (the leaf alone, False)."""
    chain = getattr(getattr(done, "_sslobj", None), "get_unverified_chain", None)
    if chain:
        return [ssl.PEM_cert_to_DER_cert(sent.public_bytes()) for sent in chain() or ()], True
    leaf = done.getpeercert(binary_form=True)
    return [leaf] if leaf else [], False
