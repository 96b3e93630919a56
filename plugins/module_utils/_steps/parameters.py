# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parameters of main.cf, as text for this host's release."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge, obsolete, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft


def write(draft: Draft) -> None:
    """One definition each; what already means the same stays as it is written."""
    for asked, value in draft.wanted.items():
        name = obsolete.older_name(asked, draft.host)
        text = None if value is None else draft.value(name, value)
        if text is not None or value is None:
            put(draft, name, text)


def put(draft: Draft, name: str, text: str | None) -> None:
    """text: for this host, judged; None removes."""
    before = draft.main.raw(name)
    _put(draft, name, text)
    row = knowledge.known(name)
    if row and row.live == "restart" and draft.main.raw(name) != before:
        draft.proposal.restart.append(name)


def _put(draft: Draft, name: str, text: str | None) -> None:
    draft.written[name] = text
    if text is None:
        draft.proposal.expected.pop(name, None)
        draft.main.remove(name)
        return
    draft.proposal.expected[name] = text
    raw = draft.main.raw(name)
    if raw is None or not values.same(name, draft.host.effective(name) if "$" in raw else raw, text):
        draft.main.set(name, text)
