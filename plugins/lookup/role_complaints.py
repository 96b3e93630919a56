# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: role_complaints
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: What is wrong with the variables of this collection's roles
description:
  - Compares every variable that begins with a role's name with the role's argument specification. A name that the role does
    not know is a complaint, for a misspelt variable would otherwise be silence; so is a value of the wrong type.
  - Ansible itself checks types where a role is called. This lookup serves M(mailsec.postfix_tls.postfix_tls) behind several
    roles at once, in a single task.
options:
  _terms:
    description: Names of roles of this collection.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
---
- name: Refuse variables that the role smtp_tls can't mean
  ansible.builtin.assert:
    that: __smtp_tls_complaints | length == 0
    fail_msg: "{{ __smtp_tls_complaints | join(' ') }}"
  vars:
    __smtp_tls_complaints: "{{ query('mailsec.postfix_tls.role_complaints', 'smtp_tls') }}"
"""

RETURN = r"""
_raw:
  description: One sentence for each variable that is wrong.
  type: list
  elements: str
  sample: ["smtp_tls_securty_level: the role smtp_tls has no such variable; did you mean smtp_tls_security_level?"]
"""

import difflib
from pathlib import Path

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._certificates import misplaced
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import without_keys

#: Ten times as fast, where libyaml is there; each host of a fleet pays it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Lists that other variables add to, each named so and by a further word: group_vars of several groups can't add to one variable.
ADDED_TO = ("tls_policy_destinations",)

ROLES = Path(__file__).resolve().parents[2] / "roles"


def complaints(role: str, options: dict, values: dict) -> list:
    """One sentence for each of values (variables by name) that the role's options (argument_specs) do not allow."""
    told = []
    prefix = "%s_" % role
    more = {name: options[to] for name in values for to in ADDED_TO if to in options and name.startswith("%s_" % to)}
    options = dict(options, **more)
    stems = [name.removeprefix(prefix) for name in options]
    for name in sorted(set(values) - set(options)):
        # Without the prefix, which alone makes any two of them alike.
        near = difflib.get_close_matches(name.removeprefix(prefix), stems, n=1)
        hint = "did you mean %s%s?" % (prefix, near[0]) if near else "it has %s." % ", ".join(sorted(options))
        told.append("%s: the role %s has no such variable; %s" % (name, role, hint))
    known = {name: value for name, value in values.items() if name in options}
    told += misplaced(known)
    for error in ArgumentSpecValidator(options).validate(known).errors:
        told.append("%s%s." % ("Not understood: " if isinstance(error, UnsupportedError) else "", error.msg.rstrip(".")))
    return without_keys(told)  # Ansible's own words name the value that is wrong


class LookupModule(LookupBase):
    def run(self, terms: list, variables: dict | None = None, **kwargs: object) -> list:
        self.set_options(var_options=variables, direct=kwargs)
        value = lookup_loader.get("ansible.builtin.vars", loader=self._loader, templar=self._templar)
        told = []
        for role in terms:
            spec = yaml.load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"), Loader=_LOADER)
            names = [name for name in variables or {} if name.startswith("%s_" % role)]
            values = dict(zip(names, map(_plain, value.run(names, variables))))
            told += complaints(role, spec["argument_specs"]["main"]["options"], values)
        return told


def _plain(value: object) -> object:
    """Without Ansible's lazy containers: the validator copies what it is given, and they drag all of templating along."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list) else value
