# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for becomes a plan: complete, minimal, the same when seen twice, and nothing in it that was not asked for."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import own_table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.own_table import HEADER
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from hosts_of_text import MASTER, instance
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from issuing import issue

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
LEAF = issue(NAME, ROOT)
SELF_SIGNED = issue(NAME)
MAIN = "# hand written\nmyhostname = mx.example.org\nrelayhost =\nsmtpd_tls_cert_file = /etc/ssl/snakeoil.pem\n"
ON = {"smtpd_tls_security_level": "may", "smtpd_tls_protocols": ">=TLSv1.2"}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "main.cf").write_text(MAIN, encoding="utf-8")
    (tmp_path / "master.cf").write_text(MASTER, encoding="utf-8")
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    return tmp_path


def chain(leaf=LEAF) -> dict:
    return {"name": "default", "key": leaf.key_pem(), "certificate": leaf.pem}


def host(etc: Path, **values: str) -> Instance:
    """What Postfix reads of main.cf as it is on disk now: what is set there, else values, else its defaults."""
    main = MainCf((etc / "main.cf").read_text(encoding="utf-8"))
    known = instance().known
    written = {name: main.raw(name) for name in known if main.raw(name) is not None}
    return instance(str(etc), **dict({"smtp_tls_CApath": "/etc/ssl/certs"}, **values, **written))


def ask(etc: Path, leaf=None, values: dict | None = None, **intent: object) -> Proposal:
    return propose(host(etc, **(values or {})), Intent(chains=[chain(leaf)] if leaf else [], ca_file=str(etc / "root.pem"), **intent))


def carry_out(proposal: Proposal) -> None:
    for change in proposal.plan.changes:
        files.write(change.path, change.after)


def main_cf(etc: Path) -> str:
    return (etc / "main.cf").read_text(encoding="utf-8")


def test_a_certificate_and_a_level_become_one_chain_file_and_one_change_of_main_cf(etc: Path) -> None:
    proposal = ask(etc, LEAF, parameters=ON)
    assert [change.path for change in proposal.plan.changes] == [str(etc / "tls/default.pem"), str(etc / "main.cf")]
    carry_out(proposal)
    assert main_cf(etc) == (
        "# hand written\nmyhostname = mx.example.org\nrelayhost =\n"
        "smtpd_tls_security_level = may\nsmtpd_tls_protocols = >=TLSv1.2\nsmtpd_tls_chain_files = %s\n" % (etc / "tls/default.pem")
    )
    assert (etc / "tls/default.pem").read_text(encoding="utf-8") == HEADER + LEAF.key_pem() + LEAF.pem
    assert proposal.receiving and proposal.trusted == {str(etc / "tls/default.pem")} and proposal.plan.findings == []


def test_seen_again_there_is_nothing_to_do(etc: Path) -> None:
    carry_out(ask(etc, LEAF, parameters=ON))
    again = ask(etc, LEAF, parameters=ON)
    assert again.plan.changes == [] and again.receiving


def test_no_diff_holds_a_line_of_the_key(etc: Path) -> None:
    shown = str(ask(etc, LEAF, parameters=ON).plan.diff())
    assert LEAF.sha256 in shown
    assert not [line for line in LEAF.key_pem().splitlines() if line in shown]
    carry_out(ask(etc, LEAF, parameters=ON))
    other = issue(NAME, ROOT)
    shown = str(ask(etc, other, parameters=ON).plan.diff())
    assert LEAF.sha256 in shown and other.sha256 in shown and "PRIVATE KEY" not in shown


@pytest.mark.parametrize("leaf, why", [(SELF_SIGNED, "the certificate is self-signed"), (None, "there is no certificate")])
def test_without_a_certificate_that_peers_trust_only_sending_is_switched_on(etc: Path, leaf, why: str) -> None:
    (etc / "main.cf").write_text("relayhost =\n", encoding="utf-8")
    proposal = ask(etc, leaf, parameters=dict(ON, smtp_tls_security_level="may"))
    carry_out(proposal)
    assert MainCf(main_cf(etc)).raw("smtpd_tls_security_level") == "none"
    assert MainCf(main_cf(etc)).raw("smtp_tls_security_level") == "may"
    assert not (etc / "tls").exists() and not proposal.receiving
    [finding] = proposal.plan.findings
    assert why in finding["observed"] and "smtpd_tls_allow_self_signed: true" in finding["fix"]


def test_a_self_signed_certificate_can_be_allowed(etc: Path) -> None:
    proposal = ask(etc, SELF_SIGNED, parameters=ON, self_signed="allow")
    carry_out(proposal)
    assert MainCf(main_cf(etc)).raw("smtpd_tls_security_level") == "may"
    assert proposal.trusted == frozenset() and proposal.plan.findings == []


def test_a_chain_that_main_cf_names_already_is_proven_and_used(etc: Path) -> None:
    (etc / "own.pem").write_text(LEAF.key_pem() + LEAF.pem, encoding="utf-8")
    (etc / "main.cf").write_text("smtpd_tls_chain_files = %s\n" % (etc / "own.pem"), encoding="utf-8")
    proposal = ask(etc, parameters=ON)
    assert proposal.receiving and proposal.trusted == {str(etc / "own.pem")}
    (etc / "own.pem").write_text(issue(NAME, ROOT).key_pem() + LEAF.pem, encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="the key does not belong to the first certificate"):
        ask(etc, parameters=ON)


