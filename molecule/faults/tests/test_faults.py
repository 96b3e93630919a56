# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault that Postfix can be given is found on real hosts, by the right check and with its cause; without it they pass.

EHLO is looked at from outside beside that, because it goes on offering STARTTLS whatever is broken behind it.
"""
from __future__ import annotations

import re
import smtplib
from typing import NamedTuple

import pytest
from conftest import CHAIN, DEPLOYED, PARTS

OFFERED, NOT_OFFERED, NO_BANNER = "STARTTLS", "no STARTTLS", "no banner"

#: What a peer gets to see, as patterns.
LOCAL_PROBLEM = r"454 4\.7\.0 TLS not available due to local problem"
ALERT = "alert handshake failure"
CLOSED = "the server closed the connection|connection reset by peer"

#: Every listener of the host itself, against what it is configured with.
OWN = {"targets": None}


class Fault(NamedTuple):
    """One row: how it is set, and what has to be seen of it.

    parameters: {name: value}, None removes. chain: parts of CHAIN. wire and log: patterns, for what the check observed and for what
    Postfix logged of it; None where it logs nothing, "" where it logs only what our own look was refused. options: of starttls_verify.
    mended_by: reload or restart.
    """

    name: str
    parameters: dict
    check: str
    wire: str
    log: str | None
    chain: tuple = ()
    ehlo: str = OFFERED
    verdict: str = "fail"
    options: dict = {}
    mended_by: str = "reload"


def pair(certificate: str, key: str, kind: str = "") -> dict:
    """The parameters of before smtpd_tls_chain_files. kind: "", ec."""
    return {
        "smtpd_tls_chain_files": None,
        "smtpd_tls_%scert_file" % kind: "%s/%s" % (PARTS, certificate),
        "smtpd_tls_%skey_file" % kind: "%s/%s" % (PARTS, key),
    }


FAULTS = (
    Fault("certificate file missing", pair("absent", "key"), "handshake", LOCAL_PROBLEM, 'cannot get RSA certificate from file "%s/absent"' % PARTS),
    Fault("one of two (RSA, EC) missing", {**pair("rsa-leaf", "rsa-key"), **pair("absent", "key", "ec")}, "handshake", LOCAL_PROBLEM,
          'cannot get ECDSA certificate from file "%s/absent"' % PARTS),
    Fault("key of another certificate", pair("leaf", "other-key"), "handshake", LOCAL_PROBLEM,
          r'cannot get RSA private key from file "%s/other-key"(?s:.*)key values mismatch' % PARTS),
    Fault("intermediate before leaf", {"smtpd_tls_chain_files": CHAIN}, "handshake", LOCAL_PROBLEM,
          "key at index 1 in %s does not match next certificate" % CHAIN, ("key", "intermediate", "leaf")),
    Fault("certificate before key", {"smtpd_tls_chain_files": CHAIN}, "handshake", LOCAL_PROBLEM,
          "error loading chain from %s: key not first" % CHAIN, ("leaf", "intermediate", "key")),
    Fault("no certificate at all", {"smtpd_tls_chain_files": None}, "handshake", LOCAL_PROBLEM, "No server certs available"),
    Fault("smtpd_tls_protocols typo", {"smtpd_tls_protocols": "TLSv1.22"}, "handshake", LOCAL_PROBLEM, 'Invalid TLS protocol list "TLSv1.22"'),
    Fault("chain file missing", {"smtpd_tls_chain_files": "/nonexistent/chain.pem"}, "handshake", ALERT,
          "error opening chain file: /nonexistent/chain.pem: No such file or directory"),
    Fault("smtpd_tls_cert_file = none", {"smtpd_tls_chain_files": None, "smtpd_tls_cert_file": "none"}, "handshake", ALERT, "no shared cipher"),
    Fault("smtpd_tls_ciphers = bogus", {"smtpd_tls_ciphers": "bogus"}, "handshake", CLOSED, 'invalid cipher grade: "bogus"', verdict="unknown"),
    Fault("smtpd_tls_exclude_ciphers = ALL", {"smtpd_tls_exclude_ciphers": "ALL"}, "handshake", CLOSED,
          "error setting cipher grade(?s:.*)no cipher match", verdict="unknown"),
    Fault("intermediate missing", {"smtpd_tls_chain_files": CHAIN}, "trust", "unable to get local issuer certificate", "alert unknown ca",
          ("key", "leaf")),
    Fault("expired", {"smtpd_tls_chain_files": CHAIN}, "validity", r"ended 20\S+, (\d days?|less than a day) ago", "alert certificate expired",
          ("expired-key", "expired-leaf", "intermediate")),
    Fault("smtpd_tls_security_level = none", {"smtpd_tls_security_level": "none"}, "starttls_offered", "EHLO offers no STARTTLS", None,
          ehlo=NOT_OFFERED),
    Fault("STARTTLS kept back from EHLO", {"smtpd_discard_ehlo_keywords": "starttls"}, "starttls_offered", "EHLO offers no STARTTLS",
          "discarding EHLO keywords: STARTTLS", ehlo=NOT_OFFERED),
    Fault("SASL without a plug-in", {"smtpd_sasl_auth_enable": "yes"}, "reachable", "no time was left for sending its banner|" + CLOSED,
          "fatal: no SASL authentication mechanisms", ehlo=NO_BANNER, mended_by="restart"),
    Fault("smtpd_tls_protocols = TLSv1.2", {"smtpd_tls_protocols": "TLSv1.2"}, "versions", r"TLSv1\.3 refused", "", options={"profile": "interop"}),
    Fault("smtpd_tls_exclude_ciphers typo", {"smtpd_tls_exclude_ciphers": "aNULLL"}, "configuration", "aNULLL names nothing(?s:.*)mean aNULL", "",
          options=OWN),
    Fault("tls_eecdh_auto_curves typo", {"tls_eecdh_auto_curves": "X25519, prime256v11"}, "configuration", "prime256v11 names nothing", "",
          options=OWN),
)


@pytest.fixture
def broken(hosts, request):
    """The hosts with the fault set; healthy again, and proven to be, afterwards."""
    fault = request.param
    hosts.set(fault.parameters, fault.chain)
    yield hosts
    hosts.mend(fault.mended_by)
    hosts.assert_healthy()


def judged(result: dict, check: str) -> dict:
    """The finding of this check about the one target."""
    assert result["failed"], result
    return {finding["check"]: finding for finding in result["results"][0]["findings"]}[check]


@pytest.mark.parametrize("broken, fault", [pytest.param(fault, fault, id=fault.name) for fault in FAULTS], indirect=["broken"])
def test_a_fault_fails_the_right_check_with_its_cause(broken, fault: Fault, seen) -> None:
    ehlo = broken.ehlo()
    assert set(ehlo.values()) == {fault.ehlo}, ehlo
    for host, result in broken.verify(**fault.options).items():
        finding = judged(result, fault.check)
        seen(fault.name, host, ehlo[host], finding)
        assert finding["verdict"] == fault.verdict, (host, result["msg"])
        assert re.search(fault.wire, finding["observed"]), (host, finding)
        assert finding["observed"] in result["msg"], (host, result["msg"])
        if fault.log:
            assert re.search(fault.log, "\n".join(finding["log"])), (host, finding)
            assert finding["log"][0].rstrip(".") in result["msg"].split(" Postfix logged: ")[1], (host, result["msg"])
        elif fault.log is None:
            assert finding["log"] == [] and "Postfix logged" not in result["msg"], (host, finding)


def test_a_renewed_certificate_that_is_not_served_yet_is_found_and_postfix_reload_mends_it(hosts, seen) -> None:
    name = "renewed, but not reloaded"
    try:
        # Several that wait for work with the old certificate in memory: no new smtpd, which would read the new one, is started.
        hosts.each(_make_several_wait)
        hosts.run("cd %s; cat renewed-key renewed-leaf intermediate > %s" % (PARTS, DEPLOYED))
        ehlo = hosts.ehlo()
        assert set(ehlo.values()) == {OFFERED}, ehlo
        for host, result in hosts.verify(deployed_chain=DEPLOYED).items():
            finding = judged(result, "deployed_chain")
            seen(name, host, ehlo[host], finding)
            assert finding["verdict"] == "fail" and "Fix: postfix reload" in result["msg"], (host, result["msg"])
            assert [one["check"] for one in result["results"][0]["findings"] if one["verdict"] != "pass"] == ["deployed_chain"]
        hosts.make_live()
        hosts.assert_healthy()
    finally:
        hosts.mend("reload")
    hosts.assert_healthy()


def _make_several_wait(host) -> None:
    sessions = [smtplib.SMTP(host.address, 25, timeout=10) for _each in range(6)]
    for session in sessions:
        session.quit()
