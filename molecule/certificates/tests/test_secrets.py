# SPDX-License-Identifier: GPL-3.0-or-later
"""Key material is in no output, log or process list, and in no file that others can read, at the highest verbosity that people use.

Looked for is each whole line of a key's PEM text. The process list is sampled from /proc, where ps(1) has it from.
"""
from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Iterator

import pytest
from conftest import ALL, CONVERGE, WORDS, Issuer, as_texts, each, issued, leaves
from post import wait
from reach import Host, ask, play

#: Characters: what is shorter, a key's last line, is in other texts too.
_LONG = 24

_SAMPLE = """import glob, select, sys
seen = set()
print("sampling", flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                seen.add(file.read().replace(bytes(1), b" ").decode("utf-8", "replace"))
        except OSError:
            pass
print(*sorted(seen), sep=chr(10))
"""

#: The lines come by standard input, and lie where only root reads them. A file's own time may be set back; that of its change can't.
_SEARCH = """umask 077; cat > /root/lines
journalctl --no-pager --all --output verbose 2>/dev/null | grep -aqF -f /root/lines && echo journal
grep -arlF --exclude-dir=journal -f /root/lines /var/log
find / /tmp /var/tmp /run /dev/shm -xdev -type f -perm -o=r -newerct @%d -exec grep -alF -f /root/lines {} +
rm /root/lines"""


def body(key: str) -> list:
    """The lines of a key that are not in other texts."""
    return [line for line in key.splitlines() if len(line) >= _LONG and not line.startswith("-----")]


def leaked(keys: list, text: str) -> list:
    """The lines of keys that are in a text. A terminal's width may have broken them."""
    whole = "".join(text.split())
    return [line for key in keys for line in body(key) if line in whole]


def places(host: Host, keys: list, since: int) -> set:
    """Where on a host a line of keys is: the journal, or files that others can read or that are logs. since: seconds since 1970."""
    return set(host.run(_SEARCH % since, check=False, stdin="\n".join(line for key in keys for line in body(key)) + "\n").split())


@contextmanager
def sampled(*command: str) -> Iterator[list]:
    """A list that afterwards holds the command line of every process that was there meanwhile. command: how to reach the machine."""
    program = "python3 -c %s" % shlex.quote(_SAMPLE)
    words = [*command, "sudo -n " + program] if command else [sys.executable, "-c", _SAMPLE]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "sampling\n"
        found: list = []
        yield found
        found += process.communicate("end\n")[0].splitlines()


@pytest.fixture
def since() -> int:
    return int(time.time()) - 1


def test_keys_are_nowhere_to_be_seen_in_a_run_that_succeeds_and_in_one_that_fails(tmp_path: Path, since: int) -> None:
    new = each(issued)
    texts = as_texts(tmp_path, {name: pairs for name, (pairs, _leaf) in new.items()})
    mismatched = copy.deepcopy(texts)
    mismatched["tls_certificate_chains"][0]["key_content"] = texts["tls_certificate_chains"][1]["key_content"]
    with ExitStack() as stack:
        processes = {name: stack.enter_context(sampled(*Host(name).ssh())) for name in ALL}
        processes["controller"] = stack.enter_context(sampled())
        said = play(CONVERGE, "certificates", "-vvvv", "--diff", **texts)
        with pytest.raises(AssertionError) as failed:
            play(CONVERGE, "certificates", "-vvvv", "--diff", **mismatched)
    assert each(leaves) == {name: leaf for name, (_pairs, leaf) in new.items()}
    assert said.count("private key: not shown") >= len(ALL) * len(WORDS) and str(failed.value).count("the key belongs to none of its certificates") >= len(ALL)
    keys = [key for pairs, _leaf in new.values() for key, _chain in pairs.values()]
    assert leaked(keys, said + str(failed.value)) == []
    assert {name: leaked(keys, "\n".join(seen)) for name, seen in processes.items()} == dict.fromkeys(processes, [])
    at_work = {**dict.fromkeys(ALL, "python3"), "controller": "ansible-playbook"}
    assert [name for name, word in at_work.items() if not any(word in line for line in processes[name])] == []
    assert each(lambda host: places(host, keys, since)) == dict.fromkeys(ALL, set())


