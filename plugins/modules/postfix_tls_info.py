#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_tls_info
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: See which listeners Postfix has, and what TLS each is configured for
description:
  - Lists every port on which Postfix receives mail, with the TLS parameters that hold there after the C(-o) of its service in
    C(master.cf). C(main.cf) alone does not tell them.
  - The values are Postfix's own, from C(postconf -x), with every C($name) expanded. What the listeners really answer is for
    M(mailsec.postfix_tls.starttls_verify) to say.
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
seealso:
  - module: mailsec.postfix_tls.postfix_tls
  - module: mailsec.postfix_tls.starttls_verify
  - plugin: mailsec.postfix_tls.query
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: See what this host listens on
  mailsec.postfix_tls.postfix_tls_info:
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
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import view
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner

ARGUMENT_SPEC = {"config_directory": {"type": "path", "default": "/etc/postfix"}}


def main() -> t.NoReturn:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        module.exit_json(changed=False, instances=view.instances(runner(module), module.params["config_directory"]))
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), **error.details)


if __name__ == "__main__":
    main()
