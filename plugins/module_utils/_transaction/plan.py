# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a run is going to do: the one object that check mode and diff show and that a real run carries out."""
from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState


@dataclass(frozen=True)
class FileChange:
    """before and after as they are, or will be, on disk. secret: holds key material, so its text is shown to nobody.

    shown: what a diff says of a secret file instead of its text, as (before, after).
    """

    path: str
    before: FileState
    after: FileState
    secret: bool = False
    shown: tuple = ("", "")

    @property
    def verb(self) -> str:
        if self.before.content is None:
            return "create"
        return "remove" if self.after.content is None else "change"

    def diff(self) -> dict:
        return {
            "before_header": self.path,
            "after_header": self.path,
            "before": self._shown(self.before, self.shown[0]),
            "after": self._shown(self.after, self.shown[1]),
        }

    def _shown(self, state: FileState, instead: str) -> str:
        if state.content is None:
            return ""
        return instead if self.secret else state.content.decode("utf-8", "replace")


@dataclass
class Plan:
    """changes in the order they are written: what main.cf refers to comes before main.cf."""

    changes: list = field(default_factory=list)
    findings: list = field(default_factory=list)

    def add(self, path: str, before: FileState, after: FileState, secret: bool = False, shown: tuple = ("", "")) -> None:
        """Adds a change, unless content, owner and mode are there already."""
        if before != after:
            self.changes.append(FileChange(path, before, after, secret, shown))

    def summary(self) -> list:
        return [{"path": change.path, "change": change.verb} for change in self.changes]

    def diff(self) -> list:
        return [change.diff() for change in self.changes]
