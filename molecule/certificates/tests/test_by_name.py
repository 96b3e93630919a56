# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate a client is served, by the name and the kind it asks for, in the eyes of openssl s_client on another host.

Of these files it runs first, for the others replace what was converged.
"""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import explain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from conftest import WORDS, converged, leaves, look
from reach import Host


def test_each_name_and_none_is_served_its_own_chain_of_each_kind_verified(host: Host) -> None:
    assert leaves(host) == converged(host)


@pytest.mark.parametrize("name, words", [
    ("mail.example.net", ("net_ecdsa", "net_rsa")),
    ("elsewhere.example.com", ("ecdsa", "rsa")),
    ("example.org", ("ecdsa", "rsa")),
], ids=["a second name of an entry", "an unknown name", "the name itself of an entry for those below it"])
def test_further_names_are_served_the_chain_they_belong_to(host: Host, name: str, words: tuple) -> None:
    verified = [name] if WORDS[words[0]][1] else [host.fqdn]
    seen = look(host, *[(name, WORDS[word][0], *verified) for word in words])
    assert [found.certificates[:1] for found in seen] == [(converged(host)[word],) for word in words], [found.said for found in seen]


@pytest.mark.parametrize("name, by_name, nameless", [
    (None, {"ecdsa", "rsa"}, set()), ("mail.example.net", {"net_ecdsa", "net_rsa"}, {"ecdsa", "rsa"}), ("any.example.org", {"below"}, {"ecdsa", "rsa"}),
], ids=["the host's own name", "another", "a third"])
def test_our_look_passes_at_each_name_and_tells_who_is_served_what(host: Host, name: str | None, by_name: set, nameless: set) -> None:
    target = Target(host.fqdn, server_name=name, address=host.address)
    facts = probe(target, Look(ca_file=host.vars["lab_ca_file"]))
    served = converged(host)
    seen = {sni: {chain["certificates"][0]["sha256"] for chain in facts["chains"] if chain["sni"] is sni} for sni in (True, False, None)}
    assert seen == {True: {served[word] for word in by_name}, False: {served[word] for word in nameless}, None: set()}
    findings = judge(facts, Expectation(deployed=[served[word] for word in by_name]))
    assert {finding["verdict"] for finding in findings} == {"pass"}, explain([dict(facts, findings=findings)])


def test_a_name_with_one_kind_of_chain_is_not_served_another_names_chain_of_the_other_kind(host: Host) -> None:
    [seen] = look(host, ("any.example.org", "rsa"))
    assert not seen.certificates and "handshake failure" in seen.said, seen.said


def test_the_whole_chain_is_served_without_the_root(host: Host) -> None:
    assert {len(found.certificates) for found in look(host, *[(name, kind) for kind, name, _names in WORDS.values()])} == {2}


def test_keys_are_roots_alone_and_the_sni_table_holds_none(host: Host) -> None:
    modes = host.run("cd /etc/postfix/tls && stat -c '%n %a %U' *.pem").splitlines()
    assert modes == ["%s.pem 600 root" % word for word in sorted(WORDS)]
    assert host.run("grep -rl 'PRIVATE KEY' /etc/postfix | sort").split() == ["/etc/postfix/tls/%s.pem" % word for word in sorted(WORDS)]
    table = host.run("postconf -h tls_server_sni_maps").strip()
    assert host.run("postmap -q .example.org %s" % table).strip() == "/etc/postfix/tls/below.pem"
