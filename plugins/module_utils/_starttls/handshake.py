# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The one real TLS handshake: what a peer that checks certificates would get.

Trust and name are two verdicts, so OpenSSL judges the chain and the name is compared here. Where the chain is not trusted, the
caller shakes hands once more without that judgement, so that everything else is still known.
"""
from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection, words

# Like Postfix's own client, which runs at security level 0 and judges by its parameters: whatever the server has is looked at,
# only anonymous suites are not, because a handshake without a certificate proves nothing.
_SUITES = "ALL:!aNULL:!eNULL:@SECLEVEL=0"


class Contexts:
    """verifying: judges the chain. permissive: takes any. Safe to share between threads."""

    def __init__(self, trust: Callable[[ssl.SSLContext], None]) -> None:
        self._trust = trust
        self.verifying = _context()
        trust(self.verifying)
        self.permissive = _context()
        self.permissive.verify_mode = ssl.CERT_NONE
        self._of: dict = {}

    def of(self, algorithm: str) -> ssl.SSLContext:
        """verifying, but a server with two certificates has to show the one of this algorithm, RSA or ECDSA: up to TLS 1.2 suites choose."""
        if algorithm not in self._of:
            context = _context("a%s:!eNULL:@SECLEVEL=0" % algorithm)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            self._trust(context)
            self._of[algorithm] = context
        return self._of[algorithm]


@dataclass
class Handshake:
    """verdict: done (the server answered within TLS), refused (it sent an alert, or left us without a word) or unknown.

    untrusted: OpenSSL's reason against the chain, or None. version, cipher: where our own side of it was done; a TLS 1.3 server may refuse
    after that. failed: it never came so far. certificates: DER, leaf first. whole: whether that is all that was sent, or only the leaf,
    which is all that Python tells before 3.10.
    in_the_clear: refused before TLS, in SMTP.
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
            return Handshake("unknown", "the chain is not trusted", untrusted=cause.verify_message)
        alert = getattr(cause, "reason", None) or ""
        return Handshake("refused" if "ALERT" in alert else "unknown", error.reason)
    done = connection.socket
    return Handshake("done", "", None, done.version(), done.cipher()[0], *_certificates(done))


def _context(suites: str = _SUITES) -> ssl.SSLContext:
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
