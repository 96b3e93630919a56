# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations: which are kept, whose they are, what undoing them comes to, and how they are forgotten."""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files, kept
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.kept import Kept, Undone
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    etc = tmp_path / "postfix"
    etc.mkdir()
    (etc / "main.cf").write_text("a = 0\n", encoding="utf-8")
    return etc


def state(text: str | None, mode: int = 0o644) -> FileState:
    return FileState(None if text is None else text.encode(), mode, os.getuid(), os.getgid())


def change(store: Kept, texts: dict, renewal: bool = False) -> str | None:
    """A committed change: {path: text}; what ends with .pem holds a key."""
    plan = Plan()
    for path, text in texts.items():
        plan.add(str(path), files.read(str(path)), state(text, 0o600 if path.suffix == ".pem" else 0o644), path.suffix == ".pem")
    with store.locked():
        store.pending.keep(plan.changes, "renewal" if renewal else "change")
        kept.carry_out(plan.changes)
        if renewal:
            store.absorb()
            return None
        return store.commit()


def undo(store: Kept, *generations: kept.Generation, ours: bool = False) -> Undone:
    undone = Undone()
    for generation in generations or [store.previous]:
        generation.undo(undone, ours)
    return undone


def test_the_newest_five_are_kept_and_each_can_be_returned_to(etc: Path, tmp_path: Path) -> None:
    store = Kept(str(etc), str(tmp_path / "lib"))
    ids = [change(store, {etc / "main.cf": "a = %d\n" % number}) for number in range(1, 8)]
    assert [generation.id for generation in store.generations()] == ids[:1:-1] and len(os.listdir(Path(store.directory) / "older")) == 4
    with open(etc / "main.cf", "a", encoding="utf-8") as file:
        file.write("theirs = 1\n")
    undone = undo(store, *store.back_to(ids[3]))
    assert undone.after[str(etc / "main.cf")].content == b"a = 3\ntheirs = 1\n" and set(undone.stays) == {"%s: theirs" % (etc / "main.cf")}
    with pytest.raises(PostfixTlsError, match="this change is not kept here; kept are %s" % ids[6]):
        store.back_to(ids[0])
    assert store.reports()[0]["changes"] == ["%s: a = 7 (it was 6)" % (etc / "main.cf")]


def test_what_a_renewal_wrote_since_is_ours_and_what_somebody_else_wrote_is_not(etc: Path, tmp_path: Path) -> None:
    store = Kept(str(etc), str(tmp_path / "lib"))
    chain = etc / "default.pem"
    change(store, {chain: "KEY 1"})
    change(store, {chain: "KEY 2"}, renewal=True)
    assert not store.pending.exists() and undo(store).after[str(chain)].content is None
    chain.write_text("by hand", encoding="utf-8")
    undone = undo(store)
    assert undone.changes() == [] and undone.conflicts == ["%s: it is not what the change wrote; somebody has written it since then" % chain]
    assert undo(store, ours=True).after[str(chain)].content is None


def test_a_mode_that_somebody_set_since_stays(etc: Path, tmp_path: Path) -> None:
    store = Kept(str(etc), str(tmp_path / "lib"))
    change(store, {etc / "main.cf": "a = 1\n"})
    (etc / "main.cf").chmod(0o640)
    assert undo(store).after[str(etc / "main.cf")] == state("a = 0\n", 0o640)


def test_the_generation_that_holds_an_old_key_and_those_before_it_can_be_forgotten(etc: Path, tmp_path: Path) -> None:
    store = Kept(str(etc), str(tmp_path / "lib"))
    chain = etc / "default.pem"
    ids = [change(store, {chain: "KEY 1"}), change(store, {chain: "KEY 2"}), change(store, {etc / "main.cf": "a = 1\n"})]
    assert [row["holds_key"] for row in store.reports()] == [False, True, False]
    assert store.forget() == ids[1::-1] and [generation.id for generation in store.generations()] == ids[2:]
    assert "KEY 1" not in [path.read_text(encoding="utf-8") for path in Path(store.directory).rglob("*") if path.is_file()]
    assert store.forget() == [] and store.forget(ids[2]) == ids[2:] and store.generations() == []
    with pytest.raises(PostfixTlsError, match="kept are none"):
        store.forget("1-1")


@pytest.mark.parametrize("one, other", [
    ("/etc/postfix-out", "/etc/postfix/out"), ("/srv/a-b", "/srv/a/b"), ("/srv/a_b", "/srv/a/b"), ("/srv/a_/b", "/srv/a/_b"), ("/srv/a-_b", "/srv/a_-b"),
])
def test_no_two_instances_share_a_name_and_one_has_a_single_one(one: str, other: str) -> None:
    assert kept.instance_name(one) != kept.instance_name(other)
    assert kept.instance_name("/%s/../%s/" % (one, os.path.basename(one))) == kept.instance_name(one)
    assert "/" not in kept.instance_name(one)


def test_the_name_of_an_ordinary_instance_is_as_it_was() -> None:
    assert [kept.instance_name(path) for path in ("/etc/postfix", "/etc/postfix-out")] == ["etc-postfix", "etc-postfix-out"]


def former(store: Kept, etc: Path, name: str, folder: str = "previous") -> None:
    """A kept state as release 0.1.0 laid it out."""
    where = Path(store.directory).parent / name / folder
    where.mkdir(parents=True)
    where.parent.parent.chmod(0o755)
    (where / "0").write_text("a = 0\n", encoding="utf-8")
    digests = [kept._digest(text) for text in (b"a = 0\n", b"a = 1\n")]
    row = {"path": str(etc / "main.cf"), "copy": "0", "digest": digests[0], "written": digests[1], "mode": 0o644, "uid": os.getuid(), "gid": os.getgid()}
    (where / "manifest.json").write_text(json.dumps({"id": "17-1", "kind": "change", "files": [dict(row, secret=False)]}), encoding="utf-8")


def test_what_a_former_release_kept_is_found_and_undone(etc: Path, tmp_path: Path) -> None:
    store = Kept(str(etc), str(tmp_path / "lib"))
    former(store, etc, str(etc).strip("/").replace("/", "-"))
    (etc / "main.cf").write_text("a = 1\n", encoding="utf-8")
    with store.locked():
        assert store.previous.id == "17-1" and undo(store).after[str(etc / "main.cf")].content == b"a = 0\n"
    (etc / "main.cf").write_text("a = 1\ntheirs = 1\n", encoding="utf-8")
    assert undo(store).conflicts, "what was written is not kept, so that nobody knows whose line is whose"
    assert store.reports()[0]["who"] == ""


def test_the_generation_that_a_former_release_was_about_to_drop_is_kept(etc: Path, tmp_path: Path) -> None:
    store = Kept(str(etc), str(tmp_path / "lib"))
    former(store, etc, os.path.basename(store.directory), "retired")
    change(store, {etc / "main.cf": "a = 2\n"})
    assert [generation.id for generation in store.generations()][1:] == ["17-1"]


def test_the_state_of_another_instance_in_a_shared_folder_is_handed_over_and_never_put_back(etc: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "main.cf").write_text("a = 1\n", encoding="utf-8")
    mine, theirs = Kept(str(etc), str(tmp_path / "lib")), Kept(str(other), str(tmp_path / "lib"))
    former(mine, other, os.path.basename(mine.directory))
    assert not mine.previous.exists()
    change(mine, {etc / "main.cf": "a = 2\n"})
    assert len(mine.generations()) == 1 and theirs.previous.id == "17-1"
