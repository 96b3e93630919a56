# SPDX-License-Identifier: GPL-3.0-or-later
"""Who must use TLS stands at the head of one restriction list; the list stays its postmaster's, and is as before once nobody must."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from hosts_of_text import instance

LIST = "smtpd_sender_restrictions"
MAIN = (
    "myhostname = mx.example.org\n# mine\nsmtpd_sender_restrictions =\n    # trusted\n    permit_mynetworks,\n    reject_unknown_sender_domain\n"
    "relayhost =\n"
)
SMTP = "smtp inet n - y - - smtpd\n"
CLIENTS = ["192.0.2.0/24", "mail.partner.example"]
SENDERS = ["partner.example"]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "main.cf").write_text(MAIN, encoding="utf-8")
    (tmp_path / "master.cf").write_text(SMTP, encoding="utf-8")
    return tmp_path


def ask(etc: Path, clients: list | None = None, senders: list | None = None, values: dict | None = None, **intent: object) -> Proposal:
    raw = MainCf((etc / "main.cf").read_text(encoding="utf-8")).raw(LIST)
    known = dict({"smtpd_tls_security_level": "may", "smtpd_tls_wrappermode": "no", "smtpd_peername_lookup": "yes", LIST: raw or ""}, **values or {})
    host = instance(str(etc), (etc / "master.cf").read_text(encoding="utf-8"), **known)
    return propose(host, Intent(required_clients=clients, required_senders=senders, **intent))


def carry_out(proposal: Proposal) -> None:
    for change in proposal.plan.changes:
        files.write(change.path, change.after)


def main_cf(etc: Path) -> str:
    return (etc / "main.cf").read_text(encoding="utf-8")


def first(etc: Path, indent: str = "    ") -> str:
    """The lines of ours, where the list has its words on lines of their own."""
    return (
        "{0}check_client_access cidr:{1}/tls_required_networks,\n{0}check_client_access regexp:{1}/tls_required_hosts,\n"
        "{0}check_sender_access regexp:{1}/tls_required_senders,\n"
    ).format(indent, etc)


def test_the_tables_are_written_before_the_list_that_names_them_and_the_list_is_else_as_it_was(etc: Path) -> None:
    proposal = ask(etc, CLIENTS, SENDERS)
    names = ["tls_required_networks", "tls_required_hosts", "tls_required_senders", "main.cf"]
    assert [change.path for change in proposal.plan.changes] == [str(etc / name) for name in names]
    carry_out(proposal)
    assert main_cf(etc) == MAIN.replace("    permit_mynetworks", first(etc) + "    permit_mynetworks")
    action = "reject_plaintext_session"
    assert (etc / "tls_required_networks").read_text(encoding="utf-8").splitlines()[1:] == ["192.0.2.0/24\t" + action]
    assert (etc / "tls_required_hosts").read_text(encoding="utf-8").splitlines()[1:] == [r"/^mail\.partner\.example$/" + "\t" + action]
    assert (etc / "tls_required_senders").read_text(encoding="utf-8").splitlines()[1:] == [r"/@partner\.example$/" + "\t" + action]
    assert proposal.tables == {
        "cidr:%s" % (etc / names[0]): {"192.0.2.0": action},
        "regexp:%s" % (etc / names[1]): {"mail.partner.example": action},
        "regexp:%s" % (etc / names[2]): {"any@partner.example": action},
    }
    assert proposal.expected[LIST].split()[-2:] == ["permit_mynetworks,", "reject_unknown_sender_domain"] and proposal.plan.findings == []


@pytest.mark.parametrize("line", [
    "smtpd_sender_restrictions =\n    # trusted\n    permit_mynetworks,\n    reject_unknown_sender_domain\n",
    "smtpd_sender_restrictions = permit_mynetworks reject_unknown_sender_domain\n",
    "smtpd_sender_restrictions=$mine\n",
    "smtpd_sender_restrictions =\n",
    "",
])
def test_seen_again_there_is_nothing_to_do_and_once_nobody_must_all_is_as_before(etc: Path, line: str) -> None:
    before = "myhostname = mx.example.org\nmine = permit_mynetworks\n%srelayhost =\n" % line
    (etc / "main.cf").write_text(before, encoding="utf-8")
    carry_out(ask(etc, CLIENTS, SENDERS))
    assert len(MainCf(main_cf(etc)).raw(LIST).split("tls_required_")) == 4
    assert ask(etc, CLIENTS, SENDERS).plan.changes == []
    assert ask(etc).plan.changes == [], "not asked, it is left alone"
    leaving = ask(etc, [], [])
    assert leaving.plan.changes[0].path == str(etc / "main.cf"), "which lets go of the tables first"
    carry_out(leaving)
    assert main_cf(etc) == before and sorted(path.name for path in etc.iterdir()) == ["main.cf", "master.cf"]
    assert ask(etc, [], []).plan.changes == []


def test_a_host_that_never_had_them_is_not_touched_by_empty_lists(etc: Path) -> None:
    proposal = ask(etc, [], [], values={"smtpd_tls_security_level": "none"})
    assert proposal.plan.changes == [] and proposal.plan.findings == []


def test_each_list_and_each_table_comes_and_goes_by_itself(etc: Path) -> None:
    carry_out(ask(etc, CLIENTS, SENDERS))
    carry_out(ask(etc, clients=["192.0.2.0/24"]))
    assert "hosts" not in main_cf(etc) and not (etc / "tls_required_hosts").exists() and "tls_required_senders" in main_cf(etc)
    carry_out(ask(etc, clients=CLIENTS, senders=[]))
    assert main_cf(etc) == MAIN.replace("    permit_mynetworks", "".join(first(etc).splitlines(True)[:2]) + "    permit_mynetworks")


def test_what_has_come_before_ours_since_goes_behind_it(etc: Path) -> None:
    carry_out(ask(etc, CLIENTS, SENDERS))
    (etc / "main.cf").write_text(main_cf(etc).replace("    # trusted\n", "    permit_sasl_authenticated,\n"), encoding="utf-8")
    carry_out(ask(etc, CLIENTS, SENDERS))
    assert MainCf(main_cf(etc)).raw(LIST).split("tls_required_senders,")[1] == " permit_sasl_authenticated, permit_mynetworks, reject_unknown_sender_domain"


def test_a_list_that_is_given_in_the_same_run_comes_behind_ours(etc: Path) -> None:
    asked = {LIST: "reject_non_fqdn_sender"}
    carry_out(ask(etc, CLIENTS, SENDERS, parameters=asked))
    assert MainCf(main_cf(etc)).raw(LIST).endswith("tls_required_senders, reject_non_fqdn_sender")
    assert ask(etc, CLIENTS, SENDERS, parameters=asked).plan.changes == []


def test_a_file_that_a_postmaster_wrote_is_neither_replaced_nor_removed_nor_taken_from_the_list(etc: Path) -> None:
    (etc / "tls_required_senders").write_text("/x/ reject\n", encoding="utf-8")
    (etc / "main.cf").write_text("%s = check_sender_access regexp:%s/tls_required_senders\n" % (LIST, etc), encoding="utf-8")
    assert ask(etc, [], []).plan.changes == []
    with pytest.raises(PostfixTlsError) as caught:
        ask(etc, [], SENDERS)
    assert str(caught.value) == (
        "%s/tls_required_senders: this file is not one that was written here, and its entries would be lost."
        " List its entries in smtpd_tls_required_clients or smtpd_tls_required_senders (the module's required) and move it away." % etc
    )


def test_where_nobody_could_use_tls_nobody_can_be_made_to(etc: Path) -> None:
    told = "this host offers no TLS for receiving, so those who must use it could never deliver"
    for off in ({"values": {"smtpd_tls_security_level": "none"}}, {"parameters": {"smtpd_tls_security_level": "none"}}):
        with pytest.raises(PostfixTlsError, match=told):
            ask(etc, CLIENTS, SENDERS, **off)
    carry_out(ask(etc, CLIENTS, SENDERS))
    with pytest.raises(PostfixTlsError, match=told):
        ask(etc, parameters={"smtpd_tls_security_level": "none"})
    (etc / "master.cf").write_text(SMTP + "submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt\n", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match=told):
        ask(etc, CLIENTS, values={"smtpd_tls_security_level": "none"})
    ask(etc, [], [], values={"smtpd_tls_security_level": "none"})


def test_a_host_has_no_name_where_names_are_not_looked_up(etc: Path) -> None:
    off = {"smtpd_peername_lookup": "no"}
    with pytest.raises(PostfixTlsError, match="with smtpd_peername_lookup = no, Postfix knows no client by its name. Name them by address or network"):
        ask(etc, ["mail.partner.example"], values=off)
    assert ask(etc, ["192.0.2.0/24"], SENDERS, values=off).plan.findings == []


@pytest.mark.parametrize("service, told", [
    ("2525 inet n - y - - smtpd\n  -o smtpd_sender_restrictions=\n", "2525/inet has -o smtpd_sender_restrictions=, so whoever must use TLS"),
    ("smtpd pass - - y - - smtpd\n  -o smtpd_sender_restrictions=$mine\n", "smtpd/pass has -o smtpd_sender_restrictions=$mine, so whoever must use TLS"),
    ("2525 inet n - y - - smtpd\n  -o smtpd_sender_restrictions=check_sender_access,regexp:{etc}/tls_required_senders,permit\n", "2525/inet has -o"),
    ("127.0.0.1:10025 inet n - y - - smtpd\n", "what a content filter hands back to 127.0.0.1:10025/inet in the clear is refused"),
])
def test_a_listener_that_they_could_use_in_the_clear_and_one_that_a_filter_could_not_are_named(etc: Path, service: str, told: str) -> None:
    (etc / "master.cf").write_text(SMTP + service.format(etc=etc), encoding="utf-8")
    [finding] = ask(etc, ["192.0.2.1"], SENDERS, values={"mine": "permit"}).plan.findings
    assert told in finding["observed"] and "smtpd_tls_services: {" in finding["fix"]


@pytest.mark.parametrize("service", [
    "submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt -o smtpd_sender_restrictions=\n",
    "smtps inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=yes -o smtpd_sender_restrictions=\n",
    "127.0.0.1:10025 inet n - y - - smtpd\n  -o smtpd_sender_restrictions=\n",
    "2525 inet n - y - - smtpd\n  -o { smtpd_sender_restrictions = check_client_access cidr:{etc}/tls_required_networks,"
    " check_sender_access regexp:{etc}/tls_required_senders, permit }\n",
    "2525 inet n - y - - smtpd\n  -o smtpd_sender_restrictions=$mine\n",
    "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\ntlsproxy unix - - y - 0 tlsproxy\n",
    "relay unix - - y - - smtp\n  -o smtpd_sender_restrictions=\n",
])
def test_a_listener_where_nothing_is_lost_is_not(etc: Path, service: str) -> None:
    (etc / "master.cf").write_text(SMTP + service.replace("{etc}", str(etc)), encoding="utf-8")
    mine = "check_client_access cidr:{0}/tls_required_networks, check_sender_access regexp:{0}/tls_required_senders".format(etc)
    values = {"postscreen_tls_security_level": "may", "mine": mine, "smtpd_tls_cert_file": "/etc/ssl/mx.pem"}
    assert ask(etc, ["192.0.2.1"], SENDERS, values=values).plan.findings == []


def test_port_25_of_a_host_that_nobody_else_reaches_is_no_filters(etc: Path) -> None:
    assert ask(etc, [], SENDERS, values={"inet_interfaces": "loopback-only"}).plan.findings == []


def test_a_listener_with_a_list_that_is_asked_for_is_its_postmasters(etc: Path) -> None:
    (etc / "master.cf").write_text(SMTP + "2525 inet n - y - - smtpd\n", encoding="utf-8")
    assert ask(etc, ["192.0.2.1"], services={"2525/inet": {LIST: "permit_mynetworks"}}).plan.findings == []
