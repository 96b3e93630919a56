# SPDX-License-Identifier: GPL-3.0-or-later
"""A self-signed certificate is made by openssl(1), kept while it is good, and made anew with the same key."""
from __future__ import annotations

import subprocess

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import proof, self_signed, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from issuing import issue

NAME = "mx.example.org"


def run(argv: list, stdin: str | None = None) -> tuple:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def never(argv: list, stdin: str | None = None) -> tuple:
    raise AssertionError(argv, stdin)


def made(names: tuple = (NAME,), held: str = "", how=run):
    return self_signed.chain(how, "default", list(names), held)


def test_it_is_good_for_every_name_and_strong_enough_for_every_profile() -> None:
    chain = made((NAME, "mail.example.org", "192.0.2.1", "2001:db8::1"))
    assert proof.prove(chain, [NAME, "mail.example.org", "192.0.2.1", "2001:db8::1"], None) is False
    for profile in ("modern", "bsi_tr02102", "ncsc_2025"):
        strength.judge(chain, profile, 3640)
    assert chain.made


def test_it_is_kept_while_it_is_good() -> None:
    first = made()
    assert made(held=first.text(), how=never) == self_signed.pem.chain("default", first.text(), first.text())


@pytest.mark.parametrize("names, held", [
    ((NAME, "other.example.org"), issue(NAME)),
    ((NAME,), issue(NAME, days=(-1, 20))),
])
def test_it_is_made_anew_with_the_same_key(names: tuple, held) -> None:
    chain = made(names, held.key_pem() + held.pem)
    [facts] = chain.facts()
    assert chain.key == held.key_pem() and chain.made and {"DNS:%s" % name for name in names} <= set(facts["names"]) and facts["days_left"] > 3600


ISSUED = issue(NAME, issue("root", authority=True))


@pytest.mark.parametrize("held", ["garbage", ISSUED.key_pem(), ISSUED.key_pem() + ISSUED.pem])
def test_what_is_none_is_not_built_upon(held: str) -> None:
    chain = made(held=held)
    assert chain.made and chain.key not in held and chain.facts()[0]["self_signed"]


@pytest.mark.parametrize("name", ["", "mx example.org", "mx.example.org,DNS:evil.example.org", "mx.example.org\n[x]"])
def test_a_name_that_can_be_none_reaches_no_command(name: str) -> None:
    with pytest.raises(PostfixTlsError, match="it is no host name. Name what peers look up"):
        made((NAME, name), how=never)


def test_a_long_name_is_taken() -> None:
    name = "x" * 60 + ".example.org"
    assert made((name,)).facts()[0]["names"] == ["DNS:%s" % name]


def test_where_openssl_is_missing_or_refuses_its_last_word_is_told() -> None:
    def missing(argv: list, stdin: str | None = None) -> tuple:
        raise FileNotFoundError(argv[0], stdin)

    with pytest.raises(PostfixTlsError, match="openssl: there is no such command on this host. Install the package openssl"):
        made(how=missing)
    with pytest.raises(PostfixTlsError, match=r"chain default: openssl makes none \(no entropy\)"):
        made(how=lambda argv, stdin=None: (1, "", "lots\nno entropy\n"))
