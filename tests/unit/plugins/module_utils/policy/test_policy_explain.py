# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entry answers for a recipient, and why. That real Postfix agrees is for the scenario policy to show."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import explain, syntax
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.nexthop import Router
from hosts_of_text import instance

MASTER = (
    "smtp unix - - y - - smtp\nrelay unix - - y - - smtp\nwrapped unix - - y - - smtp -o smtp_tls_wrappermode=yes\nlocal unix - n n - - local\n"
    "strict unix - - y - - smtp -o smtp_tls_security_level=secure -o smtp_tls_policy_maps=\nlmtp unix - - y - - lmtp\n"
)
#: What Postfix has where nothing is set.
DEFAULTS = {
    "default_transport": "smtp", "relay_transport": "relay", "local_transport": "local:mx", "virtual_transport": "virtual", "recipient_delimiter": "",
    "parent_domain_matches_subdomains": "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_domains,qmqpd_authorized_clients,relay_domains,"
                                        "smtpd_access_maps",
    "smtp_tls_verify_cert_match": "hostname", "smtp_tls_secure_cert_match": "nexthop, dot-nexthop", "smtp_tls_protocols": ">=TLSv1",
    "smtp_tls_mandatory_protocols": ">=TLSv1.2", "smtp_tls_ciphers": "medium", "smtp_tls_mandatory_ciphers": "high", "smtp_tls_wrappermode": "no",
    "mydestination": "mx.example.org", "smtp_tls_security_level": "may", "smtp_tls_CApath": "/etc/ssl/certs",
}


def host(tables: dict | None = None, **values: str):
    return instance(master=MASTER, tables=tables, **dict(DEFAULTS, **values))


