# SPDX-License-Identifier: GPL-3.0-or-later
"""postfix_tls as Ansible calls it: its plan in check mode, its errors, and that a key stays where it belongs.

Postfix's commands are fakes that print what real ones print; what a run does to real Postfix is what the scenarios show.
"""
from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import apply, kept
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _change
from ansible_collections.mailsec.postfix_tls.plugins.modules import postfix_tls
from hosts_of_text import MASTER, instance
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)
SELF_SIGNED = issue("mx.example.org")


@pytest.fixture
def etc(tmp_path: Path, monkeypatch) -> Path:
    """A Postfix of files alone: postconf reads main.cf, the other commands succeed. Kept states lie beside it."""
    etc = tmp_path / "postfix"
    etc.mkdir()
    (etc / "main.cf").write_text("myhostname = mx.example.org\ninet_interfaces = loopback-only\n", encoding="utf-8")
    (etc / "master.cf").write_text(MASTER.splitlines()[1] + "\n", encoding="utf-8")
    (etc / "root.pem").write_text(ROOT.pem, encoding="utf-8")

    def command(argv: list, stdin: str | None = None, limit: float | None = None) -> tuple:
        if argv[0] == "postconf" and "-x" in argv:
            main = MainCf((etc / "main.cf").read_text(encoding="utf-8"))
            values = {name: value if main.raw(name) is None else main.raw(name) for name, value in instance(str(etc)).values.items()}
            return 0, "".join("%s = %s\n" % row for row in values.items()), ""
        return 0, "", ""

    monkeypatch.setattr(_change, "runner", lambda: command)
    monkeypatch.setattr(kept, "ROOT", str(tmp_path / "lib"))
    monkeypatch.setattr(_change, "Kept", lambda directory: kept.Kept(directory, str(tmp_path / "lib")))
    return etc


def arguments(etc: Path, leaf=LEAF, **more: object) -> dict:
    chain = {"name": "default", "key": leaf.key_pem(), "certificate": leaf.pem}
    return dict({
        "config_directory": str(etc), "chains": [chain], "parameters": {"smtpd_tls_security_level": "may"}, "action": "none",
        "verify": {"ca_file": str(etc / "root.pem")},
    }, **more)


def test_check_mode_tells_the_diff_of_a_real_run_and_touches_nothing(run, etc: Path, tmp_path: Path) -> None:
    before = sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())
    predicted = run(postfix_tls, **arguments(etc, _ansible_check_mode=True, _ansible_diff=True))
    assert sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()) == before
    done = run(postfix_tls, **arguments(etc, _ansible_diff=True))
    assert predicted["changed"] and done["changed"]
    assert predicted["diff"] == done["diff"] and predicted["plan"] == done["plan"]
    assert run(postfix_tls, **arguments(etc))["changed"] is False


def test_the_key_is_in_no_result_and_in_no_log(run, etc: Path, monkeypatch) -> None:
    logged: list = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _self, message, **_more: logged.append(message))
    results = [
        run(postfix_tls, **arguments(etc, _ansible_verbosity=4, _ansible_diff=True)),
        run(postfix_tls, **arguments(etc, leaf=issue("other.example.org", ROOT), _ansible_verbosity=4)),
    ]
    assert "chains=['default']" in logged[0] and "parameters={'smtpd_tls_security_level': 'may'}" in logged[0]
    said = json.dumps(results) + str(logged)
    assert not [line for line in LEAF.key_pem().splitlines() if line in said]
    assert "PRIVATE KEY" not in said
    logged.clear()
    run(postfix_tls, **arguments(etc, _ansible_no_log=True))
    assert logged == []


def test_the_payload_is_in_no_result_and_in_no_log_and_kept_by_a_real_run_alone(run, etc: Path, monkeypatch) -> None:
    logged: list = []
    kept: list = []

    class Payload:
        def __init__(self, packed: str) -> None:
            self.packed = packed

        def find_spec(self, fullname: str, path: object, target: object = None) -> None:
            """The modules are here already."""

        def keep(self) -> None:
            kept.append(self.packed)

    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _self, message, **_more: logged.append(message))
    monkeypatch.setattr(postfix_tls, "Payload", Payload)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    said = [run(postfix_tls, **arguments(etc, _payload="all of it", _ansible_verbosity=4, **more)) for more in (
        {"_ansible_check_mode": True}, {"unknown": 1}, {"parameters": {"smtpd_tls_security_level": "dane"}},
    )]
    assert kept == [] and [result.get("failed", False) for result in said] == [False, True, True]
    said.append(run(postfix_tls, **arguments(etc, _payload="all of it", _ansible_verbosity=4)))
    assert kept == ["all of it"] and len(logged) == 3 and sys.meta_path[0].packed == "all of it"
    assert not [word for word in ("all of it", '"_payload"', " _payload", "=_payload") if word in json.dumps(said) + str(logged)]


