# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Which TLS policy holds for a recipient, as Postfix's SMTP client finds it, and what that means in words.

Source: TLS_README "Per-destination TLS policy", postconf(5) smtp_tls_policy_maps, smtp_tls_security_level.
"""
from __future__ import annotations

import re
from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import nexthop
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.effect import chrooted, clear_by_header, effect
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup, tables
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.syntax import MATCHING, keys, parsed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service

#: What a level means for a message. {versions}, {match} and {tls} are of the policy.
_MEANING = {
    "none": "TLS is not used: every message goes in the clear.",
    "may": "A message is encrypted ({versions}) where the server offers it and the handshake succeeds, and goes in the clear where not. Whose"
           " certificate that is does not matter.",
    "encrypt": "No message goes in the clear: {tls}, it waits in the queue. Whose certificate that is does not matter.",
    "dane": "Where DNSSEC vouches for TLSA records of the server, no message goes in the clear and the certificate has to match them; where there are none,"
            " it is as with may, and where they are of no use, as with encrypt.",
    "dane-only": "No message goes in the clear, and only a server whose certificate matches TLSA records that DNSSEC vouches for gets any; else it waits"
                 " in the queue.",
    "fingerprint": "No message goes in the clear, and only a server whose certificate or key has one of the digests {match} gets any; else it waits in"
                   " the queue.",
    "verify": "No message goes in the clear, and the server needs a certificate that a trusted CA issued for {match}; else it waits in the queue."
              " Which host that is, unsigned DNS says: whoever forges it chooses the name.",
    "secure": "No message goes in the clear, and the server needs a certificate that a trusted CA issued for {match}; else it waits in the queue.",
}


class Policy(NamedTuple):
    """What holds for one next hop. source: the table, or the parameter, that says so. wrong: why no mail goes there at all.

    lowered: why level is less than what source says. clear_by_header: whether TLS-Required: No in a message makes it may.
    """

    next_hop: str
    key: str | None
    source: str
    text: str
    level: str
    attributes: dict
    match: list
    protocols: str
    ciphers: str
    wrapper: bool
    wrong: str
    lowered: str
    clear_by_header: bool


class Explainer:
    """host: the instance whose SMTP client sends. lookup: tables of the same instance."""

    def __init__(self, host: Instance, lookup: Lookup) -> None:
        self._host = host
        self._lookup = lookup
        self._router = nexthop.Router(host, lookup)

    def explain(self, recipients: list, sender: str = "") -> list:
        """As RV(results) of tls_policy_info, in the order of recipients. Raises PostfixTlsError for a routing table that can't be asked."""
        self._router.prepare(recipients)
        routes = [self._router.route(recipient, sender) for recipient in recipients]
        for service in {route.service.key: route.service for route in routes if route.smtp}.values():
            hops = dict.fromkeys(hop for route in routes if route.smtp and route.service.key == service.key for hop in route.next_hops)
            self._lookup.prepare([self._from(table, service) for table in tables(self._own(service)("tls_policy_maps"))], list(map(keys, hops)))
        return [self._explained(recipient, route) for recipient, route in zip(recipients, routes)]

    def _explained(self, recipient: str, route: nexthop.Route) -> dict:
        told = {"recipient": recipient, "transport": route.transport, "because": route.because, "next_hops": []}
        if not route.smtp:
            return dict(told, explanation="Mail to %s goes by transport %s (%s), which is not Postfix's SMTP client." % (
                recipient, route.transport or "(none)", route.because))
        fallback = tables(self._own(route.service)("fallback_relay"))
        policies = [(self.policy(hop, route.service), hop in fallback) for hop in dict.fromkeys([*route.next_hops, *fallback])]
        told["next_hops"] = [dict(policy._asdict(), fallback=last, explanation=in_words(policy)) for policy, last in policies]
        return dict(told, explanation=" ".join(_sentence(recipient, route, policy, last) for policy, last in policies))

    def _own(self, service: Service) -> Callable:
        """From a parameter's name without smtp_ or lmtp_ to its value for this service."""
        return lambda name: self._host.effective("%s_%s" % (service.program, name), service)

    def _from(self, table: str, service: Service) -> str:
        """A table as this service has it: without a proxy, a socket's path begins in the queue directory, where it is relative or the client in a chroot.

        Source: DATABASE_README, socketmap_table(5); master(5) "Chroot".
        """
        path = re.match(r"(socketmap:unix:)([^:]+)(:.*)", table)
        if path and (chrooted(self._host, service) or not path.group(2).startswith("/")):
            return "%s%s/%s%s" % (path.group(1), self._host.effective("queue_directory"), path.group(2).lstrip("/"), path.group(3))
        return table

    def policy(self, next_hop: str, service: Service) -> Policy:
        """What holds for mail to this next hop by this service of master.cf."""
        own = self._own(service)
        level, source = default_level(own, service.program)
        key, text, attributes, wrong, lowered = None, level, {}, "", ""
        listed = {self._from(table, service): table for table in tables(own("tls_policy_maps"))}
        try:
            found = self._lookup.find(list(listed), keys(next_hop), len(keys(next_hop)))
        except PostfixTlsError as error:
            found, source, wrong = None, listed[error.item], "%s: %s" % (listed[error.item], error.reason)
        if found:
            key, source, text = found.key.lower(), listed[found.table], found.value
            level, attributes, wrong = parsed(text, self._host.version)
        if not wrong:
            level, wrong, lowered = effect(self._host, service, next_hop, level, attributes)
        between = r"[\s,]+" if level == "fingerprint" else r"[\s,:]+"
        chosen = attributes.get("match") or re.split(between, own("tls_%s" % MATCHING[level]).strip()) if level in MATCHING else []
        mandatory = "" if level == "may" else "mandatory_"
        return Policy(
            next_hop, key, source, text, level, attributes, [name for name in chosen if name],
            attributes.get("protocols") or own("tls_%sprotocols" % mandatory), attributes.get("ciphers") or own("tls_%sciphers" % mandatory),
            own("tls_wrappermode") == "yes", wrong, lowered, not wrong and clear_by_header(self._host, service, level),
        )


