# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The certificate chains a target was seen to serve: a server may have one for RSA and one for ECDSA, and old ones beside new ones."""
from __future__ import annotations

import threading
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

#: What is sent beyond that is no chain; the longest in the wild have five.
MOST_CERTIFICATES = 16


class Chains:
    """Each chain as it was sent, told apart by its certificates. Threads share it. judge: of certificates (DER, leaf first), {verdict, reason}."""

    def __init__(self, judge: Callable[[list], dict]) -> None:
        self._chains: list = []
        self._lock = threading.Lock()
        self._judge = judge

    def served(self, sent: list, whole: bool, trust: dict | None = None, algorithm: str | None = None, seen: tuple = (None, None)) -> None:
        """One connection showed it. sent: DER, leaf first. whole: whether that is all that was sent, or the leaf alone.

        trust: verdict and reason, where a handshake judged it. algorithm: of the suite, for a key that can't be read. seen: (version, whether
        a server name was sent, or None where none ever is).
        """
        if not sent:
            return
        facts = [certificate.facts(der) for der in sent[:MOST_CERTIFICATES]]
        digests = [fact["sha256"] for fact in facts]
        version, named = seen
        with self._lock:
            known = next((chain for chain in self._chains if _same(chain, digests, whole)), None)
            if known is None:
                known = _chain(_algorithm(facts[0]["key_type"]) or algorithm, facts, whole and len(sent) <= MOST_CERTIFICATES)
                known.update(sni=named, sent=sent, key=certificate.key_kind(sent[0]))
                self._chains.append(known)
            elif whole and not known["whole"]:
                known.update(certificates=facts, whole=True, sent=sent)
            known["connections"] += 1
            known["sni"] = known["sni"] or named
            known["versions"].update({version: None} if version else {})
            if trust is not None and (known["trust"] is None or trust["verdict"] != "pass"):
                known["trust"] = trust

    def unread(self, algorithm: str) -> None:
        """A server took a suite of this algorithm, and its certificates could not be read: what hangs on them is unknown."""
        with self._lock:
            self._chains.append(dict(_chain(algorithm, [certificate.facts(None)], False), connections=1))

    def distrusted(self, algorithm: str | None, trust: dict) -> None:
        """A handshake refused what it was shown, which it does not tell: it may be any chain of that algorithm, None for any at all."""
        self.judge()
        with self._lock:
            suspects = [chain for chain in self._chains if algorithm in (None, chain["algorithm"]) and chain["sni"] is not False]
            if not any(chain["trust"] and chain["trust"]["verdict"] == "fail" for chain in suspects):
                for chain in suspects:
                    chain["trust"] = trust

    def judge(self) -> None:
        """Each whole chain whose trust no handshake has judged."""
        with self._lock:
            for chain in self._chains:
                if chain["trust"] is None and chain["whole"]:
                    chain["trust"] = self._judge(chain["sent"])

    def unjudged(self) -> str | None:
        """The algorithm of a chain whose trust no handshake has judged, where it is another one than the first chain's.

        Only of chains that a handshake can be brought to show, which is by the suites of TLS 1.2, and that it would go through with.
        """
        first = self._chains[0]["algorithm"] if self._chains else None
        return next((
            chain["algorithm"] for chain in self._chains
            if chain["trust"] is None and chain["algorithm"] != first and "TLSv1.2" in chain["versions"] and chain["sni"] is not False
            and self._judge(chain["sent"])["verdict"] == "pass"
        ), None)

    def keys(self, version: str | None, named: bool | None) -> list:
        """(type, curve) of the leaves' keys, seen by that version, None for any, and by who sends a server name or does not."""
        with self._lock:
            return [
                chain["key"] for chain in self._chains
                if chain["key"] and version in (None, *chain["versions"]) and chain["sni"] in ((None, True) if named else (None, False))
            ]

    def differ(self) -> bool:
        """Whether who sends no server name was shown what nobody else was."""
        return any(chain["sni"] is False for chain in self._chains)

    def first(self) -> list:
        """The certificates of the chain that the verified handshake brought."""
        return self._chains[0]["certificates"] if self._chains else []

    def facts(self) -> list:
        """As RV(results[].chains)."""
        self.judge()
        return [
            {
                "algorithm": chain["algorithm"],
                "sni": chain["sni"],
                "versions": sorted(chain["versions"], key=NAMES.index),
                "connections": chain["connections"],
                "whole": chain["whole"],
                "ordered": certificate.ordered(chain["certificates"]) if chain["whole"] else None,
                "trust": chain["trust"] or {"verdict": "unknown", "reason": "no handshake judged it"},
                "needless": self._needless(chain),
                "certificates": chain["certificates"],
            }
            for chain in self._chains
        ]

    def _needless(self, chain: dict) -> list:
        """Digests of the certificates behind the leaf without which the chain is trusted all the same."""
        if not (chain["whole"] and chain["trust"] and chain["trust"]["verdict"] == "pass"):
            return []
        sent = chain["sent"]
        return [
            fact["sha256"] for at, fact in enumerate(chain["certificates"])
            if at and self._judge(sent[:at] + sent[at + 1:])["verdict"] == "pass"
        ]


def _chain(algorithm: str | None, facts: list, whole: bool) -> dict:
    return {
        "algorithm": algorithm, "connections": 0, "trust": None, "certificates": facts, "whole": whole, "sni": None, "versions": {}, "key": None, "sent": [],
    }


def _same(chain: dict, digests: list, whole: bool) -> bool:
    known = [fact["sha256"] for fact in chain["certificates"]]
    return known == digests if whole and chain["whole"] else known[0] == digests[0]


def _algorithm(key_type: str | None) -> str | None:
    """As suites before TLS 1.3 call it (RFC 8422 section 5.10 for Ed25519 and Ed448)."""
    return {"EC": "ECDSA", "Ed25519": "ECDSA", "Ed448": "ECDSA"}.get(key_type, key_type)
