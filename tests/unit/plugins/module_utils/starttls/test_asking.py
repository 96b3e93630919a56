# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked in each version, and what an answer that is none means: a refusal where it is one, and unknown where it may be anything."""
from __future__ import annotations

import itertools
import socket
import ssl
import subprocess
import threading
from typing import Iterator

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._sorting import _BEHIND_THE_HANDSHAKE
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import of_look
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import MOST_CONNECTIONS, Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.groups import named as group
from issuing import issue
from servers import Behaviour, MailServer, flight

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
EC, RSA = issue(NAME, ROOT), issue(NAME, ROOT, kind="rsa")
EXPIRED = issue(NAME, ROOT, days=(-9, -1))
TLS12 = (ssl.TLSVersion.TLSv1_2,) * 2
TLS13 = (ssl.TLSVersion.TLSv1_3,) * 2
CLOSE_NOTIFY, INTERNAL_ERROR = b"\x15\x03\x03\x00\x02\x01\x00", b"\x15\x03\x03\x00\x02\x02\x50"


def look(behaviour: Behaviour, protocol: str = "smtp", expect: dict | None = None, **how: object) -> dict:
    """Facts with findings, and findings by their names. expect: of Expectation."""
    expectation = Expectation(depth=how.get("depth", "standard"), **expect or {})
    with MailServer(behaviour) as server:
        facts = probe(Target("127.0.0.1", server.port, protocol, NAME), Look(**{"ca_content": ROOT.pem, "timeout": 5.0, **expectation.questions(), **how}))
        assert server.connections <= MOST_CONNECTIONS or how.get("depth") == "full"
    facts["findings"] = judge(facts, expectation)
    assert all(finding["observed"] and "None" not in finding["observed"] for finding in facts["findings"])
    facts["by_name"] = {finding["check"]: finding for finding in facts["findings"]}
    return facts


def named(facts: dict, verdict: str) -> set:
    return {finding["check"] for finding in facts["findings"] if finding["verdict"] == verdict}


def gone() -> None:
    raise OSError


BEHIND = {"starttls_not_offered_again", "command_injection"}


@pytest.mark.parametrize("behaviour, reason", [
    (Behaviour(RSA, demands=True), "the server demands a client certificate: alert certificate required"),
    (Behaviour(RSA, demands=True, versions=TLS13), "the server demands a client certificate: alert certificate required"),
    (Behaviour(RSA, after_handshake=gone), "after the handshake came nothing within TLS: "),
])
def test_a_handshake_is_done_only_when_the_server_answers_within_tls(behaviour: Behaviour, reason: str) -> None:
    facts = look(behaviour)
    assert (facts["tls"]["handshake"], facts["tls"]["version"]) == ("refused", "TLSv1.3") and facts["tls"]["reason"].startswith(reason)
    assert named(facts, "fail") == {"handshake"} and named(facts, "unknown") == BEHIND
    assert facts["tls"]["versions"]["TLSv1.3"]["verdict"] == "accepted" and facts["tls"]["trust"]["verdict"] == "pass"
    fixes = {facts["by_name"][check]["fix"] for check in BEHIND | {"handshake"}}
    assert all(fix.startswith("smtpd_tls_req_ccert: ") for fix in fixes) is behaviour.demands


@pytest.mark.parametrize("reply, verdict", [
    (b"421 4.7.1 No required SSL certificate was sent\r\n", "refused"),  # nginx
    (b"421 4.7.1 mx Error: No client certificate presented\r\n", "refused"),  # smtpd(8)
    (b"421 4.3.2 too busy\r\n", "done"),
    (b"550 5.5.0 no\r\n", "done"),
    (b"what?\r\n", "done"),
])
def test_any_reply_within_tls_is_an_answer_but_one_that_demands_a_certificate(reply: bytes, verdict: str) -> None:
    facts = look(Behaviour(RSA, ehlo_reply=reply), depth="handshake")
    assert facts["tls"]["handshake"] == verdict
    assert ("smtpd_tls_req_ccert" in str(facts["by_name"]["handshake"]["fix"])) is (verdict == "refused")


@pytest.mark.parametrize("how", [{"demands": True}, {"ehlo_reply": b"421 4.7.1 mx Error: No client certificate presented\r\n"}])
@pytest.mark.parametrize("protocol", ["smtp", "submission"])
@pytest.mark.parametrize("expect", [{}, {"profile": "intermediate"}])
def test_a_client_certificate_that_is_demanded_hides_what_lies_behind_the_handshake_and_nothing_else(how: dict, protocol: str, expect: dict) -> None:
    """A host that asks for one by its own parameters is unproven there, and no change is put back for it."""
    facts = look(Behaviour(RSA, suites="ECDHE+AESGCM", curve="prime256v1", mail=b"530 5.7.0 no\r\n", **how), protocol, expect)
    assert named(facts, "fail") | named(facts, "unknown") <= _BEHIND_THE_HANDSHAKE
    assert of_look(facts).parameter == "smtpd_tls_req_ccert"


