# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job by every ansible-core that the collection names, beside the one that all other tests run with.

Each wants its own Python, so it runs on a test host that has that one, and hardens this host itself.
"""
from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from reach import Host, verified

TOP = Path(__file__).resolve().parents[2]
CACHE = TOP / ".cache" / "cores"

#: {release: the host that runs it, its Python}
CORES = {"2.17": ("k-bookworm", "3.11"), "2.18": ("k-bookworm", "3.11"), "2.20": ("k-trixie", "3.13"), "2.21": ("k-trixie", "3.13")}

COLLECTION = "/opt/collections/ansible_collections/mailsec/postfix_tls"
AS_INSTALLED = "rm -rf /etc/postfix /var/lib/mailsec-postfix_tls; cp -a /usr/local/share/postfix-as-installed /etc/postfix; postfix reload"
VARIABLES = {
    "ansible_python_interpreter": "/usr/bin/python3",
    "tls_certificate_source": "files",
    "tls_certificate_key_file": "/root/cores/key.pem",
    "tls_certificate_chain_file": "/root/cores/chain.pem",
    "tls_policy_destinations": [{"destination": "partner.example.com", "level": "secure", "match": ["mx.partner.example.com"]}],
    "tls_policy_destinations_banks": [{"destination": "bank.example.com"}],
    "smtp_tls_protocols": ">=TLSv1.2",
}

LOOKED = re.compile(r"Prove what peers see\] \*+\nok: ")


class Core:
    """One release of ansible-core, at work on its host."""

    def __init__(self, release: str) -> None:
        self.release = release
        name, python = CORES[release]
        self.host = Host(name)
        self.host.run("rm -rf %s /root/cores" % COLLECTION)
        files = subprocess.run(["git", "ls-files", "-z", "galaxy.yml", "meta", "playbooks", "plugins", "roles"], cwd=TOP, capture_output=True, check=True)
        self._unpack(COLLECTION, TOP, *files.stdout.decode().rstrip("\0").split("\0"))
        self._unpack("/opt/core-%s" % release, _installed(release, python), ".")
        self.host.run("umask 077; mkdir -p /root/cores; echo secret > /root/cores/password")
        self.host.run("cat > /root/cores/key.pem", stdin=Path(self.host.vars["lab_key_file"]).read_text(encoding="utf-8"))
        self.host.write("/root/cores/chain.pem", Path(self.host.vars["lab_chain_file"]).read_text(encoding="utf-8"))
        self.host.run(AS_INSTALLED)

    def _unpack(self, place: str, folder: Path, *names: str) -> None:
        """Puts these files there."""
        packed = subprocess.run(["tar", "-C", str(folder), "-cz", "--exclude=__pycache__", *names], capture_output=True, check=True).stdout
        subprocess.run([*self.host.ssh(), "sudo -n sh -c 'mkdir -p %s && tar -C %s -xz --no-same-owner'" % (place, place)], input=packed, check=True)

    def ansible(self, program: str, *words: str, check: bool = True) -> str:
        """What ansible PROGRAM says."""
        environment = "PYTHONPATH=/opt/core-%s ANSIBLE_COLLECTIONS_PATH=/opt/collections ANSIBLE_NOCOLOR=1" % self.release
        said = self.host.run("cd /root && %s python3 -m ansible %s %s 2>&1; echo exit $?" % (environment, program, shlex.join(words)))
        assert not check or said.endswith("exit 0\n"), said
        return said

    def play(self, playbook: str, *options: str, check: bool = True, **variables: object) -> str:
        """What a playbook of the collection says."""
        told = json.dumps(dict(VARIABLES, starttls_verify_server_name=self.host.fqdn, **variables))
        playbook = "mailsec.postfix_tls." + playbook
        return self.ansible(
            "playbook", "-i", "localhost,", "-c", "local", "-e", told, "--vault-password-file", "/root/cores/password", playbook, *options, check=check)

    def configuration(self) -> str:
        return self.host.run("cd /etc/postfix && find . -type f | sort | xargs sha256sum")

    def served(self) -> str:
        return self.host.run(
            "openssl s_client -starttls smtp -connect 127.0.0.1:25 -verify_hostname %s -verify_return_error </dev/null 2>&1" % self.host.fqdn, check=False)


def _installed(release: str, python: str) -> Path:
    """Where this release lies on this machine, for another Python than there is here."""
    target = CACHE / release
    if not target.exists():
        unfinished = CACHE / ("%s.%d" % (release, os.getpid()))
        subprocess.run([
            sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", "--target", str(unfinished), "--only-binary=:all:",
            "--ignore-requires-python", "--python-version", python, "--platform", "manylinux2014_" + platform.machine(), "--platform", "any",
            "ansible-core ~= %s.0" % release,
        ], check=True)
        unfinished.rename(target)
    return target


@pytest.fixture(scope="module", params=CORES)
def core(request) -> Core:
    return Core(request.param)


def test_the_main_job_is_predicted_done_proven_and_undone(core: Core) -> None:
    assert "core %s." % core.release in core.ansible("adhoc", "--version")
    before = core.configuration()
    assert "changed=1" in core.play("site", "--check", "--diff") and core.configuration() == before and not verified(core.served())
    first = core.play("site")
    assert "changed=1" in first and LOOKED.search(first)
    assert verified(core.served())
    assert "changed=0" in core.play("site")
    for profile in ("", "opportunistic"):
        assert LOOKED.search(core.play("verify", starttls_verify_profile=profile)), "without what the host promised"
    table = core.host.run("cat /etc/postfix/tls_policy")
    assert "partner.example.com secure match=mx.partner.example.com" in " ".join(table.split()) and "bank.example.com" in table
    assert core.host.run("postconf -h smtp_tls_protocols").strip() == ">=TLSv1.2"
    assert "changed=1" in core.play("rollback") and core.configuration() == before and not verified(core.served())


@pytest.mark.parametrize("variables, told", [
    ({"smtpd_tls_securty_level": "may"}, "the role smtpd_tls has no such variable; did you mean smtpd_tls_security_level? Nothing was changed."),
    ({"tls_certificate_key_file": "/nonexistent"}, "tls_certificate_key_file = /nonexistent: there is no such file on the controller"),
    ({"tls_policy_fleet": "nowhere"}, "tls_policy_fleet = nowhere: the inventory has no such group."),
    ({"tls_certificate_source": "acme"}, "tls_certificate_acme_terms_agreed: not set, and tls_certificate_source = acme needs it."),
    ({"smtpd_tls_parameters": {"smtpd_tls_exclude_cipher": "MD5"}}, "Did you mean smtpd_tls_exclude_ciphers?"),
])
def test_what_can_t_be_meant_is_refused(core: Core, variables: dict, told: str) -> None:
    before = core.configuration()
    said = " ".join(core.play("site", check=False, **variables).split())
    assert told in said and "Traceback" not in said and core.configuration() == before


def test_a_key_encrypted_by_ansible_vault_is_installed(core: Core) -> None:
    core.ansible("vault", "encrypt", "--vault-password-file", "/root/cores/password", "/root/cores/key.pem")
    assert core.host.run("head -c 14 /root/cores/key.pem") == "$ANSIBLE_VAULT"
    assert "changed=1" in core.play("site") and verified(core.served())
