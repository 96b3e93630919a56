# SPDX-License-Identifier: GPL-3.0-or-later
"""A change holds, proven, or nothing changed: under every failure, and killed at every step.

Postfix itself is a fake here, because no real one dies on demand between two writes; that a real one is restarted, proven and put
back is what the scenarios show. Files, kept states and locks are real.
"""
from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import apply, files, kept
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.apply import Transaction
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.kept import Kept
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan

REAL_RENAME, REAL_FSYNC = os.rename, os.fsync


class Killed(BaseException):
    """The machine dies here: nothing of the run goes on, not even its exception handlers for errors."""


class Host:
    """A directory with configuration, and a Postfix that serves what main.cf held when it was last made live."""

    def __init__(self, directory: Path) -> None:
        self.etc = directory / "etc"
        self.etc.mkdir()
        self.main = self.etc / "main.cf"
        self.chain = self.etc / "chain.pem"
        self.write("good 0")
        self.serving: str | None = "good 0"
        self.kept = Kept("/etc/postfix", str(directory / "lib"))
        self.calls: list = []
        self.fatal_call = 0  # the number of the call that kills the run
        self.marked: int | None = None  # how many calls were made before the log was marked
        self.full_call = 0  # the number of the call that finds the disk full
        self.broken: dict = {}  # {call: error it raises}
        self.broken_once: dict = {}  # the same, at its first call

    def write(self, text: str) -> None:
        self.main.write_text(text, encoding="utf-8")

    def step(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.fatal_call:
            raise Killed(name)
        if len(self.calls) == self.full_call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if name in self.broken:
            raise self.broken[name]
        if name in self.broken_once:
            raise self.broken_once.pop(name)

    # what Transaction calls a service
    def mark_log(self) -> None:
        self.marked = len(self.calls)

    def log(self) -> list:
        return ["postfix/smtpd[1]: warning: no key"] if self.marked == 0 else []

    def check(self) -> None:
        self.step("check")

    def make_live(self, action: str) -> None:
        self.step(action)
        self.serving = self.main.read_text(encoding="utf-8")

    def stop(self) -> None:
        self.step("stop")
        self.serving = None

    def wait(self) -> None:
        self.step("wait")

    def check_files(self) -> None:
        self.step("check files")

    def prove(self) -> list:
        self.step("prove")
        if self.serving is None or "good" not in self.serving or self.serving != self.main.read_text(encoding="utf-8"):
            raise PostfixTlsError("127.0.0.1:25", "handshake", "refused", "Fix it.")
        return ["proven %s" % self.serving]

    def observe(self) -> dict:
        self.step("observe")
        return {"smtp": self.serving}

    def run(self, text: str, action: str = "restart", kind: str = "change", **more: object):
        """What the module does for an intent that wants main.cf to hold text, and a chain beside it."""
        transaction = Transaction(self.kept, action, self, self.check_files, self.prove, self.observe, kind, **more)
        with self.kept.locked(wait=0.2):
            plan = Plan()
            plan.add(str(self.chain), files.read(str(self.chain)), FileState(b"KEY for " + text.encode(), 0o600, os.getuid(), os.getgid()), True)
            before = files.read(str(self.main))
            plan.add(str(self.main), before, FileState(text.encode(), before.mode, before.uid, before.gid))
            return transaction.carry_out(plan)

    def restore(self):
        transaction = Transaction(self.kept, "restart", self, self.check_files, self.prove, self.observe, "restored")
        with self.kept.locked():
            generation = self.kept.pending if self.kept.pending.exists() else self.kept.previous
            return transaction.carry_out(Plan(generation.differing()))

    def state(self) -> tuple:
        chain = self.chain.read_bytes() if self.chain.exists() else None
        return self.main.read_text(encoding="utf-8"), chain, stat.S_IMODE(self.main.stat().st_mode)


@pytest.fixture
def host(tmp_path: Path, monkeypatch) -> Host:
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    return Host(tmp_path)


def test_a_change_is_checked_made_live_and_proven_in_this_order(host: Host) -> None:
    outcome = host.run("good 1")
    assert host.calls == ["observe", "check", "check files", "restart", "wait", "prove"]
    assert (outcome.changed, outcome.action_taken, outcome.results) == (True, "restart", ["proven good 1"])
    assert host.kept.previous.id == outcome.transaction
    assert not host.kept.pending.exists()


def test_an_unchanged_host_is_only_proven(host: Host) -> None:
    host.run("good 1")
    before, host.calls = host.state(), []
    outcome = host.run("good 1")
    assert host.calls == ["prove"]
    assert (outcome.changed, outcome.action_taken, host.state()) == (False, "none", before)


def test_an_unchanged_host_that_does_not_serve_what_is_written_is_made_live_once(host: Host) -> None:
    host.run("good 1")
    host.serving = None
    outcome = host.run("good 1")
    assert (outcome.changed, outcome.action_taken, host.serving) == (True, "restart", "good 1")


def test_without_an_action_nothing_is_touched_but_files(host: Host) -> None:
    host.run("good 1", action="none")
    assert host.calls == ["check", "check files"] and host.serving == "good 0"


def test_without_an_action_and_without_a_change_nothing_is_done(host: Host) -> None:
    host.run("good 1")
    host.calls = []
    outcome = host.run("good 1", action="none")
    assert host.calls == [] and (outcome.changed, outcome.action_taken, outcome.transaction, outcome.results) == (False, "none", None, [])


ERROR = PostfixTlsError("postfix check", None, "broken", "Mend it.")


def test_a_state_that_postfix_refuses_is_put_back_and_not_tried_at_the_cost_of_what_runs(host: Host) -> None:
    before = host.state()
    host.broken = {"check": ERROR}
    with pytest.raises(PostfixTlsError, match="The old state is back, but it is none that Postfix can start with .* was not restarted and goes on as it was"):
        host.run("good 1")
    assert host.calls == ["observe", "check", "check"] and (host.state(), host.serving) == (before, "good 0")
    assert not host.kept.pending.exists()


def test_nothing_is_written_where_postfix_could_not_start_again(host: Host) -> None:
    before = host.state()
    with pytest.raises(PostfixTlsError, match="port 22"):
        host.run("good 1", ready=refuse)
    assert (host.state(), host.calls, host.kept.pending.exists()) == (before, [], False)
    host.serving = None
    with pytest.raises(PostfixTlsError, match="port 22"):
        host.run("good 0", ready=refuse)
    assert "restart" not in host.calls
    assert host.run("good 1", action="none", ready=refuse).changed


def refuse() -> None:
    raise PostfixTlsError("master.cf: 22/inet", None, "port 22 at 0.0.0.0: Address already in use", "Stop that program.")


@pytest.mark.parametrize("text", ["bad 1", "good 1"])
def test_a_postfix_that_was_stopped_is_stopped_again_where_it_was_started_in_vain(host: Host, text: str) -> None:
    before, host.serving = host.state(), None
    if text == "bad 1":
        with pytest.raises(PostfixTlsError, match="The old state is back, and Postfix is stopped as it was"):
            host.run(text, stopped=True)
        assert (host.state(), host.serving) == (before, None)
    else:
        host.run(text, stopped=True)
        assert host.serving == text
        host.serving, host.broken = None, {"prove": ERROR}
        with pytest.raises(PostfixTlsError):
            host.run(text, stopped=True)
        assert host.serving is None


@pytest.mark.parametrize("broken", [
    {"check": ERROR}, {"check files": ERROR}, {"prove": ERROR}, {"check files": ValueError("a bug of ours")},
])
def test_a_change_that_does_not_hold_is_put_back_byte_for_byte_made_live_and_told(host: Host, broken: dict) -> None:
    host.main.chmod(0o640)
    before = host.state()
    host.broken_once = dict(broken)
    with pytest.raises(PostfixTlsError) as failed:
        host.run("good 1")
    assert host.state() == before and host.serving == "good 0"
    assert failed.value.details["restored"] is True
    assert failed.value.details["log"] == ["postfix/smtpd[1]: warning: no key"]
    assert "The old state is back and Postfix answers with it: %s, %s." % (host.chain, host.main) in str(failed.value)
    assert not host.kept.pending.exists() and not host.kept.previous.exists()


def test_a_change_that_the_wire_refutes_is_put_back(host: Host) -> None:
    before = host.state()
    with pytest.raises(PostfixTlsError, match="127.0.0.1:25 = handshake: refused"):
        host.run("bad 1")
    assert host.state() == before and host.serving == "good 0"


def test_the_state_one_generation_back_stays_when_a_change_fails(host: Host) -> None:
    kept = host.run("good 1").transaction
    with pytest.raises(PostfixTlsError):
        host.run("bad 2")
    assert host.kept.previous.id == kept
    host.restore()
    assert host.state() == ("good 0", None, 0o644)


def test_where_even_the_old_state_does_not_come_up_the_error_says_where_it_is_kept(host: Host) -> None:
    host.broken = {"restart": ERROR}
    with pytest.raises(PostfixTlsError) as failed:
        host.run("good 1")
    assert failed.value.details["restored"] is False
    assert "The old files are kept in %s" % host.kept.pending.directory in str(failed.value)
    assert host.kept.pending.exists()
    host.broken = {}
    assert host.run("good 1").resumed is True
    assert host.kept.previous.states()[0][1].content == b"good 0"


def test_where_the_old_state_cannot_be_kept_nothing_is_begun(host: Host) -> None:
    before = host.state()
    Path(host.kept.directory).parent.mkdir(parents=True)
    Path(host.kept.directory).mkdir()
    Path(host.kept.pending.directory).write_text("in the way", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="can't be kept .*Nothing was changed") as failed:
        host.run("good 1")
    assert "restored" not in failed.value.details
    assert host.state() == before and host.calls == ["observe"]


def test_a_rollback_is_a_transaction_and_a_second_one_changes_nothing(host: Host) -> None:
    host.run("good 1")
    host.run("good 2")
    host.calls = []
    outcome = host.restore()
    assert host.state()[0] == "good 1" and host.state()[1] == b"KEY for good 1" and host.serving == "good 1"
    assert outcome.changed and "prove" in host.calls
    assert host.kept.previous.kind == "restored"


def steps_of(tmp_path: Path) -> int:
    """How many calls a whole run makes; every write and rename counts as one too."""
    probe = Host(tmp_path)
    counted = count_writes(probe)
    probe.run("good 1")
    return len(counted)


def count_writes(host: Host) -> list:
    """Makes each file write a step as well: before it, and between writing and renaming."""
    def rename(source: str, target: str, **at: int) -> None:
        host.step("rename")
        REAL_RENAME(source, target, **at)

    def fsync(_descriptor: int) -> None:
        host.step("fsync")  # that it reaches the disk no test can see, and it takes long

    files.os.rename, files.os.fsync = rename, fsync
    return host.calls


@pytest.fixture(autouse=True)
def _restore_os():
    yield
    os.rename, os.fsync = REAL_RENAME, REAL_FSYNC


@pytest.mark.parametrize("next_intent", ["good 1", "good 9", "bad 9"])
def test_killed_at_any_step_the_next_run_completes_or_restores_and_keeps_nothing_unproven(
    tmp_path: Path, monkeypatch, next_intent: str,
) -> None:
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)
    (tmp_path / "count").mkdir()
    total = steps_of(tmp_path / "count")
    assert total > 12
    died = set()
    for fatal in range(1, total + 1):
        (tmp_path / str(fatal)).mkdir()
        host = Host(tmp_path / str(fatal))
        count_writes(host)
        host.fatal_call = fatal
        with pytest.raises(Killed) as killed:
            host.run("good 1")
        died.add(str(killed.value))
        committed = host.kept.previous.exists()
        assert host.state()[0] in ("good 0", "good 1"), "half a file at step %d" % fatal
        if next_intent.startswith("good"):
            host.run(next_intent)
            assert host.state()[:2] == (next_intent, b"KEY for " + next_intent.encode())
            assert host.serving == next_intent
        else:
            with pytest.raises(PostfixTlsError):
                host.run(next_intent)
            assert host.state()[0] == ("good 1" if committed else "good 0"), "step %d, %s" % (fatal, killed.value)
            assert host.serving == host.state()[0]
        assert not host.kept.pending.exists()
        if host.kept.previous.exists():
            paths = [path for path, _state, _secret in host.kept.previous.states()]
            assert len(paths) == len(set(paths))
            assert {state.content for path, state, _secret in host.kept.previous.states() if path.endswith("main.cf")} <= {b"good 0", b"good 1"}
    assert died == {"observe", "check", "check files", "restart", "wait", "prove", "rename", "fsync"}


