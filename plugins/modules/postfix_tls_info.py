#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_tls_info
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: See which listeners Postfix has, what TLS each is configured for, and which certificates it serves
description:
  - Lists every port on which Postfix receives mail, with the TLS parameters that hold there after the C(-o) of its service in
    C(master.cf). C(main.cf) alone does not tell them.
  - The values are Postfix's own, from C(postconf -x), with every C($name) expanded. What the listeners really answer is for
    M(mailsec.postfix_tls.starttls_verify) to say.
  - Tells of each chain that these listeners serve what is in it, when it ends, and the TLSA records that publish it for DANE.
  - Looks on this host only, opens no connection, and needs no running Postfix.
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
      - The Postfix instance, by the directory of its C(main.cf). Those that its C(multi_instance_directories) names are listed
        too.
    type: path
    default: /etc/postfix
requirements:
  - Postfix 3.4 or newer
  - Python 3.9 or newer, no further library
notes:
  - A finding never fails the module, only a host without Postfix or with a configuration that Postfix can't read.
  - Where RV(instances[].listeners[].requires_tls) is true and the protocol is not V(smtps), C(MAIL) before STARTTLS is refused with
    reply 530.
  - A chain file that holds a key is usually root's alone. Without C(become), RV(chains[].error) says so; all else is told to any user.
seealso:
  - module: mailsec.postfix_tls.postfix_tls
  - module: mailsec.postfix_tls.starttls_verify
  - plugin: mailsec.postfix_tls.query
    plugin_type: filter
  - plugin: mailsec.postfix_tls.tlsa_records
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: See what this host listens on
  mailsec.postfix_tls.postfix_tls_info:
  become: true # chain files are root's alone
  register: postfix

- name: Show port, level and protocol versions of each listener
  ansible.builtin.debug:
    msg: "{{ postfix.instances | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: "[].listeners[].{port: port, level: level, versions: parameters.smtpd_tls_protocols}"

- name: Show which obsolete parameters are set, and which known crashes the release has
  ansible.builtin.debug:
    msg: "{{ postfix.instances | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: "[].{obsolete: deprecated[].name, mended_in: missing_fixes[].fixed_in}"

- name: Print the TLSA records of what is served on port 25, ready for a zone file
  ansible.builtin.debug:
    msg: "{{ served | mailsec.postfix_tls.tlsa_records(postfix.instances[0].myhostname, ports=[25], forms=['3 1 1'], ttl=3600) }}"
  vars:
    served: "{{ postfix.chains | selectattr('services', 'contains', 'smtp') }}"

- name: Name the certificates that end within 14 days, those of the issuers included
  ansible.builtin.debug:
    msg: "{{ postfix.chains | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: "[?ends_first.days_left < `14`].{served_by: services, ending: ends_first.subject, not_after: ends_first.not_after}"

- name: Prove each listener that is open to others, the way a peer reaches it
  mailsec.postfix_tls.starttls_verify:
    targets:
      - host: "{{ item.address }}"
        port: "{{ item.port }}"
        protocol: "{{ item.protocol }}"
        server_name: "{{ postfix.instances[0].myhostname }}"
  loop: "{{ postfix.instances[0].listeners | selectattr('public') }}"
  loop_control:
    label: "{{ item.service }}"
