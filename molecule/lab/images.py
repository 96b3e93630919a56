# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of Debian releases with Postfix, and layers upon them. Named by what went into them, so they are made once per machine and only when that
changes.
"""
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from engine import Engine, LabError, alone

NAME = "localhost/postfix-tls-lab"
FOLDER = Path(__file__).resolve().parent / "image"
SETUP = FOLDER / "setup"
PACKAGES = "python3 ca-certificates iproute2 procps openssl openssh-server postfix ssl-cert sudo tcpdump"


class Release(NamedTuple):
    """packages: beside those that all have. options: of mmdebstrap. systemd: whether it is the host's init."""

    packages: str = "systemd systemd-sysv dbus"
    options: tuple = ()
    systemd: bool = True


RELEASES = {
    "bullseye": Release(),
    "bookworm": Release(),
    "trixie": Release(),
    # systemd >= 258 needs cgroup v2 alone; and a mirror of testing may lag behind the date its Release file ends on.
    "forky": Release(packages="hostname", options=("--aptopt=Acquire::Check-Valid-Until \"false\"",), systemd=False),
}
_MMDEBSTRAP = (
    "--variant=minbase", "--quiet", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Languages \"none\"",
)


def ensure(engine: Engine, release: str, layer: str = "") -> str:
    """The image's name, made first where there is none yet. layer: a script of C(image/) that runs on top of the release's own image.

    LAB_BASE_IMAGE names a Debian image to start from, with {release} in it. Without it, mmdebstrap makes one of Debian's packages;
    and without that, it is the registry's.
    """
    if layer:
        return _with_layer(engine, ensure(engine, release), layer)
    image = name(release)
    if engine.has_image(image):
        return image
    with alone(image):
        if not engine.has_image(image):
            base = _base().format(release=release)
            print("lab: %s makes %s of %s, about a minute\n" % (engine.name, image, base or "Debian's packages"), end="", flush=True)
            with tempfile.TemporaryDirectory(prefix="lab-image-") as folder:
                if base:
                    _from_image(engine, release, image, base, Path(folder))
                else:
                    _from_packages(engine, release, image, Path(folder))
    return image


def name(release: str) -> str:
    packages, options, _systemd = RELEASES[release]
    made_of = (SETUP.read_text(encoding="utf-8"), PACKAGES, packages, *options, *_MMDEBSTRAP, _base())
    return "%s:%s-%s" % (NAME, release, hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:12])


def _base() -> str:
    return os.environ.get("LAB_BASE_IMAGE") or ("" if shutil.which("mmdebstrap") else "docker.io/library/debian:{release}-slim")


def _start(release: str) -> str:
    return '["/sbin/init"]' if RELEASES[release].systemd else '["/usr/local/sbin/without-init"]'


def _from_packages(engine: Engine, release: str, image: str, folder: Path) -> None:
    archive = folder / "root.tar"
    include = ",".join((PACKAGES + " " + RELEASES[release].packages).split())
    command = [
        "mmdebstrap", *_MMDEBSTRAP, *RELEASES[release].options, "--include=%s" % include,
        "--customize-hook=copy-in %s /root" % SETUP, '--customize-hook=chroot "$1" /root/setup', '--customize-hook=rm "$1/root/setup"',
        release, str(archive), _mirror(),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise LabError("mmdebstrap of %s failed:\n%s" % (release, done.stderr[-3000:]))
    engine.run("import", "--change", "CMD %s" % _start(release), str(archive), image)


def _from_image(engine: Engine, release: str, image: str, base: str, folder: Path) -> None:
    shutil.copy(SETUP, folder / "setup")
    (folder / "Dockerfile").write_text(
        "FROM %s\nENV DEBIAN_FRONTEND=noninteractive\nCOPY setup /root/setup\n"
        "RUN apt-get -q update && apt-get -qy install --no-install-recommends %s %s && /root/setup && rm /root/setup\nCMD %s\n"
        % (base, PACKAGES, RELEASES[release].packages, _start(release)),
        encoding="utf-8",
    )
    engine.run("build", "--quiet", "--tag", image, str(folder))


def _with_layer(engine: Engine, below: str, layer: str) -> str:
    script = FOLDER / layer
    made_of = "\0".join((below, script.read_text(encoding="utf-8")))
    image = "%s:%s-%s" % (NAME, layer, hashlib.sha256(made_of.encode()).hexdigest()[:12])
    with alone(image):
        if not engine.has_image(image):
            print("lab: %s makes %s of %s, about half a minute\n" % (engine.name, image, below), end="", flush=True)
            with tempfile.TemporaryDirectory(prefix="lab-image-") as folder:
                shutil.copy(script, folder)
                (Path(folder) / "Dockerfile").write_text(
                    "FROM %s\nCOPY %s /root/layer\nRUN /root/layer && rm /root/layer\n" % (below, layer), encoding="utf-8")
                engine.run("build", "--quiet", "--tag", image, folder)
    return image


def _mirror() -> str:
    """The mirror that this machine's own apt uses, else Debian's."""
    words = ["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN)", "Created-By: Packages"]
    try:
        listing = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        listing = ""
    sites = [site for site, _blank, origin in (line.partition(" ") for line in listing.splitlines()) if origin == "Debian" and "security" not in site]
    return sites[0] if sites else "http://deb.debian.org/debian"
