# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A table of ours among those of a parameter: in front of whatever tables are there, which are not judged.

It is a texthash: Postfix reads it as it is when a process starts, so there is no index to make, and none to forget (DATABASE_README).
"""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.policy import HEADER
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import parameters
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState


def put(draft: Draft, name: str, path: str, text: str, remedy: str) -> str:
    """The table as main.cf names it. name: of the parameter. Raises PostfixTlsError, with remedy, for a file that was not written here."""
    mine, listed = _place(draft, name, path)
    keep(draft, path, text, remedy)
    parameters.put(draft, name, ", ".join([mine] + [text for text in listed if text != mine]))
    return mine


def take_away(draft: Draft, name: str, path: str) -> None:
    """The other tables stay, and so does a file that was not written here."""
    mine, listed = _place(draft, name, path)
    if mine in listed:
        parameters.put(draft, name, ", ".join(text for text in listed if text != mine) or None)
    drop(draft, path)


def keep(draft: Draft, path: str, text: str, remedy: str) -> None:
    """The table's file. Raises as put does."""
    if is_foreign(path):
        raise PostfixTlsError(path, None, "this file is not one that was written here, and its entries would be lost", remedy)
    draft.add(path, FileState(text.encode(), 0o644))


def drop(draft: Draft, path: str) -> None:
    """The table's file goes, where it was written here."""
    if not is_foreign(path):
        draft.drop(path)


def is_foreign(path: str) -> bool:
    """Whether there is a file that was not written here."""
    content = files.read(path).content
    return content is not None and not content.startswith(HEADER.encode())


def _place(draft: Draft, name: str, path: str) -> tuple:
    listed = words((draft.written[name] or "") if name in draft.written else draft.host.effective(name), ", \t")
    return "texthash:%s" % path, listed
