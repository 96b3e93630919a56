# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Overrides in master.cf that leave less than was asked for in main.cf: there, the service's own C(-o) wins."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft

#: Which programs read parameters that begin so; others are read by all that do TLS.
_READ_BY = {"smtpd": ("smtpd", "postscreen"), "smtp": ("smtp",), "lmtp": ("lmtp",), "postscreen": ("postscreen",), "tlsproxy": ("tlsproxy",)}


def tell(draft: Draft, after: Instance) -> None:
    """after: the instance as it will be."""
    for service in draft.master.services:
        for name, value in service.overrides.items():
            asked = draft.written.get(name)
            if asked is None or name in draft.services.get(service.key, {}) or not _reads(service, name):
                continue
            if name == "smtpd_tls_chain_files" and after.chain_files(service):
                continue  # a certificate of its own, not less than what is asked for
            if values.weaker(name, after.effective(name, service) if "$" in value else value, asked):
                draft.note(
                    "overrides", "master.cf: %s has -o %s=%s, which defeats the %s of main.cf there" % (service.key, name, value, asked),
                    "%s = %s everywhere, or what a service is to have of its own said openly" % (name, asked),
                    "take it away with smtpd_tls_services: {%s: {%s: null}} (the module's services), or ask for it there" % (service.key, name),
                    "master(5), -o",
                )


def _reads(service: Service, name: str) -> bool:
    programs = _READ_BY.get(name.split("_")[0])
    return programs is None or service.program in programs