def test_a_self_signed_certificate_switches_receiving_off_and_says_so(run, etc: Path) -> None:
    result = run(postfix_tls, **arguments(etc, SELF_SIGNED))
    assert result["receiving"] is False and not (etc / "tls").exists()
    assert "the certificate is self-signed, so encryption is not offered for receiving" in result["findings"][0]["observed"]


def test_restored_takes_back_the_last_change_only_when_it_is_the_one_named(run, etc: Path) -> None:
    before = (etc / "main.cf").read_bytes()
    change = run(postfix_tls, **arguments(etc))
    back = {"config_directory": str(etc), "state": "restored", "action": "none"}
    assert run(postfix_tls, transaction="another", **back)["changed"] is False
    assert run(postfix_tls, _ansible_check_mode=True, **back)["changed"] is True
    assert run(postfix_tls, transaction=change["transaction"], **back)["changed"] is True
    assert (etc / "main.cf").read_bytes() == before and not (etc / "tls/default.pem").exists()
    assert run(postfix_tls, **back)["changed"] is False


@pytest.mark.parametrize("more, told", [
    ({"chains": [{"name": "default", "key": "x"}]}, "one of the following is required: certificate, certificate_file"),
    ({"chains": [{"name": "default", "key": "no key at all", "certificate": "y"}]}, "chain default: one PEM private key was expected, found 0"),
    ({"parameters": {"smtpd_tls_securty_level": "may"}}, "Did you mean smtpd_tls_security_level?"),
    ({"parameters": {"smtpd_tls_security_level": "dane"}}, "dane is a level for sending"),
    ({"policy": {"destinations": [{"destination": "a b"}]}}, "it is not a name that mail goes to"),
    ({"chains": [{"name": "default", "key": "no key at all", "key_file": "/y", "certificate": "z"}]}, "parameters are mutually exclusive: key|key_file"),
    ({"chains": [{"name": "default", "key_file": "/nonexistent", "certificate": "z"}]}, "chain default = /nonexistent: there is no such file on this host"),
    ({"verify": {"names": ["other.example.org"], "ca_file": "/nonexistent"}}, "ca_file = /nonexistent: there is no such file on this host"),
    ({"action": "kill"}, "value of action must be one of: restart, reload, none, got: kill"),
    ({"tls": True}, "Unsupported parameters"),
    ({"config_directory": "/nonexistent"}, "/nonexistent/master.cf: can't be read"),
])
def test_wrong_arguments_give_one_clear_message_before_anything_changed(run, etc: Path, more: dict, told: str) -> None:
    before = (etc / "main.cf").read_bytes()
    result = run(postfix_tls, **arguments(etc, **more))
    assert result["failed"] and told in result["msg"]
    assert (etc / "main.cf").read_bytes() == before and not (etc / "tls").exists()


@pytest.fixture
def live(etc: Path, tmp_path: Path, monkeypatch):
    """live(server): the one listener of this Postfix is a server that really answers; "postfix start" writes a process number.

    Its commands are fakes: here it is to be seen what the module makes of what the wire says, whatever the wire says.
    """
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    pid = tmp_path / "spool" / "pid" / "master.pid"
    pid.parent.mkdir(parents=True)
    pid.write_text(str(os.getpid()), encoding="ascii")
    said: list = []
    starts: list = []
    without_queue = _change.runner()
    monkeypatch.setattr(service.Service, "_queue_directory", lambda _self: str(tmp_path / "spool"))
    monkeypatch.setattr(_change.startable, "faults", lambda *_arguments: [])
    monkeypatch.setattr(service.drain, "is_master", lambda process: process in (os.getpid(), os.getppid()))

    def command(argv: list, stdin: str | None = None, limit: float | None = None) -> tuple:
        said.append(argv[-1])
        if argv[-1] == "queue_directory":
            return 0, "%s\n" % (tmp_path / "spool"), ""
        if "-I" in argv:  # stop and start, by way of the program that waits for deliveries
            said.append("start")
            starts[-1]()
            pid.write_text(str(os.getppid() if pid.read_text(encoding="ascii") == str(os.getpid()) else os.getpid()), encoding="ascii")
        return without_queue(argv, stdin)

    def listen(server: MailServer, at_start=lambda: None) -> list:
        starts.append(at_start)
        (etc / "master.cf").write_text("127.0.0.1:%d inet n - y - - smtpd\n" % server.port, encoding="utf-8")
        return said

    monkeypatch.setattr(_change, "runner", lambda: command)
    return listen


