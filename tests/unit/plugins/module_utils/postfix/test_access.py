# SPDX-License-Identifier: GPL-3.0-or-later
"""Who must use TLS, as patterns of tables: each stands for what its entry says and for nothing else; what can't be meant is told for what it is.

What Postfix itself makes of the tables is seen in the scenario; here regular expressions are Python's, which reads what is used of POSIX's alike.
"""
from __future__ import annotations

import re
import string

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import access
from hypothesis import given
from hypothesis import strategies as st


def matched(table: dict, key: str) -> bool:
    return any(re.search(pattern[1:-1], key, re.IGNORECASE) for pattern in table)


@pytest.mark.parametrize("entry, network, sample", [
    ("192.0.2.1", "192.0.2.1/32", "192.0.2.1"),
    ("192.0.2.0/24", "192.0.2.0/24", "192.0.2.0"),
    ("192.0.2.0/255.255.255.0", "192.0.2.0/24", "192.0.2.0"),
    ("2001:DB8::1", "2001:db8::1/128", "2001:db8::1"),
    ("2001:db8:0:0::/64", "2001:db8::/64", "2001:db8::"),
])
def test_addresses_and_networks_go_to_the_table_of_networks(entry: str, network: str, sample: str) -> None:
    assert access.clients([entry]) == ({network: sample}, {})
    assert access.text({network: sample}) == network + "\treject_plaintext_session\n"
    assert access.answers({network: sample}) == {sample: "reject_plaintext_session"}


@pytest.mark.parametrize("entry, pattern, is_it, is_not", [
    ("Mail.Example.org", r"/^mail\.example\.org$/", ["mail.example.org", "MAIL.example.ORG"], ["a.mail.example.org", "mailxexample.org", "example.org"]),
    (".example.org", r"/\.example\.org$/", ["a.example.org", "a.b.example.org"], ["example.org", "anexample.org", "a.example.org.net"]),
    ("xn--bcher-kva.example", r"/^xn--bcher-kva\.example$/", ["xn--bcher-kva.example"], ["bücher.example"]),
])
def test_hosts_go_to_the_table_of_hosts(entry: str, pattern: str, is_it: list, is_not: list) -> None:
    networks, hosts = access.clients([entry])
    assert networks == {} and list(hosts) == [pattern]
    assert all(matched(hosts, key) for key in [*is_it, *hosts.values()]) and not any(matched(hosts, key) for key in is_not)


@pytest.mark.parametrize("entry, is_it, is_not", [
    ("Example.org", ["a@example.org", "A@EXAMPLE.org", "a@b@example.org"], ["a@b.example.org", "a@anexample.org", "a@example.org.net", "example.org@x.net"]),
    (".example.org", ["a@b.example.org", "a@c.b.example.org"], ["a@example.org", "a@anexample.org", "b.example.org@x.net"]),
    ("Some.One+x/y$z@Example.org", ["some.one+x/y$z@example.org"], ["someXone+x/y$z@example.org", "asome.one+x/y$z@example.org", "@example.org"]),
    ("xn--bcher-kva.example", ["a@xn--bcher-kva.example", "a@bücher.example"], ["a@bucher.example"]),
    ("a@xn--bcher-kva.example", ["a@xn--bcher-kva.example", "a@bücher.example"], ["b@bücher.example"]),
    ("xn--strae-oqa.example", ["a@straße.example"], ["a@strasse.example"]),
])
def test_senders(entry: str, is_it: list, is_not: list) -> None:
    table = access.senders([entry])
    assert all(matched(table, key) for key in [*is_it, *table.values()]) and not any(matched(table, key) for key in is_not)


