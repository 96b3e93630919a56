# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The program for the host, made of the very modules that run now: one file that Python starts as it is (zipapp)."""
from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

_COLLECTION = "ansible_collections.mailsec.postfix_tls.plugins.module_utils"
#: What is only to be looked at costs no further import.
_START = """import sys

from {0}._renewal.sources import nothing_new

if nothing_new():
    sys.exit(0)

from {0}._renewal.program import main

sys.exit(main())
""".format(_COLLECTION)

#: Names that stay through an upgrade of the system: on most, and on RHEL.
_LASTING = ("/usr/bin/python3", "/usr/libexec/platform-python")
_OLDEST = (3, 9)
_HOMES = ("/home/", "/root/", "/tmp/", "/var/tmp/")


def bundle(python: str) -> bytes:
    """The same bytes from the same modules: no date and no order of loading is in them. python: see interpreter."""
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal import program  # it imports the step that calls this

    sources = {"__main__.py": _START, program.__name__.replace(".", "/") + ".py": ""}
    for name, module in sorted(sys.modules.items()):
        if name.startswith(_COLLECTION + ".") and getattr(module, "__file__", None):
            text = module.__loader__.get_source(name) or ""
            if not hasattr(module, "__path__"):
                sources["%s.py" % name.replace(".", "/")] = text
                packages = name.split(".")[:-1]
                sources.update(("/".join(packages[:depth] + ["__init__.py"]), "") for depth in range(1, len(packages) + 1))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in sorted(sources.items()):
            archive.writestr(zipfile.ZipInfo(path), text)
    return b"#!%s -I\n" % python.encode() + content.getvalue()


def interpreter() -> str:
    """The Python that root is to start the program with: one that the system keeps by that name, and that root alone can change.

    Where there is none, the one that runs now, by its whole name. Raises PostfixTlsError where others can change that as well.
    """
    running = os.path.realpath(sys.executable)
    for path in _LASTING:
        if _roots_alone(path) and (os.path.realpath(path) == running or _fits(path)):
            return path
    if _roots_alone(running) and sys.version_info >= _OLDEST and not running.startswith(_HOMES):
        return running
    raise PostfixTlsError(
        "renewal", sys.executable, "root would start the renewal program with this Python every day, and others may change it; there is no Python %d.%d or"
        " newer at %s" % (*_OLDEST, " or ".join(_LASTING)), "Install python3 of the distribution, or do without (tls_certificate_renewal: false).",
    )


def lasting(python: str) -> bool:
    """Whether an upgrade of the system keeps it by that name."""
    return python in _LASTING


def _roots_alone(path: str) -> bool:
    """Whether root owns it and all directories on the way, and nobody else may write there; through links as well."""
    try:
        for name in (path, os.path.realpath(path)):
            while name != "/":
                status = os.stat(name)
                if status.st_uid or status.st_mode & 0o022:
                    return False
                name = os.path.dirname(name)
    except OSError:
        return False
    return True


def _fits(path: str) -> bool:
    """Whether it is new enough, and has TLS: asked only where it is another Python than the one that runs."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", "import ssl, sys; sys.exit(sys.version_info < %r)" % (_OLDEST,)], stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
