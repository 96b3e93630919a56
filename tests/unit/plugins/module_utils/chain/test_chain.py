# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain is proven before it is installed: what a peer would stumble over is refused, in words, and never with key text."""
from __future__ import annotations

import os

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from issuing import issue

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
MIDDLE = issue("intermediate", ROOT, authority=True)
LEAF = issue(NAME, MIDDLE, names=(NAME, "mail.example.org"))
OTHER = issue("other.example.org", MIDDLE)
FULL = LEAF.pem + MIDDLE.pem


@pytest.fixture
def ca_file(tmp_path) -> str:
    path = tmp_path / "root.pem"
    path.write_text(ROOT.pem, encoding="utf-8")
    return str(path)


def prove(key: str, certificates: str, ca_file: str | None, names: tuple = (NAME,)) -> bool:
    return proof.prove(pem.chain("default", key, certificates), list(names), ca_file)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("form", ["PKCS8", "traditional"])
def test_key_leaf_and_intermediate_are_good_whatever_the_format(kind: str, form: str, ca_file: str) -> None:
    leaf = issue(NAME, MIDDLE, kind=kind)
    assert prove(leaf.key_pem(form), leaf.pem + MIDDLE.pem, ca_file) is True


def test_text_around_it_windows_line_ends_and_one_file_for_all_are_taken(ca_file: str) -> None:
    mixed = "Bag Attributes\r\n" + (LEAF.key_pem() + "subject=x\n" + FULL).replace("\n", "\r\n")
    chain = pem.chain("default", mixed, mixed)
    assert chain.text() == LEAF.key_pem() + FULL
    assert proof.prove(chain, [NAME], ca_file) is True


def test_every_name_it_has_to_cover_is_looked_for(ca_file: str) -> None:
    assert prove(LEAF.key_pem(), FULL, ca_file, names=(NAME, "mail.example.org")) is True
    with pytest.raises(PostfixTlsError, match="chain default = imap.example.org: it does not cover that name"):
        prove(LEAF.key_pem(), FULL, ca_file, names=(NAME, "imap.example.org"))


def test_a_common_name_does_not_count_but_in_one_that_vouches_for_itself(ca_file: str) -> None:
    """As peers find it by RFC 9525; whoever pins a self-signed one that openssl req made looks for no name."""
    leaf, alone = issue(NAME, MIDDLE, extensions=()), issue(NAME, extensions=())
    with pytest.raises(PostfixTlsError, match="it does not cover that name. Have it issued for that name, as subjectAltName"):
        prove(leaf.key_pem(), leaf.pem + MIDDLE.pem, ca_file)
    assert prove(alone.key_pem(), alone.pem, ca_file) is False


def test_a_dot_at_the_end_of_a_name_is_no_part_of_it(ca_file: str) -> None:
    assert prove(LEAF.key_pem(), FULL, ca_file, names=(NAME + ".",)) is True
    with pytest.raises(PostfixTlsError, match="it is no host name"):
        prove(LEAF.key_pem(), FULL, ca_file, names=(".",))


def test_a_self_signed_one_is_good_for_itself_and_not_for_peers(ca_file: str) -> None:
    alone = issue(NAME)
    assert prove(alone.key_pem(), alone.pem, ca_file) is False
    with pytest.raises(PostfixTlsError, match="it does not cover that name"):
        prove(alone.key_pem(), alone.pem, ca_file, names=("other.example.org",))


