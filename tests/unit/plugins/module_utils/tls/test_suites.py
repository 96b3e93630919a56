# SPDX-License-Identifier: GPL-3.0-or-later
"""Suites, and the words for excluding them, are what OpenSSL takes them for."""
from __future__ import annotations

import re
import subprocess

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.suites import BY_CODE, BY_NAME, SETS, SUITES, classic, matches, tls13

EXCHANGE = {"RSA": "RSA", "DHE": "DH", "ECDHE": "ECDH", "any": "any"}
AUTHENTICATION = {"RSA": "RSA", "DSS": "DSS", "ECDSA": "ECDSA", "anonymous": "None", "any": "any"}
MODE = {"GCM": "GCM", "CCM": "CCM", "CCM8": "CCM8", "POLY1305": "/POLY1305"}
#: All that a postmaster may write; OpenSSL 3 knows no static DH, no export, and what it was not built with.
KEYWORDS = (
    "aNULL eNULL NULL kRSA RSA kDHE kEDH DHE EDH kECDHE kEECDH ECDHE EECDH DH ECDH ADH AECDH aRSA aECDSA ECDSA aDSS DSS RC4 RC2 3DES DES MD5 "
    "SHA SHA1 SHA256 SHA384 AES AES128 AES256 AESGCM AESCCM AESCCM8 CHACHA20 CAMELLIA CAMELLIA128 CAMELLIA256 ARIA ARIAGCM ARIA128 ARIA256 "
    "SEED IDEA EXPORT EXP LOW MEDIUM HIGH ALL COMPLEMENTOFALL PSK kPSK aPSK kRSAPSK SRP kSRP aSRP CBC TLSv1.2 TLSv1 TLSv1.0 SSLv3 kGOST "
    "kDH aDH kDHr kDHd kECDH aECDH kECDHr kECDHe "
    "kRSA+AES aRSA+kECDHE+SHA1 ECDHE+AESGCM aNULL+SHA AES256+SHA384 kEDH+aDSS CHACHA20+aECDSA SHA256+CAMELLIA"
).split()


#: First and last of the runs in IANA's registry without the suites for shared secrets, which lie between them.
RUNS = (
    (0x0001, 0x001B), (0x002F, 0x0046), (0x0067, 0x006D), (0x0084, 0x0089), (0x0096, 0x00A7), (0x00BA, 0x00C7), (0x1301, 0x1305),
    (0xC001, 0xC019), (0xC023, 0xC032), (0xC03C, 0xC063), (0xC072, 0xC08D), (0xC09C, 0xC0A3), (0xC0AC, 0xC0AF), (0xC0B4, 0xC0B5), (0xCCA8, 0xCCAA),
)


def openssl(*arguments: str) -> dict:
    """Code to the words of each line of C(openssl ciphers -V); nothing when it knows none."""
    done = subprocess.run(["openssl", "ciphers", "-V", *arguments], capture_output=True, text=True, check=False)
    rows = (line.split() for line in done.stdout.splitlines())
    return {int(row[0].replace(",0x", ""), 16): row for row in rows if row and re.match("0x", row[0])}


