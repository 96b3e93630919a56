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
    yield from _unknown(name, value, r"[^\s,:]+", lambda word: suites.matches(word) is not None, suites.EXCLUDABLE)


def _groups(name: str, value: str) -> Iterator[Complaint]:
    def known(word: str) -> bool:
        word = word.lstrip("?*-")
        return groups.named(word) is not None or word.upper() in ("", "DEFAULT", "AUTO")
    yield from _unknown(name, value, r"[^\s,:/]+", known, [group.name for group in groups.GROUPS])


def _unknown(name: str, value: str, word: str, known: Callable[[str], bool], names: Iterable[str]) -> Iterator[Complaint]:
    """word: pattern of one in the value."""
    wrong = [found for found in re.findall(word, value) if not known(found)]
    if not wrong:
        return
    near = {found: next(iter(difflib.get_close_matches(found, list(names), n=1, cutoff=0.81)), "") for found in wrong}
    reasons = ["%s names nothing, and is silently skipped%s" % (found, "; did you mean %s?" % near[found] if near[found] else "") for found in wrong]
    written = re.sub(word, lambda match: near.get(match.group(), match.group()), value)
    # What stood before a word that is gone, goes with it.
    written = re.sub(r"[\s,:/]+(?=[,:/]|$)", "", written).strip(" ,:/")
    yield Complaint(name, value, ", ".join(reasons), "%s = %s" % (name, written))


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
