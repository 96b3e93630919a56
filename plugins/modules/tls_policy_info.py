#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: tls_policy_info
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Explain which TLS policy holds for mail to a recipient, and why
description:
  - Runs on the host that sends. For each recipient it finds the transport and the next hop as Postfix does, the key of
    C(smtp_tls_policy_maps) that answers for it, in which table, and what that means for a message, in words.
  - Every table is asked by Postfix's own C(postmap -q), and every parameter is that of the service of C(master.cf) that delivers.
  - With O(probe=true) it also looks at the servers there, and tells what becomes of a message today.
  - Changes nothing and sends no mail.
extends_documentation_fragment:
  - mailsec.postfix_tls.attributes
  - mailsec.postfix_tls.attributes.info_module
attributes:
  platform:
    platforms: posix
    support: full
requirements:
  - with O(probe=true), what M(mailsec.postfix_tls.tls_survey_info) needs
options:
  recipients:
    description: Addresses, or domains, each of which stands for an address in it that no table names.
    type: list
    elements: str
    required: true
  sender:
    description: The envelope sender, where C(sender_dependent_relayhost_maps) and their like decide. The default is the null sender.
    type: str
    default: ""
  probe:
    description: Whether to look at the servers too, for RV(results[].next_hops[].outcome).
    type: bool
    default: false
  config_directory:
    description: The Postfix instance that sends.
    type: path
    default: /etc/postfix
  ca_file:
    description:
      - With O(probe=true), file of PEM certificates on this host to trust. By default what C(smtp_tls_CAfile) and C(smtp_tls_CApath) name, and where
        they name none the system's store.
    type: path
  timeout:
    description: With O(probe=true), seconds for the MX records of one domain, and for everything at one of the servers.
    type: float
    default: 20.0
  concurrency:
    description: With O(probe=true), how many servers are looked at a time.
    type: int
    default: 32
  ehlo_name:
    description: With O(probe=true), the name to say EHLO with.
    type: str
    default: starttls-verify.invalid
  source_address:
    description: With O(probe=true), the IP address of this host to connect from, to servers of its family. The default is Postfix's own.
    type: str
notes:
  - The address is taken as it is. What canonical and virtual aliases make of it comes before, and is not followed.
  - Tables of type C(regexp), C(pcre) and C(cidr) are asked for whole addresses and next hops only, as Postfix does.
  - A message with the header C(TLS-Required) set to C(no) goes without any policy (Postfix 3.10).
seealso:
  - module: mailsec.postfix_tls.postfix_tls
  - module: mailsec.postfix_tls.tls_survey_info
  - name: TLS_README
    description: Per-destination TLS policy.
    link: https://www.postfix.org/TLS_README.html#client_tls_policy
"""

EXAMPLES = r"""
---
- name: Ask whether mail to a partner can leave in the clear
  mailsec.postfix_tls.tls_policy_info:
    recipients: [someone@example.org, example.net]
  become: true # policy tables may be root's alone
  register: policy

- name: Print it in words
  ansible.builtin.debug:
    msg: "{{ policy.results | map(attribute='explanation') }}"

- name: Ask what becomes of a message today
  mailsec.postfix_tls.tls_policy_info:
    recipients: [someone@example.org]
    probe: true
  become: true
  register: today

- name: Print what would stop it
  ansible.builtin.debug:
    msg: "{{ today.results | mailsec.postfix_tls.query(stopped) }}"
  vars:
    stopped: "[].next_hops[?outcome && !outcome.delivered].{next_hop: next_hop, level: level, reason: outcome.reason} | []"
