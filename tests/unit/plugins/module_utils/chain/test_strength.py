# SPDX-License-Identifier: GPL-3.0-or-later
"""Every certificate is valid long enough and strong enough, and the one that is not is told by its name."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.strength import judge, out_of_reach
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from cryptography.hazmat.primitives import hashes
from issuing import Issued, issue

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
MIDDLE = issue("middle", ROOT, authority=True)


def leaf(**how: object) -> tuple:
    return issue(NAME, MIDDLE, **how), MIDDLE


def below(**how: object) -> tuple:
    middle = issue("middle", ROOT, authority=True, **how)
    return issue(NAME, middle), middle


def chain(certificates: tuple) -> pem.Chain:
    return pem.chain("default", certificates[0].key_pem(), "".join(entry.pem for entry in certificates))


WRONG = {
    "expired": (leaf(days=(-9, -1)), {}, "certificate CN=mx.example.org: it has expired on .*Renew it"),
    "not yet": (leaf(days=(1, 9)), {}, "certificate CN=mx.example.org: it is not valid yet, only from .*clock"),
    "ends too soon": (leaf(days=(-80, 6)), {"min_days_left": 14}, "certificate CN=mx.example.org: it ends .*, 5 days from now, and 14 were asked for"),
    "intermediate expired": (below(days=(-9, -1)), {}, "intermediate CN=middle: it has expired on .*newer intermediate"),
    "intermediate ends too soon": (below(days=(-9, 3)), {"min_days_left": 14}, "intermediate CN=middle: it ends .*2 days from now"),
    "RSA 1024": (leaf(kind="rsa1024"), {}, "certificate CN=mx.example.org: its RSA key has 1024 bits, and 2048 are needed"),
    "intermediate RSA 1024": (below(kind="rsa1024"), {}, "intermediate CN=middle: its RSA key has 1024 bits"),
    "RSA 2048 for NCSC": (leaf(kind="rsa"), {"profile": "bsi_tr02102"}, "its RSA key has 2048 bits, and 3000 are needed, says the profile bsi_tr02102"),
    "RSA for modern": (leaf(kind="rsa"), {"profile": "modern"}, "RSA keys are not to be used, says the profile modern"),
    "a curve that intermediate has not": (leaf(kind="p521"), {"profile": "intermediate"}, "its key is on secp521r1, and prime256v1, secp384r1 are taken, says"),
    "SHA-224 for modern": (leaf(digest=hashes.SHA224()), {"profile": "modern"}, "it is signed with ecdsa-with-SHA224"),
}
GOOD = {
    "a day left": (leaf(days=(-9, 2)), {}),
    "just enough days": (leaf(days=(-1, 15)), {"min_days_left": 14}),
    "a short one that can't have so many": (leaf(days=(-1, 6)), {"min_days_left": 14}),
    "one of 45 days": (leaf(days=(-25, 20)), {"min_days_left": 14}),
    "RSA": (leaf(kind="rsa"), {"profile": "intermediate"}),
    "RSA above an ECDSA leaf, for modern": (below(kind="rsa"), {"profile": "modern"}),
    "another curve where no profile is": (leaf(kind="p521"), {}),
    "self-signed": ((issue(NAME),), {}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_peers_could_not_use_is_told_by_name(case: str) -> None:
    certificates, asked, told = WRONG[case]
    with pytest.raises(PostfixTlsError, match="chain default = .*" + told):
        judge(chain(certificates), **asked)


@pytest.mark.parametrize("case", GOOD)
def test_what_they_can_use_is_taken(case: str) -> None:
    certificates, asked = GOOD[case]
    judge(chain(certificates), **asked)


def test_a_signature_that_is_too_weak_is_told(monkeypatch) -> None:
    """No library of today signs with SHA-1 any more, so what is read of a certificate is given here."""
    weak: list = [dict(pem.chain("x", *[text(MIDDLE) for text in (Issued.key_pem, lambda entry: entry.pem)]).facts()[0])]
    weak[0].update(signature="sha1WithRSAEncryption", signature_hash="SHA1", self_signed=False)
    monkeypatch.setattr(pem.Chain, "facts", lambda _self: weak)
    with pytest.raises(PostfixTlsError, match="it is signed with sha1WithRSAEncryption. Have it issued anew"):
        judge(chain((MIDDLE,)))


@pytest.mark.parametrize("days, asked, told", [
    ((-1, 5), 14, "it is issued for 6 days, so it can't be asked for 14 more; it ends on "), ((-25, 20), 30, ""), ((-25, 20), 31, "it is issued for 45 days"),
    ((-89, 1), 60, ""), ((-1, 5), 0, ""),
])
def test_days_that_no_renewal_would_give_are_not_asked_for(days: tuple, asked: int, told: str) -> None:
    said = out_of_reach(chain(leaf(days=days)).facts()[0], asked)
    assert said.startswith(told) and bool(said) is bool(told)
