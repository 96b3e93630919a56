# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains for names of their own: proven under these names, in files of their own, and in a table that names them."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.own_table import HEADER
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import chains
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from hosts_of_text import instance
from issuing import Issued, issue

ROOT = issue("root", authority=True)
NET = issue("mx.example.net", ROOT, names=("mx.example.net", "mail.example.net"))
NET_RSA = issue("mx.example.net", ROOT, kind="rsa")
BELOW = issue("*.example.com", ROOT)
ALONE = issue("mx.example.net")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "main.cf").write_text("# mine\n", encoding="utf-8")
    (tmp_path / "master.cf").write_text("smtp inet n - y - - smtpd\n", encoding="utf-8")
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    return tmp_path


def entry(*names: str, leaf: Issued = NET, **more: object) -> dict:
    return {"names": list(names), "chains": [dict({"key": leaf.key_pem(), "certificate": leaf.pem}, **more)]}


def ask(etc: Path, sni: list | None, tables: dict | None = None, level: str = "", **more: object) -> Proposal:
    main = MainCf((etc / "main.cf").read_text(encoding="utf-8"))
    value = main.raw("tls_server_sni_maps") or ""
    host = instance(str(etc), tls_server_sni_maps=value, smtpd_tls_security_level=level, tables=tables)
    return propose(host, Intent(sni=sni, ca_file=str(etc / "root.pem"), **more))


def carry_out(proposal: Proposal) -> list:
    for change in proposal.plan.changes:
        files.write(change.path, change.after)
    return [Path(change.path).name for change in proposal.plan.changes]


def table(etc: Path) -> str:
    return (etc / "tls" / "sni").read_text(encoding="utf-8")


def main_cf(etc: Path) -> str:
    return (etc / "main.cf").read_text(encoding="utf-8")


def test_each_entry_has_its_files_and_its_lines_and_a_second_run_changes_nothing(etc: Path) -> None:
    rsa = {"name": "net-rsa", "key": NET_RSA.key_pem(), "certificate": NET_RSA.pem}
    asked = [entry("MX.example.net"), entry(".example.com", leaf=BELOW, name="below")]
    asked[0]["chains"].append(rsa)
    proposal = ask(etc, asked)
    assert carry_out(proposal) == ["mx.example.net.pem", "net-rsa.pem", "below.pem", "sni", "main.cf"]
    tls = etc / "tls"
    assert table(etc) == HEADER + "mx.example.net\t%s/mx.example.net.pem, %s/net-rsa.pem\n.example.com\t%s/below.pem\n" % (tls, tls, tls)
    assert main_cf(etc) == "# mine\ntls_server_sni_maps = texthash:%s/tls/sni\n" % etc
    assert (tls / "mx.example.net.pem").stat().st_mode & 0o777 == 0o600 and (tls / "sni").stat().st_mode & 0o777 == 0o644
    assert [tuple(named) for named in proposal.sni] == [
        ("mx.example.net", [NET.sha256, NET_RSA.sha256], True), ("any.example.com", [BELOW.sha256], True),
    ]
    again = ask(etc, asked)
    assert not again.plan.changes and again.sni == proposal.sni


def test_other_tables_stay_behind_ours_and_alone_when_it_goes(etc: Path) -> None:
    (etc / "main.cf").write_text("tls_server_sni_maps = hash:/etc/postfix/sni\n", encoding="utf-8")
    carry_out(ask(etc, [entry("mx.example.net")]))
    assert main_cf(etc) == "tls_server_sni_maps = texthash:%s/tls/sni, hash:/etc/postfix/sni\n" % etc
    assert not ask(etc, None).plan.changes
    assert carry_out(ask(etc, [])) == ["main.cf", "sni"]
    assert main_cf(etc) == "tls_server_sni_maps = hash:/etc/postfix/sni\n" and not (etc / "tls" / "sni").exists()


def found(etc: Path, sni: list | None, tables: dict, **more: object) -> tuple:
    """(names to look at that are not ours, what is told of them)"""
    if "parameters" not in more:
        (etc / "main.cf").write_text("tls_server_sni_maps = %s\n" % ", ".join(tables), encoding="utf-8")
    proposal = ask(etc, sni, tables, "may", **more)
    [told] = [finding["observed"] for finding in proposal.plan.findings if finding["check"] == "sni"] or [""]
    return [(named.name, named.trusted) for named in proposal.sni if not named.digests], told


def test_names_of_tables_that_are_not_ours_are_looked_at_and_their_keys_told_nowhere(etc: Path) -> None:
    seen, told = found(etc, None, {"hash:/a": {"mx.example.net": "LS0tLS1CRUdJTg==", ".example.com": "LS0t"}, "texthash:/b": {"mx.example.net": "/x.pem"}})
    assert seen == [("mx.example.net", None), ("any.example.com", None)]
    assert told == "hash:/a, texthash:/b: not written here; what they serve for mx.example.net, .example.com is looked at on the wire"


