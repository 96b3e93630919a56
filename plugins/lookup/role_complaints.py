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
    not know is a complaint, for a misspelt variable would otherwise be silence; so is a value of the wrong type, which names the entry of a list.
  - A name that begins as those of these roles do (C(tls_), C(smtp_), C(smtpd_), C(starttls_)), or nearly so, and is close to one of them is a
    complaint, too.
    Variables of other roles are listed in C(tls_hardening_foreign_variables), as names or as patterns of the shell.
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
import fnmatch
import re
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

#: Names, or patterns of names, of variables that are another role's, though they look like ours.
FOREIGN = "tls_hardening_foreign_variables"

#: First words of our roles' variables. A name that begins nearly so, and is close to one of ours, was misspelt; how close, of 1.
_FIRST_WORDS = ("tls", "smtp", "smtpd", "starttls")
_NEAR = 0.84

#: What stands for a parameter of Postfix that has no variable of its name, by a pattern of that name.
_INSTEAD = (
    ("smtp_tls_policy_maps", "list its entries as tls_policy_destinations, or the tables themselves in tls_policy_maps"),
    ("smtpd_tls_(?:ec|d)?cert_file|smtpd_tls_chain_files", "with tls_certificate_source: remote, tls_certificate_chain_file names the file on the host"),
    ("smtpd_tls_(?:ec|d)?key_file", "with tls_certificate_source: remote, tls_certificate_key_file names the file on the host"),
    ("smtpd_tls_(?:.*)", "write it as smtpd_tls_parameters: {{{0}: ...}}"),
    ("smtp_tls_(?:.*)", "write it as smtp_tls_parameters: {{{0}: ...}}"),
)

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
        hint = _instead(name) or ("did you mean %s%s?" % (prefix, near[0]) if near else "it has %s." % ", ".join(sorted(options)))
        told.append("%s: the role %s has no such variable; %s" % (name, role, hint))
    # Without a default, no value means that nobody wrote one.
    known = {name: value for name, value in values.items() if name in options and (value is not None or "default" in options[name])}
    told += misplaced(known)
    if ArgumentSpecValidator(options).validate(known).error_messages:
        told += [sentence for name, value in known.items() for sentence in _mistyped(name, options[name], value)]
    return without_keys(told)  # Ansible's own words name the value that is wrong


def misspelt(names: list, known: set) -> list:
    """One sentence for each of names that begins as ours do and is close to one of the known ones, without being one."""
    told = []
    for name in sorted(set(names) - known):
        ours = difflib.get_close_matches(name.partition("_")[0], _FIRST_WORDS, n=1, cutoff=0.8)
        near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR) if ours else None
        if near:
            told.append(
                "%s: no role of this collection has such a variable; did you mean %s? Where it is another role's, list it in %s." % (name, near[0], FOREIGN))
    return told


def _instead(name: str) -> str:
    """What to write for a parameter of Postfix's; empty where it is none."""
    # Only here, for it takes each host of a fleet longer to read than all else.
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge

    hints = [hint for pattern, hint in _INSTEAD if re.fullmatch(pattern, name)] if knowledge.known(name) else []
    return "that is a parameter of Postfix: %s." % hints[0].format(name) if hints else ""


def _mistyped(name: str, option: dict, value: object) -> list:
    """One sentence for each thing that is wrong with a variable's type; of a list, each names its entry."""
    if value is None:
        wrong = ArgumentSpecValidator({name: option}).validate({name: value}).error_messages
        nothing = {"list": "[]", "dict": "{}"}.get(option.get("type", "str"), "the value, or leave the variable out")
        return ["%s: it has no value. Write %s." % (name, nothing if nothing[0] not in "[{" else "%s for none" % nothing)] if wrong else []
    if option.get("type") == "list" and isinstance(value, list) and option.get("elements"):
        return [sentence for position, entry in enumerate(value) for sentence in _entry_mistyped(name, option, position, entry)]
    return _told(name, option, value)


def _entry_mistyped(name: str, option: dict, position: int, entry: object) -> list:
    item = "%s[%d]" % (name, position)
    if option["elements"] == "dict" and not isinstance(entry, dict):
        return ["%s = %s: a dictionary is expected there, with %s." % (item, entry, ", ".join(option.get("options", {})) or "its keys")]
    called = next((entry[key] for key in ("destination", "name", "names", "host") if isinstance(entry, dict) and entry.get(key)), None)
    where = "%s (%s)" % (item, called) if called else item
    return ["%s: %s" % (where, sentence) for sentence in _told(name, option, [entry])]


def _told(name: str, option: dict, value: object) -> list:
    """In Ansible's words, without the empty one of a choice that stands for nothing."""
    return [
        "%s%s." % ("Not understood: " if isinstance(error, UnsupportedError) else "", re.sub(r"(?<=[:,]) (?:, ?)+", " ", error.msg).rstrip("."))
        for error in ArgumentSpecValidator({name: option}).validate({name: value}).errors
    ]


class LookupModule(LookupBase):
    def run(self, terms: list, variables: dict | None = None, **kwargs: object) -> list:
        self.set_options(var_options=variables, direct=kwargs)
        value = lookup_loader.get("ansible.builtin.vars", loader=self._loader, templar=self._templar)
        told, known = [], set()
        foreign = _plain(value.run([FOREIGN], variables, default=[])[0]) or []
        names = [name for name in variables or {} if not any(fnmatch.fnmatchcase(name, pattern) for pattern in foreign)]
        for role in terms:
            spec = yaml.load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"), Loader=_LOADER)
            own = [name for name in names if name.startswith("%s_" % role)]
            values = dict(zip(own, map(_plain, value.run(own, variables))))
            options = spec["argument_specs"]["main"]["options"]
            told += complaints(role, options, values)
            known.update(options, own)
        return told + misspelt(names, known)


def _plain(value: object) -> object:
    """Without Ansible's lazy containers: the validator copies what it is given, and they drag all of templating along."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list) else value
