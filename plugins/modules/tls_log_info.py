#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: tls_log_info
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: See from the log who sent and received in the clear
description:
  - Counts the messages that Postfix really sent and received in the last days, in the clear and encrypted, by domain. The log tells, a file or
    the journal, of Postfix 3.5 to 3.11.
  - RV(sent) says to whom nothing went in the clear, so that a policy can keep it so; RV(candidates) has them as entries of
    C(tls_policy_destinations).
  - RV(profiles) says whom each guideline would cut off, by version and cipher suite, and RV(floor) whom a newer oldest version would; RV(received)
    and RV(clients) who still sends in the clear.
extends_documentation_fragment:
  - mailsec.postfix_tls.attributes
  - mailsec.postfix_tls.attributes.info_module
attributes:
  platform:
    platforms: posix
    support: full
options:
  config_directory:
    description:
      - The Postfix instance, by the directory of its C(main.cf), which says where it logs. Not read where O(files) are named.
      - Other instances that log to the same place are counted, too.
    type: path
    default: /etc/postfix
  days:
    description:
      - How far to look back from now. What the log holds of that is in RV(since) and RV(until).
    type: float
    default: 7
  files:
    description:
      - Logs to read instead of those of this host, in any order. They may be compressed by gzip, bzip2 or xz, and of other hosts; then no
        Postfix is needed here.
      - Where this is not set, C(maillog_file) of C(main.cf) is read, else C(/var/log/mail.log), else C(/var/log/maillog), whichever was written in
        these days, with what was rotated of it; where there is none, systemd's journal.
      - A stamp without a year is taken to be of the year before the file was written last.
    type: list
    elements: path
  min_messages:
    description:
      - How many messages a domain must have got for RV(candidates).
    type: int
    default: 1
requirements:
  - Python 3.9 or newer, no further library
notes:
  - Logs are mostly for root and the group C(adm) to read, so this needs C(become). What can't be read is told in RV(errors) and fails nothing.
  - One transmission counts as one message, however many recipients it has. A message that leaves in two, as one with more recipients than
    C(smtp_destination_recipient_limit), counts twice; one with recipients in two domains counts for each of them, and once in RV(totals).
  - Only what was accepted counts, not what was deferred, refused or broken off. Deliveries by C(local), C(virtual), C(lmtp), C(pipe) and
    other agents are none of smtp's and are not counted. Loopback addresses, as those of content filters, are only counted in RV(left_out).
  - An inner hop is not the partner. What goes to C(content_filter) or C(FILTER), to the store of a domain of this host's own (C(mydestination),
    C(virtual_mailbox_domains), C(relay_domains), as far as their tables can be listed), or to a host that hands the message back to this one,
    is told in RV(inner) alone.
  - With C(smtp_tls_loglevel) 0, Postfix before 3.11 does not tell whether it encrypted what it sent. That is V(unknown) here, never V(plaintext). It
    is V(plaintext) where the same Postfix, without a restart or reload in between, tells of a handshake elsewhere; or where C(main.cf) and
    C(master.cf) have not changed since, and say that it tells of all, or does no TLS. C(smtpd) tells at any level.
  - Policies are looked up by the next hop. That is the recipient's domain, unless C(relayhost) or C(transport_maps) name another one; RV(notes)
    tells of these.
seealso:
  - module: mailsec.postfix_tls.postfix_tls
  - module: mailsec.postfix_tls.starttls_verify
  - plugin: mailsec.postfix_tls.query
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Read what the log tells of the last 30 days
  mailsec.postfix_tls.tls_log_info:
    days: 30
    min_messages: 10
  become: true # logs are root's
  register: mail

- name: Name the domains that got mail in the clear, with most of it first
  ansible.builtin.debug:
    msg: "{{ mail.sent | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: "[?plaintext > `0`].{domain: domain, plaintext: plaintext, of: messages, relays: relays}"

- name: Keep the policy entries for domains that got all of their ten or more messages encrypted, to be looked through
  ansible.builtin.copy:
    content: "{{ {'tls_policy_destinations': mail.candidates} | to_nice_yaml }}"
    dest: "{{ playbook_dir }}/candidates-{{ inventory_hostname }}.yml"
    mode: "0644"
  delegate_to: localhost

- name: Name the peers that TLS 1.2 as the oldest version would cut off
  ansible.builtin.debug:
    msg: "{{ mail.floor['TLSv1.2'] }}"

- name: Read the logs of another host
  mailsec.postfix_tls.tls_log_info:
    days: 3650
    files:
      - /srv/logs/mx1/mail.log
      - /srv/logs/mx1/mail.log.1.gz