@pytest.mark.parametrize("values, tables, recipient, transport, hops, because", [
    ({}, {}, "a@Example.ORG", "smtp", ("example.org",), "the recipient's domain"),
    ({}, {}, "example.org", "smtp", ("example.org",), "the recipient's domain"),
    ({}, {}, "a@mx.example.org", "local", ("mx",), "mydestination"),
    ({"mydestination": "!sub.example.org, hash:/d"}, {"hash:/d": {"example.org": "x"}}, "a@example.org", "local", ("mx",), "mydestination"),
    ({"mydestination": "!example.org, hash:/d"}, {"hash:/d": {"example.org": "x"}}, "a@example.org", "smtp", ("example.org",), "the recipient's domain"),
    ({"virtual_alias_domains": "hash:/v"}, {"hash:/v": {"example.org": "x"}}, "a@example.org", "error", (), "virtual_alias_domains"),
    ({"virtual_alias_domains": "example.org", "transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "smtp:"}}, "a@example.org", "error", (),
     "virtual_alias_domains"),
    ({"virtual_mailbox_domains": "example.org"}, {}, "a@example.org", "virtual", ("example.org",), "virtual_mailbox_domains"),
    ({"relayhost": "[r.example]:587"}, {}, "a@example.org", "smtp", ("[r.example]:587",), "relayhost"),
    ({"relayhost": "[r.example], [s.example]:26"}, {}, "a@example.org", "smtp", ("[r.example]", "[s.example]:26"), "relayhost"),
    ({"relayhost": "[r.example]", "relay_domains": "example.org"}, {}, "a@sub.example.org", "relay", ("[r.example]",), "relayhost"),
    ({"relay_transport": "relay:[in.example]", "relay_domains": "example.org", "relayhost": "x"}, {}, "a@example.org", "relay", ("[in.example]",),
     "relay_transport"),
    ({"default_transport": "smtp:[gw.example]", "relayhost": "x"}, {}, "a@example.org", "smtp", ("[gw.example]",), "default_transport"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "wrapped:[w.example]:465"}}, "a@example.org", "wrapped", ("[w.example]:465",),
     "transport_maps (hash:/t, example.org)"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {".example.org": "relay:"}}, "a@b.c.example.org", "relay", ("b.c.example.org",),
     "transport_maps (hash:/t, .example.org)"),
    ({"transport_maps": "hash:/t"}, {"hash:/t": {"example.org": "relay:"}}, "a@b.example.org", "smtp", ("b.example.org",), "the recipient's domain"),
    ({"transport_maps": "hash:/t", "parent_domain_matches_subdomains": "transport_maps"}, {"hash:/t": {"example.org": "relay:"}}, "a@b.example.org",
     "relay", ("b.example.org",), "transport_maps (hash:/t, example.org)"),
    ({"transport_maps": "hash:/t", "relayhost": "[r.example]"}, {"hash:/t": {"example.org": ":"}}, "a@example.org", "smtp", ("[r.example]",),
     "transport_maps (hash:/t, example.org)"),
    ({"transport_maps": "hash:/t", "relayhost": "[r.example]"}, {"hash:/t": {"example.org": ":[n.example]"}}, "a@example.org", "smtp", ("[n.example]",),
     "transport_maps (hash:/t, example.org)"),
    ({"transport_maps": "hash:/t", "relayhost": "[r.example]"}, {"hash:/t": {"*": "relay:"}}, "a@example.org", "relay", ("example.org",),
     "transport_maps (hash:/t, *)"),
    ({"transport_maps": "hash:/t", "recipient_delimiter": "+"}, {"hash:/t": {"a@example.org": "relay:[u.example]"}}, "a+x@example.org", "relay",
     ("[u.example]",), "transport_maps (hash:/t, a@example.org)"),
    ({"transport_maps": "hash:/t hash:/u"}, {"hash:/t": {".org": "relay:"}, "hash:/u": {"example.org": "wrapped:"}}, "a@example.org", "wrapped",
     ("example.org",), "transport_maps (hash:/u, example.org)"),
    ({"transport_maps": "regexp:/t"}, {"regexp:/t": {".example.org": "relay:"}}, "a@b.example.org", "smtp", ("b.example.org",), "the recipient's domain"),
])
def test_where_mail_goes(values: dict, tables: dict, recipient: str, transport: str, hops: tuple, because: str) -> None:
    told = host(tables, **values)
    route = Router(told, Lookup(told.run, told.directory)).route(recipient)
    assert (route.transport, route.next_hops, route.because) == (transport, hops, because)


@pytest.mark.parametrize("sender, hops", [
    ("a@our.example", ("[of-a.example]",)), ("b@our.example", ("[ours.example]",)), ("c@their.example", ("[r.example]",)), ("", ("[null.example]",)),
    ("d@our.example", ("[r.example]",)),
])
def test_where_mail_goes_by_its_sender(sender: str, hops: tuple) -> None:
    tables = {"hash:/s": {"a@our.example": "[of-a.example]", "@our.example": "[ours.example]", "<>": "[null.example]", "d@our.example": "DUNNO"}}
    told = host(tables, sender_dependent_relayhost_maps="hash:/s", relayhost="[r.example]")
    assert Router(told, Lookup(told.run, told.directory)).route("x@example.org", sender).next_hops == hops


def one(recipient: str = "a@example.org", tables: dict | None = None, **values: str) -> dict:
    told = host(tables, **values)
    [result] = explain.Explainer(told, Lookup(told.run, told.directory)).explain([recipient])
    return result


MAPS = {"smtp_tls_policy_maps": "texthash:/p, hash:/q"}


