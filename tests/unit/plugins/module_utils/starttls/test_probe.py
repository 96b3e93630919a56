# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at a server says what the server showed, and nothing else, whatever the server does."""
from __future__ import annotations

import re
import socket
import ssl
import threading
import time
import warnings

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe, probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from issuing import issue
from servers import Behaviour, MailServer

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
MIDDLE = issue("intermediate", ROOT, authority=True)
LEAF = issue(NAME, MIDDLE)
GOOD = Behaviour(chain=LEAF, more=(MIDDLE,))


def see(behaviour: Behaviour, host: str = "127.0.0.1", name: str = NAME, protocol: str = "smtp", **look: object) -> dict:
    with MailServer(behaviour, host) as server:
        facts = probe(Target(host, server.port, protocol, name), Look(**dict({"ca_content": ROOT.pem, "timeout": 5.0}, **look)))
        facts["connections"], facts["asked_names"] = server.connections, server.names
        return facts


def versions(facts: dict) -> dict:
    return {version: answer["verdict"] for version, answer in facts["tls"]["versions"].items()}


def test_a_healthy_server_is_seen_whole() -> None:
    facts = see(GOOD)
    assert facts["reachable"] and facts["error"] is None
    assert facts["smtp"] == {
        "banner": "220 mx.example.org ESMTP", "ehlo": ["PIPELINING", "STARTTLS"], "starttls": True,
        "starttls_reply": "220 2.0.0 Ready to start TLS", "after_starttls": None, "ehlo_after_tls": ["PIPELINING"],
        "mail_before_tls": None, "injected": False, "smuggling": None,
    }
    tls = facts["tls"]
    assert (tls["handshake"], tls["version"], tls["trust"]["verdict"], tls["name"]["verdict"]) == ("done", "TLSv1.3", "pass", "pass")
    assert versions(facts) == {"SSLv3": "refused", "TLSv1": "refused", "TLSv1.1": "refused", "TLSv1.2": "accepted", "TLSv1.3": "accepted"}
    assert [certificate["sha256"] for certificate in facts["certificates"]] == [LEAF.sha256, MIDDLE.sha256]
    leaf = facts["certificates"][0]
    assert (leaf["names"], leaf["key_type"], leaf["key_bits"], leaf["self_signed"]) == (["DNS:mx.example.org"], "EC", 256, False)
    assert set(facts["asked_names"]) == {NAME, None} and facts["asked_names"].count(None) == 1


def test_a_look_takes_few_connections() -> None:
    assert see(GOOD)["connections"] <= 16
    assert see(GOOD, depth="versions")["connections"] == 5
    assert see(GOOD, depth="handshake")["connections"] == 1
    assert see(Behaviour())["connections"] == 1


def test_implicit_tls_is_spoken_from_the_first_byte() -> None:
    facts = see(Behaviour(chain=LEAF, more=(MIDDLE,), implicit=True), protocol="smtps")
    assert facts["smtp"]["banner"] == "220 mx.example.org ESMTP" and facts["smtp"]["starttls"] is None
    assert facts["tls"]["handshake"] == "done" and versions(facts)["TLSv1.2"] == "accepted"


def test_ipv6_is_spoken() -> None:
    assert see(GOOD, host="::1")["tls"]["trust"]["verdict"] == "pass"


def test_an_address_is_looked_at_instead_of_what_the_host_resolves_to() -> None:
    with MailServer(GOOD) as server:
        facts = probe(Target("mx.example.org", server.port, address="127.0.0.1"), Look(ca_content=ROOT.pem, timeout=5.0))
    assert facts["tls"]["name"]["verdict"] == "pass"
    assert facts["target"] == {
        "host": "mx.example.org", "port": server.port, "protocol": "smtp", "server_name": "mx.example.org", "address": "127.0.0.1",
    }


def test_all_connections_go_to_the_address_that_answered_and_come_from_the_one_that_was_named() -> None:
    with MailServer(GOOD) as server:
        facts = probe(Target("localhost", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=5.0, source_address="127.0.0.2"))
    assert (facts["target"]["address"], server.clients, facts["error"]) == ("127.0.0.1", {"127.0.0.2"}, None)


