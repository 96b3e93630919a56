# SPDX-License-Identifier: GPL-3.0-or-later
"""Each warning about a policy, as a user sees it: what is so, what was expected, and the line to write."""
from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import detours, lint
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lint import Policies
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.table import table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from hosts_of_text import instance

KEYS = "entries that ask for more than what holds without them"
MASTER = (
    "smtp unix - - y - - smtp\nrelay unix - - y - - smtp\nlocal unix - n n - - local\nlmtp unix - - y - - lmtp\n"
    "own unix - - y - - smtp -o smtp_tls_policy_maps=\n"
)
OURS = "texthash:/ours"
#: Of a Postfix that sends straight to each domain.
STRAIGHT = {
    "default_transport": "smtp", "relay_transport": "relay", "local_transport": "local:mx", "smtp_tls_security_level": "may", "smtp_tls_policy_maps": OURS,
}


def policies(lines: dict, others: tuple = (), tables: dict | None = None, **values: str) -> Policies:
    host = instance(master=MASTER, tables=tables, **dict(STRAIGHT, **values))
    return Policies(lines, list(others), host, Lookup(host.run, host.directory, {OURS: lines}), OURS)


def warned(lines: dict, others: tuple = (), tables: dict | None = None, **values: str) -> list:
    told = policies(lines, others, tables, **values)
    return [tuple(warning) for rule in (*lint.RULES, *detours.RULES) for warning in rule(told)]


def test_what_holds_is_not_warned_of() -> None:
    assert warned({"example.org": "encrypt", ".example.org": "encrypt", "example.net": "secure match=mx.example.com", "example.com": "may"}) == []


@pytest.mark.parametrize("lines, default, told", [
    ({"example.org": "none"}, "may", [(
        "policy for example.org: none is less than the may of smtp_tls_security_level", KEYS,
        "{destination: example.org, level: may}, or leave the entry out")]),
    ({"[relay.example]:587": "may"}, "encrypt", [(
        "policy for [relay.example]:587: may is less than the encrypt of smtp_tls_security_level", KEYS,
        '{destination: "[relay.example]:587", level: encrypt}, or leave the entry out')]),
    ({".example.org": "secure", "a.example.org": "encrypt"}, "may", [(
        "policy for a.example.org: encrypt is less than the secure of .example.org", KEYS,
        "{destination: a.example.org, level: secure}, or leave the entry out")]),
    ({".org": "secure", ".example.org": "encrypt"}, "may", [(
        "policy for .example.org: encrypt is less than the secure of .org", KEYS,
        "{destination: .example.org, level: secure}, or leave the entry out")]),
])
def test_an_entry_that_asks_for_less_than_what_holds_without_it(lines: dict, default: str, told: list) -> None:
    assert warned(lines, smtp_tls_security_level=default, relayhost="[relay.example]:587" if "[" in str(lines) else "") == told


def test_without_a_level_in_main_cf_nothing_is_less_than_it() -> None:
    assert warned({"example.org": "none", "example.net": "may"}, smtp_tls_security_level="") == []


def test_verify_without_names() -> None:
    assert warned({"example.org": "verify", "example.net": "verify match=mx.example.net", "example.com": "secure"}) == [(
        "policy for example.org: verify takes the name from DNS, and whoever forges that chooses it", "a name that DNS does not decide",
        "{destination: example.org, level: secure, match: [mx.example.org]}, with the names its servers have",
    )]


def test_an_entry_that_hides_a_stronger_one_of_a_table_behind_it() -> None:
    tables = {"hash:/old": {"example.org": "secure match=mx.example.org", "example.net": "encrypt", "example.com": "may", "odd.example": "maybe"}}
    assert warned({"example.org": "encrypt", "example.net": "encrypt", "example.com": "encrypt", "odd.example": "encrypt"}, ("hash:/old",), tables) == [(
        "policy for example.org: encrypt here hides the secure of hash:/old behind it", "the stronger of both",
        "{destination: example.org, level: secure, match: [mx.example.org]}, or leave the entry out",
    )]


def test_a_weaker_entry_behind_it_for_a_name_below_wins_and_is_told() -> None:
    tables = {"hash:/old": {
        "sub.example.org": "may", ".deep.example.org": "none", "strong.example.org": "secure", "else.example": "none", ".example.org": "encrypt",
        "odd.example.org": "maybe",
    }}
    assert warned({".example.org": "encrypt"}, ("hash:/old",), tables) == [
        ("policy for .example.org: may of hash:/old for sub.example.org is nearer to it and hides it", "the stronger of both",
         "{destination: sub.example.org, level: encrypt}, which is asked first"),
        ("policy for .example.org: none of hash:/old for .deep.example.org is nearer to it and hides it", "the stronger of both",
         "{destination: .deep.example.org, level: encrypt}, which is asked first"),
    ]
    assert warned({"example.org": "encrypt"}, ("hash:/old",), tables) == []


