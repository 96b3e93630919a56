# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of this scenario, set to a profile and looked at all at once, and the table of what was seen of them."""
from __future__ import annotations

import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import seeing
import table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES
from cryptography.hazmat.primitives.asymmetric import rsa
from pki import Authority
from post import Sent, send
from reach import Host, ask, play

#: On each host: a copy of the configuration as converge left it, and two chains.
KEPT = "/root/profiles"
ECDSA_CHAIN, RSA_CHAIN = "/etc/postfix/tls/default.pem", "/etc/postfix/tls/rsa.pem"
CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"

#: A main.cf younger than a second makes every Postfix program that reads it wait, so it is made to look older. An smtpd that has
#: nothing to do ends at a reload, but not at once.
_LIVE = (
    "touch -d '1 minute ago' /etc/postfix/main.cf; old=$(pgrep -x smtpd || :); postfix reload 2>/dev/null; for pid in $old; do"
    " for turn in $(seq 100); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done; done"
)
_ROWS: list = []


class Seen(NamedTuple):
    """Of one host set to a profile.

    standard, full: results of starttls_verify with that profile. sslscan: as in seeing.py. sha1: whether openssl s_client, which offers
    nothing else, gets a handshake signed with it; sslscan offers no curves beside, and so is refused by all but DHE. mail: a message
    that left the host.
    """

    standard: dict
    full: dict
    sslscan: dict
    sslscan_version: tuple
    sha1: str
    mail: Sent


class Hosts:
    """Four hosts, of every release, each with an ECDSA and an RSA chain."""

    def __init__(self) -> None:
        self.names = ("p-bullseye", "p-bookworm", "p-trixie", "p-forky")
        self.all = {name: Host(name) for name in self.names}

    def each(self, act) -> dict:
        """{host: what act(Host) returns}, side by side."""
        with ThreadPoolExecutor(len(self.names)) as pool:
            return dict(zip(self.names, pool.map(act, self.all.values())))

    def hand_out(self) -> None:
        """The RSA chains, piped, because a command line is logged; then the configuration is kept."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=3072)  # the least that every profile with RSA keys takes
        store = "umask 077; rm -rf {0}; mkdir {0}; cat > {1}; cp -a /etc/postfix {0}/".format(KEPT, RSA_CHAIN)

        def pipe(host: Host) -> None:
            files = Authority(Path(host.vars["lab_ca_file"]).parent).chain(host.fqdn, "rsa-3072", key=key)
            words = [*host.ssh(), "sudo -n sh -c %s" % shlex.quote(store)]
            subprocess.run(words, input=b"".join(file.read_bytes() for file in files), check=True, capture_output=True)
        self.each(pipe)

    def set(self, profiles: dict) -> None:
        """{host: name of the profile that both its sides get}, by the role."""
        for profile in sorted(set(profiles.values())):
            chains = [ECDSA_CHAIN, RSA_CHAIN] if PROFILES[profile].rsa_bits else [ECDSA_CHAIN]
            play(
                CONVERGE, ",".join(name for name in self.names if profiles[name] == profile), smtpd_tls_profile=profile, smtp_tls_profile=profile,
                tls_certificate_source="none", smtpd_tls_parameters={"smtpd_tls_chain_files": chains}, tls_hardening_verify=False,
            )

    def mend(self) -> None:
        self.each(lambda host: host.run("cp -a %s/postfix/. /etc/postfix/; %s" % (KEPT, _LIVE)))

    def verify(self, **options: object) -> dict:
        """{host: result} of one starttls_verify on the controller."""
        targets = [{"host": host.fqdn, "address": host.address} for host in self.all.values()]
        ca_file = self.all[self.names[0]].vars["lab_ca_file"]
        told = ask("localhost", "mailsec.postfix_tls.starttls_verify", targets=targets, ca_file=ca_file, timeout=60, **options)["localhost"]
        return dict(zip(self.names, told["results"], strict=True))

    def mail(self) -> dict:
        """{host: what it sent to the next one}"""
        receivers = dict(zip(self.names, self.names[1:] + self.names[:1]))
        return self.each(lambda host: send(host, self.all[receivers[host.name]]))

    def look(self, profile: str) -> dict:
        """{host: Seen}"""
        with ThreadPoolExecutor(5) as pool:
            jobs = [
                pool.submit(self.verify, profile=profile), pool.submit(self.verify, profile=profile, depth="full"),
                pool.submit(self.each, seeing.sslscan), pool.submit(self.each, _sha1), pool.submit(self.mail),
            ]
        told = ([job.result()[name] for job in jobs] for name in self.names)
        return {name: Seen(standard, full, *sslscan, sha1, mail) for name, (standard, full, sslscan, sha1, mail) in zip(self.names, told)}


def _sha1(host: Host) -> str:
    """accepted, refused, or empty where that can't be told."""
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", "%s:25" % host.address, "-tls1_2", "-sigalgs", "ECDSA+SHA1:RSA+SHA1",
         "-cipher", "ECDHE:DHE:@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30,
    )
    told = done.stdout + done.stderr
    return "accepted" if "Peer signing digest: SHA1" in told else "refused" if "SSL alert number" in told else ""


@pytest.fixture(scope="session")
def hosts() -> Hosts:
    hosts = Hosts()
    hosts.hand_out()
    yield hosts
    hosts.mend()


@pytest.fixture(scope="session", params=list(PROFILES))
def seen(hosts, request) -> tuple:
    """(Profile, {host: Seen}), with all hosts set to that profile; a row each for the table at the end."""
    name = request.param
    hosts.set(dict.fromkeys(hosts.names, name))
    told = hosts.look(name)
    for host, one in told.items():
        said = one.sslscan
        findings = one.standard["findings"] + one.full["findings"]
        passed = sum(finding["verdict"] == "pass" for finding in findings)
        cells = ["%d of %d" % (passed, len(findings)), ", ".join(sorted(line.split()[0] for line in said["versions"] if "accepted" in line))]
        for what in ("suites", "groups"):
            cells.append("%d" % len({line.split()[1] for line in said[what]}))
        cells += [", ".join(sorted(said["dh"])) or "-", one.sha1, re.search(r"using (\S+)", one.mail.received + " using plaintext")[1]]
        _ROWS.append((name, host, *cells))
    return PROFILES[name], told


def pytest_terminal_summary(terminalreporter) -> None:
    """What the verifier passed, and what others saw."""
    header = ("profile", "releases", "checks passed", "versions", "suites", "groups", "primes", "SHA-1 under a handshake", "mail out")
    table.show(terminalreporter, "profiles", header, _ROWS)
