# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Postfix's protocol lists (C(smtpd_tls_protocols) and its kin): what they mean, and how to write them for a release.

Source: postconf(5) smtpd_tls_protocols; C(>=) and C(<=) exist since Postfix 3.6.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import versions

#: Postfix's names, oldest first. SSLv2 is a name it still accepts and never speaks.
NAMES = ("SSLv2", *versions.NAMES)
RANGES_SINCE = (3, 6)

_TOKEN = re.compile(r"^(?P<mark>>=|<=|!?)(?P<name>.+)$")


def tokens(text: str) -> list:
    """The list's items: Postfix separates them by blanks, commas or colons."""
    return [token for token in re.split(r"[\s,:]+", text.strip()) if token]


def accepted(text: str, item: str = "protocols") -> frozenset:
    """The versions a list leaves on, as names of C(NAMES). An empty list leaves all on.

    Raises PostfixTlsError for a name Postfix does not know: it would log one line and switch TLS off.
    """
    known = {name.lower(): name for name in NAMES}
    included, excluded = set(), set()
    for token in tokens(text):
        match = _TOKEN.match(token)
        name = known.get(match.group("name").lower()) if match else None
        if name is None:
            raise PostfixTlsError(
                item, text, "%r is no protocol version; Postfix would switch TLS off" % token,
                "Write for example '>=TLSv1.2'; the names are %s." % ", ".join(NAMES[1:]),
            )
        at = NAMES.index(name)
        mark = match.group("mark")
        if mark == ">=":
            excluded.update(NAMES[:at])
        elif mark == "<=":
            excluded.update(NAMES[at + 1:])
        elif mark == "!":
            excluded.add(name)
        else:
            included.add(name)
    return frozenset((included or set(NAMES)) - excluded)


def render(text: str, version: tuple, item: str = "protocols") -> str:
    """The list as a host of this Postfix version understands it, with the meaning kept.

    Refuses a list of bare names that drops TLS 1.3 in passing: C(TLSv1.2) alone is an include list.
    """
    left_on = accepted(text, item)
    if not left_on - {"SSLv2"}:
        raise PostfixTlsError(item, text, "it leaves no protocol version on", "Write for example '>=TLSv1.2'.")
    said = tokens(text)
    if "TLSv1.3" not in left_on and any(token[0] not in "!<>" for token in said):
        floor = next(name for name in NAMES if name in left_on)
        raise PostfixTlsError(
            item, text, "a bare name lists the only versions allowed, so TLS 1.3 would be off",
            "Write '>=%s', or '>=%s, !TLSv1.3' where TLS 1.3 is really unwanted." % (floor, floor),
        )
    if version >= RANGES_SINCE or not any(token[0] in "<>" for token in said):
        return ", ".join(said)
    return ", ".join("!" + name for name in NAMES if name not in left_on)


def same(one: str, other: str) -> bool:
    """Whether two lists leave the same versions on; SSLv2 does not count, no Postfix of today speaks it."""
    try:
        return accepted(one) - {"SSLv2"} == accepted(other) - {"SSLv2"}
    except PostfixTlsError:
        return False


def both(one: str, other: str) -> str:
    """A list of the versions that two lists leave on; one, where other is no list or they have none in common."""
    try:
        left_on = accepted(one) & accepted(other)
    except PostfixTlsError:
        return one
    return ", ".join("!" + name for name in NAMES if name not in left_on) if left_on - {"SSLv2"} else one


def floor(text: str) -> str | None:
    """The oldest version a list leaves on; None where it leaves none."""
    left_on = accepted(text) - {"SSLv2"}
    return next((name for name in NAMES if name in left_on), None)