def test_key_and_certificate_may_be_two_of_the_chain_files(etc: Path) -> None:
    (etc / "privkey.pem").write_text(LEAF.key_pem().rstrip(), encoding="utf-8")
    (etc / "fullchain.pem").write_text(LEAF.pem, encoding="utf-8")
    (etc / "main.cf").write_text("smtpd_tls_chain_files = %s/privkey.pem, %s/fullchain.pem\n" % (etc, etc), encoding="utf-8")
    proposal = ask(etc, parameters=ON)
    assert proposal.receiving and proposal.trusted == {str(etc / "privkey.pem"), str(etc / "fullchain.pem")}


def test_every_chain_that_main_cf_names_is_proven(etc: Path) -> None:
    expired = issue(NAME, ROOT, kind="rsa", days=(-9, -1))
    (etc / "ec.pem").write_text(LEAF.key_pem() + LEAF.pem, encoding="utf-8")
    (etc / "main.cf").write_text("smtpd_tls_chain_files = %s/ec.pem, %s/rsa.pem\n" % (etc, etc), encoding="utf-8")
    (etc / "rsa.pem").write_text(expired.key_pem() + expired.pem, encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="it has expired"):
        ask(etc, parameters=ON)
    (etc / "rsa.pem").write_text(SELF_SIGNED.key_pem() + SELF_SIGNED.pem, encoding="utf-8")
    assert ask(etc, parameters=ON).trusted == frozenset()
    (etc / "main.cf").write_text("smtpd_tls_cert_file = %s\nsmtpd_tls_eccert_file = %s\n" % (etc / "rsa.pem", etc / "ec.pem"), encoding="utf-8")
    (etc / "rsa.pem").write_text(expired.pem + expired.key_pem(), encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="rsa.pem = certificate CN=mx.example.org: it has expired on"):
        ask(etc, parameters=ON)


@pytest.mark.parametrize("ruin", [
    lambda text: text.replace(LEAF.pem.splitlines()[1], LEAF.pem.splitlines()[1][:-1]), lambda text: "", lambda _text: "x" * (2 << 20),
])
def test_a_chain_file_that_is_damaged_is_replaced(etc: Path, ruin) -> None:
    carry_out(ask(etc, LEAF, parameters=ON))
    good = (etc / "tls/default.pem").read_text(encoding="utf-8")
    (etc / "tls/default.pem").write_text(ruin(good), encoding="utf-8")
    proposal = ask(etc, LEAF, parameters=ON)
    assert "leaf certificate sha256: none" in proposal.plan.diff()[0]["before"]
    carry_out(proposal)
    assert (etc / "tls/default.pem").read_text(encoding="utf-8") == good


def test_several_chains_are_listed_as_they_were_given_and_the_older_parameters_go(etc: Path) -> None:
    rsa = issue(NAME, ROOT, kind="rsa")
    (etc / "main.cf").write_text(MAIN + "smtpd_tls_key_file=/k\nsmtpd_tls_eccert_file=/e\nsmtpd_tls_dkey_file = /d\n", encoding="utf-8")
    chains = [dict(chain(rsa), name="rsa"), dict(chain(), name="ec", directory=str(etc / "elsewhere"))]
    carry_out(propose(host(etc), Intent(chains=chains, parameters=ON, ca_file=str(etc / "root.pem"))))
    assert MainCf(main_cf(etc)).raw("smtpd_tls_chain_files") == "%s/tls/rsa.pem, %s/elsewhere/ec.pem" % (etc, etc)
    assert not [line for line in main_cf(etc).splitlines() if "cert_file" in line or "key_file" in line]
    assert files.read(str(etc / "elsewhere/ec.pem")).mode == 0o600


def test_of_several_chains_the_self_signed_one_is_left_out(etc: Path) -> None:
    chains = [dict(chain(SELF_SIGNED), name="own"), dict(chain(issue("mx.example.org", ROOT, kind="rsa")), name="good")]
    intent = {"chains": chains, "parameters": ON, "ca_file": str(etc / "root.pem")}
    proposal = propose(host(etc), Intent(**intent))
    assert proposal.receiving and [change.path for change in proposal.plan.changes] == [str(etc / "tls/good.pem"), str(etc / "main.cf")]
    assert len(propose(host(etc), Intent(self_signed="allow", **intent)).plan.changes) == 3


@pytest.mark.parametrize("alone", [issue("debian"), issue("mx.example.org", days=(-9, -1))])
def test_a_self_signed_one_that_is_not_served_may_be_wrong_in_any_other_way(etc: Path, alone) -> None:
    """Such as Debian's snakeoil, made out to the name that the machine had first."""
    (etc / "own.pem").write_text(alone.key_pem() + alone.pem, encoding="utf-8")
    (etc / "main.cf").write_text("smtpd_tls_chain_files = %s/own.pem\n" % etc, encoding="utf-8")
    proposal = ask(etc, parameters=ON)
    assert not proposal.receiving and "the certificate is self-signed" in proposal.plan.findings[0]["observed"]
    with pytest.raises(PostfixTlsError, match="it does not cover that name|it has expired"):
        ask(etc, parameters=ON, self_signed="allow")


