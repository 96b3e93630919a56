# SPDX-License-Identifier: GPL-3.0-or-later
"""Of what does not pass at a listener, what refutes a change, what can't be proven from the host, and what was so before."""
from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _sorting
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._proof import Proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import obstacle
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import apply
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan
from hosts_of_text import instance
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)
AUTH = (b"PIPELINING", b"AUTH PLAIN LOGIN")


@pytest.fixture
def chain_file(tmp_path: Path, monkeypatch) -> str:
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    (tmp_path / "chain.pem").write_text(LEAF.key_pem() + LEAF.pem, encoding="utf-8")
    return str(tmp_path / "chain.pem")


def proof(chain_file: str, *servers: MailServer, options: str = "", timeout: float = 5.0, strict: bool = False, **proposal: object) -> Proof:
    """Of listeners with these -o."""
    master = "".join("127.0.0.1:%d inet n - y - - smtpd %s\n" % (server.port, options) for server in servers)
    host = instance(master=master, smtpd_tls_security_level="may", smtpd_tls_chain_files=chain_file, smtpd_tls_protocols=">=TLSv1.2")
    proposal = Proposal(Plan(), names=["mx.example.org"], trusted=frozenset([chain_file]), **proposal)
    return Proof(lambda: host, lambda argv, stdin="": (0, "", ""), proposal, str(Path(chain_file).with_name("root.pem")), timeout, strict=strict)


def observed(made: Proof) -> list:
    made.on_the_wire()
    return [finding["observed"] for finding in made.findings]


def test_each_connection_to_a_listener_behind_a_proxy_begins_with_its_line(chain_file: str) -> None:
    introduced = []

    def proxied(connection: socket.socket) -> None:
        line = b""
        while not line.endswith(b"\n"):
            line += connection.recv(1)
        introduced.append(line.split(b" "))
        server._speak(connection, server._context)

    with MailServer(Behaviour(chain=LEAF, instead=proxied)) as server:
        assert observed(proof(chain_file, server, options="-o smtpd_upstream_proxy_protocol=haproxy")) == []
        for word, family, source, address, _port, port in introduced:
            assert (word, family, source, address, int(port)) == (b"PROXY", b"TCP4", b"127.0.0.1", b"127.0.0.1", server.port)


@pytest.mark.parametrize("said, parameter", [
    (b"421 4.7.0 mx Error: too many connections from 127.0.0.1\r\n", "smtpd_client_connection_rate_limit"),
    (b"421 4.7.0 Error: too many connections\r\n", "postscreen_client_connection_count_limit"),
    (b"421 4.3.2 All server ports are busy\r\n", "default_process_limit"),
    (b"421 4.7.0 mx Error: too many errors\r\n", "smtpd_hard_error_limit"),
])
def test_a_limit_is_named_and_takes_nothing_back_but_by_choice(chain_file: str, said: bytes, parameter: str) -> None:
    with MailServer(Behaviour(chain=LEAF, banner=said)) as server:
        [told] = observed(proof(chain_file, server))
        assert parameter in told and "reachable" in told and str(server.port) in told
        with pytest.raises(PostfixTlsError, match="can't be proven from here, which .*%s" % parameter):
            proof(chain_file, server, strict=True).on_the_wire()
        with pytest.raises(PostfixTlsError, match=parameter):
            proof(chain_file, server, strict=True).foreseen()
        proof(chain_file, server).foreseen()


def test_a_limit_that_is_met_on_the_way_leaves_what_was_seen_judged(chain_file: str) -> None:
    other = issue("mx.example.org", ROOT)
    for chain, bad in ((LEAF, False), (other, True)):
        behaviour = Behaviour(chain=chain)
        behaviour.after_handshake = lambda: setattr(behaviour, "starttls", b"454 4.7.0 Error: too many new TLS sessions from localhost[127.0.0.1]\r\n")
        with MailServer(behaviour) as server:
            if bad:
                with pytest.raises(PostfixTlsError, match="deployed_chain"):
                    proof(chain_file, server).on_the_wire()
            else:
                [told] = observed(proof(chain_file, server))
                assert "smtpd_client_new_tls_session_rate_limit decides: versions could not be seen" in told


def test_another_421_is_no_excuse(chain_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF, banner=b"421 4.3.0 mx Server local error\r\n")) as server:
        with pytest.raises(PostfixTlsError, match="reachable"):
            proof(chain_file, server).on_the_wire()


@pytest.mark.parametrize("options, said", [("", "refused"), ("-o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=yes", "refused"), (
    "-o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=no", "says so by -o smtpd_tls_auth_only")])
def test_auth_before_tls_is_told_where_the_listener_s_own_parameters_have_it(chain_file: str, options: str, said: str) -> None:
    with MailServer(Behaviour(chain=LEAF, ehlo=AUTH)) as server:
        made = proof(chain_file, server, options=options)
        if said == "refused":
            with pytest.raises(PostfixTlsError, match="auth_before_tls"):
                made.on_the_wire()
        else:
            assert said in observed(made)[0]


