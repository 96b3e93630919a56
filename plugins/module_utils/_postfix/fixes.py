# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Crashes of Postfix's TLS code that a peer or a DNS answer can cause, and the patch level of each release that mends them.

Source: HISTORY of Postfix 3.5.27, 3.6.20, 3.7.22, 3.8.20, 3.9.14, 3.10.13, 3.11.6.
"""
from __future__ import annotations

from typing import NamedTuple


class Fix(NamedTuple):
    """since: the release that brought the fault. mended: {release: patch level}; older releases than these were never mended."""

    problem: str
    since: tuple
    mended: dict
    reference: str


FIXES = (
    Fix(
        "a TLSA record of three bytes makes the SMTP client with DANE panic", (3, 6), {(3, 8): 18, (3, 9): 12, (3, 10): 11, (3, 11): 4},
        "HISTORY 20260531",
    ),
    Fix(
        "a short TLSA record makes the SMTP client with DANE and smtp_dns_reply_filter crash or read past its end", (3, 1),
        {(3, 8): 18, (3, 9): 12, (3, 10): 11, (3, 11): 4}, "HISTORY 20260524",
    ),
    Fix("the TLSRPT client reads through a null pointer", (3, 10), {(3, 10): 12, (3, 11): 5}, "HISTORY 20260625"),
    Fix(
        "tlsproxy(8) crashes at a request of the SMTP client when its client role is switched off", (3, 4),
        {(3, 7): 16, (3, 8): 11, (3, 9): 5, (3, 10): 4, (3, 11): 0}, "HISTORY 20250801",
    ),
)


def missing(release: tuple) -> list:
    """Faults that a release, as (3, 10, 13), has by its number: [{problem, fixed_in, reference}]. A distribution may have mended them itself."""
    branch, level = release[:2], (*release[2:], 0)[0]
    found = []
    for fix in FIXES:
        newest = max(fix.mended)
        if branch < fix.since or branch > newest or (branch in fix.mended and level >= fix.mended[branch]):
            continue
        mended_in = branch if branch in fix.mended else min(mended for mended in fix.mended if mended > branch)
        found.append({"problem": fix.problem, "fixed_in": "%d.%d.%d" % (*mended_in, fix.mended[mended_in]), "reference": fix.reference})
    return found
