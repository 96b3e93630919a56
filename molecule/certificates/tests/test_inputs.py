# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and chains as people hand them over: what no peer could use is refused in words of its own, with Postfix serving as before; what is
only untidy is put right, and told where a file should be mended.

What root can't read in a container is no matter of permissions: a pipe, a link to itself, a path through a file.
"""
from __future__ import annotations

import re
from textwrap import indent
from typing import Callable, Iterator, NamedTuple

import pytest
from conftest import CONVERGE, Issuer, converged, each, hand_out, leaves, look, sha1_signed
from issuing import Issued, issue
from reach import Host, ask, play
from witness import SERVED, TREE

PARTS = "/srv/parts"


class Bad(NamedTuple):
    """One row. told: pattern of the message after the chain's name. parts: Issuer -> (text of the key file, text of the chain file).

    made: a command that puts something in their place, in their folder. verify: of the module. file: that is named.
    """

    name: str
    told: str
    parts: Callable = lambda ca: _pair(ca, ca.leaf())
    made: str = ""
    verify: dict = {}
    file: str = "chain.pem"


class Untidy(NamedTuple):
    """One row. told: the warning, empty where there is nothing to mend. parts: as in Bad, of Issuer and the leaf. kind: of key."""

    name: str
    told: str
    parts: Callable
    kind: str = "ec"


def _pair(ca: Issuer, leaf: Issued, *form: object) -> tuple:
    """form: of the key, as key_pem has it."""
    return leaf.key_pem(*form), ca.chain(leaf)


def _without_intermediate(ca: Issuer) -> tuple:
    leaf = ca.leaf()
    return leaf.key_pem(), leaf.pem


def _below_another_intermediate(ca: Issuer, days: tuple) -> tuple:
    intermediate = issue("Lab intermediate that ends", ca.root, authority=True, days=days)
    leaf = issue(ca.host.fqdn, intermediate)
    return leaf.key_pem(), leaf.pem + intermediate.pem


def _with_sha1(ca: Issuer) -> tuple:
    leaf = ca.leaf()
    return leaf.key_pem(), sha1_signed(ca.host, ca.intermediate, leaf) + ca.intermediate.pem


def _damaged(ca: Issuer) -> tuple:
    key, chain = _pair(ca, ca.leaf())
    return key, chain.replace(chain.splitlines()[1] + "\n", "", 1)


_DATE = r"20\d\d-\d\d-\d\dT\S+Z"
BAD = (
    Bad("the key of another certificate", r": the key belongs to none of its certificates\. Name the key that its certificate was issued for\.",
        lambda ca: (ca.leaf().key_pem(), ca.chain(ca.leaf()))),
    Bad("a key of another kind", r": the key belongs to none of its certificates\. Name the key that its certificate was issued for\.",
        lambda ca: (ca.leaf(kind="rsa").key_pem(), ca.chain(ca.leaf()))),
    Bad("no intermediate", r": an intermediate is missing, or this host does not trust its issuer\. Name the full chain \(fullchain\.pem\)",
        _without_intermediate),
    Bad("expired", r" = certificate CN=HOST: it has expired on %s\. Renew it\." % _DATE, lambda ca: _pair(ca, ca.leaf(days=(-30, -1)))),
    Bad("not valid yet", r" = certificate CN=HOST: it is not valid yet, only from %s\. Check this host's clock" % _DATE,
        lambda ca: _pair(ca, ca.leaf(days=(2, 30)))),
    Bad("an expired intermediate", r" = intermediate CN=Lab intermediate that ends: it has expired on %s\. Ask the CA for the chain with its newer" % _DATE,
        lambda ca: _below_another_intermediate(ca, (-30, -1))),
    Bad("an intermediate that expires soon",
        r" = intermediate CN=Lab intermediate that ends: it ends %s, 9 days from now, and 14 were asked for\. Ask the CA for the chain" % _DATE,
        lambda ca: _below_another_intermediate(ca, (-1, 10)), verify={"min_days_left": 14}),
    Bad("another name", r" = HOST: it does not cover that name\. Have it issued for that name", lambda ca: _pair(ca, ca.leaf(names=("elsewhere.lab.test",)))),
    Bad("RSA of 1024 bits", r" = certificate CN=HOST: its RSA key has 1024 bits, and 2048 are needed\. Have it issued anew",
        lambda ca: _pair(ca, ca.leaf(kind="rsa1024"))),
    Bad("a SHA-1 signature", r" = certificate CN=HOST: it is signed with ecdsa-with-SHA1\. Have it issued anew", _with_sha1),
    Bad("a passphrase", r": its key has a passphrase, and Postfix can't ask for it\. Write it without: openssl pkey",
        lambda ca: _pair(ca, ca.leaf(), "PKCS8", b"secret")),
    Bad("a passphrase in the older form", r": its key has a passphrase, and Postfix can't ask for it\. Write it without: openssl pkey",
        lambda ca: _pair(ca, ca.leaf(kind="rsa"), "traditional", b"secret")),
    Bad("for clients alone", r": it is not meant for servers \(extendedKeyUsage\)\. Have it issued with serverAuth\.",
        lambda ca: _pair(ca, ca.leaf(client=True))),
    Bad("a line of it is missing", r": its certificate number 1 is damaged\. Copy the file again\.", _damaged),
    Bad("garbage", r": no PEM certificate was found\. Name the file that holds the leaf", made="head -c 4000 /bin/sh > chain.pem"),
    Bad("garbage for a key", r": one PEM private key was expected, found 0 \(blocks: none\)\. Name the file that holds the key",
        made="head -c 4000 /bin/sh > key.pem"),
    Bad("empty", r": no PEM certificate was found\. Name the file that holds the leaf", made=": > chain.pem"),
    Bad("10 MB", r" = \S+/chain\.pem: with 10485760 bytes that is no key or chain\. Name the right file\.", made="head -c 10M /dev/zero > chain.pem"),
    Bad("a directory", r" = \S+/chain\.pem: it is a directory\. Name the file in it", made="rm chain.pem; mkdir chain.pem"),
    Bad("a dangling link", r" = \S+/chain\.pem: it is a link to /srv/gone\.pem, where there is nothing\. Have it issued again, or mend the link\.",
        made="ln -sf /srv/gone.pem chain.pem"),
    Bad("nothing", r" = \S+/chain\.pem: there is no such file on this host\. Name the file that holds it\.", made="rm chain.pem"),
    Bad("unreadable: a pipe", r" = \S+/chain\.pem: it is a pipe\. Name a regular file\.", made="rm chain.pem; mkfifo chain.pem"),
    Bad("unreadable: a link to itself", r" = \S+/chain\.pem: it can't be read \(Too many levels of symbolic links\)",
        made="rm chain.pem; ln -s chain.pem chain.pem"),
    Bad("unreadable: a path through a file", r" = \S+/chain\.pem/chain\.pem: it can't be read \(Not a directory\)",
        file="chain.pem/chain.pem"),
)
EC_PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"  # prime256v1, as openssl ecparam -genkey writes it
UNTIDY = (
    Untidy("intermediate-first", "its certificates were put in order, leaf first", lambda ca, leaf: (leaf.key_pem(), ca.intermediate.pem + leaf.pem)),
    Untidy("with-root", "its root is left out, which peers have of their own: CN=Lab root",
           lambda ca, leaf: (leaf.key_pem(), ca.chain(leaf) + ca.root.pem)),
    Untidy("twice", "a certificate that was in it twice is left out once", lambda ca, leaf: (leaf.key_pem(), ca.chain(leaf) + ca.intermediate.pem)),
    Untidy("a-strangers", "left out, for no other was issued by it: CN=stranger",
           lambda ca, leaf: (leaf.key_pem(), ca.chain(leaf) + issue("stranger", authority=True).pem)),
    Untidy("rekeyed", "left out, for it is not the key of that name that signed: CN=Lab intermediate",
           lambda ca, leaf: (leaf.key_pem(), leaf.pem + issue("Lab intermediate", ca.root, authority=True).pem + ca.intermediate.pem)),
    Untidy("renewed", "left out, for another for the same key is valid longer, or now: CN=Lab intermediate", lambda ca, leaf: (
        leaf.key_pem(), leaf.pem + issue("Lab intermediate", ca.root, authority=True, days=(-30, -1), key=ca.intermediate.key).pem + ca.intermediate.pem)),
    Untidy("crossed", "intermediate CN=Lab root: it has expired on DATE; peers find the way without it", lambda ca, leaf: (
        leaf.key_pem(), ca.chain(leaf) + issue("Lab root", issue("older", authority=True), authority=True, days=(-30, -1), key=ca.root.key).pem)),
    Untidy("glued", "", lambda ca, leaf: ((leaf.key_pem() + ca.chain(leaf)).replace("-----\n-----", "----------"),) * 2),
    Untidy("folded", "", lambda ca, leaf: tuple(text.replace("\n", " ") for text in _pair(ca, leaf))),
    Untidy("written-out", "", lambda ca, leaf: tuple(text.replace("\n", "\\n") for text in _pair(ca, leaf))),
    Untidy("one-line", "", lambda ca, leaf: tuple(text.replace("\n", "") for text in _pair(ca, leaf))),
    Untidy("indented", "", lambda ca, leaf: tuple(indent(text, "    ") for text in _pair(ca, leaf))),
    Untidy("pkcs8", "", _pair),
    Untidy("pkcs1", "", lambda ca, leaf: _pair(ca, leaf, "traditional"), "rsa"),
    Untidy("sec1", "", lambda ca, leaf: _pair(ca, leaf, "traditional")),
    Untidy("ec-parameters", "", lambda ca, leaf: (EC_PARAMETERS + leaf.key_pem("traditional"), ca.chain(leaf))),
    Untidy("crlf", "", lambda ca, leaf: tuple(text.replace("\n", "\r\n") for text in _pair(ca, leaf))),
    Untidy("bom", "", lambda ca, leaf: tuple("\ufeff" + text for text in _pair(ca, leaf))),
    Untidy("text-around", "", lambda ca, leaf: ("Bag Attributes\n    friendlyName: mx\n" + leaf.key_pem(), "subject=CN = mx\n" + ca.chain(leaf) + "\n---\n")),
    Untidy("one-file", "", lambda ca, leaf: (leaf.key_pem() + ca.chain(leaf),) * 2),
)


OWN = "own"


def _folder(name: str) -> str:
    return "%s/%s" % (PARTS, re.sub(r"\W+", "-", name))


def _files(folder: str) -> dict:
    return {"key_file": folder + "/key.pem", "chain_file": folder + "/chain.pem"}


def _state(host: Host) -> str:
    """Every file of its configuration, and the certificate it serves."""
    return host.run("(%s); %s" % (TREE, SERVED))


@pytest.fixture(scope="module", autouse=True)
def issued() -> Iterator[dict]:
    """{host: {row of UNTIDY: its leaf}}; the files of all rows are on the hosts meanwhile."""
    def prepare(host: Host) -> dict:
        ca = Issuer(host)
        leaves = {untidy.name: ca.leaf(kind=untidy.kind, names=("%s.example.com" % untidy.name,)) for untidy in UNTIDY}
        pairs = {bad.name: bad.parts(ca) for bad in BAD}
        pairs.update({untidy.name: untidy.parts(ca, leaves[untidy.name]) for untidy in UNTIDY}, own=_pair(ca, ca.leaf()))
        hand_out(host, {path: text for name, pair in pairs.items() for path, text in zip(_files(_folder(name)).values(), pair)})
        host.run("set -e; " + "; ".join("cd %s; %s" % (_folder(bad.name), bad.made) for bad in BAD if bad.made))
        return leaves

    yield each(prepare)
    each(lambda host: host.run("rm -r %s" % PARTS))


@pytest.fixture(scope="module")
def before() -> dict:
    """{host: state}"""
    return each(_state)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_what_no_peer_could_use_is_refused_in_its_own_words_with_the_old_chain_served(bad: Bad, before: dict) -> None:
    results = ask("certificates", "mailsec.postfix_tls.postfix_tls", "--become", verify=bad.verify, chains=[
        {"name": "ecdsa", "key_file": _folder(bad.name) + "/key.pem", "certificate_file": "%s/%s" % (_folder(bad.name), bad.file)},
    ])
    for name, result in results.items():
        told = "chain ecdsa" + bad.told.replace("HOST", re.escape(Host(name).fqdn))
        assert result["failed"] and re.match(told, result["msg"]), (name, result["msg"])
    assert each(_state) == before


def test_after_all_of_them_every_name_and_kind_is_served_as_before() -> None:
    assert each(leaves) == each(converged)


@pytest.fixture(scope="module")
def installed() -> tuple:
    """(what a run said that installed all of UNTIDY, each for a name of its own, {host: {row: what a client is served who asks for that}})."""
    def served(host: Host) -> dict:
        seen = look(host, *[("%s.example.com" % untidy.name, untidy.kind) for untidy in UNTIDY])
        return {untidy.name: found.certificates or found.said for untidy, found in zip(UNTIDY, seen)}

    sni = [{"names": ["%s.example.com" % untidy.name], "name": untidy.name, **_files(_folder(untidy.name))} for untidy in UNTIDY]
    asked = {"tls_certificate_chains": [{"name": "ecdsa", **_files(_folder(OWN))}], "tls_certificate_sni": sni, "tls_certificate_renewal": False}
    said = play(CONVERGE, "certificates", tls_certificate_source="remote", tls_hardening_action="reload", **asked)
    return " ".join(said.split()), each(served)


@pytest.mark.parametrize("untidy", UNTIDY, ids=lambda untidy: untidy.name)
def test_what_is_only_untidy_is_served_put_right_and_a_file_to_be_mended_is_told(untidy: Untidy, issued: dict, installed: tuple) -> None:
    said, served = installed
    for name, seen in served.items():
        assert seen[untidy.name] == (issued[name][untidy.name].sha256, Issuer(Host(name)).intermediate.sha256), name
    told = re.findall(r"\[WARNING\]: chain %s: (.*?)\. Remedy: " % untidy.name, said)
    assert {re.sub(_DATE, "DATE", sentence) for sentence in told} == ({untidy.told} if untidy.told else set())
