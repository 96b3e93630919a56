# SPDX-License-Identifier: GPL-3.0-or-later
"""Named destinations become a table that says exactly what was meant; what can't be meant is refused, in one sentence with a remedy."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.syntax import parsed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.table import Table, table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from hosts_of_text import instance
from hypothesis import given, settings
from hypothesis import strategies as st
from issuing import issue

HOST = instance(smtp_tls_CApath="/etc/ssl/certs", smtp_tls_fingerprint_digest="sha256")
CA = issue("root", authority=True)
SHA256 = "ab" * 32
WRITTEN = ":".join(["AB"] * 32)


def made(host=HOST, **entry: object) -> Table:
    return table([dict({"destination": "example.org", "level": "encrypt"}, **entry)], host)


@pytest.mark.parametrize("entry, key, policy", [
    ({}, "example.org", "encrypt"),
    ({"destination": "Example.ORG"}, "example.org", "encrypt"),
    ({"destination": ".example.org", "level": "none"}, ".example.org", "none"),
    ({"destination": "localhost"}, "localhost", "encrypt"),
    ({"destination": "[mx.example.org]:submission", "level": "may"}, "[mx.example.org]:submission", "may"),
    ({"destination": "[Relay.example.org]"}, "[relay.example.org]", "encrypt"),
    ({"destination": "[IPv6:2001:db8::1]:25"}, "[ipv6:2001:db8::1]:25", "encrypt"),
    ({"destination": "[192.0.2.1]"}, "[192.0.2.1]", "encrypt"),
    ({"destination": "example.org:2525"}, "example.org:2525", "encrypt"),
    ({"level": "secure", "match": ["A.example", ".b.example"]}, "example.org", "secure match=a.example:.b.example"),
    ({"level": "verify", "match": ["hostname", "dot-nexthop"]}, "example.org", "verify match=hostname:dot-nexthop"),
    ({"level": "secure", "match": ["b\u00fccher.example"]}, "example.org", "secure match=xn--bcher-kva.example"),
    ({"level": "fingerprint", "fingerprints": [SHA256]}, "example.org", "fingerprint match=%s" % WRITTEN),
    ({"level": "fingerprint", "fingerprints": [WRITTEN, "cd" * 32]}, "example.org", "fingerprint match=%s|%s" % (WRITTEN, WRITTEN.replace("AB", "CD"))),
    ({"protocols": ">=TLSv1.2"}, "example.org", "encrypt protocols=>=TLSv1.2"),
    ({"protocols": "!SSLv3, !TLSv1"}, "example.org", "encrypt protocols=!SSLv3:!TLSv1"),
    ({"ciphers": "high", "exclude": ["MD5", "aNULL"]}, "example.org", "encrypt ciphers=high exclude=MD5:aNULL"),
    ({"servername": "MX.example.org"}, "example.org", "encrypt servername=mx.example.org"),
    ({"match": [], "servername": "", "fingerprints": None}, "example.org", "encrypt"),
    ({"connection_reuse": True, "enable_rpk": False}, "example.org", "encrypt connection_reuse=yes enable_rpk=no"),
])
def test_an_entry_is_written_as_postfix_reads_it(entry: dict, key: str, policy: str) -> None:
    assert made(**entry).lines == {key: policy}


def test_protocols_are_spelt_out_for_a_release_without_ranges() -> None:
    old = instance(mail_version="3.5.25")
    assert made(old, protocols=">=TLSv1.2").lines == {"example.org": "encrypt protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1"}


@pytest.mark.parametrize("name", ["b\u00fccher.example", "xn--bcher-kva.example", "B\u00dcCHER.example"])
def test_an_internationalised_name_is_written_in_both_forms_where_postfix_looks_up_both(name: str) -> None:
    assert list(made(destination=name).lines) == ["xn--bcher-kva.example"]
    both = instance(smtputf8_enable="yes")
    assert list(made(both, destination=name).lines) == ["xn--bcher-kva.example", "b\u00fccher.example"]
    assert list(made(both, destination="." + name).lines) == [".xn--bcher-kva.example", ".b\u00fccher.example"]
    assert list(made(both, destination="[%s]:587" % name).lines) == ["[xn--bcher-kva.example]:587", "[b\u00fccher.example]:587"]


NO_NAME = "it is not a name that mail goes to"
FORMS = r"Write example.org, .example.org \(its subdomains\), \[relay.example.org\] or \[relay.example.org\]:587."


@pytest.mark.parametrize("name, reason, remedy", [
    ("*.example.org", "it has '\\*' as a label", FORMS),
    ("user@example.org", "it has 'user@example' as a label", FORMS),
    ("a.example\nb.example may", NO_NAME, FORMS),
    ("example.org encrypt", NO_NAME, FORMS),
    ("", NO_NAME, FORMS),
    ("example.org\n", NO_NAME, FORMS),
    ("example.org:\u0661", NO_NAME, FORMS),
    ("[mx.example.org", NO_NAME, FORMS),
    ("[mx.example.org]587", NO_NAME, FORMS),
    ("#example.org", "it has '#example' as a label", FORMS),
    ("example..org", "it has an empty label", FORMS),
    ("example.org.", "it has an empty label", "Write example.org."),
    ("a" * 64 + ".example", "it has a label of 64 characters, and a label has at most 63", FORMS),
    (".", "it is empty", FORMS),
    ("192.0.2.1", "Postfix looks up an address in brackets", r"Write \[192.0.2.1\]."),
    ("192.0.2.1:587", "Postfix looks up an address in brackets", r"Write \[192.0.2.1\]:587."),
    ("[fe80::1%eth0]", r"smtp\(8\) takes no address with a zone, and dies of it", "Write a name that resolves to it in brackets."),
    ("[ipv6:fe80::1%eth0]:587", r"smtp\(8\) takes no address with a zone, and dies of it", "Write a name that resolves to it in brackets."),
    ("[ipv6:10.0.0.1]:587", r"smtp\(8\) takes no IPv4 address behind ipv6:, and dies of it", r"Write \[10.0.0.1\]:587."),
    ("[IPv6:10.0.0.1]", r"smtp\(8\) takes no IPv4 address behind ipv6:, and dies of it", r"Write \[10.0.0.1\]."),
    ("[192.0.2.300]", "it ends in a number, as an address does and no name", FORMS),
    ("[mx.example.org]:70000", "there is no port 70000", FORMS),
    ("[.example.org]", "only a domain has subdomains, and Postfix looks up what has brackets or a port as it is", "Write .example.org."),
    (".example.org:587", "only a domain has subdomains, and Postfix looks up what has brackets or a port as it is", "Write .example.org."),
    ("\u2603.example", "it has letters that are not ASCII", FORMS),
])
def test_what_is_no_destination_is_refused(name: str, reason: str, remedy: str) -> None:
    with pytest.raises(PostfixTlsError, match="^policy destination = %s: %s.*%s$" % (re.escape(repr(name)), reason, remedy)):
        made(destination=name)


HEX = "Write what openssl x509 -noout -fingerprint -sha256 prints"


@pytest.mark.parametrize("entry, told", [
    ({"level": "strict"}, "= strict: it is no level for sending. Use one of none, may, encrypt, dane, dane-only, fingerprint, verify, secure."),
    ({"match": ["a.example"]}, "= match a.example: level encrypt does not look at it. Use level verify or secure, or leave match out."),
    ({"level": "fingerprint"}, "= fingerprint: it needs the digests to accept. List them as fingerprints."),
    ({"level": "fingerprint", "match": [SHA256]}, "level fingerprint does not look at it. Use level verify or secure, or leave match out."),
    ({"level": "secure", "fingerprints": [SHA256]}, "level secure does not look at it. Use level fingerprint, or leave fingerprints out."),
    ({"level": "none", "ciphers": "high"}, "= ciphers high: level none does not look at it."),
    ({"level": "fingerprint", "fingerprints": ["cd" * 20]}, "fingerprints %s: it is one of sha1, and this host compares sha256, which has 32: no certificate"
     " would match. Set smtp_tls_fingerprint_digest: sha1 in smtp_tls_parameters, or list sha256 digests." % ("cd" * 20)),
    ({"level": "fingerprint", "fingerprints": ["cdef"]}, "it has 2 octets, and this host compares sha256, which has 32"),
    ({"level": "fingerprint", "fingerprints": ["q83vEjRWeJA="]}, "'q83vEjRWeJA=': it is no digest in hexadecimal. %s" % HEX),
    ({"level": "fingerprint", "fingerprints": [""]}, "'': it is no digest in hexadecimal. %s" % HEX),
    ({"level": "secure", "match": ["a b"]}, "match 'a b': no certificate is looked at for that: it has 'a b' as a label"),
    ({"level": "secure", "match": ["a.example\nevil none"]}, "no certificate is looked at for that: it has 'example\\nevil none' as a label"),
    ({"level": "secure", "match": ["*.example.org"]}, "match '*.example.org': no certificate is looked at for that: it has '*' as a label, and a label has"
     " letters, digits, underscores, and hyphens in between. Write .example.org, which is any name below it."),
    ({"level": "secure", "match": ["mx.example.org:587"]}, "Write names the certificate has, such as mx.example.org or .example.org, or one of hostname,"),
    ({"level": "secure", "match": [""]}, "no certificate is looked at for that: it is empty"),
    ({"servername": "a\tb"}, "servername 'a\\tb': it has 'a\\tb' as a label"),
    ({"exclude": ["MD5 ciphers=null"]}, "exclude 'MD5 ciphers=null': it holds a blank or a control character, or nothing. Write each as a single word."),
    ({"exclude": [""]}, "it holds a blank or a control character, or nothing"),
    ({"exclude": ["aNUL"]}, "exclude 'aNUL': aNUL names nothing, and is silently skipped; did you mean aNULL? Write ['aNULL']."),
    ({"ciphers": "best"}, "= best: it is no cipher grade. Use one of high, medium, low, export, null."),
    ({"protocols": "TLSv1.2"}, "= TLSv1.2: a bare name lists the only versions allowed, so TLS 1.3 would be off"),
    ({"protocols": "TLSv1.4"}, "'TLSv1.4' is no protocol version; Postfix would switch TLS off"),
    ({"level": "dane"}, "= dane: this host does not validate DNS for mail, so Postfix would not find any TLSA record. Set smtp_dns_support_level to dnssec"),
    ({"level": "secure", "tafile": "ca.pem"}, "tafile = 'ca.pem': it is neither a path nor a certificate. Write an absolute path on this host, or PEM text."),
    ({"level": "secure", "tafile": "/nonexistent/ca.pem"}, "tafile = /nonexistent/ca.pem: there is no such file on this host"),
    ({"level": "secure", "tafile": CA.pem + CA.key_pem()}, "tafile: a trust anchor is a certificate or a public key, and there is PRIVATE KEY."),
    ({"level": "secure", "tafile": "-----BEGIN CERTIFICATE-----\nAAAA"}, "a trust anchor is a certificate or a public key, and there is none."),
    ({"level": "encrypt", "tafile": CA.pem}, "= tafile: level encrypt does not look at it. Use level verify or secure, or leave tafile out."),
])
def test_what_cannot_be_meant_is_refused(entry: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match="^policy for example.org.*%s" % re.escape(told)):
        made(**entry)


def test_no_word_of_a_key_that_was_given_for_a_trust_anchor_is_told() -> None:
    with pytest.raises(PostfixTlsError) as refused:
        made(level="secure", tafile=CA.pem + CA.key_pem())
    assert not [line for line in CA.key_pem().splitlines()[1:-1] if line in str(refused.value)]


def test_a_level_that_needs_a_ca_is_refused_where_none_is_trusted() -> None:
    with pytest.raises(PostfixTlsError, match="every message would wait in the queue. Set smtp_tls_CApath .* or name the CA here: tafile."):
        made(instance(), level="secure")
    assert made(instance(smtp_tls_CAfile="/ca.pem"), level="secure").lines == {"example.org": "secure"}
    assert made(instance(tls_append_default_CA="yes"), level="secure").lines == {"example.org": "secure"}
    assert made(instance(), level="secure", tafile=CA.pem).lines["example.org"].startswith("secure tafile=")


def test_dane_is_taken_where_dns_is_validated() -> None:
    assert made(instance(smtp_dns_support_level="dnssec"), level="dane").lines == {"example.org": "dane"}


def test_reuse_is_refused_where_nothing_does_it() -> None:
    bare = instance(master="smtp inet n - y - - smtpd\n")
    with pytest.raises(PostfixTlsError, match="connection_reuse: that is done by tlsproxy.8., which master.cf has not, so every message would wait"):
        made(bare, connection_reuse=True)
    assert made(bare, connection_reuse=False).lines == {"example.org": "encrypt connection_reuse=no"}


def test_digests_of_main_cf_are_enough() -> None:
    assert made(instance(smtp_tls_fingerprint_cert_match=WRITTEN), level="fingerprint").lines == {"example.org": "fingerprint"}


def test_what_the_release_lacks_is_left_out_and_told() -> None:
    told = made(instance(mail_version="3.7.11"), enable_rpk=True)
    assert told.lines == {"example.org": "encrypt"}
    [error] = told.lacking
    assert isinstance(error, values.Unsupported)
    assert str(error).startswith("policy for example.org = enable_rpk: Postfix 3.7 on this host does not know it, and no mail would go there.")
    assert made(instance(mail_version="3.9.0"), enable_rpk=True) == Table({"example.org": "encrypt enable_rpk=yes"}, {}, [])


def test_a_trust_anchor_is_a_file_named_by_what_is_in_it_from_text_and_from_a_path(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("Bag attributes\r\n" + CA.pem.replace("\n", "\r\n"), encoding="utf-8")
    given = made(level="secure", tafile=CA.pem)
    [(path, text)] = given.anchors.items()
    assert re.fullmatch("/etc/postfix/tls_trust/[0-9a-f]{16}.pem", path) and text == CA.pem
    assert given.lines == {"example.org": "secure tafile=%s" % path}
    assert made(level="secure", tafile=str(tmp_path / "ca.pem")) == given


def test_two_entries_that_contradict_each_other_are_refused_and_twice_the_same_is_one() -> None:
    one = {"destination": "example.org", "level": "encrypt"}
    assert table([one, dict(one, destination="EXAMPLE.org")], HOST).lines == {"example.org": "encrypt"}
    with pytest.raises(PostfixTlsError, match="^policy for example.org = may: it is listed twice, and before as 'encrypt'. Keep one entry"):
        table([one, dict(one, level="may")], HOST)


ANY = st.text("aB.[]:0-_ \t\n\r{}#=;\u00e9", max_size=6)


@settings(deadline=None)
@given(ANY, st.lists(ANY, min_size=1, max_size=2), ANY)
def test_whatever_is_listed_the_table_has_one_line_for_it_or_it_is_refused(destination: str, match: list, servername: str) -> None:
    try:
        lines = made(destination=destination, level="secure", match=match, servername=servername).lines
    except PostfixTlsError:
        return
    [(key, policy)] = lines.items()
    assert key.encode("ascii") and not re.search(r"\s", key)
    words = policy.split(" ")
    assert words[0] == "secure" and [word.split("=")[0] for word in words[1:]] == ["match"] + (["servername"] if servername else [])


@pytest.mark.parametrize("version", [(3, 4), (3, 9), (3, 11)])
def test_what_is_written_is_what_postfix_takes(version: tuple) -> None:
    """Every attribute that an entry can have, at a level that looks at it."""
    more = {"enable_rpk": True} if version >= (3, 9) else {}
    entries = [
        {"level": "secure", "match": ["mx.example.org", ".example.net", "nexthop"], "protocols": ">=TLSv1.2", "ciphers": "high", "exclude": ["RC4", "aNULL"],
         "servername": "mx.example.org", "connection_reuse": True, **more},
        {"level": "fingerprint", "fingerprints": ["AB" * 32, "CD" * 32]}, {"level": "dane", "exclude": ["RC4"]},
        {"level": "may", "servername": "mx.example.org"},
        {"level": "none"}, {"level": "dane-only"}, {"level": "encrypt"}, {"level": "verify"},
    ]
    host = instance(
        mail_version="%d.%d.1" % version, smtp_tls_CApath="/etc/ssl/certs", smtp_dns_support_level="dnssec", smtp_tls_fingerprint_digest="sha256",
        smtp_tls_verify_cert_match="hostname", smtp_tls_secure_cert_match="nexthop",
    )
    lines = table([{"destination": "p%d.example" % at, **entry} for at, entry in enumerate(entries)], host).lines
    assert [parsed(line, version)[2] for line in lines.values()] == [""] * len(entries)


@pytest.mark.parametrize("level, values, reason", [
    ("may", {"smtp_tls_wrappermode": "yes"}, "no mail would go there: smtp_tls_wrappermode needs level encrypt"),
    ("none", {"smtp_tls_wrappermode": "yes"}, "no mail would go there: smtp_tls_wrappermode needs level encrypt"),
    ("dane-only", {"smtp_host_lookup": "native"}, "no mail would go there: dane-only finds no TLSA records: smtp_host_lookup is native"),
    ("dane", {"ignore_mx_lookup_error": "yes"}, "dane is may here: ignore_mx_lookup_error is yes"),
    ("dane", {"smtp_dns_resolver_options": "res_defnames"}, "dane is may here: smtp_dns_resolver_options has res_defnames"),
    ("encrypt", {"smtp_discard_ehlo_keywords": "pipelining, STARTTLS"}, "no mail would go there: smtp_discard_ehlo_keywords hides STARTTLS"),
    ("secure", {"smtp_never_send_ehlo": "yes"}, "no mail would go there: smtp_never_send_ehlo is yes"),
    ("encrypt", {"smtp_tls_servername": "a b"}, "no mail would go there: smtp_tls_servername = a b is no host name"),
    ("secure", {"smtp_tls_trust_anchor_file": "/nowhere.pem"}, "no mail would go there: trust anchors can't be read from"),
])
def test_an_entry_with_which_main_cf_would_send_nothing_is_refused(level: str, values: dict, reason: str) -> None:
    host = instance(smtp_tls_CApath="/etc/ssl/certs", smtp_dns_support_level="dnssec", **values)
    with pytest.raises(PostfixTlsError, match=re.escape(reason)) as told:
        table([{"destination": "example.org", "level": level}], host)
    assert told.value.item == "policy for example.org"
