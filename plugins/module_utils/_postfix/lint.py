# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Effective parameters of a listener that Postfix takes without a word and that do not mean what was written.

C(postfix check) looks at none of them; OpenSSL skips names it does not know. Source: postconf(5), openssl-ciphers(1).
"""
from __future__ import annotations

import difflib
import re
from typing import Callable, Iterable, Iterator, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import parameters, protocol_list
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, suites


class Complaint(NamedTuple):
    """fix: the line of main.cf to write instead."""

    name: str
    value: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return "%s = %s: %s" % (self.name, self.value, self.reason)


def complaints(effective: Callable[[str], str]) -> list:
    """effective: name of a parameter -> its value for one listener, master.cf C(-o) considered."""
    found: list = []
    for name, judge in _JUDGES.items():
        value = effective(name)
        if value:
            found += judge(name, value)
    return found


def _protocols(name: str, value: str) -> Iterator[Complaint]:
    try:
        protocol_list.render(value, protocol_list.RANGES_SINCE, name)
    except PostfixTlsError as error:
        yield Complaint(name, value, error.reason, "%s = >=TLSv1.2" % name)


def _of_kind(name: str, value: str) -> Iterator[Complaint]:
    try:
        parameters.render(name, value, (0, 0), frozenset([name]))
    except PostfixTlsError as error:
        yield Complaint(name, value, error.reason, "%s = %s" % (name, {"grade": "medium"}.get(parameters.KINDS[name], "may")))


def _exclusions(name: str, value: str) -> Iterator[Complaint]:
    tokens = [token for token in re.split(r"[\s,:]+", value) if token]
    yield from _unknown(name, value, [(token, suites.matches(token) is not None) for token in tokens], suites.EXCLUDABLE)


def _groups(name: str, value: str) -> Iterator[Complaint]:
    tokens = [token.lstrip("?*-") for token in re.split(r"[\s,:/]+", value)]
    known = [(token, groups.named(token) is not None or token.upper() in ("DEFAULT", "AUTO")) for token in tokens if token]
    yield from _unknown(name, value, known, [group.name for group in groups.GROUPS])


def _unknown(name: str, value: str, tokens: Iterable[tuple], names: Iterable[str]) -> Iterator[Complaint]:
    for token, known in tokens:
        if not known:
            near = difflib.get_close_matches(token, list(names), n=1)
            reason = "%s names nothing, and is silently skipped%s" % (token, "; did you mean %s?" % near[0] if near else "")
            yield Complaint(name, value, reason, "%s = %s" % (name, value.replace(token, near[0] if near else "").strip(" ,:")))


_JUDGES = {
    "smtpd_tls_security_level": _of_kind,
    "smtpd_tls_protocols": _protocols,
    "smtpd_tls_mandatory_protocols": _protocols,
    "smtpd_tls_ciphers": _of_kind,
    "smtpd_tls_mandatory_ciphers": _of_kind,
    "smtpd_tls_exclude_ciphers": _exclusions,
    "smtpd_tls_mandatory_exclude_ciphers": _exclusions,
    "tls_eecdh_auto_curves": _groups,
    "tls_ffdhe_auto_groups": _groups,
}