"""

RETURN = r"""
sent:
  description: What left by SMTP, by the recipients' domain. Those with most in the clear first, then those with most unknown.
  returned: success
  type: list
  elements: dict
  contains:
    domain:
      description: The domain of the recipients, in lower case.
      type: str
      sample: example.org
    messages:
      description: All messages; RV(sent[].plaintext), RV(sent[].encrypted) and RV(sent[].unknown) add up to it.
      type: int
      sample: 12
    plaintext:
      description: Those that went in the clear.
      type: int
      sample: 3
    encrypted:
      description: Those that went encrypted.
      type: int
      sample: 9
    unknown:
      description: Those of which the log does not tell; see the notes.
      type: int
      sample: 0
    trust:
      description:
        - How many encrypted ones went to a server whose certificate was V(Verified) (trusted, with a name that the policy asks for), V(Trusted),
          V(Untrusted), or that showed none (V(Anonymous)). Empty where C(smtp_tls_loglevel) is 0.
      type: dict
      sample: {"Trusted": 8, "Untrusted": 1}
    protocols:
      description: How many encrypted ones went by which protocol version. Empty where C(smtp_tls_loglevel) is 0.
      type: dict
      sample: {"TLSv1.3": 8, "TLSv1.2": 1}
    ciphers:
      description: How many encrypted ones went by which cipher suite, by OpenSSL's name.
      type: dict
      sample: {"TLS_AES_256_GCM_SHA384": 8, "ECDHE-RSA-AES256-GCM-SHA384": 1}
    relays:
      description: The servers they went to, at most 20.
      type: list
      elements: str
      sample: [mx1.example.org, mx2.example.org]
inner:
  description: What went to inner hops, by the server's name; see the notes. It is not in RV(sent) and not in RV(totals).
  returned: success
  type: list
  elements: dict
  contains:
    relay:
      description: The name of the server, or its address where it has none.
      type: str
      sample: scan.internal.example
    messages:
      description: As in RV(sent[].messages), like the other numbers.
      type: int
      sample: 12
    plaintext:
      description: Those that went in the clear.
      type: int
      sample: 12
    encrypted:
      description: Those that went encrypted.
      type: int
      sample: 0
    unknown:
      description: Those of which the log does not tell.
      type: int
      sample: 0
    trust:
      description: As in RV(sent[].trust).
      type: dict
      sample: {}
    protocols:
      description: As in RV(sent[].protocols).
      type: dict
      sample: {}
    ciphers:
      description: As in RV(sent[].ciphers).
      type: dict
      sample: {}
received:
  description: What peers delivered, by the domain of the envelope's sender, in the order of RV(sent). Anybody can write any sender.
  returned: success
  type: list
  elements: dict
  contains:
    domain:
      description: The domain of the sender; V(null) for bounces, which have none.
      type: str
      sample: example.net
    messages:
      description: As in RV(sent[].messages), like the numbers below.
      type: int
      sample: 4
    plaintext:
      description: Those that came in the clear.
      type: int
      sample: 1
    encrypted:
      description: Those that came encrypted.
      type: int
      sample: 3
    unknown:
      description: Those of which the log does not tell.
      type: int
      sample: 0
    protocols:
      description: How many encrypted ones came by which protocol version. Empty where C(smtpd_tls_loglevel) is 0.
      type: dict
      sample: {"TLSv1.2": 3}
    ciphers:
      description: How many encrypted ones came by which cipher suite.
      type: dict
      sample: {"ECDHE-ECDSA-AES256-GCM-SHA384": 3}
    clients:
      description: Who delivered them, as in RV(clients[].client), at most 20.
      type: list
      elements: str
      sample: [example.net]
clients:
  description: The same messages by who delivered them.
  returned: success
  type: list
  elements: dict
  contains:
    client:
      description:
        - The domain of the client's name, which is that name without its first part, as V(example.net) of C(mx.example.net). Its address where it has
          no name that leads back to it.
      type: str
      sample: example.net
    messages:
      description: As in RV(received[].messages), like the other numbers.
      type: int
      sample: 4
    plaintext:
      description: Those that came in the clear.
      type: int
      sample: 1
    encrypted:
      description: Those that came encrypted.
      type: int
      sample: 3
    unknown:
      description: Those of which the log does not tell.
      type: int
      sample: 0
    protocols:
      description: How many encrypted ones came by which protocol version.
      type: dict
      sample: {"TLSv1.2": 3}
    ciphers:
      description: How many encrypted ones came by which cipher suite.
      type: dict
      sample: {"ECDHE-ECDSA-AES256-GCM-SHA384": 3}
    services:
      description: The syslog tags of the services that took them.
      type: list
      elements: str
      sample: [postfix/smtpd]
submitted:
  description:
    - What users submitted, by service. These are messages of clients that logged in, and of services whose C(syslog_name) ends in C(submission),
      C(submissions), C(smtps), C(587) or C(465). They are in no other list.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The syslog tag of the service.
      type: str
      sample: postfix/submission/smtpd
    messages:
      description: As in RV(received[].messages), like the other numbers.
      type: int
      sample: 2
    plaintext:
      description: Those that came in the clear.
      type: int
      sample: 0
    encrypted:
      description: Those that came encrypted.
      type: int
      sample: 2
    unknown:
      description: Those of which the log does not tell.
      type: int
      sample: 0
    protocols:
      description: How many encrypted ones came by which protocol version.
      type: dict
      sample: {"TLSv1.3": 2}
    ciphers:
      description: How many encrypted ones came by which cipher suite.
      type: dict
      sample: {"TLS_AES_256_GCM_SHA384": 2}
