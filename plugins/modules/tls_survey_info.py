#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: tls_survey_info
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Tell which level of TLS mail partners could be held to today
description:
  - Runs on the host that sends. For each destination it finds the mail servers as this host's Postfix does, looks at each with real
    handshakes, and tells what would become of mail at C(encrypt), C(verify) and C(secure). RV(entries) is a ready list for
    C(tls_policy_destinations) of the roles, with the strongest level that would stop no mail today.
  - What it could not see never counts as good. A destination none of whose servers answered gets no entry.
  - Changes nothing and sends no mail.
extends_documentation_fragment:
  - mailsec.postfix_tls.attributes
  - mailsec.postfix_tls.attributes.info_module
attributes:
  platform:
    platforms: posix
    support: full
requirements:
  - dnspython 2.0 or newer on the host (Debian, Fedora C(python3-dnspython), RHEL C(python3-dns)), where there are MX records to look up;
    not for destinations in brackets, nor where Postfix does without DNS
options:
  destinations:
    description:
      - Where mail goes to, written as the keys of C(smtp_tls_policy_maps). C(example.org) is a domain, whose MX are looked up. For
        C([mx.example.org]) and C([mx.example.org]:587) the host itself is looked at.
      - Where mail for a domain takes another way, through C(relayhost) or C(transport_maps), write that next hop.
    type: list
    elements: str
    required: true
  config_directory:
    description: The Postfix instance that sends.
    type: path
    default: /etc/postfix
  ca_file:
    description:
      - File of PEM certificates on this host to trust. By default what C(smtp_tls_CAfile) and C(smtp_tls_CApath) name, and where they
        name none the system's store. The role then still wants one of them set before it writes a policy that needs a CA.
    type: path
  timeout:
    description:
      - Seconds for the MX records of one domain, and for everything at one of the servers. What is not answered by then is unknown.
    type: float
    default: 20.0
  concurrency:
    description: How many domains, and then servers, are looked at a time. At one server there are at most four connections at a time.
    type: int
    default: 32
  ehlo_name:
    description: Name to say EHLO with. The default tells these connections from others in a log.
    type: str
    default: starttls-verify.invalid
  source_address:
    description:
      - IP address of this host to connect from, to servers of its family. The default is Postfix's own (C(smtp_bind_address), C(smtp_bind_address6), or the
        only address in C(inet_interfaces)).
    type: str
  min_days_left:
    description: Where a certificate that a level rests on ends sooner than in so many days, RV(results[].why) says so.
    type: int
    default: 14
notes:
  - A server that is the MX of many domains is looked at once, with six connections as a rule to each of its addresses, after which it is left
    alone.
  - Like Postfix it sends no server name (SNI) unless C(smtp_tls_servername) says so, and takes a certificate's common name where it has no
    DNS name. Protocol versions are those of C(smtp_tls_mandatory_protocols); grades of ciphers are not compared.
  - What C(-o) in C(master.cf) changes for one transport is not known here. A port that speaks TLS from the first byte is looked at that way.
  - Servers are looked at at every address that Postfix would use, in its order and from where it would connect (C(inet_protocols),
    C(smtp_address_preference), C(smtp_host_lookup), C(smtp_bind_address), C(smtp_bind_address6), C(smtp_bind_address_enforce)), up to
    C(smtp_mx_address_limit) of them. Without dnspython names of servers are looked up as the system does, C(/etc/hosts) included.
  - At C(verify) and C(secure) Postfix has OpenSSL refuse more than below (security level 1), and so does this, with the OpenSSL of this host.
  - Where mail could only go in the clear, one connection more asks what the server says to C(MAIL) there. What it says to a recipient is not asked.
  - A look is of today. MX records without DNSSEC can be forged, so read the names in C(match) before you rely on them. TLSA records are not
    looked up, so C(dane) and C(dane-only) are never proposed.
seealso:
  - module: mailsec.postfix_tls.starttls_info
"""

EXAMPLES = r"""
---
- name: See what partners could be held to
  mailsec.postfix_tls.tls_survey_info:
    destinations:
      - example.org
      - example.net
      - "[relay.example.com]:587"
  become: true
  register: survey

- name: Show the entries, ready for tls_policy_destinations
  ansible.builtin.debug:
    msg: "{{ survey.entries | to_nice_yaml }}"

