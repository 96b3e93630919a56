# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab hosts from the outside: a command on one of them, a playbook on some. Used by the scenarios and by the demo."""
from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
#: Molecule asks for colours, and they would be in what is read.
_PLAIN = {"ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_NOCOLOR": "true"}
INVENTORY = TOP / ".cache" / "lab" / "inventory"


def play(playbook: Path, limit: str, *options: str, **variables: object) -> str:
    """What a playbook said, run as a postmaster would, with these extra variables. Raises AssertionError with its output where it fails."""
    command = ["ansible-playbook", "-i", str(INVENTORY), str(playbook), "--limit", limit, "-e", json.dumps(variables), *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={**os.environ, **_PLAIN})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def ask(limit: str, module: str, *options: str, **arguments: object) -> dict:
    """{host: what the module returned there}, on a host or on all of a group at once. Raises AssertionError where one returned nothing."""
    words = ["ansible", limit, "-i", str(INVENTORY), "--module-name", module, *options]
    words += ["--args", json.dumps(arguments)] if arguments else []
    environment = {**os.environ, **_PLAIN, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg")}
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=TOP, env=environment)
    told = {}
    for answer in re.finditer(r"^(\S+) \| (\w+)!? => ", done.stdout, re.MULTILINE):
        result, _end = json.JSONDecoder().raw_decode(done.stdout, answer.end())
        told[answer.group(1)] = dict(result, failed=answer.group(2) == "FAILED")  # Ansible says it in that word alone
    expected = {name for hosts in map(_hosts, INVENTORY.glob(limit + ".json")) for name in hosts} or {limit}
    assert set(told) == expected, done.stdout + done.stderr
    return told


class Host:
    """A lab host, reached the way Ansible reaches it: over SSH, as an ordinary user with sudo."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fqdn = "%s.lab.test" % name
        self.vars = next(hosts[name] for hosts in map(_hosts, sorted(INVENTORY.glob("*.json"))) if name in hosts)
        self.address = self.vars["ansible_host"]

    def ssh(self) -> list:
        """The command that logs in."""
        options = ["-i", self.vars["ansible_ssh_private_key_file"], *shlex.split(self.vars["ansible_ssh_common_args"])]
        return ["ssh", *options, "%s@%s" % (self.vars["ansible_user"], self.address)]

    def run(self, command: str, check: bool = True, stdin: str = "") -> str:
        """A shell command as root; its standard output. stdin keeps text out of the command line, which is logged. Raises AssertionError
        with both outputs where it fails.
        """
        words = [*self.ssh(), "sudo -n sh -c %s" % shlex.quote(command)]
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, errors="replace", check=False)
        if check and done.returncode:
            raise AssertionError("%s: %s: %d\n%s%s" % (self.name, command, done.returncode, done.stdout, done.stderr))
        return done.stdout

    def write(self, path: str, text: str, append: bool = False) -> None:
        """Puts text into a file, as root."""
        self.run("cat %s %s" % (">>" if append else ">", shlex.quote(path)), stdin=text)


def verified(said: str) -> bool:
    """Whether openssl s_client was shown a certificate and trusts it: without one it says that verification is fine, too."""
    return "\nServer certificate\n" in said and "Verify return code: 0 (ok)" in said


def _hosts(path: Path) -> dict:
    """{name: variables} of an inventory file, group variables included."""
    found: dict = {}
    for group in json.loads(path.read_text(encoding="utf-8")).values():
        for name, variables in (group.get("hosts") or {}).items():
            found[name] = {**(group.get("vars") or {}), **(variables or {})}
    return found
