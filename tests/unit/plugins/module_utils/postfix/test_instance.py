# SPDX-License-Identifier: GPL-3.0-or-later
"""Which listeners there are and what each promises, after master.cf's own overrides."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from hosts_of_text import instance

SERVICES = """\
smtp       inet  n  -  y  -  -  smtpd
submission inet  n  -  y  -  -  smtpd
  -o smtpd_tls_security_level=encrypt
smtps      inet  n  -  y  -  -  smtpd
  -o smtpd_tls_wrappermode=yes
127.0.0.1:10025 inet n - y - - smtpd
  -o smtpd_tls_security_level=none
[2001:db8::1]:2525 inet n - y - - smtpd
smtpd      pass  -  -  y  -  -  smtpd
"""


def test_every_listener_has_its_own_level_protocol_and_reach() -> None:
    host = instance(master=SERVICES, smtpd_tls_security_level="may", smtpd_tls_protocols=">=TLSv1.2", smtpd_tls_mandatory_protocols=">=TLSv1.3")
    seen = [(at.service, at.address, at.port, at.protocol, at.level, at.public, at.protocols) for at in host.listeners()]
    assert seen == [
        ("smtp", "127.0.0.1", 25, "smtp", "may", True, ">=TLSv1.2"),
        ("submission", "127.0.0.1", 587, "smtp", "encrypt", True, ">=TLSv1.3"),
        ("smtps", "127.0.0.1", 465, "smtps", "may", True, ">=TLSv1.3"),
        ("127.0.0.1:10025", "127.0.0.1", 10025, "smtp", "none", False, ">=TLSv1.2"),
        ("[2001:db8::1]:2525", "2001:db8::1", 2525, "smtp", "may", True, ">=TLSv1.2"),
    ]
    assert [at.encrypts for at in host.listeners()] == [True, True, True, False, True]


def test_postscreen_listens_like_smtpd() -> None:
    [listener] = instance(master="smtp inet n - y - 1 postscreen\n", smtpd_tls_security_level="may").listeners()
    assert (listener.port, listener.level) == (25, "may")


def test_postscreen_does_not_begin_with_tls_whatever_main_cf_says_to_smtpd() -> None:
    [listener] = instance(master="smtp inet n - y - 1 postscreen\n", smtpd_tls_wrappermode="yes").listeners()
    assert listener.protocol == "smtp"


def test_only_smtpd_and_postscreen_receive_mail_over_tcp() -> None:
    master = "628 inet n - n - - qmqpd\nsmtpd unix - - y - - smtpd\n2525 inet n - y - - smtpd\n"
    assert [listener.port for listener in instance(master=master).listeners()] == [2525]


def test_a_listener_that_begins_with_tls_encrypts_whatever_the_level() -> None:
    [listener] = instance(master="smtps inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n", smtpd_tls_security_level="none").listeners()
    assert (listener.protocol, listener.level, listener.encrypts) == ("smtps", "none", True)


def test_what_a_change_would_make_of_it_is_seen_without_making_it() -> None:
    host = instance(smtpd_tls_security_level="may", smtp_tls_CApath="/x")
    after = host.after({"smtpd_tls_security_level": "none", "smtp_tls_CApath": None})
    assert (after.effective("smtpd_tls_security_level"), after.effective("smtp_tls_CApath")) == ("none", "")
    assert [listener.level for listener in after.listeners()] == ["none"]
    assert host.effective("smtpd_tls_security_level") == "may"


@pytest.mark.parametrize("override, values, level", [
    ("", {"smtpd_tls_security_level": "may", "postscreen_tls_security_level": "none"}, "none"),
    ("", {"smtpd_tls_security_level": "encrypt", "postscreen_tls_security_level": "may"}, "may"),
    (" -o smtpd_tls_security_level=none", {"smtpd_tls_security_level": "may"}, "none"),
    (" -o smtpd_tls_security_level=none", {"smtpd_tls_security_level": "may", "postscreen_tls_security_level": "may"}, "may"),
    (" -o postscreen_tls_security_level=encrypt -o smtpd_tls_security_level=none", {"postscreen_tls_security_level": "may"}, "encrypt"),
])
def test_postscreen_has_a_level_of_its_own(override: str, values: dict, level: str) -> None:
    [listener] = instance(master="smtp inet n - y - 1 postscreen%s\n" % override, **values).listeners()
    assert listener.level == level


def test_smtpd_does_not_look_at_the_level_of_postscreen() -> None:
    [listener] = instance(smtpd_tls_security_level="may", postscreen_tls_security_level="none").listeners()
    assert listener.level == "may"


def test_ports_that_postfix_itself_knows_need_no_etc_services() -> None:
    master = "mailin inet n - y - - smtpd\nmailtls inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=YES\n"
    listeners = instance(master=master, known_tcp_ports="lmtp=24, mailin=2525, mailtls=mails=4650").listeners()
    assert [(at.port, at.protocol) for at in listeners] == [(2525, "smtp"), (4650, "smtps")]


@pytest.mark.parametrize("interfaces, protocols, address, public", [
    ("all", "all", "127.0.0.1", True),
    ("all", "ipv6", "::1", True),
    ("loopback-only", "all", "127.0.0.1", False),
    ("192.0.2.1, 127.0.0.1", "all", "192.0.2.1", True),
    ("127.0.0.1", "ipv4", "127.0.0.1", False),
    ("127.0.0.1, 192.0.2.1", "all", "127.0.0.1", True),
    ("loopback-only,", "all", "127.0.0.1", False),
    ("127.0.1.1 [::1]", "all", "127.0.1.1", False),
    ("[2001:db8::1] [::1]", "ipv6", "2001:db8::1", True),
    ("mx.example.org, localhost", "all", "mx.example.org", True),
])
def test_a_listener_is_reached_where_inet_interfaces_puts_it(interfaces: str, protocols: str, address: str, public: bool) -> None:
    [listener] = instance(inet_interfaces=interfaces, inet_protocols=protocols).listeners()
    assert (listener.address, listener.public) == (address, public)


@pytest.mark.parametrize("values, level", [
    ({"smtpd_use_tls": "yes"}, "may"),
    ({"smtpd_use_tls": "yes", "smtpd_enforce_tls": "yes"}, "encrypt"),
    ({"smtpd_use_tls": "yes", "smtpd_tls_security_level": "none"}, "none"),
    ({"smtpd_tls_security_level": "verify"}, "encrypt"),
    ({"smtpd_use_tls": "YES"}, "may"),
    ({}, "none"),
])
def test_obsolete_switches_count_where_no_level_is_set(values: dict, level: str) -> None:
    [listener] = instance(**values).listeners()
    assert listener.level == level


def test_chain_files_win_over_the_older_parameters() -> None:
    old = {"smtpd_tls_cert_file": "/c.pem", "smtpd_tls_key_file": "/k.pem", "smtpd_tls_eccert_file": "/e.pem"}
    assert instance(**old).chain_files() == (("/c.pem", "/k.pem"), ("/e.pem", "/e.pem"))
    assert instance(smtpd_tls_cert_file="none").chain_files() == ()
    assert instance(smtpd_tls_chain_files="/a.pem /b.pem", **old).chain_files() == (("/a.pem", "/a.pem"), ("/b.pem", "/b.pem"))


def test_an_override_may_refer_to_another_parameter() -> None:
    master = "smtp inet n - y - - smtpd -o smtpd_tls_chain_files=$my_chain -o my_chain=/x.pem\n"
    [listener] = instance(master=master, smtpd_tls_security_level="may").listeners()
    assert listener.chain_files == (("/x.pem", "/x.pem"),)


def test_a_port_nobody_knows_is_named() -> None:
    with pytest.raises(PostfixTlsError, match="no TCP port is known by the name nosuchport"):
        instance(master="nosuchport inet n - y - - smtpd\n").listeners()


def read(directory: Path, outcome: object) -> Instance:
    def run(argv: list, **_options: object) -> tuple:
        assert argv == ["postconf", "-c", str(directory), "-x"]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
    return Instance.read(run, str(directory))


def test_a_host_without_postfix_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PostfixTlsError, match="there is no Postfix on this host. Install the package postfix first"):
        read(tmp_path, FileNotFoundError())


def test_a_main_cf_that_postfix_cannot_read_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(PostfixTlsError, match=r"bad string length 0 < 1: x\). Mend it first; nothing was changed"):
        read(tmp_path, (1, "", "postconf: fatal: bad string length 0 < 1: x\n"))


def test_a_master_cf_that_postfix_cannot_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PostfixTlsError, match=r"/master.cf: Postfix can't read its own configuration .*bad transport type: inet6"):
        read(tmp_path, (1, "", "postconf: fatal: /etc/postfix/master.cf: line 12: bad transport type: inet6\n"))


def test_a_postconf_that_fails_without_a_word_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PostfixTlsError, match="can't read its own configuration .it gave no reason"):
        read(tmp_path, (1, "", "\n"))


def test_a_missing_master_cf_is_named(tmp_path: Path) -> None:
    with pytest.raises(PostfixTlsError, match="master.cf: can't be read"):
        read(tmp_path, (0, "mail_version = 3.7.11\n", ""))


def test_what_postconf_prints_is_read(tmp_path: Path) -> None:
    (tmp_path / "master.cf").write_text("smtp inet n - y - - smtpd\n", encoding="utf-8")
    host = read(tmp_path, (0, "mail_version = 3.7.11\nrelayhost =\nsmtpd_banner = a = b\n", ""))
    assert (host.version, host.effective("relayhost"), host.effective("smtpd_banner")) == ((3, 7), "", "a = b")
