# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix takes without a word and does not mean is named, with the line to write instead; what it means is left alone."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import lint
from hosts_of_text import instance


def told(**values: str) -> list:
    return [(complaint.name, str(complaint), complaint.fix) for complaint in lint.complaints(instance(**values))]


WRONG = {
    "a protocol that is none": ({"smtpd_tls_protocols": "TLSv1.2,FOO"}, "'FOO' is no protocol version", "smtpd_tls_protocols = >=TLSv1.2"),
    "a bare name": ({"smtpd_tls_mandatory_protocols": "TLSv1.2"}, "TLS 1.3 would be off", "smtpd_tls_mandatory_protocols = >=TLSv1.2"),
    "a grade that is none": ({"smtpd_tls_ciphers": "bogus"}, "it takes one of high, medium", "smtpd_tls_ciphers = medium"),
    "a level of the other side": ({"smtpd_tls_security_level": "dane"}, "is a level for sending", "smtpd_tls_security_level = may"),
    "a suite keyword with a typo": (
        {"smtpd_tls_exclude_ciphers": "aNULLL, RC4"}, "aNULLL names nothing, and is silently skipped; did you mean aNULL?",
        "smtpd_tls_exclude_ciphers = aNULL, RC4",
    ),
    "a group with a typo": (
        {"tls_eecdh_auto_curves": "X25519 prime256v1x"}, "prime256v1x names nothing, and is silently skipped; did you mean prime256v1?",
        "tls_eecdh_auto_curves = X25519 prime256v1",
    ),
    "two typos": (
        {"smtpd_tls_exclude_ciphers": "RC4, aNULLL, kRSAA"}, "aNULLL names nothing, and is silently skipped; did you mean aNULL?, kRSAA names nothing",
        "smtpd_tls_exclude_ciphers = RC4, aNULL, kRSA",
    ),
    "a part of another word": ({"smtpd_tls_exclude_ciphers": "RC4 RC xyz"}, "RC names nothing", "smtpd_tls_exclude_ciphers = RC4"),
    "nothing left on": (
        {"smtpd_tls_protocols": "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1, !TLSv1.2, !TLSv1.3"}, "leaves no protocol version on",
        "smtpd_tls_protocols = >=TLSv1.2",
    ),
    "a group that is like none": ({"tls_ffdhe_auto_groups": "ffdhe2048:xyz"}, "xyz names nothing", "tls_ffdhe_auto_groups = ffdhe2048"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_means_nothing_is_named_with_the_line_to_write(case: str) -> None:
    values, reason, fix = WRONG[case]
    [(name, text, written)] = told(**values)
    assert name in values and reason in text and text.startswith("%s = %s: " % (name, values[name])) and written == fix


@pytest.mark.parametrize("values", [
    {},
    {"smtpd_tls_protocols": ">=TLSv1.2", "smtpd_tls_mandatory_protocols": "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"},
    {"smtpd_tls_security_level": "may", "smtpd_tls_ciphers": "medium", "smtpd_tls_mandatory_ciphers": "high"},
    {"smtpd_tls_exclude_ciphers": "aNULL, kRSA:SHA1 ECDHE-RSA-AES256-SHA, AES128+kDHE, PSK"},
    {"tls_eecdh_auto_curves": "?X25519MLKEM768:DEFAULT", "tls_ffdhe_auto_groups": ""},
    {"tls_eecdh_auto_curves": "X25519 P-256/*secp384r1"},
])
def test_what_is_meant_is_left_alone(values: dict) -> None:
    assert told(**values) == []
