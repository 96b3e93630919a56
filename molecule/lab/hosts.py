# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of this checkout: containers on a network of their own, reached over SSH as an ordinary user with sudo."""
from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import images
from engine import Engine, LabError, alone

if TYPE_CHECKING:
    from pki import Authority

#: {group (a scenario, the demo, the benchmark): {host: Debian release}}. A host's full name is NAME.lab.test.
GROUPS = {
    "demo": {"mx1": "trixie", "mx2": "bookworm"},
    "default": {"bullseye": "bullseye", "bookworm": "bookworm", "trixie": "trixie", "forky": "forky"},
    "wire": {"wire1": "trixie", "wire2": "bookworm"},
    "sending_only": {"selfsigned": "trixie", "nocert": "bookworm"},
    "bench": {"bench%d" % number: "trixie" for number in range(1, 21)},
    "faults": {"f-bullseye": "bullseye", "f-bookworm": "bookworm", "f-trixie": "trixie", "f-forky": "forky"},
    "crosscheck": {"x-stock-bullseye": "bullseye", "x-stock-trixie": "trixie", "x-hard-bookworm": "bookworm", "x-hard-trixie": "trixie"},
    "upgrade": {"u-bullseye": "bullseye", "u-bookworm": "bookworm", "u-trixie": "trixie", "u-forky": "forky"},
    "profiles": {"p-bullseye": "bullseye", "p-bookworm": "bookworm", "p-trixie": "trixie", "p-forky": "forky"},
    "load": {"l-source": "trixie", "l-relay": "bookworm", "l-partner": "trixie"},
    "rollback": {"r-bullseye": "bullseye", "r-bookworm": "bookworm", "r-trixie": "trixie", "r-forky": "forky"},
    "interrupted": {"i-trixie": "trixie", "i-forky": "forky"},
    "acme": {"a-trixie": "trixie", "a-bookworm": "bookworm", "a-pebble": "trixie"},
    "certificates": {"c-bullseye": "bullseye", "c-bookworm": "bookworm", "c-trixie": "trixie", "c-forky": "forky"},
    "policy": {
        "s-sender": "trixie", "s-good": "trixie", "s-selfsigned": "trixie", "s-wrongname": "trixie", "s-unknownca": "trixie", "s-expired": "trixie",
        "s-plain": "forky", "s-tls10": "bullseye", "s-broken": "trixie", "s-stripped": "trixie", "s-wrapped": "bookworm", "s-exim": "trixie",
        "s-opensmtpd": "trixie",
    },
    "audit": {"log-bullseye": "bullseye", "log-bookworm": "bookworm", "log-trixie": "trixie", "log-forky": "forky"},
    "required": {"q-bullseye": "bullseye", "q-forky": "forky", "q-sender": "trixie"},
    "as_they_are": {"w-bullseye": "bullseye", "w-bookworm": "bookworm", "w-trixie": "trixie", "w-forky": "forky", "w-partner": "trixie"},
    "cores": {"k-bookworm": "bookworm", "k-trixie": "trixie"},
    "foreign": {"y-servers": "bookworm", "y-bullseye": "bullseye", "y-trixie": "trixie", "y-forky": "forky"},
    "bench_foreign": {"bench-servers": "bookworm"},
}
RELEASE_OF = {name: release for members in GROUPS.values() for name, release in members.items()}

#: {host: the script of image/ that its image has run on top of its release's}.
LAYER_OF = {"y-servers": "servers", "bench-servers": "servers"}

#: Engine options of a group's hosts beside those that all have: where tests mount a full or a read-only file system, or make a file immutable, where
#: a unit's sandbox is to hold (without that right, systemd leaves it out), and where one host has several addresses.
OPTIONS = {
    "as_they_are": ["--cap-add=NET_ADMIN"],
    "acme": ["--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"],
    "interrupted": ["--cap-add=SYS_ADMIN", "--cap-add=LINUX_IMMUTABLE", "--security-opt=apparmor=unconfined"],
}
OPTIONS_OF = {name: OPTIONS.get(group, []) for group, members in GROUPS.items() for name in members}

#: Chains that each host of a group has beside its own: {group: {word: (kind of key, its names where they are not the host's)}}. In the inventory they
#: are lab_WORD_key_file and lab_WORD_chain_file.
CHAINS = {
    "certificates": {
        "ecdsa": ("ECDSA", ()), "rsa": ("RSA", ()), "net_ecdsa": ("ECDSA", ("mx.example.net", "mail.example.net")),
        "net_rsa": ("RSA", ("mx.example.net", "mail.example.net")), "below": ("ECDSA", ("*.example.org",)),
    },
}