@pytest.mark.parametrize("tables, recipient, key, source, level", [
    ({"texthash:/p": {"example.org": "encrypt"}, "hash:/q": {"example.org": "none"}}, "a@example.org", "example.org", "texthash:/p", "encrypt"),
    ({"texthash:/p": {".example.org": "encrypt"}, "hash:/q": {"b.example.org": "secure"}}, "a@b.example.org", "b.example.org", "hash:/q", "secure"),
    ({"texthash:/p": {".example.org": "encrypt"}, "hash:/q": {}}, "a@c.b.example.org", ".example.org", "texthash:/p", "encrypt"),
    ({"texthash:/p": {".example.org": "encrypt", "org": "none"}, "hash:/q": {}}, "a@example.org", None, "smtp_tls_security_level", "may"),
])
def test_which_entry_answers(tables: dict, recipient: str, key: str | None, source: str, level: str) -> None:
    [policy] = one(recipient, tables, **MAPS)["next_hops"]
    assert (policy["key"], policy["source"], policy["level"]) == (key, source, level)


@pytest.mark.parametrize(("table", "chroot", "asked"), [
    ("socketmap:unix:/run/sts:p", "n", "socketmap:unix:/run/sts:p"),
    ("socketmap:unix:/run/sts:p", "y", "socketmap:unix:/spool/run/sts:p"),
    ("socketmap:unix:private/sts:p", "n", "socketmap:unix:/spool/private/sts:p"),
    ("proxy:socketmap:unix:/run/sts:p", "y", "proxy:socketmap:unix:/run/sts:p"),
    ("socketmap:inet:127.0.0.1:8461:p", "y", "socketmap:inet:127.0.0.1:8461:p"),
])
def test_a_socket_is_the_one_that_the_client_sees(table: str, chroot: str, asked: str) -> None:
    master = "smtp unix - - %s - - smtp\n" % chroot
    values = dict(DEFAULTS, smtp_tls_policy_maps=table, queue_directory="/spool")
    told = instance(master=master, tables={asked: {"example.org": "encrypt"}}, **values)
    [result] = explain.Explainer(told, Lookup(told.run, "/etc/postfix")).explain(["a@example.org"])
    [policy] = result["next_hops"]
    assert (policy["key"], policy["source"], policy["level"], policy["wrong"]) == ("example.org", table, "encrypt", "")


def test_digests_of_main_cf_are_whole() -> None:
    digests = ["AB:CD:" + "EF:" * 29 + "01", "23:45:" + "67:" * 29 + "89"]
    [policy] = one(smtp_tls_security_level="fingerprint", smtp_tls_fingerprint_cert_match=", ".join(digests), smtp_tls_policy_maps="")["next_hops"]
    assert policy["match"] == digests


def test_a_next_hop_in_brackets_is_looked_up_as_it_is_and_no_more() -> None:
    tables = {"texthash:/p": {"r.example": "none", ".example": "none", "[r.example]": "none"}, "hash:/q": {"[r.example]:587": "encrypt"}}
    [policy] = one(tables=tables, relayhost="[R.example]:587", **MAPS)["next_hops"]
    assert (policy["next_hop"], policy["key"], policy["level"]) == ("[R.example]:587", "[r.example]:587", "encrypt")


def test_what_is_not_in_the_entry_comes_from_main_cf() -> None:
    tables = {"texthash:/p": {"example.org": "secure ciphers=medium", "example.net": "may", "example.com": "verify match=a.example:.b.example"}, "hash:/q": {}}
    [[secure], [may], [verify]] = [one("a@example.%s" % end, tables, **MAPS)["next_hops"] for end in ("org", "net", "com")]
    assert (secure["match"], secure["protocols"], secure["ciphers"]) == (["nexthop", "dot-nexthop"], ">=TLSv1.2", "medium")
    assert (may["match"], may["protocols"], may["ciphers"]) == ([], ">=TLSv1", "medium")
    assert verify["match"] == ["a.example", ".b.example"]