def test_silence_within_tls_is_unknown() -> None:
    facts = look(Behaviour(RSA, after_handshake=lambda: threading.Event().wait(3)), depth="handshake", timeout=0.7)
    assert facts["tls"]["handshake"] == "unknown" and "no time was left" in facts["tls"]["reason"]


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize("at_mail", [reset, lambda connection: None])
@pytest.mark.parametrize("chain, fails", [(EXPIRED, {"trust", "validity"}), (RSA, set())])
@pytest.mark.parametrize("protocol", ["smtp", "submission"])
def test_a_server_that_ends_the_connection_at_mail_is_seen_all_the_same(at_mail, chain, fails: set, protocol: str) -> None:
    facts = look(Behaviour(chain, at_mail=at_mail), protocol)
    assert (named(facts, "fail"), named(facts, "unknown")) == (fails, {"mail_before_tls"} if protocol == "submission" else set())


@pytest.mark.parametrize("chain, fails", [(EXPIRED, {"trust", "validity"}), (RSA, set())])
def test_a_server_that_resets_at_words_in_the_clear_has_discarded_them(chain, fails: set) -> None:
    facts = look(Behaviour(chain, refuses_injected=b""))
    assert (named(facts, "fail"), named(facts, "unknown")) == (fails, set()) and facts["smtp"]["injected"] is False


REFUSALS = {"closed without an alert": b"", "alert close_notify": CLOSE_NOTIFY, "alert internal_error": INTERNAL_ERROR}


@pytest.mark.parametrize("manner", REFUSALS)
@pytest.mark.parametrize("expect", [{}, {"profile": "intermediate"}, {"profile": "ncsc_2025"}])
@pytest.mark.parametrize("chain", [EC, RSA], ids=["EC", "RSA"])
def test_an_end_that_repeats_where_others_are_answered_is_a_refusal(manner: str, expect: dict, chain) -> None:
    """asyncio in Python and Dovecot's submission close, Courier says close_notify, OpenSSL 3 internal_error."""
    facts = look(Behaviour(chain, suites="ECDHE+AESGCM", refusal=REFUSALS[manner]), expect=expect)
    assert named(facts, "unknown") == set() and named(facts, "fail") <= {"signatures", "groups"}
    told = facts["tls"]["versions"]["TLSv1.1"]
    assert told["verdict"] == "refused" and told["reason"].startswith("%s, " % manner) and told["reason"].endswith("; other questions were answered")


def test_one_kind_of_end_that_comes_to_one_question_alone_is_put_again() -> None:
    hellos: list = []

    def closes_for_tls_1_1(hello: bytes) -> bytes | None:
        hellos.append(hello)
        return b"" if hello[9:11] == b"\x03\x02" else None

    assert look(Behaviour(RSA, hello=closes_for_tls_1_1))["tls"]["versions"]["TLSv1.1"] == {
        "verdict": "refused", "reason": "closed without an alert, 3 times; other questions were answered",
    }
    assert sum(hello[9:11] == b"\x03\x02" for hello in hellos) >= 3


def every(nth: int, refusal: bytes = b""):
    """A server that ends each nth of all ClientHellos, whatever they offer."""
    count = [0]

    def answer(_hello: bytes) -> bytes | None:
        count[0] += 1
        return refusal if count[0] % nth == 0 else None
    return answer


