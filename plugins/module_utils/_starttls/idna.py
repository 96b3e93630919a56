# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A domain name in the letters of any script, as DNS and certificates have it: in A-labels.

By IDNA 2008, with the mapping of UTS 46 without its transitional rules, as Postfix has it from 3.2 on (postconf(5) enable_idna2003_compatibility = no):
C(straße) is C(xn--strae-oqa). The codec C(idna) of Python is that of 2003, for which it is C(strasse), somebody else's name. What UTS 46 takes and
IDNA 2008 does not (symbols), and what releases of Unicode map differently, is refused: its A-label can be written instead.

Which letters there are is the unicodedata of this Python. Source: RFC 5891 section 4, RFC 5892 sections 2 and 3, RFC 3492; UTS 46 section 4.
"""
from __future__ import annotations

import re
import unicodedata

#: RFC 5892 section 2.6 and 3: valid whatever their category is; of a joiner's neighbours Postfix asks nothing, so neither do we.
_VALID = frozenset("-\u00b7\u00df\u0375\u03c2\u05f3\u05f4\u06fd\u06fe\u0f0b\u200c\u200d\u3007\u30fb")
_CATEGORIES = frozenset(("Ll", "Lu", "Lm", "Lo", "Mn", "Mc", "Nd"))
#: RFC 5892 sections 2.3, 2.4, 2.6 and 2.9: not valid although their category is. Ignorable ones, marks of music and for symbols, old Hangul, and exceptions.
_NOT_VALID = re.compile(
    "[\u034f\u0640\u07fa\u1100-\u11ff\u17b4\u17b5\u180b-\u180f\u20d0-\u20ff\u302e\u302f\u3031-\u3035\u303b\u3164\ua960-\ua97f\ud7b0-\ud7ff\ufe00-\ufe0f\uffa0"
    "\U0001d100-\U0001d24f\U000e0000-\U000e0fff]"
)
#: The capital of ß: "ss" up to Unicode 15, "ß" since.
_UNSETTLED = "\u1e9e"
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # UTS 46 section 4.5


def a_labels(name: str) -> str:
    """The name with A-labels; labels in ASCII as they are, a dot at the end stays. Raises UnicodeError, whose text is a clause with "it" left out."""
    labels = _DOTS.split(name)
    ending = labels.pop() if len(labels) > 1 and not labels[-1] else None
    found = [label if label.isascii() else _a_label(label) for label in labels]
    for label in found:
        if not 0 < len(label) < 64:
            raise UnicodeError("a label is empty, or has more than 63 characters")
    return ".".join(found if ending is None else [*found, ""])


def _a_label(label: str) -> str:
    mapped = unicodedata.normalize("NFC", "".join(letter if _valid(letter) else _folded(letter) for letter in label))
    wrong = [letter for letter in mapped if not _valid(letter)] + [letter for letter in label if letter in _UNSETTLED]
    if wrong:
        raise UnicodeError("IDNA 2008 does not have U+%04X (%s): write that label as DNS has it, with xn--" % (ord(wrong[0]), unicodedata.name(wrong[0], "?")))
    if unicodedata.category(mapped[0])[0] == "M" or mapped.startswith("-") or mapped.endswith("-") or mapped[2:4] == "--":
        raise UnicodeError("a label begins with a mark, or has a hyphen where IDNA 2008 has none")
    return mapped if mapped.isascii() else "xn--" + mapped.encode("punycode").decode("ascii")


def _valid(letter: str) -> bool:
    if letter in _VALID:
        return True
    return unicodedata.category(letter) in _CATEGORIES and letter == _folded(letter) and not _NOT_VALID.match(letter)


def _folded(letter: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", letter).casefold())