def test_the_service_that_delivers_decides() -> None:
    tables = {"hash:/t": {"example.org": "strict:", "example.net": "wrapped:", "example.com": "lmtp:[l.example]"}, "texthash:/p": {}, "hash:/q": {}}
    [strict] = one("a@example.org", tables, transport_maps="hash:/t", **MAPS)["next_hops"]
    assert (strict["level"], strict["source"]) == ("secure", "smtp_tls_security_level")
    [wrapped] = one("a@example.net", tables, transport_maps="hash:/t", **MAPS)["next_hops"]
    assert wrapped["wrapper"] and wrapped["explanation"] == "No mail goes there: smtp_tls_wrappermode needs level encrypt or a stronger one."
    [lmtp] = one("a@example.com", tables, transport_maps="hash:/t", lmtp_tls_security_level="encrypt", **MAPS)["next_hops"]
    assert (lmtp["level"], lmtp["source"]) == ("encrypt", "lmtp_tls_security_level")


@pytest.mark.parametrize("values, level", [
    ({"smtp_use_tls": "yes"}, "may"), ({"smtp_enforce_tls": "yes"}, "encrypt"), ({"smtp_enforce_tls": "yes", "smtp_tls_enforce_peername": "yes"}, "verify"),
    ({}, "none"),
])
def test_what_older_parameters_mean(values: dict, level: str) -> None:
    [policy] = one(smtp_tls_security_level="", **values)["next_hops"]
    assert policy["level"] == level


@pytest.mark.parametrize("text, wrong", [
    ("encript", "encript is no level"), ("", "an empty answer is no level"), ("halfdane", "halfdane is no level"),
    ("encrypt matches=a", "matches is no attribute"),
    ("encrypt match=a", "match means nothing at level encrypt"), ("dane tafile=/ca.pem", "tafile means nothing at level dane"),
    ("secure match", "match is no attribute"), ("secure match=", "match=: it is empty"), ("encrypt ciphers = high", "ciphers is no attribute"),
    ("encrypt exclude=a exclude=b", "exclude is there twice"), ("encrypt servername=192.0.2.1", "servername=192.0.2.1: it is no host name"),
    ("encrypt connection_reuse=maybe", "connection_reuse=maybe: it takes one of yes, no"),
    ("encrypt {ciphers=high}x", "{ciphers=high}x has a brace that does not"
     " close at its end"), ("encrypt { ciphers=high", "{ ciphers=high has a brace that does not close at its end"),
    ("secure policy_ttl=5", "policy_ttl is refused without policy_type"), ("secure policy_type=dane", "policy_type=dane: it takes one of sts, no-policy-found"),
    ("secure policy_type=sts policy_ttl=x", "policy_ttl=x: it takes a whole number"),
    ("secure match=a policy_type=sts", ""), ("secure match=a match=b", ""), ("none anything", ""), ("secure, ciphers=high", ""), ("MAY CIPHERS=high", ""),
    ("encrypt { protocols = >=TLSv1.2 }", ""), ("encrypt protocols= exclude=", ""), ("encrypt connection_reuse=yes connection_reuse=no", ""),
    ("secure policy_type=sts { policy_string = mode: enforce } mx_host_pattern=a mx_host_pattern=b", ""),
])
def test_an_answer_that_stops_all_mail(text: str, wrong: str) -> None:
    assert syntax.parsed(text, (3, 11))[2] == wrong


@pytest.mark.parametrize("text, version, wrong", [
    ("encrypt { protocols = TLSv1.2 }", (3, 7), "{ is no attribute"), ("encrypt {ciphers=high}", (3, 7), "{ciphers is no attribute"),
    ("encrypt enable_rpk=yes", (3, 7), "Postfix 3.7 does not know enable_rpk, which came with 3.9"), ("encrypt enable_rpk=yes", (3, 9), ""),
    ("secure policy_type=sts", (3, 9), "Postfix 3.9 does not know policy_type, which came with 3.10"),
])
def test_an_answer_that_its_release_does_not_take(text: str, version: tuple, wrong: str) -> None:
    assert syntax.parsed(text, version)[2] == wrong


DANE = {"smtp_dns_support_level": "dnssec", "smtp_host_lookup": "dns"}


