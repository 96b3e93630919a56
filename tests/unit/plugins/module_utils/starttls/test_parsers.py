# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a stranger become an answer or one clear error, never a traceback."""
from __future__ import annotations

import ssl

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate, names, server_flight, smtp
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer, client_hello
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Deadline, printable
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_NAME
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures
from hypothesis import example, given
from hypothesis import strategies as st
from issuing import issue
from servers import Said


def answer_of(data: bytes) -> object:
    """What decides, of all that was received so far."""
    flight = server_flight.ServerFlight()
    flight.feed(data)
    return flight.answer


CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
RECORD = st.builds(
    lambda kind, length, body: bytes([kind, 3, 3]) + length.to_bytes(2, "big") + body,
    st.sampled_from([20, 21, 22, 23]), st.integers(0, 65535), st.binary(max_size=80),
)


@given(st.one_of(st.binary(max_size=200), RECORD, st.lists(RECORD, max_size=3).map(b"".join)))
def test_any_flight_is_an_answer_not_yet_one_or_malformed(data: bytes) -> None:
    try:
        answer = answer_of(data)
    except PostfixTlsError:
        return
    assert answer is None or isinstance(answer, (server_flight.ServerHello, server_flight.Alert))


def real_flight(version: ssl.TLSVersion, asked: str) -> bytes:
    """What OpenSSL as a server answers to our ClientHello."""
    leaf = issue("mx.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    path = "/proc/self/fd/%d" % _memory(leaf.key_pem() + leaf.pem)
    context.load_cert_chain(path)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(client_hello(Offer(asked), "mx.example.org"))
    try:
        server.do_handshake()
    except ssl.SSLError:
        pass
    return outgoing.read()


def _memory(text: str) -> int:
    import os

    descriptor = os.memfd_create("chain")
    os.write(descriptor, text.encode())
    return descriptor


REAL = [real_flight(version, name) for name, version in (("TLSv1.2", ssl.TLSVersion.TLSv1_2), ("TLSv1.3", ssl.TLSVersion.TLSv1_3))]


@given(st.data())
def test_a_real_flight_with_bytes_changed_cut_or_doubled_is_read_or_malformed_in_any_pieces(data) -> None:
    flight = bytearray(data.draw(st.sampled_from(REAL)))
    for _change in range(data.draw(st.integers(0, 3))):
        flight[data.draw(st.integers(0, len(flight) - 1))] = data.draw(st.integers(0, 255))
    at = data.draw(st.integers(0, len(flight)))
    mangled = bytes(flight[:at] + data.draw(st.binary(max_size=20)) + flight[at:])
    reader, pieces = server_flight.ServerFlight(frozenset([0xC02B])), data.draw(st.integers(1, 700))
    try:
        for begin in range(0, len(mangled), pieces):
            reader.feed(mangled[begin:begin + pieces])
    except PostfixTlsError:
        pass
    assert all(set(certificate.facts(der)) == set(certificate.facts(None)) for der in reader.certificates)
    assert reader.key_exchange is None or reader.hello is not None


def test_a_whole_flight_of_tls_1_2_brings_certificate_group_and_signature() -> None:
    reader = server_flight.ServerFlight()
    reader.feed(REAL[0])
    assert reader.done and certificate.facts(reader.certificates[0])["names"] == ["DNS:mx.example.org"]
    assert groups.BY_CODE[reader.key_exchange.group].name in ("X25519", "prime256v1") and reader.key_exchange.dh_bits is None
    assert signatures.BY_CODE[reader.key_exchange.signature].hash == "SHA256"
    assert {23, 0xFF01} <= reader.hello.extensions and reader.hello.compression == 0


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=80), st.sampled_from([b"250-X\r\n", b"250 X\r\n", b"220 a\n", b"421 x\r\n"])), max_size=6))
def test_any_pieces_are_a_reply_or_one_clear_error(pieces: list) -> None:
    try:
        reply = smtp.Dialogue(Said(*pieces)).banner()
    except PostfixTlsError as error:
        assert str(error).isascii() and str(error).isprintable()
        return
    assert 200 <= reply.code <= 599 and str(reply).isascii() and str(reply).isprintable()


def test_our_client_hello_is_understood_and_the_answer_read_byte_by_byte() -> None:
    for name, version in (("TLSv1.2", ssl.TLSVersion.TLSv1_2), ("TLSv1.3", ssl.TLSVersion.TLSv1_3)):
        flight = real_flight(version, name)
        answers = [answer_of(flight[:end]) for end in range(len(flight) + 1)]
        first = next(at for at, answer in enumerate(answers) if answer)
        assert answers[first].version == BY_NAME[name].wire and set(answers[first:]) == {answers[first]}
        assert set(answers[:first]) == {None}


def test_a_version_the_server_does_not_speak_is_refused_by_an_alert() -> None:
    assert str(answer_of(real_flight(ssl.TLSVersion.TLSv1_3, "TLSv1.2"))) == "alert protocol_version"


@given(st.binary(max_size=300))
def test_any_bytes_as_a_certificate_give_facts_with_nulls(der: bytes) -> None:
    facts = certificate.facts(der)
    assert len(facts["sha256"]) == 64 and facts["key_type"] is None and facts["days_left"] is None


@given(st.lists(st.text(max_size=40), max_size=5), st.text(max_size=40))
def test_any_name_is_covered_or_not(made_out_to: list, wanted: str) -> None:
    assert names.covers(made_out_to, wanted) in (True, False)


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[a-z0-9.*:_-]{1,80}", fullmatch=True)))
@example("mx..example.org")
@example(".example.org")
@example(".")
@example("x" * 64 + ".example.org")
def test_any_name_is_refused_or_can_be_asked_for(name: str) -> None:
    try:
        target = Target("192.0.2.1", server_name=name)
    except PostfixTlsError:
        return
    client_hello(Offer("TLSv1.2"), target.sni)
    CLIENT.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=target.sni or "192.0.2.1")


@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_ehlo_lines_are_keywords(lines: list) -> None:
    assert all(keyword == keyword.upper() for keyword in smtp.keywords(lines))


@given(st.one_of(st.text(), st.binary()))
def test_what_is_shown_is_visible_ascii(said) -> None:
    shown = printable(said)
    assert shown.isascii() and (shown.isprintable() or shown == "")


def test_a_deadline_never_goes_below_nothing() -> None:
    now = [0.0]
    deadline = Deadline(5.0, clock=lambda: now[0])
    assert deadline.left() == 5.0
    now[0] = 3.0
    assert deadline.left() == 2.0
    now[0] = 9.0
    assert deadline.left() == 0.0


def test_a_deadline_runs_from_the_first_question_and_greetings_that_came_cost_nothing_up_to_a_limit() -> None:
    now = [0.0]
    deadline = Deadline(5.0, clock=lambda: now[0])
    now[0] = 100.0
    assert deadline.left() == 5.0, "what waits for its turn has all of its time"
    now[0] = 104.0
    deadline.greeted(101.0)
    deadline.greeted(102.0)
    assert deadline.left() == 4.0, "two that wait side by side wait as long as one"
    now[0] = 107.5
    assert deadline.left() == 0.5
    deadline.greeted(103.0)
    assert deadline.left() == 4.0, "from the last greeting on"
    for _connection in range(9):
        began = now[0]
        now[0] += 3.9
        deadline.greeted(began)
    assert deadline.left() == 0.0 and now[0] > 115.0, "it ends, however long a server makes each connection wait"
