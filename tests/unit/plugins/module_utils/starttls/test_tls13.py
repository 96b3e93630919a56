# SPDX-License-Identifier: GPL-3.0-or-later
"""What a TLS 1.3 server sends encrypted is read: by the vectors of the standards, and from real servers by every suite and group."""
from __future__ import annotations

import hashlib
import os
import ssl

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import question, server_flight, tls13
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.certificate import facts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer, client_hello
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.server_flight import ServerFlight
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures, suites
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from issuing import Issued, issue
from servers import Said

#: RFC 8448 section 3.
CLIENT_KEY = "49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005"
CLIENT_HELLO = (
    "010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302010000910000000b0009000006736572766572ff010001"
    "00000a00140012001d0017001800190100010101020103010400230000003300260024001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf"
    "2c002b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202002d00020101001c00024001"
)
SERVER_HELLO = (
    "160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00330024001d0020c9828876112095fe66762bdbf7"
    "c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304"
)
SEALED = (
    "17030302a2d1ff334a56f5bff6594a07cc87b580233f500f45e489e7f33af35edf7869fcf40aa40aa2b8ea73f848a7ca07612ef9f945cb960b4068905123ea78b111b429ba91"
    "91cd05d2a389280f526134aadc7fc78c4b729df828b5ecf7b13bd9aefb0e57f271585b8ea9bb355c7c79020716cfb9b1183ef3ab20e37d57a6b9d7477609aee6e122a4cf5142"
    "7325250c7d0e509289444c9b3a648f1d71035d2ed65b0e3cdd0cbae8bf2d0b227812cbb360987255cc744110c453baa4fcd610928d809810e4b7ed1a8fd991f06aa6248204797"
    "e36a6a73b70a2559c09ead686945ba246ab66e5edd8044b4c6de3fcf2a89441ac66272fd8fb330ef8190579b3684596c960bd596eea520a56a8d650f563aad27409960dca63d3e"
    "688611ea5e22f4415cf9538d51a200c27034272968a264ed6540c84838d89f72c24461aad6d26f59ecaba9acbbb317b66d902f4f292a36ac1b639c637ce343117b65962224531"
    "7b49eeda0c6258f100d7d961ffb138647e92ea330faeea6dfa31c7a84dc3bd7e1b7a6c7178af36879018e3f252107f243d243dc7339d5684c8b0378bf30244da8c87c843f5e56e"
    "b4c5e8280a2b48052cf93b16499a66db7cca71e4599426f7d461e66f99882bd89fc50800becca62d6c74116dbd2972fda1fa80f85df881edbe5a37668936b335583b599186dc5c"
    "6918a396fa48a181d6b6fa4f9d62d513afbb992f2b992f67f8afe67f76913fa388cb5630c8ca01e0c65d11c66a1e2ac4c85977b7c7a6999bbf10dc35ae69f5515614636c0b9b68"
    "c19ed2e31c0b3b66763038ebba42f3b38edc0399f3a9f23faa63978c317fc9fa66a73f60f0504de93b5b845e275592c12335ee340bbc4fddd502784016e4b3be7ef04dda49f4b4"
    "40a30cb5d2af939828fd4ae3794e44f94df5a631ede42c1719bfdabf0253fe5175be898e750edc53370d2b"
)
EC, RSA = issue("mx.example.org"), issue("mx.example.org", kind="rsa")


def test_the_flight_of_rfc_8448_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(CLIENT_KEY))
    monkeypatch.setattr(tls13, "secret", lambda _group, received: key.exchange(X25519PublicKey.from_public_bytes(received)))
    flight = ServerFlight(decryption=tls13.Decryption(bytes.fromhex(CLIENT_HELLO)))
    flight.feed(bytes.fromhex(SERVER_HELLO + SEALED))
    assert flight.done and [facts(der)["subject"] for der in flight.certificates] == ["CN=rsa"]
    assert signatures.BY_CODE[flight.key_exchange.signature].name == "rsa_pss_rsae_sha256"


