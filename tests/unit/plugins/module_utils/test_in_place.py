# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody wrote replaces nothing that asks for more; what is written wins and is told; what refers to a change follows it or keeps its value."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from hosts_of_text import MASTER, instance
from issuing import issue

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)
CLIENT = "smtp unix - - y - - smtp\n"
DNSSEC = "smtp_dns_support_level = dnssec\n"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    (tmp_path / "own.pem").write_text(LEAF.key_pem() + LEAF.pem, encoding="utf-8")
    return tmp_path


def plan(etc: Path, main: str, master: str = MASTER + CLIENT, **intent: object) -> Proposal:
    """Of this main.cf, where {etc} stands for its directory."""
    text = main.replace("{etc}", str(etc))
    (etc / "main.cf").write_text(text, encoding="utf-8")
    (etc / "master.cf").write_text(master, encoding="utf-8")
    written = {name: MainCf(text).raw(name) for name in MainCf(text).names()}
    host = instance(str(etc), master, **{"smtp_tls_CApath": "/etc/ssl/certs", **written})
    return propose(host, Intent(ca_file=str(etc / "root.pem"), **intent))


def after(etc: Path, proposal: Proposal) -> MainCf:
    for change in proposal.plan.changes:
        files.write(change.path, change.after)
    return MainCf((etc / "main.cf").read_text(encoding="utf-8"))


def told(proposal: Proposal, check: str) -> list:
    return [finding["observed"] for finding in proposal.plan.findings if finding["check"] == check]


