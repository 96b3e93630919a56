# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Postfix listens, as it reads it: each row is what a real Postfix 3.10 did, by `ss -ltn`."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import addresses, startable
from hosts_of_text import instance


@pytest.mark.parametrize("name, expected", [
    ("smtp", ("", "smtp")), (":25", ("", "25")), ("127.0.0.1:25", ("127.0.0.1", "25")), ("[127.0.0.1]:smtp", ("127.0.0.1", "smtp")),
    ("[::1]:25", ("::1", "25")), ("[ipv6:fd00:aa::12]:25", ("fd00:aa::12", "25")), ("[IPv6:::1]:25", ("::1", "25")),
    ("[localhost]:25", ("localhost", "25")), ("::1:25", ("::1", "25")),
])
def test_the_name_of_a_service(name: str, expected: tuple) -> None:
    assert addresses.split(name) == expected


@pytest.mark.parametrize("value, expected", [
    ("", "127.0.0.1"), ("all", "127.0.0.1"), ("ipv4", "127.0.0.1"), ("ipv6", "::1"), ("ipv6,", "::1"), (", ipv6", "::1"), ("ipv6, ipv4", "127.0.0.1"),
    ("ipv4 ipv6", "127.0.0.1"),
])
def test_the_loopback_address_of_a_listener_of_all_addresses(value: str, expected: str) -> None:
    assert addresses.own_loopback(value) == expected
    assert instance(inet_protocols=value).listeners()[0].address == expected


@pytest.mark.parametrize("inet_interfaces, address, public", [
    ("all", "127.0.0.1", True), ("loopback-only", "127.0.0.1", False), ("localhost", "127.0.0.1", False), ("[::1]", "::1", False),
    ("127.0.0.1, [::1],", "127.0.0.1", False), ("[fd00:aa::11], [::1]", "fd00:aa::11", True), ("192.0.2.1", "192.0.2.1", True),
    ("127.0.1.1", "127.0.1.1", False), ("::1 192.0.2.1", "::1", True),
])
def test_inet_interfaces(inet_interfaces: str, address: str, public: bool) -> None:
    [listener] = instance(inet_interfaces=inet_interfaces).listeners()
    assert (listener.address, listener.public) == (address, public)


@pytest.mark.parametrize("name, address, public", [
    ("[ipv6:fd00:aa::12]:25", "fd00:aa::12", True), ("[ipv6:::1]:25", "::1", False), ("0.0.0.0:25", "127.0.0.1", True), ("[::]:25", "::1", True),
    ("localhost:25", "127.0.0.1", False),
])
def test_an_address_in_master_cf(name: str, address: str, public: bool) -> None:
    [listener] = instance(master="%s inet n - y - - smtpd\n" % name).listeners()
    assert (listener.address, listener.port, listener.public) == (address, 25, public)


def test_a_name_that_resolves_to_loopback_is_not_public(monkeypatch) -> None:
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda name, *_rest, **_more: [(0, 0, 0, "", (
        {"debian.example": "127.0.1.1", "mx.example": "192.0.2.1"}[name], 0))])
    assert addresses.is_loopback("debian.example") and not addresses.is_loopback("mx.example")


@pytest.mark.parametrize("disabled, opened", [
    ("", True), ("inet", False), ("smtp.inet", False), ("smtp/inet", False), ("SMTP.INET", False), ("!smtp.inet,inet", True), ("smtp", True), ("!inet", True),
    ("! smtp.inet, inet", True), ("25.inet", True), ("unix, smtp.inet", False), ("submission.inet", True),
])
def test_services_that_master_does_not_open(disabled: str, opened: bool) -> None:
    host = instance(master_service_disable=disabled)
    assert [listener.service for listener in host.listeners()] == (["smtp"] if opened else [])
    assert ("smtp/inet" in [service.key for service in startable.opened(host)]) == opened
