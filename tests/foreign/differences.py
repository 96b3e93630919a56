# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a peer says something else than we do of a foreign server, or we something else than the table of faults: each with its reason, as in
tests/crosscheck/limits.py. One that no longer occurs in a case that it names fails the tests.
"""
from __future__ import annotations

from faults import names_of
from limits import Limit

#: {whose posttls-finger: the host it is on}; y-servers has Debian 12's.
RELEASES = {"posttls-finger of Postfix 3.5": "y-bullseye", "posttls-finger of Postfix 3.7": "y-servers",
            "posttls-finger of Postfix 3.10": "y-trixie", "posttls-finger of Postfix 3.11": "y-forky"}
_OLD, *_NEW = RELEASES

_THIRD = names_of("third-expired")
#: Where GnuTLS's client is shown the RSA certificate, which is the good one.
_RSA_TO_GNUTLS = names_of("second-expired", "second-expired-tls13", servers=("exim", "nginx", "dovecot", "chasquid")) + _THIRD
#: Where OpenSSL's client is: GnuTLS and Go serve the first that suits, OpenSSL ECDSA before RSA before Ed25519.
_RSA_TO_OPENSSL = names_of("second-expired", "second-expired-tls13", servers=("exim", "chasquid")) + _THIRD
_ONE_CHAIN = "it looks at the chain of one handshake, and its own offer decides which"
_DEMANDED = names_of("client-demanded", "client-demanded-tls12", servers=("exim", "stunnel", "aiosmtpd", "courier", "nodemailer"))
_BAD_SIGNATURE = names_of("key-of-another", servers=("courier",))
_TLS10 = names_of("tls10-only")

DIFFERENCES = (
    Limit("gnutls-cli", "trust", _ONE_CHAIN, unsaid="no", added="yes", hosts=_RSA_TO_GNUTLS),
    Limit("gnutls-cli", "validity", _ONE_CHAIN, unsaid="no", added="yes", hosts=_RSA_TO_GNUTLS),
    *(Limit(release, "trust", _ONE_CHAIN, unsaid="no", added="yes", hosts=_RSA_TO_OPENSSL) for release in RELEASES),
    Limit("gnutls-cli", "trust", "it sends a server name, and Postfix by default sends none", unsaid="no", added="yes",
          hosts=names_of("unnamed-self-signed")),
    Limit(_OLD, "trust", "OpenSSL 1.1.1 takes SHA-1 at security level 1", unsaid="no", added="yes", hosts=names_of("sha1")),
    Limit(_OLD, "trust", "OpenSSL 1.1.1 speaks TLS 1.0 at security level 1", unsaid="no", added="yes", hosts=_TLS10),
    Limit("gnutls-cli", "trust", "GnuTLS trusts a chain whatever the version", unsaid="no", added="yes", hosts=_TLS10),
    *(Limit(release, "answer", "at level secure, where OpenSSL 3 has no TLS 1.0; our handshake is as lenient as level may", unsaid="yes", added="no",
            hosts=_TLS10)
      for release in _NEW),
    Limit("gnutls-cli", "versions", "it tells of handshakes that were finished, we of a version that the server has chosen", unsaid=r"\S+ accepted",
          added=r"\S+ refused", hosts=_DEMANDED + _BAD_SIGNATURE),
    Limit("s_client", "versions", "likewise", unsaid=r"\S+ accepted", added=r"\S+ refused", hosts=_BAD_SIGNATURE),
    Limit("the table", "checks", "it closes where a hello does not suit, which is asked twice, and more than 16 connections are for depth full",
          unsaid="command_injection unknown", hosts=names_of("tls10", servers=("dovecot",))),
)