@pytest.mark.parametrize("name, there, default, becomes", [
    ("smtp_tls_security_level", "encrypt", "may", "encrypt"),
    ("smtp_tls_security_level", "VERIFY", "may", "VERIFY"),
    ("smtp_tls_security_level", "none", "may", "may"),
    ("smtp_tls_security_level", "", "may", "may"),
    ("smtp_tls_security_level", "encrpyt", "may", "may"),
    ("smtp_tls_protocols", ">=TLSv1.3", ">=TLSv1.2", ">=TLSv1.3"),
    ("smtp_tls_protocols", "!SSLv3", ">=TLSv1.2", ">=TLSv1.2"),
    ("smtp_tls_protocols", ">=TLSv1, !TLSv1.3", ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1, !TLSv1.3"),
    ("smtp_tls_protocols", "FOO", ">=TLSv1.2", ">=TLSv1.2"),
    ("smtp_tls_mandatory_ciphers", "high", "medium", "high"),
    ("smtp_tls_mandatory_ciphers", "medium", "high", "high"),
    ("smtp_tls_exclude_ciphers", "MD5", ["RC4", "aNULL"], "MD5, RC4, aNULL"),
    ("smtp_tls_exclude_ciphers", "RC4 MD5 aNULL", "MD5", "RC4 MD5 aNULL"),
    ("smtp_tls_loglevel", "2", 1, "2"),
    ("smtp_tls_loglevel", "0", 1, "1"),
    ("smtpd_tls_auth_only", "yes", False, "yes"),
    ("smtpd_tls_received_header", "no", True, "yes"),
])
def test_a_default_replaces_what_asks_for_less_and_joins_lists(etc: Path, name: str, there: str, default: object, becomes: str) -> None:
    main = "%s = %s\n" % (name, there)
    proposal = plan(etc, main, defaults={name: default})
    assert after(etc, proposal).raw(name) == becomes and not told(proposal, "weaker")
    assert plan(etc, (etc / "main.cf").read_text(encoding="utf-8"), defaults={name: default}).plan.changes == [], "seen again"


def test_what_is_written_wins_over_a_default_and_over_what_is_there(etc: Path) -> None:
    main = "smtp_tls_security_level = encrypt\nsmtp_tls_protocols = >=TLSv1.3\n"
    proposal = plan(etc, main, parameters={"smtp_tls_security_level": "may", "smtp_tls_protocols": ">=TLSv1.2"}, defaults={"smtp_tls_security_level": "may"})
    assert after(etc, proposal).raw("smtp_tls_security_level") == "may"
    assert told(proposal, "weaker") == [
        "smtp_tls_security_level is may from now on, which does not keep all of the encrypt that was in place",
        "smtp_tls_protocols is >=TLSv1.2 from now on, which does not keep all of the >=TLSv1.3 that was in place"]


def test_dane_in_place_of_encrypt_is_told_and_the_other_way_round(etc: Path) -> None:
    for there, written in (("encrypt", "dane"), ("dane", "encrypt"), ("dane-only", "secure")):
        proposal = plan(etc, DNSSEC + "smtp_tls_security_level = %s\n" % there, parameters={"smtp_tls_security_level": written})
        assert len(told(proposal, "weaker")) == 1, (there, written)
    assert told(plan(etc, DNSSEC + "smtp_tls_security_level = dane\n", parameters={"smtp_tls_security_level": "dane-only"}), "weaker") == []


def test_an_obsolete_switch_that_asks_for_more_than_a_default_is_written_as_that_much(etc: Path) -> None:
    proposal = plan(etc, "smtp_enforce_tls = yes\nsmtp_tls_enforce_peername = no\n", defaults={"smtp_tls_security_level": "may"})
    assert after(etc, proposal).raw("smtp_tls_security_level") == "encrypt" and not told(proposal, "weaker")
    proposal = plan(etc, "smtp_enforce_tls = yes\nsmtp_tls_security_level = may\n", defaults={"smtp_tls_security_level": "may"})
    assert after(etc, proposal).raw("smtp_tls_security_level") == "may", "beside a level, the switch was void"


def test_the_default_profile_takes_nothing_away_and_is_proven_where_it_holds(etc: Path) -> None:
    on = "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {etc}/own.pem\n"
    proposal = plan(etc, on + "smtpd_tls_exclude_ciphers = aNULL\ntls_preempt_cipherlist = yes\n", profiles={"smtpd": "default", "smtp": "default"})
    assert (proposal.profile, proposal.mandatory) == ("opportunistic", "intermediate")
    main = after(etc, proposal)
    assert main.raw("smtpd_tls_exclude_ciphers") == "aNULL, 3DES, RC4, IDEA" and main.raw("tls_preempt_cipherlist") == "yes"
    assert main.raw("smtpd_tls_mandatory_ciphers") == "high" and "kRSA" in main.raw("smtpd_tls_mandatory_exclude_ciphers")
    assert main.raw("tls_eecdh_auto_curves") is None, "it would hold where a refusal means plaintext, too"
    stricter = plan(etc, on + "smtpd_tls_protocols = >=TLSv1.3\n", profiles={"smtpd": "default"})
    assert stricter.profile == "" and after(etc, stricter).raw("smtpd_tls_protocols") == ">=TLSv1.3"
    assert plan(etc, on, profiles={"smtpd": "default"}, parameters={"smtpd_tls_ciphers": "high"}).profile == ""


def test_what_peers_can_no_longer_agree_on_is_named(etc: Path) -> None:
    on = ("smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {etc}/own.pem\nsmtpd_tls_ciphers = medium\nsmtpd_tls_protocols = >=TLSv1\n"
          "tls_medium_cipherlist = HIGH:MEDIUM\ntls_high_cipherlist = HIGH\n")
    [versions] = told(plan(etc, on, profiles={"smtpd": "default"}), "peers")
    assert versions.startswith("clients that offer nothing but TLSv1, TLSv1.1 could agree with this host before") and "plaintext" in versions
    [suites] = told(plan(etc, on, profiles={"smtpd": "intermediate"}), "peers")
    assert "TLSv1, TLSv1.1" in suites and "-SHA" in suites and "suites more" in suites
    assert told(plan(etc, on.replace("level = may", "level = none"), profiles={"smtpd": "default"}), "peers") == []


@pytest.mark.parametrize("raw, becomes", [
    ("$smtpd_tls_cert_file", "{etc}/own.pem"), ("${smtpd_tls_cert_file}", "{etc}/own.pem"), ("$(smtpd_tls_cert_file)", "{etc}/own.pem"),
    ("$mine", "$mine"), ("$smtpd_tls_cert_file_of_mine", "$smtpd_tls_cert_file_of_mine"),
])
def test_what_refers_to_a_parameter_that_goes_keeps_its_value_and_nothing_else_is_touched(etc: Path, raw: str, becomes: str) -> None:
    main = "mine = {etc}/root.pem\nsmtpd_tls_cert_file_of_mine =\nsmtpd_tls_cert_file = {etc}/own.pem\nsmtp_tls_cert_file = %s\n" % raw
    proposal = plan(etc, main, parameters={"smtpd_tls_cert_file": None})
    assert after(etc, proposal).raw("smtp_tls_cert_file") == becomes.replace("{etc}", str(etc))
    assert bool(told(proposal, "references")) == (raw != becomes)


def test_a_service_s_own_certificate_is_kept_beside_chain_files_and_its_references_are_written_out(etc: Path) -> None:
    master = MASTER + "2525 inet n - y - - smtpd\n  -o smtpd_tls_cert_file={0}/own.pem\n" \
        "relay unix - - y - - smtp\n  -o smtp_tls_cert_file=$smtpd_tls_cert_file\n"
    main = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {etc}/own.pem\nsmtpd_tls_key_file = {etc}/own.pem\n"
    chain = {"name": "default", "key": LEAF.key_pem(), "certificate": LEAF.pem}
    proposal = plan(etc, main, master.replace("{0}", str(etc)), chains=[chain])
    after(etc, proposal)
    text = (etc / "master.cf").read_text(encoding="utf-8")
    assert "  -o smtpd_tls_chain_files=\n  -o smtpd_tls_key_file=%s/own.pem\n" % etc in text and "-o smtp_tls_cert_file=%s/own.pem\n" % etc in text
    assert len(told(proposal, "references")) == 2


def test_a_reference_that_comes_to_what_is_wanted_once_all_is_written_stays(etc: Path) -> None:
    main = "smtp_tls_protocols = >=TLSv1\nsmtp_tls_mandatory_protocols = $smtp_tls_protocols\n"
    wanted = dict.fromkeys(("smtp_tls_protocols", "smtp_tls_mandatory_protocols"), ">=TLSv1.2")
    assert after(etc, plan(etc, main, parameters=wanted)).raw("smtp_tls_mandatory_protocols") == "$smtp_tls_protocols"
    other = dict(wanted, smtp_tls_mandatory_protocols=">=TLSv1.3")
    assert after(etc, plan(etc, main, parameters=other)).raw("smtp_tls_mandatory_protocols") == ">=TLSv1.3"


def test_what_follows_a_change_by_reference_and_becomes_weaker_is_told(etc: Path) -> None:
    main = "smtp_tls_security_level = encrypt\nlmtp_tls_security_level = $smtp_tls_security_level\n"
    weaker = told(plan(etc, main, parameters={"smtp_tls_security_level": "may"}), "weaker")
    assert len(weaker) == 2 and "lmtp_tls_security_level ($smtp_tls_security_level) is may from now on" in weaker[1]


def test_a_combination_is_refused_where_it_is_new_or_asked_for_and_told_where_it_was_there(etc: Path) -> None:
    there = "smtp_tls_security_level = may\nsmtp_tls_wrappermode = yes\n"
    [noted] = told(plan(etc, there, parameters={"smtp_tls_loglevel": 1}, defaults={"smtp_tls_security_level": "may"}), "combination")
    assert "Postfix sends nothing below level encrypt. It was so before" in noted
    refused = "with smtp_tls_wrappermode = yes, Postfix sends nothing below level encrypt. Write smtp_tls_security_level: encrypt"
    with pytest.raises(PostfixTlsError, match=refused):
        plan(etc, there, parameters={"smtp_tls_security_level": "may"})
    with pytest.raises(PostfixTlsError, match="sends nothing below level encrypt"):
        plan(etc, "smtp_tls_security_level = may\n", parameters={"smtp_tls_wrappermode": True})
    kept = plan(etc, there.replace("may", "encrypt"), defaults={"smtp_tls_security_level": "may"})
    assert kept.plan.findings == [] and kept.plan.changes == []


@pytest.mark.parametrize("override", ["smtp_tls_security_level=dane", "smtp_tls_security_level=$mine"])
def test_a_service_is_judged_by_its_own_values(etc: Path, override: str) -> None:
    master = MASTER + CLIENT + "relay unix - - y - - smtp\n  -o %s\n" % override
    main = "mine = dane\nsmtp_tls_security_level = encrypt\nsmtp_dns_support_level = dnssec\n"
    assert told(plan(etc, main, master, parameters={"smtp_tls_loglevel": 1}), "combination") == []
    with pytest.raises(PostfixTlsError, match="master.cf: relay/unix: smtp_tls_security_level = dane: smtp_dns_support_level is enabled, not dnssec"):
        plan(etc, main, master, parameters={"smtp_dns_support_level": "enabled"})


def test_a_removed_parameter_is_judged_by_its_default(etc: Path) -> None:
    assert values.weaker("smtpd_tls_protocols", ">=TLSv1", ">=TLSv1.2")
    weaker = told(plan(etc, "smtp_tls_security_level = encrypt\n", parameters={"smtp_tls_security_level": None}), "weaker")
    assert weaker == ["smtp_tls_security_level is empty from now on, which does not keep all of the encrypt that was in place"]


def test_a_guideline_that_is_written_takes_the_place_of_the_default_one_whole(etc: Path) -> None:
    on = "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {etc}/own.pem\n"
    after(etc, plan(etc, on, profiles={"smtpd": "default"}))
    text = (etc / "main.cf").read_text(encoding="utf-8")
    main = after(etc, plan(etc, text, profiles={"smtpd": "interop"}))
    assert main.raw("smtpd_tls_mandatory_exclude_ciphers") is None and main.raw("smtpd_tls_mandatory_ciphers") == "medium"
    main = after(etc, plan(etc, text, profiles={"smtpd": "intermediate"}))
    assert main.raw("smtpd_tls_mandatory_exclude_ciphers") is None and "kRSA" in main.raw("smtpd_tls_exclude_ciphers")
