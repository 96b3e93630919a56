# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Effective parameters of a listener that Postfix takes without a word and that do not mean what was written."""
from __future__ import annotations

from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
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


#: Missing files and tables are not among them: a handshake tells of those, and more surely.
_LOOKED_AT = (
    "smtpd_tls_security_level",
    "smtpd_tls_protocols",
    "smtpd_tls_mandatory_protocols",
    "smtpd_tls_ciphers",
    "smtpd_tls_mandatory_ciphers",
    "smtpd_tls_exclude_ciphers",
    "smtpd_tls_mandatory_exclude_ciphers",
    "tls_eecdh_auto_curves",
    "tls_ffdhe_auto_groups",
)


def complaints(host: Instance, service: Service | None = None) -> list:
    """Of one service, its master.cf C(-o) considered."""
    found = []
    for name in _LOOKED_AT:
        value = host.effective(name, service)
        wrong = values.judged(values.kind_of(name), value, host) if value else None
        if wrong:
            found.append(Complaint(name, value, wrong.reason, "%s = %s" % (name, wrong.instead)))
    return found
