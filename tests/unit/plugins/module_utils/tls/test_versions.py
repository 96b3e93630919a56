# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol versions are known by the names that Postfix, Python and the wire give them."""
from __future__ import annotations

import ssl

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_NAME, BY_WIRE, NAMES, below


def test_names_and_numbers_are_those_of_openssl() -> None:
    wire = {"SSLv3": ssl.TLSVersion.SSLv3, "TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
    assert {name: version.wire for name, version in BY_NAME.items()} == wire
    assert all(BY_WIRE[version.wire] is version for version in BY_NAME.values())


def test_they_go_from_old_to_new_and_below_a_floor_are_the_older_ones() -> None:
    assert [BY_NAME[name].wire for name in NAMES] == sorted(BY_WIRE)
    assert below("TLSv1.2") == ("SSLv3", "TLSv1", "TLSv1.1") and below(NAMES[0]) == () and below("TLSv1.3") == NAMES[:-1]