@pytest.fixture
def places(tmp_path: Path, monkeypatch):
    """places(1, 2): a host of its own for each of the many that a test kills."""
    monkeypatch.setattr(apply.time, "sleep", lambda _seconds: None)

    def place(*numbers: object) -> Host:
        directory = tmp_path / "-".join(map(str, numbers))
        directory.mkdir()
        host = Host(directory)
        count_writes(host)
        return host
    return place


def fails(host: Host, text: str) -> str:
    with pytest.raises(PostfixTlsError) as failed:
        host.run(text)
    return str(failed.value)


def killed(host: Host, text: str, at: int) -> None:
    host.calls.clear()
    host.fatal_call = at
    with pytest.raises(Killed):
        host.run(text)
    host.fatal_call = 0


def converges(host: Host, text: str) -> None:
    host.run(text)
    assert host.state()[:2] == (text, b"KEY for " + text.encode()) and host.serving == text
    assert not host.kept.pending.exists()


def kept_main(host: Host) -> set:
    return {state.content for path, state, _secret in host.kept.previous.states() if path == str(host.main)}


def test_killed_while_it_puts_back_the_old_state_is_still_the_one_kept(places) -> None:
    probe = places("count")
    fails(probe, "bad 1")
    proven = probe.calls.index("prove") + 1
    assert len(probe.calls) > proven + 5
    for fatal in range(proven + 1, len(probe.calls) + 1):
        host = places(fatal, "good")
        killed(host, "bad 1", fatal)
        converges(host, "good 9")
        assert kept_main(host) == {b"good 0"}
        host = places(fatal, "bad")
        killed(host, "bad 1", fatal)
        fails(host, "bad 9")
        assert host.state()[:2] == ("good 0", None) and host.serving == "good 0"