def test_a_table_behind_it_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(PostfixTlsError, match="^smtp_tls_policy_maps = hash:/old: .*open database"):
        lint.openable(policies({"example.org": "encrypt"}, ("socketmap:inet:127.0.0.1:8461:postfix", "hash:/old")))
    lint.openable(policies({"example.org": "encrypt"}, ("socketmap:inet:127.0.0.1:8461:postfix", "ldap:/x")))


DANE = {"smtp_dns_support_level": "dnssec", "smtp_host_lookup": "dns"}
DIGEST = "AB:" * 31 + "AB"


@pytest.mark.parametrize("one, other, less", [
    ("may", "dane", True), ("dane", "may", False), ("encrypt", "dane", True), ("dane", "encrypt", True), ("dane-only", "dane", False),
    ("dane", "dane-only", True),
    ("dane-only", "encrypt", False), ("secure", "dane", False), ("verify", "dane", True), ("verify", "secure", True), ("secure", "verify", False),
    ("dane-only", "secure", False), ("secure", "fingerprint", False), ("encrypt", "verify", True), ("none", "may", True), ("encrypt", "half", False),
])
def test_which_level_asks_less(one: str, other: str, less: bool) -> None:
    assert lint.asks_less(one, other) is less


def test_under_dane_a_partner_is_never_told_to_be_lowered() -> None:
    [(observed, _expected, fix)] = warned({"bank.example": "encrypt"}, smtp_tls_security_level="dane", **DANE)
    assert observed == "policy for bank.example: encrypt matches no TLSA records, unlike the dane of smtp_tls_security_level"
    assert fix == "{destination: bank.example, level: dane-only} where it has TLSA records; where it has none, encrypt is right"
    assert warned({"bank.example": "encrypt"}, smtp_tls_security_level="dane") == [], "without DNSSEC, dane is may"
    [(observed, _expected, fix)] = warned({".agency.example": "encrypt", "tax.agency.example": "dane"}, **DANE)
    assert observed == (
        "policy for tax.agency.example: dane sends in the clear where there are no TLSA records, unlike the encrypt of .agency.example")
    assert fix == (
        "{destination: tax.agency.example, level: dane-only} where it has TLSA records; where it has none, {destination: tax.agency.example, level: encrypt}")


#: Entries of which something is told. The remedies in it are tried on our own rules: none is refused, and of none the same is told again.
FAULTS = {
    "less than the level of main.cf": ([("example.org", "may")], {}, {"smtp_tls_security_level": "encrypt"}),
    "less than the fingerprints of main.cf": (
        [("example.org", "may")], {}, {"smtp_tls_security_level": "fingerprint", "smtp_tls_fingerprint_cert_match": DIGEST}),
    "encrypt under dane": ([("example.org", "encrypt")], {}, {"smtp_tls_security_level": "dane", **DANE}),
    "may under dane": ([("example.org", "may")], {}, {"smtp_tls_security_level": "dane", **DANE}),
    "verify under dane": ([("example.org", "verify match=mx.example.org")], {}, {"smtp_tls_security_level": "dane", **DANE}),
    "dane below encrypt": ([(".example.org", "encrypt"), ("a.example.org", "dane")], {}, DANE),
    "below one of digests": ([(".example.org", "fingerprint match=" + DIGEST), ("a.example.org", "encrypt")], {}, {}),
    "below one of names": ([(".example.org", "secure match=.example.org:mx.example.net"), ("a.example.org", "may")], {}, {}),
    "verify without names": ([("example.org", "verify")], {}, {}),
    "hides one of digests": ([("example.org", "encrypt")], {"hash:/old": {"example.org": "fingerprint match=" + DIGEST}}, {}),
    "hides dane": ([("example.org", "encrypt")], {"hash:/old": {"example.org": "dane"}}, DANE),
    "nearer to it": ([(".example.org", "encrypt")], {"hash:/old": {"a.example.org": "dane"}}, DANE),
    "another next hop": ([("example.org", "fingerprint match=" + DIGEST)], {}, {"relayhost": "[relay.example]:587, relay.example"}),
    "a next hop in other words": ([("[relay.example]", "encrypt")], {}, {"relayhost": "[relay.example]:587"}),
    "nothing sends there": ([("[relay.example]", "encrypt")], {}, {}),
    "last resort": ([("example.org", "encrypt")], {}, {"smtp_fallback_relay": "[192.0.2.1]:2526, relay.example"}),
    "by sender": ([("example.org", "encrypt")], {"hash:/s": {"a@our.example": "[relay.example]:587"}}, {"sender_dependent_relayhost_maps": "hash:/s"}),
    "a single recipient": ([("example.org", "encrypt")], {"hash:/t": {"a@example.org": "smtp:[slow.example]"}}, {"transport_maps": "hash:/t"}),
    "filtered": ([("example.org", "encrypt")], {}, {"content_filter": "smtp:[filter.example]:10024"}),
    "sent on": ([("example.org", "encrypt")], {"hash:/v": {"a@example.org": "a@free.example"}}, {"virtual_alias_maps": "hash:/v"}),
}


