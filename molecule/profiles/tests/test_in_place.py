# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in main.cf and master.cf already and asks for more than a default stays; what Postfix could not use is refused. On every release."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from reach import Host, ask, play

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
MODULE = "mailsec.postfix_tls.postfix_tls"
#: {host: level for sending in place}: what a default of may would take away.
LEVELS = {"p-bullseye": "encrypt", "p-bookworm": "dane", "p-trixie": "secure", "p-forky": "fingerprint"}
STRICT = """\
smtp_dns_support_level = dnssec
smtp_tls_fingerprint_cert_match = 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33
smtp_tls_fingerprint_digest = sha1
smtp_tls_CApath = /etc/ssl/certs
smtp_tls_mandatory_protocols = $mine
mine = !SSLv2, !SSLv3, !TLSv1, !TLSv1.1, !TLSv1.2
smtpd_tls_mandatory_protocols = !SSLv2 !SSLv3 !TLSv1 !TLSv1.1 !TLSv1.2
smtpd_tls_exclude_ciphers = aNULL, MD5
smtpd_tls_ciphers = high
smtpd_tls_loglevel = 2
smtpd_tls_auth_only = yes
smtp_tls_cert_file = $smtpd_tls_cert_file
mykey = $smtpd_tls_key_file
smtp_tls_key_file = ${mykey}
lmtp_tls_cert_file = $(smtpd_tls_cert_file)
"""
SERVICES = """\
submission inet n - y - - smtpd
  -o smtpd_tls_security_level=encrypt
2525 inet n - y - - smtpd
  -o smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
"""
SNAKEOIL = "/etc/ssl/certs/ssl-cert-snakeoil.pem"


def lay(host: Host, main: str = "", master: str = "", without: str = "^$") -> None:
    """Debian's own configuration with these lines; without: a pattern of lines that go from both files first."""
    host.run("rm -rf /etc/postfix /var/lib/mailsec-postfix_tls; cp -a /usr/local/share/postfix-as-installed /etc/postfix;"
             " sed -i '/%s/d' /etc/postfix/main.cf /etc/postfix/master.cf" % without)
    host.write("/etc/postfix/main.cf", main, append=True)
    host.write("/etc/postfix/master.cf", master, append=True)
    host.run("touch -d '1 hour ago' /etc/postfix/*.cf; postfix stop 2>/dev/null; : > /var/log/mail.log;"
             " if [ -d /run/systemd/system ]; then systemctl restart postfix; else postfix start 2>/dev/null; fi")


@pytest.fixture(scope="module")
def laid(hosts):
    yield hosts
    hosts.mend()


@pytest.fixture(scope="module")
def hardened(laid) -> dict:
    """{host: (values before, values after, findings of the run, what changed again)} of a run with defaults."""
    names = ("smtp_tls_security_level smtpd_tls_auth_only smtpd_tls_loglevel smtpd_tls_ciphers smtpd_tls_exclude_ciphers smtp_tls_mandatory_protocols"
             " smtp_tls_cert_file smtp_tls_key_file lmtp_tls_cert_file mine").split()

    def values(host: Host) -> dict:
        return dict(zip(names, host.run("postconf -xh %s" % " ".join(names)).split("\n")))

    laid.each(lambda host: lay(host, "smtp_tls_security_level = %s\n%s" % (LEVELS[host.name], STRICT), SERVICES))
    before = laid.each(values)
    said = play(CONVERGE, "profiles")
    again = play(CONVERGE, "profiles")
    return {name: (before[name], after, said, again) for name, after in laid.each(values).items()}


def test_levels_floors_grades_and_switches_in_place_stay_in_a_run_without_variables(hardened) -> None:
    for name, (before, after, _said, again) in hardened.items():
        kept = {item: value for item, value in after.items() if item != "smtpd_tls_exclude_ciphers"}
        assert kept == {item: value for item, value in before.items() if item != "smtpd_tls_exclude_ciphers"}, name
        assert after["smtp_tls_security_level"] == LEVELS[name]
        assert after["smtpd_tls_exclude_ciphers"] == "aNULL, MD5, 3DES, RC4, IDEA", "both lists"
        assert re.search(r"%s +: ok=\d+ +changed=0 " % name, again), again


def test_what_refers_to_a_certificate_parameter_that_goes_keeps_its_file_and_references_that_stay_are_as_written(hardened, laid) -> None:
    for name, text in laid.each(lambda host: host.run("cat /etc/postfix/main.cf")).items():
        assert "smtp_tls_cert_file = %s\n" % SNAKEOIL in text and "lmtp_tls_cert_file = %s\n" % SNAKEOIL in text, name
        assert "smtp_tls_mandatory_protocols = $mine\n" in text and "smtp_tls_key_file = ${mykey}\n" in text, name
        assert not re.search(r"^smtpd_tls_(cert|key)_file", text, re.MULTILINE)
    said = " ".join(hardened["p-trixie"][2].split())
    assert "smtp_tls_cert_file = $smtpd_tls_cert_file refers to smtpd_tls_cert_file, which goes, so it is written out" in said


