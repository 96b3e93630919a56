# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Obsolete parameters: what is asked for by such a name, and what stands in main.cf and master.cf, in today's terms.

Of the two files, only what belongs to a daemon whose level is asked for: without one for sending, smtp_use_tls stays.
"""
from __future__ import annotations

from typing import NoReturn

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import obsolete
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft

_REFERENCE = "DEPRECATION_README"


def take(draft: Draft) -> None:
    draft.wanted = _asked(draft, draft.wanted, "")
    draft.services = {key: _asked(draft, wanted, "%s: " % key) for key, wanted in draft.services.items()}
    _main_cf(draft)
    _master_cf(draft)


def _asked(draft: Draft, wanted: dict, where: str) -> dict:
    """Asked for by an old name: written by today's. A name of today that is asked for too wins."""
    old = {name: value for name, value in wanted.items() if obsolete.is_obsolete(name, draft.host)}
    meant = obsolete.modern({name: value for name, value in old.items() if value is not None}, draft.host)
    if meant.unclear:
        _refuse(where + meant.unclear[0], old[meant.unclear[0]])
    for name, value in old.items():
        if value is not None:
            _note(draft, where + name, value, _of(meant, name))
    return {**dict.fromkeys(old), **meant.values, **{name: value for name, value in wanted.items() if name not in old}}


def _main_cf(draft: Draft) -> None:
    """The level asked for overrides the old switches; what was renamed keeps its value, unless another is asked for."""
    begins = tuple(daemon + "_" for daemon, level in obsolete.LEVEL_OF.items() if level in draft.wanted or level in draft.defaults)
    old = {
        name: draft.host.effective(name) for name in draft.main.names()
        if "tls" in name and name.startswith(begins) and name not in draft.wanted and obsolete.is_obsolete(name, draft.host)
    }
    meant = obsolete.modern(old, draft.host)
    for name, value in old.items():
        if name not in meant.unclear:
            draft.wanted[name] = None
            _note(draft, "main.cf: %s" % name, value, _of(meant, name))
        elif draft.intent.policy and draft.intent.policy["destinations"] and name.endswith("_per_site"):
            raise PostfixTlsError(
                name, value, "Postfix no longer looks at it beside smtp_tls_policy_maps, and what it holds would be lost",
                "List its entries as destinations, then remove it: %s: null." % name,
            )
        else:
            draft.note("obsolete", "main.cf has %s = %s, whose meaning no other parameter has" % (name, value), "no obsolete parameter",
                       "list its entries as destinations (tls_policy_destinations)", _REFERENCE)
    for today, value in meant.values.items():
        # Beside a level, the old switches count for nothing.
        if today not in draft.wanted and not (today in obsolete.LEVEL_OF.values() and draft.host.effective(today)):
            draft.wanted[today] = draft.carried[today] = value


def _master_cf(draft: Draft) -> None:
    """An old switch in a service's C(-o) counts while main.cf has no level; once it has one, the switch would silently be void."""
    for service in draft.master.services:
        old = {name: value for name, value in service.overrides.items() if name in obsolete.SWITCHES and obsolete.is_obsolete(name, draft.host)}
        for today, value in obsolete.modern(old, draft.host).values.items():
            if (today not in draft.wanted and today not in draft.defaults) or today in service.overrides:
                continue
            names = [name for name in old if obsolete.replaces(today, name)]
            mine = draft.services.get(service.key, {})
            if today in mine:
                mine.update(dict.fromkeys(names))
                _note(draft, "master.cf: %s: %s" % (service.key, ", ".join(names)), old[names[0]], {today: mine[today]})
                continue
            if draft.host.effective(today):
                draft.note(
                    "obsolete", "master.cf: -o %s of %s counts for nothing beside %s" % (", ".join(names), service.key, today), "no obsolete parameter",
                    "say what is meant by smtpd_tls_services: {%s: {%s: %s}}" % (service.key, today, value), _REFERENCE,
                )
                continue
            draft.services.setdefault(service.key, mine).update({today: value, **dict.fromkeys(names)})
            _note(draft, "master.cf: %s: %s" % (service.key, ", ".join(names)), old[names[0]], {today: value})


def _of(meant: obsolete.Modern, name: str) -> dict:
    """What of it stands for this obsolete name."""
    return {today: value for today, value in meant.values.items() if obsolete.replaces(today, name)}


def _note(draft: Draft, what: str, value: object, instead: dict) -> None:
    written = ", ".join("%s = %s" % pair for pair in instead.items())
    draft.note("obsolete", "%s = %s is obsolete" % (what, value), "no obsolete parameter",
               "it is written as %s" % written if written else "it is left out", _REFERENCE)


def _refuse(name: str, value: object) -> NoReturn:
    raise PostfixTlsError(
        name, value, "it is obsolete, and no parameter of today means the same",
        "List the destinations as policy (tls_policy_destinations)." if "per_site" in name else "See DEPRECATION_README for what to write.",
    )
