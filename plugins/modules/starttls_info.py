#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: starttls_info
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: See what mail servers offer their peers, with real TLS handshakes
description:
  - Opens SMTP connections to any number of mail servers, asks for TLS and returns what it saw. EHLO, every protocol version,
    the certificates, and whether they are trusted and made out to the right name.
  - That a server offers STARTTLS proves little. With a missing or mismatched key Postfix offers it all the same and then
    can't do it. So what counts here is a finished handshake.
  - Never fails because of what it sees, only when it is told something that can't be. To have it judged, use
    M(mailsec.postfix_tls.starttls_verify).
extends_documentation_fragment:
  - mailsec.postfix_tls.attributes
  - mailsec.postfix_tls.attributes.info_module
  - mailsec.postfix_tls.starttls
  - mailsec.postfix_tls.starttls.actiongroup
attributes:
  platform:
    platforms: posix
    support: full
seealso:
  - module: mailsec.postfix_tls.starttls_verify
  - plugin: mailsec.postfix_tls.query
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Look at two mail servers from the controller
  mailsec.postfix_tls.starttls_info:
    targets:
      - host: mx1.example.org
      - host: 192.0.2.25
        server_name: mx2.example.org
  delegate_to: localhost
  register: look

- name: Name those whose certificate nobody would trust
  ansible.builtin.debug:
    msg: "{{ look.results | selectattr('tls') | selectattr('tls.trust.verdict', 'eq', 'fail') | map(attribute='target.host') | list }}"

- name: Name the hosts that still accept TLS 1.1
  ansible.builtin.debug:
    msg: "{{ look.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [?tls.versions."TLSv1.1".verdict == 'accepted'].target.host

- name: Show whose certificates end within 14 days
  ansible.builtin.debug:
    msg: "{{ look.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [?certificates[?days_left < `14`]].{host: target.host, ending: certificates[?days_left < `14`].[subject, not_after]}
"""

RETURN = r"""
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
"""

import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._promise import own
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all


def main() -> t.NoReturn:
    module = Module(argument_spec=options.ARGUMENT_SPEC, supports_check_mode=True)
    try:
        listeners = own(runner())(module.params["config_directory"]) if module.params["targets"] is None else []
        targets = [listener.target for listener in listeners] or options.targets(module.params)
        module.exit_json(changed=False, results=probe_all(targets, options.look(module.params), options.concurrency(module.params)))
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), **error.details)


if __name__ == "__main__":
    main()
