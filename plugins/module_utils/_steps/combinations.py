# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parameters that Postfix takes one by one and with which it then sends nothing, receives nothing, or does not do what a level says.

Refused where this change makes it so, or asks for one of them; told where it was so before. Source: smtp_tls_policy.c, smtp_connect.c and
smtpd.c of Postfix 3.5 to 3.11, for which postconf(5) has a word here and there.
"""
from __future__ import annotations

import re
from typing import Iterator, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, chain_files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft

_DANE = ("dane", "dane-only")
_CA = ("verify", "secure")
_HOSTNAME = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?\Z")


class Wrong(NamedTuple):
    """names: the parameters that it takes, the first one at fault. reason: what Postfix does. remedy: what to write."""

    names: tuple
    value: str
    reason: str
    remedy: str


def review(draft: Draft, after: Instance) -> None:
    """after: the instance as it will be. Raises PostfixTlsError for the first that is refused."""
    before = {service.key: service for service in draft.host.services}
    told = set()
    for service in after.services:
        for wrong in _found(after, service):
            where = "master.cf: %s: " % service.key if any(name in service.overrides for name in wrong.names) else ""
            if (where, wrong) in told:
                continue
            told.add((where, wrong))
            item = where + wrong.names[0]
            old = before.get(service.key)
            for_entries = bool(where) and old is not None and old.overrides == service.overrides and _has_entries(after, service)
            asked = _asked(draft, service, wrong) or old is None or wrong.names not in [other.names for other in _found(draft.host, old)]
            if asked and not for_entries:
                raise PostfixTlsError(item, wrong.value, wrong.reason, wrong.remedy)
            whose = "That is for destinations without a policy of their own" if for_entries else "It was so before"
            draft.note("combination", "%s = %s: %s. %s" % (item, wrong.value, wrong.reason, whose), "parameters that Postfix can use together",
                       wrong.remedy[0].lower() + wrong.remedy[1:].rstrip("."), "postconf(5) %s" % wrong.names[0])


def _has_entries(after: Instance, service: Service) -> bool:
    """Whether a table decides the level for some destinations: a transport with an override of its own may be there for those alone."""
    return service.program in ("smtp", "lmtp") and bool(after.effective("%s_tls_policy_maps" % service.program, service))


def _asked(draft: Draft, service: Service, wrong: Wrong) -> bool:
    """Whether somebody wrote one of them now, or it changes."""
    mine = draft.services.get(service.key, {})
    return any(name in mine or name in draft.changed or (name in draft.written and name not in draft.unwritten) for name in wrong.names)


def _found(host: Instance, service: Service) -> Iterator[Wrong]:
    if service.program in ("smtp", "lmtp"):
        yield from _of_client(_values(host, service), service.program, host.services)
    elif service.receives:
        yield from _of_server(host, service, _values(host, service))


def _values(host: Instance, service: Service) -> dict:
    """Postfix is only asked where an override could matter."""
    known = ("tls", "dns", "sasl", "host_lookup", "mx_lookup")
    matters = any(name not in host.known or any(part in name for part in known) for name in service.overrides)
    return host.of(service) if matters else host.values


def _of_client(values: dict, program: str, services: list) -> Iterator[Wrong]:
    """Source of the first: smtp_connect.c; of the others: policy_create and dane_init of smtp_tls_policy.c."""
    def own(name: str) -> str:
        return values.get("%s_%s" % (program, name), "")

    def named(*names: str) -> tuple:
        return tuple("%s_%s" % (program, name) for name in names)

    level, level_name = own("tls_security_level").lower(), "%s_tls_security_level" % program
    level = level or ("encrypt" if own("enforce_tls") == "yes" else "may" if own("use_tls") == "yes" else "none")
    if own("tls_wrappermode").lower() == "yes" and level in ("none", "may"):
        yield Wrong(named("tls_security_level", "tls_wrappermode"), level, "with %s_tls_wrappermode = yes, Postfix sends nothing below level encrypt" % program,
                    "Write %s: encrypt, or a stronger one; or %s_tls_wrappermode: no." % (level_name, program))
    for name in named("tls_verify_cert_match", "tls_secure_cert_match"):
        if name in values and not values[name].strip():
            yield Wrong((name,), "", "it may not be empty: Postfix's client does not start, at whatever level", "Leave it out.")
    if level == "none":
        return
    yield from _without_tlsmgr(values, services, named("tls_security_level"), level)
    if level in _DANE:
        yield from _of_dane(own, values, program, level)
    if level == "fingerprint" and not own("tls_fingerprint_cert_match").strip():
        yield Wrong(named("tls_security_level", "tls_fingerprint_cert_match"), level, "without digests to match, Postfix sends nothing",
                    "Write %s_tls_fingerprint_cert_match: the digests; or name single destinations with theirs (tls_policy_destinations)." % program)
    if level in _CA:
        anchors = ("tls_CAfile", "tls_CApath", "tls_trust_anchor_file")
        if not any(own(name) for name in anchors) and values.get("tls_append_default_CA", "").lower() != "yes":
            yield Wrong((level_name, *named(*anchors), "tls_append_default_CA"), level,
                        "without CAs to trust, no certificate is verified and Postfix sends nothing",
                        "Write %s_tls_CApath: /etc/ssl/certs, or another store." % program)
    if own("tls_servername") and not _HOSTNAME.match(own("tls_servername")):
        yield Wrong(named("tls_servername"), own("tls_servername"), "it is no host name, and Postfix then sends nothing",
                    "Write a host name, nexthop or hostname.")
    proxy = values.get("tlsproxy_service_name", "tlsproxy")
    if own("tls_connection_reuse").lower() == "yes" and not _there(services, proxy, "tlsproxy"):
        yield Wrong((*named("tls_connection_reuse"), "tlsproxy_service_name"), "yes", "master.cf has no service %s, without which no TLS comes about" % proxy,
                    "Uncomment tlsproxy in master.cf first.")


def _without_tlsmgr(values: dict, services: list, names: tuple, level: str) -> Iterator[Wrong]:
    """tlsmgr(8) has the seed of every key. A master.cf without cleanup is not a whole one, and says nothing."""
    manager = values.get("tlsmgr_service_name") or "tlsmgr"
    if _there(services, "cleanup", "cleanup") and not _there(services, manager, "tlsmgr"):
        yield Wrong((*names, "tlsmgr_service_name"), level, "master.cf has no service %s, without which no TLS comes about" % manager,
                    "Uncomment tlsmgr in master.cf first.")


def _of_dane(own: object, values: dict, program: str, level: str) -> Iterator[Wrong]:
    outcome = "Postfix %s" % ("sends nothing" if level == "dane-only" else "then sends as with may, and says so in the log each time")
    level_name, support = "%s_tls_security_level" % program, "%s_dns_support_level" % program
    if own("dns_support_level").lower() != "dnssec":
        yield Wrong((level_name, support), level, "%s is %s, not dnssec: %s" % (support, own("dns_support_level") or "empty", outcome),
                    "Write %s: dnssec, with a resolver that validates on this host; or %s: encrypt or may." % (support, level_name))
    lookup = "%s_host_lookup" % program
    if own("host_lookup") and "dns" not in words(own("host_lookup").lower(), ", \t"):
        yield Wrong((level_name, lookup), level, "%s has no dns: %s" % (lookup, outcome), "Write %s: dns." % lookup)
    if program == "smtp" and values.get("ignore_mx_lookup_error", "").lower() == "yes":
        yield Wrong((level_name, "ignore_mx_lookup_error"), level, "errors of MX look-ups are ignored: %s" % outcome, "Write ignore_mx_lookup_error: no.")


def _of_server(host: Instance, service: Service, values: dict) -> Iterator[Wrong]:
    """Source: pre_jail_init of smtpd.c; postscreen(8)."""
    level = host.level(service)
    wrapper = service.program == "smtpd" and values.get("smtpd_tls_wrappermode", "").lower() == "yes"
    mandatory = "smtpd_tls_wrappermode" if wrapper else "smtpd_tls_security_level" if level == "encrypt" else ""
    if service.program == "postscreen":
        proxy = values.get("tlsproxy_service_name", "tlsproxy")
        if level != "none" and not _there(host.services, proxy, "tlsproxy"):
            yield Wrong(("postscreen_tls_security_level", "smtpd_tls_security_level", "tlsproxy_service_name"), level,
                        "master.cf has no service %s, without which postscreen can do no TLS" % proxy, "Uncomment tlsproxy in master.cf first.")
        return
    if wrapper or level != "none":
        yield from _without_tlsmgr(values, host.services, (mandatory or "smtpd_tls_security_level",), level)
    nothing = "smtpd has no certificate, and refuses all mail there"
    bare = values.get("smtpd_tls_cert_file", "").lower() == "none"
    if mandatory and not chain_files(values) and not bare:
        yield Wrong((mandatory, "smtpd_tls_chain_files", "smtpd_tls_cert_file"), "yes" if wrapper else level, nothing,
                    "Install one (tls_certificate_source, smtpd_tls_chain_files), or leave TLS optional there.")
    asks = values.get("smtpd_tls_ask_ccert", "").lower() == "yes" or (mandatory and values.get("smtpd_tls_req_ccert", "").lower() == "yes")
    if (wrapper or level != "none") and bare and not chain_files(values) and asks:
        yield Wrong(("smtpd_tls_cert_file", "smtpd_tls_ask_ccert", "smtpd_tls_req_ccert"), "none",
                    "without a certificate of its own smtpd can ask for none, and offers no TLS", "Install one, or write smtpd_tls_ask_ccert: no.")
    if level == "none" and not wrapper and all(values.get(name, "").lower() == "yes" for name in ("smtpd_sasl_auth_enable", "smtpd_tls_auth_only")):
        yield Wrong(("smtpd_tls_auth_only", "smtpd_tls_security_level", "smtpd_sasl_auth_enable"), "yes",
                    "TLS is not offered there, so nobody can log in", "Offer TLS there (smtpd_tls_security_level: may, with a certificate), or write"
                    " smtpd_tls_auth_only: no.")


def _there(services: list, name: str, program: str) -> bool:
    return any((service.name, service.program) == (name, program) for service in services)
