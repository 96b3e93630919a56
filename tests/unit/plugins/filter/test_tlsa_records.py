# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a zone file for chains, and what is said of what can't be one."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.mailsec.postfix_tls.plugins.filter import tlsa_records as plugin
from ansible_collections.mailsec.postfix_tls.plugins.filter.tlsa_records import tlsa_records
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import installed
from ansible_collections.mailsec.postfix_tls.plugins.modules import postfix_tls_info
from cryptography.hazmat.primitives import hashes, serialization
from issuing import Issued, issue

TOP = Path(__file__).resolve().parents[4]
MIDDLE = issue("intermediate", issue("root", authority=True), authority=True)
LEAF = issue("mx.example.org", MIDDLE)
RSA = issue("mx.example.org", MIDDLE, kind="rsa")
ALONE = issue("mail.example.org")


def key(issued: Issued) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(issued.certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


@pytest.fixture(scope="module")
def chains(tmp_path_factory) -> list:
    """Two of smtp that share their issuer, and one of submission that has none."""
    folder = tmp_path_factory.mktemp("tls")
    both, alone = folder / "both.pem", folder / "alone.pem"
    both.write_text(LEAF.key_pem() + LEAF.pem + MIDDLE.pem + RSA.key_pem() + RSA.pem + MIDDLE.pem, encoding="utf-8")
    alone.write_text(ALONE.key_pem() + ALONE.pem, encoding="utf-8")
    return installed.chains([installed.Serving("smtp", (str(both),), True), installed.Serving("submission", (str(alone),), True)])


@pytest.mark.parametrize("options, lines", [
    ({}, ["_25._tcp.mx.example.org. IN TLSA 3 1 1 %s" % key(issued) for issued in (LEAF, RSA, ALONE)]),
    ({"ttl": 3600}, ["_25._tcp.mx.example.org. 3600 IN TLSA 3 1 1 %s" % key(issued) for issued in (LEAF, RSA, ALONE)]),
    ({"ttl": 0, "forms": ["3 0 1"]}, ["_25._tcp.mx.example.org. 0 IN TLSA 3 0 1 %s" % issued.sha256 for issued in (LEAF, RSA, ALONE)]),
    ({"host": "MX.Example.org."}, ["_25._tcp.mx.example.org. IN TLSA 3 1 1 %s" % key(issued) for issued in (LEAF, RSA, ALONE)]),
    ({"ports": [465, "25"], "forms": ["2 1 1", "3 1 1"]}, [
        "_%d._tcp.mx.example.org. IN TLSA %s %s" % (port, form, key(issued))
        for port in (465, 25) for form, issued in (("2 1 1", MIDDLE), ("3 1 1", LEAF), ("3 1 1", RSA), ("3 1 1", ALONE))
    ]),
    ({"forms": ["3 1 1", "3 1 1"], "ports": [25, 25]}, ["_25._tcp.mx.example.org. IN TLSA 3 1 1 %s" % key(issued) for issued in (LEAF, RSA, ALONE)]),
])
def test_each_record_is_a_line_of_its_own_in_the_order_of_ports_forms_and_chains(chains: list, options: dict, lines: list) -> None:
    assert tlsa_records(chains, **dict({"host": "mx.example.org"}, **options)) == lines


def test_where_nothing_is_served_there_is_no_record() -> None:
    assert tlsa_records([], "mx.example.org") == []


def test_each_example_gives_lines_in_ansible_itself(chains: list, tmp_path: Path) -> None:
    tasks = [task for source in (plugin, postfix_tls_info) for task in yaml.safe_load(source.EXAMPLES) if "tlsa_records(" in str(task)]
    for task in tasks:
        task["ansible.builtin.debug"]["msg"] = task["ansible.builtin.debug"]["msg"].replace(" }}", " | to_json }}")
    postfix = {"chains": [*chains[:2], dict(chains[0], services=["submission"])], "instances": [{"myhostname": "mx1.example.org"}]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    (tmp_path / "results.json").write_text(json.dumps({"postfix": postfix}), encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-e", "@%s" % (tmp_path / "results.json"), str(tmp_path / "play.yml")],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=True,
    ).stdout
    every, submission, smtp = [json.loads(json.loads(line.partition(":")[2])) for line in said.splitlines() if line.strip().startswith('"msg":')]
    assert every == ["_25._tcp.mx.example.org. IN TLSA 3 1 1 %s" % key(issued) for issued in (LEAF, RSA)]
    assert submission == [
        "_%d._tcp.mx.example.org. 3600 IN TLSA %s %s" % (port, form, key(issued))
        for port in (587, 465) for form, issued in (("3 1 1", LEAF), ("2 1 1", MIDDLE))
    ]
    assert smtp == ["_25._tcp.mx1.example.org. 3600 IN TLSA 3 1 1 %s" % key(issued) for issued in (LEAF, RSA)]


NO_HOST = "that is no full host name in ASCII. Write the name of the MX record, such as mx.example.org."
NO_CHAINS = "that is not what postfix_tls_info returns as chains. Register its result, and write RESULT.chains | mailsec.postfix_tls.tlsa_records(...)."


@pytest.mark.parametrize("options, told", [
    *(({"host": host}, "host = %r: %s" % (host, NO_HOST)) for host in (
        "", "mx", "mx..example.org", "mx.example.org..", "*.example.org", "_25._tcp.mx.example.org", "192.0.2.1", "2001:db8::1", "-mx.example.org",
        "mx-.example.org", "b\u00fccher.example", "mx.example.org\n", "%s.example.org" % ("x" * 64), "x." * 126 + "org", None, 25,
    )),
    ({"ports": [25, 65536]}, "ports = 65536: it is no number from 1 to 65535. Write one."),
    ({"ports": [0]}, "ports = 0: it is no number from 1 to 65535. Write one."),
    ({"ports": [True]}, "ports = True: it is no number from 1 to 65535. Write one."),
    ({"ports": ["smtp"]}, "ports = 'smtp': it is no number from 1 to 65535. Write one."),
    ({"ports": [25.0]}, "ports = 25.0: it is no number from 1 to 65535. Write one."),
    ({"ports": 25}, "ports = 25: that is no list with something in it. Write it as [25]."),
    ({"ports": "25"}, "ports = '25': that is no list with something in it. Write it as [25]."),
    ({"ports": []}, "ports = []: that is no list with something in it. Write it as [25]."),
    ({"forms": "3 1 1"}, "forms = '3 1 1': that is no list with something in it. Write it as ['3 1 1']."),
    ({"forms": ["3 1 2"]}, "forms = '3 1 2': it is none of 3 1 1, 2 1 1, 3 0 1. Write one of them, in quotes."),
    ({"forms": [["3 1 1"]]}, "forms = ['3 1 1']: it is none of 3 1 1, 2 1 1, 3 0 1. Write one of them, in quotes."),
    ({"ttl": -1}, "ttl = -1: it is no number from 0 to 2147483647. Write one."),
    ({"ttl": 1 << 31}, "ttl = 2147483648: it is no number from 0 to 2147483647. Write one."),
    ({"ttl": "1h"}, "ttl = '1h': it is no number from 0 to 2147483647. Write one."),
    ({"value": {"chains": [], "instances": []}}, "input = a dictionary of chains, instances: " + NO_CHAINS),
    ({"value": "chains"}, "input = 'chains': " + NO_CHAINS),
    ({"value": None}, "input = None: " + NO_CHAINS),
    ({"value": ["x"]}, "input[0] = 'x': " + NO_CHAINS),
    ({"value": [{"listeners": [], "errors": []}]}, "input[0] = a dictionary of listeners, errors: " + NO_CHAINS),
    ({"value": [{"files": [], "error": None, "tlsa": None}]}, "input[0] = a dictionary of files, error, tlsa: " + NO_CHAINS),
    ({"value": [{"files": [], "error": None, "tlsa": [{"usage": 3, "selector": 1, "matching_type": 1, "data": "x\nx"}]}]},
     "input[0] = a dictionary of files, error, tlsa: " + NO_CHAINS),
])
def test_what_can_be_no_record_is_told_in_one_line_with_what_to_write(chains: list, options: dict, told: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        tlsa_records(**dict({"value": chains, "host": "mx.example.org"}, **options))
    assert str(refused.value) == "mailsec.postfix_tls.tlsa_records: " + told


def test_a_chain_without_a_record_is_never_left_out_in_silence(chains: list) -> None:
    missing = installed.chains([installed.Serving("smtp", ("/nonexistent.pem",), True)])
    with pytest.raises(AnsibleFilterError) as refused:
        tlsa_records(chains + missing, "mx.example.org")
    assert str(refused.value) == (
        "mailsec.postfix_tls.tlsa_records: input[3]: /nonexistent.pem: there is no such file on this host. Put it there, or name the file that holds"
        " the chain. Or leave that chain out: RESULT.chains | selectattr('error', 'none')."
    )
    with pytest.raises(AnsibleFilterError) as refused:
        tlsa_records(chains, "mx.example.org", forms=["2 1 1"])
    assert str(refused.value) == (
        "mailsec.postfix_tls.tlsa_records: input[2] = %s: no issuer stands in it, so it has no record 2 1 1. Add 3 1 1 to forms." % chains[2]["files"][0]
    )


def test_the_documented_options_are_those_of_the_code() -> None:
    documented = yaml.safe_load(plugin.DOCUMENTATION)["options"]
    assert list(documented) == ["_input", "host", "ports", "forms", "ttl"]
    assert (tuple(documented["ports"]["default"]), tuple(documented["forms"]["default"])) == tlsa_records.__defaults__[:2]
