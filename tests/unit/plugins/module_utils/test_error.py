# SPDX-License-Identifier: GPL-3.0-or-later
"""A private key is in no message, in whatever form it was written where something else belongs; what is none is shown as it is."""
from __future__ import annotations

import base64
import json
import textwrap

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._certificates import keys_apart, misplaced
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError, holds_key, shown, without_keys
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from issuing import issue

LEAF = issue("mx.example.org")
RSA = issue("mx.example.org", kind="rsa3072")
PKCS8 = LEAF.key_pem()
ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
OPENSSH = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
ENCRYPTED = RSA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()


def bare(pem: str) -> str:
    """Only the base64, as it stands between the first line and the last."""
    return "\n".join(line for line in pem.splitlines() if "-----" not in line and line)


#: {how a key is written: its text}
FORMS = {
    "PKCS#8": PKCS8,
    "PKCS#1": RSA.key_pem("traditional"),
    "SEC 1": LEAF.key_pem("traditional"),
    "P-521": issue("x", kind="p521").key_pem("traditional"),
    "Ed25519": ED25519,
    "of SSH": OPENSSH,
    "encrypted": ENCRYPTED,
    "encrypted in the older form": RSA.key_pem("traditional", b"secret"),
    "with Windows line ends": PKCS8.replace("\n", "\r\n"),
    "with blanks at the ends of its lines": PKCS8.replace("\n", "  \n"),
    "indented": textwrap.indent(RSA.key_pem(), "    "),
    "with line ends written out": RSA.key_pem().replace("\n", "\\n"),
    "folded, as YAML's > does": RSA.key_pem().replace("\n", " "),
    "in one line without any": PKCS8.replace("\n", ""),
    "without its last line": "\n".join(RSA.key_pem().splitlines()[:-1]),
    "cut in the middle": RSA.key_pem()[:1200],
    "between other text": "Bag Attributes\n    friendlyName: mx\n" + PKCS8 + LEAF.pem,
    "glued to a certificate": PKCS8.rstrip() + LEAF.pem,
    "base64 only": bare(PKCS8),
    "base64 only, of RSA": bare(RSA.key_pem()),
    "base64 only, of Ed25519": bare(ED25519),
    "base64 only, encrypted": bare(ENCRYPTED),
    "base64 only, of SSH": bare(OPENSSH),
    "base64 only, in one line": bare(RSA.key_pem("traditional")).replace("\n", ""),
    "base64 only, folded": bare(RSA.key_pem("traditional")).replace("\n", " "),
    "base64 only, with line ends written out": bare(RSA.key_pem()).replace("\n", "\\n"),
    "as JSON": json.dumps({"key": RSA.key_pem()}),
    "in UTF-16, read as something else": PKCS8.encode("utf-16").decode("latin-1"),
    "PKCS#12 in base64": base64.b64encode(b"\x30\x82\x09\x54\x02\x01\x03\x30\x82\x09\x1a\x06\x09" + bytes(60)).decode(),
}


def lines(text: str) -> list:
    """Of base64, that no certificate has too."""
    words = text.replace("\0", "").replace("\\n", "\n").split()
    return [word for word in words if len(word) >= 20 and not word.startswith("-") and word not in LEAF.pem]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_in_no_part_of_an_error(form: str) -> None:
    text = FORMS[form]
    assert lines(text) and holds_key(text)
    error = PostfixTlsError("the %s" % text, text, "it says %r" % text, "See %s" % [text], log=["postfix: %s" % text], findings=[{"observed": text, text: 1}])
    said = str(error) + error.item + error.reason + error.remedy + repr(error.details)
    assert [word for word in lines(text) if word in said] == []
    assert "tls_certificate_key_content" in str(error)


@pytest.mark.parametrize("value", [
    "/etc/letsencrypt/live/mx.example.org/privkey.pem", "smtp_tls_security_level", "encrypt", 25, ["mx.example.org", "mail.example.org"], ">=TLSv1.2",
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:!aNULL:!MD5", "A1:" * 31 + "A1", "44ae59" * 21, "MX 10 mail.example.org", "MIME/base64",
    "/srv/Certificates/MailServers/Production/MX01/Certificate2026Renewed/chain.pem",
])
def test_what_is_no_key_is_shown_as_it_is(value: object) -> None:
    assert shown(value) == str(value) and not holds_key(str(value))
    assert str(PostfixTlsError("it", value, "it is wrong", "Mend it.")) == "it = %s: it is wrong. Mend it." % (value,)


