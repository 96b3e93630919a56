# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a peer says something else than we do of a foreign server, or we something else than the table of faults: each with its reason, as in
tests/crosscheck/limits.py. One that no longer occurs in a case that it names fails the tests.
"""
from __future__ import annotations

from limits import Limit

DIFFERENCES: tuple = ()
