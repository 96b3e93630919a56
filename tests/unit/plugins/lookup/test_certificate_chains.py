# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user says of certificates becomes what the module takes, and what is missing is named as the user calls it."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._certificates import complaints, made
from templating import templated

CHAIN = {"name": "ecdsa", "key_file": "/k", "chain_file": "/c", "key_content": "", "chain_content": "", "keep_root": False, "directory": None}


def read(path: str) -> str:
    return "text of %s" % path


@pytest.mark.parametrize("source, expected", [
    ("none", []),
    ("files", [{"name": "ecdsa", "key": "text of /k", "certificate": "text of /c", "keep_root": False}]),
    ("content", [{"name": "ecdsa", "key": "", "certificate": "", "keep_root": False}]),
    ("remote", [{"name": "ecdsa", "key_file": "/k", "certificate_file": "/c", "keep_root": False}]),
])
def test_each_source_has_its_options(source: str, expected: list) -> None:
    assert made(source, [CHAIN], read) == expected


def test_names_have_one_chain_or_several() -> None:
    one = {"names": ["mx.example.net"], "key_file": "/k", "chain_file": "/c"}
    several = {"names": [".example.com"], "chains": [CHAIN, dict(CHAIN, name="rsa")]}
    found = made("remote", [one, several], read)
    assert found[0] == {"names": ["mx.example.net"], "chains": [{"key_file": "/k", "certificate_file": "/c"}]}
    assert [chain["name"] for chain in found[1]["chains"]] == ["ecdsa", "rsa"]


def test_what_is_missing_is_named() -> None:
    assert complaints("none", [{}], bool, "x_") == []
    assert complaints("content", [{}], bool, "tls_certificate_") == [
        "tls_certificate_key_content: not set, and tls_certificate_source = content needs it.",
        "tls_certificate_chain_content: not set, and tls_certificate_source = content needs it.",
    ]
    several = [CHAIN, {"names": ["a"], "key_file": "/k"}, {"names": ["b"], "chains": [CHAIN, {"key_file": "/k", "chain_file": "/absent"}]}]
    assert complaints("files", several, lambda path: path != "/absent", "tls_certificate_sni[{}].") == [
        "tls_certificate_sni[1].chain_file: not set, and tls_certificate_source = files needs it.",
        "tls_certificate_sni[2].chains[1].chain_file = /absent: there is no such file on the controller; where it is on the host, set"
        " tls_certificate_source to remote.",
    ]


def test_the_lookup_reads_files_as_they_are_and_says_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key \n\n", encoding="utf-8")
    entries = [{"key_file": str(tmp_path / "key"), "chain_file": str(tmp_path / "key")}, {"key_file": str(tmp_path / "key"), "chain_file": str(tmp_path)}]
    query = "query('mailsec.postfix_tls.certificate_chains', %s)"
    asked = {"entries": entries}
    assert templated(query % "entries[0], source='files'", asked, tmp_path) == [{"key": "key \n\n", "certificate": "key \n\n"}]
    [told] = templated(query % "*entries, source='files', complaints='mine[{}].'", asked, tmp_path)
    assert told.startswith("mine[1].chain_file = %s: there is no such file on the controller" % tmp_path)
    assert templated(query % "*entries, source='elsewhere'", asked, tmp_path) == []
