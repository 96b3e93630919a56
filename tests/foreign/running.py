# SPDX-License-Identifier: GPL-3.0-or-later
"""One server of the table on the lab's host y-servers, from its files to its end."""
from __future__ import annotations

import base64
import io
import secrets
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

from faults import CASES, Fault, root
from mailservers import BACKEND, Server
from reach import TOP, Host

PROGRAMS = Path(__file__).resolve().parent / "programs"
#: smtp-server comes from npm, onto this machine; the host has Debian's node.
PACKAGES = TOP / ".cache" / "foreign"
SMTP_SERVER = "smtp-server@3"
FIRST_PORT = 2000

#: The 1024-bit prime of RFC 2409 section 6.2, with the generator 2.
_DH_1024 = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""

_START = """set -eu
mkdir -p %(folder)s && cd %(folder)s
base64 -d | tar -xz --no-same-owner
chown %(owner)s *.key *.both
systemd-run --quiet --unit=%(unit)s --collect --working-directory=%(folder)s --property=KillSignal=SIGKILL sh start
for _try in $(seq 100); do
    [ -z "$(ss -Hltn 'sport = :%(port)d')" ] || exit 0
    systemctl is-active --quiet %(unit)s || break
    sleep 0.1
done
journalctl --no-pager --unit=%(unit)s >&2
exit 1"""


class Running(NamedTuple):
    """Where a case answers. address: of y-servers. unit: systemd's word for it there."""

    address: str
    port: int
    unit: str


@contextmanager
def running(host: Host, server: Server, fault: Fault) -> Iterator[Running]:
    """Raises AssertionError with what the server said where it does not start."""
    started = Running(host.address, FIRST_PORT + CASES.index((server, fault)), "foreign-%s-%s-%s" % (server.name, fault.name, secrets.token_hex(3)))
    folder = "/srv/foreign/" + started.unit
    chains = [make() for make in fault.chains]
    files = dict(server.files(fault.wants, folder, started.port), **{"ca.pem": root().pem, "dh.pem": _DH_1024})
    for number, chain in enumerate(chains):
        files.update({"%d.key" % number: chain.key_pem, "%d.pem" % number: chain.pem, "%d.both" % number: chain.key_pem + chain.pem})
    try:
        host.run(_START % {"folder": folder, "unit": started.unit, "port": started.port, "owner": server.owner}, stdin=_packed(files))
        yield started
    finally:
        host.run("systemctl stop --no-block %s; rm -rf %s" % (started.unit, folder), check=False)


def prepare(host: Host) -> None:
    """Puts what is no package of Debian's onto the host, and has its Postfix answer without STARTTLS too."""
    if not (PACKAGES / "node_modules" / "smtp-server").exists():
        subprocess.run(["npm", "install", "--silent", "--no-save", "--prefix", str(PACKAGES), SMTP_SERVER], check=True, stdin=subprocess.DEVNULL)
    files = {path.name: path.read_text(encoding="utf-8") for path in PROGRAMS.iterdir()}
    packages = PACKAGES / "node_modules"
    files.update({
        "node_modules/%s" % path.relative_to(packages): path.read_text(encoding="utf-8")
        for path in packages.rglob("*") if path.is_file() and path.suffix in (".js", ".json", ".cjs")
    })
    host.run("postconf -M 127.0.0.1:%d/inet='127.0.0.1:%d inet n - y - - smtpd -o smtpd_tls_security_level=none' && postfix reload" % (BACKEND, BACKEND))
    host.run("mkdir -p /opt/foreign && base64 -d | tar -C /opt/foreign -xz --no-same-owner", stdin=_packed(files))


def _packed(files: dict) -> str:
    """A tar of {name: text}, keys for their owner alone, as text that goes through standard input."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz", compresslevel=1) as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            data = text.encode()
            entry.size, entry.mode = len(data), 0o600 if name.endswith((".key", ".both")) else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return base64.b64encode(whole.getvalue()).decode()