@pytest.mark.parametrize("value", [LEAF.pem, "one\ntwo", "x" * 513, bare(RSA.key_pem()).splitlines()[7]],
                         ids=["a chain", "two lines", "long", "a line of a key"])
def test_what_could_be_a_part_of_one_is_counted_only(value: str) -> None:
    assert shown(value) == "(a text of %d characters, not shown)" % len(value)


def test_certificates_stay_where_a_key_is_taken_out() -> None:
    assert without_keys(PKCS8 + LEAF.pem, "") == "\n" + LEAF.pem
    assert without_keys(PKCS8.strip() + LEAF.pem + RSA.key_pem(), "").strip() == LEAF.pem.strip()
    assert without_keys({"a": (LEAF.pem, 7, None)}) == {"a": [LEAF.pem, 7, None]}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options, place", [
    ({"tls_certificate_key_file": "KEY"}, "tls_certificate_key_file"),
    ({"tls_certificate_chains": [{"key_file": "/k"}, {"name": "KEY"}]}, r"tls_certificate_chains\[1\].name"),
    ({"tls_certificate_sni": [{"names": ["a", "KEY"]}]}, r"tls_certificate_sni\[0\].names\[1\]"),
    ({"smtpd_tls_parameters": {"smtpd_tls_cert_file": "KEY"}}, "smtpd_tls_parameters.smtpd_tls_cert_file"),
    ({"smtpd_tls_services": {"KEY": {}}}, "smtpd_tls_services"),
    ({"chains": [{"key": ["KEY"]}]}, r"chains\[0\].key\[0\]"),
    ({"parameters": {"key": "KEY"}}, "parameters.key"),
], ids=str)
def test_the_place_of_a_key_is_told(form: str, options: dict, place: str) -> None:
    def put(data: object) -> object:
        if isinstance(data, dict):
            return {put(name): put(value) for name, value in data.items()}
        return list(map(put, data)) if isinstance(data, list) else FORMS[form] if data == "KEY" else data

    [told] = misplaced(put(options))
    assert told.startswith("%s: that is the text of a private key" % place.replace("\\", "")) and "tls_certificate_key_content" in told
    assert [word for word in lines(FORMS[form]) if word in told] == []


def test_where_a_keys_text_belongs_it_may_be() -> None:
    both = PKCS8 + LEAF.pem
    assert misplaced({"tls_certificate_key_content": PKCS8, "tls_certificate_chain_content": both}) == []
    entry = {"key_content": PKCS8, "chain_content": both}
    assert misplaced({"tls_certificate_chains": [entry], "tls_certificate_sni": [entry, {"names": ["a"], "chains": [entry]}]}) == []
    chain = {"key": PKCS8, "certificate": both}
    assert misplaced({"chains": [chain], "sni": [{"names": ["a"], "chains": [chain]}]}) == []


@pytest.mark.parametrize("form", ["PKCS#8", "SEC 1", "with Windows line ends", "with blanks at the ends of its lines"])
def test_of_a_file_with_both_the_key_goes_as_key_alone(form: str) -> None:
    chain = {"name": "x", "key": PKCS8, "certificate": FORMS[form] + LEAF.pem}
    asked = {"chains": [chain], "sni": [{"names": ["a"], "chains": [chain]}], "state": "present"}
    apart = keys_apart(asked)
    for told in (apart["chains"][0], apart["sni"][0]["chains"][0]):
        assert told["key"] == PKCS8 and told["certificate"].strip() == LEAF.pem.strip()
    assert asked["chains"] == [chain] and keys_apart({"chains": "x", "sni": [1]}) == {"chains": "x", "sni": [1]}


def test_a_long_text_takes_no_time() -> None:
    for text in ("-----BEGIN " * 20_000, "-" * 200_000, "-----BEGIN PRIVATE KEY-----" * 8_000, "MIIE" * 60_000,
                 ("M" * 50 + "\n") * 5_000, "M" * 40 + " \t" * 60_000):
        holds_key(text)
