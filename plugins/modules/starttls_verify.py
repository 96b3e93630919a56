#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: starttls_verify
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Prove that mail servers encrypt, with real TLS handshakes
description:
  - Looks at any number of mail servers as M(mailsec.postfix_tls.starttls_info) does, and judges what it saw. Each check passes,
    fails or is unknown, and what is unknown does not pass.
  - Fails unless every check on every target passed, with one text that says per target what was seen, what was expected and which
    line of C(main.cf) mends it. RV(results) is the same on success and on failure.
extends_documentation_fragment:
  - mailsec.postfix_tls.attributes
  - mailsec.postfix_tls.attributes.info_module
  - mailsec.postfix_tls.starttls
  - mailsec.postfix_tls.starttls.actiongroup
attributes:
  platform:
    platforms: posix
    support: full
options:
  profile:
    description:
      - What to judge by. V(opportunistic) is for a public port 25, where refusal means plaintext, V(interop) the same with TLS 1.0. V(intermediate)
        and V(modern) are Mozilla's, V(ncsc_2025) is that of the Dutch NCSC and internet.nl, V(bsi_tr02102) that of the German BSI, V(rfc9325) that of the IETF.
      - Without one, only what O(expect) names is judged beside trust, name, validity and protocol versions.
    type: str
    choices: [opportunistic, interop, intermediate, modern, ncsc_2025, bsi_tr02102, rfc9325]
  expect:
    description:
      - What each target has to show, in place of what O(profile) says. RV(mailsec.postfix_tls.postfix_tls#module:expect) can be written
        here as it is.
    type: dict
    suboptions:
      starttls:
        description: Whether STARTTLS has to be offered, V(true) where nothing else is known. With V(false), it must not be.
        type: bool
      floor:
        description: The oldest protocol version that may be accepted. By default V(TLSv1.2), and of an own listener what it is configured for.
        type: str
        choices: [SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3]
      accepts:
        description: Protocol versions that have to be accepted. By default any from O(expect.floor) will do.
        type: list
        elements: str
        choices: [SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3]
      trust:
        description: Whether the chain has to end at a trusted CA, V(true) where nothing else is known.
        type: bool
      name:
        description: Whether the certificate has to be made out to O(targets[].server_name), V(true) where nothing else is known.
        type: bool
      deployed:
        description:
          - SHA-256 digests of leaf certificates in hexadecimal. Each served one has to be among them, and where O(depth) is at least
            V(standard) each of them has to be served. What only a client gets that sends no server name is left out where
            O(targets[].server_name) is another than the host.
        type: list
        elements: str
      dh_bits:
        description: The least size of a Diffie-Hellman prime.
        type: int
      rsa_bits:
        description: The least size of an RSA key.
        type: int
      server_order:
        description: Whether the server's order of suites has to count.
        type: bool
      extended_master_secret:
        description: Whether the extended master secret has to be used.
        type: bool
      auth_only:
        description: Whether AUTH must not be offered before TLS (C(smtpd_tls_auth_only)), V(true) where nothing else is known.
        type: bool
  deployed_chain:
    description:
      - A PEM file on the machine that runs the module, as Postfix serves from. The chain that is served has to be one in it.
    type: path
  min_days_left:
    description: Days that every certificate in the chain still has to be valid.
    type: int
    default: 0
  checks:
    description: Make only these checks. By default, all that apply.
    type: list
    elements: str
    choices:
      - reachable
      - starttls_offered
      - handshake
      - trust
      - name
      - validity
      - chain_order
      - versions
      - deployed_chain
      - suites
      - server_order
      - groups
      - dh_size
      - signatures
      - key
      - certificate_signature
      - extended_master_secret
      - secure_renegotiation
      - compression
      - starttls_not_offered_again
      - auth_before_tls
      - response_injection
      - command_injection
      - mail_before_tls
      - smuggling
  smuggling_recipient:
    description:
      - Ask whether the server takes anything but C(CR LF . CR LF) for the end of a message (CVE-2023-51764), which lets others smuggle mail
        through it. A message is then B(delivered) to this address for every such end; otherwise none is. A server that takes longer than
        four seconds to accept a message can not be told from one that waits for more of it.
      - Not asked without an address. Takes five more connections.
    type: str
  inside:
    description:
      - RV(results) of a look from the host itself, such as those of M(mailsec.postfix_tls.postfix_tls). What is seen here of the same port has
        to be the same, which shows a device that strips STARTTLS on the way (check C(same_from_inside)).
    type: list
    elements: dict
  unproven:
    description:
      - What to do where this machine gets no answer - no route, a port that is blocked on the way, a name that does not resolve here, a limit -
        and by O(inside) the host itself does. V(tell) names the target in RV(unproven) and in a warning. A wrong answer always fails.
    type: str
    choices: [fail, tell]
    default: fail
  retries:
    description: How often to look again at the targets that did not pass.
    type: int
    default: 0
  delay:
    description: Seconds from the start of a look to the start of the next.
    type: float
    default: 5.0
  log:
    description:
      - Whether to join what did not pass with this host's own mail log, where a target is one of this host's addresses. It then says
        not only that the handshake was refused, but that Postfix could not read the key.
      - The log is C(maillog_file) of C(main.cf) in O(config_directory), C(/var/log/mail.log) or C(/var/log/maillog), else the journal. A log that
        can't be read, which mostly takes C(become), is passed over in silence.
      - Lines are those of the processes that served the addresses we came from, so targets at one address share them. Not asked in a look
        from the controller itself.
    type: bool
    default: true
seealso:
  - module: mailsec.postfix_tls.starttls_info
  - plugin: mailsec.postfix_tls.query
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Prove from the controller that a mail server encrypts
  mailsec.postfix_tls.starttls_verify:
    targets:
      - host: mx1.example.org
  delegate_to: localhost

- name: See a certificate three weeks before it ends, on submission as well
  mailsec.postfix_tls.starttls_verify:
    targets:
      - host: mx1.example.org
      - host: mx1.example.org
        protocol: submission
      - host: mx1.example.org
        protocol: smtps
    min_days_left: 21
  delegate_to: localhost

- name: Prove on the host itself that the renewed certificate is the one served, for up to a minute
  mailsec.postfix_tls.starttls_verify:
    targets:
      - host: 127.0.0.1
        server_name: "{{ inventory_hostname }}"
    deployed_chain: /etc/postfix/tls/default.pem
    checks: [handshake, deployed_chain]
    retries: 12
    delay: 5
  become: true

- name: Look at several mail servers, and go on whatever is found
  mailsec.postfix_tls.starttls_verify:
    targets:
      - host: mx1.example.org
      - host: mx2.example.org
  delegate_to: localhost
  ignore_errors: true  # what it found is told by the tasks below
  register: proof

- name: Name the hosts that still accept TLS 1.1
  ansible.builtin.debug:
    msg: "{{ proof.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [?tls.versions."TLSv1.1".verdict == 'accepted'].target.host

- name: Show whose certificates end within 14 days
  ansible.builtin.debug:
    msg: "{{ proof.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [?certificates[?days_left < `14`]].{host: target.host, ending: certificates[?days_left < `14`].[subject, not_after]}

- name: Show what did not pass, and the line that mends it
  ansible.builtin.debug:
    msg: "{{ proof.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [].{host: target.host, wrong: findings[?verdict == 'fail'].[check, observed, fix]}
"""

RETURN = r"""
msg:
  description: What did not pass, one line per target and cause.
  returned: failure
  type: str
  sample: >-
    127.0.0.1:25: handshake fail: 454 4.7.0 TLS not available due to local problem. Expected: a finished handshake.
    Fix: smtpd_tls_chain_files = a file that Postfix can read: key, its certificate, then the intermediates; the mail log has the cause.
    Postfix logged: warning: error loading chain from /etc/postfix/tls/mx.pem: key not first.
unproven:
  description: Targets that this machine gets no answer from, though the host itself does, by O(inside).
  returned: when the options could be carried out
  type: list
  elements: dict
  sample: []
attempts:
  description: How often it was looked.
  returned: when the options could be carried out
  type: int
  sample: 1
results:
  description: What was seen of each target, in the order of O(targets). The same keys whatever happened; V(null) is not known.
  returned: when the options could be carried out
  type: list
  elements: dict
  contains:
    target:
      description: The target as it was looked at.
      type: dict
      sample: {"host": "mx1.example.org", "port": 25, "protocol": "smtp", "server_name": "mx1.example.org", "address": "192.0.2.25"}
    vantage:
      description: Where it was looked from, and whether that is the mail server's own address, from which some protections can't be seen.
      type: dict
      sample: {"source": "192.0.2.7", "own": false}
    reachable:
      description: Whether it answered; for SMTP, a greeting and a reply to EHLO.
      type: bool
      sample: true
    error:
      description: The first thing that kept a connection from going on, in words.
      type: str
      sample: null
    smtp:
      description:
        - The dialogue. C(banner), C(ehlo) (capabilities, list), C(starttls) (whether it is offered), C(starttls_reply),
          C(after_starttls) (bytes that came between that reply and TLS, where there were any) and C(ehlo_after_tls).
        - C(mail_before_tls) is the reply to MAIL before TLS, which is asked for on submission alone. C(injected) tells whether a command in
          the clear behind STARTTLS was obeyed within TLS. C(smuggling) has a verdict for each end of a message that is none, where that was asked for.
      type: dict
      sample:
        banner: 220 mx1.example.org ESMTP Postfix
        ehlo: [PIPELINING, SIZE 10240000, ETRN, STARTTLS, ENHANCEDSTATUSCODES, 8BITMIME, DSN, SMTPUTF8, CHUNKING]
        starttls: true
        starttls_reply: 220 2.0.0 Ready to start TLS
        after_starttls: null
        ehlo_after_tls: [PIPELINING, SIZE 10240000, ETRN, ENHANCEDSTATUSCODES, 8BITMIME, DSN, SMTPUTF8, CHUNKING]
        mail_before_tls: null
        injected: false
        smuggling: null
    tls:
      description:
        - The handshake. C(handshake) is V(done) where the server answered within TLS, else V(refused) or V(unknown), with its C(reason);
          C(version) and C(cipher) are those agreed on, also where the server demands a client certificate only after that.
        - C(trust) and C(name) are verdicts on the certificate. C(trust) is judged at OpenSSL's security level 1, as Postfix has it at C(verify),
          C(secure) and C(dane), so a signature with SHA-1 fails from OpenSSL 3.0 on, and keys below 80 bits do always; where a handshake comes
          about only at level 0, as with TLS 1.0, there is none to trust. C(trust_at_may) is the same at level 0, as Postfix has it at C(may) and C(encrypt).
        - C(versions) has for each protocol version whether the server V(accepted) or V(refused) it, or V(unknown), and why.
          C(algorithms) has it for TLS 1.2 with a certificate of that kind, and for certificates with keys of any other kind than those in
          RV(results[].chains), C(without_sni) for a client that sends no server name (V(null) where none is ever sent, or it was not asked),
          C(suites) for sets of suites before TLS 1.3, asked for at once;
          C(reason) then names the suite it chose. C(weak) is what no guideline has, C(static_rsa) is without forward secrecy; C(forbidden)
          takes the place of these where there is a profile. C(groups) has it for X25519MLKEM768, and for all C(other) ones that a profile
          does not have, in TLS 1.3 and in the newest version before it; C(signatures) for handshake signatures
          C(weak)er than SHA-256, with those used by the server's own choice under C(RSA) and C(ECDSA).
        - C(order) tells whose order of suites counts, V(server) or V(client). C(dh_bits) is the size of the smallest
          Diffie-Hellman prime, be it the server's own or one of RFC 7919.
          C(compression), C(extended_master_secret) and C(secure_renegotiation) are those of a handshake before TLS 1.3.
        - C(accepted) has the names of all C(suites) per version and of all C(groups) in TLS 1.3 and in the newest version before it, where
          O(depth=full), and whether that is C(complete).
        - V(null) where the server offers no TLS or none was reached.
      type: dict
      sample:
        handshake: done
        reason: null
        version: TLSv1.3
        cipher: TLS_AES_256_GCM_SHA384
        versions:
          TLSv1.1: {"verdict": "refused", "reason": "alert protocol_version"}
          TLSv1.2: {"verdict": "accepted", "reason": "ServerHello with TLSv1.2"}
          TLSv1.3: {"verdict": "accepted", "reason": "the handshake was done with it"}
        algorithms:
          ECDSA: {"verdict": "accepted", "reason": "ServerHello with TLSv1.2"}
          RSA: {"verdict": "refused", "reason": "alert handshake_failure"}
          any other in TLSv1.3: {"verdict": "refused", "reason": "alert handshake_failure"}
        without_sni: {"verdict": "accepted", "reason": "ServerHello with TLSv1.2"}
        suites:
          weak: {"verdict": "accepted", "reason": "TLS_ECDH_anon_WITH_AES_256_CBC_SHA"}
          static_rsa: {"verdict": "refused", "reason": "alert handshake_failure"}
        order: {"verdict": "client", "reason": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, then TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"}
        groups:
          X25519MLKEM768: {"verdict": "refused", "reason": "alert handshake_failure"}
        dh_bits: 2048
        signatures:
          weak: {"verdict": "accepted", "reason": "rsa_pkcs1_sha1"}
          ECDSA: {"verdict": "accepted", "reason": "ecdsa_secp256r1_sha256"}
        compression: false
        extended_master_secret: true
        secure_renegotiation: true
        accepted: null
        trust: {"verdict": "pass", "reason": "the chain ends at a trusted CA"}
        trust_at_may: {"verdict": "pass", "reason": "the chain ends at a trusted CA"}
        name: {"verdict": "pass", "reason": "the certificate is made out to DNS:mx1.example.org"}
    certificates:
      description:
        - The certificates as the server sent them, leaf first; only the leaf where this Python can't tell the others. They are those of the
          one handshake; RV(results[].chains) has all. C(common_names) are those of the subject, which do not count for C(name). C(self_signed) is not
          said of one that has its issuer's name and another one's signature, as after a root's change of keys. C(days_left) is negative once it ended.
      type: list
      elements: dict
      sample:
        - sha256: 3b0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
          subject: CN=mx1.example.org
          issuer: CN=R12,O=Let's Encrypt,C=US
          self_signed: false
          names: ["DNS:mx1.example.org", "IP:192.0.2.1"]
          common_names: [mx1.example.org]
          serial: 04D2
          not_before: "2026-10-01T00:00:00Z"
          not_after: "2026-12-30T00:00:00Z"
          days_left: 36
          key_type: EC
          key_bits: 256
          curve: prime256v1
          signature: ecdsa-with-SHA384
          signature_hash: SHA384
          spki_sha256: 9a0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
    chains:
      description:
        - Every chain that was served, told apart by its certificates. A server may have one for each kind of key (RSA, RSA-PSS, ECDSA, Ed25519,
          Ed448), old ones beside new ones, and another for clients that send no server name, as Postfix's does by default.
        - C(sni) is V(true) where a client was shown it that sends the server name, V(false) where it was only shown to one that does not,
          V(null) where no name is sent to this target at all. C(versions) tells by which it was seen, C(connections) on how many,
          C(whole) whether all of it or, by an old Python at a short C(depth), only the leaf, C(ordered) whether each certificate is followed
          by its issuer's, C(trust) whether OpenSSL takes it, C(needless) the digests of certificates without which it takes it all the same.
      type: list
      elements: dict
      sample:
        - algorithm: ECDSA
          sni: true
          versions: [TLSv1.2, TLSv1.3]
          connections: 5
          whole: true
          ordered: true
          trust: {"verdict": "pass", "reason": "the chain ends at a trusted CA"}
          needless: []
          certificates: []
    findings:
      description:
        - What was made of it, one entry per check. C(fix) is V(null) where it passed.
        - C(log) has what Postfix logged of our connections, the most telling line first, where O(log) is in effect; it is empty
          where the check passed.
      type: list
      elements: dict
      sample:
        - check: versions
          verdict: fail
          observed: "accepted: TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"
          expected: TLSv1.2 or newer is accepted and everything older than TLSv1.2 is refused
          fix: smtpd_tls_protocols = >=TLSv1.2 (before Postfix 3.6 name what is older, each with a !), smtpd_tls_mandatory_protocols alike
          reference: RFC 9325 section 3.1.1
          log: []
"""

import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _verification
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.causes import Causes
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._promise import own


def main() -> t.NoReturn:
    module = Module(argument_spec=_verification.ARGUMENT_SPEC, supports_check_mode=True)
    run = runner()
    module.exit_json(**_verification.result(module.params, own(run), Causes(run, module.params["config_directory"]) if module.params["log"] else None))


if __name__ == "__main__":
    main()
