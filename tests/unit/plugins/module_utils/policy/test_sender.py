# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of main.cf, and which CAs that makes."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from hosts_of_text import postconf
from issuing import issue

DEFAULTS = {
    "disable_dns_lookups": "no", "inet_interfaces": "all", "inet_protocols": "all", "smtp_address_preference": "any", "smtp_balance_inet_protocols": "yes",
    "smtp_bind_address": "", "smtp_bind_address6": "", "smtp_bind_address_enforce": "no", "smtp_dns_support_level": "", "smtp_host_lookup": "dns",
    "smtp_mx_address_limit": "5", "smtp_mx_session_limit": "2", "smtp_randomize_addresses": "yes", "smtp_tcp_port": "smtp", "smtp_tls_CAfile": "",
    "smtp_tls_CApath": "", "smtp_tls_mandatory_protocols": ">=TLSv1", "smtp_tls_protocols": "", "smtp_tls_servername": "", "smtp_tls_wrappermode": "no",
    "smtp_tls_chain_files": "", "smtp_tls_cert_file": "", "smtp_tls_dcert_file": "", "smtp_tls_eccert_file": "",
    "tls_append_default_CA": "no",
}


def read(trusted: bool = True, **values: str) -> Sender:
    return sender.read(postconf({"/etc/postfix": dict(DEFAULTS, **values)}), "/etc/postfix", trusted)


@pytest.mark.parametrize(("values", "expected"), [
    ({}, {}),
    ({"smtp_tls_mandatory_protocols": ">=TLSv1.2"}, {"protocols": ">=TLSv1.2"}),
    ({"smtp_host_lookup": "dns, native"}, {"native": True}),
    ({"smtp_host_lookup": "native"}, {"native": True, "dns_for_hosts": False}),
    ({"smtp_dns_support_level": "disabled"}, {"dns": False, "dns_for_hosts": False, "native": True}),
    ({"smtp_dns_support_level": "dnssec"}, {}),
    ({"disable_dns_lookups": "yes"}, {"dns": False, "dns_for_hosts": False, "native": True}),
    ({"inet_protocols": "ipv4"}, {"families": ("ipv4",)}),
    ({"inet_protocols": "ipv6,"}, {"families": ("ipv6",)}),
    ({"inet_protocols": "ipv6, ipv4"}, {}),
    ({"smtp_address_preference": "ipv4", "smtp_randomize_addresses": "no"}, {"preference": "ipv4", "shuffled": False}),
    ({"smtp_balance_inet_protocols": "no", "smtp_mx_session_limit": "3"}, {"balanced": False, "sessions": 3}),
    ({"smtp_bind_address": "192.0.2.1", "smtp_bind_address_enforce": "yes"}, {"bound": (("ipv4", "192.0.2.1"),), "enforced": True}),
    ({"smtp_bind_address6": "[2001:db8::1]"}, {"bound": (("ipv6", "2001:db8::1"),)}),
    ({"inet_interfaces": "192.0.2.7, [2001:db8::7]"}, {"bound": (("ipv4", "192.0.2.7"), ("ipv6", "2001:db8::7"))}),
    ({"inet_interfaces": "192.0.2.7 192.0.2.8 localhost"}, {}),
    ({"inet_interfaces": "127.0.0.1"}, {}),
    ({"smtp_tls_chain_files": "/etc/ssl/own.pem"}, {"certificate": True}),
    ({"smtp_tls_eccert_file": "/etc/ssl/own.pem"}, {"certificate": True}),
    ({"smtp_tls_protocols": ">=TLSv1.2", "smtp_tcp_port": "2525"}, {"optional_protocols": ">=TLSv1.2", "port": "2525"}),
    ({"smtp_mx_address_limit": "0"}, {"most": 0}),
    ({"smtp_tls_servername": "hostname"}, {"server_name": "hostname"}),
    ({"smtp_tls_wrappermode": "yes"}, {"wrapper": True}),
    ({"smtp_tls_CApath": "/etc/ssl/certs"}, {}),
])
def test_what_decides_how_mail_is_sent(values: dict, expected: dict) -> None:
    assert read(**values) == Sender(**dict({"protocols": ">=TLSv1", "port": "smtp"}, **expected))


def test_a_file_and_a_directory_of_cas_are_read_as_openssl_reads_them(tmp_path: Path) -> None:
    one, two, three = (issue(name, authority=True).pem for name in ("one", "two", "three"))
    (tmp_path / "ca.pem").write_text(one, encoding="utf-8")
    path = tmp_path / "certs"
    path.mkdir()
    (path / "0a1b2c3d.0").write_text(two, encoding="utf-8")
    (path / "unhashed.pem").write_text(three, encoding="utf-8")
    content = read(smtp_tls_CAfile=str(tmp_path / "ca.pem"), smtp_tls_CApath=str(path)).ca_content
    assert one in content and two in content and three not in content
    appended = read(smtp_tls_CAfile=str(tmp_path / "ca.pem"), tls_append_default_CA="yes").ca_content
    assert appended.startswith(one) and len(appended) > len(one) + 1000
    assert read(False, smtp_tls_CAfile="/nowhere.pem").ca_content is None


def test_cas_that_are_not_there_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(PostfixTlsError, match="smtp_tls_CAfile = /nowhere.pem: it can't be read: No such file or directory. Mend it"):
        read(smtp_tls_CAfile="/nowhere.pem")
    with pytest.raises(PostfixTlsError, match="OpenSSL finds no CA there. Run openssl rehash"):
        read(smtp_tls_CApath=str(tmp_path))
