# SPDX-License-Identifier: GPL-3.0-or-later
"""By default, port 25 takes all of TLS 1.2 and newer that is not broken, and submission what Mozilla's intermediate has. On every release, by openssl."""
from __future__ import annotations

import json
import re
import subprocess

import pytest
from conftest import CONVERGE, RSA_CHAIN
from reach import Host, play
from test_in_place import lay

#: {arguments of openssl s_client: whether port 25 agrees, and submission}
OFFERS = {
    "-tls1_2 -cipher ECDHE-RSA-AES256-SHA384": (True, False),
    "-tls1_2 -cipher AES256-SHA": (True, False),
    "-tls1_2 -cipher AES128-GCM-SHA256": (True, False),
    "-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384": (True, True),
    "-tls1_2 -cipher AECDH-AES256-SHA:@SECLEVEL=0": (True, False),
    "-tls1_3": (True, True),
    "-tls1_1 -cipher ALL:@SECLEVEL=0": (False, False),
    "-tls1 -cipher ALL:@SECLEVEL=0": (False, False),
}
SUBMISSION = "submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt\n"


def agrees(host: Host, port: int, offer: str) -> bool:
    words = ["openssl", "s_client", "-starttls", "smtp", "-connect", "%s:%d" % (host.address, port), *offer.split()]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)
    return bool(re.search(r"^New, (?!\(NONE\)).*Cipher is (?!\(NONE\))", done.stdout, re.MULTILINE))


@pytest.fixture(scope="module")
def defaulted(hosts) -> tuple:
    """(hosts, what a run with defaults said, what one with a stricter guideline said then)"""
    hosts.each(lambda host: lay(host, "smtpd_tls_chain_files = %s\n" % RSA_CHAIN.replace("/etc", "/root/profiles"), SUBMISSION, "^smtpd_tls_[ck]e"))
    before = hosts.each(lambda host: agrees(host, 25, "-tls1 -cipher ALL:@SECLEVEL=0"))
    yield hosts, before, play(CONVERGE, "profiles", tls_certificate_source="none", tls_hardening_verify=True)
    hosts.mend()


def test_each_port_agrees_to_what_its_own_row_has(defaulted) -> None:
    hosts, before, _said = defaulted
    for offer, expected in OFFERS.items():
        told = hosts.each(lambda host, offer=offer: (agrees(host, 25, offer), agrees(host, 587, offer)))
        assert told == dict.fromkeys(hosts.names, expected), offer
    assert all(before.values()), "it was agreed to before"


def test_the_run_names_whom_it_cuts_off(defaulted) -> None:
    _hosts, _before, said = defaulted
    told = " ".join(said.split())
    assert "clients that offer nothing but TLSv1, TLSv1.1 could agree with this host before and can't any more" in told
    assert "delivers in plaintext" in told and "refused where TLS is mandatory" in told


def test_one_variable_has_a_stricter_guideline_hold_for_all(defaulted) -> None:
    hosts, _before, _said = defaulted
    said = " ".join(play(CONVERGE, "profiles", tls_certificate_source="none", smtpd_tls_profile="intermediate").split())
    assert "clients that offer nothing but" in said and "suites more could agree with this host before" in said, json.dumps(said)
    offer = "-tls1_2 -cipher ECDHE-RSA-AES256-SHA384"
    assert hosts.each(lambda host: agrees(host, 25, offer)) == dict.fromkeys(hosts.names, False)
