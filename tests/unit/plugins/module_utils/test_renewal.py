# SPDX-License-Identifier: GPL-3.0-or-later
"""What renews certificates on the host: which files there are to be, what is in them, and what the program does with them.

That systemd, cron and certbot start it, and that Postfix serves what it wrote, is for the scenarios to show.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _change
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal import bundle, clients, program, sources, units
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import renewal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft, Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.own_table import HEADER
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files, kept
from ansible_collections.mailsec.postfix_tls.plugins.modules.postfix_tls import ARGUMENT_SPEC
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
    monkeypatch.setattr(clients, "CERTBOT", str(tmp_path / "letsencrypt"))
    monkeypatch.setattr(units, "_ANOTHER", ())  # the tests' own directory is in /tmp
    monkeypatch.setattr(sources, "KEPT", str(tmp_path / "statuses"))
    monkeypatch.setattr(bundle, "interpreter", lambda: "/usr/bin/python3")
    etc = tmp_path / "postfix"
    (etc / "main.cf").write_text("# mine\n", encoding="utf-8")
    (etc / "master.cf").write_text("smtp inet n - y - - smtpd\n", encoding="utf-8")
    (etc / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    issued(tmp_path / "letsencrypt/live/mx", LEAF)
    issued(tmp_path / "letsencrypt/live/net", NET)
    for name in ("renewal/mx.conf", "renewal/net.conf", "accounts/acme.test/dir/1/private_key.json"):
        (tmp_path / "letsencrypt" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "letsencrypt" / name).write_text(RENEWAL, encoding="utf-8")
    return etc


RENEWAL = "[renewalparams]\naccount = 1\nserver = https://acme.test/dir\n"


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
    path = "postfix-tls-renew-%s.path" % kept.instance_name(str(etc))
    assert carry_out(ask(etc)) == ["default.pem", "mx.example.net.pem", "sni", "renew", "renewal.json", *UNITS, path, "hook", "main.cf"]
    watched = [line for line in (tmp_path / "systemd" / path).read_text(encoding="utf-8").splitlines() if line.startswith("PathChanged=")]
    assert watched == ["PathChanged=%s/letsencrypt/live/%s" % (tmp_path, name) for name in ("mx", "net")]
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
    (tmp_path / "renew").write_bytes(bundle.bundle("/usr/bin/python3"))
    assert bundle.bundle("/usr/bin/python3") == (tmp_path / "renew").read_bytes()
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
    monkeypatch.setattr(program, "_sandboxed", lambda: False)
    monkeypatch.setattr(_change.Instance, "read", classmethod(lambda _cls, _run, directory: instance(directory)))
    monkeypatch.setattr(_change, "Kept", lambda directory: kept.Kept(directory, str(tmp_path / "lib")))
    monkeypatch.setattr(program, "run", lambda argv, stdin=None, limit=None: (0, "", ""))
    monkeypatch.setattr(_change.Service, "running", lambda _self: True)
    monkeypatch.setattr(_change.startable, "faults", lambda *_arguments: [])
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
    assert (etc / "tls" / "default.pem").read_text(encoding="utf-8") == HEADER + new.key_pem() + new.pem
    assert (etc / "main.cf").read_bytes() == before and (etc / "tls" / "default.pem").stat().st_mode & 0o777 == 0o600


def test_a_renewal_is_nothing_to_roll_back_to(renews, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT))
    renews()
    assert [path.name for path in (tmp_path / "lib").glob("*/*")] == ["lock"]


def test_what_no_peer_could_use_leaves_the_old_one(renews, etc: Path, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT, days=(-9, -1)))
    status, [said] = renews()
    assert status == 1 and "chain default = certificate CN=mx.example.org: it has expired on" in said
    assert (etc / "tls" / "default.pem").read_text(encoding="utf-8") == HEADER + LEAF.key_pem() + LEAF.pem


def test_what_the_wire_refutes_is_put_back(renews, etc: Path, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT))
    status, [said] = renews(PostfixTlsError("127.0.0.1:25", "deployed_chain", "observed another leaf", "Look at it."))
    assert status == 1 and "The old state is back and Postfix answers with it: %s/tls/default.pem" % etc in said
    assert (etc / "tls" / "default.pem").read_text(encoding="utf-8") == HEADER + LEAF.key_pem() + LEAF.pem


def test_key_and_certificate_that_are_written_one_after_the_other_are_waited_for(renews, etc: Path, tmp_path: Path, monkeypatch) -> None:
    new = issue("mx.example.org", ROOT)
    folder = tmp_path / "letsencrypt/live/mx"
    (folder / "privkey.pem").write_text(new.key_pem(), encoding="utf-8")
    monkeypatch.setattr(program.time, "sleep", lambda _seconds: (folder / "fullchain.pem").write_text(new.pem, encoding="utf-8"))
    assert renews()[0] == 0 and (etc / "tls" / "default.pem").read_text(encoding="utf-8") == HEADER + new.key_pem() + new.pem


def test_a_self_signed_one_does_not_take_the_place_of_one_that_peers_trust(renews, tmp_path: Path) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org"))
    status, [said] = renews()
    assert status == 1 and "chain default: it is self-signed now, and peers would not trust it" in said


def test_a_damaged_request_is_named(renews, etc: Path) -> None:
    (etc / "tls" / "renewal.json").write_text("{", encoding="utf-8")
    status, [said] = renews()
    assert status == 1 and "%s/tls/renewal.json: it can't be read" % etc in said and "Run the playbook again" in said


def findings(etc: Path, **more: object) -> list:
    return [finding for finding in ask(etc, **more).plan.findings if finding["check"] == "renewal"]


def test_what_is_behind_links_is_watched_where_each_link_lies(etc: Path, tmp_path: Path) -> None:
    """As YunoHost, certbot and Kubernetes have it; what is written into the file behind is for a unit of its own."""
    for folder in ("certs/mx-history/1", "live", "archive", "secret/..1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "key.pem").touch()
    (tmp_path / "certs/mx").symlink_to("mx-history/1")
    (tmp_path / "live/cert.pem").symlink_to("../archive/key.pem")
    (tmp_path / "secret/..data").symlink_to("..1")
    (tmp_path / "secret/cert.pem").symlink_to("..data/key.pem")
    for file, directories, linked in (
        ("archive/key.pem", ["archive"], []),
        ("certs/mx/key.pem", ["certs"], ["certs/mx/key.pem", "certs/mx"]),
        ("live/cert.pem", ["live"], ["live/cert.pem"]),
        ("secret/cert.pem", ["secret"], ["secret/cert.pem"]),
    ):
        assert units.watched([str(tmp_path / file)]) == ([str(tmp_path / name) for name in directories], [str(tmp_path / name) for name in linked]), file
    (tmp_path / "loop").symlink_to("loop")
    assert units.watched([str(tmp_path / "loop")]).directories == [str(tmp_path)]


def test_no_start_is_one_too_many_and_the_service_is_closed(etc: Path, tmp_path: Path) -> None:
    carry_out(ask(etc))
    for name in os.listdir(tmp_path / "systemd"):
        text = (tmp_path / "systemd" / name).read_text(encoding="utf-8")
        assert name.endswith(".timer") or "\n[Unit]\n" in text and "\nStartLimitIntervalSec=0\n" in text.partition("\n[")[2].partition("\n[")[0], text
    service = (tmp_path / "systemd" / UNITS[0]).read_text(encoding="utf-8")
    assert "StandardError" not in service and {"NoNewPrivileges=yes", "ProtectHome=read-only", "TimeoutStartSec=15min"} <= set(service.splitlines())


@pytest.mark.parametrize("sources, folders, lines", [
    (["/srv/a.pem"], ["/etc/postfix/tls"], []),
    (["/home/acme/a.pem"], ["/root/tls", "/usr/local/etc/tls"], ["ReadWritePaths=-/root/tls", "ReadWritePaths=-/usr/local/etc/tls"]),
    (["/tmpfs/a.pem"], ["/homes/tls"], []),
])
def test_where_the_service_may_not_write_it_may_for_an_instance_that_has_to(sources: list, folders: list, lines: list) -> None:
    assert [line for line in units.exceptions(sources, folders).splitlines() if "=" in line] == lines


def test_files_in_tmp_are_those_that_all_see(monkeypatch) -> None:
    monkeypatch.setattr(units, "_ANOTHER", ("/tmp", "/var/tmp"))
    assert units.exceptions(["/tmp/a.pem"], ["/etc/postfix/tls"]).endswith("[Service]\nPrivateTmp=no\n")


def test_what_a_host_no_longer_needs_goes_while_the_rest_stays(etc: Path, tmp_path: Path) -> None:
    carry_out(ask(etc))
    for name in ("privkey.pem", "fullchain.pem"):
        (tmp_path / name).write_bytes((tmp_path / "letsencrypt/live/mx" / name).read_bytes())
    elsewhere = {"key_file": str(tmp_path / "privkey.pem"), "certificate_file": str(tmp_path / "fullchain.pem")}
    carry_out(ask(etc, chains=[dict(elsewhere, name="default")], sni=[]))
    assert not (tmp_path / "hook").exists() and (tmp_path / "sbin" / "renew").exists()


def test_switched_off_goes_what_is_left_of_it(etc: Path, tmp_path: Path) -> None:
    carry_out(ask(etc))
    (etc / "tls" / "renewal.json").unlink()
    carry_out(ask(etc, False))
    assert not os.listdir(tmp_path / "systemd") and not (tmp_path / "sbin" / "renew").exists()


class Systemd:
    """systemctl, with what it has of each unit. -> what was asked of it."""

    def __init__(self, **states: str) -> None:
        self.states, self.asked = states, []

    def __call__(self, argv: list, stdin: str | None = None) -> tuple:
        self.asked.append(argv[1:])
        told = [self.states.get(name.rpartition(".")[2], "active no").split() for name in argv[3:]] if argv[1] == "show" else []
        return 0, "\n".join("Id=%s\nActiveState=%s\nNeedDaemonReload=%s\n" % (name, *state) for name, state in zip(argv[3:], told)), ""


def test_systemd_is_told_of_units_that_are_new_or_other_and_asked_once_where_none_is(etc: Path, tmp_path: Path) -> None:
    carry_out(ask(etc))
    directories, _linked, timer, service = units.names(str(etc)).values()
    for states, asked in (
        ({}, []),
        ({"path": "active yes"}, [["daemon-reload"], ["enable", "--quiet", directories], ["restart", directories]]),
        ({"timer": "inactive no"}, [["daemon-reload"], ["enable", "--quiet", timer], ["restart", timer]]),
        ({"service": "inactive yes"}, [["daemon-reload"]]),
        ({"service": "failed no"}, [["start", "--no-block", service]]),
    ):
        systemd = Systemd(**states)
        told = renewal.settle(systemd, str(etc))
        assert systemd.asked[0][0] == "show" and systemd.asked[1:] == asked
        assert [finding["observed"] for finding in told] == ["the renewal program failed when it was started last"] * ("failed no" in states.values())


def test_systemd_is_told_of_units_that_are_gone(etc: Path, tmp_path: Path) -> None:
    (tmp_path / "systemd/timers.target.wants").mkdir()
    (tmp_path / "systemd/timers.target.wants/postfix-tls-renew.timer").symlink_to("/nowhere")
    systemd = Systemd()
    renewal.settle(systemd, str(etc))
    assert systemd.asked == [["stop", "postfix-tls-renew.timer"], ["reset-failed", "postfix-tls-renew.timer"], ["daemon-reload"]]
    assert not os.listdir(tmp_path / "systemd/timers.target.wants")


def test_a_file_named_by_its_version_is_told_with_the_name_that_leads_to_the_newest(etc: Path, tmp_path: Path) -> None:
    archive, live = tmp_path / "letsencrypt/archive/mx", tmp_path / "letsencrypt/live/mx"
    archive.mkdir(parents=True)
    for name in ("privkey", "fullchain"):
        (live / (name + ".pem")).rename(archive / (name + "1.pem"))
        (live / (name + ".pem")).symlink_to("../../archive/mx/%s1.pem" % name)
    [told] = findings(etc, sni=[], chains=[{"name": "default", "key_file": str(archive / "privkey1.pem"), "certificate_file": str(archive / "fullchain1.pem")}])
    assert "fullchain1.pem is one version of the file" in told["observed"] and told["fix"] == "name %s/fullchain.pem" % live
    assert not findings(etc)


@pytest.mark.parametrize("version, link, newest", [
    ("certs/mx-history/20240101/crt.pem", "certs/mx", "certs/mx/crt.pem"),
    ("dehydrated/fullchain-1699.pem", "dehydrated/fullchain.pem", "dehydrated/fullchain.pem"),
    ("secret/..2024_01/tls.crt", "secret/..data", "secret/..data/tls.crt"),
    ("srv/mx.pem", "srv/alias.pem", ""),
])
def test_other_clients_keep_versions_too(tmp_path: Path, version: str, link: str, newest: str) -> None:
    path = tmp_path / version
    path.parent.mkdir(parents=True)
    path.touch()
    (tmp_path / link).symlink_to(path if version.startswith(("dehydrated", "srv")) else path.parent)
    assert clients.newest(str(path)) == (str(tmp_path / newest) if newest else "")


def test_what_will_not_be_renewed_is_told_in_time(etc: Path, tmp_path: Path) -> None:
    assert not findings(etc)
    (tmp_path / "letsencrypt/accounts/acme.test/dir/1/private_key.json").unlink()
    told = findings(etc)
    assert len(told) == 2 and told[0]["observed"].startswith("chain default: certbot renews it by an account that is not there (")
    assert "/accounts/acme.test/dir/1)" in told[0]["observed"]
    (tmp_path / "letsencrypt/renewal/mx.conf").unlink()
    assert "chain default: certbot does not renew it, for there is no" in findings(etc)[0]["observed"]


@pytest.mark.parametrize("days, overdue", [((-60, 30), False), ((-69, 21), True), ((-4, 2), False), ((-5, 1), True), ((-30, 15), False)])
def test_what_should_have_been_renewed_by_now_is_told(etc: Path, tmp_path: Path, days: tuple, overdue: bool) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT, days=days))
    assert ["should have been renewed by now" in finding["observed"] for finding in findings(etc)] == [True] * overdue


def test_a_lineage_that_nobody_serves_any_more_is_told(etc: Path, tmp_path: Path) -> None:
    carry_out(ask(etc))
    (etc / "tls" / "old.pem").write_text("", encoding="utf-8")
    assert not findings(etc)
    (tmp_path / "letsencrypt/renewal/old.conf").write_text(RENEWAL, encoding="utf-8")
    [told] = findings(etc)
    assert "tls/old.pem is served by nothing" in told["observed"] and told["fix"].startswith("certbot delete --cert-name old,")


def test_a_renewed_chain_is_served_whatever_days_were_asked_for_and_that_is_told(renews, etc: Path, tmp_path: Path) -> None:
    request = json.loads((etc / "tls" / "renewal.json").read_text(encoding="utf-8"))
    request["verify"]["min_days_left"] = 14
    (etc / "tls" / "renewal.json").write_text(json.dumps(request), encoding="utf-8")
    new = issue("mx.example.org", ROOT, days=(-1, 6))
    issued(tmp_path / "letsencrypt/live/mx", new)
    status, said = renews()
    assert status == 0 and (etc / "tls" / "default.pem").read_text(encoding="utf-8") == HEADER + new.key_pem() + new.pem
    assert said[1:] == ["%s: chain default: served, though it ends 5 days from now, and 14 were asked for" % etc]


def test_what_is_not_ours_beside_the_files_costs_no_look(renews, etc: Path, tmp_path: Path, monkeypatch) -> None:
    assert not sources.nothing_new()
    renews()
    for unit, nothing_new in ((units.names(str(etc))["directories"], True), (units.names(str(etc))["linked"], True), ("postfix-tls-renew.timer", False),
                              ("postfix-tls-renew-etc-other.path", False)):
        monkeypatch.setenv("TRIGGER_UNIT", unit)
        assert sources.nothing_new() is nothing_new
    monkeypatch.setenv("TRIGGER_UNIT", units.names(str(etc))["directories"])
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT, days=(-9, -1)))
    assert not sources.nothing_new()
    assert renews()[0] == 1 and not sources.nothing_new()


def test_what_changes_during_a_look_is_looked_at_again(renews, etc: Path, tmp_path: Path, monkeypatch) -> None:
    newer = [issue("mx.example.org", ROOT) for _time in range(2)]
    issued(tmp_path / "letsencrypt/live/mx", newer[0])
    renewed, left = program._renewed, [newer[1]]

    def and_then(*arguments: object) -> list:
        told = renewed(*arguments)
        if left:
            issued(tmp_path / "letsencrypt/live/mx", left.pop())
        return told
    monkeypatch.setattr(program, "_renewed", and_then)
    assert renews()[0] == 0 and (etc / "tls" / "default.pem").read_text(encoding="utf-8") == HEADER + newer[1].key_pem() + newer[1].pem


def test_what_takes_too_long_is_put_back_and_told(renews, etc: Path, tmp_path: Path, monkeypatch) -> None:
    issued(tmp_path / "letsencrypt/live/mx", issue("mx.example.org", ROOT))
    monkeypatch.setattr(program, "_LONGEST", 1)
    monkeypatch.setattr(_change.Service, "check", lambda _self: time.sleep(20))
    status, [said] = renews()
    assert status == 1 and "renewal: it was not done after 1 s" in said and "The old state is back" in said
    assert (etc / "tls" / "default.pem").read_text(encoding="utf-8") == HEADER + LEAF.key_pem() + LEAF.pem


def test_what_nobody_foresaw_is_told_and_other_instances_are_looked_at(renews, monkeypatch) -> None:
    monkeypatch.setattr(program, "_renewed", lambda *_arguments: 1 / 0)
    assert renews() == (1, [said := renews()[1][0]]) and "ZeroDivisionError" in said and "this was not foreseen" in said


def test_success_is_no_error_output_and_an_error_is(capfd, monkeypatch) -> None:
    logged: list = []
    monkeypatch.setattr(program.syslog, "syslog", lambda level, line: logged.append((level, line)))
    program._say(program.syslog.LOG_INFO, "served")
    program._say(program.syslog.LOG_ERR, "refused")
    assert capfd.readouterr() == ("served\n", "refused\n") and [line for _level, line in logged] == ["served", "refused"]
    status = os.fstat(sys.stdout.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", "%d:%d" % (status.st_dev, status.st_ino))
    program._say(program.syslog.LOG_INFO, "served")
    assert capfd.readouterr() == ("<6>served\n", "") and len(logged) == 2


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch):
    """A system of these Pythons, {name: whether it fits}. -> what the program is started by."""
    monkeypatch.undo()

    def chosen(there: dict, running: str, safe: tuple) -> str:
        monkeypatch.setattr(bundle, "_roots_alone", lambda path: path in safe)
        monkeypatch.setattr(bundle, "_fits", lambda path: there.get(path, False))
        monkeypatch.setattr(bundle.sys, "executable", running)
        return bundle.interpreter()
    return chosen


SYSTEM, RHEL = "/usr/bin/python3", "/usr/libexec/platform-python"


@pytest.mark.parametrize("there, running, safe, chosen", [
    ({SYSTEM: True}, "/usr/bin/python3.99", (SYSTEM, "/usr/bin/python3.99"), SYSTEM),
    ({SYSTEM: True}, "/home/me/venv/bin/python", (SYSTEM,), SYSTEM),
    ({SYSTEM: False, RHEL: True}, "/usr/bin/python3.99", (SYSTEM, RHEL, "/usr/bin/python3.99"), RHEL),
    ({SYSTEM: False}, "/usr/bin/python3.99", (SYSTEM, "/usr/bin/python3.99"), "/usr/bin/python3.99"),
    ({SYSTEM: True}, "/opt/python/bin/python3.99", ("/opt/python/bin/python3.99",), "/opt/python/bin/python3.99"),
])
def test_the_program_is_started_by_a_python_that_stays(pythons, there: dict, running: str, safe: tuple, chosen: str) -> None:
    assert pythons(there, running, safe) == chosen
    assert bundle.lasting(chosen) is (chosen in (SYSTEM, RHEL))


@pytest.mark.parametrize("running, safe", [("/home/me/venv/bin/python", ()), ("/root/.local/bin/python", ("/root/.local/bin/python",))])
def test_where_only_a_users_python_is_there_that_is_refused(pythons, running: str, safe: tuple) -> None:
    with pytest.raises(PostfixTlsError, match="others may change it; there is no Python 3.9 or newer at /usr/bin/python3 or"):
        pythons({}, running, safe)


def test_what_others_can_write_root_does_not_start(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.undo()
    assert bundle._roots_alone("/usr/bin/env") and not bundle._roots_alone("/tmp/nosuch")
    python = tmp_path / "python"
    python.touch(0o755)
    assert not bundle._roots_alone(str(python))  # below /tmp


@pytest.fixture
def changes(etc: Path, tmp_path: Path, monkeypatch):
    """changes(directory, **options): what the module does there; Postfix's commands are fakes, and nothing is probed."""
    other = tmp_path / "postfix-out"
    monkeypatch.setattr(_change.Change, "_ready", lambda _self, _proposal: None)
    monkeypatch.setattr(_change.Service, "running", lambda _self: True)
    shutil.copytree(etc, other)
    monkeypatch.setattr(renewal, "instances", lambda _run: [str(etc), str(other)])
    monkeypatch.setattr(_change.Instance, "read", classmethod(lambda _cls, _run, directory: instance(directory)))
    monkeypatch.setattr(_change, "Kept", lambda directory: kept.Kept(directory, str(tmp_path / "lib")))
    for name in ("make_live", "wait", "check"):
        monkeypatch.setattr(_change.Service, name, lambda _self, *_arguments, name=name: made.append(name))
    for name, result in (("on_the_wire", []), ("observed", {}), ("promise", {}), ("of_files", None), ("difference", [])):
        monkeypatch.setattr(_change.Proof, name, lambda _self, *_arguments, result=result: result)
    made: list = []

    def run(directory: Path, **options: object) -> dict:
        made.clear()
        chain = dict(source(etc, "mx"), name="default", directory=str(directory / "tls"))
        params = {name: row.get("default") for name, row in ARGUMENT_SPEC.items()}
        params.update(config_directory=str(directory), verify={"names": None, "ca_file": str(etc / "root.pem"), "min_days_left": 0, "timeout": 1.0,
                                                               "start_timeout": 1.0})
        params.update({"chains": [chain], "renewal": True} if options.get("state", "present") == "present" else {}, **options)
        return dict(_change.Change(params, lambda argv, stdin=None: (0, "", "")).result(), made=list(made))
    run.other = other
    return run


