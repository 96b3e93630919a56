# SPDX-License-Identifier: GPL-3.0-or-later
"""What postfix_tls_info tells of real listeners is what Postfix itself tells, and what they do on the wire."""
from __future__ import annotations

import re
from typing import Iterator

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.view import DIALOGUE, HANDSHAKE
from reach import Host, ask, verified

ONLY_1_3 = "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1,!TLSv1.2"  # in the form that all releases understand
NOT_1_3 = "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1,!TLSv1.3"
ADDED = {
    "submission/inet": ("submission inet n - - - - smtpd", {"smtpd_tls_security_level": "encrypt", "smtpd_tls_auth_only": "yes"}),
    "465/inet": ("465 inet n - - - - smtpd", {
        "smtpd_tls_wrappermode": "yes", "smtpd_tls_protocols": ONLY_1_3, "smtpd_tls_mandatory_protocols": "$smtpd_tls_protocols",
    }),
    "2525/inet": ("2525 inet n - - - 1 postscreen", {
        "postscreen_access_list": "", "postscreen_pipelining_enable": "yes", "postscreen_greet_wait": "1s",
    }),
    "smtpd/pass": ("smtpd pass - - - - - smtpd", {"smtpd_tls_protocols": ONLY_1_3}),
    "tlsproxy/unix": ("tlsproxy unix - - - - 0 tlsproxy", {"smtpd_tls_protocols": NOT_1_3}),
}


CERTIFICATE = "awk '/BEGIN CERT/ { n++ } n == %d' %s | openssl x509"  # its place, and the file
DIGEST = "-outform DER | openssl dgst -sha256 -r | cut -d' ' -f1"
WHOLE, KEY = "%s %s" % (CERTIFICATE, DIGEST), "%s -noout -pubkey | openssl pkey -pubin %s" % (CERTIFICATE, DIGEST)


def told(mx: Host) -> list:
    """The module's instances, run as a postmaster would, and as nobody in particular: it needs no rights."""
    result = ask(mx.name, "mailsec.postfix_tls.postfix_tls_info")[mx.name]
    assert not result["failed"], result
    return result["instances"]


@pytest.fixture(scope="module", params=["bullseye", "bookworm", "trixie", "forky"])
def mx(request) -> Iterator[Host]:
    """A host of each release, with the services of ADDED."""
    host = Host(request.param)
    host.run("cp -p /etc/postfix/master.cf /run/master.cf.before")
    try:
        for name, (line, overrides) in ADDED.items():
            host.run("postconf -M '%s=%s'" % (name, line))
            for parameter, value in overrides.items():
                host.run("postconf -P '%s/%s=%s'" % (name, parameter, value))
        host.run("postfix reload")
        yield host
    finally:
        host.run("cp -p /run/master.cf.before /etc/postfix/master.cf && rm /run/master.cf.before && postfix reload")


def chains(mx: Host, *options: str) -> list:
    result = ask(mx.name, "mailsec.postfix_tls.postfix_tls_info", *options)[mx.name]
    assert not result["failed"], result
    return result["chains"]


def tlsa(chain: dict) -> dict:
    """{form: data}"""
    return {"%(usage)d %(selector)d %(matching_type)d" % record: record["data"] for record in chain["tlsa"]}


@pytest.fixture(scope="module")
def listeners(mx: Host) -> dict:
    """{service: listener}"""
    [instance] = told(mx)
    assert instance["errors"] == []
    return {listener["service"]: listener for listener in instance["listeners"]}


def rows(said: str) -> dict:
    return dict(line.split(" = ", 1) if " = " in line else (line.rstrip(" ="), "") for line in said.splitlines())


def spoken(mx: Host, port: int, *options: str) -> str:
    """What openssl s_client says of a handshake on that port, seen from the host itself."""
    return mx.run("sleep 1 | timeout 20 openssl s_client -connect 127.0.0.1:%d %s 2>&1" % (port, " ".join(options)), check=False)


def test_the_listeners_are_those_that_postfix_has(mx: Host, listeners: dict) -> None:
    services = [line.split() for line in mx.run("postconf -M").splitlines()]
    assert list(listeners) == [columns[0] for columns in services if columns[1] == "inet" and columns[7] in ("smtpd", "postscreen")]
    seen = {name: (at["port"], at["protocol"], at["level"], at["requires_tls"], at["public"]) for name, at in listeners.items()}
    assert seen == {
        "smtp": (25, "smtp", "may", False, True),
        "submission": (587, "submission", "encrypt", True, True),
        "465": (465, "smtps", "may", True, True),
        "2525": (2525, "smtp", "may", False, True),
    }


@pytest.mark.parametrize("service", ["smtp", "submission", "465"])
def test_each_value_is_the_one_postfix_tells_for_that_service(mx: Host, listeners: dict, service: str) -> None:
    main, own = rows(mx.run("postconf -x")), rows(mx.run("postconf -P '%s/inet/*'" % service))
    own = {name.rpartition("/")[2]: value for name, value in own.items()}
    assert listeners[service]["overrides"] == own
    expected = dict(main, **{name: ONLY_1_3 if "$" in value else value for name, value in own.items()})
    parameters = listeners[service]["parameters"]
    assert parameters == {name: expected[name] for name in parameters}
    assert set(parameters) == set(HANDSHAKE + DIALOGUE) & set(main)


