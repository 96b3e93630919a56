# SPDX-License-Identifier: GPL-3.0-or-later
"""A content filter on another host, and the store of this host's own mail, are not the partner: what goes there is told apart."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.inner import InnerHops, inner_hops
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.sent import Sent
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.tally import Silence
from hosts_of_text import instance
from test_audit_lines import delivered, line, queued, read, rows, shaken

__all__ = ["read"]  # a fixture

FILTER = "scan.internal.example[10.0.0.5]:10024"
PARTNER = "mx.partner.example[192.0.2.9]:25"


def handed_over(queue_id: str, answered: str, to: str = "u@partner.example", relay: str = FILTER, ago: float = 60) -> str:
    return line("smtp", 5, "%s: to=<%s>, relay=%s, delay=0.5, delays=0.1/0/0/0.4, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[10.0.0.1]:10025): "
                           "250 2.0.0 Ok: queued as %s)" % (queue_id, to, relay, answered), ago)


@pytest.mark.parametrize("order", ["answered first", "delivered first", "queued first", "queued last"])
def test_who_hands_the_message_back_is_an_inner_hop_without_any_configuration(read, order: str) -> None:
    there = handed_over("A00001", "B00001")
    on = [shaken(8, relay=PARTNER), delivered("B00001", "u@partner.example", 8, PARTNER)]
    told = read(*{
        "answered first": [there, *on], "delivered first": [*on, there], "queued first": [queued("B00001"), there, *on],
        "queued last": [there, queued("B00001"), *on],
    }[order])
    assert rows(told["sent"]) == {"partner.example": (0, 1, 0)}
    assert told["sent"][0]["relays"] == ["mx.partner.example"]
    assert [(row["relay"], row["messages"]) for row in told["inner"]] == [("scan.internal.example", 1)]
    assert sum(told["totals"]["sent"].values()) == 1
    assert told["candidates"] == [{"destination": "partner.example", "level": "encrypt"}]


def test_a_filter_that_was_unknown_and_settles_later_still_adds_up(read) -> None:
    """The filter's process tells of its first handshake only after it has sent in the clear: that settles what waited."""
    told = read(handed_over("A00001", "B00001"), shaken(8, relay=PARTNER), delivered("B00001", "u@partner.example", 8, PARTNER))
    assert [(row["plaintext"], row["unknown"]) for row in told["inner"]] == [(1, 0)]
    assert rows(told["sent"]) == {"partner.example": (0, 1, 0)}


@pytest.mark.parametrize("answered", ["A00001", "C00001", "B99999"])
def test_a_partner_can_not_hide_by_answering_with_a_name_it_knows(read, answered: str) -> None:
    """Its own message's, one that was here before, one that never was: only what came later is a message handed back."""
    told = read(
        delivered("C00001", "x@other.example", 9, "mx.other.example[192.0.2.8]:25", ago=600),
        delivered("A00009", "y@partner.example", 9, PARTNER, use="2"),
        handed_over("A00001", answered, relay=PARTNER), shaken(8), delivered("D00001", "z@third.example", 8),
    )
    assert told["inner"] == []
    assert rows(told["sent"])["partner.example"] == (2, 0, 0)


def parse(hops: InnerHops, *texts: str) -> Sent:
    sent = Sent(Silence(), hops)
    for text in texts:
        sent.line(b"mx postfix/smtp", b"5", text.partition("]: ")[2].encode(), 1000.0, True)
    return sent


@pytest.mark.parametrize("relay, inner", [
    (FILTER, True), (FILTER.upper(), True), ("10.0.0.5[10.0.0.5]:10024", True), ("scan.internal.example[10.0.0.5]:25", False), (PARTNER, False),
])
def test_what_the_configuration_names_as_a_filter_is_one(relay: str, inner: bool) -> None:
    hops = InnerHops(frozenset({(b"scan.internal.example", b"10024"), (b"10.0.0.5", b"10024")}))
    sent = parse(hops, handed_over("A00001", "X", relay=relay))
    assert (sent.inner.keys() != set(), bool(sent.domains)) == (inner, not inner)


def test_mail_to_a_domain_of_this_host_is_not_a_partners(read) -> None:
    sent = parse(InnerHops(frozenset(), frozenset({b"our.example"})), handed_over("A1", "X", "u@our.example", "store.our.example[10.0.0.6]:24"))
    assert list(sent.inner) == [b"store.our.example"] and not sent.domains and not sent.total.messages


MASTER = """\
smtp      inet n - y - - smtpd
588       inet n - y - - smtpd -o content_filter=scan:[2001:DB8::5]:10026
scan      unix - - y - - smtp
"""


@pytest.mark.parametrize("parameters, filters", [
    ({"content_filter": "smtp:[scan.internal.example]:10024"}, {(b"scan.internal.example", b"10024"), (b"2001:db8::5", b"10026")}),
    ({"content_filter": "scan:[10.0.0.5]"}, {(b"10.0.0.5", b"25"), (b"2001:db8::5", b"10026")}),
    ({"content_filter": "scan:"}, {(b"2001:db8::5", b"10026")}),
    ({"smtpd_recipient_restrictions": "check_client_access cidr:TABLE, permit"}, {(b"f.example", b"10025"), (b"2001:db8::5", b"10026")}),
    ({"header_checks": "regexp:TABLE"}, {(b"f.example", b"10025"), (b"2001:db8::5", b"10026")}),
])
def test_filters_are_found_where_postfix_has_them(tmp_path, parameters: dict, filters: set) -> None:
    table = tmp_path / "table"
    table.write_text("192.0.2.0/24\tFILTER smtp:[f.example]:10025\n", encoding="ascii")
    host = instance(master=MASTER, **{name: value.replace("TABLE", str(table)) for name, value in parameters.items()})
    assert inner_hops(host).filters == filters


def test_own_domains_are_those_of_all_three_classes() -> None:
    host = instance(mydestination="$myhostname, Our.Example", virtual_mailbox_domains="shop.example", relay_domains="store.example, /etc/nowhere")
    host.values["mydestination"] = "mx.our.example, Our.Example"
    assert inner_hops(host).domains == {b"mx.our.example", b"our.example", b"shop.example", b"store.example"}