def test_a_rollback_of_one_instance_leaves_what_another_needs_and_of_the_last_one_nothing(changes, etc: Path, tmp_path: Path) -> None:
    for directory in (etc, changes.other):
        assert changes(directory)["changed"]
    shared = [tmp_path / name for name in ("sbin/renew", "systemd/" + UNITS[0], "systemd/" + UNITS[1], "hook")]
    for directory, there in ((etc, True), (changes.other, False)):
        assert changes(directory, state="restored")["changed"]
        assert {path.exists() for path in shared} == {there}, directory
        assert not (directory / "tls" / "renewal.json").exists() and not list((tmp_path / "systemd").glob("*%s.path" % directory.name))
    changes(etc, state="restored", transaction=changes(etc, state="listed")["generations"][0]["id"])
    assert {path.exists() for path in shared} == {True}, "a rollback that is rolled back"


def test_another_program_of_ours_restarts_nothing_and_is_no_generation(changes, etc: Path, tmp_path: Path) -> None:
    first = changes(etc)["transaction"]
    (tmp_path / "sbin" / "renew").write_bytes(b"of an earlier release")
    (tmp_path / "systemd" / UNITS[0]).write_text("of an earlier release", encoding="utf-8")
    told = changes(etc)
    assert (told["changed"], told["action_taken"], told["transaction"], told["made"]) == (True, "none", "", ["check"])
    assert len(told["plan"]) == 2 and (tmp_path / "sbin" / "renew").stat().st_size > 10_000
    assert [row["id"] for row in changes(etc, state="listed")["generations"]] == [first]
    assert changes(etc)["changed"] is False
    assert changes(etc, state="restored")["changed"] and not (tmp_path / "sbin" / "renew").exists()


@pytest.mark.parametrize("sandboxed, unit, outside", [(True, False, True), (True, True, False), (False, False, False)])
def test_an_instance_that_is_no_unit_is_never_restarted_within_the_sandbox(renews, monkeypatch, sandboxed: bool, unit: bool, outside: bool) -> None:
    commands: list = []
    monkeypatch.setattr(program, "_sandboxed", lambda: sandboxed)
    monkeypatch.setattr(program, "_restarted_by_systemd", lambda _directory: unit)
    monkeypatch.setattr(program.subprocess, "run", lambda command, **_options: commands.append(command) or subprocess.CompletedProcess(command, 3))
    assert renews()[0] == int(outside) and [command[0] for command in commands] == ["systemd-run"] * outside
