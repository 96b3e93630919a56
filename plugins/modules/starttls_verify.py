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
  expect:
    description:
      - What each target has to show. RV(mailsec.postfix_tls.postfix_tls#module:expect) can be written here as it is.
    type: dict
    suboptions:
      starttls:
        description: Whether STARTTLS has to be offered. With V(false), it must not be.
        type: bool
        default: true
      floor:
        description: The oldest protocol version that may be accepted; it or a newer one has to be.
        type: str
        choices: [SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3]
        default: TLSv1.2
      trust:
        description: Whether the chain has to end at a trusted CA.
        type: bool
        default: true
      name:
        description: Whether the certificate has to be made out to O(targets[].server_name).
        type: bool
        default: true
      deployed:
        description: SHA-256 digests of leaf certificates in hexadecimal, one of which has to be served.
        type: list
        elements: str
        default: []
  deployed_chain:
    description:
      - A PEM file on the machine that runs the module, the first certificate of which has to be served. It is added to
        O(expect.deployed).
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
      - versions
      - deployed_chain
      - starttls_not_offered_again
      - auth_before_tls
      - response_injection
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
      - The log is C(maillog_file) of C(/etc/postfix/main.cf), C(/var/log/mail.log) or C(/var/log/maillog), else the journal. A log that
        can't be read, which mostly takes C(become), is passed over in silence.
      - Lines are those of the processes that served the addresses we came from, so targets at one address share them. Not asked in a look
        from the controller itself.
    type: bool
    default: true
seealso:
  - module: mailsec.postfix_tls.starttls_info
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
attempts:
  description: How often it was looked.
  returned: always
  type: int
  sample: 1
results:
  description: What was seen of each target, in the order of O(targets). The same keys whatever happened; V(null) is not known.
  returned: always
  type: list
  elements: dict
  contains:
    target:
      description: The target as it was looked at.
      type: dict
      sample: {"host": "mx1.example.org", "port": 25, "protocol": "smtp", "server_name": "mx1.example.org", "address": "192.0.2.25"}
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
      type: dict
      sample:
        banner: 220 mx1.example.org ESMTP Postfix
        ehlo: [PIPELINING, SIZE 10240000, ETRN, STARTTLS, ENHANCEDSTATUSCODES, 8BITMIME, DSN, SMTPUTF8, CHUNKING]
        starttls: true
        starttls_reply: 220 2.0.0 Ready to start TLS
        after_starttls: null
        ehlo_after_tls: [PIPELINING, SIZE 10240000, ETRN, ENHANCEDSTATUSCODES, 8BITMIME, DSN, SMTPUTF8, CHUNKING]
    tls:
      description:
        - The handshake. C(handshake) is V(done), V(refused) or V(unknown), with its C(reason); C(version) and C(cipher) are those
          agreed on. C(versions) has for each protocol version whether the server V(accepted) or V(refused) it, or V(unknown), and
          why. C(trust) and C(name) are verdicts on the certificate.
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
        trust: {"verdict": "pass", "reason": "the chain ends at a trusted CA"}
        name: {"verdict": "pass", "reason": "the certificate is made out to DNS:mx1.example.org"}
    certificates:
      description:
        - The certificates as the server sent them, leaf first; only the leaf where this Python can't tell the others.
        - C(key_type), C(key_bits), C(signature) and C(spki_sha256) need the library C(cryptography).
      type: list
      elements: dict
      sample:
        - sha256: 3b0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
          subject: CN=mx1.example.org
          issuer: CN=R12,O=Let's Encrypt,C=US
          self_signed: false
          names: ["DNS:mx1.example.org", "IP:192.0.2.1"]
          serial: 04D2
          not_before: "2026-10-01T00:00:00Z"
          not_after: "2026-12-30T00:00:00Z"
          days_left: 36
          key_type: EC
          key_bits: 256
          signature: ecdsa-with-SHA384
          spki_sha256: 9a0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
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
          expected: TLSv1.2 or newer is accepted and everything older is refused
          fix: smtpd_tls_protocols = >=TLSv1.2 (before Postfix 3.6 name what is older, each with a !), smtpd_tls_mandatory_protocols alike
          reference: RFC 9325 section 3.1.1
          log: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _verification
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import MailLog


def main() -> t.NoReturn:
    module = AnsibleModule(argument_spec=_verification.ARGUMENT_SPEC, supports_check_mode=True)

    def run(argv: list) -> tuple:
        return module.run_command(argv, environ_update={"LC_ALL": "C"}, handle_exceptions=False)

    module.exit_json(**_verification.result(module.params, MailLog(run) if module.params["log"] else None))


if __name__ == "__main__":
    main()