def test_what_was_so_before_is_told_and_what_got_worse_is_refused(chain_file: str) -> None:
    closing = Behaviour(chain=LEAF, instead=lambda connection: connection.close())
    with MailServer(closing) as server:
        made = proof(chain_file, server)
        assert made.observed() == {}
        assert "reachable" in observed(made)[0] and "no doing of this change" in observed(made)[0]
    good = Behaviour(chain=LEAF)
    with MailServer(good) as server:
        made = proof(chain_file, server)
        made.observed()
        good.instead = closing.instead
        with pytest.raises(PostfixTlsError, match="reachable"):
            made.on_the_wire()


def test_what_a_change_promises_is_refused_however_it_was_before(chain_file: str) -> None:
    with MailServer(Behaviour()) as server:
        made = proof(chain_file, server, expected={"smtpd_tls_security_level": "may"})
        made.observed()
        with pytest.raises(PostfixTlsError, match="starttls_offered"):
            made.on_the_wire()
        made = proof(chain_file, server)
        made.observed()
        assert "starttls_offered" in observed(made)[0]


def test_a_listener_with_a_chain_of_its_own_that_is_broken_as_before_is_told(chain_file: str, tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_text("", encoding="utf-8")
    with MailServer(Behaviour(chain=LEAF, starttls=b"454 4.7.0 TLS not available due to local problem\r\n")) as server:
        for options, refused in (("", True), ("-o smtpd_tls_chain_files=%s" % own, False)):
            made = proof(chain_file, server, options=options, profile="intermediate", expected={"smtpd_tls_chain_files": chain_file})
            made.observed()
            if refused:
                with pytest.raises(PostfixTlsError, match="handshake"):
                    made.on_the_wire()
            else:
                [told] = observed(made)
                assert "handshake: 454 4.7.0 TLS not available" in told


def test_nothing_listened_before_is_no_excuse(chain_file: str) -> None:
    with MailServer(Behaviour(chain=LEAF)) as server:
        pass
    made = proof(chain_file, server)
    made.observed()
    with pytest.raises(PostfixTlsError, match="reachable"):
        made.on_the_wire()


def test_a_port_that_is_open_and_that_the_host_can_t_reach_is_firewalled(chain_file: str, monkeypatch) -> None:
    with MailServer(Behaviour(chain=LEAF)) as server:
        assert _sorting.listens(server.port)
    assert not _sorting.listens(server.port)
    monkeypatch.setattr(_sorting, "listens", lambda port: port == server.port)
    [told] = observed(proof(chain_file, server))
    assert "the host's own firewall decides" in told


def test_a_greeting_that_is_slow_gets_more_time_once(chain_file: str) -> None:
    slow = Behaviour(chain=LEAF)

    def wait(_client_hello: bytes) -> None:
        time.sleep(0.2)

    slow.hello = wait
    with MailServer(slow) as server:
        assert observed(proof(chain_file, server, timeout=0.5)) == []


def test_a_server_that_greets_nobody_is_refused_unless_master_says_it_is_busy(chain_file: str) -> None:
    silent = Behaviour(chain=LEAF, instead=lambda connection: connection.recv(1))
    with MailServer(silent) as server:
        made = proof(chain_file, server, timeout=0.1)
        made.logged = lambda: ['postfix/master[1]: warning: service "smtp" (25) has reached its process limit "100": new clients may experience delays']
        assert "default_process_limit" in observed(made)[0]
        made = proof(chain_file, server, timeout=0.1)
        with pytest.raises(PostfixTlsError, match="reachable"):
            made.on_the_wire()


def test_restored_answers_as_before_though_a_limit_is_met_now(chain_file: str) -> None:
    behaviour = Behaviour(chain=LEAF)
    with MailServer(behaviour) as server:
        made = proof(chain_file, server)
        before = made.observed()
        behaviour.banner = b"421 4.7.0 mx Error: too many connections from 127.0.0.1\r\n"
        assert before and made.observed() == before


def test_what_outside_may_expect_of_auth(chain_file: str) -> None:
    def promise(**values: str) -> dict:
        host = instance(smtpd_tls_security_level="may", smtpd_tls_chain_files=chain_file, **values)
        return Proof(lambda: host, None, Proposal(Plan(), names=["mx.example.org"]), None, 5.0).promise()

    assert "auth_only" not in promise() and "auth_only" not in promise(smtpd_sasl_auth_enable="yes", smtpd_tls_auth_only="yes")
    assert promise(smtpd_sasl_auth_enable="yes")["auth_only"] is False


@pytest.mark.parametrize("text, parameter", [
    ("421 4.7.1 mx Error: No client certificate presented", "smtpd_tls_req_ccert"), ("454 4.7.0 Error: too many new TLS sessions from x", "smtpd_client_new"),
    ("no time was left for sending its banner: the limit is 10 s for everything", "timeout"), ("connection refused, nothing listens there", None), (None, None),
])
def test_obstacles_are_known_by_the_server_s_words(text: str, parameter: str) -> None:
    found = obstacle(text)
    assert (found and found.parameter or "").startswith(parameter or "") and bool(found) == bool(parameter)