WRONG = {
    "the key of another certificate": (OTHER.key_pem(), FULL, "the key does not belong to the first certificate"),
    "intermediate before the leaf": (LEAF.key_pem(), MIDDLE.pem + LEAF.pem, "the key does not belong to the first certificate"),
    "the key of another certificate of another kind": (issue(NAME, MIDDLE, kind="rsa").key_pem(), FULL, "the key does not belong to the first certificate"),
    "no intermediate": (LEAF.key_pem(), LEAF.pem, "an intermediate is missing"),
    "a key of SSH": (LEAF.key_pem().replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"), FULL, "its key is one of SSH"),
    "key with a passphrase": (LEAF.key_pem(passphrase=b"secret"), FULL, "its key has a passphrase"),
    "old key with a passphrase": (LEAF.key_pem("traditional", b"secret"), FULL, "its key has a passphrase"),
    "two keys": (LEAF.key_pem() + OTHER.key_pem(), FULL, "one PEM private key was expected, found 2"),
    "no key": (FULL, FULL, r"one PEM private key was expected, found 0 \(blocks: CERTIFICATE\)"),
    "no certificate": (LEAF.key_pem(), LEAF.key_pem(), "no PEM certificate was found"),
    "nothing": ("", "", r"found 0 \(blocks: none\)"),
    "garbage": ("\x00\xff", "\x00", "found 0"),
    "a damaged certificate": (LEAF.key_pem(), FULL.replace("M", "?", 3), "OpenSSL does not take it|the key does not belong|damaged"),
    "a huge file": ("x" * (2 << 20), FULL, "with 2097152 bytes that is no key or chain"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_peer_could_use_is_refused(case: str, ca_file: str) -> None:
    key, certificates, told = WRONG[case]
    with pytest.raises(PostfixTlsError, match=told) as refused:
        prove(key, certificates, ca_file)
    for line in (LEAF.key_pem() + OTHER.key_pem()).splitlines():
        assert "PRIVATE" in line or line not in str(refused.value)


LATER = {
    "expired": (issue(NAME, MIDDLE, days=(-9, -1)), "it has expired. Renew it"),
    "not valid yet": (issue(NAME, MIDDLE, days=(1, 9)), "it is not valid yet. Check this host's clock"),
    "for clients": (issue(NAME, MIDDLE, client=True), "it is not meant for servers"),
    "for another name": (OTHER, "it does not cover that name"),
}


@pytest.mark.parametrize("case", LATER)
def test_a_certificate_that_peers_would_refuse_is_refused(case: str, ca_file: str) -> None:
    leaf, told = LATER[case]
    with pytest.raises(PostfixTlsError, match=told):
        prove(leaf.key_pem(), leaf.pem + MIDDLE.pem, ca_file)


@pytest.mark.parametrize("name, told", [
    (".example.org", "name = '.example.org': it is no host name: a label is empty, or has more than 63 characters. Name what peers"),
    ("", "name = '': it is no host name"),
    ("x" * 64 + ".example.org", "it is no host name"),
    ("mx\x00.example.org", "it is no host name"),
    ("192.0.2.1", "chain default = 192.0.2.1: it does not cover that address"),
])
def test_a_name_that_can_be_none_is_refused_as_such(ca_file: str, name: str, told: str) -> None:
    with pytest.raises(PostfixTlsError) as refused:
        prove(LEAF.key_pem(), FULL, ca_file, names=(name,))
    assert told in str(refused.value)


def test_a_root_of_ones_own_in_the_chain_is_not_trusted_for_being_there(ca_file: str) -> None:
    stranger = issue("stranger", authority=True)
    leaf = issue(NAME, stranger)
    with pytest.raises(PostfixTlsError, match="it ends in a root this host does not trust. Set ca_file to that root"):
        prove(leaf.key_pem(), leaf.pem + stranger.pem, ca_file)


def test_a_self_signed_one_has_to_be_good_in_every_other_way(ca_file: str) -> None:
    for alone, told in ((issue(NAME, days=(-9, -1)), "it has expired"), (issue(NAME, client=True), "it is not meant for servers")):
        with pytest.raises(PostfixTlsError, match=told):
            prove(alone.key_pem(), alone.pem, ca_file)


def test_a_self_signed_one_that_is_in_the_ca_file_is_trusted(tmp_path) -> None:
    alone = issue(NAME)
    (tmp_path / "own.pem").write_text(alone.pem, encoding="utf-8")
    assert prove(alone.key_pem(), alone.pem, str(tmp_path / "own.pem")) is True


def test_the_chains_of_one_text_are_parted_at_their_keys() -> None:
    rsa = issue(NAME, MIDDLE, kind="rsa")
    both = pem.chains("x", LEAF.key_pem("traditional") + FULL + "\n" + rsa.key_pem() + rsa.pem)
    assert [(chain.key, chain.certificates) for chain in both] == [
        (LEAF.key_pem("traditional"), (LEAF.pem, MIDDLE.pem)), (rsa.key_pem(), (rsa.pem,)),
    ]
    with pytest.raises(PostfixTlsError, match="chain x: one PEM private key was expected, found 0"):
        pem.chains("x", FULL)
    with pytest.raises(PostfixTlsError, match="chain x: no PEM certificate was found"):
        pem.chains("x", LEAF.key_pem() + rsa.key_pem() + rsa.pem)


def test_a_ca_nobody_trusts_is_refused(ca_file: str) -> None:
    stranger = issue("stranger", authority=True)
    leaf = issue(NAME, stranger)
    with pytest.raises(PostfixTlsError, match="an intermediate is missing, or this host does not trust its issuer"):
        prove(leaf.key_pem(), leaf.pem, ca_file)


def test_a_ca_file_that_is_none_is_named(tmp_path) -> None:
    with pytest.raises(PostfixTlsError, match="ca_file = /nonexistent: there is no such file on this host"):
        prove(LEAF.key_pem(), FULL, "/nonexistent")
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="no CA certificate can be read from it"):
        prove(LEAF.key_pem(), FULL, str(empty))


def test_a_chain_is_refused_even_where_no_name_is_asked_for(ca_file: str) -> None:
    leaf, told = LATER["expired"]
    with pytest.raises(PostfixTlsError, match="chain default: " + told):
        prove(leaf.key_pem(), leaf.pem + MIDDLE.pem, ca_file, names=())


def test_without_a_ca_file_the_system_store_decides() -> None:
    with pytest.raises(PostfixTlsError, match="this host does not trust its issuer"):
        prove(LEAF.key_pem(), FULL, None)


def test_where_there_is_no_file_in_memory_a_file_is_used_that_is_ours_alone_and_goes(ca_file: str, tmp_path, monkeypatch) -> None:
    monkeypatch.delattr(proof.os, "memfd_create")
    monkeypatch.setattr(proof.tempfile, "tempdir", str(tmp_path))
    modes = []
    write = os.write

    def watched(descriptor: int, data: bytes) -> int:
        modes.append(os.fstat(descriptor).st_mode & 0o777)
        return write(descriptor, data)

    monkeypatch.setattr(proof.os, "write", watched)
    assert prove(LEAF.key_pem(), FULL, ca_file) is True
    assert modes == [0o600] and os.listdir(tmp_path) == ["root.pem"]
    with pytest.raises(PostfixTlsError):
        prove(OTHER.key_pem(), FULL, ca_file)
    assert os.listdir(tmp_path) == ["root.pem"]


def test_no_file_and_no_descriptor_is_left_behind(ca_file: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sorted(os.listdir("/proc/self/fd"))
    prove(LEAF.key_pem(), FULL, ca_file)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == ["root.pem"]


def test_the_digest_of_a_chain_file_is_that_of_its_leaf() -> None:
    assert pem.leaf_digests(LEAF.key_pem() + FULL) == [LEAF.sha256]
    assert pem.leaf_digests("") == []