def test_each_parameter_that_is_told_is_one_of_todays_postfix() -> None:
    assert set(HANDSHAKE + DIALOGUE) <= set(rows(Host("forky").run("postconf -x")))


def test_the_instance_is_told_as_postfix_tells_it(mx: Host) -> None:
    [instance] = told(mx)
    main = rows(mx.run("postconf -x"))
    for name in ("mail_version", "myhostname", "default_database_type"):
        assert instance[name] == main[name]
    assert instance["version"] == main["mail_version"]
    assert instance["table_types"] == mx.run("postconf -m").split()
    assert instance["tls_library"] == {when: mx.run("postconf -T %s-version" % when).strip() for when in ("compile", "run")}
    assert instance["tls_library"]["run"].startswith("OpenSSL ")


def test_a_wrapper_speaks_tls_first_and_only_the_versions_that_are_told(mx: Host, listeners: dict) -> None:
    at = listeners["465"]
    assert at["wrappermode"] and at["parameters"]["smtpd_tls_mandatory_protocols"] == ONLY_1_3
    said = spoken(mx, 465, "-tls1_3")
    assert verified(said) and "220 %s ESMTP" % mx.fqdn in said
    assert "alert protocol version" in spoken(mx, 465, "-tls1_2")
    assert verified(spoken(mx, 25, "-starttls smtp", "-tls1_2"))


def test_a_listener_that_requires_tls_refuses_mail_before_it(mx: Host, listeners: dict) -> None:
    ask = "import smtplib; at = smtplib.SMTP('127.0.0.1', %d); at.ehlo(); print(at.mail('a@example.org')[0])"
    for service, reply in (("submission", "530"), ("smtp", "250")):
        assert listeners[service]["requires_tls"] is (reply == "530")
        assert mx.run('python3 -c "%s"' % (ask % listeners[service]["port"])).strip() == reply


def test_postscreen_does_tls_as_tlsproxy_is_told_and_the_smtpd_behind_it_as_that_is_told(mx: Host, listeners: dict) -> None:
    at = listeners["2525"]
    assert (at["program"], at["behind"]["service"]) == ("postscreen", "smtpd")
    assert (at["parameters"]["smtpd_tls_protocols"], at["behind"]["parameters"]["smtpd_tls_protocols"]) == (NOT_1_3, ONLY_1_3)
    # Tests that go on after the greeting keep the client with postscreen; without them it is handed over.
    assert verified(spoken(mx, 2525, "-starttls smtp", "-tls1_2"))
    assert "alert protocol version" in spoken(mx, 2525, "-starttls smtp", "-tls1_3")
    mx.run("postconf -P 2525/inet/postscreen_access_list=permit_mynetworks && postfix reload")
    try:
        assert "alert protocol version" in spoken(mx, 2525, "-starttls smtp", "-tls1_2")
        assert verified(spoken(mx, 2525, "-starttls smtp", "-tls1_3"))
    finally:
        mx.run("postconf -P 2525/inet/postscreen_access_list= && postfix reload")


def test_the_chain_that_is_told_is_the_one_that_is_served(mx: Host, listeners: dict) -> None:
    [chain] = listeners["465"]["chain_files"]
    deployed = mx.run("openssl x509 -noout -fingerprint -sha256 -in %s" % chain["certificate_file"])
    assert deployed == mx.run("openssl s_client -connect 127.0.0.1:465 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256")


def test_the_tlsa_records_are_those_that_openssl_makes_of_the_installed_file(mx: Host) -> None:
    [chain] = chains(mx, "--become")
    [path] = chain["files"]
    assert (path, chain["error"], chain["services"]) == ("/etc/postfix/tls/default.pem", None, ["smtp", "submission", "465", "2525", "smtpd"])
    expected = {"3 1 1": KEY % (1, path), "2 1 1": KEY % (2, path), "3 0 1": WHOLE % (1, path)}
    assert tlsa(chain) == {form: mx.run(command).strip() for form, command in expected.items()}
    assert [record["of"] for record in chain["tlsa"]] == ["CN=" + mx.fqdn, "CN=Lab intermediate", "CN=" + mx.fqdn]
    assert [each["sha256"] for each in chain["certificates"]] == [mx.run(WHOLE % (number, path)).strip() for number in (1, 2)]
    assert (chain["names"], chain["ends_first"]["days_left"] <= chain["days_left"]) == (["DNS:" + mx.fqdn], True)


def test_the_tlsa_records_are_what_posttls_finger_sees_on_the_wire(mx: Host) -> None:
    [chain] = chains(mx, "--become")
    said = mx.run("posttls-finger -c -l fingerprint -d sha256 '[127.0.0.1]' 2>&1")
    seen = {kind or "cert": digits.replace(":", "").lower() for kind, digits in re.findall(r"(pkey)?(?:_| )fingerprint=([0-9A-F:]+)", said)}
    assert seen == {"cert": tlsa(chain)["3 0 1"], "pkey": tlsa(chain)["3 1 1"]}


