# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the collection knows of single parameters: their kind, and which of today's replaces an obsolete one.

A row is C(name: kind). Parameters without a row pass as text, if the host's own C(postconf) knows the name.
Source: postconf(5).
"""
from __future__ import annotations

import difflib
import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list

LEVELS = {
    "receiving level": ("none", "may", "encrypt"),
    "sending level": ("none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"),
}
GRADES = ("high", "medium", "low", "export", "null")

KINDS = {
    "smtpd_tls_auth_only": "boolean",
    "smtpd_tls_chain_files": "list",
    "smtpd_tls_ciphers": "grade",
    "smtpd_tls_loglevel": "integer",
    "smtpd_tls_mandatory_ciphers": "grade",
    "smtpd_tls_mandatory_protocols": "protocols",
    "smtpd_tls_protocols": "protocols",
    "smtpd_tls_received_header": "boolean",
    "smtpd_tls_security_level": "receiving level",
    "smtpd_tls_wrappermode": "boolean",
    "smtp_tls_ciphers": "grade",
    "smtp_tls_connection_reuse": "boolean",
    "smtp_tls_loglevel": "integer",
    "smtp_tls_mandatory_ciphers": "grade",
    "smtp_tls_mandatory_protocols": "protocols",
    "smtp_tls_note_starttls_offer": "boolean",
    "smtp_tls_policy_maps": "list",
    "smtp_tls_protocols": "protocols",
    "smtp_tls_security_level": "sending level",
    "smtp_tls_wrappermode": "boolean",
    "tls_preempt_cipherlist": "boolean",
}

#: What a chain file replaces (Postfix 3.4 warns and ignores these beside C(smtpd_tls_chain_files)).
SERVED_BY_CHAIN_FILES = tuple(
    "smtpd_tls_%s%s_file" % (kind, what) for kind in ("", "d", "ec") for what in ("cert", "key")
)

#: Obsolete names a security level overrides; they go when the level is written.
OVERRIDDEN_BY_LEVEL = {
    "smtpd_tls_security_level": ("smtpd_use_tls", "smtpd_enforce_tls"),
    "smtp_tls_security_level": ("smtp_use_tls", "smtp_enforce_tls"),
}


def render(name: str, value: object, version: tuple, known: frozenset) -> str:
    """The text to write for a value of intent (YAML boolean, number, list or text) on a host of this version.

    known: the names the host's C(postconf) knows. Raises PostfixTlsError for what Postfix would not take, or would
    take and not mean.
    """
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=1)
        raise PostfixTlsError(
            name, _text(value), "Postfix %s on this host knows no such parameter" % ".".join(map(str, version)),
            "Did you mean %s?" % near[0] if near else "See postconf(5) for its name in this release.",
        )
    if isinstance(value, dict):
        raise PostfixTlsError(name, _text(value), "a value is text, a number, yes or no, or a list", "Write it as postconf(5) has it.")
    text = _text(value)
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise PostfixTlsError(name, repr(text), "a value is one line of printable text", "Remove the line break or control character.")
    kind = KINDS.get(name, "text")
    if "$" in text:
        return text
    if kind == "protocols":
        return protocol_list.render(text, version, name)
    if kind in _ALLOWED:
        _one_of(name, text.lower(), _ALLOWED[kind])
        return text.lower()
    if kind == "integer" and not re.fullmatch("[0-9]+", text):
        raise PostfixTlsError(name, text, "it takes a whole number", "Write for example %s: 1." % name)
    return text


def same(name: str, one: str, other: str) -> bool:
    """Whether two texts mean the same for this parameter, so that writing one over the other is no change."""
    kind = KINDS.get(name, "text")
    if kind == "protocols":
        return protocol_list.same(one, other)
    if kind == "list":
        return re.split(r"[\s,]+", one.strip()) == re.split(r"[\s,]+", other.strip())
    if kind in _ALLOWED:
        return one.strip().lower() == other.strip().lower()
    return " ".join(one.split()) == " ".join(other.split())


_ALLOWED = dict(LEVELS, grade=GRADES, boolean=("yes", "no"))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value).strip()


def _one_of(name: str, text: str, choices: tuple) -> None:
    if text in choices:
        return
    reason = "it takes one of %s" % ", ".join(choices)
    if name == "smtpd_tls_security_level" and text in LEVELS["sending level"]:
        reason += "; %s is a level for sending (smtp_tls_security_level)" % text
    near = difflib.get_close_matches(text, choices, n=1)
    raise PostfixTlsError(name, text, reason, "Write %s: %s." % (name, near[0] if near else choices[min(1, len(choices) - 1)]))
