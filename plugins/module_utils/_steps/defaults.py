# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What is wanted where nobody wrote anything: never in place of something in main.cf that asks for as much or more."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import obsolete, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft


def take(draft: Draft) -> None:
    """Of lists, what each says is joined. What Postfix could not use is nothing to keep. Raises PostfixTlsError."""
    for asked, value in draft.defaults.items():
        if asked in draft.wanted and asked not in draft.carried:
            continue
        name = obsolete.older_name(asked, draft.host)
        text = draft.value(name, value)
        if text is None:
            continue
        strictest = values.strictest(name, text, there(draft, asked, name))
        if strictest != there(draft, asked, name):
            draft.wanted[asked] = strictest
            draft.unwritten.add(asked)
        else:
            draft.proposal.kept.add(name)
    _settle_profile(draft)


def there(draft: Draft, asked: str, name: str) -> str:
    """What main.cf says of it, by this name or by an obsolete one; empty where it says nothing that counts."""
    if asked in draft.carried:
        return values.as_text(draft.carried[asked])
    if draft.main.raw(name) is None:
        return ""
    value = draft.host.effective(name)
    return value if values.usable(name, value, draft.host) else ""


def _settle_profile(draft: Draft) -> None:
    """The default profile is what is proven only where the receiving side has it, or no more than suites less."""
    for name in draft.proposal.decides:
        if name not in draft.defaults:
            continue
        value = values.as_text(draft.defaults[name])
        now = values.as_text(draft.wanted[name]) if name in draft.wanted else there(draft, name, name)
        if values.weaker(name, now, value) or values.kind_of(name) == "protocols" and not values.same(name, now, value):
            draft.proposal.profile = draft.proposal.mandatory = ""
