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
    [tabbed] = master_cf.services(COLUMNS + "\t-v\r\n")
    assert (tabbed.name, tabbed.kind, tabbed.program) == ("smtp", "inet", "smtpd")
    [service] = master_cf.services("# comment\n\n127.0.0.1:10025 inet n - y - - smtpd\n")
    assert (service.name, service.kind, service.program) == ("127.0.0.1:10025", "inet", "smtpd")


def test_a_line_that_does_not_begin_with_a_blank_is_a_service_of_its_own() -> None:
    text = "%s\n\t-o a=1\nsubmission inet n - y - - smtpd\n  -o a=2\n" % COLUMNS
    assert [(service.name, service.overrides) for service in master_cf.services(text)] == [("smtp", {"a": "1"}), ("submission", {"a": "2"})]


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


def test_what_an_override_says_is_what_postconf_says_it_is() -> None:
    """The forms that postconf -P of 3.5 and 3.10 was asked about."""
    assert overrides("\t-v\t-o\tsmtpd_tls_security_level=may") == {"smtpd_tls_security_level": "may"}
    assert overrides(" -o smtpd_tls_chain_files=${my_chain}") == {"smtpd_tls_chain_files": "${my_chain}"}
    assert overrides(" -o {myhostname=${x?{a b}:{c}}}") == {"myhostname": "${x?{a b}:{c}}"}
    assert overrides(" -o { smtpd_banner = it's {nested} here }") == {"smtpd_banner": "it's {nested} here"}
    assert overrides(" -o smtpd_banner=\"quoted it's") == {"smtpd_banner": '"quoted'}
    assert overrides(" -o smtpd_banner=a\\ b -o mynetworks=[::1]") == {"smtpd_banner": "a\\", "mynetworks": "[::1]"}
    assert overrides(" -o {a=b") == {"{a": "b"}
    assert overrides(" -o smtpd_tls_loglevel") == {} and overrides(" -o") == {}


def test_a_line_with_too_few_columns_is_left_to_postfix() -> None:
    assert master_cf.services("smtp inet n - y\n") == []
    assert master_cf.services("  -o a=b\n") == []


@given(st.text())
def test_junk_raises_nothing(text: str) -> None:
    for service in master_cf.services(text):
        assert isinstance(service.overrides, dict)


@given(st.text())
def test_junk_behind_a_service_raises_nothing(text: str) -> None:
    assert master_cf.services(COLUMNS + " " + text)
