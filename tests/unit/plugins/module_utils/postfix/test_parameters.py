# SPDX-License-Identifier: GPL-3.0-or-later
"""A value is judged before Postfix sees it, and the same meaning in other words is no change."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import parameters

VERSION = (3, 10)
KNOWN = frozenset(parameters.KINDS) | {"smtpd_tls_exclude_ciphers", "smtp_tls_CApath"}


def render(name: str, value: object, version: tuple = VERSION) -> str:
    return parameters.render(name, value, version, KNOWN)


@pytest.mark.parametrize("name, value, written", [
    ("smtpd_tls_received_header", True, "yes"),
    ("smtpd_tls_received_header", "No", "no"),
    ("smtpd_tls_auth_only", False, "no"),
    ("smtpd_tls_security_level", "MAY", "may"),
    ("smtp_tls_security_level", "dane-only", "dane-only"),
    ("smtpd_tls_loglevel", 1, "1"),
    ("smtpd_tls_protocols", ">=TLSv1.2", ">=TLSv1.2"),
    ("smtpd_tls_chain_files", ["/a.pem", "/b.pem"], "/a.pem, /b.pem"),
    ("smtpd_tls_exclude_ciphers", ["aNULL", "MD5"], "aNULL, MD5"),
    ("smtp_tls_CApath", " /etc/ssl/certs ", "/etc/ssl/certs"),
    ("smtpd_tls_mandatory_protocols", "$smtpd_tls_protocols", "$smtpd_tls_protocols"),
])
def test_values_are_written_as_postfix_wants_them(name: str, value: object, written: str) -> None:
    assert render(name, value) == written


@pytest.mark.parametrize("name, value, told", [
    ("smtpd_tls_securty_level", "may", "smtpd_tls_securty_level = may: Postfix 3.10 on this host knows no such parameter. "
                                       "Did you mean smtpd_tls_security_level?"),
    ("smtpd_tls_security_level", "dane", "dane is a level for sending"),
    ("smtpd_tls_security_level", "encrpyt", "Write smtpd_tls_security_level: encrypt."),
    ("smtp_tls_security_level", "on", "it takes one of none, may, encrypt, dane"),
    ("smtpd_tls_received_header", "maybe", "it takes one of yes, no"),
    ("smtpd_tls_loglevel", "one", "it takes a whole number"),
    ("smtpd_tls_loglevel", "\u0661", "it takes a whole number"),
    ("smtpd_tls_loglevel", -1, "it takes a whole number. Write for example smtpd_tls_loglevel: 1."),
    ("smtpd_tls_loglevel", 1.5, "smtpd_tls_loglevel = 1.5: it takes a whole number"),
    ("smtp_tls_CApath", {"path": "/x"}, "a value is text, a number, yes or no, or a list"),
    ("smtp_tls_CApath", "/etc/\x7f", "smtp_tls_CApath = '/etc/\\x7f': a value is one line of printable text"),
    ("smtpd_tls_mandatory_protocols", "$x\n$y", "a value is one line of printable text"),
    ("smtpd_tls_security_level", "", "smtpd_tls_security_level: it takes one of none, may, encrypt. Write smtpd_tls_security_level: may."),
    ("smtpd_tls_chain_files", ["/a\nx", "/b"], "a value is one line of printable text"),
    ("zzz", "x", "See postconf(5) for its name in this release."),
    ("smtpd_tls_loglevel", True, "it takes a whole number"),
    ("smtpd_tls_ciphers", "strong", "it takes one of high, medium"),
    ("smtpd_tls_protocols", "TLS1.2", "is no protocol version"),
    ("smtp_tls_CApath", "/etc\nsmtpd_tls_security_level = none", "a value is one line of printable text"),
])
def test_what_postfix_would_not_take_is_refused_by_name_value_reason_and_remedy(name: str, value: object, told: str) -> None:
    with pytest.raises(PostfixTlsError) as refused:
        render(name, value)
    assert told in str(refused.value)
    assert str(refused.value).startswith(name)


def test_only_the_receiving_level_is_told_apart_from_the_sending_one() -> None:
    with pytest.raises(PostfixTlsError) as refused:
        render("smtpd_tls_ciphers", "dane")
    assert "a level for sending" not in str(refused.value) and "Write smtpd_tls_ciphers: medium." in str(refused.value)


@pytest.mark.parametrize("name, one, other, same", [
    ("smtpd_tls_protocols", "!TLSv1 !TLSv1.1 !SSLv3", ">=TLSv1.2", True),
    ("smtpd_tls_chain_files", "/a.pem  /b.pem", "/a.pem, /b.pem", True),
    ("smtpd_tls_chain_files", "/b.pem, /a.pem", "/a.pem, /b.pem", False),
    ("smtpd_tls_security_level", "MAY", "may", True),
    ("smtpd_tls_loglevel", "1", "2", False),
    ("smtpd_tls_received_header", "YES", "yes", True),
    ("smtpd_tls_protocols", ">=TLSv1.2", "FOO", False),
    ("smtpd_tls_exclude_ciphers", "aNULL,  MD5", "aNULL, MD5", True),
    ("smtp_tls_CApath", "/etc/SSL", "/etc/ssl", False),
])
def test_sameness_is_by_meaning(name: str, one: str, other: str, same: bool) -> None:
    assert parameters.same(name, one, other) is same
