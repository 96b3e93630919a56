# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A chain as it is to be sent: the certificate of the key, then each one's issuer, and nothing else.

Source: RFC 5246 section 7.4.2, RFC 8446 section 4.4.2; RFC 7671 section 5.2.2 for whoever has to send the root.
"""
from __future__ import annotations

from dataclasses import replace

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.pem import Chain


def assembled(chain: Chain, keep_root: bool = False) -> tuple:
    """(the chain as it is to be sent, what was put right, in sentences). keep_root: for a TLSA record 2 x x that names it.

    Raises PostfixTlsError where the key belongs to none of the certificates. What is missing is for the proof to see.
    """
    known = dict(zip(chain.certificates, chain.facts()))
    given = list(known)  # each once
    leaf = proof.owner(chain, given)
    path, left = [leaf], [block for block in given if block != leaf]
    while not known[path[-1]]["self_signed"]:
        issuer = next((block for block in left if known[block]["subject"] == known[path[-1]]["issuer"]), None)
        if issuer is None:
            break
        path.append(issuer)
        left.remove(issuer)
    told = []
    if path != [block for block in given if block in path]:
        told.append("its certificates were put in order, leaf first")
    if len(given) < len(chain.certificates):
        told.append("a certificate that was in it twice is left out once")
    if left:
        told.append("left out, for no other was issued by it: %s" % "; ".join(known[block]["subject"] for block in left))
    if len(path) > 1 and known[path[-1]]["self_signed"] and not keep_root:
        told.append("its root is left out, which peers have of their own: %s" % known[path.pop()]["subject"])
    return replace(chain, certificates=tuple(path)), told
