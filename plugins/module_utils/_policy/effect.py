# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the rest of main.cf leaves of a policy: the level that holds in the end, and why there is mail that Postfix does not send at all.

Source: policy_create() and dane_init() of Postfix's smtp_tls_policy.c; postconf(5) smtp_tls_wrappermode, smtp_tls_servername, ignore_mx_lookup_error.
"""
from __future__ import annotations

import re
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import tables
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.syntax import no_handshake
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service

_DANE = ("dane", "dane-only")
_BY_CA = ("verify", "secure")
#: A digest in hexadecimal, as Postfix reads it since 3.6; releases before compare the text, and send where none is alike to nobody.
_DIGEST = re.compile(r"(?:[0-9A-Fa-f]{2}:?)+")
_DIGESTS_READ_SINCE = (3, 6)


class Effect(NamedTuple):
    """level: the one that holds. wrong: why no mail goes there, "" where it may. lowered: why the level is less than what the policy says."""

    level: str
    wrong: str = ""
    lowered: str = ""


def effect(host: Instance, service: Service, next_hop: str, level: str, attributes: dict) -> Effect:
    """Of a policy that Postfix could read, for mail to next_hop by this service of master.cf. attributes: as parsed has them."""
    def own(name: str) -> str:
        return host.effective("%s_%s" % (service.program, name), service)

    lowered = ""
    if level in _DANE:
        if re.match("unix:|/", next_hop):
            return Effect(level, "level %s takes a host, and %s is a socket" % (level, next_hop))
        reason = no_tlsa(own, host, service)
        if reason and level == "dane-only":
            return Effect(level, "dane-only finds no TLSA records: %s" % reason)
        level, lowered = ("may", "%s is may here: %s" % (level, reason)) if reason else (level, "")
    if own("tls_wrappermode") == "yes" and level in ("none", "may"):
        return Effect(level, "%s_tls_wrappermode needs level encrypt or a stronger one%s" % (service.program, lowered and ", and %s" % lowered), lowered)
    if level == "none":
        return Effect(level)
    judges = (_name_to_ask_for, _proxy, _digests, _anchors) + ((_handshake, _offer) if level != "may" else ())
    return Effect(level, next(filter(None, (judge(own, host, service, level, attributes) for judge in judges)), ""), lowered)


def no_tlsa(own: Callable, host: Instance, service: Service | None = None) -> str:
    """Why Postfix asks for no TLSA records, "" where it does. own: from a parameter's name without smtp_ or lmtp_ to its value."""
    support, lookups, options = own("dns_support_level"), tables(own("host_lookup") or "dns"), set(tables(own("dns_resolver_options")))
    if support != "dnssec":
        return "smtp_dns_support_level is %s, not dnssec" % (support or "not set")
    if "dns" not in lookups:
        return "smtp_host_lookup is %s, without dns" % " ".join(lookups)
    if host.effective("ignore_mx_lookup_error", service) == "yes":
        return "ignore_mx_lookup_error is yes"
    return "smtp_dns_resolver_options has %s" % ", ".join(sorted(options)) if options & {"res_defnames", "res_dnsrch"} else ""


def by_main_cf(host: Instance) -> Service:
    """The service smtp(8) with no settings of its own, for what main.cf decides."""
    there = next((service.chroot for service in host.services if (service.kind, service.program) == ("unix", "smtp")), "-")
    return Service("smtp", "unix", "smtp", {}, there)


def chrooted(host: Instance, service: Service) -> bool:
    """master(5): a hyphen means the default, which is y where compatibility_level is below 1."""
    return service.chroot == "y" or (service.chroot == "-" and host.effective("compatibility_level").partition(".")[0] in ("", "0"))


def trusts(own: Callable, host: Instance) -> bool:
    """Whether it trusts any CA."""
    return any(map(own, ("tls_CAfile", "tls_CApath", "tls_trust_anchor_file"))) or host.effective("tls_append_default_CA") == "yes"


def _name_to_ask_for(own: Callable, _host: Instance, service: Service, _level: str, attributes: dict) -> str:
    name = "" if "servername" in attributes else own("tls_servername")
    return "%s_tls_servername = %s is no host name" % (service.program, name) if name and not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name) else ""


def _proxy(own: Callable, host: Instance, _service: Service, _level: str, attributes: dict) -> str:
    reuse = (attributes.get("connection_reuse") or own("tls_connection_reuse")).lower() == "yes"
    there = host.effective("tlsproxy_service_name") in [service.name for service in host.services]
    return "connection_reuse is done by tlsproxy(8), which master.cf has not" if reuse and not there else ""


def _digests(own: Callable, host: Instance, service: Service, level: str, attributes: dict) -> str:
    if level != "fingerprint":
        return ""
    digests = attributes.get("match", []) if "match" in attributes else tables(own("tls_fingerprint_cert_match"))
    if not digests:
        return "fingerprint needs digests, in match or %s_tls_fingerprint_cert_match" % service.program
    if host.version >= _DIGESTS_READ_SINCE and not any(map(_DIGEST.fullmatch, digests)):
        return "%s is no digest in hexadecimal" % digests[0]
    return ""


def _anchors(own: Callable, host: Instance, service: Service, level: str, attributes: dict) -> str:
    if level not in _BY_CA:
        return ""
    root = host.effective("queue_directory") if chrooted(host, service) else ""
    files = attributes.get("tafile")  # none of them, where they are written with the entry
    for path in tables(own("tls_trust_anchor_file")) if files is None else files:
        if not _holds_pem(root + path):
            return "trust anchors can't be read from %s%s" % (root, path)
    if files is None and not trusts(own, host):
        return "the %s client trusts no CA (%s_tls_CApath, %s_tls_CAfile)" % ((service.program,) * 3)
    return "there is no name to match" if attributes.get("match") == [] else ""


def _holds_pem(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "-----BEGIN " in file.read()
    except OSError:
        return False


def _handshake(_own: Callable, host: Instance, _service: Service, level: str, attributes: dict) -> str:
    return no_handshake(level, attributes, host.version)


def _offer(own: Callable, _host: Instance, service: Service, level: str, _attributes: dict) -> str:
    """At dane, servers without TLSA records are sent to in the clear then."""
    if own("tls_wrappermode") == "yes" or level == "dane":
        return ""
    if own("never_send_ehlo") == "yes":
        return "%s_never_send_ehlo is yes, so no server is asked for STARTTLS" % service.program
    hidden = "starttls" in own("discard_ehlo_keywords").lower().replace(",", " ").split()
    return "%s_discard_ehlo_keywords hides STARTTLS" % service.program if hidden else ""


def clear_by_header(host: Instance, service: Service, level: str) -> bool:
    """Whether TLS-Required: No in a message (RFC 8689) has it go as with may: cleanup(8) reads the header, and the client heeds it.

    Source: postconf(5) tls_required_enable.
    """
    readers = [reader for reader in host.services if reader.program == "cleanup"] or [None]
    enabled = all(any(host.effective("tls_required_enable", at).lower() == "yes" for at in services) for services in ([service], readers))
    return enabled and level not in ("none", "may")
