# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The certificate chains a target was seen to serve: a server may have one for RSA and one for ECDSA, and old ones next to new ones."""
from __future__ import annotations

import hashlib
import threading

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate


class Chains:
    """Told apart by their leaf. Threads share it."""

    def __init__(self) -> None:
        self._chains: list = []
        self._connections: dict = {}
        self._lock = threading.Lock()

    def served(self, sent: list, trust: dict | None, algorithm: str | None = None) -> None:
        """sent: DER, leaf first. trust: verdict and reason where a handshake gave one. algorithm: of its key, where it was asked for."""
        if not sent:
            return
        with self._lock:
            digest = hashlib.sha256(sent[0]).hexdigest()
            known = next((chain for chain in self._chains if chain["certificates"][0]["sha256"] == digest), None)
            if known is None:
                known = {"algorithm": None, "trust": None, "certificates": []}
                self._chains.append(known)
            if len(sent) > len(known["certificates"]):
                known["certificates"] = [certificate.facts(der) for der in sent]
            known["algorithm"] = known["algorithm"] or algorithm or _algorithm(known["certificates"][0]["key_type"])
            known["trust"] = known["trust"] or trust
            if trust is not None:  # a handshake; the flights are counted by again
                self._connections[digest] = self._connections.get(digest, 0) + 1

    def unread(self, algorithm: str) -> None:
        """A server took a suite of this algorithm, and its certificates could not be read: what hangs on them is unknown."""
        with self._lock:
            self._chains.append({"algorithm": algorithm, "trust": None, "certificates": [certificate.facts(None)]})

    def judged(self, algorithm: str, trust: dict) -> None:
        """What a handshake that had to show this algorithm says of its chain, whether it ended or not."""
        with self._lock:
            for chain in self._chains:
                if chain["algorithm"] == algorithm and chain["trust"] is None:
                    chain["trust"] = trust

    def again(self, leaf: bytes) -> None:
        """One more connection showed this leaf (DER)."""
        with self._lock:
            digest = hashlib.sha256(leaf).hexdigest()
            self._connections[digest] = self._connections.get(digest, 0) + 1

    def unjudged(self) -> str | None:
        """The algorithm of a chain whose trust no handshake has judged, where another's was."""
        return next((chain["algorithm"] for chain in self._chains[1:] if chain["trust"] is None), None)

    def first(self) -> list:
        """The certificates of the chain that the verified handshake brought."""
        return self._chains[0]["certificates"] if self._chains else []

    def facts(self) -> list:
        """As RV(results[].chains)."""
        return [
            {
                "algorithm": chain["algorithm"],
                "connections": self._connections.get(chain["certificates"][0]["sha256"], 0),
                "ordered": certificate.ordered(chain["certificates"]),
                "trust": chain["trust"] or {"verdict": "unknown", "reason": "no handshake judged it"},
                "certificates": chain["certificates"],
            }
            for chain in self._chains
        ]


def _algorithm(key_type: str | None) -> str | None:
    """As suites call it."""
    return {"EC": "ECDSA"}.get(key_type, key_type)
