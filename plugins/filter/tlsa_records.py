# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: tlsa_records
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Make TLSA records for a zone file of a host's chains
description:
  - Gives the lines of a zone file that publish chains for DANE, so that peers which look for them accept no others.
  - They count only where the zone is signed with DNSSEC. Publish the record of a new key before it is served, and leave the old one
    until caches have lost it (RFC 7671 section 8).
positional: host
options:
  _input:
    description:
      - RV(mailsec.postfix_tls.postfix_tls_info#module:chains), or some of them.
    type: list
    elements: dict
    required: true
  host:
    description: The name that the MX record has, in full. A name in other letters stands in A-labels (V(xn--)).
    type: str
    required: true
  ports:
    description: The TCP ports where these chains are served.
    type: list
    elements: int
    default: [25]
  forms:
    description:
      - Usage, selector and matching type. V(3 1 1) is the leaf's key, V(2 1 1) the key of each issuer in the chain, V(3 0 1) the whole leaf.
      - V(3 1 1) outlasts a renewal that keeps the key, V(2 1 1) also one with a new key, V(3 0 1) none.
    type: list
    elements: str
    default: [3 1 1]
  ttl:
    description: Seconds that others may keep a record. Left out, the zone's own default holds.
    type: int
notes:
  - A chain for which no record comes out, because of its RV(mailsec.postfix_tls.postfix_tls_info#module:chains[].error) or because it lacks
    its issuer, is an error. Peers would refuse it because of the records of the others.
seealso:
  - module: mailsec.postfix_tls.postfix_tls_info
  - name: RFC 7672
    description: SMTP Security via Opportunistic DANE TLS.
    link: https://www.rfc-editor.org/rfc/rfc7672.html
"""

EXAMPLES = r"""
---
- name: See which chains this host serves
  mailsec.postfix_tls.postfix_tls_info:
  become: true
  register: postfix

- name: Print a record for each of them
  ansible.builtin.debug:
    msg: "{{ postfix.chains | mailsec.postfix_tls.tlsa_records('mx.example.org') }}"

- name: Print those of submission alone, by key and by issuer
  ansible.builtin.debug:
    msg: "{{ served | mailsec.postfix_tls.tlsa_records('mx.example.org', ports=[587, 465], forms=['3 1 1', '2 1 1'], ttl=3600) }}"
  vars:
    served: "{{ postfix.chains | selectattr('services', 'contains', 'submission') }}"
"""

RETURN = r"""
_value:
  description: The lines, each once, in the order of the ports, then of the forms, then of the chains.
  type: list
  elements: str
  sample: [_25._tcp.mx.example.org. 3600 IN TLSA 3 1 1 9a0c5d3b7a0f1f3a4a0d4f0b6f0c8f9c1f3c4b3a2d1e0f9e8d7c6b5a49382716]
"""

import re
from typing import Iterable

from ansible.errors import AnsibleFilterError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.tlsa import FORMS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

NAME = "mailsec.postfix_tls.tlsa_records"

_MOST_SECONDS = 2**31 - 1  # RFC 2181 section 8
#: RFC 1123 section 2.1; the last label is no number, for that would be an address.
_HOST = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)+(?![0-9]+\Z)(?!-)[a-z0-9-]{1,63}(?<!-)")
_FIELDS = {"usage", "selector", "matching_type", "data"}
_DATA = re.compile(r"[0-9a-f]{64}")


def tlsa_records(value: object, host: str, ports: Iterable = (25,), forms: Iterable = ("3 1 1",), ttl: int | None = None) -> list:
    """Raises AnsibleFilterError for what is no chain, no host name, no port, no form or no time, and for a chain that gives no record."""
    # Nothing is chained: Ansible would say the cause once more, in several lines.
    try:
        owner = _host(host)
        numbers = [_number("ports", port, 1, 65535) for port in _list("ports", ports, "25")]
        asked = [_form(form) for form in _list("forms", forms, "'3 1 1'")]
        time = "" if ttl is None else "%d " % _number("ttl", ttl, 0, _MOST_SECONDS)
        given = [_records("input[%d]" % number, chain, asked) for number, chain in enumerate(_chains(value))]
    except PostfixTlsError as error:
        raise AnsibleFilterError("%s: %s" % (NAME, error)) from None
    return list(dict.fromkeys(
        "_%d._tcp.%s. %sIN TLSA %s %s" % (number, owner, time, form, data)
        for number in numbers for form in asked for records in given for data in records[form]
    ))


def _host(host: object) -> str:
    name = host.lower().removesuffix(".") if isinstance(host, str) else ""
    if not _HOST.fullmatch(name):
        raise PostfixTlsError("host", repr(host), "that is no full host name in ASCII", "Write the name of the MX record, such as mx.example.org.")
    return name


def _list(item: str, values: object, example: str) -> list:
    if not isinstance(values, (list, tuple)) or not values:
        raise PostfixTlsError(item, repr(values), "that is no list with something in it", "Write it as [%s]." % example)
    return list(values)


def _number(item: str, value: object, least: int, most: int) -> int:
    if not re.fullmatch("[0-9]{1,10}", str(value)) or not least <= int(value) <= most:
        raise PostfixTlsError(item, repr(value), "it is no number from %d to %d" % (least, most), "Write one.")
    return int(value)


def _form(form: object) -> str:
    if str(form) not in FORMS:
        raise PostfixTlsError("forms", repr(form), "it is none of %s" % ", ".join(FORMS), "Write one of them, in quotes.")
    return str(form)


def _chains(value: object) -> list:
    if not isinstance(value, (list, tuple)):
        raise _no_chains("input", value)
    for number, chain in enumerate(value):
        if not _is_chain(chain):
            raise _no_chains("input[%d]" % number, chain)
    return list(value)


def _is_chain(chain: object) -> bool:
    return (
        isinstance(chain, dict) and {"files", "error", "tlsa"} <= set(chain) and isinstance(chain["tlsa"], (list, tuple))
        and all(isinstance(record, dict) and _FIELDS <= set(record) and _DATA.fullmatch(str(record["data"])) for record in chain["tlsa"])
    )


def _no_chains(item: str, value: object) -> PostfixTlsError:
    shown = "a dictionary of %s" % ", ".join(map(str, list(value)[:5])) if isinstance(value, dict) else repr(value)[:60]
    return PostfixTlsError(
        item, shown, "that is not what postfix_tls_info returns as chains", "Register its result, and write RESULT.chains | %s(...)." % NAME,
    )


def _records(item: str, chain: dict, forms: list) -> dict:
    """{form: [data]}. Raises PostfixTlsError where there is none: peers would refuse this chain for the records of others."""
    if chain["error"]:
        raise PostfixTlsError(item, None, chain["error"], "Or leave that chain out: RESULT.chains | selectattr('error', 'none').")
    found: dict = {form: [] for form in forms}
    for record in chain["tlsa"]:
        form = "%(usage)s %(selector)s %(matching_type)s" % record
        if form in found:
            found[form].append(record["data"])
    if not any(found.values()):
        raise PostfixTlsError(
            item, ", ".join(chain["files"]), "no issuer stands in it, so it has no record %s" % " or ".join(forms), "Add 3 1 1 to forms.",
        )
    return found


class FilterModule:
    def filters(self) -> dict:
        return {"tlsa_records": tlsa_records}
