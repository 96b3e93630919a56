# SPDX-License-Identifier: GPL-3.0-or-later
"""What chain files hold, told as cryptography reads it; what is wrong with a file is told beside it, and a key never."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import installed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.installed import Serving
from cryptography.hazmat.primitives import serialization
from issuing import Issued, issue

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
MIDDLE = issue("intermediate", ROOT, authority=True, days=(-1, 9))
LEAF = issue(NAME, MIDDLE, names=(NAME, "192.0.2.1"))
RSA = issue(NAME, MIDDLE, kind="rsa")
FULL = LEAF.pem + MIDDLE.pem


def spki(issued: Issued) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(issued.certificate.public_key().public_bytes(serialization.Encoding.DER, form)).hexdigest()


@pytest.fixture
def told(tmp_path: Path):
    """told(text or None for no file, ..., by_key) -> chains of these files, served by smtp; their paths are made short."""
    def tell(*texts: str | None, by_key: bool = True) -> list:
        paths = [tmp_path / ("%d.pem" % number) for number in range(len(texts))]
        for path, text in zip(paths, texts):
            if text is not None:
                path.write_text(text, encoding="utf-8")
        chains = installed.chains([Serving("smtp", tuple(map(str, paths)), by_key)])
        return json.loads(json.dumps(chains).replace("%s/" % tmp_path, ""))
    return tell


def sent(chains: list) -> list:
    """[(files, digests of the certificates, the reason of the error)]"""
    return [(at["files"], [each["sha256"] for each in at["certificates"]], at["error"] and at["error"].partition(". ")[0]) for at in chains]


def test_a_chain_is_told_as_it_is_and_the_certificate_that_ends_first_beside_its_leaf(told) -> None:
    [chain] = told(LEAF.key_pem() + FULL)
    held = LEAF.certificate
    leaf = {
        "names": ["DNS:mx.example.org", "IP:192.0.2.1"], "subject": "CN=mx.example.org", "issuer": "CN=intermediate", "days_left": 29,
        "not_before": held.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"), "not_after": held.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "key_type": "EC", "key_bits": 256, "curve": "prime256v1", "sha256": LEAF.sha256, "spki_sha256": spki(LEAF),
    }
    assert {name: chain[name] for name in leaf} == leaf
    assert [each["subject"] for each in chain["certificates"]] == ["CN=mx.example.org", "CN=intermediate"]
    ends = MIDDLE.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert chain["ends_first"] == {"days_left": 8, "not_after": ends, "subject": "CN=intermediate"}
    assert (chain["files"], chain["services"], chain["error"]) == (["0.pem"], ["smtp"], None)


def test_its_tlsa_records_are_the_digests_of_leaf_and_issuer(told) -> None:
    [chain] = told(LEAF.key_pem() + FULL)
    assert [tuple(record.values()) for record in chain["tlsa"]] == [
        (3, 1, 1, spki(LEAF), "CN=mx.example.org"), (2, 1, 1, spki(MIDDLE), "CN=intermediate"), (3, 0, 1, LEAF.sha256, "CN=mx.example.org"),
    ]
    assert list(chain["tlsa"][0]) == ["usage", "selector", "matching_type", "data", "of"]


TOLD = {
    "two chains in one file": ((LEAF.key_pem() + FULL + RSA.key_pem("traditional") + RSA.pem,), [
        (["0.pem"], [LEAF.sha256, MIDDLE.sha256], None), (["0.pem"], [RSA.sha256], None),
    ]),
    "the older name of a certificate": ((LEAF.key_pem() + FULL.replace("CERTIFICATE", "X509 CERTIFICATE"),), [
        (["0.pem"], [LEAF.sha256, MIDDLE.sha256], None),
    ]),
    "a chain over three files": ((LEAF.key_pem(), LEAF.pem, MIDDLE.pem), [
        (["0.pem", "1.pem", "2.pem"], [LEAF.sha256, MIDDLE.sha256], None),
    ]),
    "the same chain twice": ((LEAF.key_pem() + FULL, "text\n" + LEAF.key_pem() + FULL.replace("\n", "\r\n")), [
        (["0.pem", "1.pem"], [LEAF.sha256, MIDDLE.sha256], None),
    ]),
    "a missing file before a good one": ((None, RSA.key_pem() + RSA.pem), [
        (["0.pem"], [], "0.pem: there is no such file on this host"), (["1.pem"], [RSA.sha256], None),
    ]),
    "a missing file for the certificates": ((LEAF.key_pem(), None), [
        (["0.pem"], [], "0.pem: no PEM certificate was found"), (["1.pem"], [], "1.pem: there is no such file on this host"),
    ]),
    "a missing file for the key": ((None, FULL), [(["0.pem", "1.pem"], [LEAF.sha256, MIDDLE.sha256], "0.pem: there is no such file on this host")]),
    "no key": ((FULL,), [(["0.pem"], [LEAF.sha256, MIDDLE.sha256], "0.pem: no PEM private key stands before its first certificate")]),
    "an empty file": (("",), [(["0.pem"], [], "0.pem: no PEM certificate was found")]),
    "garbage": (("\x00\u20ac",), [(["0.pem"], [], "0.pem: no PEM certificate was found")]),
    "a huge file": (("x" * (2 << 20),), [(["0.pem"], [], "0.pem: with 2097152 bytes that is no key or chain")]),
    "an end that is cut off": ((LEAF.key_pem() + FULL[:-40],), [(["0.pem"], [LEAF.sha256], "0.pem: a PEM block in it has no end")]),
}


@pytest.mark.parametrize("case", TOLD)
def test_each_chain_of_chain_files_is_told_once_with_what_is_wrong(told, case: str) -> None:
    texts, expected = TOLD[case]
    assert sent(told(*texts)) == expected


@pytest.mark.parametrize("texts, expected", [
    ((LEAF.pem + LEAF.key_pem() + MIDDLE.pem,), [(["0.pem"], [LEAF.sha256, MIDDLE.sha256], None)]),
    ((FULL, RSA.pem), [(["0.pem"], [LEAF.sha256, MIDDLE.sha256], None), (["1.pem"], [RSA.sha256], None)]),
    ((None, LEAF.key_pem()), [
        (["0.pem"], [], "0.pem: there is no such file on this host"), (["1.pem"], [], "1.pem: no PEM certificate was found"),
    ]),
])
def test_of_the_older_parameters_each_file_is_a_chain_wherever_its_key_lies(told, texts: tuple, expected: list) -> None:
    assert sent(told(*texts, by_key=False)) == expected


def damaged(pem: str) -> str:
    lines = pem.splitlines(keepends=True)
    return "".join([*lines[:3], "?" + lines[3][1:], *lines[4:]])


def test_a_damaged_certificate_is_named_by_its_place_and_gives_no_record(told) -> None:
    [chain] = told(LEAF.key_pem() + LEAF.pem + damaged(MIDDLE.pem))
    assert chain["error"] == "0.pem: certificate 2 can't be read. Copy the file again."
    assert [(record["usage"], record["data"]) for record in chain["tlsa"]] == [(3, spki(LEAF)), (3, LEAF.sha256)]
    assert chain["ends_first"]["subject"] == "CN=mx.example.org"
    [chain] = told(LEAF.key_pem() + damaged(LEAF.pem) + MIDDLE.pem)
    assert chain["error"] == "0.pem: certificate 1 can't be read. Copy the file again."
    assert (chain["subject"], chain["days_left"], chain["names"], chain["tlsa"]) == (None, None, None, [])


def test_an_entry_has_the_same_keys_whatever_is_wrong(told) -> None:
    good, bad = told(LEAF.key_pem() + FULL, None)
    assert list(good) == list(bad) and bad["ends_first"] is None and bad["tlsa"] == []


def test_a_file_that_may_not_be_read_is_told_with_what_helps(monkeypatch) -> None:
    def refused(path: str, _mode: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(installed.files, "open", refused, raising=False)
    [chain] = installed.chains([Serving("smtp", ("/a.pem",), True)])
    assert chain["error"] == (
        "/a.pem: it can't be read (Permission denied). Where only root may read it, become root; else name the right file."
    )


def test_the_same_certificates_are_one_chain_with_all_services_that_serve_it(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one.pem"), str(tmp_path / "other.pem")
    for path in (one, other):
        Path(path).write_text(LEAF.key_pem() + FULL, encoding="utf-8")
    [chain] = installed.chains([Serving("smtp", (one,), True), Serving("smtp", (one,), True), Serving("587", (other,), False)])
    assert (chain["files"], chain["services"]) == ([one, other], ["smtp", "587"])
    gone = installed.chains([Serving("smtp", ("/nonexistent/a",), True), Serving("587", ("/nonexistent/a", "/nonexistent/b"), True)])
    assert [(chain["files"], chain["services"]) for chain in gone] == [(["/nonexistent/a"], ["smtp", "587"]), (["/nonexistent/b"], ["587"])]


def test_no_line_of_a_key_is_told(told) -> None:
    whole = [RSA.key_pem("traditional") + RSA.pem, LEAF.key_pem() + FULL[:-40], LEAF.key_pem(), LEAF.key_pem()[:-30] + FULL]
    said = json.dumps(told(*whole)) + json.dumps(told(*whole, by_key=False))
    for line in (RSA.key_pem("traditional") + LEAF.key_pem()).splitlines():
        assert "PRIVATE" in line or line not in said
