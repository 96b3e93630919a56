# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain is put in the order it is sent in, what peers do not need is left out, and both are said."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.assembly import assembled
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from issuing import Issued, issue

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
UPPER = issue("upper", ROOT, authority=True)
LOWER = issue("lower", UPPER, authority=True)
LEAF = issue(NAME, LOWER)
ALONE = issue(NAME)
STRANGER = issue("stranger", ROOT, authority=True)

ORDER = "its certificates were put in order, leaf first"
NO_ROOT = "its root is left out, which peers have of their own: CN=root"
STRANGE = "left out, for no other was issued by it: CN=stranger"
TWICE = "a certificate that was in it twice is left out once"

GIVEN = {
    "as it is sent": ((LEAF, LOWER, UPPER), (LEAF, LOWER, UPPER), []),
    "the leaf alone": ((LEAF,), (LEAF,), []),
    "upside down": ((UPPER, LOWER, LEAF), (LEAF, LOWER, UPPER), [ORDER]),
    "intermediates swapped": ((LEAF, UPPER, LOWER), (LEAF, LOWER, UPPER), [ORDER]),
    "with its root": ((LEAF, LOWER, UPPER, ROOT), (LEAF, LOWER, UPPER), [NO_ROOT]),
    "root first": ((ROOT, LEAF, LOWER, UPPER), (LEAF, LOWER, UPPER), [ORDER, NO_ROOT]),
    "one twice": ((LEAF, LOWER, LOWER, UPPER), (LEAF, LOWER, UPPER), [TWICE]),
    "one of another chain": ((LEAF, STRANGER, LOWER, UPPER), (LEAF, LOWER, UPPER), [STRANGE]),
    "an intermediate missing": ((LEAF, UPPER), (LEAF,), ["left out, for no other was issued by it: CN=upper"]),
    "self-signed": ((ALONE,), (ALONE,), []),
    "self-signed, and more": ((ALONE, LOWER), (ALONE,), ["left out, for no other was issued by it: CN=lower"]),
}


def given(*certificates: Issued, key: Issued | None = None) -> pem.Chain:
    owner = key or next(entry for entry in certificates if entry in (LEAF, ALONE))
    return pem.chain("default", owner.key_pem(), "".join(entry.pem for entry in certificates))


@pytest.mark.parametrize("case", GIVEN)
def test_what_is_sent_and_what_is_said(case: str) -> None:
    certificates, sent, said = GIVEN[case]
    chain, told = assembled(given(*certificates))
    assert chain.certificates == tuple(entry.pem for entry in sent) and told == said


def test_a_root_that_a_record_names_is_sent_where_that_is_asked_for() -> None:
    chain, told = assembled(given(LEAF, LOWER, UPPER, ROOT), keep_root=True)
    assert chain.certificates[-1] == ROOT.pem and told == []


def test_a_chain_put_right_is_a_chain_that_peers_take(tmp_path) -> None:
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    wrong = given(ROOT, UPPER, LOWER, LEAF)
    with pytest.raises(PostfixTlsError, match="the key does not belong to the first certificate"):
        proof.prove(wrong, [NAME], str(tmp_path / "root.pem"))
    assert proof.prove(assembled(wrong)[0], [NAME], str(tmp_path / "root.pem")) is True


def test_two_that_issue_each_other_end_the_path() -> None:
    one = issue("one", authority=True)
    other = issue("other", one, authority=True)
    crossed = issue("one", other, authority=True, key=one.key)
    leaf = issue(NAME, other)
    chain, told = assembled(given(leaf, other, crossed, key=leaf))
    assert chain.certificates == (leaf.pem, other.pem, crossed.pem) and told == []


@pytest.mark.parametrize("certificates, told", [
    ((LOWER, UPPER), "the key belongs to none of its certificates"),
    ((ALONE,), "the key belongs to none of its certificates"),
])
def test_without_the_certificate_of_the_key_there_is_no_chain(certificates: tuple, told: str) -> None:
    with pytest.raises(PostfixTlsError, match="chain default: %s. Name the key that its certificate was issued for" % told):
        assembled(given(*certificates, key=LEAF))