"""

RETURN = r"""
results:
  description: What holds for each recipient, in the order of O(recipients).
  returned: success
  type: list
  elements: dict
  contains:
    recipient:
      description: As it was asked for.
      type: str
      sample: someone@example.org
    transport:
      description: The service of C(master.cf) that delivers.
      type: str
      sample: smtp
    because:
      description: What decided where it goes, a parameter and maybe the table and key that answered, or V(the recipient's domain).
      type: str
      sample: relayhost
    next_hops:
      description: Where it goes, in the order in which Postfix tries them. There are none where Postfix's SMTP client does not deliver.
      type: list
      elements: dict
      contains:
        next_hop:
          description: In the very text that Postfix looks up.
          type: str
          sample: "[relay.example.net]:587"
        fallback:
          description: Whether it is one of C(smtp_fallback_relay), and tried last.
          type: bool
          sample: false
        key:
          description: The key that answered, V(null) where none did.
          type: str
          sample: "[relay.example.net]:587"
        source:
          description: The table that answered, or the parameter that says the level where none did.
          type: str
          sample: texthash:/etc/postfix/tls_policy
        text:
          description: The whole answer.
          type: str
          sample: secure match=relay.example.net protocols=>=TLSv1.2
        level:
          description: The level that holds.
          type: str
          sample: secure
        attributes:
          description: Other attributes of the answer. Of C(match) and C(tafile), a list.
          type: dict
          sample: {"match": ["relay.example.net"], "protocols": ">=TLSv1.2"}
        match:
          description: The names or digests that count, those of the answer or those of C(main.cf).
          type: list
          elements: str
          sample: [relay.example.net]
        protocols:
          description: The protocol versions that count.
          type: str
          sample: ">=TLSv1.2"
        ciphers:
          description: The cipher grade that counts.
          type: str
          sample: high
        wrapper:
          description: Whether TLS is spoken from the first byte (C(smtp_tls_wrappermode)).
          type: bool
          sample: false
        wrong:
          description: Why Postfix sends no mail there at all, whatever the server does. Empty where nothing is wrong.
          type: str
          sample: ""
        lowered:
          description: Why the level is less than what RV(results[].next_hops[].source) says, as V(dane) is where DNSSEC lookups are off. Else empty.
          type: str
          sample: ""
        clear_by_header:
          description:
            - Whether a message with the header C(TLS-Required) and the value C(No) (RFC 8689) goes there as at level V(may), so in the clear.
            - That is so with C(tls_required_enable), which Postfix has since 3.10 and switches on by default.
          type: bool
          sample: false
        explanation:
          description: What it means for a message, in words.
          type: str
          sample: >-
            No message goes in the clear, and the server needs a certificate that a trusted CA issued for relay.example.net; else it waits in the queue.
        outcome:
          description:
            - What becomes of a message today. C(delivered) says whether it leaves; C(word) is what the log says of the connection, V(Verified),
              V(Trusted), V(Untrusted) or V(Anonymous), or V(clear); C(reason) says why it waits, or goes in the clear though TLS was asked for.
            - Where a server has several addresses, or a destination several servers, they are tried in Postfix's order; where the order is left to chance,
              C(reason) says so, and the worse counts. What a server says to a recipient is not asked, so greylisting there is not foreseen.
            - Where TLS fails at V(may), it is what becomes of the message once Postfix tries it again without. Where a server wants a certificate
              of this host and it has one, C(delivered) is false and C(reason) says that it is not known.
            - At V(dane) and V(dane-only), the host's resolver says whether DNSSEC vouches for TLSA records, as it does to Postfix.
            - V(null) where it can't be told, as with digests that are not SHA-256, or where C(lmtp) delivers.
          type: dict
          returned: with O(probe=true)
          sample: {"delivered": true, "word": "Verified", "reason": ""}
    explanation:
      description: All of it in words.
      type: str
      sample: >-
        Mail to someone@example.org goes to [relay.example.net]:587 (relayhost). Entry [relay.example.net]:587 of texthash:/etc/postfix/tls_policy says
        secure match=relay.example.net. No message goes in the clear, and the server needs a certificate that a trusted CA issued for
        relay.example.net; else it waits in the queue.
"""

import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.info import ARGUMENT_SPEC, explained
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner


def main() -> t.NoReturn:
    module = Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        module.exit_json(changed=False, results=explained(module.params, runner()))
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), **error.details)


if __name__ == "__main__":
    main()