#: Chains of one host alone, beside its own: {host: {word: (Authority's method, what it is given beside the host's name)}}. In the inventory they are
#: named as those above. What partners serve covers the domains that have their mail there; where it does not, it is the fault of this partner.
SINGLE = {
    "w-partner": {"partner": ("chain", {"another": "partner", "names": ("mx.good.test", "mx.dane.test", "mx.forged.test", "smtp.isp.test")})},
    "x-hard-trixie": {"rsa": ("rsa_chain", {})},
    "selfsigned": {"selfsigned": ("selfsigned", {})},
    "s-good": {"partner": ("chain", {"another": "partner", "names": ("*.good.test", "*.rekeyed.test", "*.stripped.test", "mx.provider.test")})},
    "s-selfsigned": {"partner": ("selfsigned", {"names": ("*.selfsigned.test",)})},
    "s-wrongname": {
        "partner": ("chain", {"another": "wrong", "names": ("elsewhere.test",)}),
        "mended": ("chain", {"another": "partner", "names": ("*.wrongname.test",)}),
    },
    "s-unknownca": {"partner": ("unknown_chain", {"names": ("*.unknownca.test",)})},
    "s-expired": {"partner": ("chain", {"another": "partner", "names": ("*.expired.test",), "days": -1})},
    **{
        "s-" + name: {"partner": ("chain", {"another": "partner", "names": ("*.%s.test" % name,)})}
        for name in ("tls10", "broken", "wrapped", "exim", "opensmtpd")
    },
}

TOP = Path(__file__).resolve().parents[2]
STATE = TOP / ".cache" / "lab"
DOMAIN = "lab.test"
USER = "admin"
WAIT = 120  # seconds for a host to answer

#: Two checkouts on one machine have nothing in common but the images.
LAB = "ptls-%s" % hashlib.sha256(str(TOP).encode()).hexdigest()[:8]
NETWORK = LAB


