# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in the files of a key and a chain: a chain comes out, or our own error, and the error shows nothing of a key."""
from __future__ import annotations

import base64

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import assembly, pem, proof, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as some
from issuing import issue

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
MIDDLE = issue("middle", ROOT, authority=True)
LEAF = issue(NAME, MIDDLE)
KEY, FULL = LEAF.key_pem(), LEAF.pem + MIDDLE.pem
SECRET = KEY.splitlines()[1:-1]

PIECES = some.sampled_from([
    KEY, LEAF.key_pem("traditional"), LEAF.pem, MIDDLE.pem, ROOT.pem, LEAF.key_pem(passphrase=b"x"), issue("other").pem, "\ufeff", "\r\n", "-----BEGIN ",
    "-----END CERTIFICATE-----\n", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", "subject=CN=x\n", "\0", "é\n",
])


def told(key: str, certificates: str) -> str:
    """What is said of it; empty where it is taken."""
    try:
        chain, _put_right = assembly.assembled(pem.chain("x", key, certificates))
        strength.judge(chain, "intermediate", 1)
        proof.prove(chain, [NAME], None)
    except PostfixTlsError as error:
        return str(error)
    return ""


def cut(text: str) -> some.SearchStrategy:
    """The text with a few characters of it replaced, or some of its middle gone."""
    places = some.lists(some.tuples(some.integers(0, len(text) - 1), some.characters(max_codepoint=255)), max_size=4)
    ends = some.tuples(some.integers(0, len(text)), some.integers(0, 40))

    def changed(made: tuple) -> str:
        letters = list(text)
        for position, letter in made[0]:
            letters[position] = letter
        return "".join(letters[:made[1][0]] + letters[made[1][0] + made[1][1]:])

    return some.tuples(places, ends).map(changed)


def bent(data: bytes) -> some.SearchStrategy:
    """A certificate with bytes of its DER replaced, in good PEM."""
    places = some.lists(some.tuples(some.integers(0, len(data) - 1), some.integers(0, 255)), min_size=1, max_size=4)

    def changed(made: list) -> str:
        octets = bytearray(data)
        for position, octet in made:
            octets[position] = octet
        return "-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(bytes(octets)).decode()

    return places.map(changed)


@settings(max_examples=150, deadline=None)
@given(key=some.lists(PIECES, max_size=4).map("".join), certificates=some.lists(PIECES, max_size=6).map("".join))
def test_pieces_of_what_people_have(key: str, certificates: str) -> None:
    assert not any(line in told(key, certificates) for line in SECRET)


@settings(max_examples=150, deadline=None)
@given(key=cut(KEY), certificates=cut(FULL))
def test_damaged_files(key: str, certificates: str) -> None:
    said = told(key, certificates)
    assert said and not any(line in said for line in SECRET)  # nobody trusts that root, so even what is whole is refused


@settings(max_examples=300, deadline=None)
@given(certificate=bent(LEAF.certificate.public_bytes(Encoding.DER)), more=some.sampled_from(["", MIDDLE.pem]))
def test_certificates_that_are_none(certificate: str, more: str) -> None:
    assert told(KEY, certificate + more)


@settings(max_examples=100, deadline=None)
@given(key=some.text(max_size=300), certificates=some.text(max_size=300))
def test_any_text(key: str, certificates: str) -> None:
    assert told(key, certificates)