def test_a_certificate_that_can_not_be_read_is_told_by_its_number() -> None:
    damaged = LOWER.pem.replace("M", "?", 2)
    with pytest.raises(PostfixTlsError, match="chain default: its certificate number 2 is damaged. Copy the file again"):
        assembled(pem.chain("default", LEAF.key_pem(), LEAF.pem + damaged))


def test_a_key_that_is_none_is_told_as_what_openssl_says_of_it() -> None:
    first, second, *rest = LEAF.key_pem().splitlines(keepends=True)
    broken = first + second.swapcase() + "".join(rest)
    with pytest.raises(PostfixTlsError, match="chain default: OpenSSL does not take it") as refused:
        assembled(pem.chain("default", broken, LEAF.pem))
    assert not any(line in str(refused.value) for line in broken.splitlines()[1:-1])


OLD, NEW = (issue("rekeyed", ROOT, authority=True, days=days) for days in ((-9, 20), (-1, 30)))
OF_NEW = issue(NAME, NEW)
EXPIRED, RENEWED = (issue("renewed", ROOT, authority=True, days=days, key=OLD.key) for days in ((-30, -1), (-1, 9)))
OF_RENEWED = issue(NAME, RENEWED)
LEAF_EXPIRED, LEAF_RENEWED = (issue(NAME, LOWER, days=days, key=LEAF.key) for days in ((-30, -1), (-1, 60)))
CROSSED = issue("root", issue("older root", authority=True), authority=True, key=ROOT.key, days=(-9, 300))
NAMELESS_OLD, NAMELESS_NEW = (issue("nameless", ROOT, authority=True, identifiers=False) for _times in range(2))
OF_NAMELESS = issue(NAME, NAMELESS_NEW, identifiers=False)

NOT_ITS_KEY = "left out, for it is not the key of that name that signed: CN=%s"
LONGER = "left out, for another for the same key is valid longer, or now: CN=%s"
SEVERAL = {
    "an intermediate with a new key behind the old one": ((OF_NEW, OLD, NEW), (OF_NEW, NEW), [NOT_ITS_KEY % "rekeyed"]),
    "the old one behind it": ((OF_NEW, NEW, OLD), (OF_NEW, NEW), [NOT_ITS_KEY % "rekeyed"]),
    "the old one alone": ((OF_NEW, OLD), (OF_NEW,), [NOT_ITS_KEY % "rekeyed"]),
    "an expired one of the same key first": ((OF_RENEWED, EXPIRED, RENEWED), (OF_RENEWED, RENEWED), [LONGER % "renewed"]),
    "two leaves of one key": ((LEAF_EXPIRED, LEAF, LEAF_RENEWED, LOWER, UPPER), (LEAF_RENEWED, LOWER, UPPER), [LONGER % "%s; CN=%s" % (NAME, NAME)]),
    "a root and the same signed by an older one": ((LEAF, LOWER, UPPER, ROOT, CROSSED), (LEAF, LOWER, UPPER, CROSSED), [LONGER % "root"]),
    "keys without identifiers": ((OF_NAMELESS, NAMELESS_OLD, NAMELESS_NEW), (OF_NAMELESS, NAMELESS_NEW), [NOT_ITS_KEY % "nameless"]),
    "expired and without identifiers": (
        (issue(NAME, NAMELESS_NEW, identifiers=False, key=LEAF.key, days=(-9, -1)), NAMELESS_OLD, NAMELESS_NEW), None, [NOT_ITS_KEY % "nameless"]),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_of_several_certificates_of_one_name_that_is_taken_whose_key_signed_and_that_is_valid_longest(case: str) -> None:
    certificates, sent, said = SEVERAL[case]
    chain, told = assembled(given(*certificates, key=certificates[0]))
    assert chain.certificates == tuple(entry.pem for entry in sent or (certificates[0], certificates[-1])) and told == said
