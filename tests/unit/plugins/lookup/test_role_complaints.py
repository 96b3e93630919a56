# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable that a role does not have, or that is of another type, is named with what to write."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.lookup.role_complaints import ROLES, complaints
from templating import templated

OPTIONS = {
    "smtp_tls_enabled": {"type": "bool", "default": True},
    "smtp_tls_security_level": {"type": "str", "choices": ["none", "may"]},
    "smtp_tls_loglevel": {"type": "int"},
    "smtp_tls_list": {"type": "list", "elements": "dict", "options": {"destination": {"type": "str", "required": True}}},
}


def test_what_fits_is_not_complained_of() -> None:
    assert complaints("smtp_tls", OPTIONS, {"smtp_tls_enabled": "yes", "smtp_tls_loglevel": "1", "smtp_tls_list": [{"destination": "a"}]}) == []


@pytest.mark.parametrize("values, told", [
    ({"smtp_tls_enabld": True}, "smtp_tls_enabld: the role smtp_tls has no such variable; did you mean smtp_tls_enabled?"),
    ({"smtp_tls_0123456789012345678901234": True}, "smtp_tls_0123456789012345678901234: the role smtp_tls has no such variable; it has smtp_tls_enabled,"),
    ({"smtp_tls_x": True}, "smtp_tls_x: the role smtp_tls has no such variable; it has smtp_tls_enabled, smtp_tls_list, smtp_tls_loglevel,"),
    ({"smtp_tls_log_level": 1}, "did you mean smtp_tls_loglevel?"),
    ({"smtp_tls_loglevel": "loud"}, "'smtp_tls_loglevel' is of type str and we were unable to convert to int"),
    ({"smtp_tls_security_level": "on"}, "value of smtp_tls_security_level must be one of: none, may, got: on"),
    ({"smtp_tls_list": [{"destinaton": "a"}]}, "Not understood: smtp_tls_list.destinaton. Supported parameters include: destination."),
    ({"smtp_tls_list": [{}]}, "missing required arguments: destination"),
])
def test_what_does_not_fit_is_named(values: dict, told: str) -> None:
    assert told in " ".join(complaints("smtp_tls", OPTIONS, values))


def asked_of_ansible(variables: dict, roles: list, tmp_path: Path) -> list:
    """What the lookup says of these variables when Ansible itself templates them."""
    return templated("query('mailsec.postfix_tls.role_complaints', %s)" % ", ".join(map(repr, roles)), variables, tmp_path)


def test_of_the_defaults_of_all_roles_nothing_is_complained_and_of_a_wrong_one_once(tmp_path: Path) -> None:
    defaults: dict = {}
    for file in ROLES.glob("*/defaults/main.yml"):
        defaults.update(yaml.safe_load(file.read_text(encoding="utf-8")))
    roles = sorted(path.name for path in ROLES.iterdir())
    assert asked_of_ansible(defaults, roles, tmp_path) == []
    wrong = {"smtp_tls_loglevel": "{{ how }}", "how": "loud", "smtpd_tls_enabld": True, "tls_policyx": 1, "other": 2}
    told = asked_of_ansible({**defaults, **wrong}, roles, tmp_path)
    assert len(told) == 2, told
    assert "'smtp_tls_loglevel'" in told[0] and "loud" in told[0]
    assert told[1] == "smtpd_tls_enabld: the role smtpd_tls has no such variable; did you mean smtpd_tls_enabled?"
