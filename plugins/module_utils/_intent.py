# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""From intent to plan: each step turns what is asked for and what the host is into file changes and findings.

Nothing here writes or connects to anything; files are read once, and Postfix is only asked what it makes of its configuration.
"""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import (
    chains, combinations, consequences, defaults, modernising, overrides, parameters, peers, policy, profiles, references, renewal, required, services, sni,
)
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft, Intent, Proposal

LEVEL = "smtpd_tls_security_level"


def propose(host: Instance, intent: Intent) -> Proposal:
    """The whole plan. Raises PostfixTlsError for anything that can't be done, before anything is done."""
    draft = Draft.of(host, intent)
    services.take(draft)
    modernising.take(draft)
    profiles.take(draft)
    defaults.take(draft)
    chains.take(draft)
    parameters.write(draft)
    references.keep(draft)
    services.write(draft)
    policy.write(draft)
    required.write(draft)
    sni.write(draft)
    renewal.write(draft)
    after = draft.after()
    combinations.review(draft, after)
    _refuse_public_encrypt(draft, after)
    required.look(draft, after)
    sni.look(draft, after)
    overrides.tell(draft, after)
    consequences.tell(draft, after)
    peers.tell(draft, after)
    draft.finish()
    draft.proposal.receiving = any(listener.encrypts for listener in after.listeners() if listener.port == 25)
    return draft.proposal


def _refuse_public_encrypt(draft: Draft, after: Instance) -> None:
    """RFC 3207 section 4: a publicly referenced server must not require TLS for mail to its own domains. What did before, stays as it is."""
    if draft.intent.public_encrypt == "allow":
        return
    before = {service.key: service for service in draft.host.services}
    for service in after.services:
        if not service.receives:
            continue
        listener = after.listener(service)
        if listener.port != 25 or not listener.public or listener.level != "encrypt":
            continue
        asked = draft.services.get(service.key, {}).get(LEVEL, None if LEVEL in draft.unwritten else draft.written.get(LEVEL))
        if asked == "encrypt" or service.key not in before or draft.host.level(before[service.key]) != "encrypt":
            raise PostfixTlsError(
                LEVEL, "encrypt", "port 25 is public, and a public server must take mail in the clear too (RFC 3207)",
                "Write may; where only known peers connect, say so with smtpd_tls_allow_encrypt: true (the module's public_encrypt: allow).",
            )