"""

RETURN = r"""
instances:
  description: The instance in O(config_directory), then those that its C(multi_instance_directories) names.
  returned: success
  type: list
  elements: dict
  contains:
    config_directory:
      description: The directory of its C(main.cf).
      type: str
      sample: /etc/postfix
    version:
      description: The release, in numbers; V(null) where the instance can't be read, like other texts and numbers below.
      type: str
      sample: 3.10.13
    mail_version:
      description: The release as Postfix calls it; of a development release it holds a date.
      type: str
      sample: 3.10.13
    patch_level:
      description: The last number of the release.
      type: int
      sample: 13
    missing_fixes:
      description:
        - Known crashes of the TLS code that a peer or a DNS answer can cause, and that this release has by its number. A distribution may
          have mended them without another number.
      type: list
      elements: dict
      contains:
        problem:
          description: What happens.
          type: str
          sample: a TLSA record of three bytes makes the SMTP client with DANE panic
        fixed_in:
          description: The release that mends it, of the same line where there is one.
          type: str
          sample: 3.10.11
        reference:
          description: The entry of Postfix's HISTORY.
          type: str
          sample: HISTORY 20260531
      sample: [{"problem": "the TLSRPT client reads through a null pointer", "fixed_in": "3.10.12", "reference": "HISTORY 20260625"}]
    compatibility_level:
      description: The level of backwards-compatible defaults, as C(compatibility_level) has it.
      type: str
      sample: "3.6"
    features:
      description: What this build can do that others can't.
      type: dict
      sample: {"chain_files": true, "dane": true, "raw_public_keys": true, "requiretls": false, "sni": true, "tls_config_file": true, "tlsrpt": true}
    deprecated:
      description: Obsolete parameters that are set, in C(main.cf) or for a service.
      type: list
      elements: dict
      contains:
        where:
          description: V(main.cf), or the service as in V(submission/inet).
          type: str
          sample: main.cf
        name:
          description: The parameter.
          type: str
          sample: smtpd_use_tls
        value:
          description: What it is set to, as written.
          type: str
          sample: "yes"
        replaced_by:
          description: The parameter of today, or V(null) where it is to be left out.
          type: str
          sample: smtpd_tls_security_level
      sample: [{"where": "main.cf", "name": "smtpd_use_tls", "value": "yes", "replaced_by": "smtpd_tls_security_level"}]
    myhostname:
      description: The name it greets with.
      type: str
      sample: mx1.example.org
    default_database_type:
      description: The type of table it takes where none is written.
      type: str
      sample: hash
    table_types:
      description: All types of table it was built with or has a plugin for (C(postconf -m)).
      type: list
      elements: str
      sample: [btree, cidr, hash, inline, pcre, regexp, texthash]
    tls_library:
      description:
        - The TLS library it was built with, and the one it runs with (C(postconf -T)). V(null) where it was built without.
      type: dict
      sample: {"compile": "OpenSSL 3.5.6 7 Apr 2026", "run": "OpenSSL 3.5.9 29 Sep 2026"}
    listeners:
      description: The services of C(master.cf) that receive mail over TCP, in its order.
      type: list
      elements: dict
      contains:
        service:
          description: Its name in C(master.cf).
          type: str
          sample: submission
        type:
          description: Its type in C(master.cf).
          type: str
          sample: inet
        program:
          description: V(smtpd) or V(postscreen).
          type: str
          sample: smtpd
        address:
          description: Where this host itself reaches it; the first where there are several.
          type: str
          sample: 127.0.0.1
        port:
          description: The TCP port.
          type: int
          sample: 587
        protocol:
          description:
            - As M(mailsec.postfix_tls.starttls_verify) calls it. V(smtps) speaks TLS from the first byte. V(submission) is port
              587, or another port where C(master.cf) itself asks for TLS before mail. All others are V(smtp).
          type: str
          sample: submission
        public:
          description: Whether it listens on more than loopback.
          type: bool
          sample: true
        wrappermode:
          description: Whether it speaks TLS from the first byte.
          type: bool
          sample: false
        level:
          description: V(none), V(may) or V(encrypt). Where no level is set, the obsolete C(smtpd_use_tls) and C(smtpd_enforce_tls) count.
          type: str
          sample: encrypt
        requires_tls:
          description: Whether it takes no mail without TLS.
          type: bool
          sample: true
        parameters:
          description:
            - The parameters that decide how TLS is done there, by name, with the value that holds for this listener. One that this
              release does not know is left out.
            - C(postscreen) has its handshakes done by C(tlsproxy). The values are then those of C(tlsproxy_tls_*) and
              C(postscreen_*), under the names they have with C(smtpd), and those that neither reads are left out.
          type: dict
          sample:
            smtpd_sasl_auth_enable: "yes"
            smtpd_tls_auth_only: "yes"
            smtpd_tls_chain_files: /etc/postfix/tls/default.pem
            smtpd_tls_ciphers: medium
            smtpd_tls_mandatory_ciphers: medium
            smtpd_tls_mandatory_protocols: ">=TLSv1.2"
            smtpd_tls_protocols: ">=TLSv1.2"
            tls_preempt_cipherlist: "no"
        overrides:
          description: All parameters its own C(-o) sets, TLS or not, as they are written there.
          type: dict
          sample: {"smtpd_sasl_auth_enable": "yes", "smtpd_tls_security_level": "encrypt"}
        chain_files:
          description: Where key and certificates come from, by C(smtpd_tls_chain_files) or the older parameters.
          type: list
          elements: dict
          sample: [{"certificate_file": "/etc/postfix/tls/default.pem", "key_file": "/etc/postfix/tls/default.pem"}]
        behind:
          description:
            - The C(smtpd) that C(postscreen) hands a connection over to. A client that passed its tests speaks with this one,
              STARTTLS included, so its values are the ones most peers see. V(null) for C(smtpd) itself, and where there is none.
            - C(service), C(level), C(parameters), C(overrides) and C(chain_files), each as above.
          type: dict
          sample: null
    errors:
      description:
        - What of this instance could not be told, and why. A port without a number, for instance, or a C(main.cf) in
          C(multi_instance_directories) that is not there.
      type: list
      elements: str
      sample: []
