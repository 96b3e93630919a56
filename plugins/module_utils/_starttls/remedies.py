# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What to write where a check did not pass, by what was seen: the text that a check has of its own is for its usual fault."""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import distrust
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import demands_certificate, obstacle

#: Nothing was seen to be wrong, so no parameter of the check's own is.
UNSEEN = "nothing that was seen is wrong: look once more, or from another machine; the server's mail log has its side of it"

#: {check: ((what was seen, what to write), ...)}, the first that matches; {fields} as in a check's own text.
_BY_WORDS = {
    "reachable": (
        ("does not resolve|not known|no address associated|was not resolved", "an A or AAAA record for that name, or the target's address"),
        ("turned us away|refused EHLO", "let this machine in (smtpd_client_restrictions, postscreen_access_list), or look from another"),
        ("link-local address|no interface", "host = the address with an interface of this machine behind it, as in fe80::1%eth0"),
        ("no route|network is unreachable", "a route to that address, or the target's address of a family that this machine has"),
        ("sent no SMTP reply|a line of more than|more than [0-9]+ (?:lines|bytes)",
         "the port of an SMTP server: what answers on this one speaks something else"),
        ("no time was left for sending its banner", "protocol = smtps where TLS is spoken there from the first byte, or the port of an SMTP server;"
         " a longer timeout where it only greets late"),
        ("assign requested address|address family", "source_address = an address of this machine, of the family of the target's"),
    ),
    "starttls_offered": (
        ("a device on the way", "the device in between (a firewall that inspects SMTP) has to leave the reply to EHLO alone"),
    ),
    "handshake": (
        (r"\b4\d\d[ -]|TLS not available", "smtpd_tls_chain_files = files that Postfix could load, with key and certificate: its log says what it could not"),
        ("protocol.version|unsupported.protocol|wrong.version", "smtpd_tls_protocols = >=TLSv1.2: no version is spoken on both sides"),
        ("handshake.failure|insufficient.security|no.(shared.)?cipher", "a key and certificate in smtpd_tls_chain_files that the suites can use"
         " (smtpd_tls_ciphers, smtpd_tls_exclude_ciphers); the mail log has the cause"),
        ("dh.key.too.small", "smtpd_tls_dh1024_param_file = a file of openssl dhparam 2048, or kDHE in smtpd_tls_exclude_ciphers"),
    ),
    "trust": (
        ("at security level 1 no handshake", "a version, suite or key of today: smtpd_tls_protocols = >=TLSv1.2; 2048 bits in smtpd_tls_dh1024_param_file"),
    ),
    "name": (
        ("made out to no name", "smtpd_tls_chain_files = a file with a certificate that was issued anew, with {server_name} as its subjectAltName:"
         " a common name does not count"),
    ),
    "validity": (
        ("begins only on", "the clock of the machine that looks; where that is right, smtpd_tls_chain_files = a file with a certificate that is valid by now"),
    ),
    "chain_order": (
        ("only the leaf could be seen", "a look from a machine with Python 3.10 or newer"),
    ),
    "versions": (
        ("^not accepted", "smtpd_tls_protocols (and smtpd_tls_mandatory_protocols) that leave {accepts} in; TLSv1.3 takes OpenSSL 1.1.1 or newer"),
    ),
    "deployed_chain": (
        ("; not served", "smtpd_tls_chain_files = the files of all chains, one for each kind of key, then: postfix reload"),
        ("what follows it is not|could not be seen", "smtpd_tls_chain_files = a file with the intermediates that were deployed, then: postfix reload"),
    ),
    "suites": (
        ("accepted in TLSv1.3", "tls_config_file = a file whose section (tls_config_name) lists Ciphersuites: no other parameter decides on those of TLSv1.3"),
    ),
    "signatures": (
        (r"^(SSLv3|TLSv1|TLSv1\.1) signs", "smtpd_tls_protocols = >=TLSv1.2: what is older signs with nothing better"),
    ),
    "mail_before_tls": (
        ("is offered before TLS",
         "smtpd_tls_security_level = encrypt, for this service in master.cf; smtpd_tls_auth_only = yes where only a login is to need TLS"),
    ),
    "smuggling": (
        ("from the host itself", "smtpd_forbid_bare_newline_exclusions = (empty), beside smtpd_forbid_bare_newline = normalize; or look from another machine"),
    ),
}
_TABLE = {check: tuple((re.compile(pattern, re.IGNORECASE), text) for pattern, text in rows) for check, rows in _BY_WORDS.items()}


def remedy(check: str, verdict: str, observed: str | None) -> str | None:
    """The text for what was seen, None where the check's own is right. verdict: fail or unknown."""
    known = obstacle(observed) if verdict == "unknown" or demands_certificate(observed) else None
    if known:
        return "%s: %s" % (known.parameter, known.remedy)
    for pattern, text in _TABLE.get(check, ()):
        if pattern.search(observed or ""):
            return text
    fault = distrust.fault(observed) if check == "trust" else None
    return fault.fix if fault else UNSEEN if verdict == "unknown" else None
