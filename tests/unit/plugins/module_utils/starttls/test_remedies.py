# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be written is about what was seen. The words are those of OpenSSL 1.1.1 to 3.6 and of Postfix; that they come so is shown on the wire."""
from __future__ import annotations

import ssl

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import checks, distrust, remedies
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from issuing import issue
from servers import Behaviour, MailServer

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
MIDDLE = issue("middle", ROOT, authority=True)
SAN = x509.SubjectAlternativeName([x509.DNSName(NAME)])
CASES = {
    "expired": (Behaviour(chain=issue(NAME, ROOT, days=(-9, -1))), "trust", "what is renewed"),
    "expired, its days": (Behaviour(chain=issue(NAME, ROOT, days=(-9, -1))), "validity", "what is renewed"),
    "not yet": (Behaviour(chain=issue(NAME, ROOT, days=(1, 9))), "trust", "the clock of"),
    "not yet, its days": (Behaviour(chain=issue(NAME, ROOT, days=(1, 9))), "validity", "the clock of"),
    "self-signed": (Behaviour(chain=issue(NAME)), "trust", "is self-signed"),
    "no intermediate": (Behaviour(chain=issue(NAME, MIDDLE)), "trust", "every intermediate"),
    "unknown root": (Behaviour(chain=issue(NAME, STRANGER := issue("stranger", authority=True)), more=(STRANGER,)), "trust", "ca_file = that root"),
    "for clients": (Behaviour(chain=issue(NAME, ROOT, client=True)), "trust", "serverAuth"),
    "no authority": (Behaviour(chain=issue(NAME, LEAF := issue("leaf", ROOT)), more=(LEAF,)), "trust", "basicConstraints"),
    "another name": (Behaviour(chain=issue("other.example.org", ROOT)), "name", "the name of the MX record"),
    "no name": (Behaviour(chain=issue(NAME, ROOT, extensions=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),))), "name", "a common name does not"),
    "names its issuer may not": (
        Behaviour(chain=issue(NAME, BOUND := issue("bound", ROOT, authority=True, extensions=(
            x509.NameConstraints([x509.DNSName("example.net")], None),))), more=(BOUND,)), "trust", "nameConstraints"),
    "turned away": (Behaviour(chain=issue(NAME, ROOT), banner=b"554 5.7.1 no\r\n"), "reachable", "let this machine in"),
    "overwritten": (Behaviour(ehlo=(b"XXXXXXXA",)), "starttls_offered", "the device in between"),
    "not loaded": (Behaviour(chain=issue(NAME, ROOT), starttls=b"454 4.7.0 TLS not available due to local problem\r\n"), "handshake", "could not"),
    "a version less": (Behaviour(chain=issue(NAME, ROOT), versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)), "versions", "leave TLSv1.3 in"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_fix_is_about_the_fault_that_was_seen(case: str) -> None:
    behaviour, check, told = CASES[case]
    with MailServer(behaviour) as server:
        facts = probe(Target("127.0.0.1", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=5.0))
    expected = Expectation(accepts=["TLSv1.3"] if check == "versions" else None)
    [finding] = [finding for finding in judge(facts, expected) if finding["check"] == check]
    assert finding["verdict"] == "fail" and told in finding["fix"], finding


#: X509_verify_cert_error_string(3) of OpenSSL 1.1.1 and 3.x, and what is meant of a file that is about to be served.
WORDS = {
    "certificate is not yet valid": "it is not valid yet", "certificate has expired": "it has expired", "self signed certificate": "it is self-signed",
    "self-signed certificate": "it is self-signed", "self signed certificate in certificate chain": "it ends in a root this host does not trust",
    "unable to get local issuer certificate": "an intermediate is missing, or this host does not trust its issuer",
    "unable to verify the first certificate": "an intermediate is missing, or this host does not trust its issuer",
    "unsupported certificate purpose": "it is not meant for servers (extendedKeyUsage)",
    "unsuitable certificate purpose": "it is not meant for servers (extendedKeyUsage)",
    "Hostname mismatch, certificate is not valid for 'mx.example.org'.": "it does not cover that name",
    "IP address mismatch, certificate is not valid for '192.0.2.1'.": "it does not cover that address",
    "CA signature digest algorithm too weak": "it, or an intermediate, is signed with a hash that is too weak (SHA-1, MD5)",
    "EE certificate key too weak": "its key is too weak", "CA certificate key too weak": "the key of its CA is too weak",
    "permitted subtree violation": "its CA may not certify that name (nameConstraints)", "invalid CA certificate": "its issuer may not issue certificates",
    "path length constraint exceeded": "its issuer may not issue certificates", "certificate signature failure": "its signature is not its issuer's",
}


@pytest.mark.parametrize("words", WORDS)
def test_words_of_openssl_have_one_meaning(words: str) -> None:
    assert distrust.fault(words).meaning == WORDS[words] and distrust.fault("the chain ends at a trusted CA") is None


def test_what_was_not_seen_blames_no_parameter() -> None:
    for check in CHECK_NAMES:
        assert remedies.remedy(check, "unknown", "the dialogue did not come so far") == remedies.UNSEEN
        assert remedies.remedy(check, "unknown", "no time was left for replying to EHLO").startswith("timeout: ")


def test_every_text_is_of_a_check_and_can_be_filled_in() -> None:
    fields = dict(Expectation(profile="intermediate").words(), server_name=NAME)
    assert set(remedies._BY_WORDS) <= set(CHECK_NAMES)
    for _pattern, text in [row for rows in remedies._BY_WORDS.values() for row in rows] + [(None, fault.fix) for fault in distrust.FAULTS]:
        assert text.format(**fields).isascii()
    assert all(check.fix.format(**fields) for check in checks.CHECKS)
