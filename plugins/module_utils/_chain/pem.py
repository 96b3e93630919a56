# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Key and certificates as people have them, brought into the one form Postfix advises: key, leaf, intermediates.

Source: RFC 7468; postconf(5) smtpd_tls_chain_files.
"""
from __future__ import annotations

import base64
import hashlib
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate

_BLOCK = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\n.*?\n-----END (?P=label)-----\n", re.DOTALL)
_KEYS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE")
#: What a trust anchor may be (postconf(5) smtp_tls_trust_anchor_file).
ANCHORS = ("PUBLIC KEY", *CERTIFICATES)
MOST = 1 << 20  # bytes: a chain with a dozen certificates has a fiftieth of that

#: A block however its lines were broken: folded by YAML, indented, glued to the next one by cat(1), or in one line.
_LOOSE = re.compile(r"[ \t]*-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>[^-]*(?:-(?!----)[^-]*)*)-----END (?P=label)-----[ \t]*\r?\n?")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{1,76}")
_WRITTEN_OUT = re.compile(r"(\\r)?\\n")  # a line end as JSON and shells have it

#: What people have in place of PEM: (pattern of the text, what it is, how it becomes PEM)
_OTHER_FORMS = tuple((re.compile(pattern), reason, remedy) for pattern, reason, remedy in (
    (r"-----BEGIN (PKCS #?7|PKCS7|CMS)", "its certificates are in a PKCS#7 container", "Convert it: openssl pkcs7 -print_certs -in FILE -out NEW."),
    (r"-----BEGIN (NEW )?CERTIFICATE REQUEST", "it is a request for a certificate", "Name what the CA sent back."),
    (r"-----BEGIN [A-Z ]*PUBLIC KEY", "it is the public key alone", "Name the private key it belongs to."),
    (r"PuTTY-User-Key-File|---- BEGIN SSH2", "it is a key of SSH", "Make a key and a request for a certificate with openssl req or your ACME client."),
    (r"\A\s*\$ANSIBLE_VAULT", "it is still encrypted by ansible-vault", "Give the vault's password to ansible-playbook, or decrypt it: ansible-vault decrypt."),
    (r"\A0[\x80-\x84\ufffd]", "it is binary (DER or PKCS#12), and Postfix takes text (PEM)",
     "Convert it: openssl x509 -inform DER, openssl pkey -inform DER, or openssl pkcs12 -nodes."),
    (r"(?i)\A\s*<(!doctype|html|\?xml)", "it is a web page", "Download the file itself."),
    (r"[\u2010-\u2015\u2212]+ ?(BEGIN|END) |(^|[^-])-{1,4} ?BEGIN |-----begin", "an editor has changed the lines with BEGIN and END",
     "Copy the file again, as plain text: five hyphens stand before and after these words."),
    (r"-----BEGIN (?![\s\S]*-----END )", "its END line is missing, so a part of it was cut off", "Copy the file again."),
    (r"\A\s*MI[A-Za-z0-9+/=\s]{100,}\Z", "it is base64 without its BEGIN and END lines",
     "Convert it: base64 -d FILE | openssl x509 -inform DER, of a key openssl pkey -inform DER."),
    (r"\A\s*~?/[^\n]*\s*\Z", "it is the name of a file", "Name it as a file (chain_file, key_file), or give its text."),
))

#: Blocks that are no key Postfix could load, though they hold one.
_LOCKED = {
    "ENCRYPTED PRIVATE KEY": ("its key has a passphrase, and Postfix can't ask for it", "Write it without: openssl pkey -in KEY -out NEW."),
    "OPENSSH PRIVATE KEY": ("its key is one of SSH, in SSH's own form", "Make a key and a request for a certificate with openssl req or your ACME client."),
}


@dataclass(frozen=True)
class Chain:
    """name: what the user calls it. key: one PEM block. certificates: PEM blocks, leaf first. made: just now, here."""

    name: str
    key: str
    certificates: tuple
    made: bool = False

    def text(self) -> str:
        return self.key + "".join(self.certificates)

    def facts(self) -> list:
        """What each certificate says of itself, as RV(results[].certificates). Raises PostfixTlsError for one that can't be read."""
        return [_facts("chain %s" % self.name, number, block) for number, block in enumerate(self.certificates, 1)]


def chain(name: str, key: str, certificates: str) -> Chain:
    """From the texts of a key file and a chain file (they may be one file). Raises PostfixTlsError, never with key text."""
    item = "chain %s" % name
    keys = list(dict.fromkeys(block for label, block in blocks(item, key) if label in _KEYS))
    chain_blocks = [
        block.replace("X509 CERTIFICATE", "CERTIFICATE") for label, block in blocks(item, certificates) if label in CERTIFICATES
    ]
    labels = sorted({label for label, _block in blocks(item, key)})
    locked = [_LOCKED[label] for label in labels if label in _LOCKED]
    if any("Proc-Type: 4,ENCRYPTED" in block for block in keys):
        locked.append(_LOCKED["ENCRYPTED PRIVATE KEY"])
    if locked:
        raise PostfixTlsError(item, None, *locked[0])
    if not keys:
        _refuse_other_form(item, "where its key should be ", key)
    if len(keys) != 1:
        raise PostfixTlsError(
            item, None, "one PEM private key was expected, found %d (blocks: %s)" % (len(keys), ", ".join(labels) or "none"),
            "Name the file that holds the key, and only that.",
        )
    if not chain_blocks:
        _refuse_other_form(item, "", certificates)
        raise PostfixTlsError(
            item, None, "no PEM certificate was found", "Name the file that holds the leaf and its intermediates (fullchain.pem).",
        )
    return Chain(name, keys[0], tuple(chain_blocks))