#: {host: the form in which the key's text is written where something else belongs}
_WRITTEN = {
    "c-bullseye": lambda key: key,
    "c-bookworm": lambda key: key.replace("\n", "\\n"),
    "c-trixie": lambda key: key.replace("\n", "\r\n"),
    "c-forky": lambda key: "".join(body(key)),
}
_KEY = "{{ lookup('ansible.builtin.file', '%s/' + inventory_hostname) }}"
_BESIDE = {"tls_certificate_chains": [], "tls_certificate_sni": []}
_MISPLACED = {
    "tls_certificate_key_file": {"tls_certificate_source": "files", "tls_certificate_chain_file": "/c.pem", **_BESIDE},
    "tls_certificate_chain_file": {"tls_certificate_source": "remote", "tls_certificate_key_file": "/k.pem", **_BESIDE},
    "tls_certificate_source": {}, "tls_certificate_name": {}, "tls_certificate_min_days_left": {}, "tls_certificate_names": {}, "smtpd_tls_profile": {},
    "tls_certificate_sni[0].names[1]": {"tls_certificate_sni": [{"names": ["a.example", "KEY"], "key_file": "/k", "chain_file": "/c"}]},
    "tls_certificate_chains[0].key_file": {"tls_certificate_chains": [{"name": "x", "key_file": "KEY", "chain_file": "/c"}]},
    "smtpd_tls_parameters.smtpd_tls_cert_file": {"smtpd_tls_parameters": {"smtpd_tls_cert_file": "KEY"}},
    "smtpd_tls_services.smtps/inet.smtpd_tls_key_file": {"smtpd_tls_services": {"smtps/inet": {"smtpd_tls_key_file": "KEY"}}},
    "tls_policy_destinations[0].tafile": {"tls_policy_destinations": [{"destination": "example.org", "tafile": "KEY"}]},
    "smtp_tls_security_level": {"smtp_tls_security_level": ["KEY"]},
}


def _put(data: object, text: str) -> object:
    if isinstance(data, dict):
        return {_put(name, text): _put(value, text) for name, value in data.items()}
    return [_put(value, text) for value in data] if isinstance(data, list) else text if data == "KEY" else data