def test_killed_twice_in_a_row_it_has_still_kept_what_was_proven(places) -> None:
    probe = places("count")
    probe.run("good 1")
    total = len(probe.calls)
    for first in range(1, total + 1, 2):
        for second in range(1, total - 2, 3):
            host = places(first, second)
            killed(host, "good 1", first)
            proven = "good 1" if host.kept.previous.exists() else "good 0"
            killed(host, "bad 2", second)
            fails(host, "bad 3")
            assert host.state()[0] == proven == host.serving, (first, second)
            converges(host, "good 9")


def test_a_full_disk_at_any_write_fails_the_run_and_leaves_the_old_state_or_the_new_one_proven(places) -> None:
    """The fault is made: no real disk is full for one write alone."""
    probe = places("count")
    probe.run("good 1")
    ends = []
    for full, step in enumerate(probe.calls, 1):
        if step not in ("rename", "fsync"):
            continue
        host = places(full)
        host.full_call = full
        told = fails(host, "good 1")
        assert "No space left on device" in told, full
        ends.append(host.state()[:2])
        assert ("the change stands" in told) == (ends[-1][0] == "good 1"), told
        assert host.serving == host.state()[0], full
        host.full_call = 0
        converges(host, "good 9")
        assert kept_main(host) <= {b"good 0", b"good 1"}
    assert set(ends) == {("good 0", None), ("good 1", b"KEY for good 1")}
    assert ends == sorted(ends), "once the change is proven it stays"