def _entries(pairs: list) -> list:
    """As a user writes them."""
    found = []
    for key, line in pairs:
        level, _blank, match = line.partition(" match=")
        names = {"fingerprints": match.split("|")} if level == "fingerprint" else {"match": match.split(":")}
        found.append({"destination": key, "level": level, **(names if match else {})})
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_a_remedy_is_neither_refused_nor_told_again(fault: str) -> None:
    pairs, tables, values = FAULTS[fault]
    values = {"smtp_tls_CApath": "/etc/ssl/certs", **values}
    behind = tuple(name for name in tables if name == "hash:/old")

    def told(entries: list) -> tuple:
        host: Instance = instance(master=MASTER, **dict(STRAIGHT, **values))
        lines = table(entries, host).lines
        return lines, warned(lines, behind, tables, **values)

    entries = _entries(pairs)
    _lines, before = told(entries)
    assert before
    for observed, _expected, fix in before:
        remedies = [yaml.safe_load(text) for text in re.findall(r"{destination: [^}]*}", fix)]
        assert remedies, fix
        for remedy in remedies if "where it has none" in fix else [remedies]:
            mended = remedy if isinstance(remedy, list) else [remedy]
            replaced = {entry["destination"] for entry in mended}
            moved = re.match(r"policy for (\S+): (mail|nothing)", observed)  # the entry is for another key then
            replaced |= {moved.group(1)} if moved else set()
            lines, after = told([entry for entry in entries if entry["destination"] not in replaced] + mended)
            others = [line for line in after if line[0] == observed]
            assert others == [] or "it has none, encrypt is right" in others[0][2], (fix, after)
            assert {entry["destination"] for entry in mended} <= set(lines)


SENDER = "sender_dependent_relayhost_maps"
BY = "sender_dependent_default_transport_maps"


@pytest.mark.parametrize("values, tables, where, fix", [
    ({"smtp_fallback_relay": "[127.0.0.1]:2526"}, {}, "smtp_fallback_relay", '{destination: "[127.0.0.1]:2526", level: encrypt}'),
    ({SENDER: "hash:/s"}, {"hash:/s": {"@our.example": "[relay.example]"}}, SENDER + " (hash:/s, @our.example)",
     '{destination: "[relay.example]", level: encrypt}'),
    ({BY: "hash:/s"}, {"hash:/s": {"@our.example": "own:"}}, BY + " (hash:/s, @our.example)",
     "smtpd_tls_services: {own/unix: {smtp_tls_policy_maps: null}} (the module's services), and {destination: example.org, level: encrypt}"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"a@example.org": "smtp:[slow.example]"}}, "transport_maps (hash:/t, a@example.org)",
     '{destination: "[slow.example]", level: encrypt}'),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "own:"}}, "transport_maps (hash:/t, example.org)",
     "smtpd_tls_services: {own/unix: {smtp_tls_policy_maps: null}} (the module's services), and {destination: example.org, level: encrypt}"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "lmtp:"}}, "transport_maps (hash:/t, example.org)",
     "smtp_tls_parameters: {lmtp_tls_policy_maps: $smtp_tls_policy_maps} (the module's parameters), and {destination: example.org, level: encrypt}"),
    ({"default_transport": "own"}, {}, "the recipient's domain",
     "smtpd_tls_services: {own/unix: {smtp_tls_policy_maps: null}} (the module's services), and {destination: example.org, level: encrypt}"),
    ({"content_filter": "smtp:filter.example:10024"}, {}, "content_filter", '{destination: "filter.example:10024", level: encrypt}'),
    ({"content_filter": "lmtp:inet:filter.example:10024"}, {}, "content_filter",
     'smtp_tls_parameters: {lmtp_tls_policy_maps: $smtp_tls_policy_maps} (the module\'s parameters), and '
     '{destination: "filter.example:10024", level: encrypt}'),
    ({"header_checks": "hash:/h"}, {"hash:/h": {"x": "FILTER smtp:[filter.example]"}}, "FILTER in hash:/h",
     '{destination: "[filter.example]", level: encrypt}'),
    ({"smtpd_sender_restrictions": "check_sender_access hash:/a, permit"}, {"hash:/a": {"x": "FILTER smtp:[filter.example]"}}, "FILTER in hash:/a",
     '{destination: "[filter.example]", level: encrypt}'),
    ({"virtual_alias_maps": "hash:/v"}, {"hash:/v": {"a@example.org": "b@example.org, c@free.example"}}, "virtual_alias_maps (hash:/v, a@example.org)",
     "{destination: free.example, level: encrypt}"),
    ({"recipient_bcc_maps": "hash:/v"}, {"hash:/v": {"@example.org": "c@free.example"}}, "recipient_bcc_maps (hash:/v, @example.org)",
     "{destination: free.example, level: encrypt}"),
])
def test_a_way_round_the_table(values: dict, tables: dict, where: str, fix: str) -> None:
    [(observed, expected, told)] = warned({"example.org": "encrypt"}, tables=tables, **values)
    assert observed.startswith("%s: mail of " % where) and " holds, and so in the clear" in observed and told == fix
    assert expected == "no less than encrypt wherever mail of a partner goes"
    assert warned({"example.org": "may"}, tables=tables, **values) == [], "where nobody is promised anything, nothing is lost"


