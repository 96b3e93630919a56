# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What peers could do before a change and can no longer do after it: versions, and suites by OpenSSL's own reading of Postfix's lists."""
from __future__ import annotations

import re
import ssl

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites, versions

#: Names of suites that are told of one sort.
_SHOWN = 4
#: {side: (its level, who is cut off, what becomes of their mail where TLS is optional)}
_SIDES = {
    "smtpd": ("smtpd_tls_security_level", "clients", "whoever has nothing else delivers in plaintext"),
    "smtp": ("smtp_tls_security_level", "servers", "whoever has nothing else gets its mail in plaintext"),
}


def tell(draft: Draft, after: Instance) -> None:
    """after: the instance as it will be. Of sides that use TLS before and after."""
    if not any("protocols" in name or "cipher" in name for name in draft.changed):
        return
    for side, (level, who, plain) in _SIDES.items():
        if any(host.effective(level).lower() in ("", "none") for host in (draft.host, after)):
            continue
        for mandatory, outcome in (("", plain), ("mandatory_", "whoever has nothing else is refused where TLS is mandatory")):
            lost = [*_versions(draft.host, after, side, mandatory), *_suites(draft.host, after, side, mandatory)]
            if lost and (not mandatory or _is_mandatory(after, side)):
                draft.note(
                    "peers", "%s that offer nothing but %s could agree with this host before and can't any more: %s" % (who, ", ".join(lost), outcome),
                    "nobody cut off unnoticed", "the playbook audit tells who came with what; %s_tls_%sprotocols and %s_tls_profile decide" % (
                        side, mandatory, side),
                    "postconf(5) %s_tls_%sprotocols" % (side, mandatory),
                )


def _is_mandatory(host: Instance, side: str) -> bool:
    """Whether TLS is mandatory anywhere."""
    if side == "smtpd":
        return any(listener.protocol == "smtps" or listener.level == "encrypt" for listener in host.listeners())
    return host.effective("smtp_tls_security_level").lower() != "may" or bool(host.effective("smtp_tls_policy_maps"))


def _versions(before: Instance, after: Instance, side: str, mandatory: str) -> list:
    name = "%s_tls_%sprotocols" % (side, mandatory)
    try:
        lost = protocol_list.accepted(before.effective(name)) - protocol_list.accepted(after.effective(name))
    except PostfixTlsError:
        return []
    return [version for version in versions.NAMES if version in lost]


def _suites(before: Instance, after: Instance, side: str, mandatory: str) -> list:
    """The best first, the rest counted. Of TLS 1.3 all stay."""
    if not _below_tls13(before, side, mandatory) or not _below_tls13(after, side, mandatory):
        return []
    left = _agreeable(after, side, mandatory)
    lost = [name for name in _agreeable(before, side, mandatory) if name not in left] if left else []
    lost.sort(key=lambda name: _order().get(name, len(_order())))
    return lost[:_SHOWN] + (["%d suites more" % len(lost[_SHOWN:])] if lost[_SHOWN:] else [])


def _below_tls13(host: Instance, side: str, mandatory: str) -> bool:
    """Whether any version is on that suites of the list are for."""
    try:
        return bool(protocol_list.accepted(host.effective("%s_tls_%sprotocols" % (side, mandatory))) - {"TLSv1.3", "SSLv2"})
    except PostfixTlsError:
        return False


def _order() -> dict:
    return {suites.BY_CODE[code].openssl: at for at, code in enumerate(suites.classic())}


def _agreeable(host: Instance, side: str, mandatory: str) -> list:
    """Suites up to TLS 1.2 that Postfix gives OpenSSL, with the grade's list and what is excluded (tls_set_ciphers of its source); [] where unclear."""
    grade = host.effective("%s_tls_%sciphers" % (side, mandatory)).lower()
    listed = host.effective("tls_%s_cipherlist" % grade)
    excluded = " ".join(host.effective("%s_tls_%sexclude_ciphers" % (side, which)) for which in dict.fromkeys(("", mandatory)))
    text = ":".join([listed, *("!" + word for word in re.split(r"[\s,:]+", excluded) if word)])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers("%s:@SECLEVEL=0" % text)
    except ssl.SSLError:
        return []
    known = _order()
    return [suite["name"] for suite in context.get_ciphers() if suite["name"] in known]