def test_a_file_that_goes_is_back_with_its_mode_when_the_change_fails(host: Host) -> None:
    table = host.etc / "tls_policy"
    table.write_bytes(b"a.example\tencrypt\n\xff")
    table.chmod(0o640)
    before = files.read(str(table))
    plan = Plan()
    plan.add(str(table), before, FileState(None))
    host.broken = {"check files": ERROR}
    transaction = Transaction(host.kept, "restart", host, host.check_files, host.prove, host.observe)
    with host.kept.locked(), pytest.raises(PostfixTlsError, match="The old state is back"):
        transaction.carry_out(plan)
    assert files.read(str(table)) == before


def test_an_unchanged_host_that_cannot_be_proven_fails_and_is_not_written_to(host: Host) -> None:
    host.run("good 1")
    before, kept = host.state(), host.kept.previous.id
    host.broken, host.calls = {"prove": ERROR}, []
    assert "postfix check: broken. Mend it." in fails(host, "good 1")
    assert host.calls == ["prove", "restart", "wait", "prove"], "made live once, and no more"
    assert host.state() == before and host.kept.previous.id == kept and not host.kept.pending.exists()


def test_a_reload_is_made_live_by_reload_and_put_back_by_restart(host: Host) -> None:
    assert host.run("good 1", action="reload").action_taken == "reload"
    assert "reload" in host.calls and "restart" not in host.calls
    host.calls = []
    with pytest.raises(PostfixTlsError):
        host.run("bad 2", action="reload")
    assert [call for call in host.calls if call in ("reload", "restart")] == ["reload", "restart"]


