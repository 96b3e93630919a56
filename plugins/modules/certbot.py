#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: certbot
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Have certbot obtain certificates, one of each type of key
description:
  - Has C(certbot), of the host's distribution, obtain certificates from Let's Encrypt or any other directory that speaks ACME (RFC 8555), with
    RSA and ECDSA keys side by side, and tells M(mailsec.postfix_tls.postfix_tls) where they are.
  - Looks at what certbot keeps in C(/etc/letsencrypt) first, and calls certbot only where something is missing, covers other names, has less
    than a third of its time left, or was obtained another way than it is asked for now. Otherwise the directory is not asked at all.
  - What it asks for wins over C(cli.ini); what certbot can't be told there is refused before anything is obtained. Another certbot at work is waited for.
  - Touches nothing of Postfix.
extends_documentation_fragment:
  - mailsec.postfix_tls.attributes
attributes:
  check_mode:
    support: full
    details: Asks no directory. Chains that are not there yet are left out of RV(chains), with a warning.
  diff_mode:
    support: full
    details: Shows names and settings, never keys.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  name:
    description: What the certificates are called; each has its type of key added, as in C(default-ecdsa).
    type: str
    default: default
  names:
    description: Names they are to cover. Without any, C(myhostname).
    type: list
    elements: str
    default: []
  key_types:
    description:
      - A certificate is obtained for each of these types of key. RSA keys have 3072 bits, and ECDSA keys are on P-256; a larger one that is in use
        already, and is to be reused, stays.
    type: list
    elements: str
    choices: [ecdsa, rsa]
    default: [ecdsa, rsa]
  directory:
    description: URL of the ACME directory.
    type: str
    default: https://acme-v02.api.letsencrypt.org/directory
  email:
    description: Address for the account, which is made where there is none yet. It may be empty.
    type: str
    default: ""
  terms_agreed:
    description: Whether you have read the directory's terms of service and agree to them. Nothing is obtained otherwise.
    type: bool
    default: false
  challenge:
    description:
      - How the directory is shown that the names are yours. With V(standalone), certbot itself answers on port 80 for the time. With V(webroot), the web
        server there serves the files that certbot leaves in O(webroot). With V(dns), O(auth_hook) publishes a record.
    type: str
    choices: [standalone, webroot, dns]
    default: standalone
  http_port:
    description: Port that certbot listens on with V(challenge=standalone). The directory connects to port 80 all the same.
    type: int
    default: 80
  webroot:
    description: Directory that the web server on port 80 serves, for V(challenge=webroot).
    type: path
  auth_hook:
    description:
      - Command that publishes the TXT record C(_acme-challenge.$CERTBOT_DOMAIN) with the content C($CERTBOT_VALIDATION), and waits until it is visible,
        for V(challenge=dns).
    type: str
  cleanup_hook:
    description: Command that removes the record again.
    type: str
  ca_file:
    description:
      - Root to trust for the https of a private directory. certbot does not remember it. So that renewals trust it too, let it be in the system's
        store as well, which Debian's certbot reads.
    type: path
  reuse_key:
    description: Whether renewals keep the key, so that a TLSA record of it (C(3 1 1)) stays true.
    type: bool
    default: true
  min_days_left:
    description:
      - A certificate that is valid for fewer days than this is renewed, too, unless that is more than two thirds of the time it is issued for.
    type: int
    default: 0
  config_directory:
    description: The Postfix instance that is asked for C(myhostname), by the directory of its C(main.cf).
    type: path
    default: /etc/postfix
seealso:
  - module: mailsec.postfix_tls.postfix_tls
"""

EXAMPLES = r"""
---
- name: Obtain certificates from Let's Encrypt
  mailsec.postfix_tls.certbot:
    names: [mx1.example.org]
    email: postmaster@example.org
    terms_agreed: true
  register: obtained

- name: Serve them
  mailsec.postfix_tls.postfix_tls:
    chains: "{{ obtained.chains }}"
