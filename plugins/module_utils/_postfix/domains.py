# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Domain names as tables of Postfix look them up: folded, in ASCII, without a dot at either end.

Source: RFC 1035 section 2.3.4 (lengths), RFC 1123 section 2.1, RFC 5890 section 2.3 (IDNA); underscores, for names in the wild have them.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.idna import a_labels

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")


def domain(text: str) -> str:
    """The name, folded. Raises ValueError with the reason, a clause that begins with "it"."""
    if not text.isascii():
        raise ValueError(_in_other_letters(text))
    folded = text.lower()
    if not folded:
        raise ValueError("it is empty")
    if len(folded) > 253:
        raise ValueError("it has %d characters, and a name has at most 253" % len(folded))
    labels = folded.split(".")
    for label in labels:
        if not label:
            raise ValueError("it has an empty label: a dot at an end, or two in a row")
        if len(label) > 63:
            raise ValueError("it has a label of %d characters, and a label has at most 63" % len(label))
        if not _LABEL.fullmatch(label):
            raise ValueError("it has %r as a label, and a label has letters, digits, underscores, and hyphens in between" % label)
    if labels[-1].isdigit():
        raise ValueError("it ends in a number, as an address does and no name")
    return folded


def ascii_form(text: str) -> str:
    """The name as its IDNA form, by which Postfix asks DNS and matches certificates; one in ASCII as it is. Raises ValueError where there is none."""
    return text if text.isascii() else a_labels(text)


def _in_other_letters(text: str) -> str:
    """With the form to write, where there is one and it can be told."""
    reason = "it has letters that are not ASCII, and Postfix looks up the IDNA form"
    try:
        return "%s, %s" % (reason, domain(ascii_form(text)))
    except ValueError:  # of domain, or as UnicodeError of a_labels
        return reason


def in_letters(name: str) -> str:
    """A name of domain as a message of RFC 6531 (SMTPUTF8) may spell it: Postfix looks up a name as the client has spelt it. The same where it has no xn--."""
    return ".".join(map(_label_in_letters, name.split(".")))


def _label_in_letters(label: str) -> str:
    try:
        meant = label[4:].encode("ascii").decode("punycode").lower() if label.startswith("xn--") else label
    except UnicodeError:
        return label
    return meant if meant.isprintable() else label
