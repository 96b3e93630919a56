# SPDX-License-Identifier: GPL-3.0-or-later
"""What we and each peer say of a case, as sentences that can be held against each other: {what: {sentence}}. What a peer can't tell is not in it.

    checks     trust fail             of our checks that did not pass
    answer     yes, no                whether the server answers a command within TLS
    trust      yes, no                of every chain that was seen
    name       yes, no                likewise
    validity   yes, no                likewise: whether today is within its days
    leaves     sha256                 of each leaf that was seen
    versions   TLSv1.2 accepted       TLSv1 to TLSv1.3
"""
from __future__ import annotations

import re
import shlex

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from faults import Fault, failing, root
from mailservers import NAME, VERSIONS, Server
from reach import Host
from running import Running
from seeing import CALLED, asked, xml

#: OpenSSL's options for a version, GnuTLS's name of it.
_OPTIONS = dict(zip(VERSIONS, ("-tls1", "-tls1_1", "-tls1_2", "-tls1_3")))
_GNUTLS = dict(zip(VERSIONS, ("TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3")))
#: What a client can offer so that only one algorithm's certificate suits.
_SIGNATURES = {"RSA": "rsa_pss_rsae_sha256:RSA+SHA256", "ECDSA": "ECDSA+SHA256", "Ed25519": "ed25519"}
#: Of X509_V_ERR_*.
_OUT_OF_DATE, _OTHER_NAME = {"9", "10"}, {"62"}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SAY = {"pass": "yes", "fail": "no", "unknown": "unknown"}
CA = "/srv/foreign-ca.pem"


def we(server: Server, fault: Fault, where: Running, ca_file: str) -> tuple:
    """(sentences, {check that did not pass: what was observed})"""
    expectation = Expectation(**dict(fault.expects))
    target = Target(NAME, port=where.port, protocol=server.protocol, address=where.address)
    facts = probe(target, Look(ca_file=ca_file, **expectation.questions()))
    findings = judge(facts, expectation)
    verdicts = {finding["check"]: finding["verdict"] for finding in findings}
    excused = "unknown" if failing(server, fault).get("handshake") else None  # without an answer within TLS, the rest may be known or not
    said = {"checks": {"%s %s" % (check, verdict) for check, verdict in verdicts.items() if verdict not in ("pass", excused)}}
    said.update({what: {_SAY[verdicts[check]]} for what, check in
                 (("answer", "handshake"), ("trust", "trust"), ("name", "name"), ("validity", "validity")) if verdicts.get(check, excused) != excused})
    if facts["tls"] and facts["tls"]["versions"]:
        said["versions"] = {"%s %s" % (version, facts["tls"]["versions"][version]["verdict"]) for version in VERSIONS}
    said["leaves"] = {chain["certificates"][0]["sha256"] for chain in facts["chains"] or () if chain["certificates"]}
    return said, {finding["check"]: finding["observed"] for finding in findings if finding["verdict"] != "pass"}


def s_client(vantage: Host, fault: Fault, where: Running) -> dict:
    start = "(printf 'ehlo %s\\r\\nquit\\r\\n') | timeout 15 openssl s_client -starttls smtp -connect %s:%d -CAfile %s -verify_hostname %s" \
            " -auth_level 1 -ign_eof -nocommands -showcerts " % (vantage.fqdn, where.address, where.port, CA, NAME)
    questions = {("version", version): "%s -servername %s -cipher ALL:@SECLEVEL=0" % (option, NAME) for version, option in _OPTIONS.items()}
    for version in ("TLSv1.2", "TLSv1.3"):
        questions["chain", version] = "%s -noservername -cipher ALL:@SECLEVEL=1" % _OPTIONS[version]
        if fault.wants.chains > 1:
            questions.update({("chain", version, key): "%s -servername %s -sigalgs %s -cipher ALL:@SECLEVEL=1" % (_OPTIONS[version], NAME, signatures)
                              for key, signatures in _SIGNATURES.items()})
    told = asked(vantage, {question: start + options for question, options in questions.items()})
    done = {question: answer for question, answer in told.items() if re.search(r"Cipher is (?!\(NONE\))", answer)}
    said = {"versions": {"%s %s" % (version, "accepted" if ("version", version) in done else "refused") for version in VERSIONS}}
    seen = "".join(done.values())
    if not seen:
        return dict(said, answer={"no"})
    errors = set(re.findall(r"verify error:num=(\d+)", seen))
    return dict(
        said, trust={_yes(not errors - _OTHER_NAME)}, name={_yes(not errors & _OTHER_NAME)}, validity={_yes(not errors & _OUT_OF_DATE)},
        leaves={_leaf(answer) for answer in done.values() if _PEM.search(answer)},
        answer={_yes(all(re.search(r"^221[ -]", answer, re.MULTILINE) for answer in done.values()))},
    )


