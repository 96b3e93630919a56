# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Why OpenSSL does not trust a chain, in its words, and what to do about it: of a chain that is about to be served, and of one that is."""
from __future__ import annotations

import re
from typing import NamedTuple


class Fault(NamedTuple):
    """pattern: of X509_verify_cert_error_string(3), or of Python's ssl for names. meaning, remedy: of a file about to be served, a clause and a sentence.

    fix: of what a server was seen to serve, a clause.
    """

    pattern: re.Pattern
    meaning: str
    remedy: str
    fix: str


_SERVE = "smtpd_tls_chain_files = a file with "
_FULL = "Name the full chain (fullchain.pem); for a CA of your own set ca_file to its root."
_ANEW = _SERVE + "a certificate that was issued anew, %s, then: postfix reload"

#: First the most specific. At security level 1, which Postfix asks of who is to be trusted, OpenSSL from 3.0 on takes SHA-1 for too weak, and every
#: release keys of less than 80 bits: RSA below 1,024 (SSL_CTX_set_security_level(3)).
FAULTS = tuple(Fault(re.compile(pattern, re.IGNORECASE), meaning, remedy, fix) for pattern, meaning, remedy, fix in (
    ("not yet valid", "it is not valid yet", "Check this host's clock, or wait until its first day.",
     "the clock of the machine that looks; where that is right, a certificate that is valid by now"),
    ("has expired", "it has expired", "Renew it.",
     _SERVE + "what is renewed, then: postfix reload; where not the certificate itself has ended but an intermediate, the CA has a newer one"),
    ("self.signed certificate in certificate chain", "it ends in a root this host does not trust",
     "Set ca_file to that root, or install it in the system store.",
     "ca_file = that root where the CA is your own; else " + _SERVE + "a certificate of a CA that peers trust"),
    ("self.signed certificate", "it is self-signed", "",
     _SERVE + "a certificate of a CA that peers trust: this one is self-signed; ca_file names it where peers know it"),
    ("unable to get|unable to verify the first", "an intermediate is missing, or this host does not trust its issuer", _FULL,
     _SERVE + "every intermediate after the certificate; ca_file names the CA where it is your own"),
    ("certificate purpose", "it is not meant for servers (extendedKeyUsage)", "Have it issued with serverAuth.",
     _ANEW % "with extendedKeyUsage serverAuth, or none"),
    ("Hostname mismatch", "it does not cover that name",
     "Have it issued for that name, as subjectAltName, for the common name does not count; or name what it covers.", _ANEW % "for that name"),
    ("IP address mismatch", "it does not cover that address", "Have it issued for that address, or name what it covers.", _ANEW % "for that address"),
    ("digest algorithm too weak|md too weak", "it, or an intermediate, is signed with a hash that is too weak (SHA-1, MD5)",
     "Have it issued anew, signed with SHA-256 or better; where the intermediate is the weak one, ask the CA for its newer one.",
     _ANEW % "signed with SHA-256 or better, as its intermediates are"),
    ("EE certificate key too weak|ee key too small", "its key is too weak", "Make a key of RSA with 2048 bits, or of ECDSA, and have it certified.",
     _SERVE + "a stronger key and a certificate for it, then: postfix reload"),
    ("CA certificate key too weak|ca key too small", "the key of its CA is too weak", "Have it issued by a CA of today.",
     _ANEW % "by a CA with a stronger key"),
    ("subtree violation", "its CA may not certify that name (nameConstraints)", "Have it issued by a CA that may certify its names.",
     _ANEW % "by a CA that may certify its names (nameConstraints)"),
    ("invalid CA certificate|path length|CA certificate|not support.* signing|keyusage does not include", "its issuer may not issue certificates",
     "Name the chain that the CA gave with it, and nothing else as an intermediate.", _ANEW % "by a certificate that is a CA's (basicConstraints)"),
    ("signature failure", "its signature is not its issuer's", "Copy the chain again, or have it issued anew.",
     _SERVE + "the chain as the CA gave it: a signature in it is not by the certificate behind"),
    ("revoked", "it is revoked", "Have it issued anew.", _ANEW % "for this one is revoked"),
    ("chain too long", "its chain is too long", "Leave out what is not needed.", _SERVE + "fewer intermediates"),
))


def fault(words: str | None) -> Fault | None:
    """The one that stands behind OpenSSL's words, if any is known."""
    return next((one for one in FAULTS if words and one.pattern.search(words)), None)
