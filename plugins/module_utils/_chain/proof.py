# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A chain proven before it is installed, by the handshake a peer would make, in memory.

OpenSSL itself judges: key against leaf, path to a trust anchor, validity; with the client of the look on the wire (C(_starttls.handshake)), and names
as that look compares them, so that the two agree. No library beside Python's is needed, so a bare mail host can do it.
"""
from __future__ import annotations

import os
import re
import ssl
import tempfile
from contextlib import contextmanager, suppress
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.pem import Chain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import distrust
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.handshake import Contexts, contexts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.names import packed_address, verdict

#: What OpenSSL says of a key that is not the certificate's; the last is for one of another kind (RSA, EC).
_NOT_ITS_KEY = ("VALUES_MISMATCH", "TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_STRICT = 0x20  # X509_V_FLAG_X509_STRICT, on by default since Python 3.13; mail servers do not ask for it
_PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN, a name in ssl since Python 3.10
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME
_WEAK = "ALL:@SECLEVEL=0"
#: X509_V_ERR_* for an issuer that is none: no certificate found (2, 20, 21), a signature that fails (7), and names or identifiers that differ (29, 30, 31).
_NOT_SIGNED = (2, 7, 18, 19, 20, 21, 29, 30, 31)


def prove(chain: Chain, names: list, ca_file: str | None, completed_by: tuple = ("", "")) -> bool:
    """Whether peers will trust it: True, or False for a self-signed one, which is proven against itself.

    names: what peers may look for in it. ca_file: trust anchors; None for the system store. completed_by: (CAfile, CApath) of the server, from which
    OpenSSL takes the issuers of a leaf that is alone (SSL_CTX_add_extra_chain_cert(3)).
    Raises PostfixTlsError for everything a peer would stumble over.
    """
    item = "chain %s" % chain.name
    if ca_file and not os.path.isfile(ca_file):
        raise PostfixTlsError("ca_file", ca_file, "there is no such file on this host", "Name the root's PEM file on the host.")
    server, anchor = _server(item, chain), contexts(ca_file).verifying
    for file, folder in ((completed_by[0], None), (None, completed_by[1])):
        if file or folder:
            with suppress(OSError, ssl.SSLError):  # Postfix then does without TLS, which its own log tells
                server.load_verify_locations(file, folder)
    error = _handshake(server, anchor)
    trusted = error is None or error.verify_code != 18
    if error is not None and not trusted:
        error = _handshake(server, _vouching_for_itself(chain.certificates[0]))
    if error is not None:
        raise _refusal(item, "", error.verify_message)
    leaf = chain.facts()[0]
    made_out_to = leaf["names"] if trusted or leaf["names"] else ["DNS:" + name for name in leaf["common_names"] or ()]
    for name in names:
        if _verdict(made_out_to, name) != "pass":
            raise _refusal(item, name, "IP address mismatch" if packed_address(name) else "Hostname mismatch")
    return trusted


def _vouching_for_itself(certificate: str) -> ssl.SSLContext:
    """The client of who knows this certificate, and trusts no other."""
    context = Contexts(lambda context: context.load_verify_locations(cadata=certificate)).verifying
    context.verify_flags |= _PARTIAL_CHAIN
    return context


def _verdict(made_out_to: list, name: str) -> str:
    bare = re.sub(r"(?i)^\[?(?:ipv6:)?([0-9a-f.:]+)\]?$", r"\1", name)
    if bare != name and packed_address(bare):
        raise PostfixTlsError("name", name, "an address in a certificate has no brackets and no ipv6: before it", "Write %s." % bare)
    try:
        return verdict(made_out_to, name)["verdict"]
    except UnicodeError as error:
        raise PostfixTlsError("name", repr(name), "it is no host name: %s" % error, "Name what peers look up, such as mx.example.org.") from None


def _refusal(item: str, name: str, words: str) -> PostfixTlsError:
    """words: OpenSSL's."""
    fault = distrust.fault(words)
    return PostfixTlsError(item, name, *((fault.meaning, fault.remedy) if fault else (words, "Have it issued anew.")))


def owners(chain: Chain, certificates: list) -> list:
    """Those of these PEM certificates that the chain's key belongs to. Raises PostfixTlsError where there is none, or no such key."""
    item, wrong, found = "chain %s" % chain.name, "", []
    for block in certificates:
        wrong = _loaded(_weak_server(), chain.key + block)
        if not wrong:
            found.append(block)
        elif wrong not in _NOT_ITS_KEY:
            break
    if not found or wrong not in ("", *_NOT_ITS_KEY):
        raise _unusable(item, wrong, "belongs to none of its certificates", "Name the key that its certificate was issued for.")
    return found


def signed(chain: Chain, path: list, issuer: str) -> bool:
    """Whether the last certificate of a path, which begins with the key's own, bears a signature of that issuer's key. All are PEM."""
    server, client = _weak_server(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.set_ciphers(_WEAK)
    client.load_verify_locations(cadata=issuer)
    client.verify_flags = ssl.VerifyFlags(client.verify_flags & ~_STRICT | _PARTIAL_CHAIN | _NO_CHECK_TIME)
    try:
        error = None if _loaded(server, chain.key + "".join(path)) else _handshake(server, client)
    except PostfixTlsError:
        return True  # nobody could tell; the proof will
    return error is None or error.verify_code not in _NOT_SIGNED


def _weak_server() -> ssl.SSLContext:
    """At security level 0, as Postfix's own (tls_server.c): whether key and certificate are strong enough is told with their names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(_WEAK)
    return context


def _server(item: str, chain: Chain) -> ssl.SSLContext:
    context = _weak_server()
    wrong = _loaded(context, chain.text())
    if wrong:
        raise _unusable(
            item, wrong, "does not belong to the first certificate", "Name the key the certificate was issued for; the leaf comes before the intermediates.",
        )
    return context


def _loaded(context: ssl.SSLContext, text: str) -> str:
    """What OpenSSL holds against key and certificates; empty where it takes them."""
    with _in_memory(text) as path:
        try:
            context.load_cert_chain(path, password=lambda: "")
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            return next((mark for mark in _NOT_ITS_KEY if mark in reason), reason)
    return ""


def _unusable(item: str, wrong: str, mismatch: str, remedy: str) -> PostfixTlsError:
    if wrong in _NOT_ITS_KEY:
        return PostfixTlsError(item, None, "the key %s" % mismatch, remedy)
    return PostfixTlsError(
        item, None, "OpenSSL does not take it (%s)" % wrong.replace("_", " ").lower(), "Copy key and chain again, or renew them.",
    )


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLCertVerificationError | None:
    """One TLS handshake between two contexts, without a socket; what the client holds against the certificate, or None."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _flight in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error
            except ssl.SSLError as error:
                raise PostfixTlsError(
                    "chain", None, "no peer could finish a handshake with it (%s)" % error.reason, "Have it issued anew.",
                ) from None
        if not ends:
            return None
    raise PostfixTlsError("chain", None, "the handshake in memory did not end", "Report this, with the Python and OpenSSL versions.")


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path for OpenSSL to load from; on Linux no disk ever holds the key."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("chain")
        path = "/proc/self/fd/%d" % descriptor
    else:
        descriptor, path = tempfile.mkstemp()
    try:
        os.write(descriptor, text.encode())
        yield path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            os.unlink(path)
