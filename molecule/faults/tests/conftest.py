# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of this scenario, all handled at once, and the table of what was seen of them."""
from __future__ import annotations

import io
import re
import smtplib
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import table
from cryptography.hazmat.primitives.asymmetric import ec
from pki import Authority, rsa_key
from reach import Host, ask

#: On each host: the parts that chains are put together from, and a copy of the healthy configuration.
PARTS = "/root/faults"
CHAIN = PARTS + "/chain.pem"
DEPLOYED = "/etc/postfix/tls/default.pem"

#: A main.cf younger than a second makes every Postfix program that reads it wait, so it is made to look older. An smtpd that has
#: nothing to do ends at a reload, but not at once; a restart is for a service that master(8) holds back.
_AGE = "touch -d '1 minute ago' /etc/postfix/main.cf"
_LIVE = {
    "reload": "old=$(pgrep -x smtpd || :); postfix reload 2>/dev/null; for pid in $old; do for turn in $(seq 100); do"
              " kill -0 $pid 2>/dev/null || break; sleep 0.05; done; done",
    "restart": "postfix stop 2>/dev/null || :; if [ -d /run/systemd/system ]; then systemctl restart postfix; else postfix start 2>/dev/null; fi",
}

#: What differs from host to host though it says the same.
_OWN = (
    (re.compile(r"TLS library problem: error:[0-9A-F]+:[^:]*:[^:]*:([^:]*):.*"), r"TLS library problem: \1"),
    (re.compile(r"CN=f-\w+\.lab\.test"), "CN=HOST"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA256"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT[\d:]+Z"), "DATE"),
)
_ROWS: list = []


class Hosts:
    """Four hardened hosts, of every release."""

    def __init__(self) -> None:
        self.names = ("f-bullseye", "f-bookworm", "f-trixie", "f-forky")
        self.all = [Host(name) for name in self.names]

    def each(self, act) -> dict:
        """{host: what act(Host) returns}, side by side."""
        with ThreadPoolExecutor(len(self.all)) as pool:
            return dict(zip(self.names, pool.map(act, self.all)))

    def run(self, *commands: str) -> None:
        """The same shell commands as root on each; the first that fails ends them, and the test."""
        self.each(lambda host: host.run("set -e; " + "; ".join(commands)))

    def hand_out_parts(self) -> None:
        """Piped, because a command line is logged."""
        def hand_out(host: Host) -> None:
            words = [*host.ssh(), "sudo -n sh -c 'rm -rf {0}; mkdir -m 700 {0}; tar -xf - -C {0}'".format(PARTS)]
            subprocess.run(words, input=_archive(_parts(host)), check=True, capture_output=True)
        self.each(hand_out)
        self.run("cp -a /etc/postfix %s/healthy" % PARTS)

    def set(self, parameters: dict, chain: tuple) -> None:
        """parameters: {name: value}, None removes. chain: parts that make up CHAIN, in their order."""
        gone = [name for name, value in parameters.items() if value is None]
        there = ["'%s = %s'" % item for item in parameters.items() if item[1] is not None]
        commands = ["cd " + PARTS]
        commands += ["cat %s > %s" % (" ".join(chain), CHAIN)] if chain else []
        commands += ["postconf -X " + " ".join(gone), _AGE] if gone else []
        commands += ["postconf -e " + " ".join(there), _AGE] if there else []
        self.run(*commands, _LIVE["reload"])

    def make_live(self, action: str = "reload") -> None:
        self.run(_LIVE[action])

    def mend(self, action: str) -> None:
        self.run("cp -a %s/healthy/. /etc/postfix/" % PARTS, _LIVE[action])

    def ehlo(self) -> dict:
        """{host: what a stranger sees}, by Python's smtplib from the controller."""
        def look(host: Host) -> str:
            try:
                with smtplib.SMTP(host.address, 25, timeout=10) as session:
                    session.ehlo("stranger.lab.test")
                    return "STARTTLS" if session.has_extn("starttls") else "no STARTTLS"
            except (smtplib.SMTPServerDisconnected, OSError):
                return "no banner"
        return self.each(look)

    def verify(self, **options: object) -> dict:
        """{host: result} of starttls_verify run there."""
        target = {"host": "127.0.0.1", "server_name": "{{ inventory_hostname }}.lab.test"}
        ca_file = "/usr/local/share/ca-certificates/lab.crt"
        arguments = {"targets": [target], "ca_file": ca_file, "timeout": 5, "min_days_left": 14, **options}
        return ask("faults", "mailsec.postfix_tls.starttls_verify", "--become", **arguments)

    def assert_healthy(self) -> None:
        told = {name: result["msg"] for name, result in self.verify(deployed_chain=DEPLOYED).items() if result["failed"]}
        assert not told, "\n".join("%s: %s" % item for item in told.items())


def _parts(host: Host) -> dict:
    """{file: content}"""
    authority = Authority(Path(host.vars["lab_ca_file"]).parent)
    kinds = {
        "": {}, "expired": {"days": -1}, "renewed": {}, "rsa": {"key": rsa_key()}, "other": {"key": ec.generate_private_key(ec.SECP256R1())},
    }
    parts = {}
    for kind, leaf in kinds.items():
        key, chain = authority.chain(host.fqdn, kind, **leaf)
        certificates = re.findall(r"-----BEGIN [^-]*-----\n[^-]*-----END [^-]*-----\n", chain.read_text(encoding="utf-8"))
        name = kind + "-" if kind else ""
        parts.update({name + "key": key.read_text(encoding="utf-8"), name + "leaf": certificates[0], "intermediate": certificates[1]})
    return parts


def _archive(parts: dict) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in parts.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o600
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


@pytest.fixture(scope="session")
def hosts() -> Hosts:
    hosts = Hosts()
    hosts.hand_out_parts()
    hosts.make_live()  # what converge has set is read by every smtpd
    hosts.assert_healthy()
    return hosts


@pytest.fixture
def seen():
    """seen(fault, host, EHLO, finding) keeps a row for the table at the end."""
    def keep(fault: str, host: str, ehlo: str, finding: dict) -> None:
        cause = "; ".join([finding["observed"], *(finding["log"][:1] or ["fix: " + finding["fix"]])])
        for pattern, common in _OWN:
            cause = pattern.sub(common, cause)
        _ROWS.append((fault, host, ehlo, "%s %s" % (finding["check"], finding["verdict"]), cause))
    return keep


def pytest_terminal_summary(terminalreporter) -> None:
    """Fault, EHLO, verdict and cause."""
    header = ("fault", "releases", "EHLO", "verdict", "cause")
    table.show(terminalreporter, "faults", header, _ROWS)