@pytest.mark.parametrize("key, sealed", [
    (16, "69c4e0d86a7b0430d8cdb78070b4c55a"), (32, "8ea2b7ca516745bfeafc49904b496089"),
])
def test_aes_is_that_of_fips_197(key: int, sealed: str) -> None:
    assert tls13.aes(bytes(range(key)))(bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == sealed


def test_chacha20_is_that_of_rfc_8439_section_2_3_2() -> None:
    assert tls13.chacha20(bytes(range(32)), 1, bytes.fromhex("000000090000004a00000000")).hex() == (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4ed2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )


def test_our_shares_are_the_public_keys_of_the_number_1() -> None:
    """X25519 by RFC 7748 section 6.1: the public key is what the secret scalar makes of 9, so 9 is what 1 makes of it."""
    server = X25519PrivateKey.generate()
    ours = X25519PublicKey.from_public_bytes(tls13.share(0x1D))
    assert server.exchange(ours) == tls13.secret(0x1D, server.public_key().public_bytes_raw())
    for code, curve in ((0x17, ec.SECP256R1()), (0x18, ec.SECP384R1()), (0x19, ec.SECP521R1()),
                        (0x1F, ec.BrainpoolP256R1()), (0x20, ec.BrainpoolP384R1()), (0x21, ec.BrainpoolP512R1())):
        point = ec.derive_private_key(1, curve).public_key().public_numbers()
        width = (curve.key_size + 7) // 8
        assert tls13.share(code) == b"\x04" + point.x.to_bytes(width, "big") + point.y.to_bytes(width, "big")


@pytest.mark.parametrize("group, size, depth", [(0x11EC, 768, 4), (0x11ED, 1024, 5)])
def test_ml_kem_is_undone(group: int, size: int, depth: int) -> None:
    mlkem = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mlkem")
    _curve, kem, _first = tls13._HYBRIDS[group]
    agreed, sent = getattr(mlkem, "MLKEM%dPublicKey" % size).from_public_bytes(bytes(kem.key)).encapsulate()
    assert tls13._decapsulate(kem, sent) == agreed and kem.depth == depth


class Server:
    """OpenSSL as a TLS 1.3 server, in memory: a connection for question.ask."""

    where = "mx.example.org:25"

    def __init__(self, *chains: Issued, suite: str = "", curve: str = "", requests: bool = False) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        for chain in chains:
            descriptor = os.memfd_create("chain")
            os.write(descriptor, (chain.key_pem() + chain.pem).encode())
            context.load_cert_chain("/proc/self/fd/%d" % descriptor)
            os.close(descriptor)
        if curve:
            context.set_ecdh_curve(curve)
        if requests:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=EC.pem)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.suite = suite
        self.hellos = 0

    def send(self, data: bytes, _purpose: str) -> None:
        self.hellos += 1
        self.incoming.write(data)
        try:
            self.server.do_handshake()
        except ssl.SSLError:
            pass

    def receive(self, purpose: str) -> bytes:
        data = self.outgoing.read(100)
        if not data:
            raise PostfixTlsError("server", "", "nothing came for %s" % purpose, "")
        return data


def offer(suite: str = "", **more: object) -> Offer:
    return Offer("TLSv1.3", (suites.BY_NAME[suite].code,) if suite else None, **more)


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
@pytest.mark.parametrize("curve, hellos", [("X25519", 1), ("prime256v1", 1), ("secp384r1", 2), ("secp521r1", 2), ("X448", 2)])
def test_a_real_server_s_certificate_is_read(suite: str, curve: str, hellos: int) -> None:
    server = Server(EC, curve=curve)
    answer = question.ask(server, offer(suite), "mx.example.org", True)
    assert (answer.verdict, server.hellos) == ("accepted", hellos)
    assert [hashlib.sha256(der).hexdigest() for der in answer.flight.certificates] == [EC.sha256]
    assert signatures.BY_CODE[answer.flight.key_exchange.signature].name == "ecdsa_secp256r1_sha256"
    assert groups.BY_CODE[answer.flight.hello.group].name == curve


