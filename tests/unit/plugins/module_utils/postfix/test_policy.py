# SPDX-License-Identifier: GPL-3.0-or-later
"""Named destinations become a table that says exactly what was meant; what can't be meant is refused."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import policy
from hosts_of_text import instance
from hypothesis import given
from hypothesis import strategies as st

HOST = instance(smtp_tls_CApath="/etc/ssl/certs")


def line(host=HOST, **entry: object) -> str:
    text = policy.table([dict({"destination": "example.org", "level": "encrypt"}, **entry)], host)
    assert text.startswith(policy.HEADER)
    return text[len(policy.HEADER):]


@pytest.mark.parametrize("entry, written", [
    ({}, "example.org\tencrypt\n"),
    ({"destination": "Example.ORG"}, "example.org\tencrypt\n"),
    ({"destination": ".example.org", "level": "none"}, ".example.org\tnone\n"),
    ({"destination": "[mx.example.org]:submission", "level": "may"}, "[mx.example.org]:submission\tmay\n"),
    ({"destination": "[IPv6:2001:db8::1]:25"}, "[ipv6:2001:db8::1]:25\tencrypt\n"),
    ({"level": "secure", "match": ["a.example", ".b.example"]}, "example.org\tsecure match=a.example:.b.example\n"),
    ({"level": "fingerprint", "match": ["AA:BB"]}, "example.org\tfingerprint match=AA:BB\n"),
    ({"level": "fingerprint", "match": ["AA:BB", "CC:DD"]}, "example.org\tfingerprint match=AA:BB|CC:DD\n"),
    ({"destination": "[192.0.2.1]"}, "[192.0.2.1]\tencrypt\n"),
    ({"destination": "example.org:2525"}, "example.org:2525\tencrypt\n"),
    ({"protocols": ">=TLSv1.2"}, "example.org\tencrypt protocols=>=TLSv1.2\n"),
    ({"protocols": "!SSLv3, !TLSv1"}, "example.org\tencrypt protocols=!SSLv3:!TLSv1\n"),
    ({"ciphers": "high", "exclude": ["MD5", "aNULL"]}, "example.org\tencrypt ciphers=high exclude=MD5:aNULL\n"),
    ({"servername": "mx.example.org"}, "example.org\tencrypt servername=mx.example.org\n"),
])
def test_an_entry_is_written_as_postfix_reads_it(entry: dict, written: str) -> None:
    assert line(**entry) == written


def test_protocols_are_spelt_out_for_a_release_without_ranges() -> None:
    assert line(instance(mail_version="3.5.25"), protocols=">=TLSv1.2") == "example.org\tencrypt protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1\n"


@pytest.mark.parametrize("entry, told", [
    ({"destination": "a.example\nb.example may"}, "it is not a name that mail goes to"),
    ({"destination": "user@example.org"}, "it is not a name that mail goes to"),
    ({"destination": "example.org encrypt"}, "it is not a name that mail goes to"),
    ({"destination": ""}, "it is not a name that mail goes to"),
    ({"destination": "example.org\n"}, "it is not a name that mail goes to"),
    ({"destination": "example.org:\u0661"}, "it is not a name that mail goes to"),
    ({"destination": "*.example.org"}, "it is not a name that mail goes to"),
    ({"destination": "[mx.example.org"}, "it is not a name that mail goes to"),
    ({"destination": "#example.org"}, "it is not a name that mail goes to"),
    ({"destination": "example..org"}, "it is not a name that mail goes to"),
    ({"level": "secure", "match": ["a.example\n"]}, "it holds a blank or a control character"),
    ({"servername": "mx.example\n"}, "it holds a blank or a control character"),
    ({"exclude": [""]}, "it holds a blank or a control character"),
    ({"level": "strict"}, "it is no level for sending"),
    ({"match": ["a.example"]}, "level encrypt does not look at names"),
    ({"level": "fingerprint"}, "it needs the digests to accept"),
    ({"level": "secure", "match": ["a b"]}, "it holds a blank or a control character"),
    ({"level": "secure", "match": ["a\nevil none"]}, "it holds a blank or a control character"),
    ({"servername": "a\tb"}, "it holds a blank or a control character"),
    ({"exclude": ["MD5 ciphers=null"]}, "it holds a blank or a control character"),
    ({"ciphers": "best"}, "it is no cipher grade"),
    ({"protocols": "TLSv1.2"}, "TLS 1.3 would be off"),
    ({"level": "dane"}, "this host does not validate DNS for mail"),
])
def test_what_cannot_be_meant_is_refused(entry: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        line(**entry)


def test_a_level_that_needs_a_ca_is_refused_where_none_is_trusted() -> None:
    with pytest.raises(PostfixTlsError, match="every message would wait in the queue"):
        line(instance(), level="secure")
    assert line(instance(smtp_tls_CAfile="/ca.pem"), level="secure") == "example.org\tsecure\n"


def test_dane_is_taken_where_dns_is_validated() -> None:
    assert line(instance(smtp_dns_support_level="dnssec"), level="dane") == "example.org\tdane\n"


def test_two_entries_that_contradict_each_other_are_refused_and_twice_the_same_is_one() -> None:
    one = {"destination": "example.org", "level": "encrypt"}
    assert policy.answers(policy.table([one, dict(one, destination="EXAMPLE.org")], HOST)) == {"example.org": "encrypt"}
    with pytest.raises(PostfixTlsError, match="it is listed twice, and before as 'encrypt'"):
        policy.table([one, dict(one, level="may")], HOST)


ANY = st.text("aB.[]:0-_ \t\n\r{}#=;é", max_size=6)


@given(ANY, st.lists(ANY, min_size=1, max_size=2), ANY)
def test_whatever_is_listed_the_table_has_one_line_for_it_or_it_is_refused(destination: str, match: list, servername: str) -> None:
    try:
        text = policy.table([{"destination": destination, "level": "secure", "match": match, "servername": servername}], HOST)
    except PostfixTlsError:
        return
    [entry] = text[len(policy.HEADER):].splitlines()
    assert entry.split("\t")[0] == destination.lower()
    assert entry.split("\t")[1].split(" ")[1:] == ["match=" + ":".join(match)] + (["servername=" + servername] if servername else [])
