# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable that a role does not have, or that is of another type, is named with what to write."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.lookup.role_complaints import complaints

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
    ({"smtp_tls_loglevel": "loud"}, "'smtp_tls_loglevel' is of type str and we were unable to convert to int"),
    ({"smtp_tls_security_level": "on"}, "value of smtp_tls_security_level must be one of: none, may, got: on"),
    ({"smtp_tls_list": [{"destinaton": "a"}]}, "Not understood: smtp_tls_list.destinaton. Supported parameters include: destination."),
    ({"smtp_tls_list": [{}]}, "missing required arguments: destination"),
])
def test_what_does_not_fit_is_named(values: dict, told: str) -> None:
    assert told in " ".join(complaints("smtp_tls", OPTIONS, values))
