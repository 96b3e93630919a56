# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Named destinations: typed entries, judged and written in the syntax of C(smtp_tls_policy_maps).

Source: TLS_README "Per-destination TLS policy", postconf(5) smtp_tls_policy_maps.
"""
from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from operator import itemgetter
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, source
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.effect import by_main_cf, effect, trusts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.domains import ascii_form, domain, in_letters
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance

LEVELS = values.LEVELS["sending-level"]
#: Octets of a digest, by the name in C(smtp_tls_fingerprint_digest).
DIGESTS = {"md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}
#: What C(match) may hold beside names. Source: postconf(5) smtp_tls_verify_cert_match.
STRATEGIES = ("hostname", "nexthop", "dot-nexthop")

_TLS = LEVELS[1:]
_CA = ("verify", "secure")

#: Names as most are, in the form Postfix looks them up; what is none of these is looked at more closely.
_PLAIN = re.compile(r"(?!.{254})\.?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_FORM = re.compile(r"(?P<name>\.?[^\[\]:\s]+|\[(?P<host>[^\[\]\s]+)\])(?P<port>:[0-9]{1,5}|:[a-z][a-z0-9-]*)?", re.ASCII)
_WRITE = "Write example.org, .example.org (its subdomains), [relay.example.org] or [relay.example.org]:587."


class Table(NamedTuple):
    """lines: {key: policy}, as C(postmap -q) is to give them back. anchors: {path: PEM text} that C(tafile) names. lacking: of this host."""

    lines: dict
    anchors: dict
    lacking: list


class _Attribute(NamedTuple):
    """levels: where it means something. since: Postfix release that knows it. text: (item, value, host) -> what is written."""

    levels: tuple
    text: Callable
    name: str = ""
    since: tuple = ()


def table(entries: list, host: Instance) -> Table:
    """entries: dicts of destination, level and attributes as the module's options have them; None is not asked for.

    Raises PostfixTlsError naming the entry. What only this host's release lacks is left out and told in lacking, as values.Unsupported.
    """
    made = Table({}, {}, [])
    known: dict = {}  # most entries of a long table ask for the same
    both, lines = host.effective("smtputf8_enable") == "yes", made.lines
    for entry in entries:
        if len(entry) < len(_ENTRY):
            entry = {**_ENTRY, **entry}
        name, *plain, match, fingerprints, exclude = _OPTIONS(entry)
        shape = (*plain, tuple(match) if match else None, tuple(fingerprints) if fingerprints else None, tuple(exclude) if exclude else None)
        line = known.get(shape)
        if line is None:
            line = known[shape] = _line("policy for %s" % name, entry, host, made)
        for key in (name,) if _PLAIN.fullmatch(name) and "xn--" not in name else _keys(name, both):
            if lines.setdefault(key, line) != line:
                raise PostfixTlsError(
                    "policy for %s" % key, line, "it is listed twice, and before as '%s'" % lines[key], "Keep one entry for this destination.",
                )
    return made


def _keys(name: str, both: bool) -> tuple:
    """What Postfix looks up for it: an internationalised name in both forms, for it does not convert one to the other (SMTPUTF8_README)."""
    form = _FORM.fullmatch(name.lower())
    if not form:
        raise _no_destination(name, "it is not a name that mail goes to", "Write .%s for its subdomains." % name[2:] if name.startswith("*.") else _WRITE)
    port, host = form.group("port") or "", form.group("host")
    if port[1:].isdigit() and not 0 < int(port[1:]) < 65536:
        raise _no_destination(name, "there is no port %s" % port[1:], _WRITE)
    bare = host or form.group("name")
    address = bare.replace("ipv6:", "", 1)
    if _address(address):
        if "%" in address:
            raise _no_destination(name, "smtp(8) takes no address with a zone, and dies of it", "Write a name that resolves to it in brackets.")
        if address != bare and ":" not in address:
            raise _no_destination(name, "smtp(8) takes no IPv4 address behind ipv6:, and dies of it", "Write [%s]%s." % (address, port))
        if not host:
            raise _no_destination(name, "Postfix looks up an address in brackets", "Write [%s]%s." % (bare, port))
        return (name.lower(),)
    if bare.startswith(".") and (host or port):
        raise _no_destination(name, "only a domain has subdomains, and Postfix looks up what has brackets or a port as it is", "Write %s." % bare)
    dot = "." if bare.startswith(".") else ""
    try:
        name_in_ascii = domain(_ascii(bare[len(dot):]))
    except ValueError as error:
        raise _no_destination(name, str(error), "Write %s." % bare.rstrip(".") if bare.endswith(".") and bare.strip(".") else _WRITE) from None
    forms = dict.fromkeys([name_in_ascii, in_letters(name_in_ascii) if both else name_in_ascii])
    return tuple("%s%s%s" % (dot, "[%s]" % text if host else text, port) for text in forms)


def _ascii(name: str) -> str:
    """Its IDNA form, where that can be told: domain() says what is wrong with others."""
    try:
        return ascii_form(name)
    except ValueError:
        return name


def _no_destination(name: str, reason: str, remedy: str) -> PostfixTlsError:
    return PostfixTlsError("policy destination", repr(name), reason, remedy)


def _address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _line(item: str, entry: dict, host: Instance, made: Table) -> str:
    level = entry["level"]
    if level not in LEVELS:
        raise PostfixTlsError(item, level, "it is no level for sending", "Use one of %s." % ", ".join(LEVELS))
    written = [level]
    for option, attribute in _ATTRIBUTES.items():
        value = entry.get(option)
        if value is None or value in ("", []):
            continue
        if level not in attribute.levels:
            raise PostfixTlsError(
                item, option if option == "tafile" else "%s %s" % (option, values.as_text(value)), "level %s does not look at it" % level,
                "Use level %s, or leave %s out." % (" or ".join(attribute.levels[-2:]), option),
            )
        if host.version < attribute.since:
            made.lacking.append(values.Unsupported(
                item, option, "Postfix %d.%d on this host does not know it, and no mail would go there" % host.version,
                "Leave it out for this host, or have such things skipped: unsupported: skip.",
            ))
            continue
        text = attribute.text(item, value, host)
        if option == "tafile":
            made.anchors.update([text])
            text = text[0]
        written.append("%s=%s" % (attribute.name or option, text))
    _possible(item, level, entry, host)
    return " ".join(written)


def _possible(item: str, level: str, entry: dict, host: Instance) -> None:
    """Raises PostfixTlsError for a level at which every message would wait in the queue."""
    trust = entry.get("tafile") or trusts(lambda name: host.effective("smtp_" + name), host)
    if level in _CA and not trust:
        raise PostfixTlsError(
            item, level, "this host's smtp client trusts no CA, so every message would wait in the queue",
            "Set smtp_tls_CApath (Debian: /etc/ssl/certs) or smtp_tls_CAfile in smtp_tls_parameters, or name the CA here: tafile.",
        )
    if level.startswith("dane") and host.effective("smtp_dns_support_level") != "dnssec":
        raise PostfixTlsError(
            item, level, "this host does not validate DNS for mail, so Postfix would not find any TLSA record",
            "Set smtp_dns_support_level to dnssec, with a validating resolver on loopback.",
        )
    if entry.get("connection_reuse") and host.effective("tlsproxy_service_name") not in [service.name for service in host.services]:
        raise PostfixTlsError(
            item, "connection_reuse", "that is done by tlsproxy(8), which master.cf has not, so every message would wait in the queue",
            "Uncomment the service tlsproxy in master.cf, or leave connection_reuse out.",
        )
    if level == "fingerprint" and not entry.get("fingerprints") and not host.effective("smtp_tls_fingerprint_cert_match"):
        raise PostfixTlsError(item, level, "it needs the digests to accept", "List them as fingerprints.")
    attributes = {"match": entry.get("match") or entry.get("fingerprints"), "tafile": [] if entry.get("tafile") else None}
    found = effect(host, by_main_cf(host), "", level, {name: value for name, value in attributes.items() if value is not None})
    if found.wrong or found.lowered:
        raise PostfixTlsError(
            item, level, "no mail would go there: %s" % found.wrong if found.wrong else found.lowered,
            "Use level encrypt or a stronger one." if level in ("none", "may") else "Set that otherwise (smtp_tls_parameters, the module's parameters).",
        )


def _names(item: str, names: list, host: Instance) -> str:
    written = []
    for name in names:
        dot = "." if name.startswith(".") else ""
        try:
            written.append(name if name in STRATEGIES else dot + domain(_ascii(name[len(dot):])))
        except ValueError as error:
            raise PostfixTlsError(
                item, "match %r" % name, "no certificate is looked at for that: %s" % error,
                "Write .%s, which is any name below it." % name[2:] if name.startswith("*.") and ":" not in name else
                "Write names the certificate has, such as mx.example.org or .example.org, or one of %s." % ", ".join(STRATEGIES),
            ) from None
    return ":".join(written)


def _fingerprints(item: str, digests: list, host: Instance) -> str:
    """As Postfix logs them: pairs of capital digits with colons between."""
    algorithm = host.effective("smtp_tls_fingerprint_digest").lower()
    written = []
    for digest in digests:
        digits = digest.replace(":", "").upper()
        if not re.fullmatch(r"([0-9A-F]{2})+", digits):
            raise PostfixTlsError(
                item, "fingerprints %r" % digest, "it is no digest in hexadecimal",
                "Write what openssl x509 -noout -fingerprint -%s prints behind the equals sign." % (algorithm or "sha256"),
            )
        octets = len(digits) // 2
        if octets != DIGESTS.get(algorithm, octets):
            kind = next((name for name, size in DIGESTS.items() if size == octets), "")
            raise PostfixTlsError(
                item, "fingerprints %s" % digest, "%s, and this host compares %s, which has %d: no certificate would match" % (
                    "it is one of %s" % kind if kind else "it has %d octets" % octets, algorithm, DIGESTS[algorithm]),
                "Set smtp_tls_fingerprint_digest: %s in smtp_tls_parameters, or list %s digests." % (kind or "sha256", algorithm),
            )
        written.append(":".join(re.findall("..", digits)))
    return "|".join(written)


def _protocols(item: str, text: str, host: Instance) -> str:
    return protocol_list.render(text, host.version, item).replace(", ", ":")


def _ciphers(item: str, grade: str, host: Instance) -> str:
    if grade not in values.GRADES:
        raise PostfixTlsError(item, grade, "it is no cipher grade", "Use one of %s." % ", ".join(values.GRADES))
    return grade


def _exclude(item: str, tokens: list, host: Instance) -> str:
    text = ":".join(tokens)
    wrong = values.judged("exclusions", text, host) if re.fullmatch(r"[\x21-\x7e]+", text) and all(tokens) else values.Complaint(
        "it holds a blank or a control character, or nothing", remedy="Write each as a single word.",
    )
    if wrong:
        raise PostfixTlsError(item, "exclude %r" % text, wrong.reason, "Write %s." % wrong.instead.split(":") if wrong.instead else wrong.remedy)
    return text


def _servername(item: str, name: str, host: Instance) -> str:
    try:
        return domain(_ascii(name))
    except ValueError as error:
        raise PostfixTlsError(item, "servername %r" % name, str(error), "Write the name to ask for, such as mx.example.org.") from None


def _yes_or_no(item: str, value: bool, host: Instance) -> str:
    return values.as_text(value)


def _anchor(item: str, value: str, host: Instance) -> tuple:
    """(path, PEM text): a copy of its own, named by what is in it, that Postfix can read without privileges (postconf(5) smtp_tls_trust_anchor_file)."""
    item = "%s: tafile" % item
    given = "-----BEGIN " in value
    if not given and not value.startswith("/"):
        raise PostfixTlsError(item, repr(value[:60]), "it is neither a path nor a certificate", "Write an absolute path on this host, or PEM text.")
    blocks = pem.blocks(item, value if given else source.text(item, value))
    wrong = sorted({label for label, _block in blocks if label not in pem.ANCHORS})
    if wrong or not blocks:
        raise PostfixTlsError(
            item, None if given else value, "a trust anchor is a certificate or a public key, and there is %s" % (", ".join(wrong) or "none"),
            "Name the PEM file of the CA whose certificates are to be trusted.",
        )
    for number, (label, block) in enumerate(blocks, 1):
        if label in pem.CERTIFICATES:
            pem.der(item, block, number)
    text = "".join(block for _label, block in blocks)
    return os.path.join(host.directory, "tls_trust", "%s.pem" % hashlib.sha256(text.encode()).hexdigest()[:16]), text


#: Options of an entry, in the order they are written.
_ATTRIBUTES = {
    "match": _Attribute(_CA, _names),
    "fingerprints": _Attribute(("fingerprint",), _fingerprints, "match"),
    "protocols": _Attribute(_TLS, _protocols),
    "ciphers": _Attribute(_TLS, _ciphers),
    "exclude": _Attribute(_TLS, _exclude),
    "tafile": _Attribute(_CA, _anchor),
    "servername": _Attribute(_TLS, _servername),
    "connection_reuse": _Attribute(_TLS, _yes_or_no),
    "enable_rpk": _Attribute(_TLS, _yes_or_no, since=(3, 9)),
}
_ENTRY = dict.fromkeys(("destination", "level", *_ATTRIBUTES))
_LISTS = ("match", "fingerprints", "exclude")
_OPTIONS = itemgetter(*(option for option in _ENTRY if option not in _LISTS), *_LISTS)
