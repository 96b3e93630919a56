# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What refers by C($name) to a parameter that goes keeps the value it had; a service's own chain keeps being served beside chain files of main.cf.

Source: postconf(5), "parameter value"; postconf(5) smtpd_tls_chain_files, beside which certificate and key files count for nothing.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import SERVED_BY_CHAIN_FILES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft

_NAME = r"\$(?:%s(?!\w)|\(%s\)|\{%s\})"
#: ${name?text}, ${name:text} and whatever else asks about a value: not replaced by a word.
_ASKS = r"\$[({]\s*%s\s*[?:]"
#: tlsproxy's own, which count for nothing beside its chain files, and these are smtpd's unless main.cf says otherwise.
_PROXY = re.compile(r"tlsproxy_tls_(?:d|ec)?(?:cert|key)_file")
_CHAINS = "smtpd_tls_chain_files"


def keep(draft: Draft) -> None:
    gone = {name: draft.host.effective(name) for name, text in draft.changed.items() if text is None}
    if any(_refers(text, name) for name in gone for text in _texts(draft)):
        after = draft.after()
        gone = {name: value for name, value in gone.items() if value and after.effective(name) != value}
        served = bool(after.effective("tlsproxy_tls_chain_files"))
        for name in draft.main.names():
            if not (served and _PROXY.fullmatch(name)):
                _keep_in_main_cf(draft, name, gone)
        for service in draft.master.services:
            for name, value in service.overrides.items():
                if name not in draft.services.get(service.key, {}) and any(_refers(value, other) for other in gone):
                    text = _written_out(value, gone) or draft.host.effective(name, service)
                    draft.services.setdefault(service.key, {})[name] = text
                    _note(draft, "master.cf: %s: -o %s=%s" % (service.key, name, value), value, gone, text)
    if draft.changed.get(_CHAINS) and not draft.host.effective(_CHAINS):
        _keep_own_chains(draft)


def _texts(draft: Draft) -> list:
    values = [draft.main.raw(name) or "" for name in draft.main.names()]
    return values + [value for service in draft.master.services for value in service.overrides.values()]


def _refers(text: str, name: str) -> bool:
    return "$" in text and bool(re.search(_NAME.replace("%s", name), text) or re.search(_ASKS % name, text))


def _written_out(text: str, gone: dict) -> str | None:
    """The text with the values of what goes in place of their names, all else as it is; None where it asks about one of them."""
    if any(re.search(_ASKS % name, text) for name in gone):
        return None
    for name, value in gone.items():
        text = re.sub(_NAME.replace("%s", name), lambda _match, value=value: value, text)
    return text


def _keep_in_main_cf(draft: Draft, name: str, gone: dict) -> None:
    raw = draft.main.raw(name) or ""
    if name in draft.written or not any(_refers(raw, other) for other in gone):
        return
    text = _written_out(raw, gone)
    text = draft.host.effective(name) if text is None else text
    draft.main.set(name, text)
    draft.changed[name] = text
    _note(draft, "%s = %s" % (name, raw), raw, gone, text)


def _note(draft: Draft, what: str, raw: str, gone: dict, text: str) -> None:
    named = ", ".join(name for name in gone if _refers(raw, name))
    draft.note("references", "%s refers to %s, which goes, so it is written out: %s" % (what, named, text), "the value it had",
               "nothing, or another value where that is not meant any more", "postconf(5)")


def _keep_own_chains(draft: Draft) -> None:
    """A service whose C(-o) names a certificate of its own would be served the chain files of main.cf instead."""
    for service in draft.master.services:
        own = [name for name in SERVED_BY_CHAIN_FILES if service.overrides.get(name)]
        if service.program != "smtpd" or not own or _CHAINS in service.overrides or _CHAINS in draft.services.get(service.key, {}):
            continue
        left = {
            name: draft.host.effective(name) for name in SERVED_BY_CHAIN_FILES
            if name not in service.overrides and name in draft.changed and draft.host.effective(name)
        }
        wanted = draft.services.setdefault(service.key, {})
        wanted.update({name: value for name, value in {_CHAINS: "", **left}.items() if name not in wanted})
        draft.note(
            "references", "master.cf: %s has a certificate of its own (-o %s), for which smtpd_tls_chain_files of main.cf is emptied there" % (
                service.key, ", -o ".join(own)),
            "the certificate it had", "smtpd_tls_services: {%s: {%s}} to serve the new one there, too" % (
                service.key, ", ".join("%s: null" % name for name in (_CHAINS, *own))),
            "postconf(5) smtpd_tls_chain_files",
        )