class Lab:
    """Brings hosts up and takes them down; knows their addresses and what the inventory says of them."""

    def __init__(self) -> None:
        self.engine = Engine(STATE)
        self.key = STATE / "ssh" / "id_ed25519"
        self.known_hosts = STATE / "ssh" / "known_hosts"

    def up(self, groups: list) -> list:
        """Starts what does not run yet, and returns the names of those."""
        names = [name for group in groups for name in GROUPS[group]]
        with ThreadPoolExecutor(2) as pool:  # as many as make the processor busy; most of a build is dpkg
            made = dict(zip(kinds := sorted({_kind(name) for name in names}), pool.map(lambda kind: images.ensure(self.engine, *kind), kinds)))
        running = self.engine.labelled("lab=%s" % LAB)
        up_to_date = {container(name): {"image": made[_kind(name)], "running": True} for name in names}
        missing = [name for name in names if running.get(container(name)) != up_to_date[container(name)]]
        if missing or not all((STATE / "inventory" / (group + ".json")).exists() for group in groups):
            from pki import Authority  # only here: whoever lists or removes hosts needs nothing but Python

            with alone(LAB):  # scenarios side by side share these
                self._ssh_key()
                authority = Authority(STATE / "pki")
                addresses = self._addresses()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda name: self._start(name, made[_kind(name)], addresses, authority), missing))
                keys = dict(zip(names, pool.map(lambda name: self._host_key(name, addresses[name]), names)))
            with alone(LAB):
                self._remember(keys, addresses)
            for group in groups:
                self._inventory(group, addresses, authority)
        return missing

    def down(self, groups: list) -> list:
        """Removes the hosts of these groups, and returns the names of those that were there."""
        names = [name for group in groups for name in GROUPS[group]]
        there = self.engine.labelled("lab=%s" % LAB)
        present = [name for name in names if container(name) in there]
        if present:
            self.engine.run("rm", "--force", "--volumes", *map(container, present))
        for group in groups:
            (STATE / "inventory" / (group + ".json")).unlink(missing_ok=True)
            (STATE / ("%s-before.json" % group)).unlink(missing_ok=True)
        return present

    def down_all(self, with_images: bool) -> list:
        """Removes every host, the network and everything else of this checkout; on request the images, which others may use."""
        there: dict = {}
        if shutil.which(self.engine.name):
            there = self.engine.labelled("lab=%s" % LAB)
            if there:
                self.engine.run("rm", "--force", "--volumes", *there)
            if self.engine.subnet(NETWORK):
                self.engine.run("network", "rm", NETWORK)
            for image in self.engine.images_named(images.NAME) if with_images else ():
                self.engine.run("rmi", image, check=False)  # one that another checkout's hosts use stays
        shutil.rmtree(STATE, ignore_errors=True)
        return sorted(there)

    def rows(self) -> list:
        """(group, host, release, address, state) of every host there can be."""
        there = self.engine.labelled("lab=%s" % LAB)
        addresses = self._addresses() if there else {}
        rows = []
        for group, members in GROUPS.items():
            for name, release in members.items():
                found = there.get(container(name))
                state = "-" if not found else "running" if found["running"] else "stopped"
                rows.append((group, name, release, addresses[name] if found else "-", state))
        return rows

    def _ssh_key(self) -> None:
        if not self.key.exists():
            self.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", LAB, "-f", str(self.key)], check=True)

    def _addresses(self) -> dict:
        """{name: address}, the same at every start, from the network's subnet."""
        subnet = self.engine.subnet(NETWORK) or self._network()
        pool = ipaddress.ip_network(subnet)
        return {name: str(pool[10 + position]) for position, name in enumerate(RELEASE_OF)}

    def _network(self) -> str:
        """Made in a subnet that is free on this machine."""
        start = int(LAB[-4:], 16)
        for step in range(64):
            number = (start + step) % (100 * 256)
            subnet = "10.%d.%d.0/24" % (100 + number // 256, number % 256)
            try:
                self.engine.run("network", "create", "--subnet", subnet, NETWORK)
                return subnet
            except LabError as error:
                if not re.search(r"subnet.* used|overlap", str(error)):
                    raise
                refused = error
        raise refused

    def _start(self, name: str, image: str, addresses: dict, authority: Authority) -> None:
        print("lab: starting %s\n" % name, end="", flush=True)
        self.engine.run("rm", "--force", "--volumes", container(name), check=False)
        self.engine.run(
            "run", "--detach", "--name", container(name), "--label", "lab=%s" % LAB, "--hostname", "%s.%s" % (name, DOMAIN),
            "--network", NETWORK, "--ip", addresses[name], "--cap-add=NET_RAW", "--cap-add=AUDIT_WRITE",
            *["--add-host=%s.%s:%s" % (other, DOMAIN, address) for other, address in addresses.items() if other != name],
            "--volume=%s:/etc/ssh/authorized_keys/%s:ro,z" % (self.key.with_suffix(".pub"), USER),
            "--volume=%s:/usr/local/share/ca-certificates/lab.crt:ro,z" % authority.root,
            *self.engine.init(images.RELEASES[RELEASE_OF[name]].systemd), *OPTIONS_OF[name], image,
        )

    def _host_key(self, name: str, address: str) -> str:
        """The host's public key, once sshd and Postfix answer."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if _greeting(address, 22).startswith("SSH-") and _greeting(address, 25).startswith("220"):
                return self.engine.run("exec", container(name), "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
            time.sleep(0.2)
        told = self.engine.run("logs", "--tail", "30", container(name), check=False)
        raise LabError("%s (%s) does not answer on ports 22 and 25 after %d s.\n%s" % (name, address, WAIT, told))

    def _remember(self, keys: dict, addresses: dict) -> None:
        """Pins the host keys; those of other hosts stay."""
        old = self.known_hosts.read_text(encoding="utf-8").splitlines() if self.known_hosts.exists() else []
        replaced = {addresses[name] for name in keys}
        lines = [line for line in old if line.split(" ")[0] not in replaced]
        lines += ["%s %s" % (addresses[name], " ".join(key.split()[:2])) for name, key in keys.items()]
        self.known_hosts.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _inventory(self, group: str, addresses: dict, authority: Authority) -> None:
        from pki import rsa_key

        hosts = {}
        for name, release in GROUPS[group].items():
            key, chain = authority.chain("%s.%s" % (name, DOMAIN))
            hosts[name] = {"ansible_host": addresses[name], "lab_release": release, "lab_key_file": str(key), "lab_chain_file": str(chain)}
            for word, (kind, names) in CHAINS.get(group, {}).items():
                key, chain = authority.chain("%s.%s" % (name, DOMAIN), word, key=rsa_key() if kind == "RSA" else None, names=names)
                hosts[name].update({"lab_%s_key_file" % word: str(key), "lab_%s_chain_file" % word: str(chain)})
            for word, (method, given) in SINGLE.get(name, {}).items():
                key, chain = getattr(authority, method)("%s.%s" % (name, DOMAIN), **given)
                hosts[name].update({"lab_%s_key_file" % word: str(key), "lab_%s_chain_file" % word: str(chain)})
        shared = {
            "ansible_user": USER,
            "ansible_port": 22,  # molecule login asks for it
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": "-o UserKnownHostsFile=%s -o StrictHostKeyChecking=yes -o ControlMaster=auto -o ControlPersist=120s"
                                       % self.known_hosts,
            "ansible_python_interpreter": "/usr/bin/python3",
            "lab_ca_file": str(authority.root),
        }
        path = STATE / "inventory" / (group + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({group: {"hosts": hosts, "vars": shared}}, indent=2) + "\n", encoding="utf-8")


def _kind(name: str) -> tuple:
    """(release, layer or nothing): what a host's image is made of."""
    return RELEASE_OF[name], LAYER_OF.get(name, "")


def container(name: str) -> str:
    return "%s-%s" % (LAB, name)


def _greeting(address: str, port: int) -> str:
    """The first bytes a server says; empty where it does not answer."""
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.recv(64).decode("latin-1")
    except OSError:
        return ""
