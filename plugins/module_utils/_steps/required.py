# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Clients and senders that must use TLS to deliver here: tables for access(5), at the head of a restriction list that is the postmaster's.

It is smtpd_sender_restrictions for clients too. With C(smtpd_delay_reject = no) smtpd_client_restrictions are asked when the client connects:
before it can use TLS, so that it would be refused with TLS as well. Every list is asked, whatever those before it permit.
Source: SMTPD_ACCESS_README, postconf(5) reject_plaintext_session, smtpd_delay_reject.
"""
from __future__ import annotations

import os
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import access
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import own_table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft

LIST = "smtpd_sender_restrictions"
_REMEDY = "List its entries in smtpd_tls_required_clients or smtpd_tls_required_senders (the module's required) and move it away."
_EMPTY = "empty smtpd_tls_required_clients and smtpd_tls_required_senders (the module's required)"


class _Table(NamedTuple):
    """check: the restriction that asks it. file: its name in the configuration directory."""

    check: str
    kind: str
    file: str

    def path(self, draft: Draft) -> str:
        return os.path.join(draft.host.directory, self.file)

    def words(self, draft: Draft) -> tuple:
        """As they stand in the list."""
        return self.check, "%s:%s" % (self.kind, self.path(draft))


_NETWORKS = _Table("check_client_access", "cidr", "tls_required_networks")
_HOSTS = _Table("check_client_access", "regexp", "tls_required_hosts")
_SENDERS = _Table("check_sender_access", "regexp", "tls_required_senders")
_ALL = (_NETWORKS, _HOSTS, _SENDERS)


def write(draft: Draft) -> None:
    """Raises PostfixTlsError for an entry that can't be meant, or a file of a table's name that was not written here."""
    asked: dict = {}
    if draft.intent.required_clients is not None:
        asked[_NETWORKS], asked[_HOSTS] = access.clients(draft.intent.required_clients, draft.intent.public_encrypt == "allow")
    if draft.intent.required_senders is not None:
        asked[_SENDERS] = access.senders(draft.intent.required_senders)
    listed = _listed(draft)
    for table, patterns in asked.items():
        if patterns:
            own_table.keep(draft, table.path(draft), own_table.HEADER + access.text(patterns), _REMEDY)
            draft.proposal.tables[table.words(draft)[1]] = access.answers(patterns)
        else:
            own_table.drop(draft, table.path(draft))
    first = [table for table in _ALL if asked.get(table, table in listed) or (table in listed and own_table.is_foreign(table.path(draft)))]
    if first != listed or not _are_first(draft, first):
        for table in listed:
            draft.main.take_out(LIST, *table.words(draft))
        for table in reversed(first):
            draft.main.put_first(LIST, *table.words(draft))
    if asked and draft.main.raw(LIST) is not None:
        draft.proposal.expected[LIST] = draft.main.raw(LIST)


def look(draft: Draft, after: Instance) -> None:
    """What keeps those that are to use TLS from it, or from being asked for it. after: the instance as it will be. Raises PostfixTlsError."""
    listed = _listed(draft)
    if not listed:
        return
    listeners = after.listeners()
    if not any(listener.encrypts for listener in [at for at in listeners if at.port == 25] or listeners):
        raise PostfixTlsError(
            "required", ", ".join(table.file for table in listed), "this host offers no TLS for receiving, so those who must use it could never deliver",
            "Offer it: smtpd_tls_security_level: may, with a certificate that may be served; or %s." % _EMPTY,
        )
    if _HOSTS in listed and after.effective("smtpd_peername_lookup").lower() == "no":
        raise PostfixTlsError(
            "required client", "tls_required_hosts", "with smtpd_peername_lookup = no, Postfix knows no client by its name",
            "Name them by address or network.",
        )
    for service in after.services:
        if service.program == "smtpd" and not _demands(after, service):
            _tell(draft, after, service, listed)


def _tell(draft: Draft, after: Instance, service: Service, listed: list) -> None:
    own = service.overrides.get(LIST)
    asked = listed if own is None else [table for table in listed if table.words(draft)[1] in words(draft.host.expanded(own), ", \t")]
    listener = after.listener(service) if service.kind == "inet" else None
    if not listener or listener.public:
        if asked != listed and LIST not in draft.services.get(service.key, {}):
            draft.note(
                "overrides", "master.cf: %s has -o %s=%s, so whoever must use TLS may deliver there in the clear" % (service.key, LIST, own),
                "%s at its head" % ", ".join(" ".join(table.words(draft)) for table in listed),
                "take it away with smtpd_tls_services: {%s: {%s: null}} (the module's services), or ask for it there" % (service.key, LIST),
                "master(5), -o",
            )
    elif _SENDERS in asked and listener.port != 25:
        draft.note(
            "required", "master.cf: what a content filter hands back to %s in the clear is refused, where its sender must use TLS" % service.key,
            "no question for TLS on loopback, where mail comes a second time",
            "where a filter delivers there, smtpd_tls_services: {%s: {%s: ''}} (the module's services)" % (service.key, LIST),
            "FILTER_README, Advanced content filter example",
        )


def _demands(after: Instance, service: Service) -> bool:
    """Whether nobody gets through there in the clear anyway."""
    return after.level(service) == "encrypt" or after.effective("smtpd_tls_wrappermode", service).lower() == "yes"


def _listed(draft: Draft) -> list:
    """The tables of ours that the list in main.cf names."""
    found = words(draft.main.raw(LIST) or "", ", \t\r")
    return [table for table in _ALL if table.words(draft)[1] in found]


def _are_first(draft: Draft, tables: list) -> bool:
    wanted = [word for table in tables for word in table.words(draft)]
    return words(draft.main.raw(LIST) or "", ", \t\r")[:len(wanted)] == wanted
