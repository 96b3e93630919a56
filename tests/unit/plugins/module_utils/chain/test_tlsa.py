# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates of a chain can be published as its issuers: those that a peer follows from the leaf."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import tlsa
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate
from cryptography.hazmat.primitives import serialization
from issuing import Issued, issue

ROOT = issue("root", authority=True)
MIDDLE = issue("intermediate", ROOT, authority=True)
LEAF = issue("mx.example.org", MIDDLE)
STRANGER = issue("stranger", authority=True)
ALONE = issue("alone.example.org")


def facts(*chain: Issued | None) -> list:
    return [certificate.facts(issued and issued.certificate.public_bytes(serialization.Encoding.DER)) for issued in chain]


@pytest.mark.parametrize("chain, subjects", [
    ((LEAF,), []),
    ((LEAF, MIDDLE), ["CN=intermediate"]),
    ((LEAF, MIDDLE, ROOT), ["CN=intermediate", "CN=root"]),
    ((LEAF, ROOT, MIDDLE), ["CN=intermediate", "CN=root"]),
    ((LEAF, STRANGER, MIDDLE, MIDDLE), ["CN=intermediate"]),
    ((LEAF, ROOT), []),
    ((LEAF, None, MIDDLE), ["CN=intermediate"]),
    ((None, MIDDLE), []),
    ((None, None), []),
    ((ALONE,), []),
    ((ALONE, ALONE), []),
    ((), []),
])
def test_issuers_are_those_that_lead_upwards_from_the_leaf_each_once(chain: tuple, subjects: list) -> None:
    told = facts(*chain)
    assert [issuer["subject"] for issuer in tlsa.issuers(told)] == subjects
    assert [record["of"] for record in tlsa.records(told) if record["usage"] == 2] == subjects


def test_a_leaf_that_cannot_be_read_is_published_in_no_form() -> None:
    assert tlsa.records([certificate.facts(b"no certificate"), *facts(MIDDLE)]) == []
    assert [record["usage"] for record in tlsa.records(facts(ALONE))] == [3, 3]