def test_without_an_action_a_failed_check_puts_files_back_and_leaves_postfix_alone(host: Host) -> None:
    before = host.state()
    host.broken = {"check": ERROR}
    with pytest.raises(PostfixTlsError, match=r"The old state is back: ") as failed:
        host.run("good 1", action="none")
    assert host.state() == before and host.calls == ["check"] and "answers with it" not in str(failed.value)


def test_a_restored_postfix_that_answers_otherwise_than_before_is_not_called_restored(host: Host) -> None:
    looks = iter(["good 0"])
    host.observe = lambda: {"smtp": next(looks, "silent")}
    with pytest.raises(PostfixTlsError, match="it does not answer as it did before the change") as failed:
        host.run("bad 1")
    assert failed.value.details["restored"] is False and host.kept.pending.exists()
    assert host.state()[0] == "good 0"


def test_a_listener_that_did_not_answer_before_need_not_answer_after(host: Host) -> None:
    looks = iter([{}])
    host.observe = lambda: next(looks, {"smtp": "good 0"})
    with pytest.raises(PostfixTlsError) as failed:
        host.run("bad 1")
    assert failed.value.details["restored"] is True


def test_a_second_run_waits_its_turn_then_says_so(host: Host) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with host.kept.locked():
            inside.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)
    with pytest.raises(PostfixTlsError, match="another run has been changing this Postfix"):
        host.run("good 1")
    done.set()
    holder.join()
    assert host.run("good 1").changed


def test_putting_back_writes_only_what_was_changed(host: Host, monkeypatch) -> None:
    """main.cf could not be written, on a full disk: nor could it be written back, and it need not be."""
    real = files.write

    def write(path: str, state: FileState) -> None:
        if path == str(host.main):
            raise PostfixTlsError(path, None, "it can't be written (No space left on device)", "Free some space.")
        real(path, state)

    before = host.state()
    monkeypatch.setattr(files, "write", write)
    with pytest.raises(PostfixTlsError, match="main.cf: it can't be written .No space left.*The old state is back") as failed:
        host.run("good 1")
    assert failed.value.details["restored"] is True and host.state() == before and not host.kept.pending.exists()


def steps_of_a_second_run(places) -> range:
    probe = places("count")
    probe.run("good 1")
    probe.calls.clear()
    probe.run("good 2")
    return range(1, len(probe.calls) + 1)


def test_restored_after_a_killed_run_undoes_that_one_and_the_generation_before_stays(places) -> None:
    undone = 0
    for fatal in steps_of_a_second_run(places):
        host = places(fatal)
        first = host.run("good 1").transaction
        killed(host, "good 2", fatal)
        if not host.kept.pending.exists():
            continue
        undone += 1
        host.restore()
        if host.kept.previous.id == first:
            assert host.state()[:2] == ("good 1", b"KEY for good 1") and host.serving == "good 1", fatal
            host.restore()
        assert host.state()[0] in ("good 0", "good 1") and host.serving == host.state()[0], fatal
    assert undone > 12


def test_the_next_run_has_nothing_of_a_killed_one_that_wanted_something_else(host: Host) -> None:
    table = host.etc / "tls_policy"
    host.broken = {"restart": Killed()}
    plan = Plan()
    plan.add(str(table), files.read(str(table)), FileState(b"a.example encrypt", 0o644, os.getuid(), os.getgid()))
    with host.kept.locked(), pytest.raises(Killed):
        Transaction(host.kept, "restart", host, host.check_files, host.prove, host.observe).carry_out(plan)
    assert table.exists()
    host.broken = {}
    converges(host, "good 1")
    assert not table.exists()


