# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user says of certificates becomes what the module takes, and what is missing is named as the user calls it."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._certificates import complaints, made, unused
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


def test_relative_paths_are_looked_for_beside_the_inventory_and_where_one_works_too_and_the_error_says_where(tmp_path: Path, monkeypatch) -> None:
    project, inventory = tmp_path / "project", tmp_path / "inventory"
    for folder, name in ((project / "files", "in-files.pem"), (project, "here.pem"), (inventory, "beside.pem"), (inventory / "files", "below.pem")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    monkeypatch.chdir(project)
    query = "query('mailsec.postfix_tls.certificate_chains', *entries, source='files'%s)"
    for name in ("in-files.pem", "here.pem", "beside.pem", "below.pem"):
        asked = {"entries": [{"key_file": name, "chain_file": name}], "inventory_dir": str(inventory)}
        assert templated(query % "", asked, tmp_path) == [{"key": name, "certificate": name}]
    asked = {"entries": [{"key_file": "here.pem", "chain_file": "absent.pem"}], "inventory_dir": str(inventory)}
    [told] = templated(query % ", complaints='tls_certificate_'", asked, tmp_path)
    assert "tls_certificate_chain_file = absent.pem: there is no such file on the controller (looked in " in told
    looked = told.partition("looked in ")[2].partition(")")[0].split(", ")
    assert {str(inventory), str(inventory / "files"), str(project), str(project / "files")} <= set(looked)


@pytest.mark.parametrize("value, told", [
    (7, ": a text was expected, not int."), (["/k"], ": a text was expected, not list."),
    ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
     ": that is PEM text, and the name of a file belongs there. The text goes to chain_content, with tls_certificate_source = content."),
])
def test_what_is_no_name_of_a_file_is_told_as_what_it_is(value: object, told: str) -> None:
    assert complaints("files", [dict(CHAIN, chain_file=value)], bool, "tls_certificate_") == ["tls_certificate_chain_file" + told]


def test_files_that_no_source_takes_are_told() -> None:
    assert unused("none", [{"key_file": "", "chain_file": None}], "tls_certificate_") == unused("files", [CHAIN], "x") == []
    [told] = unused("none", [dict(CHAIN, key_content="k")], "tls_certificate_chains[{}].")
    assert told.startswith("tls_certificate_chains[0].key_file, tls_certificate_chains[0].chain_file, tls_certificate_chains[0].key_content: set, and")
    assert "k" not in told.split() and "set that to files, on the host to remote" in told


def test_a_file_in_utf_16_and_one_of_another_encoding_are_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes("key".encode("utf-16"))
    (tmp_path / "chain").write_bytes(b"f\xfcr\nchain")
    asked = {"entries": [{"key_file": str(tmp_path / "key"), "chain_file": str(tmp_path / "chain")}]}
    [made_of_it] = templated("query('mailsec.postfix_tls.certificate_chains', *entries, source='files')", asked, tmp_path)
    assert made_of_it == {"key": "key", "certificate": "f\ufffdr\nchain"}