def test_chain_files_are_refused_by_a_postfix_that_knows_none(etc: Path) -> None:
    with pytest.raises(PostfixTlsError, match="chains: Postfix 3.3 has no smtpd_tls_chain_files. Postfix 3.4 or newer is needed"):
        ask(etc, LEAF, parameters=ON, values={"mail_version": "3.3.8"})


def test_chains_alone_leave_the_level_as_it_is(etc: Path) -> None:
    (etc / "main.cf").write_text("smtpd_tls_security_level = may\n", encoding="utf-8")
    proposal = ask(etc, LEAF)
    carry_out(proposal)
    assert proposal.receiving and main_cf(etc) == "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = %s/tls/default.pem\n" % etc
    (etc / "main.cf").write_text("smtpd_tls_security_level = none\n", encoding="utf-8")
    assert not ask(etc, LEAF).receiving


def test_obsolete_switches_go_with_the_level_that_overrides_them_and_not_otherwise(etc: Path) -> None:
    (etc / "main.cf").write_text("smtp_use_tls = yes\nsmtp_enforce_tls = no\nsmtpd_enforce_tls = yes\n", encoding="utf-8")
    assert ask(etc, parameters={"smtp_tls_loglevel": 1}).plan.diff()[0]["after"].startswith("smtp_use_tls = yes\nsmtp_enforce_tls = no\n")
    carry_out(ask(etc, parameters={"smtp_tls_security_level": "may"}))
    assert main_cf(etc) == "smtpd_enforce_tls = yes\nsmtp_tls_security_level = may\n"


def test_a_value_that_refers_to_another_is_written_once(etc: Path) -> None:
    same = {"smtpd_tls_mandatory_protocols": "$smtpd_tls_protocols"}
    carry_out(ask(etc, parameters=same))
    assert "smtpd_tls_mandatory_protocols = $smtpd_tls_protocols\n" in main_cf(etc)
    assert ask(etc, parameters=same).plan.changes == []


def test_a_reference_that_already_comes_to_the_value_stays(etc: Path) -> None:
    (etc / "main.cf").write_text("smtp_tls_CApath = $mine\n", encoding="utf-8")
    at = host(etc).after({"smtp_tls_CApath": "/etc/ssl/certs"})
    assert propose(at, Intent(parameters={"smtp_tls_CApath": "/etc/ssl/certs"})).plan.changes == []
    assert propose(at, Intent(parameters={"smtp_tls_CApath": str(etc)})).plan.changes


def test_without_a_main_cf_there_is_nothing_to_change(etc: Path) -> None:
    at = host(etc)
    (etc / "main.cf").unlink()
    with pytest.raises(PostfixTlsError, match="main.cf: there is no such file. Install and configure Postfix first"):
        propose(at, Intent(parameters={"smtp_tls_loglevel": 1}))


def test_what_postfix_has_to_read_back_is_every_value_written(etc: Path) -> None:
    proposal = ask(etc, parameters={"smtp_tls_loglevel": 1, "smtp_tls_protocols": ">=TLSv1.2", "smtpd_tls_cert_file": None})
    assert proposal.expected == {"smtp_tls_loglevel": "1", "smtp_tls_protocols": ">=TLSv1.2"}


def test_the_names_to_cover_are_myhostname_or_those_asked_for(etc: Path) -> None:
    with pytest.raises(PostfixTlsError, match="chain default = other.example.org: it does not cover that name"):
        ask(etc, LEAF, parameters=ON, names=["other.example.org"])
    with pytest.raises(PostfixTlsError, match=r"name = \[fd00::1\]: an address in a certificate has no brackets and no ipv6: before it. Write fd00::1."):
        ask(etc, LEAF, parameters=ON, names=["[fd00::1]"])
    (etc / "main.cf").write_text("myhostname = mx2.example.org\n", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="chain default = mx2.example.org: it does not cover that name"):
        ask(etc, LEAF, parameters=ON)


def test_files_on_the_host_are_read_there(etc: Path) -> None:
    (etc / "k").write_text(LEAF.key_pem(), encoding="utf-8")
    entry = {"name": "default", "key_file": str(etc / "k"), "certificate_file": str(etc / "c")}
    with pytest.raises(PostfixTlsError, match="chain default = %s: there is no such file on this host" % (etc / "c")):
        propose(host(etc), Intent(chains=[entry], parameters=ON))
    (etc / "c").write_text(LEAF.pem, encoding="utf-8")
    assert propose(host(etc), Intent(chains=[entry], parameters=ON, ca_file=str(etc / "root.pem"))).receiving


def test_encrypt_on_a_public_port_25_is_refused_unless_insisted(etc: Path) -> None:
    strict = {"smtpd_tls_security_level": "encrypt"}
    with pytest.raises(PostfixTlsError, match="a public server must take mail in the clear too .RFC 3207"):
        ask(etc, LEAF, parameters=strict)
    assert ask(etc, LEAF, parameters=strict, public_encrypt="allow").receiving
    assert ask(etc, LEAF, parameters=strict, values={"inet_interfaces": "loopback-only"}).receiving


def test_receiving_is_switched_off_without_looking_at_certificates(etc: Path) -> None:
    (etc / "main.cf").write_text("smtpd_tls_chain_files = /nonexistent\n", encoding="utf-8")
    proposal = ask(etc, parameters={"smtpd_tls_security_level": "none"})
    assert not proposal.receiving and proposal.plan.findings == []


