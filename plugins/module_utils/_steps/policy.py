# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The table of named destinations, and its place in smtp_tls_policy_maps."""
from __future__ import annotations

import os

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.policy import answers, table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import own_table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft

_NAME = "smtp_tls_policy_maps"
_REMEDY = "List its entries as destinations and move it away, or name another file: tls_policy_file (the module's policy.path)."


def write(draft: Draft) -> None:
    """Raises PostfixTlsError for an entry that can't be meant, or a file of that name that was not written here."""
    if draft.intent.destinations is None:
        return
    path = draft.intent.policy_file or os.path.join(draft.host.directory, "tls_policy")
    if not draft.intent.destinations:
        own_table.take_away(draft, _NAME, path)
        return
    text = table(draft.intent.destinations, draft.host.after(draft.written))
    draft.proposal.tables[own_table.put(draft, _NAME, path, text, _REMEDY)] = answers(text)
