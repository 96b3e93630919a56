# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written is believed only when Postfix reads it back, and when each listener keeps what its own parameters promise."""
from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Named, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._proof import Proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import apply
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan
from hosts_of_text import instance
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)
OTHER = issue("mx.example.org", ROOT)


def proof(host, run=None, **proposal: object) -> Proof:
    return Proof(lambda: host, run, Proposal(Plan(), names=["mx.example.org"], **proposal), None, 5.0)


def test_a_parameter_that_postfix_reads_otherwise_is_told() -> None:
    host = instance(smtpd_tls_security_level="none")
    proof(host, expected={"smtpd_tls_security_level": "none"}).of_files()
    with pytest.raises(PostfixTlsError, match="smtpd_tls_security_level = may: Postfix reads 'none' instead"):
        proof(host, expected={"smtpd_tls_security_level": "may"}).of_files()


def test_a_policy_that_postmap_answers_otherwise_is_told() -> None:
    def run(argv: list, stdin: str) -> tuple:
        assert argv == ["postmap", "-c", "/etc/postfix", "-q", "-", "texthash:/t"] and stdin == "a.example\nb.example\n"
        return 0, "a.example\tencrypt\n", ""

    answers = {"a.example": "encrypt", "b.example": "encrypt"}
    with pytest.raises(PostfixTlsError, match="b.example in texthash:/t = encrypt: postmap -q answers None"):
        proof(instance(), run, tables={"texthash:/t": answers}).of_files()


def test_each_table_is_asked_for_its_own_keys_of_whatever_type_it_is() -> None:
    asked = []

    def run(argv: list, stdin: str) -> tuple:
        asked.append((argv[-1], stdin))
        return 0, "192.0.2.0\treject\n" if argv[-1] == "cidr:/c" else "", ""

    tables = {"cidr:/c": {"192.0.2.0": "reject"}, "regexp:/r": {"a@example.org": "reject"}}
    with pytest.raises(PostfixTlsError, match="a@example.org in regexp:/r = reject: postmap -q answers None"):
        proof(instance(), run, tables=tables).of_files()
    assert asked == [("cidr:/c", "192.0.2.0\n"), ("regexp:/r", "a@example.org\n")]


def test_a_value_that_refers_to_another_is_not_compared_and_another_spelling_is_the_same() -> None:
    host = instance(smtpd_tls_mandatory_protocols=">=TLSv1.2", smtpd_tls_protocols="!SSLv2 !SSLv3 !TLSv1 !TLSv1.1")
    proof(host, expected={"smtpd_tls_mandatory_protocols": "$smtpd_tls_protocols", "smtpd_tls_protocols": ">=TLSv1.2"}).of_files()


def test_a_policy_that_postmap_answers_as_written_passes_and_its_own_words_are_told_where_it_fails() -> None:
    answers = {"a.example": "secure match=b\tc"}
    proof(instance(), lambda argv, stdin: (0, "a.example\tsecure match=b\tc\n", ""), tables={"texthash:/t": answers}).of_files()
    with pytest.raises(PostfixTlsError, match=r"answers None \(status 1\) postmap: fatal: open /t"):
        proof(instance(), lambda argv, stdin: (1, "", "postmap: fatal: open /t\n"), tables={"texthash:/t": answers}).of_files()


@pytest.fixture
def chain_file(tmp_path: Path) -> str:
    path = tmp_path / "chain.pem"
    path.write_text(LEAF.key_pem() + LEAF.pem, encoding="utf-8")
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    return str(path)


def look(chain_file: str, behaviour: Behaviour, monkeypatch, trusted: bool = True, level: str = "may") -> list:
    """The proof of one listener, which is an in-process server."""
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    with MailServer(behaviour) as server:
        host = instance(
            master="127.0.0.1:%d inet n - y - - smtpd\n" % server.port, smtpd_tls_security_level=level, smtpd_tls_chain_files=chain_file,
            smtpd_tls_protocols=">=TLSv1.2",
        )
        judged = proof(host, trusted=frozenset([chain_file] if trusted else []))
        judged.ca_file = str(Path(chain_file).with_name("root.pem"))
        return judged.on_the_wire()


def test_a_listener_that_keeps_its_promise_passes(chain_file: str, monkeypatch) -> None:
    [result] = look(chain_file, Behaviour(chain=LEAF), monkeypatch)
    assert {finding["check"]: finding["verdict"] for finding in result["findings"]}["deployed_chain"] == "pass"


def test_a_listener_that_serves_another_certificate_than_the_deployed_one_fails(chain_file: str, monkeypatch) -> None:
    with pytest.raises(PostfixTlsError, match="deployed_chain: observed served leaf %s" % OTHER.sha256):
        look(chain_file, Behaviour(chain=OTHER), monkeypatch)


@pytest.mark.parametrize("trusted, told", [(None, "for other.example.org: name: "), (True, "")])
def test_what_another_table_serves_is_told_and_what_this_run_asks_for_refutes(trusted: object, told: str, chain_file: str, monkeypatch) -> None:
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    with MailServer(Behaviour(chain=LEAF)) as server:
        host = instance(
            master="127.0.0.1:%d inet n - y - - smtpd\n" % server.port, smtpd_tls_security_level="may", smtpd_tls_chain_files=chain_file,
            smtpd_tls_protocols=">=TLSv1.2",
        )
        judged = proof(host, trusted=frozenset([chain_file]), sni=[Named("other.example.org", [], trusted)])
        judged.ca_file = str(Path(chain_file).with_name("root.pem"))
        if trusted:
            with pytest.raises(PostfixTlsError, match="for other.example.org = name: observed the certificate is made out to DNS:mx.example.org"):
                judged.on_the_wire()
        else:
            judged.observed()
            assert len(judged.on_the_wire()) == 2
    assert [told in finding["observed"] for finding in judged.findings if told] == [True] * bool(told)