def test_a_policy_stands_in_front_of_what_is_there(etc: Path) -> None:
    (etc / "main.cf").write_text("smtp_tls_policy_maps = inline:{a.example=none, b.example=may} socketmap:unix:/x:postfix\n", encoding="utf-8")
    partner = [{"destination": "partner.example", "level": "encrypt"}]
    proposal = ask(etc, policy={"destinations": partner})
    carry_out(proposal)
    mine = "texthash:%s" % (etc / "tls_policy")
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "%s, inline:{a.example=none, b.example=may}, socketmap:unix:/x:postfix" % mine
    assert proposal.tables == {mine: {"partner.example": "encrypt"}}
    assert ask(etc, policy={"destinations": partner}).plan.changes == []
    assert ask(etc, policy=None).plan.changes == []
    leaving = ask(etc, policy={"destinations": []})
    assert [change.path for change in leaving.plan.changes] == [str(etc / "main.cf"), str(etc / "tls_policy")], "main.cf lets go of it first"
    carry_out(leaving)
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "inline:{a.example=none, b.example=may}, socketmap:unix:/x:postfix"
    assert not (etc / "tls_policy").exists()


def long_policy(size: int, **entry: str) -> dict:
    return {"destinations": [dict({"destination": "p%d.example" % number, "level": "encrypt"}, **entry) for number in range(size)]}


def test_a_long_policy_has_an_index_that_is_made_aside_and_only_when_it_has_to_be(etc: Path) -> None:
    text, index = etc / "tls_policy", etc / "tls_policy.lmdb"
    proposal = ask(etc, policy=long_policy(own_table.LONG + 1))
    assert [change.path for change in proposal.plan.changes] == [str(text), str(index), str(etc / "main.cf")], "Postfix warns of an index older than its text"
    shown = next(change.diff()["after"] for change in proposal.plan.changes if change.path == str(index))
    assert shown == "an index that postmap made, %d bytes\n" % len(proposal.plan.changes[1].after.content)
    carry_out(proposal)
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "lmdb:%s" % text
    assert ask(etc, policy=long_policy(own_table.LONG + 1)).plan.changes == []
    index.write_text("p0.example\tnone\n", encoding="utf-8")
    assert [change.path for change in ask(etc, policy=long_policy(own_table.LONG + 1)).plan.changes] == [str(index)], "one that says something else"
    index.unlink()
    assert [change.path for change in ask(etc, policy=long_policy(own_table.LONG + 1)).plan.changes] == [str(index)], "one that is gone"
    carry_out(ask(etc, policy=long_policy(own_table.LONG + 1)))
    shorter = ask(etc, policy=long_policy(own_table.LONG))
    assert [change.path for change in shorter.plan.changes] == [str(text), str(etc / "main.cf"), str(index)]
    carry_out(shorter)
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "texthash:%s" % text and not index.exists()


@pytest.mark.parametrize("types, default, kind", [
    ("hash\nlmdb\ntexthash\n", "hash", "lmdb"), ("hash\ntexthash\n", "hash", "hash"), ("cdb\ntexthash\n", "cdb", "cdb"), ("texthash\n", "hash", "texthash"),
    ("sdbm\ntexthash\n", "sdbm", "texthash"),
])
def test_the_type_of_a_long_policy_is_one_that_the_host_has(etc: Path, types: str, default: str, kind: str) -> None:
    told = host(etc, default_database_type=default)
    told.table_types = types.split()
    proposal = propose(told, Intent(policy=long_policy(own_table.LONG + 1)))
    assert list(proposal.tables) == ["%s:%s" % (kind, etc / "tls_policy")]


def test_a_long_policy_that_leaves_takes_its_index_along_and_one_of_somebody_else_is_not_written_over(etc: Path) -> None:
    carry_out(ask(etc, policy=long_policy(own_table.LONG + 1)))
    carry_out(ask(etc, policy={"destinations": []}))
    assert not list(etc.glob("tls_policy*")) and MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") is None
    (etc / "tls_policy.db").write_text("theirs", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match=r"/tls_policy\.db: this file is not one that was written here"):
        ask(etc, policy=long_policy(1))


@pytest.mark.parametrize("kind", ["texthash", "hash", "proxy:texthash", "regexp"])
def test_a_table_of_somebody_else_at_our_path_stays_in_the_list_where_no_destination_is_named(etc: Path, kind: str) -> None:
    path = etc / "tls_policy"
    path.write_text("partner.example encrypt\n", encoding="utf-8")
    (etc / "main.cf").write_text("smtp_tls_policy_maps = inline:{a.example=may}, %s:%s\n" % (kind, path), encoding="utf-8")
    assert ask(etc, policy={"destinations": []}).plan.changes == []


def test_a_table_that_was_moved_away_leaves_the_list_too(etc: Path) -> None:
    path = etc / "tls_policy"
    partner = {"destinations": [{"destination": "partner.example", "level": "encrypt"}]}
    for kind in ("hash", "proxy:hash", "cdb", "regexp"):
        (etc / "main.cf").write_text("smtp_tls_policy_maps = %s:%s, inline:{a.example=may}\n" % (kind, path), encoding="utf-8")
        carry_out(ask(etc, policy=partner))
        assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "texthash:%s, inline:{a.example=may}" % path
        assert ask(etc, policy=partner).plan.changes == []


