# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a destination has, and how they are looked at. Names are answered by the fake of tests/unit/nameserver.py, and what names of
hosts resolve to is replaced, because hosts of these names are nowhere."""
from __future__ import annotations

import builtins
import ssl
import threading
import time

import dns.resolver
import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import addresses, partners
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import ANONYMOUS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look
from issuing import issue
from nameserver import NameServer
from servers import Behaviour, MailServer

LEAF = issue("mx1.example.org")
#: What names resolve to in tests that look at nobody.
ADDRESS_OF = {"mx%d.%s" % (number, domain): "192.0.2.%d" % (10 + 3 * number + at)
              for number in range(40) for at, domain in enumerate(("example.org", "many.example", "hoster.example"))}
_TLS12 = ssl.TLSVersion.TLSv1_2
RECORDS = {
    "example.org": [(20, "mx2.example.org"), (10, "mx1.example.org"), (10, "mx0.example.org")],
    "many.example": [(number, "mx%d.many.example" % number) for number in range(9)],
    "plain.example": [],
    "null.example": [(0, ".")],
    "broken.example": "SERVFAIL",
    "silent.example": None,
    "xn--mnchen-3ya.example": [(5, "mx1.example.org")],
}


@pytest.fixture(autouse=True)
def zone(monkeypatch):
    with NameServer(RECORDS) as server:
        monkeypatch.setattr(dns.resolver, "default_resolver", server.resolver)
        yield server


@pytest.fixture
def seen(monkeypatch) -> list:
    """The targets of each round of looks, at which nobody looks."""
    rounds = []

    def probe_all(targets: list, how: Look, _concurrency: int) -> list:
        rounds.append((targets, how))
        return [_silence(target) for target in targets]

    monkeypatch.setattr(partners, "probe_all", probe_all)
    monkeypatch.setattr(addresses, "look_up", lambda host, _sender, _seconds: ((ADDRESS_OF.get(host, host if ":" in host else "192.0.2.9"),), ""))
    return rounds


def _silence(target) -> dict:
    return {
        "target": {"host": target.host, "port": target.port, "protocol": target.protocol, "address": None}, "reachable": False, "error": "no answer",
        "smtp": {"banner": None, "starttls": None}, "tls": None, "certificates": [], "address": None,
    }


#: destination -> (preference, host, port, protocol) of each host, or the problem
FOUND = {
    "example.org": [(10, "mx0.example.org", 25, "smtp"), (10, "mx1.example.org", 25, "smtp"), (20, "mx2.example.org", 25, "smtp")],
    "EXAMPLE.org:587": [(10, "mx0.example.org", 587, "smtp"), (10, "mx1.example.org", 587, "smtp"), (20, "mx2.example.org", 587, "smtp")],
    "many.example": [(number, "mx%d.many.example" % number, 25, "smtp") for number in range(5)],
    "plain.example": [(None, "plain.example", 25, "smtp")],
    "m\u00fcnchen.example": [(5, "mx1.example.org", 25, "smtp")],
    "[relay.example.org]": [(None, "relay.example.org", 25, "smtp")],
    "[relay.example.org]:submission": [(None, "relay.example.org", 587, "smtp")],
    "[relay.example.org]:465": [(None, "relay.example.org", 465, "smtps")],
    "[192.0.2.1]": [(None, "192.0.2.1", 25, "smtp")],
    "[IPv6:2001:db8::1]:587": [(None, "2001:db8::1", 587, "smtp")],
    "null.example": "it takes no mail, its MX says (RFC 7505)",
    "nowhere.example": "DNS has no domain nowhere.example",
    "broken.example": "DNS does not tell its MX: All nameservers failed to answer the query broken.example. IN MX",
    ".example.org": "it stands for all its subdomains: name those that mail goes to",
    "[relay.example.org]:nosuchport": "no TCP port is known by the name nosuchport",
    "[relay.example.org]:70000": "ports go from 1 to 65535",
    "two words": "it is not a name that mail goes to: write example.org, [relay.example.org] or [relay.example.org]:587",
    "": "it is not a name that mail goes to: write example.org, [relay.example.org] or [relay.example.org]:587",
}


@pytest.mark.parametrize("destination", FOUND)
def test_the_hosts_of_a_destination(seen: list, destination: str) -> None:
    [partner] = partners.look([destination], Sender(), Look())
    if isinstance(FOUND[destination], str):
        assert partner.problem.startswith(FOUND[destination]) and not partner.hosts and not seen
    else:
        found = [(host.preference, host.name, host.facts["target"]["port"], host.facts["target"]["protocol"]) for host in partner.hosts]
        assert (partner.problem, found) == ("", FOUND[destination])


def test_dns_that_does_not_answer_costs_no_more_than_the_timeout(seen: list) -> None:
    began = time.monotonic()
    [partner] = partners.look(["silent.example"], Sender(), Look(timeout=0.5))
    assert time.monotonic() - began < 4
    assert partner.problem.startswith("DNS does not tell its MX: ") and "timed out" in partner.problem and not seen


def test_without_dns_the_domain_itself_is_the_host(seen: list, zone: NameServer) -> None:
    """smtp_dns_support_level = disabled"""
    [partner] = partners.look(["example.org"], Sender(dns=False, native=True), Look())
    assert [(host.preference, host.name) for host in partner.hosts] == [(None, "example.org")] and not zone.asked
    [partner] = partners.look(["onlyinhosts.example"], Sender(native=True), Look())  # smtp_host_lookup = dns, native
    assert [host.name for host in partner.hosts] == ["onlyinhosts.example"] and zone.asked == ["onlyinhosts.example"]


def test_a_host_of_many_destinations_and_a_domain_listed_twice_are_asked_once(seen: list, zone: NameServer) -> None:
    found = partners.look(["example.org", "m\u00fcnchen.example", "[mx1.example.org]", "example.org"], Sender(), Look())
    [(targets, _how)] = seen
    assert [target.host for target in targets] == ["mx0.example.org", "mx1.example.org", "mx2.example.org"]
    assert found[0].hosts[1].facts == found[1].hosts[0].facts == found[2].hosts[0].facts
    assert sorted(zone.asked) == ["example.org", "xn--mnchen-3ya.example"]


@pytest.mark.parametrize(("server_name", "sent"), [
    ("", None), ("hostname", "mx1.example.org"), ("nexthop", "xn--mnchen-3ya.example"), ("fixed.example", "fixed.example"),
])
def test_the_name_that_is_asked_for_is_postfix_s(seen: list, server_name: str, sent: str | None) -> None:
    partners.look(["m\u00fcnchen.example"], Sender(server_name=server_name), Look())
    assert seen[0][0][0].sni == sent


def test_with_wrapper_mode_every_host_is_looked_at_so(seen: list) -> None:
    [partner] = partners.look(["[relay.example.org]:2525"], Sender(wrapper=True), Look())
    assert partner.hosts[0].facts["target"]["protocol"] == "smtps"


def test_the_cas_are_those_of_postfix_unless_a_file_is_named(seen: list) -> None:
    partners.look(["[a.example]"], Sender(ca_content="PEM"), Look())
    partners.look(["[a.example]"], Sender(ca_content="PEM"), Look(ca_file="/ca.pem"))
    assert [(how.ca_file, how.ca_content, how.depth) for _targets, how in seen] == [(None, "PEM", "versions"), ("/ca.pem", None, "versions")]


def test_no_library_is_asked_for_where_there_is_no_mx(seen: list, monkeypatch) -> None:
    load = builtins.__import__

    def without_dns(name: str, *arguments, **more):
        if name.partition(".")[0] == "dns":
            raise ImportError(name)
        return load(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_dns)
    assert len(partners.look(["[mx.example.org]"], Sender(), Look())) == 1
    assert len(partners.look(["example.org"], Sender(dns=False, native=True), Look())) == 1
    with pytest.raises(PostfixTlsError) as error:
        partners.look(["example.org"], Sender(), Look())
    assert str(error.value) == (
        "dnspython: the MX records of example.org can't be looked up without it. "
        "Install python3-dnspython (on PyPI: dnspython) on this host, or name hosts instead, as in [mx.example.org]."
    )


def test_every_address_is_looked_at_from_where_postfix_connects(monkeypatch) -> None:
    """Two servers of one name; and one that IPv4 alone has."""
    monkeypatch.setattr(addresses, "look_up", lambda host, *_more: (("127.0.0.1", "127.0.0.2", "127.0.0.3"), ""))
    with MailServer(Behaviour(chain=LEAF)) as server:
        sender = Sender(bound=(("ipv4", "127.0.0.9"),), shuffled=False)
        [partner] = partners.look(["[both.example]:%d" % server.port], sender, Look(timeout=5))
        [other] = partners.look(["[both.example]:%d" % server.port], sender, Look(timeout=5, source_address="127.0.0.8"))
        [none] = partners.look(["[both.example]:%d" % server.port], sender._replace(bound=(("ipv4", "192.0.2.1"),), enforced=True), Look(timeout=5))
        [any_other] = partners.look(["[both.example]:%d" % server.port], sender._replace(bound=(("ipv4", "192.0.2.1"),)), Look(timeout=5))
    seen = [(host.name, host.facts["target"]["address"], host.facts["reachable"], host.rank) for host in partner.hosts]
    assert seen == [("both.example", "127.0.0.1", True, 0), ("both.example", "127.0.0.2", False, 1), ("both.example", "127.0.0.3", False, 2)]
    assert partner.hosts[0].facts["vantage"]["source"] == "127.0.0.9" and other.hosts[0].facts["vantage"]["source"] == "127.0.0.8"
    assert none.hosts[0].facts["error"] == (
        "nothing can be sent from 192.0.2.1 (smtp_bind_address_enforce): cannot assign requested address") and not none.hosts[0].facts["reachable"]
    assert any_other.hosts[0].facts["reachable"]
    assert set(none.hosts[0].facts) == set(partner.hosts[0].facts) and set(none.hosts[0].facts["smtp"]) == set(partner.hosts[0].facts["smtp"])


def test_a_host_without_an_address_of_ours_is_told_and_not_looked_at() -> None:
    [six, zone] = partners.look(["[2001:db8::1]", "[fe80::1%eth0]"], Sender(families=("ipv4",)), Look())
    assert six.hosts[0].facts["error"] == "it is an IPv6 address, and inet_protocols has none of these used" and not six.problem
    assert (zone.hosts, zone.problem) == ((), "Postfix takes no address with a zone")


def test_mail_in_the_clear_is_asked_for_with_one_connection_each() -> None:
    must, greylisted = b"530 5.7.0 Must issue a STARTTLS command first\r\n", b"451 4.7.1 Greylisted\r\n"
    sender = Sender(families=("ipv4",), dns_for_hosts=False, native=True)
    with MailServer(Behaviour(mail=must)) as one, MailServer(Behaviour(mail=greylisted)) as two:
        names = ["[127.0.0.1]:%d" % one.port, "[localhost]:%d" % one.port, "[127.0.0.1]:%d" % two.port]
        found = partners.look(names, sender, Look(timeout=5))
        before = one.connections, two.connections
        partners.ask_for_mail([host for partner in found for host in partner.hosts], sender, Look(timeout=5))
        assert (one.connections, two.connections) == (before[0] + 1, before[1] + 1)
    replies = [partner.hosts[0].facts["smtp"]["mail_before_tls"] for partner in found]
    assert replies == ["530 5.7.0 Must issue a STARTTLS command first"] * 2 + ["451 4.7.1 Greylisted"]
    partners.ask_for_mail(list(found[2].hosts), sender, Look(timeout=1))  # which is gone
    assert "refused" in found[2].hosts[0].facts["smtp"]["mail_before_tls"]


def test_a_server_that_demands_a_certificate_has_one_itself() -> None:
    """With suites that need none it answers, and does not finish."""
    old = {"versions": (_TLS12, _TLS12)}
    with MailServer(Behaviour(chain=LEAF, at_tls=lambda connection: connection.close(), **old)) as closing:
        [partner] = partners.look(["[127.0.0.1]:%d" % closing.port], Sender(), Look(timeout=5))
    assert not partner.hosts[0].facts["tls"]["suites"]


def test_a_silent_port_is_tried_with_tls_from_the_first_byte() -> None:
    with MailServer(Behaviour(chain=LEAF, implicit=True)) as server:
        [partner] = partners.look(["[127.0.0.1]:%d" % server.port], Sender(), Look(timeout=1))
    facts = partner.hosts[0].facts
    assert (facts["target"]["protocol"], facts["tls"]["handshake"]) == ("smtps", "done")
    with MailServer(Behaviour(instead=lambda connection: connection.recv(1))) as dead:
        [partner] = partners.look(["[127.0.0.1]:%d" % dead.port], Sender(), Look(timeout=0.5))
    assert partner.hosts[0].facts["target"]["protocol"] == "smtp" and not partner.hosts[0].facts["reachable"]


def test_a_server_without_a_certificate_is_asked_for_suites_that_need_none() -> None:
    old = {"versions": (_TLS12, _TLS12)}
    with MailServer(Behaviour(chain=LEAF, suites="aNULL:@SECLEVEL=0", **old)) as anonymous, MailServer(Behaviour(chain=LEAF, **old)) as usual:
        found = partners.look(["[127.0.0.1]:%d" % server.port for server in (anonymous, usual)], Sender(), Look(timeout=5))
    suites = [partner.hosts[0].facts["tls"]["suites"] for partner in found]
    assert [asked[ANONYMOUS]["verdict"] for asked in suites] == ["accepted", "refused"]


def test_a_thousand_destinations_keep_to_the_concurrency(seen: list) -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def resolve(domain: str, _seconds: float) -> list:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.001)
        with lock:
            running[0] -= 1
        return [(10, "mx%d.hoster.example" % (int(domain.partition(".")[0][1:]) % 40))]

    found = partners.look(["d%d.example" % number for number in range(1000)], Sender(), Look(), 8, resolve)
    [(targets, _how)] = seen
    assert len(found) == 1000 and len(targets) == 40 and 1 < most[0] <= 8


@pytest.mark.parametrize(("server_name", "looks"), [("", 1), ("hostname", 3)])
def test_names_of_one_server_are_looked_at_once_unless_they_are_asked_for(server_name: str, looks: int) -> None:
    """127.0.0.1 goes by other names, too."""
    with MailServer(Behaviour(chain=LEAF)) as server:
        destinations = ["[%s]:%d" % (name, server.port) for name in ("localhost", "127.0.0.1", "127.1")]
        sender = Sender(server_name=server_name, families=("ipv4",), dns_for_hosts=False, native=True)
        found = partners.look(destinations, sender, Look())
    assert [partner.hosts[0].facts["target"]["host"] for partner in found] == ["localhost", "127.0.0.1", "127.1"]
    assert all(partner.hosts[0].facts["tls"]["handshake"] == "done" for partner in found)
    # A self-signed chain takes two handshakes, each version but the one agreed on one connection more.
    assert (server.connections, set(server.names)) == (6 * looks, {None} if looks == 1 else {None, "localhost", "127.1"})