def test_a_service_with_a_certificate_of_its_own_is_served_that_beside_chain_files_of_main_cf(hardened, laid) -> None:
    def served(host: Host, port: int) -> str:
        return host.run("openssl s_client -starttls smtp -connect 127.0.0.1:%d </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256" % port)

    snakeoil = laid.each(lambda host: host.run("openssl x509 -noout -fingerprint -sha256 -in %s" % SNAKEOIL))
    assert laid.each(lambda host: served(host, 2525)) == snakeoil
    assert all(served(host, 25) != snakeoil[name] for name, host in laid.all.items())


def test_what_is_written_wins_and_what_becomes_weaker_is_named(hardened, laid) -> None:
    parameters = {"smtp_tls_security_level": "may", "smtpd_tls_mandatory_protocols": ">=TLSv1.2", "smtpd_tls_auth_only": False}
    for name, told in ask("profiles", MODULE, "--check", "--become", parameters=parameters).items():
        weaker = [finding["observed"] for finding in told["findings"] if finding["check"] == "weaker"]
        assert not told["failed"] and len(weaker) == 3, (name, told)
        assert "smtp_tls_security_level is may from now on, which does not keep all of the %s that was in place" % LEVELS[name] in weaker[0]


class Fault:
    """main, master: lines in place, with level the postmaster's own; asked: the module's options. told: of the refusal. log: what Postfix says of it
    when it is so, "" where that is tried by test_receiving. without: lines that are taken away.
    """

    def __init__(self, name: str, asked: dict, told: str, log: str = "", main: str = "", master: str = "", without: str = "^$") -> None:
        self.name, self.asked, self.told, self.log, self.main, self.master, self.without = name, asked, told, log, main, master, without


CLIENT = (
    Fault("wrapper", {"smtp_tls_security_level": "may"}, "smtp_tls_security_level = may: with smtp_tls_wrappermode = yes, Postfix sends nothing below level"
          " encrypt. Write smtp_tls_security_level: encrypt", 'requires "smtp_tls_security_level = encrypt"', main="smtp_tls_wrappermode = yes\n"),
    Fault("dane", {"smtp_tls_security_level": "dane"}, "smtp_dns_support_level is disabled, not dnssec", "dane configured with dnssec lookups disabled"),
    Fault("dane-only", {"smtp_tls_security_level": "dane-only"}, "Postfix sends nothing", "dane-only configured with dnssec lookups disabled"),
    Fault("lookup", {"smtp_tls_security_level": "dane-only", "smtp_dns_support_level": "dnssec", "smtp_host_lookup": "native"},
          "smtp_host_lookup has no dns: Postfix sends nothing", "dane-only configured with dnssec lookups disabled"),
    Fault("fingerprint", {"smtp_tls_security_level": "fingerprint"}, "without digests to match, Postfix sends nothing", "no fingerprints to match"),
    Fault("no CA", {"smtp_tls_security_level": "secure", "smtp_tls_CApath": None, "smtp_tls_CAfile": None},
          "without CAs to trust, no certificate is verified", "status=deferred (Server certificate not"),
    Fault("servername", {"smtp_tls_servername": "mx_1..example"}, "smtp_tls_servername = mx_1..example: it is no host name", "specifies an invalid hostname"),
    Fault("tlsproxy", {"smtp_tls_connection_reuse": True}, "master.cf has no service tlsproxy", "Cannot start TLS",
          without="^tlsproxy"),
    Fault("tlsmgr", {"smtp_tls_security_level": "encrypt"}, "master.cf has no service tlsmgr", "our TLS engine is unavailable", without="^tlsmgr"),
    Fault("no match", {"smtp_tls_secure_cert_match": ""}, "smtp_tls_secure_cert_match: it may not be empty", "bad string length 0 < 1"),
)
#: Somebody to send to, on the host itself.
PEER = """\
2600 inet n - y - - smtpd
  -o smtpd_tls_security_level=may -o smtpd_tls_chain_files=/etc/ssl/private/ssl-cert-snakeoil.key,/etc/ssl/certs/ssl-cert-snakeoil.pem
  -o smtpd_recipient_restrictions=discard -o relayhost= -o syslog_name=peer
"""