@pytest.mark.parametrize("table, wrong", [
    ("hash:/old", "smtp_tls_policy_maps = hash:/old: .*would send no mail but that which an entry is for.*postmap hash:/old"),
    ("regexp:/old", "smtp_tls_policy_maps = regexp:/old: "), ("socketmap:inet:127.0.0.1:8461:postfix", ""),
])
def test_a_table_behind_ours_that_cannot_be_opened_is_refused(etc: Path, table: str, wrong: str) -> None:
    (etc / "main.cf").write_text("smtp_tls_policy_maps = %s\n" % table, encoding="utf-8")
    policy = {"destinations": [{"destination": "partner.example", "level": "encrypt"}]}
    if wrong:
        with pytest.raises(PostfixTlsError, match=wrong):
            ask(etc, policy=policy)
    else:
        assert ask(etc, policy=policy).plan.changes


def test_the_same_warning_of_many_entries_is_told_of_some(etc: Path) -> None:
    told = [finding["observed"] for finding in ask(etc, policy=long_policy(20, level="none"), values={"smtp_tls_security_level": "may"}).plan.findings]
    assert told[:5] == ["policy for p%d.example: none is less than the may of smtp_tls_security_level" % number for number in range(5)]
    assert told[5:] == ["the same is so of 15 entries more"]


def test_trust_anchors_are_where_a_chrooted_client_finds_them_and_go_with_their_entry(etc: Path) -> None:
    (etc / "master.cf").write_text(MASTER + "smtp unix - - y - - smtp\n", encoding="utf-8")
    secure = {"destinations": [{"destination": "partner.example", "level": "secure", "tafile": ROOT.pem}]}
    told = propose(host(etc), Intent(policy=secure))
    anchors = [change.path for change in told.plan.changes if "tls_trust" in change.path]
    queue = host(etc).effective("queue_directory")
    assert len(anchors) == 2 and anchors[1] == queue + anchors[0]
    carry_out(told)
    for path in anchors:
        assert Path(path).read_text(encoding="utf-8").endswith(ROOT.pem) and Path(path).stat().st_mode & 0o777 == 0o644
    assert ask(etc, policy=secure).plan.changes == []
    carry_out(ask(etc, policy={"destinations": []}))
    assert not [path for path in anchors if Path(path).exists()]


def test_other_tables_come_behind_it_in_the_order_asked_for(etc: Path) -> None:
    (etc / "main.cf").write_text("smtp_tls_policy_maps = inline:{a.example=none}\n", encoding="utf-8")
    carry_out(ask(etc, policy=dict(long_policy(1), maps=["inline:{c.example=may}", "unionmap:{static:a,static:b}"])))
    expected = "texthash:%s, inline:{c.example=may}, unionmap:{static:a,static:b}" % (etc / "tls_policy")
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == expected
    carry_out(ask(etc, policy=dict(long_policy(1), maps=[])))
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "texthash:%s" % (etc / "tls_policy")


def test_a_table_that_holds_tables_stays_whole(etc: Path) -> None:
    maps = "inline:{ {a.example = secure match=a}, b.example=may }, unionmap:{inline:{c=may},hash:/x}"
    (etc / "main.cf").write_text("smtp_tls_policy_maps = %s\n" % maps, encoding="utf-8")
    carry_out(ask(etc, policy={"destinations": [{"destination": "partner.example", "level": "encrypt"}]}))
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "texthash:%s, %s" % (etc / "tls_policy", maps)


def test_a_table_of_the_same_name_that_a_postmaster_wrote_is_neither_removed_nor_replaced(etc: Path) -> None:
    (etc / "tls_policy").write_text("old.example encrypt\n", encoding="utf-8")
    (etc / "main.cf").write_text("smtp_tls_policy_maps = hash:%s\n" % (etc / "tls_policy"), encoding="utf-8")
    assert ask(etc, policy={"destinations": []}).plan.changes == []
    with pytest.raises(PostfixTlsError, match="tls_policy: this file is not one that was written here.*List its entries as destinations"):
        ask(etc, policy={"destinations": [{"destination": "partner.example", "level": "encrypt"}]})
    (etc / "tls_policy.db").write_text("old.example\tencrypt\n", encoding="utf-8")
    carry_out(ask(etc, policy={"destinations": [{"destination": "partner.example", "level": "encrypt"}], "path": str(etc / "mine")}))
    assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "texthash:%s, hash:%s" % (etc / "mine", etc / "tls_policy")


def test_maps_that_are_given_in_the_same_run_take_the_place_of_those_that_are_there(etc: Path) -> None:
    (etc / "main.cf").write_text("smtp_tls_policy_maps = hash:/x\n", encoding="utf-8")
    partner = [{"destination": "partner.example", "level": "encrypt"}]
    (etc / "y.db").touch()
    for given_maps, behind in (("hash:%s/y" % etc, ", hash:%s/y" % etc), (None, "")):
        carry_out(ask(etc, policy={"destinations": partner}, parameters={"smtp_tls_policy_maps": given_maps}))
        assert MainCf(main_cf(etc)).raw("smtp_tls_policy_maps") == "texthash:%s%s" % (etc / "tls_policy", behind)