@pytest.mark.parametrize("values, tables", [
    ({"content_filter": "smtp:[127.0.0.1]:10024"}, {}), ({"content_filter": "smtp:localhost:10024"}, {}), ({"content_filter": "local:"}, {}),
    ({"content_filter": "lmtp:unix:/srv/filter"}, {}),
    ({"smtp_fallback_relay": "[127.0.0.1]:2526", "smtp_tls_security_level": "encrypt"}, {}),
    ({SENDER: "hash:/s"}, {"hash:/s": {"@our.example": "example.org"}}), ({BY: "hash:/s"}, {"hash:/s": {"@our.example": "local:"}}),
    ({"virtual_alias_maps": "hash:/v"}, {"hash:/v": {"a@example.org": "c@example.org", "a@other.example": "c@free.example"}}),
    ({"virtual_alias_maps": "hash:/v", "mydestination": "our.example"}, {"hash:/v": {"a@example.org": "c@our.example"}}),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"a@other.example": "smtp:[slow.example]", ".example.org": "smtp:[slow.example]"}}),
])
def test_no_way_round_the_table(values: dict, tables: dict) -> None:
    assert warned({"example.org": "encrypt"}, tables=tables, **values) == []


def test_filters_in_files_of_patterns(tmp_path) -> None:
    checks = tmp_path / "checks"
    checks.write_text("# /x/ FILTER smtp:[old.example]\n/^Subject: x/ FILTER smtp:[filter.example]:26\n/y/ FILTER smtp:[127.0.0.1]:10024\n", encoding="utf-8")
    [(observed, _expected, fix)] = warned({"example.org": "encrypt"}, header_checks="regexp:%s" % checks)
    assert observed.startswith("FILTER in regexp:%s: " % checks) and fix == '{destination: "[filter.example]:26", level: encrypt}'


def test_next_hops_that_only_a_server_knows() -> None:
    [(observed, _expected, _fix)] = warned({"example.org": "encrypt"}, tables={"proxy:mysql:/s": {}}, **{SENDER: "proxy:mysql:/s"})
    assert observed == "%s: which next hops proxy:mysql:/s names can't be listed, and each is looked up under a name of its own" % SENDER


def test_another_instance_that_asks_no_table() -> None:
    told = policies({"example.org": "encrypt"}, multi_instance_directories="/etc/postfix-out /etc/postfix-in")
    theirs = {"/etc/postfix-out": "multi_instance_enable = yes\nsmtp_tls_security_level = may\n", "/etc/postfix-in": "multi_instance_enable = no\n"}
    told.host.run = lambda argv, **_more: (0, theirs[argv[2]], "")
    [(observed, _expected, fix)] = list(detours.other_instances(told))
    assert observed == "/etc/postfix-out: what this instance sends is held to no policy table, and may holds there"
    assert "tls_hardening_config_directory: /etc/postfix-out" in fix


NEXT = "the key of the next hop"


