# SPDX-License-Identifier: GPL-3.0-or-later
"""What renews certificates on the host: which files there are to be, what is in them, and what the program does with them.

That systemd, cron and certbot start it, and that Postfix serves what it wrote, is for the scenarios to show.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _change
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal import bundle, program
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import renewal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft, Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files, kept
from hosts_of_text import instance
from issuing import Issued, issue

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)
NET = issue("mx.example.net", ROOT)


@pytest.fixture(autouse=True)
def etc(tmp_path: Path, monkeypatch) -> Path:
    """A host of files alone, with certbot's directories and with systemd's."""
    for name in ("postfix", "systemd", "run/systemd", "letsencrypt/live/mx", "letsencrypt/live/net", "sbin"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(renewal, "PROGRAM", str(tmp_path / "sbin" / "renew"))
    monkeypatch.setattr(renewal, "_UNITS", str(tmp_path / "systemd"))
    monkeypatch.setattr(renewal, "_SYSTEMD", str(tmp_path / "run" / "systemd"))
    monkeypatch.setattr(renewal, "_CRON", str(tmp_path / "cron"))
    monkeypatch.setattr(renewal, "_CERTBOT", str(tmp_path / "letsencrypt"))
    monkeypatch.setattr(renewal, "_HOOK", str(tmp_path / "hook"))
    etc = tmp_path / "postfix"
    (etc / "main.cf").write_text("# mine\n", encoding="utf-8")
    (etc / "master.cf").write_text("smtp inet n - y - - smtpd\n", encoding="utf-8")
    (etc / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    issued(tmp_path / "letsencrypt/live/mx", LEAF)
    issued(tmp_path / "letsencrypt/live/net", NET)
    return etc


def issued(folder: Path, leaf: Issued) -> None:
    (folder / "privkey.pem").write_text(leaf.key_pem(), encoding="utf-8")
    (folder / "fullchain.pem").write_text(leaf.pem, encoding="utf-8")


def source(etc: Path, name: str) -> dict:
    folder = etc.parent / "letsencrypt/live" / name
    return {"key_file": str(folder / "privkey.pem"), "certificate_file": str(folder / "fullchain.pem")}


def ask(etc: Path, wanted: bool | None = True, **more: object) -> Proposal:
    intent = {"chains": [dict(source(etc, "mx"), name="default")], "sni": [{"names": ["MX.example.net"], "chains": [source(etc, "net")]}]}
    return propose(instance(str(etc)), Intent(ca_file=str(etc / "root.pem"), renewal=wanted, **dict(intent, **more)))


def carry_out(proposal: Proposal) -> list:
    for change in proposal.plan.changes:
        files.write(change.path, change.after)
    return [Path(change.path).name for change in proposal.plan.changes]


UNITS = ["postfix-tls-renew.service", "postfix-tls-renew.timer"]


def test_with_systemd_it_is_started_when_a_file_changes_and_daily_and_by_certbot(etc: Path, tmp_path: Path) -> None:
    path = "postfix-tls-renew-%s.path" % str(etc).strip("/").replace("/", "-")
    assert carry_out(ask(etc)) == ["default.pem", "mx.example.net.pem", "sni", "renew", "renewal.json", *UNITS, path, "hook", "main.cf"]
    watched = [line for line in (tmp_path / "systemd" / path).read_text(encoding="utf-8").splitlines() if line.startswith("PathChanged=")]
    assert watched == ["PathChanged=%s" % file for name in ("mx", "net") for file in source(etc, name).values()]
    assert (tmp_path / "hook").read_text(encoding="utf-8").endswith("\nexec /usr/local/sbin/postfix-tls-renew\n")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("hook", "sbin/renew")] == [0o755, 0o755]
    assert not [change.path for change in ask(etc).plan.changes if not change.path.endswith(("main.cf", "sni"))]


def test_without_systemd_it_is_started_by_cron(etc: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(renewal, "_SYSTEMD", str(tmp_path / "absent"))
    assert carry_out(ask(etc))[3:] == ["renew", "renewal.json", "cron", "hook", "main.cf"]


def test_where_nothing_would_start_it_that_is_said(etc: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(renewal, "_SYSTEMD", str(tmp_path / "absent"))
    for there, said in (((), ["renewal"]), ((str(tmp_path),), [])):
        monkeypatch.setattr(renewal, "_CRONS", there)
        assert [finding["check"] for finding in ask(etc).plan.findings] == said


@pytest.mark.parametrize("file", ["live/privkey.pem", "/etc/x\nExecStart=/bin/evil"])
def test_what_no_unit_could_watch_is_refused(etc: Path, tmp_path: Path, monkeypatch, file: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(renewal.sni, "chains_of", lambda _entry: [{"name": "x", "key_file": file, "certificate_file": file}])
    with pytest.raises(PostfixTlsError, match="renewal = .*: no unit of systemd could watch a file of that name"):
        renewal.write(Draft.of(instance(str(etc)), Intent(renewal=True, sni=[{"names": ["a"], "chains": []}])))


def test_certbot_starts_it_only_where_a_file_is_certbots(etc: Path, monkeypatch) -> None:
    monkeypatch.setattr(renewal, "_CERTBOT", "/etc/letsencrypt")
    assert "hook" not in carry_out(ask(etc))


def test_the_request_names_files_and_holds_no_key(etc: Path) -> None:
    carry_out(ask(etc, chains=[dict(source(etc, "mx"), name="default"), {"name": "given", "key": (rsa := issue("mx.example.org", ROOT, kind="rsa")).key_pem(),
                                                                         "certificate": rsa.pem}]))
    text = (etc / "tls" / "renewal.json").read_text(encoding="utf-8")
    request = json.loads(text)
    assert [chain["name"] for chain in request["chains"]] == ["default"] and request["sni"][0]["chains"][0]["name"] == "mx.example.net"
    assert "PRIVATE" not in text and not any(line in text for line in rsa.key_pem().splitlines()[1:-1])


def test_it_goes_whole_and_only_where_that_is_asked_for(etc: Path, tmp_path: Path) -> None:
    carry_out(ask(etc))
    assert ask(etc, None).renewal is False and (etc / "tls" / "renewal.json").exists()
    carry_out(ask(etc, False))
    assert not (etc / "tls" / "renewal.json").exists() and not (tmp_path / "hook").exists()
    assert not os.listdir(tmp_path / "systemd") and not os.listdir(tmp_path / "sbin")
    assert ask(etc, False).renewal is False


def test_what_another_instance_needs_stays(etc: Path, tmp_path: Path, monkeypatch) -> None:
    carry_out(ask(etc))
    other = tmp_path / "postfix-out"
    (other / "tls").mkdir(parents=True)
    (other / "tls" / "renewal.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(renewal, "instances", lambda _run: [str(etc), str(other)])
    carry_out(ask(etc, False))
    assert not (etc / "tls" / "renewal.json").exists() and sorted(os.listdir(tmp_path / "systemd")) == UNITS and (tmp_path / "sbin" / "renew").exists()


def test_without_files_on_the_host_there_is_nothing_to_renew(etc: Path) -> None:
    with pytest.raises(PostfixTlsError, match="renewal = True: no chain comes from files on this host, so there is nothing to renew"):
        ask(etc, sni=None, chains=[{"name": "default", "key": LEAF.key_pem(), "certificate": LEAF.pem}])


def test_the_program_is_the_same_from_the_same_modules_and_needs_nothing_but_python(tmp_path: Path) -> None:
    (tmp_path / "renew").write_bytes(bundle.bundle())
    assert bundle.bundle() == (tmp_path / "renew").read_bytes()
    done = subprocess.run([sys.executable, "-I", str(tmp_path / "renew")], capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # no Postfix here, so there is nothing to renew


@pytest.fixture
def renews(etc: Path, tmp_path: Path, monkeypatch):
    """The program, for this instance; Postfix's commands are fakes and nothing is probed. -> (status, what it says)."""
    carry_out(ask(etc))
    said: list = []
    monkeypatch.setattr(program, "instances", lambda _run: [str(etc), str(tmp_path / "none")])
    monkeypatch.setattr(program, "_say", lambda level, line: said.append(line))
    monkeypatch.setattr(program, "_PAUSE", 0.0)
    monkeypatch.setattr(_change.Instance, "read", classmethod(lambda _cls, _run, directory: instance(directory)))
    monkeypatch.setattr(_change, "Kept", lambda directory: kept.Kept(directory, str(tmp_path / "lib")))
    monkeypatch.setattr(program, "run", lambda argv, stdin=None, limit=None: (0, "", ""))
    for name in ("make_live", "wait", "check"):
        monkeypatch.setattr(_change.Service, name, lambda _self, *_arguments: None)
    proven: list = [[]]
    monkeypatch.setattr(_change.Proof, "on_the_wire", lambda _self: proven[0])
    monkeypatch.setattr(_change.Proof, "observed", lambda _self: {})
    monkeypatch.setattr(_change.Proof, "promise", lambda _self: {})

    def run(*failing: Exception) -> tuple:
        if failing:
            monkeypatch.setattr(_change.Proof, "on_the_wire", lambda _self, left=list(failing): raise_or_not(left))
        said.clear()
        return program.main(), list(said)
    return run