def mended(text: str) -> str:
    """A text in which every block has its lines as RFC 7468 has them, and a trusted certificate of OpenSSL is a certificate as others are."""
    text = text.replace("\0", "").lstrip("\ufeff")  # UTF-16 without its mark
    if re.search(r"-----(\\r)?\\n|\\n-----", text):
        text = _WRITTEN_OUT.sub("\n", text)
    return _LOOSE.sub(_mended_block, text)


def _mended_block(found: re.Match) -> str:
    label, lines = found.group("label"), found.group("body").split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    if any(":" in line for line in lines):
        return found.group().rstrip() + "\n"  # RFC 1421 headers
    if len(lines) < 2 or not all(map(_BASE64.fullmatch, lines)):
        whole = "".join("".join(lines).split())
        lines = [whole[at:at + 64] for at in range(0, len(whole), 64)]
    if label == "TRUSTED CERTIFICATE":
        label, lines = "CERTIFICATE", _certificate_alone(lines)
    return "\n-----BEGIN {0}-----\n{1}\n-----END {0}-----\n".format(label, "\n".join(lines))


def _certificate_alone(lines: list) -> list:
    """Without what OpenSSL adds to it, as x509 -trustout writes it."""
    with suppress(ValueError):
        content = base64.b64decode("".join(lines))
        if content[:2] == b"\x30\x82":
            lines = [base64.b64encode(content[:4 + int.from_bytes(content[2:4], "big")]).decode()]
    return [line[at:at + 64] for line in lines for at in range(0, len(line), 64)]


def _refuse_other_form(item: str, where: str, text: str) -> None:
    """Raises PostfixTlsError where the text is something that people have in place of PEM."""
    for pattern, reason, remedy in _OTHER_FORMS:
        if pattern.search(text):
            raise PostfixTlsError(item, None, where + reason, remedy)


def chains(name: str, text: str) -> list:
    """Every chain of smtpd_tls_chain_files, each begun by its key. Raises PostfixTlsError where there is none."""
    parts = re.split(r"(?=-----BEGIN [A-Z ]*PRIVATE KEY-----)", text)
    return [chain(name, part, part) for part in parts[1:] or parts]


def leaf_digests(text: str) -> list:
    """sha256 of the first certificate of each chain in a file Postfix serves from; empty where there is none."""
    return [chain[0] for chain in chain_digests(text)]


def chain_digests(text: str) -> tuple:
    """sha256 of the certificates of each chain in a file, one tuple a chain: keys begin them; without keys there is one."""
    parts: list = [[]]
    for label, block in blocks("chain", text):
        if label in _KEYS and parts[-1]:
            parts.append([])
        elif label in CERTIFICATES:
            parts[-1].append(digest(block))
    return tuple(tuple(part) for part in parts if part)


def digest(block: str) -> str:
    """sha256 over a PEM certificate's DER, in hex."""
    return hashlib.sha256(der("certificate", block)).hexdigest()


def oversized(item: str, value: object, size: int) -> PostfixTlsError:
    """For what is too long to be a key or a chain. size: in bytes."""
    return PostfixTlsError(item, value, "with %d bytes that is no key or chain" % size, "Name the right file.")


@lru_cache(maxsize=64)
def _facts(item: str, number: int, block: str) -> dict:
    """Each step asks again for the same certificates."""
    told = certificate.facts(der(item, block, number))
    if told["subject"] is None:
        raise _damaged(item, number)
    return told


def der(item: str, block: str, number: int = 1) -> bytes:
    """Of a PEM certificate. Raises PostfixTlsError where it is damaged, with its number."""
    try:
        return ssl.PEM_cert_to_DER_cert(block.replace("X509 CERTIFICATE", "CERTIFICATE"))
    except ValueError:
        raise _damaged(item, number) from None


def _damaged(item: str, number: int) -> PostfixTlsError:
    return PostfixTlsError(item, None, "its certificate number %d is damaged" % number, "Copy the file again.")


def blocks(item: str, text: str) -> list:
    """(label, block) pairs, with unix line ends; whatever stands around them is left behind."""
    if len(text) > MOST:
        raise oversized(item, None, len(text))
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").splitlines()]
    plain = "\n".join(lines) + "\n"
    return [(match.group("label"), match.group(0)) for match in _BLOCK.finditer(plain)]
