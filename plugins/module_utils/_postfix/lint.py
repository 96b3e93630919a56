# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Effective parameters of a listener that Postfix takes without a word and that do not mean what was written."""
from __future__ import annotations

from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service


class Complaint(NamedTuple):
    """fix: the line of main.cf to write instead."""

    name: str
    value: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return "%s = %s: %s" % (self.name, self.value, self.reason)


#: Kinds of parameters looked at. Missing files and tables are not among them: a handshake tells of those, and more surely.
_KINDS = ("receiving-level", "protocols", "grade", "exclusions", "groups")
_LOOKED_AT = tuple(row for row in knowledge.PARAMETERS.values() if row.kind in _KINDS and row.name.startswith(("smtpd_tls_", "tls_")))


def complaints(host: Instance, service: Service | None = None) -> list:
    """Of one service, its master.cf C(-o) considered."""
    found = []
    for row in _LOOKED_AT:
        value = host.effective(row.name, service)
        wrong = values.judged(row.kind, value, host) if value else None
        if wrong:
            found.append(Complaint(row.name, value, wrong.reason, "%s = %s" % (row.name, wrong.instead)))
    return found