@pytest.fixture(scope="module")
def misplaced(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """(folder with a file of a host's name each, which has a key's text as it is written for that host, the keys)"""
    folder = tmp_path_factory.mktemp("misplaced")
    keys = {name: Issuer(Host(name)).leaf(kind="rsa").key_pem() for name in ALL}
    for name, key in keys.items():
        (folder / name).write_bytes(_WRITTEN[name](key).encode())
    return folder, list(keys.values())


@pytest.mark.parametrize("place", _MISPLACED)
def test_a_keys_text_where_something_else_belongs_is_told_and_never_shown(place: str, misplaced: tuple, since: int) -> None:
    folder, keys = misplaced
    asked = _put({place: "KEY", **_MISPLACED[place]} if place.isidentifier() else _MISPLACED[place], _KEY % folder)
    with pytest.raises(AssertionError) as failed:
        play(CONVERGE, "certificates", "-vvvvv", "--diff", **asked)
    said = str(failed.value).replace("\\n", "")
    assert leaked(keys, said) == [] and len(re.findall(r"fatal: \[\S+\]: FAILED", said)) == len(ALL)
    assert said.count("that is the text of a private key, and something else belongs there") >= len(ALL), said[-3000:]
    assert each(lambda host: places(host, keys, since)) == dict.fromkeys(ALL, set())


@pytest.mark.parametrize("place, arguments", [
    ("chains[0].key_file", {"chains": [{"key_file": "KEY", "certificate_file": "/c"}]}),
    ("chains[0]", {"chains": ["KEY"]}),
    ("state", {"state": "KEY"}),
    ("parameters.smtpd_tls_key_file", {"parameters": {"smtpd_tls_key_file": "KEY"}}),
    ("verify.min_days_left", {"verify": {"min_days_left": "KEY"}}),
    ("policy.destinations", {"policy": {"destinations": {"KEY": "may"}}}),
])
def test_the_module_alone_refuses_it_before_it_leaves_the_controller(place: str, arguments: dict, misplaced: tuple, since: int) -> None:
    _folder, keys = misplaced
    host = Host("c-trixie")
    result = ask(host.name, "mailsec.postfix_tls.postfix_tls", "--become", "-vvvv", **_put(arguments, keys[0]))[host.name]
    assert result["failed"] and result["msg"].startswith("%s: that is the text of a private key" % place) and leaked(keys, json.dumps(result)) == []
    assert places(host, keys, since) == set()


@pytest.mark.parametrize("module, arguments", [
    ("postfix_tls_info", {"config_directory": "KEY"}),
    ("starttls_info", {"targets": ["KEY"]}),
    ("starttls_info", {"targets": [{"host": "mx", "port": "KEY"}]}),
    ("tls_policy_info", {"destinations": ["KEY"]}),
    ("tls_log_info", {"KEY": 1}),
])
def test_other_modules_show_none_either(module: str, arguments: dict, misplaced: tuple, since: int) -> None:
    _folder, keys = misplaced
    host = Host("c-trixie")
    result = ask(host.name, "mailsec.postfix_tls." + module, "--become", "-vvvv", **_put(arguments, keys[0]))[host.name]
    assert result["failed"] and leaked(keys, json.dumps(result)) == []
    assert places(host, keys, since) == set()


def test_of_a_file_with_both_the_key_is_in_no_invocation(tmp_path: Path, since: int) -> None:
    host = Host("c-trixie")
    leaf = Issuer(host).leaf(kind="rsa")
    key, public = leaf.key_pem(), "".join(Issuer(host).chain(leaf).split())
    keys = ["\n".join(line for line in body(form) if line not in public) for form in (key, leaf.key_pem("traditional"))]
    for form in (leaf.key_pem("traditional"), key.replace("\n", "\r\n"), key.replace("\n", " \n")):
        (tmp_path / "key.pem").write_text(key, encoding="utf-8")
        (tmp_path / "both.pem").write_bytes((form + Issuer(host).chain(leaf)).encode())
        files = {"tls_certificate_key_file": str(tmp_path / "key.pem"), "tls_certificate_chain_file": str(tmp_path / "both.pem")}
        said = play(CONVERGE, host.name, "-vvvv", "--diff", "--check", tls_certificate_source="files", **_BESIDE, **files)
        assert "private key: not shown" in said and leaked(keys, said.replace("\\n", "").replace("\\r", "")) == []
    assert places(host, keys, since) == set()


@pytest.mark.parametrize("place, plant", [
    ("journal", "logger"),
    ("/var/log/mail.log", "cat >> /var/log/mail.log"),
    ("/tmp/planted", "cat > /tmp/planted; chmod 644 /tmp/planted; touch -d yesterday /tmp/planted"),
    ("/home/admin/planted", "cat > /home/admin/planted; chmod 604 /home/admin/planted"),
])
def test_a_line_of_a_key_that_nothing_uses_is_found_where_it_is_planted(place: str, plant: str, since: int) -> None:
    host = Host("c-trixie")
    key = Issuer(host).leaf().key_pem()
    assert places(host, [key], since) == set()
    host.run(plant, stdin=body(key)[-1] + "\n")
    assert wait(lambda: places(host, [key], since)) == {place}
    host.run("rm -f /tmp/planted /home/admin/planted")


def test_a_line_of_a_key_that_nothing_uses_is_found_in_a_process_and_in_an_output() -> None:
    host = Host("c-trixie")
    key = Issuer(host).leaf().key_pem()
    with sampled(*host.ssh()) as processes:
        said = host.run("read line; sh -c 'sleep 1; echo \"key: $0\"' \"$line\"", stdin=body(key)[-1] + "\n")
    assert leaked([key], "\n".join(processes)) == leaked([key], said) == body(key)[-1:]