def test_a_ca_for_the_policy_may_come_in_the_same_run(etc: Path) -> None:
    secure = [{"destination": "partner.example", "level": "secure"}]
    bare = instance(str(etc))
    with pytest.raises(PostfixTlsError, match="this host's smtp client trusts no CA"):
        propose(bare, Intent(policy={"destinations": secure}))
    proposal = propose(bare, Intent(policy={"destinations": secure}, parameters={"smtp_tls_CApath": "/etc/ssl/certs"}))
    assert proposal.tables == {"texthash:%s" % (etc / "tls_policy"): {"partner.example": "secure"}}


def test_null_removes_a_parameter_and_only_that(etc: Path) -> None:
    carry_out(ask(etc, parameters={"smtpd_tls_cert_file": None}))
    assert main_cf(etc) == MAIN.replace("smtpd_tls_cert_file = /etc/ssl/snakeoil.pem\n", "")


def test_the_same_meaning_in_other_words_is_no_change(etc: Path) -> None:
    (etc / "main.cf").write_text("smtp_tls_protocols = !SSLv2 !SSLv3\n !TLSv1 !TLSv1.1\nsmtp_tls_security_level=MAY\n", encoding="utf-8")
    same = {"smtp_tls_protocols": ">=TLSv1.2", "smtp_tls_security_level": "may"}
    assert ask(etc, parameters=same).plan.changes == []


def test_a_wrong_value_is_refused_before_anything_is_planned(etc: Path) -> None:
    with pytest.raises(PostfixTlsError, match="smtpd_tls_loglevel = loud: it takes a whole number"):
        ask(etc, LEAF, parameters=dict(ON, smtpd_tls_loglevel="loud"))


VALUES = {
    "smtp_tls_security_level": ["none", "may", "encrypt", None],
    "smtp_tls_protocols": [">=TLSv1.2", ">=TLSv1", "!SSLv3", None],
    "smtp_tls_loglevel": [0, 1, "2", None],
    "smtpd_tls_received_header": [True, False, None],
    "smtpd_tls_exclude_ciphers": [["aNULL", "MD5"], "", None],
}
LINES = st.lists(st.sampled_from([
    "smtp_tls_loglevel = 0", "smtp_tls_loglevel = 1", "  2", "# note", "", "smtp_use_tls = yes", "smtpd_tls_received_header=no", "mydomain = x",
    "smtp_tls_protocols = !SSLv2, !SSLv3",
]), max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}))
def test_a_plan_carried_out_leaves_nothing_to_do_and_is_the_diff_it_showed(etc: Path, lines: list, parameters: dict) -> None:
    before = "\n".join(["x = 1", *lines]) + "\n"
    (etc / "main.cf").write_text(before, encoding="utf-8")
    plan = ask(etc, parameters=parameters).plan
    assert ask(etc, parameters=parameters).plan.diff() == plan.diff()
    for change in plan.changes:
        files.write(change.path, change.after)
    assert [entry["after"] for entry in plan.diff()] == ([main_cf(etc)] if plan.changes else [])
    assert ask(etc, parameters=parameters).plan.changes == []
    for name, value in parameters.items():
        assert (MainCf(main_cf(etc)).raw(name) is None) == (value is None)


SERVICES = """\
smtp       inet  n  -  y  -  -  smtpd
submission inet  n  -  y  -  -  smtpd
  -o smtpd_tls_security_level=may
#smtps     inet  n  -  y  -  -  smtpd
relay      unix  -  -  y  -  -  smtp
"""


def master_cf(etc: Path) -> str:
    return (etc / "master.cf").read_text(encoding="utf-8")


def with_services(etc: Path, master: str = SERVICES, **intent: object) -> Proposal:
    (etc / "master.cf").write_text(master, encoding="utf-8")
    main = MainCf((etc / "main.cf").read_text(encoding="utf-8"))
    written = {name: main.raw(name) for name in main.names()}
    return propose(instance(str(etc), master, **written), Intent(ca_file=str(etc / "root.pem"), **intent))


def test_what_is_asked_for_one_service_is_written_there_and_read_back(etc: Path) -> None:
    asked = {"submission/inet": {"smtpd_tls_security_level": "encrypt", "smtpd_tls_auth_only": True, "smtpd_recipient_restrictions": None}}
    proposal = with_services(etc, services=asked, chains=[chain()])
    carry_out(proposal)
    assert master_cf(etc) == SERVICES.replace("level=may\n", "level=encrypt\n  -o smtpd_tls_auth_only=yes\n")
    assert proposal.overrides == {"submission/inet": {"smtpd_tls_security_level": "encrypt", "smtpd_tls_auth_only": "yes"}}
    assert with_services(etc, master_cf(etc), services=asked, chains=[chain()]).plan.changes == []


def test_an_override_goes_with_null_and_one_that_means_the_same_stays(etc: Path) -> None:
    gone = with_services(etc, services={"submission/inet": {"smtpd_tls_security_level": None}})
    carry_out(gone)
    assert "-o" not in master_cf(etc)
    assert with_services(etc, SERVICES.replace("=may", "=MAY"), chains=[chain()], services={
        "submission/inet": {"smtpd_tls_security_level": "may"}}).plan.summary() == [
            {"path": str(etc / "tls/default.pem"), "change": "create"}, {"path": str(etc / "main.cf"), "change": "change"}]


