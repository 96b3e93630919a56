# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parameters of main.cf, as text for this host's release."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge, obsolete, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft


def write(draft: Draft) -> None:
    """One definition each; what already means the same, or will once all is written, stays as it is written."""
    referring = {}
    for asked, value in draft.wanted.items():
        name = obsolete.older_name(asked, draft.host)
        text = None if value is None else draft.value(name, value)
        if text is not None and "$" in (draft.main.raw(name) or ""):
            referring[name] = text
        elif text is not None or value is None:
            put(draft, name, text)
    host = draft.after() if referring else draft.host
    for name, text in referring.items():
        put(draft, name, text, host.effective(name))


def put(draft: Draft, name: str, text: str | None, means: str | None = None) -> None:
    """text: for this host, judged; None removes. means: what the definition comes to, where it refers to others."""
    before = draft.main.raw(name)
    _put(draft, name, text, means)
    if draft.main.raw(name) != before:
        draft.changed[name] = text
        row = knowledge.known(name)
        if row and row.live == "restart":
            draft.proposal.restart.append(name)


def _put(draft: Draft, name: str, text: str | None, means: str | None) -> None:
    draft.written[name] = text
    if text is None:
        draft.proposal.expected.pop(name, None)
        draft.main.remove(name)
        return
    draft.proposal.expected[name] = text
    raw = draft.main.raw(name)
    if raw is not None and means is None:
        means = draft.host.effective(name) if "$" in raw else raw
    if means is None or not values.same(name, means, text):
        draft.main.set(name, text)