def test_a_listener_without_starttls_fails_where_its_parameters_promise_it(chain_file: str, monkeypatch) -> None:
    with pytest.raises(PostfixTlsError, match="starttls_offered: observed EHLO offers no STARTTLS"):
        look(chain_file, Behaviour(chain=None), monkeypatch)


def test_a_listener_that_is_to_be_plain_must_not_offer_starttls(chain_file: str, monkeypatch) -> None:
    assert look(chain_file, Behaviour(chain=None), monkeypatch, level="none")
    with pytest.raises(PostfixTlsError, match="starttls_offered: observed EHLO offers STARTTLS"):
        look(chain_file, Behaviour(chain=LEAF), monkeypatch, level="none")


def test_a_self_signed_certificate_is_judged_by_its_digest_not_by_trust(chain_file: str, monkeypatch) -> None:
    alone = issue("mx.example.org")
    Path(chain_file).write_text(alone.key_pem() + alone.pem, encoding="utf-8")
    [result] = look(chain_file, Behaviour(chain=alone), monkeypatch, trusted=False)
    assert not {"trust", "name"} & {finding["check"] for finding in result["findings"]}


def test_the_promise_of_port_25_is_what_an_outside_look_may_expect(chain_file: str) -> None:
    host = instance(smtpd_tls_security_level="may", smtpd_tls_chain_files=chain_file, smtpd_tls_protocols=">=TLSv1.2")
    assert proof(host, trusted=frozenset([chain_file])).promise() == {
        "starttls": True, "floor": "TLSv1.2", "trust": True, "name": True, "deployed": [LEAF.sha256],
    }
    assert proof(instance(inet_interfaces="loopback-only")).promise() == {}
    assert _proof.Expectation(**proof(host).promise())


def test_port_25_behind_a_proxy_promises_nothing_to_a_look_from_outside_unless_that_is_demanded(chain_file: str) -> None:
    proxied = instance(smtpd_tls_chain_files=chain_file, smtpd_tls_security_level="may", smtpd_upstream_proxy_protocol="haproxy")
    assert proof(proxied).promise() == {}
    demanding = proof(proxied)
    demanding.strict = True
    assert demanding.promise()["starttls"]


def listeners(*servers: MailServer, level: str = "may", **values: str):
    master = "".join("127.0.0.1:%d inet n - y - - smtpd\n" % server.port for server in servers)
    return instance(master=master, smtpd_tls_security_level=level, smtpd_tls_protocols=">=TLSv1.2", **values)


def test_every_listener_has_to_keep_its_promise_and_the_bad_one_is_named_among_all_results(chain_file: str, monkeypatch) -> None:
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    with MailServer(Behaviour(chain=LEAF)) as good, MailServer(Behaviour(chain=OTHER)) as other:
        judged = proof(listeners(good, other, smtpd_tls_chain_files=chain_file), trusted=frozenset([chain_file]))
        judged.ca_file = str(Path(chain_file).with_name("root.pem"))
        with pytest.raises(PostfixTlsError, match="127.0.0.1:%d = deployed_chain" % other.port) as failed:
            judged.on_the_wire()
    assert [result["target"]["port"] for result in failed.value.details["results"]] == [good.port, other.port]


def test_a_listener_that_comes_up_late_is_looked_at_again_and_a_good_one_is_not(chain_file: str, monkeypatch) -> None:
    with MailServer(Behaviour(chain=LEAF)) as early, MailServer(Behaviour(chain=LEAF, banner=b"421 not yet\r\n")) as late:
        judged = proof(listeners(early, late, smtpd_tls_chain_files=chain_file), trusted=frozenset([chain_file]))
        judged.ca_file = str(Path(chain_file).with_name("root.pem"))
        looked_at: list = []

        def sleep(_seconds: float) -> None:
            looked_at.append(early.connections)
            late.behaviour.banner = Behaviour.banner

        monkeypatch.setattr(apply.time, "sleep", sleep)
        assert len(judged.on_the_wire()) == 2
        assert looked_at == [early.connections]


def test_a_listener_that_does_not_answer_is_bad_and_is_not_observed(chain_file: str, monkeypatch) -> None:
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    with MailServer(Behaviour(chain=None)) as gone:
        host = listeners(gone, level="none")
    with pytest.raises(PostfixTlsError, match="127.0.0.1:%d = reachable" % gone.port):
        proof(host).on_the_wire()
    assert proof(host).observed() == {}


def test_what_is_observed_tells_another_certificate_and_a_missing_offer_apart(chain_file: str) -> None:
    seen = []
    for behaviour in (Behaviour(chain=LEAF), Behaviour(chain=OTHER), Behaviour(chain=None)):
        with MailServer(behaviour) as server:
            (one,) = tuple(proof(listeners(server)).observed().values())
            assert one == proof(listeners(server)).observed()["127.0.0.1:%d" % server.port]
            seen.append(one)
    assert len(set(seen)) == 3 and [offered for offered, *_rest in seen] == [
        "STARTTLS is offered", "STARTTLS is offered", "STARTTLS is not offered",
    ]
    assert LEAF.sha256 in str(seen[0]) and OTHER.sha256 in str(seen[1])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_a_version_below_the_floor_of_the_listener_fails_it(chain_file: str, monkeypatch) -> None:
    old = Behaviour(chain=LEAF, versions=(ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_3))
    with pytest.raises(PostfixTlsError, match="127.0.0.1:.*TLSv1.1"):
        look(chain_file, old, monkeypatch)
