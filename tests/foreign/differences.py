# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a peer says something else than we do of a foreign server, or we something else than the table of faults: each with its reason, as in
tests/crosscheck/limits.py. One that no longer occurs in a case that it names fails the tests.
"""
from __future__ import annotations

from faults import names_of
from limits import Limit

#: {whose posttls-finger: the host it is on}; y-servers has Debian 12's.
RELEASES = {"posttls-finger of Postfix 3.5": "y-bullseye", "posttls-finger of Postfix 3.7": "y-servers",
            "posttls-finger of Postfix 3.10": "y-trixie", "posttls-finger of Postfix 3.11": "y-forky"}

DIFFERENCES: tuple = ()
