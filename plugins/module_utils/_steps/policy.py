# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The table of named destinations, its place in smtp_tls_policy_maps, and the trust anchors it names."""
from __future__ import annotations

import os

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import detours, effect, lint
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.table import table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import own_table, parameters
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

_NAME = "smtp_tls_policy_maps"
_HEADER = "tls_required_enable"
_REFERENCE = "TLS_README, Per-destination TLS policy"
#: Entries of which the same is told, one by one.
_SHOWN = 5
_REMEDY = "List its entries as destinations and move it away, or name another file: tls_policy_file (the module's policy.path)."


def write(draft: Draft) -> None:
    """Raises PostfixTlsError for an entry that can't be meant, or a file of that name that was not written here."""
    asked = draft.intent.policy
    if asked is None:
        return
    path = asked.get("path") or os.path.join(draft.host.directory, "tls_policy")
    host = draft.after()
    made = table(asked["destinations"], host)
    for error in made.lacking:
        if draft.intent.unsupported != "skip":
            raise error
        draft.note("unsupported", "%s: %s is left out: %s" % (error.item, error.value, error.reason), "what was asked for",
                   "nothing, or upgrade this host", "postconf(5)")
    _anchors(draft, made.anchors)
    if not made.lines:
        own_table.take_away(draft, _NAME, path, asked.get("maps"))
        return
    own, others = own_table.put(draft, _NAME, path, made.lines, _REMEDY, asked.get("maps"))
    draft.proposal.tables[own] = made.lines
    host = draft.after()  # with the table in its place
    told = lint.Policies(made.lines, others, host, Lookup(host.run, host.directory, {own: made.lines}), own)
    lint.openable(told)
    lint.sendable(told)
    _ignore_header(draft, host, bool(told.mandatory()))
    for rule in (*lint.RULES, *detours.RULES):
        found = list(rule(told))
        for warned in found[:_SHOWN]:
            draft.note("policy", *warned, _REFERENCE)
        if found[_SHOWN:]:
            draft.note("policy", "the same is so of %d entries more" % len(found[_SHOWN:]), *found[_SHOWN][1:], _REFERENCE)


def _ignore_header(draft: Draft, host: Instance, mandatory: bool) -> None:
    """With TLS-Required: No, whoever writes a message has it sent in the clear, whatever our table says: switched off, unless that is asked for.

    A table of their own and smtp_tls_security_level are no reason: whoever wrote those may count on RFC 8689, section 5.
    """
    if _HEADER not in host.known or not mandatory:
        return
    if _HEADER not in draft.wanted:
        parameters.put(draft, _HEADER, "no")
    elif host.effective(_HEADER).lower() == "yes":
        draft.note(
            "policy", "%s = yes: a message with the header TLS-Required: No goes to named partners as with may, and so in the clear" % _HEADER,
            "no way round the table", "smtp_tls_parameters: {%s: false} (the module's parameters), or leave it out" % _HEADER,
            "postconf(5), RFC 8689 section 5",
        )


def _anchors(draft: Draft, anchors: dict) -> None:
    """Trust anchors that entries name, also where an SMTP client in a chroot looks for them; those that none names any more go."""
    chroot = draft.host.effective("queue_directory")
    chrooted = any(service.program == "smtp" and effect.chrooted(draft.host, service) for service in draft.master.services)
    for root, wanted in (("", anchors), (chroot, anchors if chrooted else {})):
        there = own_table.listed(root + os.path.join(draft.host.directory, "tls_trust"))
        for path, text in wanted.items():
            draft.add(root + path, FileState((own_table.HEADER + text).encode(), 0o644))
        for path in there - {root + path for path in wanted}:
            draft.drop(path)