ALL = openssl("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
TLS12 = openssl("-ciphersuites", "", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
SHARED = frozenset(TLS12) & frozenset(BY_CODE)


def test_codes_and_names_are_each_there_once() -> None:
    assert len(BY_CODE) == len(SUITES) == len({suite.name for suite in SUITES})
    named = [suite.openssl for suite in SUITES if suite.openssl]
    assert len(named) == len(set(named))


def test_no_suite_of_the_registrys_runs_is_missing_or_added() -> None:
    assert set(BY_CODE) == {code for first, last in RUNS for code in range(first, last + 1)}


def test_all_that_openssl_can_answer_a_stranger_is_in_the_table() -> None:
    strangers = {code for code, row in ALL.items() if not re.search("PSK|SRP|GOST", " ".join(row))}
    assert len(strangers) > 60 and strangers <= set(BY_CODE)


@pytest.mark.parametrize("code", sorted(set(ALL) & set(BY_CODE)), ids=lambda code: BY_CODE[code].name)
def test_a_suite_is_made_of_what_openssl_says(code: int) -> None:
    suite, (__, __, name, version, exchange, authentication, cipher, mac) = BY_CODE[code], ALL[code]
    assert (suite.openssl, suite.tls13) == (name, version == "TLSv1.3")
    assert ("Kx=" + EXCHANGE[suite.exchange], "Au=" + AUTHENTICATION[suite.authentication]) == (exchange, authentication)
    encryption = "None" if suite.cipher == "NULL" else "%s%s(%d)" % (suite.cipher, MODE.get(suite.mode, ""), suite.bits)
    assert ("Enc=" + encryption).lower() == cipher.lower() and "Mac=" + suite.mac == mac


def test_ianas_names_are_those_openssl_calls_standard() -> None:
    done = subprocess.run(["openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], capture_output=True, text=True, check=True)
    standard = {row[2]: row[0] for row in map(str.split, done.stdout.splitlines())}
    shared = {suite.openssl: suite.name for suite in SUITES if suite.openssl in standard}
    assert len(shared) > 60 and shared == {name: standard[name] for name in shared}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_matches_what_openssl_takes_it_for(keyword: str) -> None:
    found = matches(keyword)
    assert found is not None and found & SHARED == frozenset(openssl("-ciphersuites", "", keyword + ":@SECLEVEL=0")) & SHARED


def test_a_suites_own_name_matches_it_alone() -> None:
    for suite in SUITES:
        for name in filter(None, (suite.name, suite.openssl)):
            assert matches(name) == (frozenset() if suite.tls13 else {suite.code})
    assert matches("EDH-RSA-DES-CBC3-SHA") == matches("DHE-RSA-DES-CBC3-SHA") == {0x0016}


@pytest.mark.parametrize("typo", ["aNULLL", "anull", "", "kRSA+", "+", "aNULL+x", "!aNULL", "aNULL aRSA", "@SECLEVEL=0", "AES-128"])
def test_a_typo_is_told_from_a_word_that_matches_nothing(typo: str) -> None:
    assert matches(typo) is None and matches("PSK") == matches("aNULL+aRSA") == frozenset()


def test_old_keywords_match_the_suites_that_openssl_has_lost() -> None:
    assert {BY_CODE[code].openssl for code in matches("EXPORT+kRSA")} == {"EXP-RC4-MD5", "EXP-RC2-CBC-MD5", "EXP-DES-CBC-SHA"}
    assert {BY_CODE[code].openssl for code in matches("LOW+aRSA")} == {"DES-CBC-SHA", "EDH-RSA-DES-CBC-SHA"}
    assert matches("kDHr") | matches("kDHd") == matches("kDH") and matches("kECDHr") | matches("kECDHe") == matches("kECDH") == matches("aECDH")
    assert matches("MEDIUM") >= {0x0005, 0x000A, 0x0007, 0x0096} and not matches("MEDIUM") & (matches("HIGH") | matches("LOW") | matches("EXPORT"))


def test_what_is_weak_is_named_so_and_nothing_else_is() -> None:
    weak = {code for code in BY_CODE if re.search("NULL|EXPORT|DES|RC2|RC4|IDEA|MD5|anon|TLS_SHA", BY_CODE[code].name)}
    assert SETS["weak"] == weak and SETS["weak"] == SETS["broken"] | SETS["anonymous"]
    assert BY_NAME["ADH-AES256-SHA"].code in SETS["anonymous"] - SETS["broken"]


def test_sets_are_those_of_the_keywords() -> None:
    assert SETS["anonymous"] == matches("aNULL") and SETS["dhe"] == matches("DHE") and SETS["cbc"] == matches("CBC")
    assert SETS["static_rsa"] == matches("kRSA") | matches("kDH") | matches("kECDH")
    assert all(codes <= set(BY_CODE) for codes in SETS.values())


def test_the_best_come_first_and_what_is_weak_last() -> None:
    assert BY_CODE[tls13()[0]].name == "TLS_AES_128_GCM_SHA256" and BY_CODE[classic()[0]].name == "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    assert not set(classic()) & set(tls13()) and set(classic()) | set(tls13()) == set(BY_CODE)
    for codes in (classic(), tls13()):
        ranks = [code in SETS["weak"] for code in codes]
        assert ranks == sorted(ranks)
