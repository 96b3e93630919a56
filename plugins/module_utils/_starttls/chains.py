# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The certificate chains a target was seen to serve: a server may have one for RSA and one for ECDSA, and old ones beside new ones."""
from __future__ import annotations

import threading

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate

#: What is sent beyond that is no chain; the longest in the wild have five.
MOST_CERTIFICATES = 16


class Chains:
    """Each chain as it was sent, told apart by its certificates. Threads share it."""

    def __init__(self) -> None:
        self._chains: list = []
        self._lock = threading.Lock()

    def served(self, sent: list, whole: bool, trust: dict | None = None, algorithm: str | None = None) -> None:
        """One connection showed it. sent: DER, leaf first. whole: whether that is all that was sent, or the leaf alone.

        trust: verdict and reason, where a handshake judged it. algorithm: of the suite, for a key that can't be read.
        """
        if not sent:
            return
        facts = [certificate.facts(der) for der in sent[:MOST_CERTIFICATES]]
        digests = [fact["sha256"] for fact in facts]
        with self._lock:
            known = next((chain for chain in self._chains if _same(chain, digests, whole)), None)
            if known is None:
                known = {"algorithm": _algorithm(facts[0]["key_type"]) or algorithm, "connections": 0, "trust": None, "certificates": facts}
                known["whole"] = whole and len(sent) <= MOST_CERTIFICATES
                self._chains.append(known)
            elif whole and not known["whole"]:
                known.update(certificates=facts, whole=True)
            known["connections"] += 1
            if trust is not None and (known["trust"] is None or trust["verdict"] != "pass"):
                known["trust"] = trust

    def unread(self, algorithm: str) -> None:
        """A server took a suite of this algorithm, and its certificates could not be read: what hangs on them is unknown."""
        unknown = {"algorithm": algorithm, "connections": 1, "trust": None, "certificates": [certificate.facts(None)], "whole": False}
        with self._lock:
            self._chains.append(unknown)

    def distrusted(self, algorithm: str | None, trust: dict) -> None:
        """A handshake refused what it was shown, which it does not tell: it may be any chain of that algorithm, None for any at all."""
        with self._lock:
            for chain in self._chains:
                if algorithm in (None, chain["algorithm"]):
                    chain["trust"] = trust

    def unjudged(self) -> str | None:
        """The algorithm of a chain whose trust no handshake has judged, where it is another one than the first chain's."""
        first = self._chains[0]["algorithm"] if self._chains else None
        return next((chain["algorithm"] for chain in self._chains if chain["trust"] is None and chain["algorithm"] != first), None)

    def first(self) -> list:
        """The certificates of the chain that the verified handshake brought."""
        return self._chains[0]["certificates"] if self._chains else []

    def facts(self) -> list:
        """As RV(results[].chains)."""
        return [
            {
                "algorithm": chain["algorithm"],
                "connections": chain["connections"],
                "whole": chain["whole"],
                "ordered": certificate.ordered(chain["certificates"]) if chain["whole"] else None,
                "trust": chain["trust"] or {"verdict": "unknown", "reason": "no handshake judged it"},
                "certificates": chain["certificates"],
            }
            for chain in self._chains
        ]


def _same(chain: dict, digests: list, whole: bool) -> bool:
    known = [fact["sha256"] for fact in chain["certificates"]]
    return known == digests if whole and chain["whole"] else known[0] == digests[0]


def _algorithm(key_type: str | None) -> str | None:
    """As suites before TLS 1.3 call it (RFC 8422 section 5.10 for Ed25519 and Ed448)."""
    return {"EC": "ECDSA", "Ed25519": "ECDSA", "Ed448": "ECDSA"}.get(key_type, key_type)