@pytest.mark.parametrize("values, tables, key, told", [
    ({"relayhost": "[relay.example]:587"}, {}, "example.org", (
        "policy for example.org: mail to it goes to [relay.example]:587 (relayhost), and Postfix looks up that instead", NEXT,
        '{destination: "[relay.example]:587", level: encrypt}')),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "smtp:[mx.example]"}}, "example.org", (
        "policy for example.org: mail to it goes to [mx.example] (transport_maps (hash:/t, example.org)), and Postfix looks up that instead", NEXT,
        '{destination: "[mx.example]", level: encrypt}')),
    ({"default_transport": "smtp:[gw.example]"}, {}, "example.org", (
        "policy for example.org: mail to it goes to [gw.example] (default_transport), and Postfix looks up that instead", NEXT,
        '{destination: "[gw.example]", level: encrypt}')),
    ({"relay_transport": "relay:[in.example]", "relay_domains": "example.org"}, {}, "example.org", (
        "policy for example.org: mail to it goes to [in.example] (relay_transport), and Postfix looks up that instead", NEXT,
        '{destination: "[in.example]", level: encrypt}')),
    ({"relayhost": "[relay.example]:587"}, {}, "[relay.example]", (
        "policy for [relay.example]: mail goes to [relay.example]:587, and Postfix looks up that text as it is", "the key as the next hop is written",
        '{destination: "[relay.example]:587", level: encrypt}')),
    ({"relayhost": "relay.example"}, {}, "[relay.example]", (
        "policy for [relay.example]: mail goes to relay.example, and Postfix looks up that text as it is", "the key as the next hop is written",
        "{destination: relay.example, level: encrypt}")),
    ({"sender_dependent_relayhost_maps": "hash:/s"}, {"hash:/s": {"@our.example": "[relay.example]:submission"}}, "[relay.example]:587", (
        "policy for [relay.example]:587: mail goes to [relay.example]:submission, and Postfix looks up that text as it is",
        "the key as the next hop is written", '{destination: "[relay.example]:submission", level: encrypt}')),
    ({"relayhost": "[ipv6:2001:db8::11]:587"}, {}, "[2001:db8:0:0::11]", (
        "policy for [2001:db8:0:0::11]: mail goes to [ipv6:2001:db8::11]:587, and Postfix looks up that text as it is",
        "the key as the next hop is written", '{destination: "[ipv6:2001:db8::11]:587", level: encrypt}')),
    ({"relayhost": "[2001:DB8:0::11]"}, {}, "[ipv6:2001:db8::11]", (
        "policy for [ipv6:2001:db8::11]: mail goes to [2001:db8:0::11], and Postfix looks up that text as it is", "the key as the next hop is written",
        '{destination: "[2001:db8:0::11]", level: encrypt}')),
    ({}, {}, "[2001:db8::11]", (
        "policy for [2001:db8::11]: nothing sends mail there", "a next hop that relayhost or transport_maps name in these words",
        "name the next hop there first, or leave the entry out")),
    ({}, {}, "[192.0.2.1]:587", (
        "policy for [192.0.2.1]:587: nothing sends mail there", "a next hop that relayhost or transport_maps name in these words",
        "name the next hop there first, or leave the entry out")),
    ({}, {}, "[relay.example]:587", (
        "policy for [relay.example]:587: nothing sends mail there", "a next hop that relayhost or transport_maps name in these words",
        "{destination: relay.example, level: encrypt} for mail to that domain, or name the next hop there first")),
    ({"relayhost": "[relay.example]", "mydestination": "example.org"}, {}, "example.org", (
        "policy for example.org: mail to it goes by transport local (mydestination), which sends no mail by SMTP", "entries for mail that leaves",
        "leave the entry out")),
])
def test_a_key_that_postfix_does_not_look_up(values: dict, tables: dict, key: str, told: tuple) -> None:
    assert [line for line in warned({key: "encrypt"}, tables=tables, **values) if line[0].startswith("policy for ")] == [told]


@pytest.mark.parametrize("values, tables, key", [
    ({"relayhost": "[relay.example]:587"}, {}, "[relay.example]:587"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "smtp:[MX.example]"}}, "[mx.example]"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "smtp:[mx.example]"}}, "example.net"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "smtp:example.net"}}, "example.net"),
    ({"transport_maps": "ldap:/t"}, {"ldap:/t": {}}, "[mx.example]"),
    ({"smtp_fallback_relay": "[late.example]"}, {}, "[late.example]"),
    ({"relayhost": "[relay.example]"}, {}, ".example.org"),
])
def test_a_key_that_it_does_look_up(values: dict, tables: dict, key: str) -> None:
    assert warned({key: "encrypt"}, tables=tables, **values) == []
