# SPDX-License-Identifier: GPL-3.0-or-later
"""PEM as it comes out of cat, YAML, shells, editors and Windows is taken; what is none is told in one sentence with the command that converts it."""
from __future__ import annotations

import base64
import re
import subprocess
import textwrap
from typing import Callable

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from issuing import issue

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)
RSA = issue("mx.example.org", ROOT, kind="rsa")


def _one_line(text: str) -> str:
    return re.sub(r"-----\n(.*?)\n-----END", lambda found: "-----\n%s\n-----END" % found.group(1).replace("\n", ""), text, flags=re.DOTALL)


TAKEN: dict = {
    "as it is": str,
    "two files put together without a line end between them": lambda text: text.replace("-----\n-----", "----------").rstrip("\n"),
    "folded by YAML": lambda text: text.replace("\n", " "),
    "an indented block": lambda text: textwrap.indent(text, "      "),
    "indented but for the first line": lambda text: textwrap.indent(text, "    ").lstrip(),
    "line ends written out": lambda text: text.replace("\n", "\\n"),
    "line ends of Windows written out": lambda text: text.replace("\n", "\\r\\n"),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "line ends of old Macs": lambda text: text.replace("\n", "\r"),
    "with the mark of UTF-8": lambda text: "\ufeff" + text,
    "in UTF-16 without its mark": lambda text: text.encode("utf-16-le").decode("ascii"),
    "each block in one line of base64": _one_line,
    "no line ends at all": lambda text: text.replace("\n", ""),
    "lines of 76 characters": lambda text: re.sub(
        r"-----\n(.*?)\n-----END", lambda found: "-----\n%s\n-----END" % textwrap.fill(found.group(1).replace("\n", ""), 76), text, flags=re.DOTALL),
    "empty lines between": lambda text: text.replace("\n", "\n\n"),
    "blanks at the ends": lambda text: text.replace("\n", "  \t\n"),
    "words around it": lambda text:
        "Bag Attributes\n    localKeyID: 01 02\n" + text.replace("-----BEGIN C", "subject=CN = x - y\n-----BEGIN C") + "\n-- \nregards",
}


@pytest.mark.parametrize("leaf", [LEAF, RSA], ids=["ec", "rsa"])
@pytest.mark.parametrize("form", TAKEN)
def test_what_people_have_is_taken_and_is_pem_afterwards(form: str, leaf) -> None:
    text = TAKEN[form](leaf.key_pem() + leaf.pem + ROOT.pem)
    mended = pem.mended(text)
    chain = pem.chain("default", mended, mended)
    assert pem.der("x", chain.key.replace("PRIVATE KEY", "CERTIFICATE")) == pem.der("x", leaf.key_pem().replace("PRIVATE KEY", "CERTIFICATE"))
    assert [pem.digest(block) for block in chain.certificates] == [leaf.sha256, ROOT.sha256]
    if form != "lines of 76 characters":
        assert chain.text() == leaf.key_pem() + leaf.pem + ROOT.pem


def test_a_key_with_headers_stays_as_it_is() -> None:
    with pytest.raises(PostfixTlsError, match="its key has a passphrase"):
        pem.chain("default", pem.mended("  " + RSA.key_pem("traditional", b"secret")), RSA.pem)


def test_a_trusted_certificate_of_openssl_is_one(tmp_path) -> None:
    (tmp_path / "leaf.pem").write_text(LEAF.pem, encoding="utf-8")
    words = ["openssl", "x509", "-in", str(tmp_path / "leaf.pem"), "-trustout", "-addtrust", "serverAuth", "-setalias", "mx"]
    trusted = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "TRUSTED CERTIFICATE" in trusted and trusted != LEAF.pem
    assert pem.chain("default", LEAF.key_pem(), pem.mended(trusted)).certificates == (LEAF.pem,)


def _request() -> str:
    return "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"


REFUSED: dict = {
    "PKCS#7": (lambda: serialize_certificates([LEAF.certificate], Encoding.PEM).decode(), r"PKCS#7 container\. Convert it: openssl pkcs7 -print_certs"),
    "a request": (_request, r"it is a request for a certificate\. Name what the CA sent back"),
    "base64 only": (lambda: "\n".join(LEAF.pem.splitlines()[1:-1]),
                    r"without its BEGIN and END lines\. Convert it: base64 -d FILE \| openssl x509 -inform DER"),
    "base64 only in one line": (lambda: base64.b64encode(LEAF.certificate.public_bytes(Encoding.DER)).decode(), r"without its BEGIN and END lines"),
    "binary": (lambda: LEAF.certificate.public_bytes(Encoding.DER).decode("utf-8", "replace"), r"it is binary .*openssl x509 -inform DER"),
    "cut off": (lambda: LEAF.pem[:300], r"its END line is missing"),
    "other dashes": (lambda: LEAF.pem.replace("-----", "\u2014\u2014"), r"an editor has changed the lines with BEGIN and END"),
    "too few dashes": (lambda: LEAF.pem.replace("-----", "----"), r"five hyphens"),
    "a web page": (lambda: "\n<!DOCTYPE html><html><title>404</title></html>", r"it is a web page\. Download the file itself"),
    "a path": (lambda: "/etc/letsencrypt/live/mx/fullchain.pem\n", r"it is the name of a file"),
    "a vault": (lambda: "$ANSIBLE_VAULT;1.1;AES256\n3061\n", r"still encrypted by ansible-vault"),
    "garbage": (lambda: "x y z", r"no PEM certificate was found"),
}
REFUSED_KEYS: dict = {
    "base64 only": (lambda: "\n".join(RSA.key_pem().splitlines()[1:-1]), r"base64 without its BEGIN and END lines.*of a key openssl pkey -inform DER"),
    "public": (lambda: LEAF.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), r"it is the public key alone"),
    "cut off": (lambda: RSA.key_pem()[:400], r"its END line is missing"),
    "PuTTY": (lambda: "PuTTY-User-Key-File-3: ssh-rsa\n", r"it is a key of SSH"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_chain_is_told_in_one_sentence(form: str) -> None:
    make, told = REFUSED[form]
    _refused(LEAF.key_pem(), make(), told)


@pytest.mark.parametrize("form", REFUSED_KEYS)
def test_what_is_no_key_is_told_in_one_sentence_without_its_text(form: str) -> None:
    make, told = REFUSED_KEYS[form]
    said = _refused(make(), RSA.pem, told)
    assert not [line for line in RSA.key_pem().splitlines() if line in said]


def _refused(key: str, certificates: str, told: str) -> str:
    with pytest.raises(PostfixTlsError, match="^chain default: .*" + told) as refused:
        pem.chain("default", pem.mended(key), pem.mended(certificates))
    return str(refused.value)


@pytest.mark.parametrize("text", ["-----BEGIN A-----" * 20_000, "-----BEGIN CERTIFICATE-----" + "- " * 100_000, "-" * 200_000, "MI" * 100_000])
def test_a_long_text_takes_no_time(text: str) -> None:
    pem.mended(text)
    call: Callable = pem.chain
    with pytest.raises(PostfixTlsError):
        call("x", LEAF.key_pem(), text)
