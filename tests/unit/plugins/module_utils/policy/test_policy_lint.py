# SPDX-License-Identifier: GPL-3.0-or-later
"""Each warning about a policy, as a user sees it: what is so, what was expected, and the line to write."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lint import RULES, Policies
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup
from hosts_of_text import instance

KEYS = "entries that ask for more than what holds without them"
MASTER = "smtp unix - - y - - smtp\nrelay unix - - y - - smtp\nlocal unix - n n - - local\n"


def warned(lines: dict, others: tuple = (), tables: dict | None = None, **values: str) -> list:
    """values: of a Postfix that sends straight to each domain, unless they say otherwise."""
    straight = {"default_transport": "smtp", "relay_transport": "relay", "local_transport": "local:mx", "smtp_tls_security_level": "may"}
    host = instance(master=MASTER, tables=tables, **dict(straight, **values))
    told = Policies(lines, list(others), host, Lookup(host.run, host.directory))
    return [tuple(warning) for rule in RULES for warning in rule(told)]


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
        "{destination: example.org, level: secure}, or leave the entry out",
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


def test_a_table_behind_it_that_cannot_be_read() -> None:
    assert warned({"example.org": "encrypt"}, ("hash:/old", "socketmap:inet:127.0.0.1:8461:postfix")) == [(
        "hash:/old: this table can't be asked (fatal: open database: No such file or directory). Mend it; Postfix defers mail meanwhile.",
        "tables that Postfix can read", "mend it or take it out of smtp_tls_policy_maps",
    )]


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
    ({}, {}, "[relay.example]:587", (
        "policy for [relay.example]:587: nothing sends mail there", "a next hop that relayhost or transport_maps name in these words",
        "{destination: relay.example, level: encrypt} for mail to that domain, or name the next hop there first")),
    ({"relayhost": "[relay.example]", "mydestination": "example.org"}, {}, "example.org", (
        "policy for example.org: mail to it goes by transport local (mydestination), which sends no mail by SMTP", "entries for mail that leaves",
        "leave the entry out")),
])
def test_a_key_that_postfix_does_not_look_up(values: dict, tables: dict, key: str, told: tuple) -> None:
    assert warned({key: "encrypt"}, tables=tables, **values) == [told]


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
