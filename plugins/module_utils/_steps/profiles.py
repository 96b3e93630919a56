# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A profile, as parameters of main.cf for this host's release; what is asked for otherwise wins.

The default one only asks for what is not there: it replaces nothing that asks for as much, and takes nothing away.
"""
from __future__ import annotations

import os

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import rendering
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import DEFAULT, MANDATORY, OPTIONAL, PROFILES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState


def take(draft: Draft) -> None:
    """Raises PostfixTlsError for a name that no profile has."""
    for side, name in draft.intent.profiles.items():
        if name == DEFAULT:
            _by_default(draft, side)
            continue
        if name not in PROFILES:
            raise PostfixTlsError("%s profile" % side, name, "there is no such profile", "Use one of %s." % ", ".join((DEFAULT, *PROFILES)))
        rendered = _rendered(draft, side, name)
        left = {parameter: None for parameter in _of_another(draft, side, name) if parameter not in rendered}
        if side == "smtpd":
            rendered.update(_openssl(draft, rendering.openssl_configuration(PROFILES[name])))
            if not any(parameter in draft.wanted and draft.wanted[parameter] != value for parameter, value in rendered.items()):
                draft.proposal.profile = draft.proposal.mandatory = name
                draft.proposal.decides = frozenset(rendered)
        draft.wanted = {**left, **rendered, **draft.wanted}


def _by_default(draft: Draft, side: str) -> None:
    rendered = _rendered(draft, side, DEFAULT)
    if side == "smtpd" and not any(parameter in draft.wanted for parameter in rendered):
        draft.proposal.profile, draft.proposal.mandatory = OPTIONAL.name, MANDATORY.name
        draft.proposal.decides = frozenset(rendered)
    draft.defaults = {**rendered, **draft.defaults}


def _rendered(draft: Draft, side: str, name: str) -> dict:
    release = draft.host.version, draft.host.library
    if name == DEFAULT:
        return rendering.rendered_default(OPTIONAL, MANDATORY, side, *release)
    rendered = rendering.rendered(PROFILES[name], side, *release)
    if "tls_eecdh_auto_curves" in rendered:
        rendered["smtpd_tls_eecdh_grade"] = None  # with any grade but its default, Postfix does not look at the list
    return rendered


def _of_another(draft: Draft, side: str, name: str) -> set:
    """The parameters of other profiles that main.cf has whole: what one of them wrote goes with it."""
    found: set = set()
    for other in (DEFAULT, *PROFILES):
        rendered = _rendered(draft, side, other) if other != name else {}
        if rendered and all(_stands(draft, parameter, value) for parameter, value in rendered.items()):
            found.update(rendered)
    return found


def _stands(draft: Draft, parameter: str, value: str | None) -> bool:
    raw = draft.main.raw(parameter)
    return raw == value if value is None or raw is None else values.same(parameter, raw, value)


def _openssl(draft: Draft, text: str) -> dict:
    """What only OpenSSL's own configuration can say, in a file of ours."""
    path = os.path.join(draft.host.directory, "tls", "openssl.cnf")
    if text and "tls_config_file" not in draft.wanted:
        draft.add(path, FileState(text.encode(), 0o644))
        return {"tls_config_file": path, "tls_config_name": rendering.CONFIGURATION_NAME}
    if not text and draft.host.effective("tls_config_file") == path:
        draft.drop(path)
        return {"tls_config_file": None, "tls_config_name": None}
    return {}