_LOCAL = st.text(string.ascii_lowercase + string.digits + "!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=20)


@given(_LOCAL, _LOCAL)
def test_a_sender_matches_itself_and_no_other(one: str, other: str) -> None:
    table = access.senders(["%s@example.org" % one])
    assert matched(table, one + "@example.org")
    assert one == other or not matched(table, other + "@example.org")


CLIENT = " Write 192.0.2.1, 192.0.2.0/24, 2001:db8::/32, mail.example.org, or .example.org for all hosts below it; senders have a list of their own."
LETTERS = "and a label has letters, digits, underscores, and hyphens in between"
EMPTY = "it has an empty label: a dot at an end, or two in a row"


@pytest.mark.parametrize("entries, told", [
    (["192.0.2.1/24"], "required client = '192.0.2.1/24': it has bits beyond its prefix, and Postfix passes over such a line (cidr_table(5))."
                       " Write 192.0.2.0/24 for the network, or 192.0.2.1 for that host alone."),
    (["2001:db8::1/32"], "required client = '2001:db8::1/32': it has bits beyond its prefix, and Postfix passes over such a line (cidr_table(5))."
                         " Write 2001:db8::/32 for the network, or 2001:db8::1 for that host alone."),
    (["192.0.2.0/33"], "required client = '192.0.2.0/33': it is neither an address nor a network." + CLIENT),
    (["192.0.2.0/"], "required client = '192.0.2.0/': it is neither an address nor a network." + CLIENT),
    (["[2001:db8::1]"], "required client = '[2001:db8::1]': it is neither an address nor a network." + CLIENT),
    (["192.0.2.0/24\nx"], "required client = '192.0.2.0/24\\nx': it is neither an address nor a network." + CLIENT),
    (["fe80::1%eth0"], "required client = 'fe80::1%eth0': an address in a table has no interface." + CLIENT),
    (["::ffff:192.0.2.1"], "required client = '::ffff:192.0.2.1': Postfix knows such a client by its IPv4 address. Write 192.0.2.1."),
    (["::ffff:192.0.2.0/120"], "required client = '::ffff:192.0.2.0/120': Postfix knows such a client by its IPv4 address. Write 192.0.2.0/24."),
    (["0.0.0.0/0"], "required client = '0.0.0.0/0': that is everybody, and a public server must take mail in the clear too (RFC 3207). Name the networks;"
                    " where only known peers connect, say so with smtpd_tls_allow_encrypt: true (the module's public_encrypt: allow)."),
    (["192.0.2"], "required client = '192.0.2': it ends in a number, as an address does and no name." + CLIENT),
    (["192.0.2.256"], "required client = '192.0.2.256': it ends in a number, as an address does and no name." + CLIENT),
    (["192.0.2.1 reject"], "required client = '192.0.2.1 reject': it has '1 reject' as a label, %s." % LETTERS + CLIENT),
    (["a.example\nb.example"], "required client = 'a.example\\nb.example': it has 'example\\nb' as a label, %s." % LETTERS + CLIENT),
    (["*.example.org"], "required client = '*.example.org': it has '*' as a label, %s." % LETTERS + CLIENT),
    (["user@example.org"], "required client = 'user@example.org': it has 'user@example' as a label, %s." % LETTERS + CLIENT),
    ([""], "required client = '': it is empty." + CLIENT),
    (["."], "required client = '.': it is empty." + CLIENT),
    (["..example.org"], "required client = '..example.org': %s." % EMPTY + CLIENT),
    (["bücher.example"], "required client = 'bücher.example': it has letters that are not ASCII, and Postfix looks up the IDNA form, xn--bcher-kva.example."
     + CLIENT),
    (["192.0.2.1", "192.0.2.1/32"], "required client = '192.0.2.1/32': it is listed twice. Keep one of them."),
    (["a.example", "A.example"], "required client = 'A.example': it is listed twice. Keep one of them."),
])
def test_a_client_that_can_be_none_is_refused_by_its_name(entries: list, told: str) -> None:
    with pytest.raises(PostfixTlsError) as caught:
        access.clients(entries)
    assert str(caught.value) == told


SENDER = " Write example.org, .example.org for all domains below it, or user@example.org; hosts and networks belong to the clients."
LOCAL = "what is before the @ is no plain local part of an address"


@pytest.mark.parametrize("entries, told", [
    (["<>"], "required sender = '<>': every server sends its bounces with the null sender, so that would be everybody."
             " Leave it out; bounces of a partner are covered where its hosts are required clients."),
    ([""], "required sender = '': every server sends its bounces with the null sender, so that would be everybody."
           " Leave it out; bounces of a partner are covered where its hosts are required clients."),
    (["@example.org"], "required sender = '@example.org': %s." % LOCAL + SENDER),
    (["user@"], "required sender = 'user@': it is empty." + SENDER),
    (["user@.example.org"], "required sender = 'user@.example.org': %s." % EMPTY + SENDER),
    (['"a b"@example.org'], "required sender = '\"a b\"@example.org': %s." % LOCAL + SENDER),
    (["us er@example.org"], "required sender = 'us er@example.org': %s." % LOCAL + SENDER),
    (["user\n@example.org"], "required sender = 'user\\n@example.org': %s." % LOCAL + SENDER),
    (["jürgen@example.org"], "required sender = 'jürgen@example.org': %s." % LOCAL + SENDER),
    (["a" * 65 + "@example.org"], "required sender = '%s@example.org': %s." % ("a" * 65, LOCAL) + SENDER),
    (["192.0.2.1"], "required sender = '192.0.2.1': it ends in a number, as an address does and no name." + SENDER),
    (["192.0.2.0/24"], "required sender = '192.0.2.0/24': it has '0/24' as a label, %s." % LETTERS + SENDER),
    (["user@bücher.example"],
     "required sender = 'user@bücher.example': it has letters that are not ASCII, and Postfix looks up the IDNA form, xn--bcher-kva.example." + SENDER),
    (["example.org", "EXAMPLE.org"], "required sender = 'EXAMPLE.org': it is listed twice. Keep one of them."),
])
def test_a_sender_that_can_be_none_is_refused_by_its_name(entries: list, told: str) -> None:
    with pytest.raises(PostfixTlsError) as caught:
        access.senders(entries)
    assert str(caught.value) == told


def test_everybody_may_be_required_where_only_known_peers_connect() -> None:
    assert access.clients(["0.0.0.0/0", "::/0"], everyone=True) == ({"0.0.0.0/0": "0.0.0.0", "::/0": "::"}, {})


def test_a_network_within_another_and_a_sender_within_a_domain_are_no_repetition() -> None:
    assert list(access.clients(["192.0.2.0/24", "192.0.2.7"])[0]) == ["192.0.2.0/24", "192.0.2.7/32"]
    assert len(access.senders(["example.org", ".example.org", "user@example.org"])) == 3