- name: Show why it is no more than that
  ansible.builtin.debug:
    msg: "{{ dict(survey.results | map(attribute='destination') | zip(survey.results | map(attribute='why'))) }}"
"""

RETURN = r"""
results:
  description: What was found for each destination, in the order of O(destinations).
  returned: success
  type: list
  elements: dict
  contains:
    destination:
      description: As it was asked for.
      type: str
      sample: example.org
    hosts:
      description:
        - Its servers, one entry for each address that Postfix would connect to, in its order; where C(smtp_randomize_addresses) leaves the order to
          chance, in one of those. Those without such an address come last. There is none where the destination itself can't be.
      type: list
      elements: dict
      contains:
        host:
          description: Its name or address.
          type: str
          sample: mx1.hoster.example
        preference:
          description: That of its MX record, V(null) where it has none.
          type: int
          sample: 10
        port:
          description: The port.
          type: int
          sample: 25
        protocol:
          description: V(smtp) where TLS is asked for with STARTTLS, V(smtps) where it is spoken from the first byte.
          type: str
          sample: smtp
        address:
          description: The address that was looked at, V(null) where it has none for this host.
          type: str
          sample: 192.0.2.25
        reachable:
          description: Whether it answered as a mail server.
          type: bool
          sample: true
        error:
          description: The first thing that kept a connection from going on, in words.
          type: str
          sample: null
        starttls:
          description: Whether it offers STARTTLS, V(null) where that was not seen.
          type: bool
          sample: true
        handshake:
          description: Whether a handshake was V(done), V(refused) or is V(unknown), and why.
          type: dict
          sample: {"verdict": "done", "reason": null}
        versions:
          description: The protocol versions it was seen to accept.
          type: list
          elements: str
          sample: [TLSv1.2, TLSv1.3]
        certificate:
          description: Of the leaf it shows, what RV(mailsec.postfix_tls.starttls_info#module:results[].certificates) has under the same keys.
          type: dict
          sample:
            subject: CN=mx1.hoster.example
            issuer: CN=E7,O=Let's Encrypt,C=US
            names: ["DNS:mx1.hoster.example"]
            self_signed: false
            not_before: "2026-10-01T00:00:00Z"
            not_after: "2026-12-30T00:00:00Z"
            days_left: 36
            sha256: 3b0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
            spki_sha256: 9a0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
        trusted:
          description: The verdict on its chain, V(pass), V(fail) or V(unknown), and why. V(null) where there was no TLS.
          type: dict
          sample: {"verdict": "pass", "reason": "the chain ends at a trusted CA"}
        matches:
          description: To which of C(hostname), C(nexthop) and C(dot-nexthop) the certificate is made out.
          type: list
          elements: str
          sample: [hostname]
    levels:
      description:
        - For each of C(encrypt), C(verify) and C(secure) whether mail would leave (C(works)), why not, or which of several servers would not
          take it (C(reason)), and what C(match) it takes. An empty C(match) is the level's own.
      type: dict
      sample:
        encrypt: {"works": true, "reason": "", "match": []}
        verify: {"works": true, "reason": "", "match": []}
        secure: {"works": true, "reason": "", "match": ["mx1.hoster.example", "mx2.hoster.example"]}
    strongest:
      description:
        - The strongest level that would not stop mail today. V(may) is mail that leaves, and may do so in the clear. V(unknown) is
          where not even that was seen, or where no mail would leave.
      type: str
      sample: secure
    entry:
      description: The entry for C(tls_policy_destinations), V(null) where there is nothing to hold the partner to.
      type: dict
      sample: {"destination": "example.org", "level": "secure", "match": ["mx1.hoster.example", "mx2.hoster.example"]}
    why:
      description: The reason for that level, and what would stop a stronger one, in a sentence.
      type: str
      sample: The certificate is trusted and made out to mx1.hoster.example or mx2.hoster.example.
entries:
  description: All entries of RV(results), a ready list for C(tls_policy_destinations).
  returned: success
  type: list
  elements: dict
  sample:
    - {"destination": "example.org", "level": "secure", "match": ["mx1.hoster.example", "mx2.hoster.example"]}
    - {"destination": "example.net", "level": "encrypt"}
"""

import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.survey import ARGUMENT_SPEC, surveyed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner


def main() -> t.NoReturn:
    module = Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **surveyed(module.params, runner()))
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), **error.details)


if __name__ == "__main__":
    main()