@pytest.mark.parametrize("text, values, wrong", [
    ("fingerprint", {}, "fingerprint needs digests, in match or smtp_tls_fingerprint_cert_match"),
    ("fingerprint", {"smtp_tls_fingerprint_cert_match": "AB"}, ""),
    ("fingerprint match=zz", {}, "zz is no digest in hexadecimal"),
    ("fingerprint match=zz", {"mail_version": "3.5.25"}, ""), ("fingerprint match=AB:CD", {}, ""),
    ("fingerprint match=|", {}, "fingerprint needs digests, in match or smtp_tls_fingerprint_cert_match"),
    ("dane-only", {}, "dane-only finds no TLSA records: smtp_dns_support_level is not set, not dnssec"), ("dane-only", DANE, ""),
    ("dane-only", {**DANE, "smtp_host_lookup": "native"}, "dane-only finds no TLSA records: smtp_host_lookup is native, without dns"),
    ("dane-only", {**DANE, "ignore_mx_lookup_error": "yes"}, "dane-only finds no TLSA records: ignore_mx_lookup_error is yes"),
    ("dane-only", {**DANE, "smtp_dns_resolver_options": "res_dnsrch"}, "dane-only finds no TLSA records: smtp_dns_resolver_options has res_dnsrch"),
    ("secure", {"smtp_tls_CApath": ""}, "the smtp client trusts no CA (smtp_tls_CApath, smtp_tls_CAfile)"), ("secure", {}, ""),
    ("secure tafile=/nowhere.pem", {}, "trust anchors can't be read from /etc/postfix/queue/nowhere.pem"),
    ("secure", {"smtp_tls_trust_anchor_file": "/nowhere.pem"}, "trust anchors can't be read from /etc/postfix/queue/nowhere.pem"),
    ("secure match=:", {}, "there is no name to match"), ("encrypt", {"smtp_tls_servername": "-"}, ""),
    ("encrypt", {"smtp_tls_servername": "a b"}, "smtp_tls_servername = a b is no host name"),
    ("encrypt servername=a", {"smtp_tls_servername": "a b"}, ""), ("none", {"smtp_tls_servername": "a b"}, ""),
    ("encrypt connection_reuse=yes", {}, "connection_reuse is done by tlsproxy(8), which master.cf has not"), ("encrypt connection_reuse=no", {}, ""),
    ("encrypt ciphers=foo", {}, "ciphers=foo is no cipher grade"), ("may ciphers=foo", {}, ""),
    ("encrypt protocols=FOO", {}, "protocols=FOO: 'FOO' is no protocol version"),
    ("encrypt protocols=!SSLv3:!TLSv1:!TLSv1.1:!TLSv1.2:!TLSv1.3", {}, "protocols=!SSLv3:!TLSv1:!TLSv1.1:!TLSv1.2:!TLSv1.3 leaves no protocol version on"),
    ("encrypt protocols=>=TLSv1.2", {"mail_version": "3.5.25"}, "Postfix 3.5 does not know >=TLSv1.2, which came with 3.6"),
    ("may", {"smtp_tls_wrappermode": "yes"}, "smtp_tls_wrappermode needs level encrypt or a stronger one"),
    ("dane", {"smtp_tls_wrappermode": "yes"}, "smtp_tls_wrappermode needs level encrypt or a stronger one, and dane is may here: smtp_dns_support_level is"
     " not set, not dnssec"), ("dane", {"smtp_tls_wrappermode": "yes", **DANE}, ""),
])
def test_what_the_rest_of_main_cf_makes_of_an_answer(text: str, values: dict, wrong: str) -> None:
    values = {"smtp_tls_CApath": "/etc/ssl/certs", **values}
    [policy] = one(tables={"texthash:/p": {"example.org": text}}, smtp_tls_policy_maps="texthash:/p", **values)["next_hops"]
    assert policy["wrong"] == wrong
    assert policy["explanation"].startswith("No mail goes there: %s." % wrong) == bool(wrong)


