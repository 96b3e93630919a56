# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_chains
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Chains as the role tls_certificate is told of them, as the module takes them
description:
  - Makes of entries with a name, key and chain what M(mailsec.postfix_tls.postfix_tls) takes as O(mailsec.postfix_tls.postfix_tls#module:chains),
    and of entries with names what it takes as O(mailsec.postfix_tls.postfix_tls#module:sni).
  - Files on the controller are read here, encrypted ones too, where the vault's password is known. A relative path is looked for where Ansible looks for a
    playbook's files, then in the inventory's directory and in the current one, and in C(files) of each.
  - With O(complaints) it says what is missing instead.
options:
  _terms:
    description: The entries, as the role's variables C(tls_certificate_chains) and C(tls_certificate_sni) have them.
    type: list
    elements: dict
    required: true
  source:
    description: Where key and chain come from, as the role's variable C(tls_certificate_source) says.
    type: str
    required: true
  complaints:
    description: What the entries are called, with C({}) for their number; then one sentence is returned for each thing that is missing.
    type: str
"""

EXAMPLES = r"""
---
- name: Install a chain from files on the controller
  mailsec.postfix_tls.postfix_tls:
    chains: "{{ query('mailsec.postfix_tls.certificate_chains', *entries, source='files') }}"
  vars:
    entries:
      - name: ecdsa
        key_file: /srv/keys/mx.example.org.key
        chain_file: /srv/keys/mx.example.org.pem
"""

RETURN = r"""
_raw:
  description: The module's chains, or its entries for SNI; with O(complaints), sentences.
  type: list
  elements: raw
  sample: ["tls_certificate_chains[0].key_file: not set, and tls_certificate_source = files needs it."]
"""

import os

from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _certificates
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import source as pem_source
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import holds_key

_DISPLAY = Display()


class LookupModule(LookupBase):
    def run(self, terms: list, variables: dict | None = None, **kwargs: object) -> list:
        self.set_options(var_options=variables, direct=kwargs)
        source, called = self.get_option("source"), self.get_option("complaints")
        if source not in _certificates.SOURCES:
            return []  # what it is instead, the role's specification says
        if called:
            for sentence in _certificates.unused(source, terms, called):
                _DISPLAY.warning(sentence)
            return _certificates.complaints(source, terms, lambda path: bool(self._found(path, variables)), called, self._folders(variables))
        return _certificates.made(source, terms, lambda path: self._text(self._found(path, variables)))

    def _text(self, path: str) -> str:
        """Decrypted, where it is encrypted by ansible-vault. ansible-core < 2.19 has no public way that makes no temporary file of it."""
        if hasattr(self._loader, "get_text_file_contents"):
            text = self._loader.get_text_file_contents(path)
        else:
            text = to_text(self._loader._get_file_contents(path)[0])
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # Ansible keeps what is not UTF-8 as lone surrogates
            text = pem_source.decoded(text.encode("utf-8", "surrogateescape"))
        return text

    def _found(self, path: str, variables: dict | None) -> str | None:
        if holds_key(path):  # Ansible says at -vvvvv where it looks for what
            return None
        path = os.path.expanduser(path)
        found = self.find_file_in_search_path(variables, "files", path, ignore_missing=True)
        beside = [os.path.join(folder, path) for folder in self._folders(variables)]
        return next((name for name in (found, *beside) if name and os.path.isfile(name)), None)

    def _folders(self, variables: dict | None) -> list:
        """Where a relative path is looked for: where a playbook has its files, also if it is one of the collection's and the files are the project's."""
        known = variables or {}
        tops = [*known.get("ansible_search_path", ()), known.get("inventory_dir"), os.getcwd()]
        return list(dict.fromkeys(os.path.join(top, *below) for top in tops if top for below in (("files",), ())))