totals:
  description: Of each direction, and of what users submitted, how many messages were V(plaintext), V(encrypted) and V(unknown).
  returned: success
  type: dict
  sample:
    sent: {"plaintext": 3, "encrypted": 9, "unknown": 0}
    received: {"plaintext": 1, "encrypted": 3, "unknown": 0}
    submitted: {"plaintext": 0, "encrypted": 2, "unknown": 0}
floor:
  description:
    - Of each protocol version V(TLSv1.2) and V(TLSv1.3), who did not reach it, with how many messages, most first. Were it the oldest version allowed,
      these would come and go in the clear, or not at all where TLS is mandatory. C(sent) is by domain, C(received) by client, C(submitted) by
      service.
    - What is in the clear today is not among them, and neither is what has no version in the log.
  returned: success
  type: dict
  sample:
    TLSv1.2: {"sent": [], "received": [], "submitted": []}
    TLSv1.3:
      sent: [{"domain": "example.org", "messages": 1}]
      received: [{"client": "example.net", "messages": 3}]
      submitted: []
profiles:
  description:
    - Of each profile of O(mailsec.postfix_tls.postfix_tls#module:profiles), who used a version or a cipher suite that it does not have, with how many
      messages, most first, and what that was. A peer that has better, too, may agree on that; one that has not would be cut off as with RV(floor).
    - Lists that are all empty say that this profile would have cut off nobody. What is in the clear today is not among them, and neither is what has
      no version in the log.
  returned: success
  type: dict
  sample:
    intermediate:
      sent: [{"domain": "example.org", "messages": 1, "used": {"TLSv1.2 AES256-SHA": 1}}]
      received: [{"client": "example.net", "messages": 3, "used": {"TLSv1.2 ECDHE-RSA-AES256-SHA384": 2, "TLSv1 AES128-SHA": 1}}]
      submitted: []
    interop: {"sent": [], "received": [], "submitted": []}
candidates:
  description:
    - The domains that got at least O(min_messages) messages, all of them encrypted, as entries for C(tls_policy_destinations). With C(encrypt), what
      goes to them never leaves in the clear again.
    - Empty where C(relayhost) is set, by which policies would be looked up.
  returned: success
  type: list
  elements: dict
  sample: [{"destination": "example.com", "level": "encrypt"}]
left_out:
  description:
    - How many messages are in no list. C(loopback_sent) and C(loopback_received) went to and came from this host itself. Of C(unparsed)
      the line is not understood. The names of C(beyond) found no room, as there are 20,000 in a list at most.
  returned: success
  type: dict
  sample: {"loopback_sent": 0, "loopback_received": 0, "unparsed": 0, "beyond": 0}
silent:
  description: The syslog tags of programs that left something unknown, since they tell nothing of TLS.
  returned: success
  type: list
  elements: str
  sample: []
notes:
  description: What to know about these numbers, and what to do about it.
  returned: success
  type: list
  elements: str
  sample: []
summary:
  description: All of this in lines to be read, with at most 20 of each list.
  returned: success
  type: list
  elements: str
  sample:
    - "48210 lines of /var/log/mail.log.1, /var/log/mail.log: 2026-11-17T22:28:11Z to 2026-11-24T22:28:11Z"
    - "sent: 12 messages, 3 in the clear, 9 encrypted, 0 unknown"
    - "  3 of 12 in the clear to example.org by way of mx1.example.org, mx2.example.org"
since:
  description:
    - When what was read begins, in UTC, with the first line of Postfix's in the last O(days). V(null) where there was none.
  returned: success
  type: str
  sample: "2026-11-17T22:28:11Z"
until:
  description: When what was read ends.
  returned: success
  type: str
  sample: "2026-11-24T22:28:11Z"
lines:
  description: How many lines were read.
  returned: success
  type: int
  sample: 48210
files:
  description: What was read, the oldest first. V(journal) is systemd's.
  returned: success
  type: list
  elements: str
  sample: [/var/log/mail.log.1, /var/log/mail.log]
errors:
  description: What could not be read, or not to its end, and why.
  returned: success
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.audit import audit
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner

ARGUMENT_SPEC = {
    "config_directory": {"type": "path", "default": "/etc/postfix"},
    "days": {"type": "float", "default": 7},
    "files": {"type": "list", "elements": "path"},
    "min_messages": {"type": "int", "default": 1},
}


def main() -> t.NoReturn:
    module = Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **audit(runner(), **module.params))
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), **error.details)


if __name__ == "__main__":
    main()
