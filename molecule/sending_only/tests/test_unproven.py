# SPDX-License-Identifier: GPL-3.0-or-later
"""What can't be proven from the host itself, or was so before, is told and takes nothing back; a wrong answer still does."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from reach import Host, play

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
CERTIFICATE = {
    "tls_certificate_source": "files", "tls_certificate_key_file": "{{ lab_key_file }}", "tls_certificate_chain_file": "{{ lab_chain_file }}",
    "starttls_verify_ca_file": "{{ lab_ca_file }}",
}
NAMES = ("selfsigned", "nocert")
HEALTHY = "/root/unproven"
RESTART = (
    "if [ -d /run/systemd/system ]; then systemctl reset-failed 'postfix*'; systemctl restart postfix; else postfix stop; postfix start; fi 2>&1"
)

#: Of a server of dovecot's, as much as makes smtpd offer AUTH: its half of the greeting of Dovecot's authentication protocol.
DOVECOT = r"""
import os, socketserver
path = "/var/spool/postfix/private/lab-auth"
class Greeting(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n")
        self.request.recv(4096); self.request.recv(1)
if os.path.exists(path): os.unlink(path)
server = socketserver.ThreadingUnixStreamServer(path, Greeting)
os.chmod(path, 0o666)
server.serve_forever()
"""

#: Behind a proxy; for clients with a certificate; with AUTH before TLS; dead; with a certificate of its own that is not there; not opened.
LISTENERS = """
10587 inet n - y - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_tls_security_level=encrypt
10588 inet n - y - - smtpd
  -o smtpd_tls_req_ccert=yes -o smtpd_tls_security_level=encrypt
588 inet n - y - - smtpd
  -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=private/lab-auth -o smtpd_tls_auth_only=no
10590 inet n - y - - smtpd
  -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=private/no-such
10591 inet n - y - - smtpd
  -o smtpd_tls_chain_files= -o smtpd_tls_cert_file=/nonexistent/customer.pem
[ipv6:::1]:10592 inet n - y - - smtpd
10593 inet n - y - - smtpd
"""


@pytest.fixture(scope="module")
def hosts() -> list:
    """Both hardened with a certificate that peers trust; at the end as they were."""
    hosts = [Host(name) for name in NAMES]
    for host in hosts:
        host.run("rm -rf {0} {0}-first; cp -a /etc/postfix {0}-first".format(HEALTHY))
    play(CONVERGE, "sending_only", **CERTIFICATE)
    for host in hosts:
        host.run("cp -a /etc/postfix " + HEALTHY)
        host.write("/root/dovecot.py", DOVECOT)
        host.run("nohup python3 /root/dovecot.py >/dev/null 2>&1 &")
    yield hosts
    for host in hosts:
        host.run("pkill -f '/root/[d]ovecot.py'; rm -rf /etc/postfix; cp -a {0}-first /etc/postfix; {1}".format(HEALTHY, RESTART))


@pytest.fixture
def given(hosts):
    """given(main.cf lines, master.cf lines) sets both hosts up, and makes it live."""
    def give(parameters: dict, services: str = "") -> None:
        for host in hosts:
            host.write("/etc/postfix/master.cf", services, append=True)
            host.run("postconf -e %s; touch -d '1 minute ago' /etc/postfix/m*.cf; %s" % (" ".join("'%s=%s'" % item for item in parameters.items()), RESTART))
    yield give
    for host in hosts:
        host.run("rm -rf /etc/postfix; cp -a {0} /etc/postfix".format(HEALTHY))  # what is next set makes it live


def loglevel(host: Host) -> str:
    return host.run("postconf -h smtp_tls_loglevel").strip()


def ran(limit: str, *options: str, **variables: object) -> str:
    return " ".join(play(CONVERGE, limit, *options, **CERTIFICATE, **variables).split())


def refused(limit: str, *options: str, **variables: object) -> str:
    with pytest.raises(AssertionError) as failed:
        ran(limit, *options, **variables)
    return " ".join(str(failed.value).split())


def test_listeners_that_can_t_be_seen_in_full_or_were_wrong_before_take_nothing_back(hosts, given) -> None:
    given({"master_service_disable": "10593.inet"}, LISTENERS)
    ran("sending_only", "--check", smtp_tls_loglevel=0)
    said = ran("sending_only", smtp_tls_loglevel=0)
    assert [loglevel(host) for host in hosts] == ["0", "0"]
    for told in (
        "127.0.0.1:10588 is not proven in full, which smtpd_tls_req_ccert decides",
        "127.0.0.1:588: auth_before_tls: AUTH PLAIN LOGIN before TLS (master.cf: 588 says so by -o smtpd_tls_auth_only)",
        "127.0.0.1:10590: reachable:",
        "127.0.0.1:10591: handshake:",
    ):
        assert told in said, (told, said)  # Ansible says the same words of several hosts once
    for proven in ("10587", "10592", "10593"):
        assert not re.search(r"127.0.0.1:%s|::1\]:%s" % (proven, proven), said), said
    pids = [host.run("cat /var/spool/postfix/pid/master.pid") for host in hosts]
    assert "changed=1" not in ran("sending_only", smtp_tls_loglevel=0)
    assert pids == [host.run("cat /var/spool/postfix/pid/master.pid") for host in hosts]


def test_what_a_change_promises_is_not_excused_by_what_was_before(hosts, given) -> None:
    given({"smtpd_discard_ehlo_keywords": "starttls"})
    said = refused("selfsigned", smtp_tls_loglevel=0)
    assert "starttls_offered: observed EHLO offers no STARTTLS" in said and "The old state is back" in said
    assert loglevel(hosts[0]) == "1"


def test_limits_that_the_proof_itself_meets_are_named(hosts, given) -> None:
    given({"mynetworks": "192.0.2.10/32", "smtpd_client_connection_rate_limit": "12", "smtpd_client_new_tls_session_rate_limit": "10"})
    said = ran("sending_only", smtp_tls_loglevel=0, tls_hardening_verify=False)
    assert [loglevel(host) for host in hosts] == ["0", "0"]
    assert "127.0.0.1:25 is not proven in full, which smtpd_client_" in said, said


def test_by_choice_what_can_t_be_proven_is_refused_in_check_mode_too(hosts, given) -> None:
    given({"smtpd_banner": "$myhostname ESMTP"}, "10588 inet n - y - - smtpd\n  -o smtpd_tls_req_ccert=yes -o smtpd_tls_security_level=encrypt\n")
    for mode in (["--check"], []):
        said = refused("selfsigned", *mode, smtp_tls_loglevel=0, tls_hardening_unproven="fail")
        assert "It can't be proven from here, which smtpd_tls_req_ccert decides" in said, said
        assert loglevel(hosts[0]) == "1"


@pytest.mark.parametrize("interfaces", [{"inet_interfaces": "[::1], 127.0.0.1"}, {"master_service_disable": "inet"}])
def test_a_host_that_only_sends_is_not_asked_to_answer_outside(hosts, given, interfaces: dict) -> None:
    given(interfaces)
    ran("sending_only", smtp_tls_loglevel=0)
    assert [loglevel(host) for host in hosts] == ["0", "0"]


def test_what_is_named_is_looked_at_whatever_its_port(hosts, given) -> None:
    given({"master_service_disable": "smtp.inet"}, "2525 inet n - y - - smtpd\n")
    target = {"host": "{{ ansible_host }}", "port": 2525, "server_name": "{{ inventory_hostname }}.lab.test"}
    assert ran("selfsigned", starttls_verify_targets=[target]).count("ok: [selfsigned -> localhost]") == 1
    said = refused("selfsigned", starttls_verify_targets=[target], starttls_verify_expect={"accepts": ["TLSv1.1"]}, smtp_tls_loglevel=0)
    assert ":2525: versions fail" in said and "The state before this change is back" in said and loglevel(hosts[0]) == "1"


def test_a_controller_that_gets_no_answer_says_so_and_takes_back_nothing_that_is_proven(hosts, given) -> None:
    look = {"starttls_verify_targets": [{"host": "192.0.2.1"}, {"host": "nowhere.invalid"}, {"host": "127.0.0.2"}], "starttls_verify_timeout": 3}
    said = ran("selfsigned", smtp_tls_loglevel=0, **look)
    assert said.count("starttls_verify_vantage") == said.count("tls_hardening_verify") == 3 and loglevel(hosts[0]) == "0", said
    said = refused("selfsigned", smtp_tls_loglevel=1, tls_hardening_unproven="fail", **look)
    assert "starttls_verify_vantage" in said and "The state before this change is back" in said and loglevel(hosts[0]) == "0"


def test_a_vantage_that_can_t_be_reached_is_a_failure_like_any(hosts, given) -> None:
    said = refused("sending_only", "-e", "ansible_ssh_retries=0", smtp_tls_loglevel=0, starttls_verify_vantage="no-such-host.invalid")
    assert "No look from outside, for no-such-host.invalid can not be reached" in said, said
    assert "The state before this change is back, restarted and proven." in said, said
    assert [loglevel(host) for host in hosts] == ["1", "1"] and not re.search("unreachable=[1-9].* failed=0", said)


@pytest.mark.parametrize("keywords", ["any_errors_fatal: true\n  max_fail_percentage: 0", "strategy: free", "serial: 1"])
def test_one_host_s_failed_look_touches_no_other(hosts, given, tmp_path: Path, keywords: str) -> None:
    playbook = tmp_path / "together.yml"
    playbook.write_text(CONVERGE.read_text(encoding="utf-8").replace("  become: true\n", "  become: true\n  %s\n" % keywords), encoding="utf-8")
    expect = "{{ {'accepts': ['TLSv1.1']} if inventory_hostname == 'nocert' else {} }}"
    with pytest.raises(AssertionError) as failed:
        play(playbook, "sending_only", **CERTIFICATE, smtp_tls_loglevel=0, starttls_verify_expect=expect)
    assert [loglevel(host) for host in hosts] == ["0", "1"], failed.value
    assert "The state before this change is back" in str(failed.value) and "fatal: [selfsigned" not in str(failed.value)


def test_run_once_hardens_and_looks_at_the_first_host_alone(hosts, given, tmp_path: Path) -> None:
    playbook = tmp_path / "once.yml"
    playbook.write_text(CONVERGE.read_text(encoding="utf-8").replace("  become: true\n", "  become: true\n  run_once: true\n"), encoding="utf-8")
    expect = "{{ {'accepts': ['TLSv1.1']} if inventory_hostname == 'nocert' else {} }}"
    said = play(playbook, "sending_only", **CERTIFICATE, smtp_tls_loglevel=0, starttls_verify_expect=expect)
    assert [loglevel(host) for host in hosts] == ["0", "1"], said
