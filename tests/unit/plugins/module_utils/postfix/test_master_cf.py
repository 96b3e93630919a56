# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of master.cf with their overrides, in every way master(5) lets people write them."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import master_cf
from hypothesis import given
from hypothesis import strategies as st

COLUMNS = "smtp      inet  n       -       y       -       -       smtpd"


def overrides(arguments: str) -> dict:
    [service] = master_cf.services(COLUMNS + arguments)
    return service.overrides


def test_columns_become_name_kind_and_program() -> None:
    [service] = master_cf.services("# comment\n\n127.0.0.1:10025 inet n - y - - smtpd\n")
    assert (service.name, service.kind, service.program) == ("127.0.0.1:10025", "inet", "smtpd")


def test_overrides_are_read_in_each_of_their_forms() -> None:
    wanted = {"smtpd_tls_security_level": "encrypt"}
    assert overrides(" -o smtpd_tls_security_level=encrypt") == wanted
    assert overrides(" -osmtpd_tls_security_level=encrypt") == wanted
    assert overrides("\n  -o smtpd_tls_security_level=encrypt") == wanted
    assert overrides("\n# a comment\n\n  -o smtpd_tls_security_level=encrypt") == wanted
    assert overrides(" -o { smtpd_tls_security_level = encrypt }") == wanted
    assert overrides(" -v -o smtpd_tls_security_level=may -o smtpd_tls_security_level=encrypt") == wanted


def test_a_value_in_braces_keeps_its_blanks() -> None:
    assert overrides(" -o { smtpd_client_restrictions = permit_mynetworks, reject }") == {
        "smtpd_client_restrictions": "permit_mynetworks, reject",
    }


@given(st.text())
def test_junk_raises_nothing(text: str) -> None:
    for service in master_cf.services(text):
        assert isinstance(service.overrides, dict)


@given(st.text())
def test_junk_behind_a_service_raises_nothing(text: str) -> None:
    assert master_cf.services(COLUMNS + " " + text)