@pytest.mark.parametrize("form", ["3 1 1", "2 1 1", "3 0 1"])
def test_a_peer_with_dane_takes_the_host_for_each_record_and_for_no_other(mx: Host, form: str) -> None:
    [chain] = chains(mx, "--become")
    data = tlsa(chain)[form]
    dane = ("-starttls smtp -verify_return_error -dane_tlsa_domain", mx.fqdn, "-dane_tlsa_rrdata")
    said = spoken(mx, 25, *dane, "'%s %s'" % (form, data))
    assert "DANE TLSA %s ..." % form in said and verified(said)
    assert "no matching dane tlsa records" in spoken(mx, 25, *dane, "'%s %s'" % (form, data[::-1])).lower()


def test_a_service_s_own_chains_are_told_with_it_and_a_file_that_is_gone_with_what_it_was_for(mx: Host) -> None:
    mx.run("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=%s -days 3 -keyout /run/key.pem -out /run/leaf.pem 2>/dev/null" % mx.fqdn)
    mx.run("umask 077 && cat /etc/postfix/tls/default.pem /run/key.pem /run/leaf.pem >/run/two.pem && rm /run/key.pem /run/leaf.pem")
    mx.run("postconf -P submission/inet/smtpd_tls_chain_files=/run/two.pem && postfix reload")
    try:
        default, own = chains(mx, "--become")
        assert (default["files"], own["files"]) == (["/etc/postfix/tls/default.pem", "/run/two.pem"], ["/run/two.pem"])
        assert (default["services"], own["services"]) == (["smtp", "submission", "465", "2525", "smtpd"], ["submission"])
        for chain, suites in ((default, "aECDSA"), (own, "aRSA")):
            dane = ("-dane_tlsa_domain", mx.fqdn, "-dane_tlsa_rrdata", "'3 1 1 %s'" % tlsa(chain)["3 1 1"])
            assert "DANE TLSA 3 1 1 ..." in spoken(mx, 587, "-starttls smtp -tls1_2 -verify_return_error -cipher", suites, *dane)
        assert "2 1 1" in tlsa(default) and "2 1 1" not in tlsa(own)
        mx.run("rm /run/two.pem")
        [_default, gone] = chains(mx, "--become")
        assert gone["error"].startswith("/run/two.pem: there is no such file on this host.") and gone["services"] == ["submission"]
    finally:
        mx.run("postconf -PX submission/inet/smtpd_tls_chain_files && rm -f /run/two.pem && postfix reload")


def test_whoever_may_not_read_a_chain_is_told_so_beside_all_else(mx: Host) -> None:
    [chain] = chains(mx)
    assert chain["error"] == (
        "/etc/postfix/tls/default.pem: it can't be read (Permission denied). Where only root may read it, become root; else name the right file."
    )


def test_further_instances_are_told_and_a_missing_one_is_an_error_of_its_own(mx: Host) -> None:
    mx.run("cp -p /etc/postfix/main.cf /run/main.cf.before && cp -rp /etc/postfix /etc/postfix-out")
    try:
        mx.run("postconf -c /etc/postfix-out -e myhostname=out.lab.test && postconf -c /etc/postfix-out -MX submission/inet")
        mx.run("postconf -e 'multi_instance_directories = /etc/postfix-out, /etc/postfix-gone'")
        here, out, gone = told(mx)
    finally:
        mx.run("cp -p /run/main.cf.before /etc/postfix/main.cf && rm -r /run/main.cf.before /etc/postfix-out")
    assert [at["config_directory"] for at in (here, out, gone)] == ["/etc/postfix", "/etc/postfix-out", "/etc/postfix-gone"]
    assert (here["myhostname"], out["myhostname"]) == (mx.fqdn, "out.lab.test")
    assert {at["service"] for at in here["listeners"]} - {at["service"] for at in out["listeners"]} == {"submission"}
    assert (here["errors"], out["errors"], gone["listeners"]) == ([], [], []) and "/etc/postfix-gone/main.cf" in gone["errors"][0]


def test_each_listener_does_what_its_parameters_say_in_the_verifier_s_eyes_postscreen_s_greeting_waited_for(mx: Host, listeners: dict) -> None:
    start = int(mx.run("wc -c </var/log/mail.log"))
    result = ask(
        mx.name, "mailsec.postfix_tls.starttls_verify", "--become", ca_file="/usr/local/share/ca-certificates/lab.crt", depth="versions",
    )[mx.name]
    assert not result["failed"], result["msg"]
    looked_at = {(seen["target"]["port"], seen["target"]["protocol"]) for seen in result["results"]}
    assert looked_at == {(25, "smtp"), (587, "submission"), (465, "smtps"), (2525, "smtp")} and len(listeners) == 4
    log = mx.run("tail -c +%d /var/log/mail.log | grep postscreen" % (start + 1))
    assert "CONNECT from" in log and "PREGREET" not in log