def test_a_name_that_ours_has_in_front_is_looked_at_once_as_ours(etc: Path) -> None:
    seen, told = found(etc, [entry("MX.example.net")], {"hash:/a": {"mx.example.net": "x"}})
    assert not seen and told == "hash:/a: not written here; sni has all its names in front"
    ours = {"texthash:%s/tls/sni" % etc: {"mx.example.net": "x"}}
    (etc / "tls").mkdir()
    (etc / "tls" / "sni").write_text(HEADER, encoding="utf-8")
    assert found(etc, None, ours) == ([], "")
    (etc / "tls" / "sni").write_text("mx.example.net x\n", encoding="utf-8")
    assert found(etc, None, ours)[0] == [("mx.example.net", None)]


def test_names_beyond_the_first_ones_and_those_that_are_none_are_told(etc: Path) -> None:
    many = {"m%d.example.net" % number: "x" for number in range(11)}
    seen, told = found(etc, None, {"inline:{}": dict(many, **{"*.example.net": "x", "mx example": "x"}), "regexp:/r": {}})
    assert [name for name, _trusted in seen] == list(many)[:10]
    assert "; 3 more names are not looked at (m10.example.net, *.example.net, mx example); what regexp:/r serves is not looked at, for its names " in told


def test_what_a_table_serves_that_this_run_asks_for_has_to_be_right(etc: Path) -> None:
    tables = {"inline:{a=x}": {"mx.example.net": "x"}, "inline:{b=x}": {"mx.example.org": "x"}}
    (etc / "main.cf").write_text("tls_server_sni_maps = inline:{a=x}\n", encoding="utf-8")
    seen, _told = found(etc, None, tables, parameters={"tls_server_sni_maps": "inline:{a=x}, inline:{b=x}"})
    assert seen == [("mx.example.net", None), ("mx.example.org", True)]


def test_a_self_signed_one_is_served_only_where_that_is_allowed(etc: Path) -> None:
    proposal = ask(etc, [entry("mx.example.net", leaf=ALONE)])
    assert not proposal.plan.changes and [finding["check"] for finding in proposal.plan.findings] == ["sni"]
    allowed = ask(etc, [entry("mx.example.net", leaf=ALONE)], self_signed="allow")
    assert len(allowed.plan.changes) == 3 and allowed.sni[0].trusted is False


def test_one_that_is_made_here_covers_all_names_below(etc: Path, monkeypatch) -> None:
    asked: list = []
    monkeypatch.setattr(chains.self_signed, "chain", lambda _run, name, names, _held: asked.append(names) or chains.pem.chain(name, BELOW.key_pem(), BELOW.pem))
    ask(etc, [{"names": [".Example.com"], "chains": [{"self_signed": True}]}], self_signed="allow")
    assert asked == [["*.example.com"]]


def test_no_key_is_in_a_diff(etc: Path) -> None:
    shown = str(ask(etc, [entry("mx.example.net")]).plan.diff())
    assert NET.sha256 in shown and not any(line in shown for line in NET.key_pem().splitlines()[1:-1])


WRONG = {
    "not a name": ([entry("mx example.net")], "sni = 'mx example.net': it is no name that a client asks for"),
    "two lines": ([entry("mx.example.net\nother")], "it is no name that a client asks for"),
    "other letters": ([entry("münchen.example")], r"other letters in their IDNA form \(xn--\)"),
    "an address": ([entry("[192.0.2.1]")], "it is no name that a client asks for"),
    "twice": ([entry("mx.example.net"), entry("Mx.example.net", name="other")], "sni = Mx.example.net: it is listed twice"),
    "no name": ([entry()], "an entry without a name or without a chain serves nobody"),
    "no chain": ([{"names": ["mx.example.net"], "chains": []}], "an entry without a name or without a chain serves nobody"),
    "a name that the certificate has not": ([entry("mx.example.net", "imap.example.net")],
                                            "chain mx.example.net = imap.example.net: it does not cover that name"),
    "names below, and a certificate for one": ([entry(".example.net")], "chain example.net = any.example.net: it does not cover that name"),
    "one file for two": ([entry("mx.example.net"), entry("mail.example.net", name="mx.example.net")], "two chains have that file. Give each a name"),
    "two of a kind": ([dict(entry("mx.example.net"), chains=entry("x", name="a")["chains"] + entry("x", name="b")["chains"])],
                      r"its key is of the same kind \(EC\) as that of chain a"),
    "a blank in the path": ([entry("mx.example.net", directory="/etc/my keys")], "in that table a blank or a comma would end the path"),
    "a chain named out of its directory": ([entry("mx.example.net", name="../x")], "chains = '../x': its file can't be called so"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_not_be_served_is_refused_and_nothing_is_planned(case: str, etc: Path) -> None:
    asked, told = WRONG[case]
    with pytest.raises(PostfixTlsError, match=told):
        ask(etc, asked)


def test_a_table_of_that_name_that_was_not_written_here_stays(etc: Path) -> None:
    (etc / "tls").mkdir()
    (etc / "tls" / "sni").write_text("mx.example.net /etc/ssl/mine.pem\n", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="tls/sni: this file is not one that was written here, and its entries would be lost"):
        ask(etc, [entry("mx.example.net")])
    assert carry_out(ask(etc, [])) == [] and table(etc) == "mx.example.net /etc/ssl/mine.pem\n"