MADE_LIVE = {"action": "restart", "parameters": {"smtpd_tls_security_level": "may", "smtpd_tls_protocols": ">=TLSv1.2"}}


def files_of(directory: Path) -> dict:
    return {str(path): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in sorted(directory.rglob("*")) if path.is_file()}


def test_a_change_that_the_wire_bears_out_is_committed_and_another_run_only_proves_it(run, etc: Path, live) -> None:
    with MailServer(Behaviour(chain=LEAF)) as server:
        said = live(server)
        done = run(postfix_tls, **arguments(etc, **MADE_LIVE))
        assert (done["changed"], done["action_taken"]) == (True, "restart")
        assert [result["target"]["port"] for result in done["results"]] == [server.port]
        assert {finding["verdict"] for finding in done["results"][0]["findings"]} == {"pass"}
        assert stat.S_IMODE((etc / "tls/default.pem").stat().st_mode) == 0o600
        said.clear()
        again = run(postfix_tls, **arguments(etc, **MADE_LIVE))
        assert (again["changed"], again["action_taken"], again["transaction"], again["plan"]) == (False, "none", "", [])
        assert again["results"] and not {"start", "stop", "reload"} & set(said)


def test_a_diff_shows_what_peers_saw_before_and_what_they_see_now(run, etc: Path, live) -> None:
    behaviour = Behaviour(chain=LEAF, starttls=b"454 4.7.0 TLS not available\r\n")
    with MailServer(behaviour) as server:
        live(server, at_start=lambda: setattr(behaviour, "starttls", b"220 go\r\n"))
        done = run(postfix_tls, **arguments(etc, _ansible_diff=True, **MADE_LIVE))
    wire = done["diff"][-1]
    assert wire["before_header"] == "what peers see at 127.0.0.1:%d" % server.port
    assert "TLSv1.3 is refused" in wire["before"] and "TLSv1.3 is accepted" in wire["after"] and LEAF.sha256 in wire["after"]
    assert "what peers see" not in str(run(postfix_tls, **arguments(etc, action="none"))["diff"])


def test_a_change_that_the_wire_refutes_leaves_every_file_as_it_was(run, etc: Path, live) -> None:
    with MailServer(Behaviour(chain=issue("mx.example.org", ROOT))) as server:
        said = live(server)
        before = files_of(etc)
        failed = run(postfix_tls, **arguments(etc, **MADE_LIVE))
    assert failed["failed"] and failed["restored"] is True and failed["results"]
    assert "127.0.0.1:%d = deployed_chain: observed served leaf" % server.port in failed["msg"]
    assert "The old state is back and Postfix answers with it: " in failed["msg"]
    assert files_of(etc) == before
    assert said.count("start") == 2


def test_a_run_that_died_is_told_by_the_next_one(run, etc: Path, live, monkeypatch) -> None:
    class Killed(BaseException):
        """The machine dies."""

    def dies(_self: object, _action: str) -> None:
        raise Killed

    with MailServer(Behaviour(chain=LEAF)) as server:
        live(server)
        with monkeypatch.context() as patch:
            patch.setattr(_change.Service, "make_live", dies)
            with pytest.raises(Killed):
                run(postfix_tls, **arguments(etc, **MADE_LIVE))
        predicted = run(postfix_tls, **arguments(etc, _ansible_check_mode=True, **MADE_LIVE))
        assert (predicted["changed"], predicted["resumed"], predicted["action_taken"], predicted["plan"]) == (True, True, "restart", [])
        done = run(postfix_tls, **arguments(etc, **MADE_LIVE))
        assert (done["changed"], done["resumed"]) == (True, True)
        assert run(postfix_tls, **arguments(etc, **MADE_LIVE))["resumed"] is False


