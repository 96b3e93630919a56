# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What obsolete parameters mean in today's terms. Source: postconf(5), DEPRECATION_README."""
from __future__ import annotations

from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance

#: Of before security levels: DAEMON_use_tls and DAEMON_enforce_tls, which a level of that daemon overrides.
LEVEL_OF = {
    "smtpd": "smtpd_tls_security_level",
    "smtp": "smtp_tls_security_level",
    "lmtp": "lmtp_tls_security_level",
    "postscreen": "postscreen_tls_security_level",
    "tlsproxy": "tlsproxy_tls_security_level",
    "tlsproxy_client": "tlsproxy_client_security_level",
}
SWITCHES = {
    name % daemon: daemon for daemon in LEVEL_OF for name in ("%s_use_tls", "%s_enforce_tls", "%s_tls_enforce_peername")
}


class Modern(NamedTuple):
    """values: {today's parameter: value} that mean the same. unclear: names whose meaning no other parameter has."""

    values: dict
    unclear: list


def is_obsolete(name: str, host: Instance) -> bool:
    """Whether this release has something better: a parameter that replaces it, or a default that does."""
    row = knowledge.known(name)
    if row is None or row.deprecated is None:
        return False
    return row.replaced_by in host.known if row.replaced_by else row.deprecated <= host.version


def modern(old: dict, host: Instance) -> Modern:
    """old: {obsolete name: value}."""
    values, unclear = {}, []
    for daemon in dict.fromkeys(SWITCHES[name] for name in old if name in SWITCHES):
        values[LEVEL_OF[daemon]] = _level(daemon, old, host)
    for name, value in old.items():
        row = knowledge.known(name)
        if name in SWITCHES or row is None or not row.replaced_by:
            continue
        replacement = knowledge.known(row.replaced_by)
        # A table of sites is looked up by other keys, and holds other words, than a table of policies.
        if replacement and replacement.kind == row.kind and not name.endswith("_per_site"):
            values[row.replaced_by] = value
        else:
            unclear.append(name)
    return Modern(values, unclear)


def replaces(today: str, name: str) -> bool:
    """Whether today is the parameter that stands for an obsolete name."""
    row = knowledge.known(name)
    return LEVEL_OF.get(SWITCHES.get(name)) == today or bool(row and row.replaced_by == today)


def older_name(name: str, host: Instance) -> str:
    """The name that this release has for a parameter of today's name."""
    if name in host.known:
        return name
    olds = [row.name for row in knowledge.PARAMETERS.values() if row.replaced_by == name and row.name in host.known]
    kind = knowledge.known(name).kind if knowledge.known(name) else None
    return next((old for old in olds if knowledge.known(old).kind == kind), name)


def _level(daemon: str, old: dict, host: Instance) -> str:
    def on(name: str) -> bool:
        value = old.get(name, host.effective(name))
        return value is True or str(value).strip().lower() == "yes"

    if on("%s_enforce_tls" % daemon):
        # Before levels, enforcing meant to look at the name too, unless told otherwise.
        peername = "%s_tls_enforce_peername" % daemon
        return "verify" if daemon in ("smtp", "lmtp") and on(peername) else "encrypt"
    return "may" if on("%s_use_tls" % daemon) else "none"
