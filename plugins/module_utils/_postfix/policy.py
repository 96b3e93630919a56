# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Named destinations: typed entries judged and written as a table for C(smtp_tls_policy_maps).

Source: TLS_README "Per-destination TLS policy", postconf(5) smtp_tls_policy_maps.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.values import GRADES, LEVELS

HEADER = "# Written by mailsec.postfix_tls; what is changed here by hand is overwritten.\n"

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_NAME = r"%s(?:\.%s)*" % (_LABEL, _LABEL)
_PORT = r"(?::(?:[0-9]{1,5}|[a-z][a-z0-9-]*))?"
_DESTINATION = re.compile(r"(?:\.?%s%s|\[(?:%s|[0-9A-Fa-f.:]+|IPv6:[0-9A-Fa-f.:]+)\]%s)" % (_NAME, _PORT, _NAME, _PORT))

#: The levels that a certificate has to satisfy, so that C(match) means something.
_MATCHING = ("fingerprint", "verify", "secure")
_WITH_CA = ("verify", "secure")


def table(entries: list, host: Instance) -> str:
    """The table's text. entries: dicts of destination, level and optionally match, protocols, ciphers, exclude, servername.

    Raises PostfixTlsError naming the entry.
    """
    lines: dict[str, str] = {}
    for entry in entries:
        key = _destination(entry["destination"])
        line = " ".join([entry["level"]] + _attributes(key, entry, host))
        if lines.setdefault(key, line) != line:
            raise PostfixTlsError(
                "policy for %s" % key, line, "it is listed twice, and before as '%s'" % lines[key],
                "Keep one entry for this destination.",
            )
    return HEADER + "".join("%s\t%s\n" % pair for pair in lines.items())


def answers(text: str) -> dict:
    """{key: value} of a table's text, as C(postmap -q) is to give them back."""
    return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)


def _destination(name: str) -> str:
    if not _DESTINATION.fullmatch(name):
        raise PostfixTlsError(
            "policy destination", repr(name), "it is not a name that mail goes to",
            "Write example.org, .example.org (its subdomains), [relay.example.org] or [relay.example.org]:587.",
        )
    return name.lower()


def _attributes(key: str, entry: dict, host: Instance) -> list:
    item = "policy for %s" % key
    level = entry["level"]
    if level not in LEVELS["sending-level"]:
        raise PostfixTlsError(item, level, "it is no level for sending", "Use one of %s." % ", ".join(LEVELS["sending-level"]))
    match = entry.get("match") or []
    if match and level not in _MATCHING:
        raise PostfixTlsError(
            item, "match %s" % ", ".join(match), "level %s does not look at names" % level, "Use level secure, or leave match out.",
        )
    if level == "fingerprint" and not match:
        raise PostfixTlsError(item, level, "it needs the digests to accept", "List them as match.")
    trust = [name for name in ("smtp_tls_CAfile", "smtp_tls_CApath") if host.effective(name)]
    if level in _WITH_CA and not trust and host.effective("tls_append_default_CA") != "yes":
        raise PostfixTlsError(
            item, level, "this host's smtp client trusts no CA, so every message would wait in the queue",
            "Set smtp_tls_CApath (Debian: /etc/ssl/certs) or smtp_tls_CAfile in smtp_tls_parameters.",
        )
    if level.startswith("dane") and host.effective("smtp_dns_support_level") != "dnssec":
        raise PostfixTlsError(
            item, level, "this host does not validate DNS for mail, so Postfix would not find any TLSA record",
            "Set smtp_dns_support_level to dnssec, with a validating resolver on loopback.",
        )
    written = []
    if match:
        written.append("match=%s" % ("|" if level == "fingerprint" else ":").join(_word(item, name) for name in match))
    if entry.get("protocols"):
        written.append("protocols=%s" % protocol_list.render(entry["protocols"], host.version, item).replace(", ", ":"))
    if entry.get("ciphers"):
        if entry["ciphers"] not in GRADES:
            raise PostfixTlsError(item, entry["ciphers"], "it is no cipher grade", "Use one of %s." % ", ".join(GRADES))
        written.append("ciphers=%s" % entry["ciphers"])
    if entry.get("exclude"):
        written.append("exclude=%s" % ":".join(_word(item, token) for token in entry["exclude"]))
    if entry.get("servername"):
        written.append("servername=%s" % _word(item, entry["servername"]))
    return written


def _word(item: str, text: str) -> str:
    """One word of an attribute's value: a blank or a line break would start another attribute, or another entry."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise PostfixTlsError(item, repr(text), "it holds a blank or a control character", "Write it as a single word.")
    return text
