# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a change leaves weaker than it was, because somebody asked for it or refers to what changes: told, by name."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import obsolete, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft


def tell(draft: Draft, after: Instance) -> None:
    """after: the instance as it will be."""
    if draft.changed:
        for name in dict.fromkeys([*draft.main.names(), *draft.changed]):
            _tell(draft, name, "", draft.host.effective(name), after.effective(name))
    before = {service.key: service for service in draft.host.services}
    now = {service.key: service for service in after.services}
    for key, wanted in draft.services.items():
        for name in wanted:
            if before[key].overrides.get(name) != now[key].overrides.get(name):
                _tell(draft, name, "master.cf: %s: " % key, draft.host.effective(name, before[key]), after.effective(name, now[key]))


def _tell(draft: Draft, name: str, where: str, before: str, now: str) -> None:
    # What was empty asked for nothing, or what was obsolete said it instead, which has a finding of its own.
    if before == now or not before or obsolete.is_obsolete(name, draft.host) or not values.has_order(name):
        return
    if not values.usable(name, before, draft.host) or not values.weaker(name, now, before):
        return
    refers = draft.main.raw(name) or ""
    because = " (%s)" % refers if not where and name not in draft.changed and "$" in refers else ""
    draft.note(
        "weaker", "%s%s%s is %s from now on, which does not keep all of the %s that was in place" % (where, name, because, now or "empty", before),
        "what was in place, or more", "write %s: %s, unless less is meant" % (name, before), "postconf(5) %s" % name,
    )