def test_signature_schemes_decide_which_certificate_is_shown_and_none_is_refused() -> None:
    shown = {}
    for key in ("ECDSA", "RSA", "EdDSA"):
        codes = tuple(signature.code for signature in signatures.SIGNATURES if signature.key == key)
        answer = question.ask(Server(EC, RSA), offer(signatures=codes), None, True)
        shown[key] = answer.verdict, [hashlib.sha256(der).hexdigest() for der in answer.flight.certificates]
    assert shown == {"ECDSA": ("accepted", [EC.sha256]), "RSA": ("accepted", [RSA.sha256]), "EdDSA": ("refused", [])}


def test_a_server_that_asks_for_a_client_certificate_first_is_read() -> None:
    assert question.ask(Server(EC, requests=True), offer(), None, True).flight.certificates


def test_groups_are_asked_about_without_a_key_for_any() -> None:
    answer = question.ask(Server(EC), offer(groups=(0x18,)), None, True)
    assert answer.flight.hello.asks_again and answer.flight.hello.group == 0x18 and not answer.flight.certificates


@pytest.mark.parametrize("suite", [None, 0x1399])
@pytest.mark.parametrize("group", [0x1D, 0x18, 0x29])
def test_what_is_not_known_here_is_unread_and_accepted(monkeypatch: pytest.MonkeyPatch, suite: int, group: int) -> None:
    """China's suites and curve; a fake, for no server here has them."""
    monkeypatch.setattr(tls13, "_SUITES", {} if suite is None else {suite: tls13._SUITES[0x1301]})
    curve = {0x1D: "X25519", 0x18: "secp384r1", 0x29: "X448"}[group]
    if group == 0x29:
        monkeypatch.delitem(tls13._BASES, 0x1E)
    answer = question.ask(Server(EC, curve=curve), offer(), None, True)
    assert (answer.verdict, answer.flight.certificates) == ("accepted", ())


def recorded() -> tuple:
    """(ClientHello, flight)"""
    hello = client_hello(offer(), None, tls13.AT_ONCE)
    server = Server(EC)
    server.send(hello, "")
    return hello, server.outgoing.read()


HELLO, FLIGHT = recorded()
SERVER_HELLO_SENT = FLIGHT[:5 + int.from_bytes(FLIGHT[3:5], "big")]


@given(st.data())
def test_a_flight_with_bytes_changed_cut_or_doubled_is_read_or_malformed_in_any_pieces(data) -> None:
    flight = bytearray(FLIGHT)
    for _change in range(data.draw(st.integers(0, 3))):
        flight[data.draw(st.integers(0, len(flight) - 1))] = data.draw(st.integers(0, 255))
    at, pieces = data.draw(st.integers(0, len(flight))), data.draw(st.integers(1, 700))
    mangled = bytes(flight[:at] + data.draw(st.binary(max_size=20)) + flight[at:])
    reader = ServerFlight(decryption=tls13.Decryption(HELLO[5:]))
    try:
        for begin in range(0, len(mangled), pieces):
            reader.feed(mangled[begin:begin + pieces])
    except PostfixTlsError as error:
        assert str(error).isprintable()
    assert all(set(facts(der)) == set(facts(None)) for der in reader.certificates)


def retry(*extensions: tuple) -> bytes:
    """A HelloRetryRequest."""
    listed = b"".join(number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data for number, data in ((43, b"\x03\x04"), *extensions))
    body = b"\x03\x03" + server_flight._ASKS_AGAIN + b"\x00" + b"\x13\x01" + b"\x00" + len(listed).to_bytes(2, "big") + listed
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message


