# SPDX-License-Identifier: GPL-3.0-or-later
"""The payload as a host has it: a Python with the two modules that Ansible itself packs, and nothing else of the collection."""
from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _module, _payload
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import DEFAULT, PROFILES
from ansible_collections.mailsec.postfix_tls.plugins.modules import postfix_tls

HERE = Path(_payload.__file__).parent
UTILS = _payload.__name__.rpartition(".")[0]
PACKED = _payload.pack()

#: {compiled: names of modules that Python had to compile, said: what the program printed}
ON_A_HOST = """
import builtins, importlib, importlib.util, json, sys
sys.path.insert(0, %(top)r)
from %(utils)s import _payload
payload = _payload.Payload(sys.stdin.read(), %(path)r)
sys.meta_path.insert(0, payload)
compiled = []
compile_it = payload.source_to_code
payload.source_to_code = lambda data, path: compiled.append(path) or compile_it(data, path)
said = None
def keep(payload):
    importlib.import_module("%(utils)s._transaction.files").TOP = %(top)r
    payload.keep()
%(program)s
json.dump({"compiled": compiled, "said": said}, sys.stdout)
"""
IMPORT_CHANGE = "import %s._change\nkeep(payload)" % UTILS
IMPORT_ALL = "for name in list(payload._texts): importlib.import_module(name)"


