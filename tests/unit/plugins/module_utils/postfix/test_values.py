# SPDX-License-Identifier: GPL-3.0-or-later
"""A value is judged before Postfix sees it, and the same meaning in other words is no change."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from hosts_of_text import instance


def render(name: str, value: object, release: str = "3.10.13") -> str:
    return values.written(name, value, instance(mail_version=release))


@pytest.mark.parametrize("name, value, written", [
    ("smtpd_tls_received_header", True, "yes"),
    ("smtpd_tls_received_header", "No", "no"),
    ("smtpd_tls_auth_only", False, "no"),
    ("smtpd_tls_security_level", "MAY", "may"),
    ("smtp_tls_security_level", "dane-only", "dane-only"),
    ("smtpd_tls_loglevel", 1, "1"),
    ("smtpd_tls_protocols", ">=TLSv1.2", ">=TLSv1.2"),
    ("smtpd_tls_exclude_ciphers", ["aNULL", "MD5"], "aNULL, MD5"),
    ("smtp_tls_CApath", " /etc ", "/etc"),
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
    ("smtpd_tls_loglevel", -1, "it takes a whole number. Write smtpd_tls_loglevel: 1."),
    ("smtpd_tls_loglevel", 1.5, "smtpd_tls_loglevel = 1.5: it takes a whole number"),
    ("smtp_tls_CApath", {"path": "/x"}, "a value is text, a number, yes or no, or a list"),
    ("smtp_tls_CApath", "/etc/\x7f", "smtp_tls_CApath = '/etc/\\x7f': a value is one line of printable text"),
    ("smtpd_tls_mandatory_protocols", "$x\n$y", "a value is one line of printable text"),
    ("smtpd_tls_session_cache_timeout", "soon", "it takes a time"),
    ("smtpd_tls_exclude_ciphers", "aNULLL", "aNULLL names nothing, and is silently skipped; did you mean aNULL? Write smtpd_tls_exclude_ciphers: aNULL."),
    ("tls_eecdh_auto_curves", "X25519 prime256v11", "prime256v11 names nothing, and is silently skipped; did you mean prime256v1?"),
    ("smtp_tls_CAfile", "/nonexistent", "the file can't be read (No such file or directory). Put the file there first, or name the right one."),
    ("smtp_tls_CAfile", "/etc", "the file can't be read (Is a directory)"),
    ("smtp_tls_CApath", "/nonexistent", "there is no such directory"),
    ("smtp_tls_policy_maps", "hash:/nonexistent", "there is no file /nonexistent.db. Write the table first, then: postmap hash:/nonexistent."),
    ("smtp_tls_policy_maps", "socketmap", "a table is written as type:name. Write smtp_tls_policy_maps: lmdb:socketmap."),
    ("smtp_dns_support_level", "yes", "it takes one of disabled, enabled, dnssec"),
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
    assert values.same(name, one, other) is same


@pytest.mark.parametrize("name, value, release, told", [
    ("smtp_tlsrpt_enable", True, "3.7.11", "Postfix 3.7 on this host has no such parameter; it came with 3.10. Leave it out for this host, or"),
    ("tls_legacy_public_key_fingerprints", True, "3.11.0", "has no such parameter any more; 3.10 had it last"),
    ("tls_config_file", "none", "3.5.19", "Postfix 3.5 on this host has no such parameter; it came with 3.9"),
    ("smtp_tlsrpt_enable", True, "3.10.13", "this host's Postfix was built without TLSRPT"),
    ("smtp_tls_policy_maps", "ldap:/x", "3.10.13", "has no tables of type ldap; it has cidr, hash, inline, lmdb"),
    ("tls_eecdh_auto_curves", "curveXYZ", "3.10.13", None),
])
def test_what_only_this_host_lacks_is_told_apart_from_a_mistake(name: str, value: object, release: str, told: str | None) -> None:
    with pytest.raises(PostfixTlsError) as refused:
        render(name, value, release)
    assert isinstance(refused.value, values.Unsupported) is (told is not None)
    assert (told or "names nothing") in str(refused.value)


def test_a_group_that_this_openssl_does_not_know_is_lacking_unless_it_may_be(monkeypatch) -> None:
    host = instance()
    host.library = (3, 0, 15)
    with pytest.raises(values.Unsupported, match="OpenSSL 3.0.15 on this host does not know X25519MLKEM768. Write tls_eecdh_auto_curves: X25519"):
        values.written("tls_eecdh_auto_curves", "X25519MLKEM768, X25519", host)
    assert values.written("tls_eecdh_auto_curves", "?X25519MLKEM768:X25519", host) == "?X25519MLKEM768:X25519"


def test_a_reference_is_judged_by_what_it_comes_to() -> None:
    host = instance(mynetworks="nonsense")
    assert values.written("smtpd_tls_mandatory_protocols", "$smtpd_tls_protocols", host) == "$smtpd_tls_protocols"
    with pytest.raises(PostfixTlsError, match="smtpd_tls_security_level = .mynetworks: it takes one of none, may, encrypt"):
        values.written("smtpd_tls_security_level", "$mynetworks", host)


def test_a_table_without_a_type_has_the_host_s_own(tmp_path: Path) -> None:
    (tmp_path / "x.lmdb").touch()
    assert values.written("smtp_tls_policy_maps", [str(tmp_path / "x"), "inline:{a=may}"], instance()) == "lmdb:%s/x, inline:{a=may}" % tmp_path


def test_a_file_that_comes_with_the_same_change_need_not_be_there_yet() -> None:
    assert values.written("smtp_tls_CAfile", "/to/come", instance(), {"/to/come"}) == "/to/come"


def test_chain_files_begin_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="ascii")
    with pytest.raises(PostfixTlsError, match="one PEM private key was expected, found 0.*a key comes first"):
        values.written("smtp_tls_chain_files", str(tmp_path / "c.pem"), instance())


@pytest.mark.parametrize("name, one, other, weaker", [
    ("smtpd_tls_security_level", "none", "may", True),
    ("smtpd_tls_security_level", "encrypt", "may", False),
    ("smtpd_tls_security_level", "MAY", "may", False),
    ("smtp_tls_security_level", "may", "dane", True),
    ("smtp_tls_security_level", "dane", "encrypt", True),
    ("smtp_tls_security_level", "encrypt", "dane", True),
    ("smtp_tls_security_level", "dane-only", "encrypt", False),
    ("smtp_tls_security_level", "verify", "dane", True),
    ("smtpd_tls_protocols", ">=TLSv1", ">=TLSv1.2", True),
    ("smtpd_tls_protocols", ">=TLSv1.3", ">=TLSv1.2", False),
    ("smtpd_tls_protocols", "FOO", ">=TLSv1.2", True),
    ("smtpd_tls_ciphers", "medium", "high", True),
    ("smtpd_tls_ciphers", "high", "medium", False),
    ("smtpd_tls_exclude_ciphers", "MD5", "aNULL, MD5", True),
    ("smtpd_tls_exclude_ciphers", "MD5, aNULL, RC4", "aNULL, MD5", False),
    ("smtpd_tls_loglevel", "0", "1", True),
])
def test_weaker_is_what_asks_less_of_a_peer_or_can_t_be_compared(name: str, one: str, other: str, weaker: bool) -> None:
    assert values.weaker(name, one, other) is weaker


@pytest.mark.parametrize("one, other, order", [
    ("may", "encrypt", "weaker"), ("may", "dane", "weaker"), ("none", "may", "weaker"), ("Encrypt", "secure", "weaker"), ("encrypt", "fingerprint", "weaker"),
    ("dane", "dane-only", "weaker"), ("encrypt", "dane-only", "weaker"), ("verify", "secure", "weaker"), ("dane", "secure", "weaker"),
    ("dane", "encrypt", "incomparable"), ("dane", "verify", "incomparable"), ("dane-only", "secure", "incomparable"), ("fingerprint", "secure", "incomparable"),
    ("encrypt", "encrypt", "same"), ("half-dane", "may", "incomparable"),
])
def test_levels_are_in_an_order_that_is_not_a_line(one: str, other: str, order: str) -> None:
    """Level dane is no more than may where there are no TLSA records, so it is not above encrypt; nor is encrypt above it."""
    assert values.weaker_level(one, other) is (order == "weaker") and not values.weaker_level(other, one)
    assert values.incomparable(one, other) is values.incomparable(other, one) is (order == "incomparable")
    assert values.keeps_level(other, one) is (order != "incomparable")


def test_every_level_keeps_itself_and_what_those_keep_that_it_keeps() -> None:
    levels = values.LEVELS["sending-level"]
    kept = {one: {other for other in levels if values.keeps_level(one, other)} for one in levels}
    assert all(one in kept[one] and kept[other] <= kept[one] for one in levels for other in kept[one])


@pytest.mark.parametrize("one, other", [("3600s", "1h"), ("3600", "60m"), ("7d", "1w")])
def test_the_same_time_in_another_unit_is_the_same(one: str, other: str) -> None:
    assert values.same("smtpd_tls_session_cache_timeout", one, other)


@pytest.mark.parametrize("label, told", [
    ("CERTIFICATE", ""), ("PUBLIC KEY", ""),
    ("PRIVATE KEY", "a trust anchor is a certificate or a public key, and there is PRIVATE KEY. Name the PEM file of the CA"),
    ("", "a trust anchor is a certificate or a public key, and there is none"),
])
def test_trust_anchors_are_certificates_and_public_keys(tmp_path: Path, label: str, told: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("-----BEGIN {0}-----\nMAA=\n-----END {0}-----\n".format(label) if label else "none\n")
    if not told:
        assert values.written("smtp_tls_trust_anchor_file", str(path), instance()) == str(path)
        return
    with pytest.raises(PostfixTlsError, match=told):
        values.written("smtp_tls_trust_anchor_file", [str(path)], instance())