def test_what_somebody_wrote_after_a_run_was_killed_stays_theirs(host: Host) -> None:
    host.broken = {"restart": Killed()}
    with pytest.raises(Killed):
        host.run("bad 1")
    host.write("good, by hand")
    with host.kept.locked() as taken_back:
        assert [change.path for change in taken_back] == [str(host.chain)]
    assert host.state()[:2] == ("good, by hand", None)


def leftovers(host: Host) -> set:
    """What there is beside what has to be."""
    there = {str(path.relative_to(host.etc.parent)) for path in host.etc.parent.rglob("*")}
    names = {"etc", "etc/main.cf", "etc/chain.pem", "lib", "lib/etc-postfix", "lib/etc-postfix/lock", "lib/etc-postfix/older"}
    copies = ("manifest.json", "0", "1", "1-written")
    folders = [host.kept.previous.directory, *(generation.directory for generation in host.kept.generations())]
    for folder in (os.path.relpath(path, host.etc.parent) for path in folders):
        names |= {folder, os.path.dirname(folder), *(os.path.join(folder, name) for name in copies)}
    return there - names


def test_killed_at_any_step_nothing_is_left_lying_after_the_next_run_even_where_that_changes_nothing(places, monkeypatch) -> None:
    """A kill leaves temporary files, so here they are not cleaned up on the way out."""
    littered = 0
    for fatal in steps_of_a_second_run(places):
        host = places(fatal)
        host.run("good 1")
        with monkeypatch.context() as patch:
            patch.setattr(files, "suppress", lambda *_errors: Nothing())
            killed(host, "good 2", fatal)
        littered += bool({name for name in leftovers(host) if name.endswith(".postfix_tls")})
        host.run("good 1")
        assert leftovers(host) == set(), fatal
        assert host.kept.previous.exists(), fatal
    assert littered > 3


class Nothing:
    """Where a killed run does nothing any more."""

    def __enter__(self) -> None:
        raise Killed

    def __exit__(self, *_error: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("at", [1, 2])
def test_killed_amid_a_commit_there_is_still_a_generation_back(host: Host, monkeypatch, at: int) -> None:
    host.run("good 1")
    renames: list = []

    def rename(source: str, target: str, **places: int) -> None:
        if os.path.isdir(source):
            renames.append(target)
            if len(renames) == at:
                raise Killed
        REAL_RENAME(source, target, **places)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "rename", rename)
        with pytest.raises(Killed):
            host.run("good 2")
    with host.kept.locked():
        assert host.kept.previous.exists()
    # Before the first rename it was proven, but nobody was told so; after it the commit is under way, and is finished.
    assert (host.state()[0], kept_main(host)) == [("good 1", {b"good 0"}), ("good 2", {b"good 1"})][at - 1]
    assert host.kept.pending.exists() is (at == 1)


@pytest.mark.parametrize("harm, told", [
    (lambda kept: (kept / "manifest.json").write_text("{", encoding="utf-8"), "manifest.json: it is damaged"),
    (lambda kept: (kept / "manifest.json").write_text('{"id": "1", "kind": "change", "files": [{}]}', encoding="utf-8"), "manifest.json: it is damaged"),
    (lambda kept: (kept / "manifest.json").write_text("[]", encoding="utf-8"), "manifest.json: it is damaged"),
    (lambda kept: (kept / "manifest.json").write_bytes(b""), "manifest.json: it is damaged"),
    (lambda kept: (kept / "1").unlink(), "pending/1: it is not there"),
    (lambda kept: (kept / "1").write_bytes(b"half"), "pending/1: it is not what was kept"),
])
def test_a_kept_state_that_is_damaged_is_told_by_its_file_with_what_to_do_and_nothing_is_touched(host: Host, harm, told: str) -> None:
    host.broken = {"restart": Killed()}
    with pytest.raises(Killed):
        host.run("good 1")
    host.broken = {}
    pending = Path(host.kept.pending.directory)
    harm(pending)
    before = host.state()
    for _again in range(2):
        said = fails(host, "good 2")
        assert told in said and "See that Postfix's files are as they should be, remove %s, and run again." % pending in said
    assert host.state() == before
    assert host.calls.count("restart") == 1


