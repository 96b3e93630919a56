# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer can't tell, or tells in other words: the only differences from it that the comparison takes.

A limit is about single sentences (seeing.py says of what kind), never about a peer as a whole. One that no longer occurs fails the tests.
"""
from __future__ import annotations

import re
from typing import NamedTuple, Optional


class Limit(NamedTuple):
    """peer, what: of whom, and of which of the things that are compared. why: for whoever reads a failure.

    unsaid, added: patterns of whole sentences that only we say, and that only the peer says. called: a pattern and what to put in
    its place, where the peer has another name for the same. hosts: where this occurs; all when empty. seen_up_to: the newest version
    of the peer that was seen with it, None where that is no matter of its version.
    """

    peer: str
    what: str
    why: str
    unsaid: str = ""
    added: str = ""
    called: tuple = ()
    hosts: tuple = ()
    seen_up_to: Optional[tuple] = None


_ONE_CHAIN = "it shows the leaf of the chain that one handshake brings, and nothing behind it"
_ANONYMOUS = "a limit of ours: our dh_bits is that of suites with a certificate; that there are anonymous ones is a finding of its own"
_NO_SSL3 = "Debian builds OpenSSL without SSLv3, so whoever links to it can't ask"

LIMITS = (
    Limit("sslscan", "groups", "it does not know this group", unsaid=r"TLSv1\.3 X25519MLKEM768", seen_up_to=(2, 1, 5)),
    Limit("sslscan", "groups", "before TLS 1.3 it offers one group and no other, so a server whose only certificate is ECDSA refuses all but"
          " that certificate's curve (RFC 8422 section 5.1)", unsaid=r"TLSv1\.2 (?!prime256v1).*", hosts=("x-hard-bookworm",), seen_up_to=(2, 0, 7)),
    Limit("sslscan", "signatures", "it offers no groups beside a signature, and a server whose only certificate is ECDSA refuses that",
          unsaid="SHA1 accepted", added="SHA1 refused", hosts=("x-hard-bookworm",), seen_up_to=(2, 0, 7)),
    Limit("sslscan", "certificates", _ONE_CHAIN, unsaid=r"\w+ [2-9] .*"),
    Limit("sslscan", "certificates", _ONE_CHAIN + ": of two, ECDSA", unsaid="RSA 1 .*", hosts=("x-hard-trixie",), seen_up_to=(2, 0, 7)),
    Limit("sslscan", "dh", _ANONYMOUS, added="anonymous DHE .*", hosts=("x-stock-bullseye", "x-stock-trixie")),
    Limit("nmap", "suites", "it calls the suites of TLS 1.3 by names that IANA does not have", called=(r"TLSv1\.3 TLS_AKE_WITH_", "TLSv1.3 TLS_"),
          seen_up_to=(7, 93)),
    Limit("nmap", "groups", "it tells one group a suite, the one the server chose of a few", unsaid=r"TLSv1\.[23] .*"),
    Limit("nmap", "groups", "it calls X25519 as drafts of RFC 8422 did", called=(r" ecdh_x25519$", " X25519"), seen_up_to=(7, 93)),
    Limit("nmap", "certificates", _ONE_CHAIN, unsaid=r"\w+ [2-9] .*"),
    Limit("nmap", "certificates", _ONE_CHAIN + ": of two, ECDSA", unsaid="RSA 1 .*", hosts=("x-hard-trixie",)),
    Limit("nmap", "dh", _ANONYMOUS, added="anonymous DHE .*", hosts=("x-stock-bullseye", "x-stock-trixie")),
    Limit("s_client", "versions", _NO_SSL3, unsaid="SSLv3 refused"),
    Limit("posttls-finger", "versions", _NO_SSL3, unsaid="SSLv3 refused"),
    Limit("posttls-finger", "groups", "it names the group of TLS 1.3 only", unsaid=r"TLSv1\.2 .*"),
)


class Comparison(NamedTuple):
    """What is left of two sets of sentences. only_ours, only_theirs: what no limit explains. needed: the limits that explain the rest."""

    only_ours: frozenset
    only_theirs: frozenset
    needed: frozenset

    @property
    def agrees(self) -> bool:
        return not self.only_ours and not self.only_theirs


def compare(host: str, peer: str, what: str, ours: frozenset, theirs: frozenset, limits: tuple = LIMITS) -> Comparison:
    applying = [limit for limit in limits if (limit.peer, limit.what) == (peer, what) and (not limit.hosts or host in limit.hosts)]
    needed = set()
    for limit in applying:
        if limit.called:
            said = frozenset(re.sub(*limit.called, sentence) for sentence in theirs)
            needed |= {limit} if said != theirs else set()
            theirs = said
    only_ours, only_theirs = ours - theirs, theirs - ours
    for limit in applying:
        unsaid = {sentence for sentence in only_ours if limit.unsaid and re.fullmatch(limit.unsaid, sentence)}
        added = {sentence for sentence in only_theirs if limit.added and re.fullmatch(limit.added, sentence)}
        needed |= {limit} if unsaid or added else set()
        only_ours, only_theirs = only_ours - unsaid, only_theirs - added
    return Comparison(frozenset(only_ours), frozenset(only_theirs), frozenset(needed))
