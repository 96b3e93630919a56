# SPDX-License-Identifier: GPL-3.0-or-later
"""One intent, on four releases, from three kinds of main.cf: it holds on each, is there once, and nothing else was touched."""
from __future__ import annotations

import re
import smtplib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from reach import Host, play, verified

HERE = Path(__file__).resolve().parents[1]
CONVERGE = HERE / "converge.yml"
NAMES = ("u-bullseye", "u-bookworm", "u-trixie", "u-forky")
#: What the role is asked for, or decides by its profile; all else in main.cf is the postmaster's.
OURS = re.compile(r"(smtpd?_tls_(?!session_cache_database|auth_only|note)|smtpd?_(use|enforce)_tls|tls_|smtp_log_tls_)")
OBSOLETE = re.compile(r"^smtpd?_(?:use_tls|enforce_tls|tls_enforce_peername|tls_dh512_param_file|tls_eecdh_grade)\b", re.MULTILINE)


class Fleet:
    """All four hosts at once, begun from one kind of main.cf."""

    def __init__(self, main: str) -> None:
        self.hosts = [Host(name) for name in NAMES]
        self.lay(main)
        self.before = {host.name: host.run("cat /etc/postfix/main.cf") for host in self.hosts}
        self.master = {host.name: host.run("cat /etc/postfix/master.cf") for host in self.hosts}
        self.said = play(CONVERGE, "upgrade")
        self.after = {host.name: host.run("cat /etc/postfix/main.cf") for host in self.hosts}
        self.again = play(CONVERGE, "upgrade")

    def lay(self, main: str) -> None:
        submission = (HERE / "etc" / "submission.cf").read_text(encoding="utf-8")

        def prepare(host: Host) -> None:
            host.run("rm -rf /etc/postfix /var/lib/mailsec-postfix_tls; cp -a /usr/local/share/postfix-as-installed /etc/postfix; : >/var/log/mail.log")
            host.write("/etc/postfix/master.cf", submission, append=True)
            if main != "stock":
                host.write("/etc/postfix/main.cf", (HERE / "etc" / (main + ".cf")).read_text(encoding="utf-8").replace("HOST", host.name))
            host.run("touch -d '1 minute ago' /etc/postfix/*.cf; postfix stop 2>/dev/null || :; "
                     "if [ -d /run/systemd/system ]; then systemctl restart postfix; else postfix start; fi")
        self.each(prepare)

    def each(self, act) -> dict:
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            return dict(zip(NAMES, pool.map(act, self.hosts)))


@pytest.fixture(scope="module", params=["stock", "messy", "older"])
def fleet(request) -> Fleet:
    return Fleet(request.param)


def test_it_is_changed_once_and_then_never_again(fleet: Fleet) -> None:
    for name in NAMES:
        assert re.search(r"%s +: ok=\d+ +changed=1 .*failed=0" % name, fleet.said), fleet.said
        assert re.search(r"%s +: ok=\d+ +changed=0 .*failed=0" % name, fleet.again), fleet.again


def test_what_is_not_asked_for_stays_byte_for_byte_and_in_its_order(fleet: Fleet) -> None:
    for name in NAMES:
        assert _without_ours(fleet.after[name]) == _without_ours(fleet.before[name]), name


def _without_ours(text: str) -> list:
    """The lines that are not of a definition of ours; comments within one stay."""
    kept, ours = [], False
    for line in text.splitlines():
        if line[:1] in (" ", "\t") or line.startswith("#"):
            if not ours or line.lstrip().startswith("#"):
                kept.append(line)
            continue
        ours = bool(OURS.match(line))
        if not ours:
            kept.append(line)
    return kept


def test_each_release_has_the_form_it_understands(fleet: Fleet) -> None:
    written = fleet.each(lambda host: host.run("postconf -hx smtpd_tls_protocols smtpd_tls_mandatory_protocols smtp_tls_protocols").split("\n")[:3])
    assert written["u-bullseye"][:2] == ["!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"] * 2
    for name in NAMES[1:]:
        assert written[name][0] == ">=TLSv1.2", (name, written[name])
    levels = fleet.each(lambda host: host.run("postconf -hx smtpd_tls_security_level smtp_tls_security_level smtpd_tls_received_header"))
    assert set(levels.values()) == {"may\nmay\nyes\n"}


def test_only_the_release_that_has_a_parameter_gets_it_and_the_others_say_so(fleet: Fleet) -> None:
    there = fleet.each(lambda host: host.run("postconf -n smtp_log_tls_feature_status 2>/dev/null").strip())
    assert there == {"u-bullseye": "", "u-bookworm": "", "u-trixie": "", "u-forky": "smtp_log_tls_feature_status = yes"}
    assert "smtp_log_tls_feature_status = True is left out: Postfix 3.5 on this host has no such parameter" in " ".join(fleet.said.split())


#: What these releases know no better for. A grade of curves that is in place stays where nobody asks for groups.
NOT_YET_OBSOLETE = {
    "u-bullseye": {"smtp_tls_enforce_peername", "smtpd_tls_dh512_param_file", "smtpd_tls_eecdh_grade"}, "u-bookworm": {"smtpd_tls_eecdh_grade"},
}


def test_no_obsolete_parameter_is_left_and_postfix_has_nothing_to_complain_about(fleet: Fleet) -> None:
    for name, text in fleet.after.items():
        there = set(OBSOLETE.findall(text))
        assert there <= NOT_YET_OBSOLETE.get(name, set()), (name, there)
    # A definition that was void already, and meant the same as what is asked for, is left where it is.
    complaints = fleet.each(lambda host: host.run(
        "(postconf -n 2>&1 >/dev/null; postconf -P 2>&1 >/dev/null; postfix check 2>&1) | grep warning | grep -v overriding || :"))
    assert set(complaints.values()) == {""}, complaints


def test_the_service_asked_for_has_its_override_once_and_the_rest_of_master_cf_is_as_it_was(fleet: Fleet) -> None:
    expected = "\n# since 2012\n  -o smtpd_tls_security_level=encrypt\n  -o smtpd_tls_auth_only=yes\n"
    after = fleet.each(lambda host: host.run("cat /etc/postfix/master.cf"))
    for name in NAMES:
        old, new = fleet.master[name].splitlines(), after[name].splitlines()
        assert [line for line in old if line not in new] in ([], ["  -o smtpd_enforce_tls=yes"]), name
        assert [line for line in new if line not in old] == ["  -o smtpd_tls_security_level=encrypt", "  -o smtpd_tls_auth_only=yes"], (name, expected)
    for name, told in fleet.each(lambda host: host.run("postconf -P")).items():
        assert {"submission/inet/smtpd_tls_auth_only = yes", "submission/inet/smtpd_tls_security_level = encrypt"} <= set(told.splitlines()), name


def test_peers_see_the_lab_s_certificate_on_both_ports_and_no_mail_is_taken_in_the_clear_for_submission(fleet: Fleet) -> None:
    for port in (25, 587):
        said = fleet.each(lambda host: host.run(
            "openssl s_client -starttls smtp -connect 127.0.0.1:%d -CAfile /usr/local/share/ca-certificates/lab.crt </dev/null 2>&1" % port))
        assert all(map(verified, said.values())), said
    assert fleet.each(_mail_in_the_clear) == dict.fromkeys(NAMES, (530, b"5.7.0 Must issue a STARTTLS command first"))


def _mail_in_the_clear(host: Host) -> tuple:
    with smtplib.SMTP(host.address, 587, timeout=20) as session:
        session.ehlo("stranger.lab.test")
        return session.mail("<>")