"""

RETURN = r"""
certificates:
  description: Each certificate with the names it covers, and why it was obtained, or would be in check mode. There are no names without a certificate.
  returned: success
  type: list
  elements: dict
  sample:
    - name: default-ecdsa
      reason: there is none yet
      names: [mx1.example.org]
      key_file: /etc/letsencrypt/live/default-ecdsa/privkey.pem
      certificate_file: /etc/letsencrypt/live/default-ecdsa/fullchain.pem
      not_after: "2026-12-30T00:00:00Z"
      spki_sha256: 9a0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716
chains:
  description: For the option C(chains) of M(mailsec.postfix_tls.postfix_tls).
  returned: success
  type: list
  elements: dict
  sample:
    - name: default-ecdsa
      key_file: /etc/letsencrypt/live/default-ecdsa/privkey.pem
      certificate_file: /etc/letsencrypt/live/default-ecdsa/fullchain.pem
names:
  description:
    - For O(mailsec.postfix_tls.postfix_tls#module:verify), the names asked for; in check mode those of them that the certificates cover already.
  returned: success
  type: list
  elements: str
  sample: [mx1.example.org]
missing:
  description: Packages that the host lacks; with any, nothing is obtained.
  returned: always
  type: list
  elements: str
  sample: [certbot]
directory:
  description: The ACME directory that certbot was sent to.
  returned: failure of certbot
  type: str
  sample: https://acme-v02.api.letsencrypt.org/directory
log:
  description: What certbot said, without what it says every time.
  returned: failure of certbot
  type: list
  elements: str
  sample: ["Could not bind TCP port 80 because it is already in use by another process on this system (such as a web server)."]
"""

import os
import time
import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._acme import certbot
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._acme.lineage import Lineage, Wanted
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import effective_values

ARGUMENT_SPEC = {
    "name": {"type": "str", "default": "default"},
    "names": {"type": "list", "elements": "str", "default": []},
    "key_types": {"type": "list", "elements": "str", "choices": list(certbot.KEY_TYPES), "default": list(certbot.KEY_TYPES)},
    "directory": {"type": "str", "default": "https://acme-v02.api.letsencrypt.org/directory"},
    "email": {"type": "str", "default": ""},
    "terms_agreed": {"type": "bool", "default": False},
    "challenge": {"type": "str", "choices": list(certbot.CHALLENGES), "default": "standalone"},
    "http_port": {"type": "int", "default": 80},
    "webroot": {"type": "path"},
    "auth_hook": {"type": "str"},
    "cleanup_hook": {"type": "str"},
    "ca_file": {"type": "path"},
    "reuse_key": {"type": "bool", "default": True},
    "min_days_left": {"type": "int", "default": 0},
    "config_directory": {"type": "path", "default": "/etc/postfix"},
}
_REQUIRED = [("challenge", "webroot", ["webroot"]), ("challenge", "dns", ["auth_hook"])]


class Certbot:
    """One run of the module: what it was asked for, and what certbot keeps on this host."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.params = module.params
        ca_file = self.params["ca_file"]
        self.run = runner(**({"REQUESTS_CA_BUNDLE": ca_file} if ca_file else {}))

    def result(self) -> dict:
        self._judge()
        names = tuple(dict.fromkeys(self.params["names"] or [self._myhostname()]))
        told, diffs = [], []
        for kind in dict.fromkeys(self.params["key_types"]):
            wanted = Wanted("%s-%s" % (self.params["name"], kind), kind, names, certbot.settings(self.params), self.params["min_days_left"])
            lineage = Lineage(wanted.name)
            reason, before = lineage.lacks(wanted), _described(lineage.names(), lineage.settings())
            if reason and (self.module.check_mode or self._obtain(lineage, wanted)):
                after = _described(names, wanted.settings)
                diffs.append({"before_header": wanted.name, "after_header": wanted.name, "before": before, "after": after})
            told.append(_certificate(lineage, reason))
        there = [certificate for certificate in told if certificate["names"]]
        if self.module.check_mode:
            names = tuple(name for name in names if there and all(name.lower() in certificate["names"] for certificate in there))
        return {
            "changed": bool(diffs),
            "diff": diffs,
            "certificates": told,
            "chains": [{key: certificate[key] for key in _CHAIN} for certificate in there],
            "names": list(names),
        }

    def _judge(self) -> None:
        if not self.params["terms_agreed"]:
            raise PostfixTlsError(
                "terms_agreed", "false", "a directory issues only to whoever agrees to its terms of service",
                "Read them, then set terms_agreed: true (tls_certificate_acme_terms_agreed).",
            )
        ca_file = self.params["ca_file"]
        if ca_file and not os.path.isfile(ca_file):
            raise PostfixTlsError("ca_file", ca_file, "there is no such file on this host", "Name the file with the root of the directory's https.")

    def _myhostname(self) -> str:
        return effective_values(self.run, self.params["config_directory"], None, "myhostname")["myhostname"]

    def _obtain(self, lineage: Lineage, wanted: Wanted) -> bool:
        """Whether there is another certificate now: certbot itself may see it is not yet due."""
        before, installed = lineage.facts(), certbot.version(" ".join(self.run(["certbot", "--version"])[1:]))
        certbot.refuse_overruling(certbot.cli_ini(), self.params, installed)
        forced = lineage.there and bool(lineage.differing(wanted) or lineage.short(wanted))
        status, out, err = self._waiting(certbot.command(wanted, self.params, forced, installed, before))
        if status or not lineage.there:
            raise certbot.failure(wanted, self.params["challenge"], out, err)
        if differing := lineage.differing(wanted):
            # Obtained again by each run, it would soon be at the directory's limit.
            raise PostfixTlsError(
                "certificate %s" % wanted.name, ", ".join(differing), "certbot keeps it otherwise than it was told",
                "Look into /etc/letsencrypt/renewal/%s.conf and /etc/letsencrypt/cli.ini." % wanted.name,
            )
        return lineage.facts() != before

    def _waiting(self, command: list) -> tuple:
        """What a command of certbot came to, once no other certbot is at work, or after some time."""
        deadline = time.monotonic() + _LOCKED
        while True:
            status, out, err = self.run(command)
            if not status or certbot.LOCKED not in out + err or time.monotonic() > deadline:
                return status, out, err
            time.sleep(_PAUSE)


#: Seconds that another certbot may take, such as its timer's, and between looks.
_LOCKED = 120
_PAUSE = 3
_CHAIN = ("name", "key_file", "certificate_file")
_SHOWN = ("authenticator", "server")


def _described(names: t.Iterable, settings: dict) -> str:
    """What a diff shows of a certificate; nothing where there is none."""
    lines = ["names: %s" % ", ".join(sorted(names)), *("%s: %s" % (name, settings.get(name, "")) for name in _SHOWN)]
    return "".join("%s\n" % line for line in lines) if names else ""


def _certificate(lineage: Lineage, reason: str) -> dict:
    facts = lineage.facts()
    return {
        "name": lineage.name, "reason": reason, "names": lineage.names(), "key_file": lineage.key_file, "certificate_file": lineage.certificate_file,
        "not_after": facts.get("not_after"), "spki_sha256": facts.get("spki_sha256"),
    }


def main() -> t.NoReturn:
    module = Module(argument_spec=ARGUMENT_SPEC, required_if=_REQUIRED, supports_check_mode=True)
    missing = [] if module.get_bin_path("certbot") else ["certbot"]
    try:
        if missing and not module.check_mode:
            raise PostfixTlsError("certbot", None, "it is not installed on this host", "Install the package certbot.")
        result = Certbot(module).result()
        for certificate in result["certificates"] if module.check_mode else ():
            if certificate["reason"]:
                module.warn(
                    "certificate %s: %s, so a run would %sobtain it. What is shown from here on is %s."
                    % (certificate["name"], certificate["reason"], "install certbot and " if missing else "",
                       "with the one that is there" if certificate["names"] else "without it")
                )
        module.exit_json(missing=missing, **result)
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), missing=missing, **error.details)


if __name__ == "__main__":
    main()
