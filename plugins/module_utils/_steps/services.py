# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Overrides of single services: C(-o) in master.cf."""
from __future__ import annotations

import difflib
import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import MasterCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft


def take(draft: Draft) -> None:
    """Every service named has to be one of master.cf. Raises PostfixTlsError."""
    there = {service.key: service for service in draft.master.services}
    for key, wanted in draft.services.items():
        if not isinstance(wanted, dict):
            raise PostfixTlsError(
                "services: %s" % key, wanted, "its parameters are expected as a dictionary", "Write for example {smtpd_tls_security_level: encrypt}.",
            )
        if key in there:
            continue
        commented = re.search(r"^#\s*%s\s+%s\s" % tuple(map(re.escape, key.partition("/")[::2])), draft.master.text(), re.MULTILINE)
        near = difflib.get_close_matches(key, there, n=1)
        raise PostfixTlsError(
            "services", key, "master.cf of this host has no such service%s" % ("; it is commented out" if commented else ""),
            "Uncomment it in master.cf first." if commented else
            "Did you mean %s?" % near[0] if near else "Write it as NAME/TYPE; receiving mail there are %s." % ", ".join(
                service.key for service in there.values() if service.receives),
        )


def write(draft: Draft) -> None:
    """What already means the same stays as it is written."""
    there = {service.key: service for service in draft.master.services}
    for key, wanted in draft.services.items():
        for name, value in wanted.items():
            text = None if value is None else draft.value(name, value, key)
            if value is None:
                draft.master.remove(key, name)
            if text is None:
                continue
            text = values.compact(name, text)
            draft.proposal.overrides.setdefault(key, {})[name] = text
            now = there[key].overrides.get(name)
            if now is None or not values.same(name, draft.after().effective(name, there[key]) if "$" in now else now, text):
                draft.master.set(key, name, text)
    # Read again: what stands there now is what Postfix will see.
    draft.master = MasterCf(draft.master.text())
