# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The one exception of the collection. A module's C(main()) catches it once and hands its text to C(fail_json)."""
from __future__ import annotations


class PostfixTlsError(Exception):
    """What was asked for can't be done; the text is for somebody at 3 a.m.

    item: what is wrong, in the user's words (a parameter, a destination, a file, a host and port).
    value: what was given or found there; never key material. Left out when empty.
    reason: why that does not work.
    remedy: what to write or do instead.
    details: further keys of the module's result (findings, results, log lines), the same on success and on failure.
    """

    def __init__(self, item: str, value: object, reason: str, remedy: str, **details: object) -> None:
        self.item = item
        self.value = value
        self.reason = reason
        self.remedy = remedy
        self.details = details
        shown = "" if value in (None, "") else " = %s" % (value,)
        end = "" if reason.endswith("?") else "."
        super().__init__("%s%s: %s%s %s" % (item, shown, reason.rstrip("."), end, remedy))
