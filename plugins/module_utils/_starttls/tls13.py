# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reading what a TLS 1.3 server sends encrypted, which are its certificates.

Nothing is kept secret here and nothing is proven: a certificate is public, and whether it is to be believed is judged elsewhere. So our private
key is the number 1 in every group. Its public key is the group's base, the agreed secret is what the server itself sent, and neither takes
any arithmetic. Of an AEAD only the cipher is undone, and its tag is left alone: changed bytes are read as what they became, as before TLS 1.3.
Source: RFC 8446 sections 4.4.1, 5.2, 5.3 and 7; RFC 5116, RFC 6655, RFC 8439; FIPS 197, FIPS 203; RFC 7748, RFC 7919, RFC 8734, SEC 2.
"""
from __future__ import annotations

import hashlib
import hmac
import struct
from functools import lru_cache
from typing import Callable, Iterator, NamedTuple, Optional

#: {group: its base, as a public key is written}. Points are 4, x, y.
_BASES = {code: bytes.fromhex(point) for code, point in {
    0x0017: "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    0x0018: "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
            "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    0x0019: "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66"
            "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
    0x001F: "048bd2aeb9cb7e57cb2c4b482ffc81b7afb9de27e1e3bd23c23a4453bd9ace3262"
            "547ef835c3dac4fd97f8461a14611dc9c27745132ded8e545c1d54c72f046997",
    0x0020: "041d1c64f068cf45ffa2a63a81b7c13f6b8847a3e77ef14fe3db7fcafe0cbd10e8e826e03436d646aaef87b2e247d4af1e"
            "8abe1d7520f9c2a45cb1eb8e95cfd55262b70b29feec5864e19c054ff99129280e4646217791811142820341263c5315",
    0x0021: "0481aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098eff3b1f78e2d0d48d50d1687b93b97d5f7c6d5047406a5e688b352209bcb9f822"
            "7dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111b2dcde494a5f485e5bca4bd88a2763aed1ca2b2fa8f0540678cd1e0f3ad80892",
}.items()}
_POINTS = frozenset(_BASES)
_BASES.update({0x001D: b"\x09" + bytes(31), 0x001E: b"\x05" + bytes(55)})
_BASES.update({0x0100 + at: bytes(bits // 8 - 1) + b"\x02" for at, bits in enumerate((2048, 3072, 4096, 6144, 8192))})


class _Kem(NamedTuple):
    """A size of ML-KEM. key, sent: bytes of a public key and of a ciphertext. depth: bits of each number in the ciphertext's last part."""

    key: int
    sent: int
    depth: int


#: {hybrid group: (its curve, its ML-KEM, whether the curve comes first)}, draft-ietf-tls-ecdhe-mlkem
_HYBRIDS = {
    0x11EC: (0x001D, _Kem(1184, 1088, 4), False), 0x11EB: (0x0017, _Kem(1184, 1088, 4), True), 0x11ED: (0x0018, _Kem(1568, 1568, 5), True),
}
#: Groups whose shares a ClientHello carries at once, best first: of any other a server has to ask.
AT_ONCE = (0x001D, 0x0017)


class Unreadable(Exception):
    """That can't be read with what is known here, or is nothing that TLS 1.3 has."""


def share(group: int) -> bytes:
    """Our public key. Raises Unreadable for a group that is not known here."""
    if group in _HYBRIDS:
        curve, kem, curve_first = _HYBRIDS[group]
        parts = [share(curve), bytes(kem.key)]  # all zero: a key whose ciphertexts show what they hold
        return b"".join(parts if curve_first else reversed(parts))
    if group not in _BASES:
        raise Unreadable()
    return _BASES[group]


