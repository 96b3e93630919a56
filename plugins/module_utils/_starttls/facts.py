# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The facts about one target, made complete before they are judged: what is missing, or None where words are due, is not known.

So a check needs no case of its own for each thing that could not be seen, and no finding says None.
"""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

#: What is said of what is not known.
NOTHING = "nothing was seen of it"
_VERDICTS = ("accepted", "refused", "pass", "fail", "server", "client", "unknown")

_SMTP = ("banner", "ehlo", "starttls", "starttls_reply", "after_starttls", "ehlo_after_tls", "mail_before_tls", "injected", "smuggling")
_OF_TLS = ("handshake", "reason", "order", "dh_bits", "compression", "extended_master_secret", "secure_renegotiation")
_OF_A_LEAF = (
    "sha256", "names", "not_before", "not_after", "days_left", "self_signed", "key_type", "key_bits", "curve", "signature", "signature_hash",
)


def completed(facts: dict) -> dict:
    """As C(probe) returns them, whatever is missing. What was never asked for remains so: None, or not among its kind."""
    smtp = {**dict.fromkeys(_SMTP), **(facts.get("smtp") or {})}
    for item in ("ehlo", "ehlo_after_tls"):
        if smtp[item] is not None:
            smtp[item] = [line for line in smtp[item] if line is not None]
    return {
        **facts,
        "vantage": {"source": None, "own": None, **(facts.get("vantage") or {})},
        "reachable": facts.get("reachable"),
        "error": facts.get("error"),
        "smtp": dict(smtp, smuggling=_answers(smtp["smuggling"])),
        "tls": _tls(facts.get("tls")),
        "chains": [_chain(chain) for chain in facts.get("chains") or () if chain],
    }


def _tls(tls: dict | None) -> dict | None:
    if tls is None:
        return None
    versions = tls.get("versions")
    return {
        **dict.fromkeys(_OF_TLS),
        **tls,
        "version": tls.get("version") or "an unknown version",
        "cipher": tls.get("cipher") or "an unknown suite",
        "versions": {name: _answer(versions.get(name)) for name in (*NAMES, *versions)} if versions else {},
        **{kind: _answers(tls.get(kind)) for kind in ("algorithms", "suites", "groups", "signatures")},
        **{item: _answer(tls[item]) if tls.get(item) else None for item in ("order", "without_sni")},
        "trust": _answer(tls.get("trust")),
        "name": _answer(tls.get("name")),
    }


def _answers(answers: dict | None) -> dict:
    return {name: _answer(answer) for name, answer in (answers or {}).items()}


def _answer(answer: dict | None) -> dict:
    answer = answer or {}
    verdict = answer.get("verdict")
    return {**answer, "verdict": verdict if verdict in _VERDICTS else "unknown", "reason": answer.get("reason") or NOTHING}


def _chain(chain: dict) -> dict:
    return {
        "whole": False, "ordered": None, "sni": None,
        **chain,
        "needless": chain.get("needless") or (),
        "algorithm": chain.get("algorithm") or "unreadable",
        "connections": chain.get("connections") or 0,
        "trust": _answer(chain.get("trust")),
        "certificates": [_certificate(certificate or {}) for certificate in chain.get("certificates") or [None]],
    }


def _certificate(certificate: dict) -> dict:
    names = certificate.get("names")
    return {
        **dict.fromkeys(_OF_A_LEAF),
        **certificate,
        "subject": certificate.get("subject") or "a certificate that could not be read",
        "names": names and [name for name in names if name is not None],
        "days_left": certificate.get("days_left") if certificate.get("not_after") else None,
    }
