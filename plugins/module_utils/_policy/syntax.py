# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Keys and answers of a policy table, as Postfix's SMTP client reads them, whoever wrote them.

Source: TLS_README "Per-destination TLS policy", postconf(5) smtp_tls_policy_maps.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.nexthop import parents
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.table import ATTRIBUTE_NAMES, LEVELS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.domains import ascii_form, domain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

#: {level: the parameter, without smtp_tls_, that says which names or digests count where an answer has no match}
MATCHING = {"verify": "verify_cert_match", "secure": "secure_cert_match", "fingerprint": "fingerprint_cert_match"}
#: TLSRPT and MTA-STS plug-ins send these along (Postfix 3.10).
_OF_PLUGINS = ("policy_ttl", "policy_type", "policy_domain", "policy_string", "mx_host_pattern", "policy_failure")


def keys(next_hop: str) -> list:
    """What Postfix looks up for a next hop: a domain and those above it, with a leading dot; anything else as it is."""
    try:
        name = domain(ascii_form(next_hop))
    except ValueError:
        return [next_hop]
    return [next_hop, *parents(next_hop, True)] if name else [next_hop]


def parsed(text: str) -> tuple:
    """(level, {attribute: value; of match a list}, why Postfix would send no mail on it) of a table's answer."""
    level, *pairs = words(text, ", \t") or [""]
    level = level.lower()
    if level not in LEVELS:
        return level, {}, "%s is no level" % (level or "an empty answer")
    attributes: dict = {}
    for pair in pairs if level != "none" else ():
        name, equals, value = pair.strip("{} ").partition("=")
        name = name.strip().lower()
        if not equals or name not in (*ATTRIBUTE_NAMES, *_OF_PLUGINS):
            return level, attributes, "%s is no attribute" % pair
        if name == "match":
            attributes.setdefault(name, []).extend(re.split("[|]" if level == "fingerprint" else ":", value))
            if level not in MATCHING:
                return level, attributes, "match means nothing at level %s" % level
        else:
            attributes[name] = value.strip()
    return level, attributes, ""
