# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""From facts to findings: what was seen against what was expected, one row of a table per check.

A finding is {check, verdict, observed, expected, fix, reference}. Its verdict is pass, fail or unknown, and unknown never passes.
"""
from __future__ import annotations

from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import verdicts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.facts import NOTHING, completed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.remedies import remedy


class Check(NamedTuple):
    """look(facts, expectation) -> Seen; called only when applies(facts, expectation). expected, fix: may hold {fields} of Expectation, and {server_name}.

    fix: for its usual fault; C(remedies) has those for others.
    """

    name: str
    applies: Callable
    look: Callable
    expected: str
    fix: str
    reference: str


def judge(facts: dict, expectation: Expectation) -> list:
    """The findings about one target, in the order of C(CHECKS)."""
    findings = []
    facts = completed(facts)
    fields = dict(expectation.words(), server_name=facts["target"]["server_name"])
    for check in CHECKS:
        if expectation.checks is not None and check.name not in expectation.checks or not check.applies(facts, expectation):
            continue
        seen = check.look(facts, expectation)
        findings.append({
            "check": check.name,
            "verdict": seen.verdict,
            "observed": seen.observed or NOTHING,
            "expected": check.expected.format(**fields),
            "fix": None if seen.verdict == "pass" else _fix(check, seen, fields),
            "reference": expectation.clause(check.name) or check.reference,
        })
    return findings


def _fix(check: Check, seen: verdicts.Seen, fields: dict) -> str:
    text = (remedy(check.name, *seen) or check.fix).format(**fields)
    if seen.verdict == "fail" and verdicts.NAMELESS in seen.observed:
        text += "; smtpd_tls_chain_files is what clients get that send no server name, whatever tls_server_sni_maps has for others"
    return text


def applying(protocol: str, expectation: Expectation) -> list:
    """Names of the checks that are made on a target of this protocol. Raises PostfixTlsError for one that there is not, or could not fail."""
    expectation.check_names(CHECK_NAMES)
    facts = {"target": {"protocol": protocol}}
    named = expectation.checks
    return [check.name for check in CHECKS if (named is None or check.name in named) and check.applies(facts, expectation)]


def _always(_facts: dict, _expectation: Expectation) -> bool:
    return True


def _encrypts(facts: dict, expectation: Expectation) -> bool:
    return expectation.starttls or facts["target"]["protocol"] == "smtps"


def _upgrades(facts: dict, expectation: Expectation) -> bool:
    return expectation.starttls and facts["target"]["protocol"] != "smtps"


def _keeps_auth(facts: dict, expectation: Expectation) -> bool:
    return _upgrades(facts, expectation) and expectation.auth_only


def _stays_plain(facts: dict, expectation: Expectation) -> bool:
    return not expectation.starttls and facts["target"]["protocol"] != "smtps"


def _wants(field: str) -> Callable:
    """Where something is expected there. What only a standard look shows is not expected of a shorter one."""
    return lambda facts, expectation: _encrypts(facts, expectation) and expectation.wants(field)


def _deeply(facts: dict, expectation: Expectation) -> bool:
    return _encrypts(facts, expectation) and expectation.depth in ("standard", "full")


def _asks_versions(facts: dict, expectation: Expectation) -> bool:
    return _encrypts(facts, expectation) and expectation.depth != "handshake"


def _asked(facts: dict, expectation: Expectation) -> bool:
    return _upgrades(facts, expectation) and expectation.depth in ("standard", "full")


def _wanted_smuggling(_facts: dict, expectation: Expectation) -> bool:
    return expectation.smuggling


def _submits(facts: dict, expectation: Expectation) -> bool:
    return _asked(facts, expectation) and facts["target"]["protocol"] == "submission"


CHECKS = (
    Check(
        "reachable", _always, verdicts.reachable,
        "a greeting with 220 and a reply to EHLO",
        "Postfix listens as inet_interfaces and master.cf say: postfix status, the mail log, and the firewall between",
        "RFC 5321 section 3.1",
    ),
    Check(
        "starttls_offered", _upgrades, verdicts.starttls_offered,
        "EHLO offers STARTTLS",
        "smtpd_tls_security_level = may (and no starttls in smtpd_discard_ehlo_keywords)",
        "RFC 3207 section 4",
    ),
    Check(
        "starttls_offered", _stays_plain, verdicts.starttls_withheld,
        "EHLO offers no STARTTLS",
        "smtpd_tls_security_level = none",
        "RFC 3207 section 4",
    ),
    Check(
        "handshake", _encrypts, verdicts.handshake,
        "a finished handshake",
        "smtpd_tls_chain_files = a file that Postfix can read: key, its certificate, then the intermediates; the mail log has the cause",
        "RFC 3207 section 4.1",
    ),
    Check(
        "trust", _wants("trust"), verdicts.trust,
        "a chain that ends at a trusted CA",
        "smtpd_tls_chain_files = a file with every intermediate after the certificate; ca_file names the CA where it is your own",
        "RFC 5280 section 6",
    ),
    Check(
        "name", _wants("name"), verdicts.name,
        "a certificate made out to {server_name}",
        "smtpd_tls_chain_files = a file whose certificate has the name of the MX record, usually myhostname;"
        " where peers look for another name, server_name (starttls_verify_server_name)",
        "RFC 9525 section 6",
    ),
    Check(
        "validity", _encrypts, verdicts.validity,
        "certificates that are valid for at least {min_days_left} more days",
        "smtpd_tls_chain_files = a file with what is renewed (of an intermediate, the CA has a newer one), then: postfix reload",
        "RFC 5280 section 4.1.2.5",
    ),
    Check(
        "chain_order", _deeply, verdicts.chain_order,
        "each certificate is followed by that of its issuer",
        "smtpd_tls_chain_files = a file with key, its certificate, then the intermediates, each before its issuer",
        "RFC 5246 section 7.4.2",
    ),
    Check(
        "versions", _asks_versions, verdicts.versions,
        "{accepts} is accepted and everything older than {floor} is refused",
        "smtpd_tls_protocols = >={floor} (before Postfix 3.6 name what is older, each with a !), smtpd_tls_mandatory_protocols alike",
        "RFC 9325 section 3.1.1",
    ),
    Check(
        "deployed_chain", _wants("deployed"), verdicts.deployed,
        "what was deployed: {deployed}",
        "postfix reload (a running smtpd serves its old certificate up to max_use times)",
        "postconf(5) max_use",
    ),
    Check(
        "suites", _wants("suites"), verdicts.suites,
        "no suite that {profile} does not have",
        "smtpd_tls_exclude_ciphers = {exclude}, smtpd_tls_mandatory_exclude_ciphers alike",
        "RFC 9325 section 4.1",
    ),
    Check(
        "server_order", _wants("server_order"), verdicts.server_order,
        "the server's order of suites counts",
        "tls_preempt_cipherlist = yes",
        "RFC 9325 section 4.1",
    ),
    Check(
        "groups", _wants("groups"), verdicts.groups,
        "no group that {profile} does not have",
        "tls_eecdh_auto_curves = {curves_written}, tls_ffdhe_auto_groups = {ffdhe_written} (before Postfix 3.8 kDHE in smtpd_tls_exclude_ciphers)",
        "RFC 8422 section 5.1.1",
    ),
    Check(
        "dh_size", _wants("dh_bits"), verdicts.dh_size,
        "a Diffie-Hellman prime of at least {dh_bits} bits, where one is used at all",
        "smtpd_tls_dh1024_param_file = a file of openssl dhparam {dh_bits}, or kDHE in smtpd_tls_exclude_ciphers",
        "RFC 9325 section 4.3",
    ),
    Check(
        "signatures", _wants("hashes"), verdicts.signatures,
        "no handshake signed with a hash that {profile} does not have",
        "tls_config_file = a file whose section (tls_config_name) lists SignatureAlgorithms with SHA-256 and up",
        "RFC 9155",
    ),
    Check(
        "key", _wants("rsa_bits"), verdicts.key,
        "keys {keys}",
        "smtpd_tls_chain_files = a file with a stronger key and a certificate for it",
        "RFC 9325 section 4.1",
    ),
    Check(
        "certificate_signature", _wants("certificate_hashes"), verdicts.certificate_signature,
        "certificates signed with {certificate_hashes}",
        "smtpd_tls_chain_files = a file with what was issued anew (of an intermediate, the CA has a newer one)",
        "RFC 9155",
    ),
    Check(
        "extended_master_secret", _wants("extended_master_secret"), verdicts.flag("extended_master_secret", True),
        "extended master secret up to TLSv1.2",
        "no parameter switches it off; a TLS library of today has it",
        "RFC 7627",
    ),
    Check(
        "secure_renegotiation", _wants("profile"), verdicts.flag("secure_renegotiation", True),
        "secure renegotiation up to TLSv1.2",
        "no parameter switches it off; a TLS library of today has it",
        "RFC 5746",
    ),
    Check(
        "compression", _wants("profile"), verdicts.flag("compression", False),
        "no compression",
        "tls_ssl_options = NO_COMPRESSION",
        "RFC 9325 section 3.3",
    ),
    Check(
        "starttls_not_offered_again", _encrypts, verdicts.not_offered_again,
        "EHLO within TLS does not offer STARTTLS",
        "smtpd_proxy_filter and whatever else stands in front must not answer EHLO for Postfix, which never offers it twice",
        "RFC 3207 section 4.2",
    ),
    Check(
        "auth_before_tls", _keeps_auth, verdicts.auth_before_tls,
        "no AUTH before TLS",
        "smtpd_tls_auth_only = yes",
        "RFC 4954 section 9",
    ),
    Check(
        "response_injection", _upgrades, verdicts.response_injection,
        "nothing between the reply to STARTTLS and TLS",
        "a device between here and smtpd adds to its replies: compare with a look from the host itself",
        "RFC 3207 section 4.2",
    ),
    Check(
        "command_injection", _asked, verdicts.command_injection,
        "what comes in the clear behind STARTTLS is not obeyed",
        "an update of Postfix (2.8.1, 2.7.3 and newer discard it), or of the proxy in front of it",
        "RFC 3207 section 4.2, CVE-2011-0411",
    ),
    Check(
        "mail_before_tls", _submits, verdicts.mail_before_tls,
        "MAIL is refused before TLS, and not for want of a login alone",
        "smtpd_tls_security_level = encrypt, for this service in master.cf",
        "RFC 3207 section 4, RFC 8314 section 3.3",
    ),
    Check(
        "smuggling", _wanted_smuggling, verdicts.smuggling,
        "only CR LF . CR LF ends a message",
        "smtpd_forbid_bare_newline = normalize (Postfix 3.9, 3.8.5, 3.7.10, 3.6.14, 3.5.24 and newer), smtpd_forbid_bare_newline_exclusions =",
        "RFC 5321 section 4.1.1.4, CVE-2023-51764",
    ),
)
CHECK_NAMES = tuple(dict.fromkeys(check.name for check in CHECKS))
