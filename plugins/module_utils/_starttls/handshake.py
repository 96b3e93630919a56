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
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection, words

# Like Postfix's own client, which runs at security level 0 and judges by its parameters: whatever the server has is looked at,
# only anonymous suites are not, because a handshake without a certificate proves nothing.
_SUITES = "ALL:!aNULL:!eNULL:@SECLEVEL=0"

# X509_V_FLAG_PARTIAL_CHAIN and X509_V_FLAG_NO_CHECK_TIME of OpenSSL; Python names the first from 3.10 on and the second never.
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000


class Contexts(NamedTuple):
    """verifying: judges the chain. permissive: takes any. Safe to share between threads."""

    verifying: ssl.SSLContext
    permissive: ssl.SSLContext


@dataclass
class Handshake:
    """verdict: done, refused (the server sent an alert) or unknown. untrusted: OpenSSL's reason against the chain, or None.

    certificates: [(DER, facts in the form of getpeercert() or None)], leaf first.
    """

    verdict: str
    reason: str
    untrusted: str | None = None
    version: str | None = None
    cipher: str | None = None
    certificates: list = field(default_factory=list)


def contexts(ca_file: str | None = None, ca_content: str | None = None) -> Contexts:
    """ca_file, ca_content: PEM certificates that are trusted instead of the system's. Raises PostfixTlsError where unusable."""
    if not (ca_file or ca_content):
        return _system()
    verifying = _context()
    try:
        verifying.load_verify_locations(cafile=ca_file, cadata=ca_content)
    except (OSError, ValueError) as error:
        raise PostfixTlsError(
            "ca_file" if ca_file else "ca_content", ca_file, "no CA certificate can be read from it: %s" % words(error),
            "Name a file of PEM certificates on the machine that runs this module.",
        ) from error
    return Contexts(verifying, _permissive())


@lru_cache(maxsize=1)
def _system() -> Contexts:
    """Reading the system's store takes longer than a probe, so a process does it once."""
    verifying = _context()
    verifying.load_default_certs()
    return Contexts(verifying, _permissive())


def _permissive() -> ssl.SSLContext:
    context = _context()
    context.verify_mode = ssl.CERT_NONE
    return context


def anchored(leaf: bytes) -> ssl.SSLContext:
    """Takes this one certificate (DER), expired or not: Python shows facts only of a certificate that OpenSSL verified.

    Needed up to Python 3.9, and there only where the chain is not trusted.
    """
    context = _context()
    context.verify_flags |= _PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        context.load_verify_locations(cadata=leaf)
    except (OSError, ValueError):
        pass  # hostile ASN.1: the handshake will not trust it, and its facts stay unknown
    return context


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
    return Handshake("done", "", None, done.version(), done.cipher()[0], _certificates(done))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers(_SUITES)
    return context


def _certificates(done: ssl.SSLSocket) -> list:
    """The chain as the server sent it where Python tells (from 3.10 on), else the leaf alone."""
    chain = getattr(getattr(done, "_sslobj", None), "get_unverified_chain", None)
    if chain:
        return [(ssl.PEM_cert_to_DER_cert(sent.public_bytes()), _info(sent)) for sent in chain() or ()]
    leaf = done.getpeercert(binary_form=True)
    return [(leaf, done.getpeercert() or None)] if leaf else []


def _info(sent) -> dict | None:
    try:
        return sent.get_info()
    except (OSError, ValueError):
        return None  # ASN.1 that OpenSSL takes in a handshake and Python can't show