@pytest.mark.parametrize("key, told", [
    ("smtps/inet", "services = smtps/inet: master.cf of this host has no such service; it is commented out. Uncomment it in master.cf first."),
    ("submision/inet", "Did you mean submission/inet?"),
    ("x", "Write it as NAME/TYPE; receiving mail there are smtp/inet, submission/inet."),
])
def test_a_service_that_is_not_there_is_named(etc: Path, key: str, told: str) -> None:
    with pytest.raises(PostfixTlsError) as refused:
        with_services(etc, services={key: {"smtpd_tls_security_level": "may"}})
    assert told in str(refused.value)


def test_a_wrong_value_for_a_service_is_told_with_the_service(etc: Path) -> None:
    with pytest.raises(PostfixTlsError, match="submission/inet: smtpd_tls_security_level = dane: it takes one of"):
        with_services(etc, services={"submission/inet": {"smtpd_tls_security_level": "dane"}}, chains=[chain()])


def test_what_this_host_lacks_is_told_with_the_service_too(etc: Path) -> None:
    asked = {"services": {"relay/unix": {"requiretls_enable": True}}}
    with pytest.raises(PostfixTlsError, match="relay/unix: requiretls_enable = yes: .* it came with 3.11"):
        with_services(etc, **asked)
    [finding] = with_services(etc, unsupported="skip", **asked).plan.findings
    assert finding["observed"].startswith("relay/unix: requiretls_enable = True is left out: ")


def test_encrypt_for_the_service_on_public_port_25_is_refused_too(etc: Path) -> None:
    with pytest.raises(PostfixTlsError, match="a public server must take mail in the clear too"):
        with_services(etc, services={"smtp/inet": {"smtpd_tls_security_level": "encrypt"}}, chains=[chain()])


def test_without_a_certificate_a_service_offers_no_encryption_either(etc: Path) -> None:
    (etc / "main.cf").write_text("relayhost =\n", encoding="utf-8")
    proposal = with_services(etc, services={"submission/inet": {"smtpd_tls_security_level": "encrypt"}})
    assert proposal.overrides == {"submission/inet": {"smtpd_tls_security_level": "none"}}
    assert "there is no certificate" in proposal.plan.findings[0]["observed"]


def test_an_override_that_leaves_less_than_was_asked_for_is_told_and_one_that_asks_more_is_not(etc: Path) -> None:
    master = SERVICES.replace("=may", "=encrypt") + "  -o smtp_tls_security_level=none\n  -o smtpd_tls_security_level=none\n"
    proposal = with_services(etc, master, chains=[chain()], parameters=dict(ON, smtp_tls_security_level="may"))
    assert [finding["observed"] for finding in proposal.plan.findings] == [
        "master.cf: relay/unix has -o smtp_tls_security_level=none, which defeats the may of main.cf there"]


@pytest.mark.parametrize("name, value, written", [
    ("smtp_use_tls", True, {"smtp_tls_security_level": "may"}),
    ("smtp_enforce_tls", "yes", {"smtp_tls_security_level": "encrypt"}),
    ("smtp_use_tls", False, {"smtp_tls_security_level": "none"}),
    ("smtpd_tls_dh512_param_file", "/etc/ssl/dh512.pem", {}),
])
def test_an_obsolete_name_that_is_asked_for_is_written_by_todays_and_told(etc: Path, name: str, value: object, written: dict) -> None:
    proposal = ask(etc, parameters={name: value})
    assert proposal.expected == written
    [finding] = proposal.plan.findings
    assert finding["check"] == "obsolete" and name in finding["observed"]


def test_each_obsolete_name_is_told_with_what_stands_for_it_alone(etc: Path) -> None:
    proposal = ask(etc, parameters={"smtp_use_tls": True, "smtpd_tls_dh512_param_file": "/x"})
    assert [finding["fix"] for finding in proposal.plan.findings] == ["it is written as smtp_tls_security_level = may", "it is left out"]


def test_enforcing_by_the_old_name_meant_to_look_at_the_certificate_s_name_too(etc: Path) -> None:
    proposal = ask(etc, parameters={"smtp_enforce_tls": True}, values={"smtp_tls_enforce_peername": "yes"})
    assert proposal.expected == {"smtp_tls_security_level": "verify"}


def test_a_table_of_sites_has_no_meaning_in_todays_terms_and_is_not_lost(etc: Path) -> None:
    with pytest.raises(PostfixTlsError, match="smtp_tls_per_site = hash:/x: it is obsolete, and no parameter of today means the same"):
        ask(etc, parameters={"smtp_tls_per_site": "hash:/x"})
    (etc / "main.cf").write_text("smtp_tls_per_site = hash:/x\n", encoding="utf-8")
    on = {"smtp_tls_security_level": "may"}
    proposal = ask(etc, parameters=on)
    carry_out(proposal)
    assert "smtp_tls_per_site = hash:/x\n" in main_cf(etc) and "no other parameter has" in proposal.plan.findings[0]["observed"]
    with pytest.raises(PostfixTlsError, match="Postfix no longer looks at it beside smtp_tls_policy_maps, and what it holds would be lost"):
        ask(etc, parameters=on, policy={"destinations": [{"destination": "partner.example", "level": "encrypt"}]})


