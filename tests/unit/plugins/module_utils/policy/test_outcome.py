# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix does at each level with each kind of server, as a table. The servers are fakes of tests/unit/servers.py, and the looks at
them are real handshakes; molecule/policy holds the same table against real Postfix and its log."""
from __future__ import annotations

import socket
import ssl

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import (
    ANONYMOUS, Demand, Outcome, asks_for_mail, attempt, bare, delivery, matched, outcome, over_hosts,
)
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all, probe_for_anonymous_suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
OTHER_ROOT = issue("a root that nobody knows", authority=True)
HOST, DOMAIN = "mx.example.org", "example.org"
GOOD = issue(HOST, ROOT, names=(HOST, DOMAIN))
LEAF_OF = {
    "good": GOOD, "self_signed": issue(HOST), "wrong_name": issue("other.example.net", ROOT), "unknown_ca": issue(HOST, OTHER_ROOT, names=(HOST, DOMAIN)),
    "expired": issue(HOST, ROOT, names=(HOST, DOMAIN), days=(-20, -2)), "hosted": issue("mx.hoster.example", ROOT),
}
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1)
KINDS = {
    **{kind: Behaviour(chain=leaf) for kind, leaf in LEAF_OF.items()},
    "no_starttls": Behaviour(),
    "stripped": Behaviour(ehlo=(b"XXXXXXXA",)),
    "tls_1.0": Behaviour(chain=GOOD, versions=OLD),
    "454": Behaviour(chain=GOOD, starttls=b"454 4.7.0 TLS not available due to local problem\r\n"),
    "closes": Behaviour(chain=GOOD, at_tls=lambda connection: connection.close()),
    "no_certificate": Behaviour(chain=GOOD, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2), suites="aNULL:@SECLEVEL=0"),
    "prefers_none": Behaviour(chain=GOOD, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2), suites="aNULL:ALL:@SECLEVEL=0"),
    "enforces": Behaviour(mail=b"530 5.7.0 Must issue a STARTTLS command first\r\n"),
    "wrapper": Behaviour(chain=GOOD, implicit=True),
}

#: What happens, by the word of the log; "-" for mail that stays in the queue, with the word that is logged before.
#: Columns: none, may, encrypt, fingerprint (of the good certificate), verify, secure, and encrypt by a transport with wrapper mode.
EXPECTED = """
    kind            none   may        encrypt     fingerprint   verify       secure       wrapper
    good            clear  Trusted    Trusted     Verified      Verified     Verified     -
    hosted          clear  Trusted    Trusted     -Untrusted    Verified     -Trusted     -
    self_signed     clear  Untrusted  Untrusted   -Untrusted    -Untrusted   -Untrusted   -
    wrong_name      clear  Trusted    Trusted     -Untrusted    -Trusted     -Trusted     -
    unknown_ca      clear  Untrusted  Untrusted   -Untrusted    -Untrusted   -Untrusted   -
    expired         clear  Untrusted  Untrusted   -Untrusted    -Untrusted   -Untrusted   -
    no_starttls     clear  clear      -           -             -            -            -
    stripped        clear  clear      -           -             -            -            -
    tls_1.0         clear  clear      -           -             -            -            -
    454             clear  clear      -           -             -            -            -
    closes          clear  clear      -           -             -            -            -
    no_certificate  clear  Anonymous  Anonymous   -             -            -            -
    prefers_none    clear  Anonymous  Anonymous   Verified      Verified     Verified     -
    enforces        -      -          -           -             -            -            -
    wrapper         -      -          -           -             -            -            Trusted
    unreachable     -      -          -           -             -            -            -
