# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The one exception of the collection, and the one rule of what may be shown of a value: a private key never is, wherever it was written by mistake.

A module's C(main()) catches the exception once and hands its text to C(fail_json).
"""
from __future__ import annotations

import base64
import re

#: Characters of a value that a message shows; a list of cipher suites is the longest that is of any use in one.
_LONGEST = 512

#: Instead of a key within a longer text, such as a line of a log.
NOT_SHOWN = "[the text of a private key, not shown]"

#: How a value is called in a message that is a private key.
_KEY_TEXT = "(the text of a private key, not shown: tls_certificate_key_content, the module's option chains[].key, takes that)"

#: PEM, RFC 7468; line ends may be blanks or written as \n, and the end may be missing.
_PEM_KEY = r"-{1,5} ?BEGIN [A-Z0-9 ]*PRIVATE KEY ?-{1,5}(?:(?!-{1,5} ?(?:BEGIN|END) ).)*(?:-{1,5} ?END [A-Z0-9 ]*PRIVATE KEY ?-{1,5})?"
#: The same without its first and last line. What follows on a line of its own belongs to it, and so does a long word behind a blank.
_BASE64_KEY = r"(?<![A-Za-z0-9+/])(?:M[A-Za-z0-9+/]|b3BlbnNz)[A-Za-z0-9+/]{38,}(?:(?:\\+[rn]|[\r\n])+[ \t]*[A-Za-z0-9+/]+|[ \t]+[A-Za-z0-9+/]{20,})*=*"
_KEY = re.compile("(?P<pem>%s)|%s" % (_PEM_KEY, _BASE64_KEY), re.DOTALL)
#: How the DER of a key begins: a version (PKCS#1, PKCS#8, SEC 1, PKCS#12), or the algorithm of an encrypted one (RFC 5958 section 3).
_KEY_DER = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x81.|\x82..)(?:\x02\x01[\x00-\x03]|\x30[\x00-\x7f]\x06[\x09\x0a]\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05|\x0c\x01))",
    re.DOTALL,
)
#: A part of what is encoded in base64, as a key's lines are; no name or fingerprint is that long without a mark and in both cases, and a path has more slashes.
_DENSE = re.compile(r"(?=[A-Za-z0-9+/]{60})(?!(?:[A-Za-z0-9+]*/){4})(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])[A-Za-z0-9+/]{60}")


class PostfixTlsError(Exception):
    """What was asked for can't be done; the text is for somebody at 3 a.m.

    item: what is wrong, in the user's words (a parameter, a destination, a file, a host and port).
    value: what was given or found there. Left out when empty.
    reason: why that does not work.
    remedy: what to write or do instead.
    details: further keys of the module's result (findings, results, log lines), the same on success and on failure.
    None of it shows a private key, whatever is given.
    """

    def __init__(self, item: str, value: object, reason: str, remedy: str, **details: object) -> None:
        self.item, self.reason, self.remedy = map(without_keys, (item, reason, remedy))
        self.value = value
        self.details = without_keys(details)
        given = "" if value in (None, "") else " = %s" % shown(value)
        end = "" if self.reason.endswith("?") else "."
        super().__init__("%s%s: %s%s %s" % (self.item, given, self.reason.rstrip("."), end, self.remedy))


def shown(value: object) -> str:
    """A value as a message has it: its text where that is one line, short, and neither a key nor a part of what could be one."""
    text = str(value)
    if holds_key(text):
        return _KEY_TEXT
    if "-----BEGIN" in text or "\n" in text.strip() or len(text) > _LONGEST or _DENSE.search(text):
        return "(a text of %d characters, not shown)" % len(text)
    return text


def holds_key(text: str) -> bool:
    """Whether the text of a private key is in it: as PEM or only its base64, encrypted or not, however its lines are broken."""
    return bool(keys_in(text))


def keys_in(text: str) -> list:
    """The texts of private keys in it."""
    if "\0" in text:  # UTF-16 that was read as something else
        text = text.replace("\0", "")
    return [found.group() for found in _KEY.finditer(text) if _is_key(found)]


def without_keys(data: object, instead: str = NOT_SHOWN) -> object:
    """A text, or what texts are in (lists, dicts with their names), with something instead of each private key."""
    if isinstance(data, str):
        if "\0" in data and holds_key(data):
            return instead
        return _KEY.sub(lambda found: instead if _is_key(found) else found.group(), data)
    if isinstance(data, dict):
        return {without_keys(name, instead): without_keys(value, instead) for name, value in data.items()}
    return [without_keys(value, instead) for value in data] if isinstance(data, (list, tuple)) else data


def _is_key(found: re.Match) -> bool:
    text = found.group()
    return bool(found.group("pem")) or text.startswith("b3BlbnNz") or bool(_KEY_DER.match(base64.b64decode(text[:40])))