def test_a_generation_back_that_is_damaged_does_not_stop_the_next_change(host: Host) -> None:
    host.run("good 1")
    (Path(host.kept.previous.directory) / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(PostfixTlsError, match="previous/manifest.json: it is damaged"):
        host.restore()
    host.run("good 2")
    assert kept_main(host) == {b"good 1"}


def test_copies_are_on_the_disk_before_the_manifest_that_makes_them_valid(host: Host, monkeypatch) -> None:
    order: list = []

    def rename(source: str, target: str, dst_dir_fd: int | None = None, **at: int) -> None:
        folder = os.readlink("/proc/self/fd/%d" % dst_dir_fd) if dst_dir_fd is not None else "/"
        order.append(os.path.relpath(os.path.join(folder, target), host.etc.parent))
        REAL_RENAME(source, target, dst_dir_fd=dst_dir_fd, **at)

    monkeypatch.setattr(files.os, "rename", rename)
    host.run("good 1")
    assert order == [
        "lib/etc-postfix/pending/1", "lib/etc-postfix/pending/1-written", "lib/etc-postfix/pending/manifest.json", "etc/chain.pem", "etc/main.cf",
        "lib/etc-postfix/previous",
    ]


def test_a_state_that_could_not_be_kept_leaves_no_copy_behind(host: Host, monkeypatch) -> None:
    def full(path: str, state: FileState) -> None:
        if path.endswith("manifest.json"):
            raise PostfixTlsError(path, None, "it can't be written (No space left on device)", "Free some space.")
        real(path, state)

    real = files.write
    monkeypatch.setattr(files, "write", full)
    assert "Free some space. Nothing was changed." in fails(host, "good 1")
    assert os.listdir(host.kept.directory) == ["lock"]


def test_a_kept_state_that_is_half_gone_is_none(host: Host, monkeypatch) -> None:
    host.run("good 1")
    first = host.kept.previous.id

    def dies(*_arguments: object, **_options: object) -> None:
        raise Killed("rmtree")

    with monkeypatch.context() as patch:
        patch.setattr(kept.shutil, "rmtree", dies)
        with pytest.raises(Killed):
            host.kept.previous.discard()
    assert os.listdir(host.kept.previous.directory) and not host.kept.previous.exists()
    assert host.run("good 2").transaction not in (first, None)
    assert kept_main(host) == {b"good 1"}


def test_what_a_killed_run_left_without_a_manifest_is_not_taken_for_a_kept_state(host: Host) -> None:
    left = Path(host.kept.pending.directory) / "7"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"KEY of another day")
    assert host.run("good 1").resumed is False
    assert not list(Path(host.kept.directory).rglob("7"))


def test_where_nothing_can_be_kept_at_all_that_is_told_before_anything_is_done(host: Host) -> None:
    Path(host.kept.directory).parent.write_text("a file in the way", encoding="utf-8")
    assert "the state before a change can't be kept there" in fails(host, "good 1")
    assert host.calls == [] and host.state()[0] == "good 0"


@pytest.mark.parametrize("looks, seen, pauses", [(["good"], "good", 0), (["bad", "good", "worse"], "good", 1), (["bad", "worse", "worst"], "worst", 2)])
def test_until_takes_the_first_good_look_or_the_last_one(monkeypatch, looks: list, seen: str, pauses: int) -> None:
    slept: list = []
    monkeypatch.setattr(apply.time, "sleep", slept.append)
    left = iter(looks)
    assert apply.until(lambda: next(left), lambda look: look == "good", tries=3, pause=0.5) == seen
    assert slept == [0.5] * pauses


def test_until_begins_no_further_look_at_a_silent_server_once_its_time_is_over() -> None:
    looks: list = []
    assert apply.until(lambda: looks.append("silent") or "silent", lambda _look: False, most=-1.0) == "silent"
    assert looks == ["silent"]


def test_where_postfix_logged_nothing_no_log_is_told(host: Host) -> None:
    host.log = lambda: []
    assert "Postfix logged" not in fails(host, "bad 1")
    host.log = lambda: ["a", "b"]
    assert fails(host, "bad 1").endswith(" Postfix logged: a | b")


def test_what_is_kept_is_its_owners_alone(host: Host) -> None:
    host.run("good 1")
    host.run("good 2")
    kept = Path(host.kept.directory)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    for path in kept.rglob("*"):
        if path.name != "lock":
            assert stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700), path