@pytest.mark.parametrize("refusal", [b"", INTERNAL_ERROR])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_of_a_server_that_ends_hellos_at_random_nothing_is_refused_that_it_takes(nth: int, refusal: bytes) -> None:
    facts = look(Behaviour(RSA, versions=(ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3), hello=every(nth, refusal)))
    answers = facts["tls"]["versions"]
    assert all(answers[name]["verdict"] in ("accepted", "unknown") for name in ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")), answers
    assert named(facts, "pass") & {"versions"} == set()


def test_of_a_server_that_ends_everything_from_some_moment_on_nothing_is_refused() -> None:
    for served in range(2, 9):
        hellos = itertools.count(1)

        def leaves(_hello: bytes, hellos: Iterator[int] = hellos, served: int = served) -> bytes | None:
            return b"" if next(hellos) > served else None

        facts = look(Behaviour(RSA, versions=(ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3), hello=leaves))
        assert all(facts["tls"]["versions"][name]["verdict"] in ("accepted", "unknown") for name in ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"))
        assert all(answer["verdict"] != "refused" for answer in facts["tls"]["suites"].values()), facts["tls"]["suites"]


def test_of_an_overloaded_server_a_close_is_no_refusal() -> None:
    facts = look(Behaviour(RSA, refusal=b"", greets=lambda number: not 6 <= number <= 10))
    assert "refused" not in {answer["verdict"] for answer in facts["tls"]["versions"].values()}


@pytest.mark.parametrize("silent", [{2}, {4}, {12}])
def test_a_greeting_that_does_not_come_after_others_did_is_waited_for_once_more(silent: set) -> None:
    """As Courier's, which counts a connection until its process is gone."""
    facts = look(Behaviour(RSA, refusal=CLOSE_NOTIFY, greets=lambda number: number not in silent))
    assert named(facts, "unknown") | named(facts, "fail") == set()


def offers_groups(hello: bytes, *names: str) -> bool:
    """Whether a ClientHello names one of these."""
    at = 44 + hello[43]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 3 + hello[at]
    while at < len(hello):
        kind, length = int.from_bytes(hello[at:at + 2], "big"), int.from_bytes(hello[at + 2:at + 4], "big")
        if kind == 10:
            listed = hello[at + 6:at + 4 + length]
            return any(listed[index:index + 2] == group(name).code.to_bytes(2, "big") for name in names for index in range(0, len(listed), 2))
        at += 4 + length
    return False


def is_tls12(hello: bytes) -> bool:
    return hello[9:11] == b"\x03\x03" and b"\x03\x04\x00\x2d" not in hello


def context(chain, **options: object) -> ssl.SSLContext:
    return MailServer(Behaviour(chain, versions=TLS12, **options))._make_context(chain)


@pytest.mark.parametrize("chain", [RSA, EC], ids=["RSA", "EC"])
@pytest.mark.parametrize("curve, profile", [
    ("sect163k1", "intermediate"), ("secp256k1", "ncsc_2025"), ("prime192v1", "rfc9325"), ("brainpoolP256r1", "intermediate"),
])
def test_a_group_that_only_tls_1_2_has_is_found_beside_tls_1_3(chain, curve: str, profile: str) -> None:
    """As nginx with a list of curves of its own: of one in which TLS 1.3 knows none, this OpenSSL would speak TLS 1.2 alone."""
    weak = context(chain, curve=curve)
    behaviour = Behaviour(chain, suites="ECDHE+AESGCM", hello=lambda hello: flight(weak, hello) if is_tls12(hello) and offers_groups(hello, curve) else None)
    facts = look(behaviour, expect={"profile": profile})
    assert facts["tls"]["version"] == "TLSv1.3"
    assert facts["by_name"]["groups"]["verdict"] == "fail" and facts["by_name"]["groups"]["observed"].startswith("%s in TLSv1.2" % curve)


def test_a_group_that_is_refused_in_both_versions_is_told_of_both() -> None:
    for chain in (RSA, EC):
        facts = look(Behaviour(chain, suites="ECDHE+AESGCM", curve="prime256v1"), expect={"profile": "intermediate"})
        assert facts["by_name"]["groups"]["verdict"] == "pass"
        assert facts["by_name"]["groups"]["observed"].endswith("in TLSv1.2, alert handshake_failure in TLSv1.3"), facts["by_name"]["groups"]


FFDHE = ("ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192")


@pytest.fixture(scope="module")
def prime() -> str:
    """PEM, 1024 bits."""
    command = ["openssl", "dhparam", "-dsaparam", "1024"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def own_prime(prime: str) -> Behaviour:
    """As GnuTLS: its own prime only for who names none of RFC 7919, and no DHE for the others."""
    old = context(RSA, suites="DHE+AESGCM:@SECLEVEL=0", dh_parameters=prime)
    return Behaviour(RSA, suites="ECDHE+AESGCM", hello=lambda hello: flight(old, hello) if is_tls12(hello) and not offers_groups(hello, *FFDHE) else None)


@pytest.mark.parametrize("expect", [{"profile": "intermediate"}, {"profile": "ncsc_2025"}, {"dh_bits": 2048}])
def test_a_prime_for_who_names_none_of_rfc_7919_is_found(own_prime: Behaviour, expect: dict) -> None:
    facts = look(own_prime, expect=expect)
    assert facts["tls"]["dh_bits"] == 1024 and facts["tls"]["suites"]["dhe"]["verdict"] == "accepted"
    assert expect.get("profile") == "intermediate" or facts["by_name"]["dh_size"]["verdict"] == "fail"
    assert "profile" not in expect or facts["by_name"]["suites"]["verdict"] == ("fail" if expect["profile"] == "intermediate" else "pass")


def test_a_prime_only_for_who_names_those_of_rfc_7919_is_found(prime: str) -> None:
    new = context(RSA, suites="ECDHE+AESGCM:DHE+AESGCM:@SECLEVEL=0", dh_parameters=prime)
    behaviour = Behaviour(RSA, suites="ECDHE+AESGCM", hello=lambda hello: flight(new, hello) if is_tls12(hello) and offers_groups(hello, *FFDHE) else None)
    facts = look(behaviour, expect={"profile": "intermediate"})
    assert facts["by_name"]["suites"]["verdict"] == "fail" and facts["tls"]["dh_bits"] == 1024
    assert facts["tls"]["suites"]["forbidden"]["reason"].endswith("to who offers the primes of RFC 7919")


def test_a_full_list_has_what_is_offered_to_who_names_no_prime(own_prime: Behaviour) -> None:
    accepted = look(own_prime, depth="full", timeout=20.0)["tls"]["accepted"]
    assert accepted["complete"] and any("_DHE_RSA_" in name for name in accepted["suites"]["TLSv1.2"])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated", "ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.parametrize("chain", [RSA, EC], ids=["RSA", "EC"])
def test_of_an_old_server_too_it_is_known_what_its_handshake_has(version: ssl.TLSVersion, chain) -> None:
    facts = look(Behaviour(chain, versions=(version, version)), expect={"profile": "ncsc_2025"})
    assert not named(facts, "unknown") and (facts["tls"]["compression"], facts["tls"]["secure_renegotiation"]) == (False, True)
    assert named(facts, "fail") >= {"versions", "signatures"} and facts["tls"]["signatures"]["weak"]["verdict"] == "accepted"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_a_full_list_of_an_old_server_has_its_groups() -> None:
    accepted = look(Behaviour(RSA, versions=(ssl.TLSVersion.TLSv1_1,) * 2), depth="full", timeout=20.0)["tls"]["accepted"]
    assert accepted["complete"] and "prime256v1" in accepted["groups"]["TLSv1.1"]


def test_a_full_list_is_not_complete_where_a_version_was_not_clear() -> None:
    silent = Behaviour(RSA, hello=lambda hello: b"554 what?\r\n" if hello[9:11] == b"\x03\x02" else None)
    assert look(silent, depth="full", timeout=20.0)["tls"]["accepted"]["complete"] is False


def sslv2(answer: bytes):
    """What OpenSSL 1.0.1 says to a ClientHello of SSLv2 and every other to go on as usual: a fake, for no server of Debian's speaks it any more."""
    return lambda hello: answer if hello[:1] == b"\x80" and hello[2:5] == b"\x01\x00\x02" else None


SERVER_HELLO = b"\x80\x1e\x04\x00\x01\x00\x02\x00\x00\x00\x03\x00\x10\x07\x00\xc0" + bytes(16)


@pytest.mark.parametrize("answer, verdict, check", [
    (SERVER_HELLO, "accepted", "fail"),
    (SERVER_HELLO[:5] + b"\x00\x03" + SERVER_HELLO[7:], "refused", "pass"),
    (b"\x80\x03\x00\x00\x01", "refused", "pass"),  # ERROR: no cipher
    (b"\x15\x03\x01\x00\x02\x02\x46", "refused", "pass"),
    (b"", "refused", "pass"),  # put again, it ends in the same manner
    (b"\x15\x03\x01\x00\x02\x02\x5a", "unknown", "unknown"),
    (b"554 what?\r\n", "unknown", "unknown"),
    (b"\x80\x1e\x09" + bytes(30), "unknown", "unknown"),
    (b"\x80", "unknown", "unknown"),
])
def test_sslv2_is_asked_for_where_depth_is_full(answer: bytes, verdict: str, check: str) -> None:
    facts = look(Behaviour(RSA, suites="ECDHE+AESGCM", hello=sslv2(answer)), depth="full", timeout=20.0)
    assert facts["tls"]["versions"]["SSLv2"]["verdict"] == verdict, facts["tls"]["versions"]
    assert facts["by_name"]["versions"]["verdict"] == check
    assert facts["tls"]["accepted"]["complete"] is (verdict == "refused")


def test_a_server_of_today_refuses_sslv2_by_itself_and_where_it_was_not_asked_nothing_is_claimed() -> None:
    assert look(Behaviour(RSA), depth="full", timeout=20.0)["by_name"]["versions"]["observed"] == "accepted: TLSv1.2, TLSv1.3"
    assert look(Behaviour(RSA))["by_name"]["versions"]["observed"] == "accepted: TLSv1.2, TLSv1.3; SSLv2 is asked for where depth is full"


def test_weak_signatures_are_told_of_the_version_that_has_them() -> None:
    observed = look(Behaviour(RSA, suites="ECDHE+AESGCM:@SECLEVEL=2"), expect={"profile": "ncsc_2025"})["by_name"]["signatures"]["observed"]
    assert observed == "refused: alert handshake_failure; TLSv1.3 has none for handshakes"