P384 = (51, b"\x00\x18")
#: (what a server says, how many hellos it gets)
HOSTILE = {
    "asks again and again": ((retry(P384),) * 9, 2),
    "asks for nothing": ((retry(),), 1),
    "asks for a group that nobody has": ((retry((51, b"\x99\x99")),), 1),
    "asks for what it has": ((retry((51, b"\x00\x1d")), b"\x15\x03\x03\x00\x02\x02\x2f"), 2),
    "has a long cookie": ((retry(P384, (44, (3900).to_bytes(2, "big") + bytes(3900))), b"\x15\x03\x03\x00\x02\x02\x2f"), 2),
    "has a cookie that is cut": ((retry(P384, (44, b"\xff\xff")),), 1),
    "asks again and leaves": ((retry(P384),), 2),
    "sends garbage under the seal": ((SERVER_HELLO_SENT, b"\x17\x03\x03\x40\x00" + bytes(0x4000)), 1),
    "never changes its ciphers enough": ((SERVER_HELLO_SENT, b"\x14\x03\x03\x00\x01\x01" * 99), 1),
    "seals nothing": ((SERVER_HELLO_SENT, b"\x17\x03\x03\x00\x01\x01"), 1),
    "a record that is too long": ((SERVER_HELLO_SENT, b"\x17\x03\x03\x41\x01"), 1),
    "an alert in the clear": ((SERVER_HELLO_SENT, b"\x15\x03\x03\x00\x02\x02\x28"), 1),
}


class Counted(Said):
    hellos = 0

    def send(self, data: bytes, purpose: str) -> None:
        self.hellos += 1
        super().send(data, purpose)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_server_gets_two_hellos_at_most_and_no_certificate_is_taken_for_read(case: str) -> None:
    pieces, hellos = HOSTILE[case]
    connection = Counted(*pieces)
    answer = question.ask(connection, offer(), None, True)
    assert connection.hellos == hellos and not answer.flight.certificates and answer.reason.isprintable()
    assert answer.verdict == {"an alert in the clear": "refused"}.get(case, answer.verdict)


@given(st.data())
def test_any_retry_request_is_answered_once_or_not_at_all(data) -> None:
    said = bytearray(retry(P384, (44, b"\x00\x04abcd")))
    for _change in range(data.draw(st.integers(0, 3))):
        said[data.draw(st.integers(0, len(said) - 1))] = data.draw(st.integers(0, 255))
    connection = Counted(bytes(said), *data.draw(st.lists(st.binary(min_size=1, max_size=60), max_size=3)))
    answer = question.ask(connection, offer(), "mx.example.org", True)
    assert answer.verdict in ("accepted", "refused", "unknown") and connection.hellos <= 2


@given(st.sampled_from(sorted(groups.BY_CODE) + [0, 0xFFFF]), st.binary(max_size=2000))
def test_any_share_is_a_secret_or_unreadable(group: int, received: bytes) -> None:
    try:
        assert tls13.secret(group, received)
    except tls13.Unreadable:
        pass


def test_a_message_in_many_records_and_padding_are_read() -> None:
    """A fake, for OpenSSL puts a message that fits into one record, and pads none."""
    reader = ServerFlight(decryption=tls13.Decryption(HELLO[5:]))
    parts: list = []
    at = 0
    while at < len(FLIGHT):
        end = at + 5 + int.from_bytes(FLIGHT[at + 3:at + 5], "big")
        parts.append(FLIGHT[at:end])
        at = end
    reader.feed(b"".join(parts[:2]))

    def opened(piece: bytes):
        return lambda _record: (22, piece)

    decryption = reader.decryption
    whole = b"".join(decryption.open(part[5:])[1] for part in parts[2:5])
    for begin in range(0, len(whole), 50):
        reader.decryption.open = opened(whole[begin:begin + 50])
        reader.feed(b"\x17\x03\x03\x00\x50" + bytes(0x50))
        if reader.done:
            break
    assert [hashlib.sha256(der).hexdigest() for der in reader.certificates] == [EC.sha256]


def test_padding_is_taken_off() -> None:
    decryption = tls13.Decryption(b"")
    decryption._suite = tls13._Suite("sha256", 16, 16, lambda _key, _nonce: iter([bytes(64)]))
    assert decryption.open(b"content\x16" + bytes(5) + bytes(16)) == (22, b"content")
    with pytest.raises(tls13.Unreadable):
        decryption.open(bytes(20))
