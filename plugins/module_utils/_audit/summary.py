# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What an audit found, in lines for a postmaster to read."""
from __future__ import annotations

from typing import Iterator

#: Lines of one list. The rest is counted.
_MOST = 20


def summary(told: dict) -> list:
    """told: what else tls_log_info returns."""
    read = "%d lines of %s" % (told["lines"], ", ".join(told["files"]) or "no log")
    between = "%s to %s" % (told["since"], told["until"]) if told["since"] else "nothing of Postfix's in that time"
    lines = ["%s: %s" % (read, between)]
    lines += _list(_total(told, "sent"), _in_the_clear(told["sent"], "domain", "to", "relays"))
    lines += _list(_total(told, "received"), _in_the_clear(told["clients"], "client", "from", None))
    lines += _list(_total(told, "submitted"), _in_the_clear(told["submitted"], "service", "at", None))
    for floor, cut in told["floor"].items():
        rows = [
            "%d %s %s" % (row["messages"], word, row[key])
            for name, key, word in (("sent", "domain", "to"), ("received", "client", "from"), ("submitted", "service", "at")) for row in cut[name]
        ]
        lines += _list("encrypted by less than %s: %d messages" % (floor, sum(row["messages"] for part in cut.values() for row in part)), rows)
    if told["candidates"]:
        rows = [entry["destination"] for entry in told["candidates"]]
        lines += _list("ready for a policy, since all went encrypted: %d domains" % len(rows), rows)
    return lines + ["note: " + text for text in told["notes"]] + ["error: " + text for text in told["errors"]]


def _total(told: dict, name: str) -> str:
    counts = told["totals"][name]
    return "%s: %d messages, %d in the clear, %d encrypted, %d unknown" % (name, sum(counts.values()), counts["clear"], counts["encrypted"], counts["unknown"])


def _in_the_clear(rows: list, key: str, word: str, beside: str | None) -> Iterator[str]:
    for row in rows:
        for how, text in (("clear", "in the clear"), ("unknown", "unknown")):
            if row[how]:
                by = " by way of %s" % ", ".join(row[beside][:3]) if beside and row[beside] else ""
                yield "%d of %d %s %s %s%s" % (row[how], row["messages"], text, word, row[key], by)


def _list(title: str, rows) -> list:
    rows = list(rows)
    more = ["  and %d more" % (len(rows) - _MOST)] if len(rows) > _MOST else []
    return [title, *("  " + row for row in rows[:_MOST]), *more]
