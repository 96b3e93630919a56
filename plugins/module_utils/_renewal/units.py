# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Texts of the units that start the program, and the paths on which changes of the certificates show. Source: systemd.path(5), systemd.exec(5).

Measured with systemd 252 and 257: a unit that watches a file by a link misses most swaps of that link, and so does one that watches the link's directory
besides, because what happens to the link sets up all watches of a unit anew and drops what was queued. So two units share the work: one has directories
alone, named without a link, and sees every swap; the other has the files behind links, and sees what is written into them.
"""
from __future__ import annotations

import os
from collections import deque
from typing import Iterable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.kept import instance_name

NAME = "postfix-tls-renew"
MINE = "# Written by mailsec.postfix_tls; what is changed here by hand is overwritten.\n"
_MOST_LINKS = 40  # on the way to one file, as the kernel has it: path_resolution(7)

#: ExecStartPre: a client writes key and certificate one after the other, and whatever else happens in the directories starts the program; after a
#: start, systemd.path(5) waits until it has ended. So it starts every few seconds at most, without a limit after which it would not start again.
#: What a run writes is in /etc and /var; a restart of Postfix, where one is needed, is asked of systemd and happens outside.
_SERVICE = MINE + """[Unit]
Description=Serve renewed certificates in Postfix
After=postfix.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStartPre=/bin/sleep 2
ExecStart=%s
TimeoutStartSec=15min
SyslogIdentifier=%s
SyslogFacility=mail
UMask=0077
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
"""
_TIMER = MINE + """[Unit]
Description=Look daily whether Postfix serves renewed certificates

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=true

[Install]
WantedBy=timers.target
"""
_PATH = MINE + """[Unit]
Description=Watch the certificates that Postfix serves (%s)
StartLimitIntervalSec=0

[Path]
%sUnit=%s.service

[Install]
WantedBy=multi-user.target
"""

#: (where the service may not write, or sees another directory, what lifts that for one directory there)
_CLOSED_TO_WRITING = ("/home", "/root", "/run/user", "/usr", "/boot", "/efi")
_ANOTHER = ("/tmp", "/var/tmp")


class Watched(NamedTuple):
    """directories: without a link in their names. linked: files, and their directories, that are reached by links."""

    directories: list
    linked: list


def watched(sources: Iterable) -> Watched:
    """Where changes of these files show, however they are made. sources: absolute paths."""
    directories: list = []
    linked: list = []
    for source in sources:
        holding, real = _links_to(source)
        directories += holding or [os.path.dirname(real)]
        if holding:
            folder = os.path.dirname(source)
            linked += [source, folder] if os.path.realpath(folder) != os.path.normpath(folder) else [source]
    return Watched(list(dict.fromkeys(directories)), list(dict.fromkeys(linked)))


def _links_to(path: str) -> tuple:
    """(directories that hold a link on the way to a file, in order; the file's path without links)."""
    holding, here, ahead = [], "/", deque(path.split("/"))
    while ahead:
        step = os.path.normpath(os.path.join(here, ahead.popleft()))
        if os.path.islink(step) and len(holding) < _MOST_LINKS:
            holding.append(here)
            target = os.readlink(step)
            ahead.extendleft(reversed(target.split("/")))
            here = "/" if target.startswith("/") else here
        else:
            here = step
    return holding, here


def service(program: str) -> str:
    return _SERVICE % (program, NAME)


def timer() -> str:
    return _TIMER


def path(directory: str, paths: Iterable) -> str:
    """directory: of the instance."""
    return _PATH % (directory, "".join("PathChanged=%s\n" % path.replace("%", "%%") for path in paths), NAME)


def exceptions(sources: Iterable, folders: Iterable) -> str:
    """What one instance needs otherwise than the service has it; empty where nothing. folders: those of its chain files."""
    lines = ["ReadWritePaths=-%s\n" % folder.replace("%", "%%") for folder in map(os.path.realpath, folders) if _below(folder, _CLOSED_TO_WRITING)]
    if any(_below(place, _ANOTHER) for name in (*sources, *folders) for place in (name, os.path.realpath(name))):
        lines.append("PrivateTmp=no\n")
    return MINE + "[Service]\n" + "".join(dict.fromkeys(lines)) if lines else ""


def _below(path: str, places: tuple) -> bool:
    return any(path == place or path.startswith(place + "/") for place in places)


def names(directory: str) -> dict:
    """{what it is: the name of its unit} of one instance: those of its own, then those that all share."""
    instance = escaped(directory)
    return {
        "directories": "%s-%s.path" % (NAME, instance), "linked": "%s-%s:links.path" % (NAME, instance),
        "timer": "%s.timer" % NAME, "service": "%s.service" % NAME,
    }


def escaped(directory: str) -> str:
    """Another for each instance, so that none takes the units of another."""
    return instance_name(directory)
