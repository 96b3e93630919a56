# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A chain as it is to be sent: the certificate of the key, then each one's issuer, and nothing else.

Source: RFC 5246 section 7.4.2, RFC 8446 section 4.4.2; RFC 7671 section 5.2.2 for whoever has to send the root.
"""
from __future__ import annotations

import time
from dataclasses import replace

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.pem import Chain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate


def assembled(chain: Chain, keep_root: bool = False) -> tuple:
    """(the chain as it is to be sent, what was put right, in sentences). keep_root: for a TLSA record 2 x x that names it.

    Of several for one place: the one whose key signed, valid now, and for longest. Raises PostfixTlsError where the key belongs to none of the
    certificates. What is missing is for the proof to see.
    """
    known = dict(zip(chain.certificates, chain.facts()))
    given = list(known)  # each once

    def rank(block: str) -> tuple:
        facts = known[block]
        return facts["not_before"] <= now <= facts["not_after"], keep_root or not facts["self_signed"], facts["not_after"]

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path = [max(proof.owners(chain, given), key=rank)]
    while not known[path[-1]]["self_signed"]:
        named = [block for block in given if block not in path and known[block]["subject"] == known[path[-1]]["issuer"]]
        issuers = [block for block in named if _signed(chain, path, block)]
        if not issuers:
            break
        path.append(max(issuers, key=rank))
    return _told(chain, given, known, path, keep_root)


def _told(chain: Chain, given: list, known: dict, path: list, keep_root: bool) -> tuple:
    told = []
    if path != [block for block in given if block in path]:
        told.append("its certificates were put in order, leaf first")
    if len(given) < len(chain.certificates):
        told.append("a certificate that was in it twice is left out once")
    reasons: dict = {}
    for block in given:
        if block not in path:
            reasons.setdefault(_reason(known[block], [known[used] for used in path]), []).append(known[block]["subject"])
    told += ["left out, for %s: %s" % (reason, "; ".join(subjects)) for reason, subjects in reasons.items()]
    if len(path) > 1 and known[path[-1]]["self_signed"] and not keep_root:
        told.append("its root is left out, which peers have of their own: %s" % known[path.pop()]["subject"])
    return replace(chain, certificates=tuple(path)), told


def _reason(left: dict, path: list) -> str:
    """Why a certificate is left out, of which and of the others there are these facts."""
    if any(used["spki_sha256"] == left["spki_sha256"] for used in path):
        return "another for the same key is valid longer, or now"
    if left["subject"] in [used["subject"] for used in path] or left["subject"] == path[-1]["issuer"]:
        return "it is not the key of that name that signed"
    return "no other was issued by it"


def _signed(chain: Chain, path: list, issuer: str) -> bool:
    """Whether the last of a path was signed with that issuer's key: by the identifiers in both, as OpenSSL has it, else by trying."""
    own, _signer = certificate.key_identifiers(pem.der(chain.name, issuer))
    _own, signer = certificate.key_identifiers(pem.der(chain.name, path[-1]))
    return own == signer if own and signer else proof.signed(chain, path, issuer)