def raise_or_not(left: list) -> list:
    if left:
        raise left.pop(0)
    return []


def test_what_has_not_changed_is_left_without_a_word(renews) -> None:
    assert renews() == (0, [])


def test_a_renewed_chain_is_written_and_told_and_main_cf_stays(renews, etc: Path, tmp_path: Path) -> None:
    new = issue("mx.example.org", ROOT)
    issued(tmp_path / "letsencrypt/live/mx", new)
    before = (etc / "main.cf").read_bytes()
    status, [said] = renews()
    assert status == 0 and "renewed, and served since the reload: %s/tls/default.pem (CN=mx.example.org, valid until" % etc in said and new.sha256 in said
    assert (etc / "tls" / "default.pem").read_text(encoding="utf-8") == new.key_pem() + new.pem
    assert (etc / "main.cf").read_bytes() == before and (etc / "tls" / "default.pem").stat().st_mode & 0o777 == 0o600


def test_a_renewal_is_nothing_to_roll_back_to(renews, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT))
    renews()
    assert [path.name for path in (tmp_path / "lib").glob("*/*")] == ["lock"]


def test_what_no_peer_could_use_leaves_the_old_one(renews, etc: Path, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT, days=(-9, -1)))
    status, [said] = renews()
    assert status == 1 and "chain default = certificate CN=mx.example.org: it has expired on" in said
    assert (etc / "tls" / "default.pem").read_text(encoding="utf-8") == LEAF.key_pem() + LEAF.pem