@pytest.mark.parametrize("fault", CLIENT, ids=lambda fault: fault.name)
def test_what_postfix_refuses_to_send_with_is_refused_before_anything_is_written(laid, fault: Fault) -> None:
    """And Postfix does refuse, on every release: written by hand, no message leaves."""
    laid.each(lambda host: lay(host, fault.main, PEER, fault.without))
    before = laid.each(lambda host: host.run("sha256sum /etc/postfix/*.cf"))
    for name, told in ask("profiles", MODULE, "--become", parameters=fault.asked).items():
        assert told["failed"] and fault.told in told["msg"], (name, told)
    assert laid.each(lambda host: host.run("sha256sum /etc/postfix/*.cf")) == before

    def by_hand(host: Host) -> str:
        values = {"relayhost": "[127.0.0.1]:2600", "smtp_host_lookup": "native", "smtp_tls_security_level": "may", **fault.asked}
        lines = ["%s=%s" % (name, {True: "yes", None: ""}.get(value, value)) for name, value in values.items()]
        host.run("postconf -e %s; touch -d '1 hour ago' /etc/postfix/main.cf; postfix reload 2>/dev/null; sleep 1; : > /var/log/mail.log;"
                 " echo | sendmail -f '<>' someone@elsewhere.test" % " ".join("'%s'" % line for line in lines))
        return host.run("for turn in $(seq 80); do grep -qE 'postfix.*/smtp\\[.*(status=|fatal)' /var/log/mail.log && break; sleep 0.1; done;"
                        " cat /var/log/mail.log;"
                        " postsuper -d ALL 2>/dev/null")
    for name, log in laid.each(by_hand).items():
        assert fault.log in log, (name, log)
        assert fault.name == "dane" or "status=sent" not in log, (name, log)


def test_a_combination_that_was_there_before_is_told_and_no_wall(laid) -> None:
    laid.each(lambda host: lay(host, "smtp_tls_wrappermode = yes\n", "relay2 unix - - y - - smtp\n  -o smtp_tls_security_level=dane\n"))
    for name, told in ask("profiles", MODULE, "--check", "--become", parameters={"smtpd_tls_loglevel": 1}).items():
        observed = [finding["observed"] for finding in told["findings"] if finding["check"] == "combination"]
        assert not told["failed"] and len(observed) >= 2 and all("It was so before" in one for one in observed), (name, told)
        assert any(one.startswith("master.cf: relay2/unix: smtp_tls_security_level = dane") for one in observed), observed
    services = {"relay2/unix": {"smtp_tls_security_level": "dane"}}
    for name, told in ask("profiles", MODULE, "--check", "--become", services=services).items():
        refused = "master.cf: relay2/unix: smtp_tls_security_level = dane: smtp_dns_support_level is disabled"
        assert told["failed"] and told["msg"].startswith(refused), (name, told)


@pytest.mark.parametrize("main, asked, told", [
    ("", {"services": {"smtps/inet": {"smtpd_tls_wrappermode": True}}, "parameters": {"smtpd_tls_cert_file": None, "smtpd_tls_key_file": None}},
     "no certificate"),
    ("smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = yes\n", {"parameters": {"smtpd_tls_security_level": "none"}}, "so nobody can log in"),
    ("", {"parameters": {"smtpd_tls_cert_file": "none", "smtpd_tls_ask_ccert": True}, "self_signed": "allow"}, "smtpd can ask for none, and offers no TLS"),
])
def test_what_postfix_refuses_to_receive_with_is_refused(laid, main: str, asked: dict, told: str) -> None:
    laid.each(lambda host: lay(host, main, "smtps inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=no\n"))
    for name, said in ask("profiles", MODULE, "--check", "--become", **asked).items():
        without = told == "no certificate" and not said["failed"] and "there is no certificate" in str(said["findings"])
        assert said["failed"] and told in said["msg"] or without, (
            name, said)


CHAIN = "smtpd_tls_chain_files = /root/profiles/postfix/tls/default.pem\n"
POSTSCREEN = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\ntlsproxy unix - - y - 0 tlsproxy\ndnsblog unix - - y - 0 dnsblog\n"


def test_what_depends_on_a_changed_parameter_is_judged_by_its_new_value(laid) -> None:
    """postscreen_tls_security_level = $smtpd_tls_security_level, by Postfix's own default."""
    laid.each(lambda host: lay(host, "smtpd_tls_security_level = none\n" + CHAIN, POSTSCREEN, "^smtp  *inet\\|^smtpd_tls_"))
    for name, told in ask("profiles", MODULE, "--check", "--become", parameters={"smtpd_tls_security_level": "encrypt"}).items():
        assert told["failed"] and "port 25 is public" in told["msg"], (name, told)
    for name, told in ask("profiles", MODULE, "--check", "--become", parameters={"smtpd_tls_security_level": "may"}, required={
            "senders": ["partner.example"]}).items():
        assert not told["failed"] and told["receiving"] and told["changed"], (name, told)
    # Whoever has encrypt there already, by hand, is not kept from any other change.
    laid.each(lambda host: lay(host, "smtpd_tls_security_level = encrypt\n" + CHAIN, POSTSCREEN, "^smtp  *inet\\|^smtpd_tls_"))
    for name, told in ask("profiles", MODULE, "--check", "--become", parameters={"smtpd_tls_security_level": "may"}).items():
        assert not told["failed"] and told["receiving"], (name, told)
    for name, told in ask("profiles", MODULE, "--check", "--become", defaults={"smtpd_tls_security_level": "may"}).items():
        assert not told["failed"] and not told["changed"], (name, told)
