# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a running Postfix are replaced: from every source, and on the host itself without Ansible.

The steps build on each other and run in the order they stand here.
"""
from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
from conftest import ALL, CONVERGE, as_texts, asked, converged, each, hand_out, issued, leaves, look
from post import wait
from reach import Host, play
from witness import tree

RENEW = "/usr/local/sbin/postfix-tls-renew"
#: What starts it on a host of each release.
STARTED_BY = {**dict.fromkeys(ALL[:3], "systemd"), "c-forky": "/etc/cron.daily/postfix-tls-renew"}
CONNECTIONS = 10
#: Seconds for systemd to see a file change, and for the program to try again, reload and prove.
SOON = 60


def on_host(word: str) -> tuple:
    return "/srv/acme/%s/privkey.pem" % word, "/srv/acme/%s/fullchain.pem" % word


def hand_out_anew(host: Host) -> dict:
    """{word: sha256 of the new leaf}, over the files on the host."""
    pairs, leaf = issued(host)
    hand_out(host, {path: text for word, pair in pairs.items() for path, text in zip(on_host(word), pair)})
    return leaf


def further(host: Host) -> set:
    """sha256 of the leaves of many connections, one after the other."""
    return {seen.certificates[:1] or seen.said for seen in look(host, *[(None, "ec")] * CONNECTIONS)}


def assert_served(expected: dict) -> None:
    """expected: {host: {word: sha256 of the leaf}}"""
    assert each(leaves) == expected
    assert each(further) == {name: {(leaf["ecdsa"],)} for name, leaf in expected.items()}


def test_from_files_on_the_controller() -> None:
    play(CONVERGE, "certificates")
    assert_served(each(converged))


def test_from_texts_with_a_reload_alone(tmp_path: Path) -> None:
    new = each(issued)
    texts = as_texts(tmp_path, {name: pairs for name, (pairs, _leaf) in new.items()})
    play(CONVERGE, "certificates", tls_hardening_action="reload", **texts)
    assert_served({name: leaf for name, (_pairs, leaf) in new.items()})


@pytest.fixture(scope="module")
def renewing() -> Iterator[dict]:
    """{host: {word: sha256 of the leaf}}, of files on the hosts, which the hosts renew themselves."""
    leaf = each(hand_out_anew)
    key_file, chain_file = on_host("%s")
    play(CONVERGE, "certificates", **asked("remote", key_file=key_file, chain_file=chain_file))
    yield leaf
    each(lambda host: host.run("rm -r /srv/acme"))


def renewed(host: Host) -> str:
    """What the program said and its status, started by hand."""
    return host.run("%s 2>&1; echo status $?" % RENEW)


def journal(host: Host) -> str:
    return host.run("journalctl --unit postfix-tls-renew.service --output cat --no-pager")


def test_from_files_on_the_host(renewing: dict) -> None:
    assert_served(renewing)


def test_files_that_change_on_the_host_are_served_soon_without_ansible(renewing: dict) -> None:
    def served(host: Host) -> bool:
        return wait(lambda: leaves(host) == leaf[host.name], SOON)

    before = each(lambda host: host.run("cat /etc/postfix/main.cf"))
    leaf = each(hand_out_anew)
    assert renewing != leaf
    for name, by in STARTED_BY.items():
        if by != "systemd":
            Host(name).run(by)
    each(served)
    assert_served(leaf)
    assert each(lambda host: host.run("cat /etc/postfix/main.cf")) == before
    for name, by in STARTED_BY.items():
        if by == "systemd":
            assert "/etc/postfix: renewed, and served since the reload: /etc/postfix/tls/ecdsa.pem (CN=%s.lab.test, " % name in journal(Host(name))
    renewing.update(leaf)


def test_a_file_that_is_broken_on_the_host_leaves_the_old_chain_served_and_the_log_says_why(renewing: dict) -> None:
    chain_file = on_host("ecdsa")[1]
    why = "/etc/postfix: chain ecdsa: no PEM certificate was found. Name the file that holds the leaf and its intermediates (fullchain.pem)."
    files = each(tree)
    each(lambda host: host.run("cp {0} {0}.good; echo interrupted download > {0}".format(chain_file)))
    for name, said in each(renewed).items():
        assert (why in said, said.split()[-2:]) == (True, ["status", "1"]), (name, said)
    for name, by in STARTED_BY.items():
        if by == "systemd":
            assert wait(lambda: why in journal(Host(name)), SOON), journal(Host(name))
        else:
            assert why in Host(name).run("%s 2>&1" % by, check=False)  # which cron mails to root
    assert each(tree) == files
    assert_served(renewing)
    each(lambda host: host.run("mv {0}.good {0}".format(chain_file)))
    assert {said.split()[-1] for said in each(renewed).values()} == {"0"}


def test_without_a_source_the_chains_that_are_there_are_served_on(renewing: dict) -> None:
    play(CONVERGE, "certificates", tls_certificate_source="none")
    assert [(leaf["ecdsa"], leaf["rsa"]) for leaf in each(leaves).values()] == [(leaf["ecdsa"], leaf["rsa"]) for leaf in renewing.values()]


def test_what_renews_them_goes_with_the_source(renewing: dict) -> None:
    assert each(lambda host: host.run("ls %s" % RENEW)) == dict.fromkeys(renewing, RENEW + "\n")
    play(CONVERGE, "certificates")
    assert_served(each(converged))
    assert set(each(lambda host: host.run("ls %s /etc/cron.daily/*renew /etc/systemd/system/*renew* 2>/dev/null" % RENEW, check=False)).values()) == {""}
