# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of this scenario, and three intents that differ in every file a run touches."""
from __future__ import annotations

import io
import json
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ansible
import pytest
from pki import Authority
from reach import INVENTORY, TOP, Host

#: Each other in chain, policy table and main.cf: a run from any to any other takes the same steps.
INTENTS = ("a", "b", "c")

#: On each host: the module with all it needs, and the script that runs it.
PLACE = "/root/dying"
DRIVER = Path(__file__).with_name("dying.py")


class Hosts:
    """All of the scenario."""

    def __init__(self) -> None:
        self.names = tuple(json.loads((INVENTORY / "interrupted.json").read_text(encoding="utf-8"))["interrupted"]["hosts"])
        self.all = [Host(name) for name in self.names]

    def each(self, act) -> dict:
        """{host: what act(Host) returns}, side by side."""
        with ThreadPoolExecutor(len(self.all)) as pool:
            return dict(zip(self.names, pool.map(act, self.all)))


def fed(host: Host, command: str, stdin: bytes) -> bytes:
    """Piped, because a command line is logged."""
    words = [*host.ssh(), "sudo -n sh -c '%s'" % command]
    return subprocess.run(words, input=stdin, check=True, capture_output=True).stdout


def arguments(host: str, intent: str) -> dict:
    """What the module is asked for."""
    key, chain = _chain(host, intent)
    return {
        "chains": [{"key": key.read_text(encoding="utf-8"), "certificate": chain.read_text(encoding="utf-8")}],
        "parameters": {"smtpd_tls_security_level": "may", "smtp_tls_loglevel": INTENTS.index(intent)},
        "policy": {"destinations": [{"destination": "%s.example.com" % intent}]},
    }


def chain_file(host: str, intent: str) -> Path:
    return _chain(host, intent)[1]


def _chain(host: str, intent: str) -> tuple:
    return Authority(INVENTORY.parent / "pki").chain("%s.lab.test" % host, "intent-%s" % intent)


def _module() -> bytes:
    """An archive with the module and what it imports."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(DRIVER, DRIVER.name)
        library = Path(ansible.__file__).parent
        for path in ("__init__.py", "release.py", "module_utils", "_vendor/__init__.py"):
            archive.add(library / path, "ansible/%s" % path, filter=_source)
        for path in ("modules", "module_utils"):
            archive.add(TOP / "plugins" / path, "ansible_collections/mailsec/postfix_tls/plugins/%s" % path, filter=_source)
    return stream.getvalue()


def _source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


@pytest.fixture(scope="session")
def hosts() -> Hosts:
    hosts, archive = Hosts(), _module()
    hosts.each(lambda host: fed(host, "rm -rf {0}; mkdir -m 700 {0}; tar -xzf - -C {0}".format(PLACE), archive))
    return hosts