def test_what_the_wire_refutes_is_put_back(renews, etc: Path, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT))
    status, [said] = renews(PostfixTlsError("127.0.0.1:25", "deployed_chain", "observed another leaf", "Look at it."))
    assert status == 1 and "The old state is back and Postfix answers with it: %s/tls/default.pem" % etc in said
    assert (etc / "tls" / "default.pem").read_text(encoding="utf-8") == LEAF.key_pem() + LEAF.pem


def test_key_and_certificate_that_are_written_one_after_the_other_are_waited_for(renews, etc: Path, tmp_path: Path, monkeypatch) -> None:
    new = issue("mx.example.org", ROOT)
    folder = tmp_path / "letsencrypt/live/mx"
    (folder / "privkey.pem").write_text(new.key_pem(), encoding="utf-8")
    monkeypatch.setattr(program.time, "sleep", lambda _seconds: (folder / "fullchain.pem").write_text(new.pem, encoding="utf-8"))
    assert renews()[0] == 0 and (etc / "tls" / "default.pem").read_text(encoding="utf-8") == new.key_pem() + new.pem


def test_a_self_signed_one_does_not_take_the_place_of_one_that_peers_trust(renews, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org"))
    status, [said] = renews()
    assert status == 1 and "chain default: it is self-signed now, and peers would not trust it" in said


def test_a_damaged_request_is_named(renews, etc: Path) -> None:
    (etc / "tls" / "renewal.json").write_text("{", encoding="utf-8")
    status, [said] = renews()
    assert status == 1 and "%s/tls/renewal.json: it can't be read" % etc in said and "Run the playbook again" in said