"""
DEMANDS = {
    **{level: Demand(level, nexthop=DOMAIN, protocols=">=TLSv1.2") for level in ("none", "may", "encrypt", "verify", "secure")},
    "fingerprint": Demand("fingerprint", fingerprints=(GOOD.sha256.upper(),), protocols=">=TLSv1.2"),
    "wrapper": Demand("encrypt", nexthop=DOMAIN, wrapper=True),
}
ROWS = [line.split() for line in EXPECTED.strip().splitlines()]
CELLS = [(kind, demand, expected) for kind, *words in ROWS[1:] for demand, expected in zip(ROWS[0][1:], words)]


@pytest.fixture(scope="module", name="facts")
def facts_of_each_kind(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("ca") / "root.pem"
    root.write_text(ROOT.pem, encoding="utf-8")
    servers = {kind: MailServer(behaviour) for kind, behaviour in KINDS.items()}
    targets = [
        Target("mx.hoster.example" if kind == "hosted" else HOST, server.port, "smtps" if kind == "wrapper" else "smtp", address="127.0.0.1")
        for kind, server in servers.items()
    ]
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        targets.append(Target(HOST, nobody.getsockname()[1], address="127.0.0.1"))
    for server in servers.values():
        server.__enter__()
    look = Look(ca_file=str(root), depth="versions", timeout=20)
    seen = probe_all(targets, look, 8)
    for facts, answer in zip(seen, probe_for_anonymous_suites(targets, look, 8)):
        if facts["tls"]:
            facts["tls"]["suites"] = {ANONYMOUS: answer}
    for server in servers.values():
        server.__exit__()
    for facts in seen:  # which such a look asks of none
        facts["smtp"]["mail_before_tls"] = "250 2.1.0 Ok"
    return dict(zip([*KINDS, "unreachable"], seen))


@pytest.mark.parametrize(("kind", "demand", "expected"), CELLS, ids=["%s-%s" % cell[:2] for cell in CELLS])
def test_what_postfix_does(facts: dict, kind: str, demand: str, expected: str) -> None:
    facts = facts[kind]
    if kind == "enforces":
        facts = dict(facts, smtp=dict(facts["smtp"], mail_before_tls="530 5.7.0 Must issue a STARTTLS command first"))
    found = outcome(DEMANDS[demand], facts)
    assert ("" if found.delivered else "-") + found.word == expected, found
    assert bool(found.reason) == (not found.delivered or (demand == "may" and expected == "clear")), found


@pytest.mark.parametrize(("level", "excluded", "mandatory", "entry", "word"), [
    ("may", "", "aNULL", "", "Anonymous"), ("encrypt", "", "", "", "Anonymous"), ("encrypt", "", "MD5, aNULL", "", ""), ("encrypt", "", "", "RC4:aNULL", ""),
    ("may", "ADH AECDH", "", "", "clear"), ("may", "ADH", "", "", "Anonymous"),
])
def test_suites_without_a_certificate_are_excluded_by_any_list(facts: dict, level: str, excluded: str, mandatory: str, entry: str, word: str) -> None:
    sender = Sender(excluded=excluded, mandatory_excluded=mandatory)
    found = outcome(DEMANDS[level]._replace(anonymous=sender.anonymous(level, entry)), facts["no_certificate"])
    assert (found.word, found.delivered) == (word, bool(word)), found


#: (names of the certificate, its common names, match, whether it is made out to one of these). The host is mx.example.org, the next hop example.org.
NAMES = [
    (["DNS:mx.example.org"], ["x"], ("hostname",), True),
    (["DNS:MX.Example.ORG"], ["x"], ("hostname",), True),
    (["DNS:example.org"], ["x"], ("hostname",), False),
    (["DNS:example.org"], ["x"], ("nexthop",), True),
    (["DNS:mx.example.org"], ["x"], ("nexthop",), False),
    (["DNS:mx.example.org"], ["x"], ("dot-nexthop",), True),
    (["DNS:a.b.example.org"], ["x"], ("dot-nexthop",), True),
    (["DNS:example.org"], ["x"], ("dot-nexthop",), False),
    (["DNS:notexample.org"], ["x"], ("dot-nexthop",), False),
    (["DNS:*.example.org"], ["x"], ("hostname",), True),
    (["DNS:*.example.org"], ["x"], ("dot-nexthop",), True),
    (["DNS:*.example.org"], ["x"], ("nexthop",), False),
    (["DNS:*.example.org"], ["x"], ("a.b.example.org",), False),
    (["DNS:m*.example.org"], ["x"], ("hostname",), False),
    (["DNS:mx.hoster.example"], ["x"], (".hoster.example",), True),
    (["DNS:mx.hoster.example"], ["x"], ("other.example", "mx.hoster.example"), True),
    (["DNS:mx.hoster.example"], ["x"], ("hoster.example",), False),
    ([], ["mx.example.org"], ("hostname",), True),
    (["IP:192.0.2.1"], ["mx.example.org"], ("hostname",), True),
    (["DNS:other.example"], ["mx.example.org"], ("hostname",), False),
    (None, [], ("hostname",), False),
    (["DNS:xn--mnchen-3ya.example"], ["x"], ("m\u00fcnchen.example",), True),
    ([], ["mx.example.org", "other.example"], ("hostname",), True),
    ([], ["other.example", "mx.example.org"], ("hostname",), False),  # before Postfix 3.6; from then on it is taken
    (["DNS:mx.example.org."], ["mx.example.org"], ("hostname",), False),
    (["DNS:*.example.org."], ["mx.example.org"], ("hostname",), False),
    (["DNS:mx.example.org"], ["x"], ("mx.example.org.",), False),
    (["DNS:mx.example.org"], ["x"], (".example.org.",), False),
    (["DNS:xn--strae-oqa.example"], ["x"], ("stra\u00dfe.example",), True),
    (["DNS:strasse.example"], ["x"], ("stra\u00dfe.example",), False),
]


@pytest.mark.parametrize(("certified", "common", "match", "covered"), NAMES)
def test_names_as_postfix_compares_them(facts: dict, certified: list, common: list, match: tuple, covered: bool) -> None:
    leaf = dict(facts["good"]["certificates"][0], names=certified, common_names=common)
    demand = Demand("secure", match, nexthop="[example.org]:587")
    assert matched(demand, dict(facts["good"], certificates=[leaf])) == (list(match)[-1:] if covered else [])


#: By posttls-finger of Debian 11 to 14: (names, common names, what is asked for, from Postfix 3.6 on with OpenSSL 1.1.1, with 3.0), where 3.5 says no.
BY_RELEASE = [
    (["IP:192.0.2.1"], [], "192.0.2.1", False, True),
    (["IP:2001:db8::1"], [], "2001:0DB8:0:0:0:0:0:1", False, True),
    (["DNS:192.0.2.1"], [], "192.0.2.1", False, False),
    ([], ["192.0.2.1"], "192.0.2.1", False, False),
    ([], ["other.example", "mx.example.org"], "mx.example.org", True, True),
    (["IP:192.0.2.1"], ["other.example", "mx.example.org"], "mx.example.org", True, True),
    (["DNS:other.example"], ["mx.example.org"], "mx.example.org", False, False),
    (["IP:192.0.2.1"], [], ".1", False, False),
]


@pytest.mark.parametrize(("certified", "common", "wanted", "older", "newer"), BY_RELEASE)
def test_names_by_release(facts: dict, certified: list, common: list, wanted: str, older: bool, newer: bool) -> None:
    seen = dict(facts["good"], certificates=[dict(facts["good"]["certificates"][0], names=certified, common_names=common)])
    releases = (((3, 5), (1, 1)), ((3, 5), (3, 0)), ((3, 8), (1, 1)), ((3, 7), (3, 0)), ((3, 11), (3, 6)))
    told = [outcome(Demand("secure", (wanted,), postfix=postfix, openssl=openssl), seen).delivered for postfix, openssl in releases]
    assert told == [False, False, older, newer, newer]


def test_a_host_that_fails_leaves_mail_to_the_next_one_and_is_named(facts: dict) -> None:
    bad = dict(facts["self_signed"], target=dict(facts["good"]["target"], host="mx1.example.org"))
    both = over_hosts(DEMANDS["secure"], [bad, facts["good"]])
    assert both.delivered and both.word == "Verified" and both.reason.startswith("mx1.example.org: its certificate is not trusted: ")
    neither = over_hosts(DEMANDS["secure"], [bad, facts["no_starttls"]])
    assert not neither.delivered and neither.word == "Untrusted"
    assert "; mx.example.org: EHLO offers no STARTTLS" in neither.reason
    assert over_hosts(DEMANDS["may"], [facts["closes"], facts["good"]]).word == "Trusted"  # before it is sent in the clear to the first one
    assert over_hosts(DEMANDS["may"], [facts["454"], facts["good"]]).word == "clear"  # which goes on in the same session
    assert over_hosts(DEMANDS["may"], []) == Outcome(False, "", "it has no host")
    assert over_hosts(DEMANDS["secure"], [facts["good"]]) == Outcome(True, "Verified", "")


MUST = "530 5.7.0 Must issue a STARTTLS command first"


def said(facts: dict, mail: str | None, **more: object) -> dict:
    """The same server, with another answer to MAIL in the clear."""
    return dict(facts, smtp=dict(facts["smtp"], mail_before_tls=mail, **more))


@pytest.mark.parametrize(("kind", "mail", "level", "told"), [
    ("no_starttls", MUST, "may", ("returned", "")),
    ("no_starttls", "554 5.7.1 No", "none", ("returned", "")),
    ("no_starttls", "451 4.7.1 Greylisted", "may", ("next", "")),
    ("no_starttls", "the server closed the connection instead of replying to MAIL", "may", ("next", "")),
    ("no_starttls", None, "may", ("next", "")),
    ("454", MUST, "may", ("returned", "")),
    ("closes", MUST, "may", ("later", "returned")),
    ("closes", "451 4.7.1 Greylisted", "may", ("later", "next")),
    ("closes", None, "may", ("later", "next")),
    ("closes", "250 Ok", "may", ("later", "delivered")),
    ("closes", MUST, "encrypt", ("next", "")),
    ("good", MUST, "may", ("delivered", "")),
    ("good", MUST, "none", ("returned", "")),
])
def test_what_the_server_says_to_mail_in_the_clear_decides(facts: dict, kind: str, mail: str | None, level: str, told: tuple) -> None:
    found = attempt(DEMANDS[level], said(facts[kind], mail))
    assert (found.kind, found.then) == told
    assert found.found.delivered == ("delivered" in told)
    assert asks_for_mail(DEMANDS[level], said(facts[kind], None)) == (level == "none" or kind != "good" and level == "may")


@pytest.mark.parametrize(("error", "level", "kind"), [
    ("the server ended the session: 421 4.7.1 No required SSL certificate", "may", "next"),
    ("the server refused EHLO: 550 5.7.1 Go away", "may", "returned"),
    ("tlsv13 alert certificate required", "may", "later"),
    ("tlsv13 alert certificate required", "encrypt", "next"),
])
def test_a_handshake_that_no_answer_follows_delivers_nothing(facts: dict, error: str, level: str, kind: str) -> None:
    seen = dict(said(facts["good"], "250 Ok", ehlo_after_tls=None), error=error)
    assert attempt(DEMANDS[level], seen).kind == kind
    mine = attempt(DEMANDS[level]._replace(certificate=True), seen)
    assert not mine.found.delivered and "whether it takes this host's certificate is not known" in mine.found.reason


def test_of_several_servers_the_order_and_chance_decide(facts: dict) -> None:
    may, encrypt = DEMANDS["may"], DEMANDS["encrypt"]
    plain = dict(facts["no_starttls"], target=dict(facts["good"]["target"], address="192.0.2.1"))
    good = dict(facts["good"], target=dict(facts["good"]["target"], address="2001:db8::1"))
    broken, refusing = said(facts["closes"], MUST), said(plain, MUST)
    assert over_hosts(may, [plain, good]).word == "clear" and over_hosts(may, [good, plain]).word == "Trusted"
    chance = over_hosts(may, [good, plain], [0, 0])
    assert chance == Outcome(True, "clear", "mx.example.org[192.0.2.1]: EHLO offers no STARTTLS; which of them is tried first is left to chance")
    assert over_hosts(encrypt, [plain, good], [0, 0]).word == "Trusted"
    assert not over_hosts(may, [refusing, good]).delivered, "returned at once"
    assert not over_hosts(may, [good, refusing], [0, 0]).delivered
    assert over_hosts(may, [broken, good]).word == "Trusted", "before it is tried again in the clear"
    assert not over_hosts(may, [broken, facts["unreachable"]]).delivered
    waiting = said(plain, "451 4.7.1 Greylisted")
    assert over_hosts(may, [waiting, good]).word == "Trusted"
    assert not over_hosts(may, [waiting, waiting, good]).delivered, "smtp_mx_session_limit = 2"
    assert over_hosts(may, [waiting, waiting, good], sessions=0).word == "Trusted"
    assert over_hosts(encrypt, [plain, plain, plain, good]).word == "Trusted", "what fails before MAIL does not count towards it"
    assert delivery([(plain, None), (good, attempt(may, good))]) is None
    assert delivery([(good, attempt(may, good)), (plain, None)]).word == "Trusted"


def test_what_was_not_seen_never_delivers(facts: dict) -> None:
    good = facts["good"]
    unclear = {"verdict": "unknown", "reason": "silence"}
    tls = dict(good["tls"], versions={"TLSv1.2": unclear, "TLSv1.3": unclear})
    assert outcome(DEMANDS["encrypt"], dict(good, tls=tls)) == Outcome(
        False, "", "it is not clear whether it speaks TLSv1.2 (silence), TLSv1.3 (silence)")
    assert outcome(DEMANDS["encrypt"], dict(good, tls=None, error="no time was left")) == Outcome(False, "", "no time was left")
    assert not outcome(DEMANDS["verify"], dict(good, tls=dict(good["tls"], trust=unclear))).delivered
    assert outcome(Demand("dane-only"), good) == Outcome(False, "", "level dane-only is decided by TLSA records, which are not looked at")


@pytest.mark.parametrize("level", ["none", "may"])
def test_wrapper_mode_wants_a_level_that_encrypts(facts: dict, level: str) -> None:
    assert outcome(Demand(level, wrapper=True), facts["wrapper"]) == Outcome(
        False, "", "with smtp_tls_wrappermode Postfix connects at level encrypt or above only")


def test_the_floor_is_told(facts: dict) -> None:
    old = facts["tls_1.0"]
    assert outcome(DEMANDS["encrypt"], old).reason == "it speaks TLSv1 and this host only TLSv1.2, TLSv1.3"
    # A server of that age still has suites without a certificate, which Postfix offers first where it asks for none; but here the server's order counts.
    assert outcome(Demand("encrypt", protocols="!SSLv3"), old) == Outcome(True, "Trusted")
    # At verify Postfix is at security level 1, where OpenSSL 3 has nothing older than TLS 1.2.
    at_level_1 = ssl.OPENSSL_VERSION_INFO < (3, 0)
    assert outcome(Demand("verify", nexthop=DOMAIN), old).delivered is at_level_1 and old["tls"]["trust_at_may"]["verdict"] == "pass"
    assert outcome(Demand("verify", nexthop=DOMAIN, openssl=(3, 0)), old).reason == "it speaks TLSv1 and this host only TLSv1.2, TLSv1.3"
    assert "speaks" not in outcome(Demand("verify", nexthop=DOMAIN, openssl=(1, 1)), old).reason
    with pytest.raises(PostfixTlsError, match="FOO"):
        outcome(Demand("encrypt", protocols="FOO"), facts["good"])


def test_a_look_at_the_handshake_alone_knows_one_version(facts: dict) -> None:
    seen = dict(facts["good"], tls=dict(facts["good"]["tls"], versions={}))
    assert outcome(DEMANDS["encrypt"], seen).delivered
    assert not outcome(Demand("encrypt", protocols="!TLSv1.3"), seen).delivered


@pytest.mark.parametrize(("nexthop", "name"), [
    ("Example.org", "example.org"), ("example.org:587", "example.org"), ("[mx.example.org]", "mx.example.org"),
    ("[mx.example.org]:587", "mx.example.org"), ("[IPv6:2001:db8::1]:25", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"),
])
def test_the_name_of_a_next_hop(nexthop: str, name: str) -> None:
    assert bare(nexthop) == name


def test_a_look_like_postfix_asks_for_no_name() -> None:
    with MailServer(Behaviour(chain=GOOD)) as server:
        for asks in (False, True):
            probe_all([Target(HOST, server.port, address="127.0.0.1", asks_by_name=asks)], Look(depth="handshake"))
            assert (HOST in server.names) is asks
