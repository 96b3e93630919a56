# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The chains that lie in files for services to serve, in the words of postfix_tls_info. Keys are passed over, never read.

Source: postconf(5) smtpd_tls_chain_files, smtpd_tls_cert_file.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, tlsa
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files

_OF_THE_LEAF = ("names", "subject", "issuer", "not_before", "not_after", "days_left", "key_type", "key_bits", "curve", "sha256", "spki_sha256")


class Serving(NamedTuple):
    """What a service takes its chains from. paths: files with certificates.

    by_key: whether keys begin the chains, which may go on in the next file; else each file holds one, and its key lies anywhere.
    name: what clients ask for by SNI to get them, "" for those that all others get.
    """

    service: str
    paths: tuple
    by_key: bool
    name: str = ""


@dataclass
class _Chain:
    """paths: of its key and certificates. sent: their DER, None for a damaged one. error: the first thing wrong with it, "" for nothing."""

    paths: list
    error: str = ""
    sent: list = field(default_factory=list)

    def add(self, path: str, block: str) -> None:
        """One more certificate, from that file."""
        self.sent.append(_der(block))
        self.paths += [path] if path not in self.paths else []

    def facts(self) -> dict:
        """As RV(chains) of postfix_tls_info, for no service yet."""
        certificates = [certificate.facts(der) for der in self.sent]
        leaf = (certificates or [certificate.facts(None)])[0]
        first = min((fact for fact in certificates if fact["not_after"]), key=lambda fact: fact["not_after"], default=None)
        return {
            "files": self.paths,
            "services": [],
            "sni": [],
            **{name: leaf[name] for name in _OF_THE_LEAF},
            "ends_first": first and {name: first[name] for name in ("days_left", "not_after", "subject")},
            "certificates": certificates,
            "tlsa": tlsa.records(certificates),
            "error": self.error or self._wrong(certificates),
        }

    def _wrong(self, certificates: list) -> str | None:
        if not certificates:
            return _refusal(", ".join(self.paths), "no PEM certificate was found", "Put the leaf there, then the intermediates.")
        damaged = [number for number, fact in enumerate(certificates, 1) if fact["subject"] is None]
        return _refusal(", ".join(self.paths), "certificate %d can't be read" % damaged[0], "Copy the file again.") if damaged else None


def chains(serving: Iterable) -> list:
    """As RV(chains) of postfix_tls_info. Those with the same certificates, or the same error, are one with all their files and services."""
    told: dict = {}
    for service, paths, by_key, name in serving:
        for facts in [chain.facts() for chain in _read(paths, by_key)]:
            known = told.setdefault((*(fact["sha256"] for fact in facts["certificates"]), facts["error"]), facts)
            known["files"] = list(dict.fromkeys(known["files"] + facts["files"]))
            known["services"] = list(dict.fromkeys([*known["services"], service]))
            known["sni"] = list(dict.fromkeys([*known["sni"], *([name] if name else [])]))
    return list(told.values())


def _read(paths: Iterable, by_key: bool) -> list:
    """[_Chain]; each file is part of at least one."""
    found: list = []
    for path in paths:
        blocks, error = _blocks(path)
        if not by_key:
            found.append(_Chain([path]))
        for label, block in blocks:
            if by_key and label.endswith("PRIVATE KEY"):
                found.append(_Chain([path]))
            if label in pem.CERTIFICATES:
                if not found:
                    found.append(_Chain([path], _refusal(path, "no PEM private key stands before its first certificate", "Put the key first.")))
                found[-1].add(path, block)
        if not any(path in chain.paths for chain in found):
            found.append(_Chain([path]))
        for chain in found:
            if path in chain.paths:
                chain.error = chain.error or error
    return found


def _blocks(path: str) -> tuple:
    """([(label, PEM block)], what is wrong with the file or "")"""
    try:
        content = files.read(path).content
        text = (content or b"").decode("utf-8", "replace")
        blocks = pem.blocks(path, text)
    except PostfixTlsError as error:
        return [], _refusal(path, error.reason, "Where only root may read it, become root; else name the right file.")
    if content is None:
        return [], _refusal(path, "there is no such file on this host", "Put it there, or name the file that holds the chain.")
    return blocks, _refusal(path, "a PEM block in it has no end", "Copy the file again.") if text.count("-----BEGIN ") > len(blocks) else ""


def _refusal(item: str, reason: str, remedy: str) -> str:
    return str(PostfixTlsError(item, None, reason, remedy))


def _der(block: str) -> bytes | None:
    try:
        return pem.der("", block)
    except PostfixTlsError:
        return None