def test_a_run_that_had_to_wait_plans_on_what_the_other_one_left(run, etc: Path, monkeypatch) -> None:
    """The other run ends between this one's first look at the host and its turn."""
    real = kept.Kept.locked

    def locked(self: kept.Kept, **options: object):
        (etc / "main.cf").write_text("myhostname = other.example.org\ninet_interfaces = loopback-only\n", encoding="utf-8")
        return real(self, **options)

    monkeypatch.setattr(kept.Kept, "locked", locked)
    assert "chain default = other.example.org: it does not cover that name" in run(postfix_tls, **arguments(etc))["msg"]


def test_after_a_killed_run_restored_undoes_that_one_then_the_one_before(run, etc: Path, monkeypatch) -> None:
    class Killed(BaseException):
        """The machine dies."""

    def dies(_self: object) -> None:
        raise Killed

    states = [files_of(etc)]
    run(postfix_tls, **arguments(etc))
    states.append(files_of(etc))
    with monkeypatch.context() as patch:
        patch.setattr(_change.Service, "check", dies)
        with pytest.raises(Killed):
            run(postfix_tls, **arguments(etc, parameters={"smtpd_tls_security_level": "may", "smtpd_tls_loglevel": 2}))
    assert files_of(etc) != states[1]
    back = {"config_directory": str(etc), "state": "restored", "action": "none"}
    predicted = run(postfix_tls, _ansible_check_mode=True, _ansible_diff=True, **back)
    assert "an earlier run was killed midway" in str(predicted["findings"])
    done = run(postfix_tls, _ansible_diff=True, **back)
    assert (done["changed"], done["resumed"], done["diff"]) == (True, True, predicted["diff"]) and files_of(etc) == states[1]
    assert run(postfix_tls, **back)["changed"] is True and files_of(etc) == states[0]
    assert run(postfix_tls, **back)["changed"] is False


@pytest.mark.parametrize("section", ["chains", "sni"])
@pytest.mark.parametrize("secret", ["key", "key_file"])
def test_a_key_that_is_wrong_is_told_without_being_shown(run, etc: Path, monkeypatch, secret: str, section: str) -> None:
    other = issue("mx.example.org", ROOT)
    (etc / "key.pem").write_text(other.key_pem(), encoding="utf-8")
    held = other.key_pem() if secret == "key" else str(etc / "key.pem")
    logged: list = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _self, message, **_more: logged.append(message))
    wrong = [{"name": "default", secret: held, "certificate": LEAF.pem}]
    asked = {"chains": wrong} if section == "chains" else {"chains": [], "sni": [{"names": ["mx.example.org"], "chains": wrong}]}
    result = run(postfix_tls, **arguments(etc, _ansible_verbosity=4, **asked))
    assert result["msg"].startswith("chain default: the key belongs to none of its certificates.")
    said = json.dumps(result) + str(logged)
    assert not [line for line in other.key_pem().splitlines() if line in said]


def test_a_host_without_postfix_is_told_so_and_not_touched(run, etc: Path, monkeypatch, tmp_path: Path) -> None:
    def missing(argv: list, stdin: str | None = None) -> tuple:
        raise FileNotFoundError(argv[0], stdin)

    monkeypatch.setattr(_change, "runner", lambda: missing)
    result = run(postfix_tls, **arguments(etc))
    assert result["failed"] and result["msg"] == "postconf: there is no Postfix on this host. Install the package postfix first. Nothing was changed."
    assert not (tmp_path / "lib").exists() and not (etc / "tls").exists()


def test_policy_entries_are_checked_and_defaulted_by_the_arguments(run, etc: Path) -> None:
    only = {"chains": [], "parameters": {}, "policy": {"destinations": [{"destination": "Partner.example"}], "path": str(etc / "mine")}}
    result = run(postfix_tls, **arguments(etc, _ansible_check_mode=True, _ansible_diff=True, **only))
    assert [change["path"] for change in result["plan"]] == [str(etc / "mine"), str(etc / "main.cf")]
    assert result["diff"][0]["after"].endswith("\npartner.example\tencrypt\n")
    only["policy"]["destinations"][0]["level"] = "strict"
    assert "value of level must be one of" in run(postfix_tls, **arguments(etc, **only))["msg"]