def test_dane_without_dnssec_is_may() -> None:
    [policy] = one(smtp_tls_security_level="dane", smtp_dns_support_level="enabled")["next_hops"]
    assert (policy["level"], policy["text"]) == ("may", "dane")
    assert policy["explanation"].startswith("Level dane is may here: smtp_dns_support_level is enabled, not dnssec. A message is encrypted")
    [policy] = one(smtp_tls_security_level="dane", **DANE)["next_hops"]
    assert (policy["level"], policy["lowered"]) == ("dane", "")


def test_a_header_of_the_message_that_lets_it_go_in_the_clear_is_told() -> None:
    said = "But one with the header TLS-Required: No goes there as with may (tls_required_enable)."
    for level, enabled, told in (("encrypt", "yes", True), ("may", "yes", False), ("encrypt", "no", False)):
        [policy] = one(smtp_tls_security_level=level, tls_required_enable=enabled)["next_hops"]
        assert policy["clear_by_header"] == told == policy["explanation"].endswith(said)


def test_the_relay_of_last_resort_has_a_policy_of_its_own() -> None:
    tables = {"texthash:/p": {"example.org": "encrypt"}, "hash:/q": {}}
    told = one(tables=tables, smtp_fallback_relay="[late.example]", **MAPS)
    assert [(policy["next_hop"], policy["level"], policy["fallback"]) for policy in told["next_hops"]] == [
        ("example.org", "encrypt", False), ("[late.example]", "may", True)]
    assert "Where that fails, it goes to [late.example] (smtp_fallback_relay). No entry is for it, so smtp_tls_security_level says may." in told["explanation"]


def test_all_of_it_in_words() -> None:
    tables = {"texthash:/p": {"example.org": "secure match=mx.example.org"}, "hash:/q": {}}
    assert one(tables=tables, **MAPS)["explanation"] == (
        "Mail to a@example.org goes to example.org (the recipient's domain). Entry example.org of texthash:/p says secure match=mx.example.org. No message goes"
        " in the clear, and the server needs a certificate that a trusted CA issued for mx.example.org; else it waits in the queue."
    )
    assert one("a@mx.example.org")["explanation"] == "Mail to a@mx.example.org goes by transport local (mydestination), which is not Postfix's SMTP client."


def test_a_table_that_cannot_be_opened_stops_all_mail_that_comes_to_it() -> None:
    tables = {"texthash:/p": {"example.org": "encrypt"}}
    [policy] = one("a@example.net", tables, **MAPS)["next_hops"]
    assert (policy["key"], policy["source"]) == (None, "hash:/q")
    assert policy["wrong"] == "hash:/q: this table can't be asked (fatal: open database: No such file or directory)"
    assert policy["explanation"] == "No mail goes there: %s." % policy["wrong"]
    [policy] = one("a@example.org", tables, **MAPS)["next_hops"]
    assert (policy["level"], policy["wrong"]) == ("encrypt", "")


def test_a_routing_table_that_cannot_be_asked_is_told() -> None:
    with pytest.raises(PostfixTlsError, match="^hash:/t: this table can't be asked .*open database.* Mend it; Postfix defers mail meanwhile."):
        one(tables={}, transport_maps="hash:/t")


def test_many_recipients_ask_each_table_once() -> None:
    told = host({"texthash:/p": {"d7.example": "encrypt"}, "hash:/t": {}}, smtp_tls_policy_maps="texthash:/p", transport_maps="hash:/t")
    asked = []

    def run(argv: list, **more: str) -> tuple:
        asked.append(argv[0])
        return told.run(argv, **more)

    results = explain.Explainer(told, Lookup(run, told.directory)).explain(["a@d%d.example" % number for number in range(100)])
    assert [result["next_hops"][0]["level"] for result in results].count("encrypt") == 1
    assert asked.count("postmap") == 2
