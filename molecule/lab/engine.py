# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine: the one LAB_ENGINE names, else podman, else docker."""
from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

#: What lets systemd be the first process of a container.
_SYSTEMD = {
    "podman": ["--systemd=always"],
    "docker": [
        "--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined", "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
        "--tmpfs=/run", "--tmpfs=/run/lock",
    ],
}


class LabError(Exception):
    """What is wrong, and what to do about it."""


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Of all processes that are about to make the same thing, in any checkout of this user, one is here and the others wait."""
    path = Path(tempfile.gettempdir()) / ("%s-%d.lock" % (name.replace("/", "-").replace(":", "-"), os.getuid()))
    with path.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Engine:
    """state: a directory of this checkout's own, for the engine's settings."""

    def __init__(self, state: Path) -> None:
        found = [name for name in _SYSTEMD if shutil.which(name)]
        self.name = os.environ.get("LAB_ENGINE") or (found or ["podman"])[0]
        if self.name not in _SYSTEMD:
            raise LabError("LAB_ENGINE is %s; it can be %s." % (self.name, " or ".join(_SYSTEMD)))
        if self.name == "podman" and os.getuid() != 0:
            raise LabError("podman gives a host an address that can be reached only when root runs it. Run this as root, or set LAB_ENGINE=docker.")
        self.environment = dict(os.environ)
        if self.name == "podman" and "CONTAINERS_CONF" not in os.environ:
            self.environment["CONTAINERS_CONF"] = str(_limits(state))

    def run(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Standard output of one engine command. Raises LabError with what it said where it fails."""
        try:
            done = subprocess.run(
                [self.name, *words], input=stdin or "", capture_output=True, text=True, errors="replace", env=self.environment, check=False,
            )
        except FileNotFoundError:
            raise LabError("%s is not installed; `make setup` says what is needed." % self.name) from None
        if check and done.returncode:
            raise LabError("%s %s: %s" % (self.name, " ".join(words), done.stderr.strip() or done.stdout.strip()))
        return done.stdout

    def has_image(self, image: str) -> bool:
        return bool(self.run("images", "--quiet", image).strip())

    def images_named(self, name: str) -> list:
        listing = self.run("images", "--format", "{{.Repository}}:{{.Tag}}")
        return [image for image in listing.splitlines() if image.startswith(name + ":")]

    def labelled(self, label: str) -> dict:
        """{container: {"image", "running"}} of those with this label, stopped ones included."""
        listing = self.run("ps", "--all", "--filter", "label=%s" % label, "--format", "{{.Names}}\t{{.Image}}\t{{.Status}}")
        rows = [line.split("\t") for line in listing.splitlines()]
        return {name: {"image": image, "running": status.startswith("Up")} for name, image, status in rows}

    def init(self, systemd: bool) -> list:
        return _SYSTEMD[self.name] if systemd else []

    def subnet(self, network: str) -> str | None:
        """The first subnet of a network; None where there is no such network."""
        told = self.run("network", "inspect", network, check=False)
        try:
            [network_facts] = json.loads(told)
        except ValueError:
            return None
        rows = network_facts.get("subnets") or network_facts.get("IPAM", {}).get("Config") or []
        return next((row.get("subnet") or row.get("Subnet") for row in rows), None)


def _limits(state: Path) -> Path:
    """podman's settings: runc, because crun refuses hybrid cgroups; limits that an engine without CAP_SYS_RESOURCE may set."""
    files, processes = (resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    files = 1 << 20 if files == resource.RLIM_INFINITY else files
    processes = min(processes if processes != resource.RLIM_INFINITY else 32768, 32768)
    path = state / "containers.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".%d" % os.getpid())  # another process's podman never reads half of it
    whole.write_text(
        '[engine]\nruntime = "runc"\n[containers]\ndefault_ulimits = ["nofile=%d:%d", "nproc=%d:%d"]\n'
        % (files, files, processes, processes),
        encoding="utf-8",
    )
    whole.replace(path)
    return path
