# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The table of named destinations, and its place in smtp_tls_policy_maps: in front of whatever maps are there, which are not judged."""
from __future__ import annotations

import os

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.policy import HEADER, answers, table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import parameters
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState


def write(draft: Draft) -> None:
    """Raises PostfixTlsError for an entry that can't be meant, or a file of that name that was not written here."""
    if draft.intent.destinations is None:
        return
    path = draft.intent.policy_file or os.path.join(draft.host.directory, "tls_policy")
    name, mine = "smtp_tls_policy_maps", "texthash:%s" % path
    before = files.read(path)
    ours = (before.content or b"").startswith(HEADER.encode())
    listed = words((draft.written[name] or "") if name in draft.written else draft.host.effective(name), ", \t")
    maps = [text for text in listed if text != mine]
    if not draft.intent.destinations:
        if mine in listed:
            parameters.put(draft, name, ", ".join(maps) or None)
        if ours:
            draft.drop(path)
        return
    if before.content is not None and not ours:
        raise PostfixTlsError(
            path, None, "this file is not one that was written here, and its entries would be lost",
            "List its entries as destinations and move it away, or name another file: tls_policy_file (the module's policy.path).",
        )
    text = table(draft.intent.destinations, draft.host.after(draft.written))
    draft.add(path, FileState(text.encode(), 0o644))
    draft.proposal.table, draft.proposal.answers = mine, answers(text)
    parameters.put(draft, name, ", ".join([mine] + maps))