chains:
  description:
    - Each chain of certificates that the listeners serve, by C(smtpd_tls_chain_files) or the older parameters, as they hold for each service.
      A listener that does no TLS serves none. One file may hold several chains; those with the same certificates are one.
    - What C(tls_server_sni_maps) serves for single names is not among them.
  returned: success
  type: list
  elements: dict
  contains:
    config_directory:
      description: The instance, as in RV(instances[].config_directory).
      type: str
      sample: /etc/postfix
    files:
      description: The files that hold it. A key in a file of its own is not among them, unless C(smtpd_tls_chain_files) names it.
      type: list
      elements: str
      sample: [/etc/postfix/tls/default.pem]
    services:
      description: The services that serve it, as in RV(instances[].listeners[].service); with C(postscreen), also the C(smtpd) behind it.
      type: list
      elements: str
      sample: [smtp, submission]
    sni:
      description: Names that clients ask for to get it (C(tls_server_sni_maps), from tables of type C(texthash)); none for what all others get.
      type: list
      elements: str
      sample: []
    names:
      description: What the leaf is made out to. V(null) where there is no leaf or it can't be read, like all that is told of the leaf.
      type: list
      elements: str
      sample: ["DNS:mx1.example.org"]
    subject:
      description: The leaf's subject.
      type: str
      sample: CN=mx1.example.org
    issuer:
      description: The leaf's issuer.
      type: str
      sample: CN=E7,O=Let's Encrypt,C=US
    not_before:
      description: When the leaf begins to be valid, in UTC.
      type: str
      sample: "2026-10-01T00:00:00Z"
    not_after:
      description: When the leaf ends, in UTC.
      type: str
      sample: "2026-12-30T00:00:00Z"
    days_left:
      description: Whole days until the leaf ends, by this host's clock; below zero, it has ended.
      type: int
      sample: 36
    key_type:
      description: The type of the leaf's key, as V(EC) or V(RSA).
      type: str
      sample: EC
    key_bits:
      description: Its size.
      type: int
      sample: 256
    curve:
      description: Its curve, by OpenSSL's name; V(null) for other keys.
      type: str
      sample: prime256v1
    sha256:
      description: The digest of the whole leaf, in hexadecimal.
      type: str
      sample: 3b0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
    spki_sha256:
      description: The digest of the leaf's public key (SubjectPublicKeyInfo).
      type: str
      sample: 9a0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
    ends_first:
      description:
        - Of all certificates in the chain the one that ends first, an intermediate maybe, with C(days_left), C(not_after) and C(subject).
          V(null) where none can be read.
      type: dict
      sample: {"days_left": 36, "not_after": "2026-12-30T00:00:00Z", "subject": "CN=mx1.example.org"}
    certificates:
      description:
        - The certificates as they are sent, leaf first, with the keys of
          RV(mailsec.postfix_tls.starttls_info#module:results[].certificates).
      type: list
      elements: dict
      sample:
        - sha256: 3b0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
          subject: CN=mx1.example.org
          issuer: CN=E7,O=Let's Encrypt,C=US
          self_signed: false
          names: ["DNS:mx1.example.org"]
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
        - sha256: 5e0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
          subject: CN=E7,O=Let's Encrypt,C=US
          issuer: CN=ISRG Root X1,O=Internet Security Research Group,C=US
          self_signed: false
          names: []
          common_names: [R12]
          serial: 2B0A
          not_before: "2024-03-13T00:00:00Z"
          not_after: "2027-03-12T23:59:59Z"
          days_left: 107
          key_type: EC
          key_bits: 384
          curve: secp384r1
          signature: sha256WithRSAEncryption
          signature_hash: SHA256
          spki_sha256: 7d0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
    tlsa:
      description:
        - The TLSA records it fulfils (RFC 7671, RFC 7672 section 3.1), each with C(usage), C(selector), C(matching_type), C(data), and the
          subject it is C(of). They are V(3 1 1), the leaf's key; V(2 1 1), the key of each issuer that is sent with the leaf; and V(3 0 1),
          the whole leaf.
        - The filter P(mailsec.postfix_tls.tlsa_records#filter) makes lines of a zone file of them.
      type: list
      elements: dict
      sample:
        - usage: 3
          selector: 1
          matching_type: 1
          data: 9a0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
          of: CN=mx1.example.org
        - usage: 2
          selector: 1
          matching_type: 1
          data: 7d0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
          of: CN=E7,O=Let's Encrypt,C=US
        - usage: 3
          selector: 0
          matching_type: 1
          data: 3b0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
          of: CN=mx1.example.org
    error:
      description:
        - Why it can't be served or told, a missing or damaged file for instance; V(null) where nothing is wrong. With one file missing, Postfix
          serves none of that listener's chains.
      type: str
      sample: null
"""

import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import view
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner

ARGUMENT_SPEC = {"config_directory": {"type": "path", "default": "/etc/postfix"}}


def main() -> t.NoReturn:
    module = Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        instances = view.instances(runner(), module.params["config_directory"])
        module.exit_json(changed=False, instances=instances, chains=view.chains(instances))
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), **error.details)


if __name__ == "__main__":
    main()