def secret(group: int, received: bytes) -> bytes:
    """What was agreed upon. received: the server's share. Raises Unreadable."""
    if group in _HYBRIDS:
        curve, kem, curve_first = _HYBRIDS[group]
        at = len(share(curve)) if curve_first else kem.sent
        parts = received[:at], received[at:]
        agreed = [secret(curve, parts[not curve_first]), _decapsulate(kem, parts[curve_first])]
        return b"".join(agreed if curve_first else reversed(agreed))
    if len(received) != len(share(group)):
        raise Unreadable()
    return received[1:1 + len(received) // 2] if group in _POINTS else received


def _decapsulate(kem: _Kem, sent: bytes) -> bytes:
    """FIPS 203 algorithms 14 and 17: the ciphertext's last part is the message plus its product with a key of zeros."""
    if len(sent) != kem.sent:
        raise Unreadable()
    numbers = int.from_bytes(sent[-32 * kem.depth:], "little")
    half, quarter = kem.depth - 1, 1 << kem.depth - 2
    message = sum(((numbers >> kem.depth * at) + quarter >> half & 1) << at for at in range(256)).to_bytes(32, "little")
    return hashlib.sha3_512(message + hashlib.sha3_256(bytes(kem.key)).digest()).digest()[:32]


class _Suite(NamedTuple):
    """digest: name of its hash. key, tag: bytes. stream: of (key, nonce), yields blocks of what is added to the plaintext."""

    digest: str
    key: int
    tag: int
    stream: Callable[[bytes, bytes], Iterator[bytes]]


class Decryption:
    """Of one connection. Takes each message of the handshake, as bytes, up to the ServerHello; opens the records behind it."""

    def __init__(self, client_hello: bytes) -> None:
        self._said = client_hello
        self._suite: Optional[_Suite] = None
        self._key = self._mask = b""
        self._records = 0

    def asked_again(self, suite: int, retry_request: bytes, client_hello: bytes) -> None:
        """RFC 8446 section 4.4.1: the first ClientHello is its hash, once a HelloRetryRequest came. Raises Unreadable."""
        digest = hashlib.new(_known(suite).digest, self._said).digest()
        self._said = b"\xfe\x00\x00" + bytes([len(digest)]) + digest + retry_request + client_hello

    def agree(self, suite: int, group: Optional[int], received: bytes, server_hello: bytes) -> None:
        """Raises Unreadable where suite or group are none of those known here."""
        self._suite = _known(suite)
        digest = self._suite.digest
        zeros = bytes(hashlib.new(digest).digest_size)
        early = hmac.new(zeros, zeros, digest).digest()
        derived = expand_label(digest, early, b"derived", hashlib.new(digest).digest())
        agreed = hmac.new(derived, secret(group or 0, received), digest).digest()
        traffic = expand_label(digest, agreed, b"s hs traffic", hashlib.new(digest, self._said + server_hello).digest())
        self._key, self._mask = expand_label(digest, traffic, b"key", b"", self._suite.key), expand_label(digest, traffic, b"iv", b"", 12)

    def open(self, record: bytes) -> tuple:
        """(type of content, content) of the next record, without its header. Raises Unreadable for what holds neither."""
        nonce = (int.from_bytes(self._mask, "big") ^ self._records).to_bytes(12, "big")
        self._records += 1
        sealed = record[:-self._suite.tag]
        stream = b""
        for block in self._suite.stream(self._key, nonce):
            if len(stream) >= len(sealed):
                break
            stream += block
        opened = (int.from_bytes(sealed, "big") ^ int.from_bytes(stream[:len(sealed)], "big")).to_bytes(len(sealed), "big").rstrip(b"\x00")
        if not opened:
            raise Unreadable()
        return opened[-1], opened[:-1]


def expand_label(digest: str, key: bytes, label: bytes, context: bytes, length: Optional[int] = None) -> bytes:
    """HKDF-Expand-Label, RFC 8446 section 7.1, up to the length of the hash, which it is without one."""
    length = length or len(key)
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + bytes([len(context)]) + context
    return hmac.new(key, info + b"\x01", digest).digest()[:length]


def _gcm(key: bytes, nonce: bytes) -> Iterator[bytes]:
    return _counted(key, nonce, 2)


def _ccm(key: bytes, nonce: bytes) -> Iterator[bytes]:
    return _counted(key, b"\x02" + nonce, 1)


def _counted(key: bytes, prefix: bytes, number: int) -> Iterator[bytes]:
    """Blocks of AES in counter mode; the number fills a block behind the prefix."""
    encrypt = aes(key)
    while True:
        yield encrypt(prefix + number.to_bytes(16 - len(prefix), "big"))
        number += 1


def aes(key: bytes) -> Callable[[bytes], bytes]:
    """FIPS 197, of one block of 16 bytes. key: 16 or 32 bytes."""
    box, (first, second, third, fourth) = _aes_tables()
    words = list(struct.unpack("!%dI" % (len(key) // 4), key))
    size, power = len(words), 1
    while len(words) < 4 * (size + 7):
        word = words[-1]
        if len(words) % size == 0:
            word = _substitute(box, (word << 8 | word >> 24) & 0xFFFFFFFF) ^ power << 24
            power = power << 1 ^ (power >> 7) * 0x11B
        elif size > 6 and len(words) % size == 4:
            word = _substitute(box, word)
        words.append(words[-size] ^ word)
    whitened, *rounds, last = zip(*[iter(words)] * 4)

    def encrypt(block: bytes) -> bytes:
        a, b, c, d = (word ^ key_word for word, key_word in zip(struct.unpack("!4I", block), whitened))
        for j, k, m, n in rounds:
            a, b, c, d = (
                first[a >> 24] ^ second[b >> 16 & 255] ^ third[c >> 8 & 255] ^ fourth[d & 255] ^ j,
                first[b >> 24] ^ second[c >> 16 & 255] ^ third[d >> 8 & 255] ^ fourth[a & 255] ^ k,
                first[c >> 24] ^ second[d >> 16 & 255] ^ third[a >> 8 & 255] ^ fourth[b & 255] ^ m,
                first[d >> 24] ^ second[a >> 16 & 255] ^ third[b >> 8 & 255] ^ fourth[c & 255] ^ n,
            )
        mixed = ((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c))
        return struct.pack("!4I", *(
            (box[w >> 24] << 24 | box[x >> 16 & 255] << 16 | box[y >> 8 & 255] << 8 | box[z & 255]) ^ key_word
            for (w, x, y, z), key_word in zip(mixed, last)
        ))

    return encrypt


def _substitute(box: list, word: int) -> int:
    return box[word >> 24] << 24 | box[word >> 16 & 255] << 16 | box[word >> 8 & 255] << 8 | box[word & 255]


@lru_cache(maxsize=1)
def _aes_tables() -> tuple:
    """(the S-box, four tables that do a round's SubBytes and MixColumns for a byte of each row at once)"""
    box, value, inverse = [0x63] * 256, 1, 1
    while True:  # through all of the field: value times 3, its inverse divided by 3
        value ^= value << 1 ^ (value >> 7) * 0x11B
        for shift in (1, 2, 4):
            inverse ^= inverse << shift & 255
        inverse ^= (inverse >> 7) * 0x09
        doubled = inverse << 8 | inverse
        box[value] = (inverse ^ doubled >> 7 ^ doubled >> 6 ^ doubled >> 5 ^ doubled >> 4) & 255 ^ 0x63
        if value == 1:
            break
    rows = []
    for s in box:
        twice = s << 1 ^ (s >> 7) * 0x11B
        rows.append(twice << 24 | s << 16 | s << 8 | twice ^ s)
    return box, tuple([(row >> shift | row << 32 - shift) & 0xFFFFFFFF for row in rows] for shift in (0, 8, 16, 24))


def _chacha20(key: bytes, nonce: bytes) -> Iterator[bytes]:
    number = 1  # RFC 8439 section 2.8: the first block makes the tag's key
    while True:
        yield chacha20(key, number, nonce)
        number += 1


def chacha20(key: bytes, number: int, nonce: bytes) -> bytes:
    """One block of 64 bytes, RFC 8439 section 2.3."""
    start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", number) + nonce)
    state = list(start)
    for _twice in range(10):
        for i, j, k, m in _QUARTERS:
            a, b, c, d = state[i], state[j], state[k], state[m]
            a = a + b & 0xFFFFFFFF
            d ^= a
            d = (d << 16 | d >> 16) & 0xFFFFFFFF
            c = c + d & 0xFFFFFFFF
            b ^= c
            b = (b << 12 | b >> 20) & 0xFFFFFFFF
            a = a + b & 0xFFFFFFFF
            d ^= a
            d = (d << 8 | d >> 24) & 0xFFFFFFFF
            c = c + d & 0xFFFFFFFF
            b ^= c
            state[i], state[j], state[k], state[m] = a, (b << 7 | b >> 25) & 0xFFFFFFFF, c, d
    return struct.pack("<16I", *(one + other & 0xFFFFFFFF for one, other in zip(state, start)))


_QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)
_SUITES = {
    0x1301: _Suite("sha256", 16, 16, _gcm), 0x1302: _Suite("sha384", 32, 16, _gcm), 0x1303: _Suite("sha256", 32, 16, _chacha20),
    0x1304: _Suite("sha256", 16, 16, _ccm), 0x1305: _Suite("sha256", 16, 8, _ccm),
}


def _known(suite: int) -> _Suite:
    if suite not in _SUITES:
        raise Unreadable()
    return _SUITES[suite]