def default_level(own: Callable, program: str) -> tuple:
    """(level, the parameter that says so) where no table answers. Source: postconf(5) smtp_tls_security_level and what it replaced."""
    level = own("tls_security_level").lower()
    if level:
        return level, "%s_tls_security_level" % program
    if own("enforce_tls") == "yes":
        return "verify" if own("tls_enforce_peername") == "yes" else "encrypt", "%s_enforce_tls" % program
    return ("may", "%s_use_tls" % program) if own("use_tls") == "yes" else ("none", "%s_tls_security_level" % program)


def _sentence(recipient: str, route: nexthop.Route, policy: Policy, last: bool) -> str:
    way = "Where that fails, it goes to %s (smtp_fallback_relay)." % policy.next_hop if last else "Mail to %s goes to %s (%s)." % (
        recipient, policy.next_hop, route.because)
    said = "Entry %s of %s says %s." % (policy.key, policy.source, policy.text) if policy.key else "No entry is for it, so %s says %s." % (
        policy.source, policy.text)
    if policy.wrong.startswith(policy.source):
        return "%s %s" % (way, in_words(policy))
    return "%s %s %s" % (way, said, in_words(policy))


def in_words(policy: Policy) -> str:
    if policy.wrong:
        return "No mail goes there: %s." % policy.wrong
    match = " or ".join(_name(name, policy.next_hop) for name in policy.match) or "(none)"
    versions = policy.protocols or "any version"
    tls = "without TLS from the first byte (%s)" if policy.wrapper else "where the server offers no STARTTLS, or no handshake succeeds (%s)"
    meaning = _MEANING[policy.level].format(match=match, versions=versions, tls=tls % versions)
    header = " But one with the header TLS-Required: No goes there as with may (tls_required_enable)." if policy.clear_by_header else ""
    return (policy.lowered and "Level %s. " % policy.lowered) + meaning + header


def _name(strategy: str, next_hop: str) -> str:
    bare = re.sub(r":[^\]:]*$", "", next_hop).strip("[]")
    return {"hostname": "the server's name", "nexthop": bare, "dot-nexthop": "a name below %s" % bare}.get(
        strategy, "a name below %s" % strategy[1:] if strategy.startswith(".") else strategy)
