# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Keys and answers of a policy table, as Postfix's SMTP client reads them, whoever wrote them.

Source: TLS_README "Per-destination TLS policy", postconf(5) smtp_tls_policy_maps; tls_policy_lookup_one() of Postfix's smtp_tls_policy.c, which refuses
more than the manual says.
"""
from __future__ import annotations

import re
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.nexthop import parents
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.domains import ascii_form, domain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

#: {level: the parameter, without smtp_tls_, that says which names or digests count where an answer has no match}
MATCHING = {"verify": "verify_cert_match", "secure": "secure_cert_match", "fingerprint": "fingerprint_cert_match"}
#: From this release on, { name = value } may hold blanks.
BRACES_SINCE = (3, 10)
LEVELS = values.LEVELS["sending-level"]

_BLANKS = ", \t\r\n"
#: valid_hostname(3): underscores count, an address does not.
_HOSTNAME = re.compile(r"(?=.{1,255}$)(?!(?:[0-9]+\.)*[0-9]+$)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")


class _Attribute(NamedTuple):
    """levels: where it means something, None for all that use TLS. since: the release that knows it. once: whether a second one is refused.

    wrong: value -> what is wrong with it, "" where nothing is.
    """

    wrong: Callable
    levels: tuple | None = None
    since: tuple = ()
    once: bool = True


def _any(_value: str) -> str:
    return ""


def _filled(value: str) -> str:
    return "" if value else "it is empty"


def _one_of(*choices: str) -> Callable:
    return lambda value: "" if value.lower() in choices else "it takes one of %s" % ", ".join(choices)


def _hostname(value: str) -> str:
    return "" if _HOSTNAME.fullmatch(value) else "it is no host name"


def _number(value: str) -> str:
    return "" if re.fullmatch("[0-9]{1,18}", value) else "it takes a whole number"


_YES_OR_NO = _one_of("yes", "no")
_ATTRIBUTES = {
    "ciphers": _Attribute(_filled),
    "protocols": _Attribute(_any),
    "servername": _Attribute(_hostname),
    "match": _Attribute(_filled, tuple(MATCHING), once=False),
    "exclude": _Attribute(_any),
    "tafile": _Attribute(_filled, ("verify", "secure"), once=False),
    "connection_reuse": _Attribute(_YES_OR_NO, once=False),
    "enable_rpk": _Attribute(_YES_OR_NO, since=(3, 9), once=False),
    # What plug-ins for TLSRPT and MTA-STS send along.
    "policy_ttl": _Attribute(_number, since=(3, 10)),
    "policy_type": _Attribute(_one_of("sts", "no-policy-found"), since=(3, 10)),
    "policy_domain": _Attribute(_hostname, since=(3, 10)),
    "policy_string": _Attribute(_any, since=(3, 10), once=False),
    "mx_host_pattern": _Attribute(_any, since=(3, 10), once=False),
    "policy_failure": _Attribute(
        _one_of("sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid", "validation-failure"), since=(3, 10),
    ),
}
#: Of these, each needs policy_type beside it.
_OF_TYPE = ("policy_ttl", "policy_domain", "policy_string", "mx_host_pattern", "policy_failure")
_LISTS = ("match", "tafile", "policy_string", "mx_host_pattern")


def keys(next_hop: str) -> list:
    """What Postfix looks up for a next hop: a domain and those above it, with a leading dot; anything else as it is."""
    try:
        name = domain(ascii_form(next_hop))
    except ValueError:
        return [next_hop]
    return [next_hop, *parents(next_hop, True)] if name else [next_hop]


def parsed(text: str, version: tuple) -> tuple:
    """(level, {attribute: value; of match and tafile a list}, why Postfix of this release sends no mail on it) of a table's answer."""
    braces = version >= BRACES_SINCE
    level, *pairs = (words(text, _BLANKS) if braces else re.findall(r"[^%s]+" % _BLANKS, text)) or [""]
    level = level.lower()
    if level not in LEVELS:
        return level, {}, "%s is no level" % (level or "an empty answer")
    attributes: dict = {}
    for pair in pairs if level != "none" else ():
        name, value, wrong = _pair(pair, braces)
        wrong = wrong or _misplaced(name, value, level, attributes, version)
        if wrong:
            return level, attributes, wrong
        if name == "match":
            attributes.setdefault(name, []).extend(filter(None, re.split("[|]" if level == "fingerprint" else ":", value)))
        elif name in _LISTS:
            attributes.setdefault(name, []).append(value)
        else:
            attributes[name] = value
    odd = [name for name in _OF_TYPE if name in attributes and "policy_type" not in attributes]
    return level, attributes, "%s is refused without policy_type" % odd[0] if odd else ""


def _pair(text: str, braces: bool) -> tuple:
    """(name, value, why Postfix can't read it), as extpar(3) and split_nameval(3) take it apart."""
    bare = text
    if braces and text.startswith("{"):
        if not text.endswith("}") or _closes(text) != len(text):
            return "", "", "%s has a brace that does not close at its end" % text
        bare = " ".join(text[1:-1].split())
    name, equals, value = bare.partition("=")
    if not name.strip() or not equals or " " in name.strip():
        return "", "", "%s is no attribute" % text
    return name.strip().lower(), value.strip(), ""


def _closes(text: str) -> int:
    """Behind the brace that closes the first one, 0 where none does."""
    depth = 0
    for at, char in enumerate(text, 1):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0:
            return at
    return 0


def _misplaced(name: str, value: str, level: str, before: dict, version: tuple) -> str:
    attribute = _ATTRIBUTES.get(name)
    if attribute is None:
        return "%s is no attribute" % name
    if version < attribute.since:
        return "Postfix %d.%d does not know %s, which came with %d.%d" % (*version, name, *attribute.since)
    if attribute.once and name in before:
        return "%s is there twice" % name
    if attribute.levels and level not in attribute.levels:
        return "%s means nothing at level %s" % (name, level)
    wrong = attribute.wrong(value)
    return "%s=%s: %s" % (name, value, wrong) if wrong else ""


def no_handshake(level: str, attributes: dict, version: tuple) -> str:
    """Why no handshake of an answer that Postfix took ever begins: it is judged once there is a server to speak to.

    At level may, mail goes in the clear then.
    """
    grade, protocols = attributes.get("ciphers", "high"), attributes.get("protocols", "")
    if grade.lower() not in values.GRADES:
        return "ciphers=%s is no cipher grade" % grade
    ranges = [word for word in protocol_list.tokens(protocols) if word[0] in "<>"]
    if ranges and version < protocol_list.RANGES_SINCE:
        return "Postfix %d.%d does not know %s, which came with 3.6" % (*version, ranges[0])
    try:
        left = protocol_list.accepted(protocols) - {"SSLv2"}
    except PostfixTlsError as error:
        return "protocols=%s: %s" % (protocols, error.reason.partition(";")[0])
    return "" if left else "protocols=%s leaves no protocol version on" % protocols
