# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses of a host are tried, and in which order. That real Postfix does so, molecule/policy shows (test_predictions.py). Names are answered by
the fake of tests/unit/nameserver.py, and by the system's own resolver."""
from __future__ import annotations

import dns.resolver
import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.addresses import in_order, look_up
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from nameserver import NameServer

FOUR, SIX = ("192.0.2.1", "192.0.2.2", "192.0.2.3"), ("2001:db8::1", "2001:db8::2", "2001:db8::3")
V4, V6 = Sender(families=("ipv4",)), Sender(families=("ipv6",))
NATIVE = Sender(dns_for_hosts=False, native=True)
HOSTS = {
    "both.example": {"A": [FOUR[0]], "AAAA": [SIX[0]]}, "six.example": {"AAAA": [SIX[0]]}, "none.example": {}, "broken.example": "SERVFAIL",
}


@pytest.fixture(autouse=True)
def zone(monkeypatch) -> None:
    with NameServer(HOSTS) as server:
        monkeypatch.setattr(dns.resolver, "default_resolver", server.resolver)
        yield


@pytest.mark.parametrize(("host", "sender", "addresses", "problem"), [
    ("192.0.2.1", Sender(), ("192.0.2.1",), ""),
    ("192.0.2.1", V6, (), "it is an IPv4 address, and inet_protocols has none of these used"),
    ("2001:db8::1", V4, (), "it is an IPv6 address, and inet_protocols has none of these used"),
    ("2001:db8::1", Sender(), ("2001:db8::1",), ""),
    ("both.example", Sender(), (FOUR[0], SIX[0]), ""),
    ("both.example", V4, FOUR[:1], ""),
    ("both.example", V6, SIX[:1], ""),
    ("six.example", V4, (), "DNS has no address of it for IPv4, all that inet_protocols has used"),
    ("none.example", Sender(), (), "DNS has no address of it"),
    ("gone.example", Sender(), (), "DNS has no address of it"),
    ("localhost", Sender(), (), "DNS has no address of it"),
    ("localhost", V4._replace(native=True), ("127.0.0.1",), ""),
    ("127.1", V4._replace(dns_for_hosts=False, native=True), ("127.0.0.1",), ""),
    ("127.1", V6._replace(dns_for_hosts=False, native=True), (), "it has 127.0.0.1 alone, which inet_protocols has not used"),
])
def test_addresses_are_those_that_postfix_would_use(host: str, sender: Sender, addresses: tuple, problem: str) -> None:
    assert look_up(host, sender, 5) == (addresses, problem)


def test_a_name_server_that_fails_and_a_name_that_nobody_has_are_told() -> None:
    assert look_up("broken.example", Sender(), 5)[1].startswith("DNS does not tell its addresses: All nameservers failed")
    assert look_up("gone.invalid", NATIVE, 5)[1].startswith("the name does not resolve: ")


def places(sender: Sender, *found: tuple) -> list:
    """[(host, address, rank)], of [(preference, host, addresses)], "-" in place of the rank for what is left out."""
    return [(place.host, place.address, "-" if place.left_out else place.rank)
            for place in in_order([(preference, host, addresses, "no") for preference, host, addresses in found], sender)]


def test_the_order_is_postfix_s() -> None:
    both = (10, "a", (FOUR[0], SIX[0]))
    assert places(Sender(), both) == [("a", FOUR[0], 0), ("a", SIX[0], 0)]
    assert places(Sender(shuffled=False), both) == [("a", FOUR[0], 0), ("a", SIX[0], 1)]
    assert places(Sender(preference="ipv6"), both) == [("a", SIX[0], 0), ("a", FOUR[0], 1)]
    assert places(Sender(preference="ipv4"), (20, "b", FOUR[:1]), both) == [("a", FOUR[0], 0), ("a", SIX[0], 1), ("b", FOUR[0], 2)]
    assert places(Sender(), (20, "b", FOUR[1:2]), both, (5, "c", ())) == [("a", FOUR[0], 0), ("a", SIX[0], 0), ("b", FOUR[1], 1), ("c", None, 0)]


@pytest.mark.parametrize(("most", "four", "six", "kept"), [
    (0, 3, 3, "444666"), (5, 3, 3, "44466"), (4, 3, 3, "4466"), (4, 3, 1, "4446"), (4, 1, 3, "4666"), (3, 3, 3, "446"), (1, 1, 1, "4"), (2, 3, 0, "44"),
])
def test_no_family_takes_the_other_s_place(most: int, four: int, six: int, kept: str) -> None:
    """smtp_balance_inet_protocols; with more IPv6 first, it would be IPv6 that gets the odd one."""
    told = places(Sender(most=most, shuffled=False), (10, "a", FOUR[:four] + SIX[:six]))
    assert "".join("6" if ":" in address else "4" for _host, address, rank in told if rank != "-") == kept
    assert len(told) == four + six, "what is left out is told"


def test_without_balance_the_first_ones_are_tried() -> None:
    told = places(Sender(most=3, balanced=False, shuffled=False), (10, "a", FOUR + SIX))
    assert [address for _host, address, rank in told if rank != "-"] == list(FOUR)
