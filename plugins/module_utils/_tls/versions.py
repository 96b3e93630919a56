# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The protocol versions, under the names that Postfix and Python's ssl share, oldest first.

Source: postconf(5) smtpd_tls_protocols; wire numbers from RFC 6101, 2246, 4346, 5246 and 8446.
"""
from __future__ import annotations

from typing import NamedTuple


class Version(NamedTuple):
    """name: as in C(smtpd_tls_protocols). wire: the two bytes of a ServerHello, as one number."""

    name: str
    wire: int


VERSIONS = (
    Version("SSLv3", 0x0300),
    Version("TLSv1", 0x0301),
    Version("TLSv1.1", 0x0302),
    Version("TLSv1.2", 0x0303),
    Version("TLSv1.3", 0x0304),
)
NAMES = tuple(version.name for version in VERSIONS)
BY_NAME = {version.name: version for version in VERSIONS}
BY_WIRE = {version.wire: version for version in VERSIONS}


def below(floor: str) -> tuple:
    """The names of the versions older than floor."""
    return NAMES[:NAMES.index(floor)]