@pytest.fixture
def on_a_host(tmp_path: Path):
    """on_a_host(program, packed) -> what ON_A_HOST tells; path: where it keeps what it compiles."""
    folder = tmp_path.joinpath(*UTILS.split("."))
    folder.mkdir(parents=True)
    for name in ("_payload.py", "_error.py"):
        (folder / name).write_text((HERE / name).read_text(encoding="utf-8"), encoding="utf-8")

    def run(program: str, packed: str = PACKED) -> dict:
        text = ON_A_HOST % {"top": str(tmp_path), "utils": UTILS, "path": str(run.path), "program": program}
        done = subprocess.run([sys.executable, "-I", "-c", text], input=packed, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    run.path = tmp_path / "lib" / "compiled"
    return run


def other(text: str) -> str:
    """The payload of another release: one module has another line."""
    texts = json.loads(_payload.zlib.decompress(_payload.base64.b64decode(PACKED)))
    texts[UTILS + "._change"] += text
    return _payload.base64.b64encode(_payload.zlib.compress(json.dumps(texts).encode())).decode()


def test_all_modules_that_are_sent_have_on_the_host_all_that_they_import(on_a_host) -> None:
    told = on_a_host(IMPORT_ALL + "\nsaid = sorted(name for name in sys.modules if name.startswith(%r))" % (UTILS + "."))
    paths = [path.relative_to(HERE).with_suffix("") for path in HERE.glob("**/*.py")]
    wanted = {".".join((UTILS, *path.parts)) for path in paths if path.parts[0] not in ("_acme", "_audit")}
    assert wanted <= set(told["said"]) and len(wanted) > 70


def test_the_second_run_compiles_nothing(on_a_host) -> None:
    first, second = on_a_host(IMPORT_CHANGE), on_a_host(IMPORT_CHANGE)
    assert len(first["compiled"]) > 50 and second["compiled"] == []
    assert [stat.S_IMODE(os.stat(on_a_host.path).st_mode), os.listdir(on_a_host.path.parent)] == [0o600, ["compiled"]]


def test_what_one_run_adds_is_kept_beside_what_was_kept(on_a_host) -> None:
    on_a_host("import %s._transaction.plan\nkeep(payload)" % UTILS)
    assert on_a_host(IMPORT_CHANGE)["compiled"] and on_a_host(IMPORT_CHANGE)["compiled"] == []


def test_other_text_is_run_and_what_was_kept_is_not(on_a_host) -> None:
    on_a_host(IMPORT_CHANGE)
    told = on_a_host(IMPORT_CHANGE + "\nsaid = %s._change.NEWER" % UTILS, other("\nNEWER = 'newer'\n"))
    assert told["said"] == "newer" and len(told["compiled"]) > 50
    assert on_a_host(IMPORT_CHANGE)["compiled"], "and back again: only one payload is kept"


@pytest.mark.parametrize("damage", [
    lambda content: b"",
    lambda content: content[:-1],
    lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    lambda content: b"\0\0\0\0" + content[4:],
], ids=["empty", "cut off", "one bit", "another Python's"])
def test_what_is_damaged_is_not_run_and_made_anew(on_a_host, damage) -> None:
    on_a_host(IMPORT_CHANGE)
    whole = on_a_host.path.read_bytes()
    assert whole.startswith(importlib.util.MAGIC_NUMBER)
    on_a_host.path.write_bytes(damage(whole))
    assert len(on_a_host(IMPORT_CHANGE)["compiled"]) > 50
    assert on_a_host(IMPORT_CHANGE)["compiled"] == []


@pytest.mark.parametrize("astray", [
    lambda path: path.chmod(0o666),
    lambda path: os.chown(path, 65534, 0),
    lambda path: path.parent.chmod(0o777),
    lambda path: path.parent.chmod(0o1775),
    lambda path: os.chown(path.parent, 65534, 0),
    lambda path: (path.rename(path.parent.parent / "home"), path.symlink_to(path.parent.parent / "home")),
    lambda path: (path.unlink(), os.mkfifo(path)),
], ids=["file 0666", "file of nobody", "folder 0777", "folder 1775", "folder of nobody", "link", "pipe"])
@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_is_not_roots_alone_is_not_run(on_a_host, astray) -> None:
    """Compiled of another text, under the head of this one: it would set a name that none of ours has."""
    on_a_host(IMPORT_CHANGE, other("\nFOREIGN = 1\n"))
    content = on_a_host.path.read_bytes()
    head = importlib.util.MAGIC_NUMBER + hashlib.sha256(PACKED.encode()).digest()
    on_a_host.path.write_bytes(head + content[len(head):])
    program = "import %s._change\nsaid = hasattr(%s._change, 'FOREIGN')" % (UTILS, UTILS)
    assert on_a_host(program)["said"] is True, "the attack works where root alone could make it"
    astray(on_a_host.path)
    told = on_a_host(program)
    assert told["said"] is False and len(told["compiled"]) > 50


def test_where_nothing_can_be_kept_all_is_as_it_would_be(on_a_host) -> None:
    on_a_host.path.parent.write_text("a file, where a directory would have to be", encoding="utf-8")
    assert on_a_host(IMPORT_CHANGE)["compiled"] and on_a_host(IMPORT_CHANGE)["compiled"]


def test_a_traceback_shows_the_line_whether_it_was_compiled_now_or_before(on_a_host) -> None:
    failing = other("\ndef fail():\n    raise RuntimeError('here')  # the very line\n")
    program = IMPORT_CHANGE + "\nimport traceback\ntry: %s._change.fail()\nexcept RuntimeError: said = traceback.format_exc()" % UTILS
    for _run in range(2):
        said = on_a_host(program, failing)["said"]
        assert "module_utils/_change.py" in said and "raise RuntimeError('here')  # the very line" in said


def test_the_renewals_program_is_made_of_it(on_a_host) -> None:
    bundled = "from %s._renewal.bundle import bundle\nimport hashlib\nsaid = hashlib.sha256(bundle(\"/usr/bin/python3\")).hexdigest()\nkeep(payload)" % UTILS
    told = [on_a_host(IMPORT_CHANGE + "\n" + bundled) for _run in range(2)]
    assert told[0]["said"] == told[1]["said"] and told[0]["compiled"] and not told[1]["compiled"]


def test_ansible_packs_these_alone() -> None:
    """Otherwise it would pack all that is behind them once more."""
    for path in (Path(postfix_tls.__file__), Path(_payload.__file__), Path(_module.__file__)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ansible_collections")}
        named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names if "ansible_collections" in alias.name}
        assert named <= {UTILS + "._error", UTILS + "._payload", UTILS + "._module"}


def test_the_module_offers_the_profiles_that_there_are() -> None:
    assert postfix_tls.PROFILES == [DEFAULT, *PROFILES]
