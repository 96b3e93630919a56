# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What an audit found, in lines for a postmaster to read."""
from __future__ import annotations

from typing import Iterable, Iterator

#: Lines of one list. The rest is counted.
_MOST = 20
#: Of what tells who would be cut off: its name, what its rows are called by, and how they are told.
_PARTS = (("sent", "domain", "to"), ("received", "client", "from"), ("submitted", "service", "at"))


def summary(told: dict) -> list:
    """told: what else tls_log_info returns."""
    read = "%d lines of %s" % (told["lines"], ", ".join(told["files"]) or "no log")
    between = "%s to %s" % (told["since"], told["until"]) if told["since"] else "nothing of Postfix's in that time"
    lines = ["%s: %s" % (read, between)]
    lines += _list(_total(told, "sent"), _in_the_clear(told["sent"], "domain", "to", "relays"))
    if told["inner"]:
        lines += _list("inner hops, as content filters and mail stores, which are not the partner: %d messages" % sum(row["messages"] for row in told["inner"]),
                       _in_the_clear(told["inner"], "relay", "to", None))
    lines += _list(_total(told, "received"), _in_the_clear(told["clients"], "client", "from", None))
    lines += _list(_total(told, "submitted"), _in_the_clear(told["submitted"], "service", "at", None))
    for floor, cut in told["floor"].items():
        rows = [
            "%d %s %s" % (row["messages"], word, row[key])
            for name, key, word in _PARTS for row in cut[name]
        ]
        lines += _list("encrypted by less than %s: %d messages" % (floor, sum(row["messages"] for part in cut.values() for row in part)), rows)
    lines += _guidelines(told["profiles"])
    if told["candidates"]:
        rows = [entry["destination"] for entry in told["candidates"]]
        lines += _list("ready for a policy, since all went encrypted: %d domains" % len(rows), rows)
    return lines + ["note: " + text for text in told["notes"]] + ["error: " + text for text in told["errors"]]


def _guidelines(profiles: dict) -> Iterator[str]:
    """Who used what a guideline does not have, by version and suite; and which guidelines would have cut off nobody."""
    nobody = [name for name, cut in profiles.items() if not any(cut.values())]
    for name, cut in profiles.items():
        rows = [
            "%d %s %s by %s" % (row["messages"], word, row[key], ", ".join(row["used"]))
            for part, key, word in _PARTS for row in cut[part]
        ]
        if rows:
            yield from _list("encrypted by what profile %s does not have: %d messages" % (
                name, sum(row["messages"] for part in cut.values() for row in part)), rows, 5)
    if nobody:
        yield "encrypted by what these profiles have, so that they would have cut off nobody: %s" % ", ".join(nobody)


def _total(told: dict, name: str) -> str:
    counts = told["totals"][name]
    return "%s: %d messages, %d in the clear, %d encrypted, %d unknown" % (
        name, sum(counts.values()), counts["plaintext"], counts["encrypted"], counts["unknown"])


def _in_the_clear(rows: list, key: str, word: str, beside: str | None) -> Iterator[str]:
    for row in rows:
        for how, text in (("plaintext", "in the clear"), ("unknown", "unknown")):
            if row[how]:
                by = " by way of %s" % ", ".join(row[beside][:3]) if beside and row[beside] else ""
                yield "%d of %d %s %s %s%s" % (row[how], row["messages"], text, word, row[key], by)


def _list(title: str, rows: Iterable, most: int = _MOST) -> list:
    rows = list(rows)
    more = ["  and %d more" % (len(rows) - most)] if len(rows) > most else []
    return [title, *("  " + row for row in rows[:most]), *more]
