# SPDX-License-Identifier: GPL-3.0-or-later
"""Which known crashes a release has, by its number alone."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import fixes


@pytest.mark.parametrize("release, dates", [
    ((3, 11, 6), []),
    ((3, 12), []),
    ((3, 11, 0), ["20260531", "20260524", "20260625"]),
    ((3, 10, 11), ["20260625"]),
    ((3, 10, 13), []),
    ((3, 8, 17), ["20260531", "20260524"]),
    ((3, 7, 22), ["20260531", "20260524"]),
    ((3, 5, 25), ["20260524", "20250801"]),
    ((3, 3, 1), ["20260524"]),
])
def test_a_release_has_what_its_patch_level_does_not_mend(release: tuple, dates: list) -> None:
    assert [row["reference"].split()[1] for row in fixes.missing(release)] == dates


def test_where_a_release_was_never_mended_the_next_one_that_was_is_named() -> None:
    assert [row["fixed_in"] for row in fixes.missing((3, 7, 11))] == ["3.8.18", "3.8.18", "3.7.16"]
    assert [row["fixed_in"] for row in fixes.missing((3, 5, 27))] == ["3.8.18", "3.7.16"]