def posttls_finger(vantage: Host, fault: Fault, where: Running) -> dict:
    """As Postfix delivers at level secure: without SNI, and with it where that makes a difference."""
    start = "timeout 30 posttls-finger -l secure -F %s " % CA
    end = "%s %s" % (shlex.quote("[%s]:%d" % (where.address, where.port)), NAME)
    told = asked(vantage, {sni: start + sni + end for sni in ("", "-s %s " % NAME)[:1 + fault.wants.named]}).values()
    words = [re.search(r": (\w+) TLS connection established", answer) for answer in told]
    if not all(words):
        return {"answer": {"no"}}
    # Of another name, 3.7 says Untrusted, and why; the others say Trusted.
    trusted = all(found[1] != "Untrusted" or "num=62:" in answer for found, answer in zip(words, told))
    said = {"answer": {_yes(all(re.search(r"connection established.*< 250[ -]", answer, re.DOTALL) for answer in told))}, "trust": {_yes(trusted)}}
    return dict(said, name={_yes(all(found[1] == "Verified" for found in words))}) if trusted else said


def gnutls_cli(vantage: Host, where: Running) -> dict:
    start = "printf 'quit\\r\\n' | timeout 15 gnutls-cli --starttls-proto=smtp --port=%d --x509cafile=%s --sni-hostname=%s --verify-hostname=%s %s " % (
        where.port, CA, NAME, NAME, where.address)
    priorities = {version: "--insecure --priority=NORMAL:-VERS-ALL:+VERS-%s" % name for version, name in _GNUTLS.items()}
    told = asked(vantage, {question: start + options for question, options in dict(priorities, chain="").items()})
    said = {"versions": {"%s %s" % (version, "accepted" if "- Handshake was completed" in told[version] else "refused") for version in VERSIONS}}
    status = re.search(r"- Status: (.*)", told["chain"])
    if status:
        wrong = status[1].replace("The name in the certificate does not match the expected.", "")
        said.update(name={_yes("does not match" not in status[1])},
                    trust={_yes("is trusted" in status[1] or not re.search(r"expired|not yet|issuer|insecure|signer|self", wrong))},
                    validity={_yes(not re.search("expired certificate|not yet valid|not yet activated", status[1]))})
    return said


def sslscan(where: Running) -> dict:
    """Nothing where it could not ask everything."""
    quiet = ["--no-%s" % part for part in ("ciphersuites", "groups", "fallback", "renegotiation", "heartbleed", "compression", "check-certificate")]
    told = xml("sslscan", "--starttls-smtp", "--sni-name=%s" % NAME, *quiet, "--xml=-", "%s:%d" % (where.address, where.port))
    if told.find(".//error") is not None:  # of replies that come in pieces, it takes the first for the whole
        return {}
    versions = {"TLSv%s" % found.get("version"): found.get("enabled") == "1" for found in told.iter("protocol") if found.get("type") == "tls"}
    return {"versions": {"%s %s" % (CALLED.get(version, version), "accepted" if enabled else "refused") for version, enabled in versions.items()}}


def trust_root(host: Host) -> None:
    host.write(CA, root().pem)


def _leaf(answer: str) -> str:
    return x509.load_pem_x509_certificate(_PEM.search(answer)[0].encode()).fingerprint(hashes.SHA256()).hex()


def _yes(true: bool) -> str:
    return "yes" if true else "no"