OLD_SUBMISSION = "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o smtpd_enforce_tls=yes\n"


def test_a_level_in_main_cf_does_not_silently_void_the_old_switch_of_a_service(etc: Path) -> None:
    (etc / "main.cf").write_text("smtpd_use_tls = yes\n", encoding="utf-8")
    proposal = with_services(etc, OLD_SUBMISSION, chains=[chain()], parameters=ON)
    carry_out(proposal)
    assert master_cf(etc) == OLD_SUBMISSION.replace("smtpd_enforce_tls=yes", "smtpd_tls_security_level=encrypt")
    assert "smtpd_use_tls" not in main_cf(etc) and len(proposal.plan.findings) == 2


def test_an_old_switch_that_counted_for_nothing_is_only_told(etc: Path) -> None:
    (etc / "main.cf").write_text("smtpd_tls_security_level = may\n", encoding="utf-8")
    proposal = with_services(etc, OLD_SUBMISSION, chains=[chain()], parameters=ON)
    carry_out(proposal)
    assert master_cf(etc) == OLD_SUBMISSION
    assert "smtpd_tls_services: {submission/inet: {smtpd_tls_security_level: encrypt}}" in proposal.plan.findings[0]["fix"]


def test_what_this_host_lacks_is_refused_or_left_out_and_told(etc: Path) -> None:
    asked = {"smtp_tlsrpt_enable": True, "smtp_tls_loglevel": 1}
    old = {"values": {"mail_version": "3.7.11"}}
    with pytest.raises(PostfixTlsError, match="it came with 3.10"):
        ask(etc, parameters=asked, **old)
    proposal = ask(etc, parameters=asked, unsupported="skip", **old)
    assert proposal.expected == {"smtp_tls_loglevel": "1"}
    assert "smtp_tlsrpt_enable = True is left out" in proposal.plan.findings[0]["observed"]


def test_one_name_serves_releases_before_and_after_it_was_changed(etc: Path) -> None:
    for release, name in (("3.5.25", "tlsproxy_client_level"), ("3.11.0", "tlsproxy_client_security_level")):
        for asked in ("tlsproxy_client_level", "tlsproxy_client_security_level"):
            assert ask(etc, parameters={asked: "may"}, values={"mail_version": release}).expected == {name: "may"}


def test_a_profile_is_rendered_and_what_is_asked_for_otherwise_wins(etc: Path) -> None:
    proposal = ask(etc, LEAF, parameters={"smtpd_tls_security_level": "may"}, profiles={"smtpd": "intermediate", "smtp": "intermediate"})
    assert proposal.profile == "intermediate"
    assert proposal.expected["smtpd_tls_protocols"] == proposal.expected["smtp_tls_protocols"] == ">=TLSv1.2"
    assert "kRSA" in proposal.expected["smtpd_tls_exclude_ciphers"]
    own = ask(etc, LEAF, parameters={"smtpd_tls_security_level": "may", "smtpd_tls_protocols": ">=TLSv1.3"}, profiles={"smtpd": "intermediate"})
    assert own.expected["smtpd_tls_protocols"] == ">=TLSv1.3" and own.profile == ""
    with pytest.raises(PostfixTlsError, match="smtpd profile = strict: there is no such profile. Use one of default, opportunistic, interop"):
        ask(etc, profiles={"smtpd": "strict"})


def test_what_only_openssl_can_say_is_a_file_of_ours_that_comes_and_goes_with_the_profile(etc: Path) -> None:
    path = etc / "tls/openssl.cnf"
    carry_out(ask(etc, LEAF, parameters=ON, profiles={"smtpd": "ncsc_2025"}))
    assert "SignatureAlgorithms" in path.read_text(encoding="utf-8") and MainCf(main_cf(etc)).raw("tls_config_file") == str(path)
    assert ask(etc, LEAF, parameters=ON, profiles={"smtpd": "ncsc_2025"}).plan.changes == []
    leaving = ask(etc, LEAF, parameters=ON, profiles={"smtpd": "interop"})
    assert [change.path for change in leaving.plan.changes] == [str(etc / "main.cf"), str(path)], "main.cf lets go of it first"
    carry_out(leaving)
    assert MainCf(main_cf(etc)).raw("tls_config_file") is None and not path.exists()


def test_what_one_profile_wrote_goes_when_another_takes_its_place_and_a_postmaster_s_own_line_stays(etc: Path) -> None:
    on = {"parameters": {"smtpd_tls_security_level": "may"}}
    carry_out(ask(etc, LEAF, profiles={"smtpd": "ncsc_2025"}, **on))
    assert {"tls_eecdh_auto_curves", "tls_preempt_cipherlist"} <= set(MainCf(main_cf(etc)).names())
    carry_out(ask(etc, LEAF, profiles={"smtpd": "interop"}, **on))
    assert not {"tls_eecdh_auto_curves", "tls_preempt_cipherlist"} & set(MainCf(main_cf(etc)).names())
    (etc / "main.cf").write_text(MAIN + "tls_preempt_cipherlist = yes\n", encoding="utf-8")
    carry_out(ask(etc, LEAF, profiles={"smtpd": "interop"}, **on))
    assert MainCf(main_cf(etc)).raw("tls_preempt_cipherlist") == "yes"