def test_the_resolver_is_asked_once_for_a_name_and_never_for_an_address(monkeypatch) -> None:
    asked, answer = [], socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: object, flags: int = 0, **options: object) -> list:
        if not flags & socket.AI_NUMERICHOST:
            asked.append(host)
        return answer(host, *arguments, flags=flags, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert see(GOOD)["error"] is None and see(GOOD, host="::1")["error"] is None and asked == []
    with MailServer(GOOD) as server:
        assert probe(Target("localhost", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=5.0))["error"] is None
    assert asked == ["localhost"]


def test_a_source_address_of_another_machine_is_told_not_thrown() -> None:
    assert "cannot assign requested address" in see(GOOD, source_address="192.0.2.1")["error"]


def test_every_server_hears_the_same_name_and_a_goodbye() -> None:
    for ehlo_name, said in (({}), b"EHLO STARTTLS-VERIFY.INVALID"), ({"ehlo_name": "me.example.org"}, b"EHLO ME.EXAMPLE.ORG"):
        with MailServer(GOOD) as server:
            probe(Target("127.0.0.1", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=5.0, depth="handshake", **ehlo_name))
            assert server.left.wait(5)
        assert server.commands == [said, b"STARTTLS", said, b"QUIT"]


def test_for_an_address_no_server_name_is_sent() -> None:
    facts = see(Behaviour(chain=issue("cn", MIDDLE, names=("127.0.0.1", "::1")), more=(MIDDLE,)), name="::1")
    assert set(facts["asked_names"]) == {None} and facts["tls"]["name"]["verdict"] == "pass"


def test_old_versions_are_seen_where_they_are_spoken() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
        facts = see(Behaviour(chain=LEAF, more=(MIDDLE,), versions=old))
    assert versions(facts) == {"SSLv3": "refused", "TLSv1": "accepted", "TLSv1.1": "accepted", "TLSv1.2": "refused", "TLSv1.3": "refused"}
    assert facts["tls"]["version"] == "TLSv1.1"


UNTRUSTED = {
    "unknown CA": (issue(NAME, issue("stranger", authority=True)), (), "unable to get local issuer certificate"),
    "self-signed": (issue(NAME), (), "self.signed certificate"),
    "no intermediate": (LEAF, (), "unable to get local issuer certificate"),
    "expired": (issue(NAME, MIDDLE, days=(-9, -1)), (MIDDLE,), "certificate has expired"),
    "not valid yet": (issue(NAME, MIDDLE, days=(1, 9)), (MIDDLE,), "certificate is not yet valid"),
}


def test_groups_beside_the_curve_of_the_only_certificate_are_seen_before_tls_1_3_too() -> None:
    """RFC 8422 section 5.1: a server can't show an ECDSA certificate to who offers any group but its curve."""
    behaviour = Behaviour(LEAF, suites="ECDHE+aECDSA", versions=(ssl.TLSVersion.TLSv1_2,) * 2, own_order=False)
    accepted = see(behaviour, depth="full")["tls"]["accepted"]
    assert accepted["complete"]
    assert {"X25519", "prime256v1", "secp384r1", "secp521r1", "X448"} <= set(accepted["groups"]["TLSv1.2"])


@pytest.mark.parametrize("case", UNTRUSTED)
def test_where_trust_fails_the_rest_is_known_all_the_same(case: str) -> None:
    leaf, more, told = UNTRUSTED[case]
    facts = see(Behaviour(chain=leaf, more=more))
    tls = facts["tls"]
    assert tls["trust"]["verdict"] == "fail" and re.search(told, tls["trust"]["reason"])
    assert (tls["handshake"], tls["name"]["verdict"], facts["certificates"][0]["sha256"]) == ("done", "pass", leaf.sha256)
    assert facts["certificates"][0]["days_left"] is not None


@pytest.mark.parametrize("names, wanted, verdict", [
    ((NAME,), NAME, "pass"),
    ((NAME,), NAME.upper(), "pass"),
    (("*.example.org",), NAME, "pass"),
    (("*.example.org",), "a.mx.example.org", "fail"),
    (("*.org",), "example.org", "fail"),
    (("other.example.org",), NAME, "fail"),
    (("127.0.0.1",), "127.0.0.1", "pass"),
    (("xn--mx-cja.example",), "mxé.example", "pass"),
    ((NAME,), "127.0.0.1", "fail"),
])
def test_the_name_is_a_verdict_of_its_own(names: tuple, wanted: str, verdict: str) -> None:
    facts = see(Behaviour(chain=issue("cn.example.org", MIDDLE, names=names), more=(MIDDLE,)), name=wanted, depth="handshake")
    assert (facts["tls"]["name"]["verdict"], facts["tls"]["trust"]["verdict"]) == (verdict, "pass"), facts["tls"]["name"]["reason"]


def reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def alert(description: int):
    def send(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(bytes([21, 3, 3, 0, 2, 2, description]))
    return send


def say(text: bytes):
    def send(connection: socket.socket) -> None:
        connection.recv(4096)  # what comes before a ClientHello would count as injected, and be set aside
        connection.sendall(text)
        while connection.recv(4096):
            pass
    return send


AT_TLS = {
    "closes": (lambda connection: None, "unknown", "closed the connection|[Rr]eset"),
    "resets": (reset, "unknown", "[Rr]eset|closed the connection"),
    "says internal error": (alert(80), "refused", "alert internal error"),
    "says handshake failure": (alert(40), "refused", "handshake failure"),
    "sends garbage": (say(b"\x80garbage\r\n" * 50), "unknown", "wrong version number|record"),
    "answers in SMTP": (say(b"454 4.7.0 no\r\n"), "unknown", "wrong version number|record"),
}


@pytest.mark.parametrize("case", AT_TLS)
def test_a_handshake_that_does_not_finish_is_told_with_its_cause(case: str) -> None:
    at_tls, verdict, told = AT_TLS[case]
    facts = see(Behaviour(chain=LEAF, at_tls=at_tls))
    assert facts["tls"]["handshake"] == verdict, facts["tls"]
    assert re.search(told, facts["tls"]["reason"]), facts["tls"]["reason"]
    assert facts["smtp"]["starttls"] is True and facts["certificates"] == []
    assert "accepted" not in versions(facts).values()


def test_silence_is_unknown_and_refused_is_what_the_server_said() -> None:
    assert set(versions(see(Behaviour(chain=LEAF, at_tls=alert(70)))).values()) == {"refused"}
    assert set(versions(see(Behaviour(chain=LEAF, at_tls=alert(80)))).values()) == {"unknown"}
    assert set(versions(see(Behaviour(chain=LEAF, at_tls=lambda connection: connection.recv(1)))).values()) == {"unknown"}


def test_454_is_a_refusal_by_the_server() -> None:
    facts = see(Behaviour(chain=LEAF, starttls=b"454 4.7.0 TLS not available due to local problem\r\n"))
    assert (facts["tls"]["handshake"], facts["tls"]["reason"]) == ("refused", "454 4.7.0 TLS not available due to local problem")
    assert facts["connections"] == 1 and set(versions(facts).values()) == {"refused"}


def test_a_454_that_comes_only_later_answers_no_question_about_versions() -> None:
    behaviour = Behaviour(chain=LEAF, more=(MIDDLE,))
    with MailServer(behaviour) as server:
        behaviour.after_handshake = lambda: setattr(behaviour, "starttls", b"454 4.7.0 Error: too many new TLS sessions\r\n")
        facts = probe(Target("127.0.0.1", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=5.0))
    assert versions(facts) == {"TLSv1.3": "accepted", **dict.fromkeys(("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2"), "unknown")}
    assert facts["tls"]["versions"]["TLSv1.1"]["reason"] == "454 4.7.0 Error: too many new TLS sessions"
    assert {finding["check"]: finding["verdict"] for finding in judge(facts, Expectation())}["versions"] == "unknown"


def test_text_between_the_reply_to_starttls_and_tls_is_noticed_and_not_believed() -> None:
    facts = see(Behaviour(chain=LEAF, more=(MIDDLE,), starttls=b"220 go\r\n250 injected\r\n"), depth="handshake")
    assert "250 injected" in facts["smtp"]["after_starttls"]
    assert facts["smtp"]["ehlo_after_tls"] in (None, ["PIPELINING"])


def test_a_server_without_starttls_offers_none() -> None:
    facts = see(Behaviour())
    assert (facts["reachable"], facts["smtp"]["starttls"], facts["tls"]) == (True, False, None)


def test_a_greeting_of_many_lines_is_waited_for() -> None:
    def postscreen(connection: socket.socket) -> None:
        connection.sendall(b"220-mx.example.org ESMTP\r\n")
        time.sleep(0.3)
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.setblocking(True)
        connection.sendall(b"220 mx.example.org ESMTP\r\n")
        connection.recv(100)
        connection.sendall(b"250 mx.example.org\r\n")

    facts = see(Behaviour(instead=postscreen))
    assert facts["smtp"]["ehlo"] == [] and facts["smtp"]["banner"].startswith("220 mx.example.org ESMTP")


def endless(connection: socket.socket) -> None:
    connection.sendall(b"220 hi\r\n")
    connection.recv(100)
    while True:
        connection.sendall(b"250-X\r\n" * 100)


def line_without_end(connection: socket.socket) -> None:
    connection.sendall(b"220 ")
    while True:
        connection.sendall(b"x" * 4096)


def drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"2")
        time.sleep(0.05)


HOSTILE = {
    "endless EHLO": (endless, "more than .* lines"),
    "a line without end": (line_without_end, "a line of more than"),
    "a byte at a time": (drip, "no time was left|a line of more than"),
    "never a word": (lambda connection: connection.recv(1), "no time was left"),
    "goes away": (lambda connection: None, "closed the connection|[Rr]eset"),
    "no SMTP": (lambda connection: connection.sendall(b"SSH-2.0-x\r\n"), "sent no SMTP reply"),
    "421": (lambda connection: connection.sendall(b"421 4.7.0 too many\r\n"), "ended the session: 421 4.7.0 too many"),
    "554": (lambda connection: connection.sendall(b"554 5.7.1 go away\r\n") or connection.recv(100), "554 5.7.1 go away"),
    "binary": (lambda connection: connection.sendall(b"\x00\xff\x1b[31m\r\n"), "sent no SMTP reply"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_server_is_told_in_words_within_its_time(case: str) -> None:
    act, told = HOSTILE[case]
    facts = see(Behaviour(instead=act), timeout=0.7)
    assert not facts["reachable"] and facts["tls"] is None
    assert re.search(told, facts["error"]), facts["error"]
    assert facts["connections"] == 1 and facts["error"].isprintable()


def test_what_a_stranger_says_is_never_shown_raw() -> None:
    facts = see(Behaviour(banner=b"220 \x1b[31mred\x07 \xff\r\n", ehlo=(b"X\x00Y \xc3\xa9",)))
    assert facts["smtp"]["banner"].isprintable() and "\x1b" not in facts["smtp"]["banner"]
    assert facts["smtp"]["ehlo"][0].isprintable() and facts["smtp"]["ehlo"][0].isascii()


def test_a_421_ends_the_look() -> None:
    def once(connection: socket.socket) -> None:
        connection.sendall(b"421 4.3.2 shutting down\r\n")

    server_says = Behaviour(chain=LEAF, more=(MIDDLE,))
    with MailServer(server_says) as server:
        server_says.at_tls = lambda connection: setattr(server_says, "instead", once)
        facts = probe(Target("127.0.0.1", server.port), Look(ca_content=ROOT.pem, timeout=5.0))
        assert server.connections <= 1 + 4  # those that were on their way when it was said
    assert any("not asked, because" in answer["reason"] for answer in facts["tls"]["suites"].values())


def test_a_port_where_nothing_listens_a_name_that_is_none_and_the_structure_is_the_same() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    refused = probe(Target("127.0.0.1", port), Look(timeout=5.0))
    nowhere = probe(Target("no-such-host.invalid", 25), Look(timeout=5.0))
    assert refused["error"] == "127.0.0.1: connection refused, nothing listens there"
    assert "does not resolve" in nowhere["error"] or "not resolved" in nowhere["error"]
    good = see(GOOD)
    for facts in (refused, nowhere):
        assert set(facts) == set(good) - {"connections", "asked_names"}
        assert set(facts["smtp"]) == set(good["smtp"]) and set(facts["target"]) == set(good["target"])


@pytest.mark.parametrize("target, source, told", [
    ({"host": "fe80::1"}, None, "fe80::1: a link-local address is one of an interface, as in fe80::1%eth0"),
    ({"host": "fe80::1%nosuch0"}, None, "this machine has no interface nosuch0"),
    ({"host": "mx", "address": "fe80::1%nosuch0"}, None, "this machine has no interface nosuch0"),
    ({"host": "127.0.0.1"}, "::1", "127.0.0.1: not tried, for ::1 is of the other address family"),
    ({"host": "::1"}, "127.0.0.1", "::1: not tried, for 127.0.0.1 is of the other address family"),
])
def test_an_address_that_can_not_be_used_so_is_told_in_words(target: dict, source: str | None, told: str) -> None:
    facts = probe(Target(**target, port=1), Look(timeout=5.0, source_address=source))
    assert facts["error"] == told
    [finding] = [finding for finding in judge(facts, Expectation()) if finding["check"] == "reachable"]
    assert (finding["verdict"], finding["observed"]) == ("fail", told) and "inet_interfaces" not in finding["fix"]


def test_a_certificate_for_a_link_local_address_knows_no_interface() -> None:
    assert (Target("fe80::1%eth0").name, Target("fe80::1%eth0").sni) == ("fe80::1", None)


def test_one_bad_target_delays_and_fails_none_of_the_others() -> None:
    hold = threading.Event()
    with MailServer(Behaviour(instead=lambda connection: hold.wait(20))) as silent, MailServer(GOOD) as good:
        targets = [Target("127.0.0.1", port, server_name=NAME) for port in (silent.port, good.port, silent.port, good.port)]
        results = probe_all(targets, Look(ca_content=ROOT.pem, timeout=1.5), concurrency=4)
        hold.set()
    assert [facts["target"]["port"] for facts in results] == [target.port for target in targets]
    assert [facts["reachable"] for facts in results] == [False, True, False, True]


@pytest.mark.parametrize("options, told", [
    ({"host": "a b"}, "host = 'a b': that is no host name"),
    ({"host": "a\r\nQUIT"}, "that is no host name"),
    ({"host": "[2001:db8::1]"}, "that is no host name and no address. Write one, without a port and brackets."),
    ({"host": "mx", "address": "[::1]"}, "that is no host name and no address"),
    ({"host": "mx", "port": 0}, "port = 0: ports go from 1 to 65535"),
    ({"host": "mx", "port": 70000}, "ports go from 1 to 65535"),
    ({"host": "mx", "protocol": "lmtp"}, "it is none of smtp"),
    ({"host": "mx", "address": "mx2"}, "that is no IP address"),
    ({"host": "mx", "address": "192.0.2.1%eth0"}, "that is no IP address"),
    ({"host": "ipv6:fd00::1"}, "only Postfix's tables and next hops write an address so. Write fd00::1."),
    ({"host": "mx", "address": "IPv6:::1"}, "only Postfix's tables and next hops write an address so. Write ::1."),
    ({"host": "mx", "server_name": "é" * 70 + ".example"}, "DNS can't hold that name"),
    ({"host": "mx", "server_name": "mx..example.org"}, "server_name = mx..example.org: DNS can't hold that name"),
    ({"host": ".example.org"}, "DNS can't hold that name"),
    ({"host": "."}, "DNS can't hold that name"),
    ({"host": "x" * 64 + ".example.org"}, "DNS can't hold that name"),
])
def test_a_target_that_cannot_be_is_refused(options: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        Target(**options)


@pytest.mark.parametrize("options, told", [
    ({"timeout": 0}, "timeout = 0: it has to be more than 0 seconds"),
    ({"timeout": float("inf")}, "and at most a day"),
    ({"timeout": float("nan")}, "it has to be more than 0 seconds"),
    ({"ehlo_name": "a\r\nRSET"}, "that is no host name"),
    ({"source_address": "eth0"}, "that is no IP address"),
    ({"source_address": "[::1]"}, "that is no IP address"),
])
def test_a_look_that_cannot_be_is_refused(options: dict, told: str) -> None:
    with pytest.raises(PostfixTlsError, match=told):
        Look(**options)


def test_a_ca_file_without_certificates_is_refused(tmp_path) -> None:
    (tmp_path / "ca.pem").write_text("none", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="no CA certificate can be read from it"):
        probe(Target("127.0.0.1", 1), Look(ca_file=str(tmp_path / "ca.pem")))
