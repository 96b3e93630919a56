# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: query
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Ask results a question in JMESPath
description:
  - Takes from a result what an expression in JMESPath asks for, in one step where Jinja would need several filters.
  - Nothing about it is particular to mail; ansible-core brings no such filter.
positional: expression
options:
  _input:
    description: What is asked, for instance RV(mailsec.postfix_tls.starttls_info#module:results).
    type: raw
    required: true
  expression:
    description:
      - The question. A key that holds a dot stands in double quotes, text in single quotes, a number in backticks.
      - It is written best as a variable of its own, where Jinja and YAML don't touch its quotes.
    type: str
    required: true
requirements:
  - The Python library C(jmespath), on the controller
seealso:
  - module: mailsec.postfix_tls.postfix_tls_info
  - module: mailsec.postfix_tls.starttls_info
  - name: JMESPath
    description: The language, with a tutorial.
    link: https://jmespath.org/
"""

EXAMPLES = r"""
---
- name: Look at two mail servers
  mailsec.postfix_tls.starttls_info:
    targets:
      - host: mx1.example.org
      - host: mx2.example.org
  delegate_to: localhost
  register: look

- name: Name the hosts that still accept TLS 1.1
  ansible.builtin.debug:
    msg: "{{ look.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [?tls.versions."TLSv1.1".verdict == 'accepted'].target.host

- name: Show the certificates that end within 14 days, those of the issuers included
  ansible.builtin.debug:
    msg: "{{ look.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [?certificates[?days_left < `14`]].{host: target.host, ending: certificates[?days_left < `14`].[subject, not_after]}

- name: Name the hosts that no peer would trust, and why
  ansible.builtin.debug:
    msg: "{{ look.results | mailsec.postfix_tls.query(wanted) }}"
  vars:
    wanted: >-
      [?tls.trust.verdict == 'fail'].[target.host, tls.trust.reason]
"""

RETURN = r"""
_value:
  description: What the expression gives; V(null) where there is nothing it could mean.
  type: raw
"""

import re

try:
    import jmespath
    from jmespath.exceptions import JMESPathError
except ImportError:
    jmespath = None

from ansible.errors import AnsibleFilterError

NAME = "mailsec.postfix_tls.query"


def query(value: object, expression: str) -> object:
    """Raises AnsibleFilterError without the library, and for an expression that can't be read or does not fit the value."""
    if jmespath is None:
        raise AnsibleFilterError(
            "%s: the Python library jmespath is not there. Install it on the controller, for the Python that runs Ansible: "
            "python3 -m pip install jmespath, or the package python3-jmespath." % NAME,
        )
    if not isinstance(expression, str):
        raise AnsibleFilterError("%s: the expression %r is no text. Write it in quotes." % (NAME, expression))
    text = _plain(expression)
    # Nothing is chained: Ansible would say the cause once more, in several lines.
    try:
        asked = jmespath.compile(text)
    except JMESPathError as error:
        raise AnsibleFilterError(_unreadable(text, error)) from None
    try:
        return asked.search(_plain(value))
    except JMESPathError as error:
        raise AnsibleFilterError("%s: the expression %s does not fit what it is asked of: %s." % (NAME, text, _reason(error))) from None


def _unreadable(text: str, error: JMESPathError) -> str:
    if not text.strip():
        return "%s: the expression is empty. Write @ for everything." % NAME
    at = min(getattr(error, "lex_position", getattr(error, "lexer_position", 0)) or 0, len(text))
    return "%s: the expression %s can't be read at character %d, %s: %s." % (
        NAME, text, at + 1, "before %s" % text[at:at + 20] if text[at:] else "its end", _reason(error),
    )


def _reason(error: JMESPathError) -> str:
    """The library's reason in one line, without its own picture of the position."""
    line = str(error).partition("\n")[0].partition(": Parse error")[0]
    return re.sub("^(Bad|Invalid) jmespath expression: ", "", line, flags=re.IGNORECASE).rstrip(".: ")


def _plain(value: object) -> object:
    """Python's own types: JMESPath asks for the exact type, and Ansible's are derived from them or load their content late."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str.__str__(value) if isinstance(value, str) else str(value)


class FilterModule:
    def filters(self) -> dict:
        return {"query": query}
