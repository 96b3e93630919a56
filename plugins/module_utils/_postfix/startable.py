# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether Postfix could start as it is configured: known before it is stopped, for what runs now may be another configuration than what is written.

Each row is something that stops the start of master(8), or would be a service without a program; what the running master has open already is
live, and is left to it. Source: master_ent.c, inet_listen.c, postfix(1), mail_params.c; postconf(5) master_service_disable.
"""
from __future__ import annotations

import errno
import grp
import ipaddress
import os
import pwd
import re
import socket
from contextlib import closing, suppress
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import addresses
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import MasterCf, Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

#: Without one of these C(postfix start) ends at once; C(data_directory) it makes itself.
DIRECTORIES = ("queue_directory", "daemon_directory", "command_directory")

#: All parameters that decide here.
PARAMETERS = (*DIRECTORIES, "inet_interfaces", "inet_protocols", "known_tcp_ports", "mail_owner", "setgid_group", "master_service_disable")

_FAMILIES = {"ipv4": (socket.AF_INET,), "ipv6": (socket.AF_INET6,), "all": (socket.AF_INET, socket.AF_INET6)}
_LISTENS = "0A"


def faults(host: Instance, master: int | None) -> list:
    """PostfixTlsErrors, what stops a start first. host: as it will be. master: the process number of the one that runs."""
    return [*_main(host), *_services(host, master)]


def taken(host: Instance, master: int | None) -> list:
    """What can't be listened on now, in a sentence each."""
    return [
        error.reason for service in opened(host) if service.kind == "inet" for error in _sockets(host, service, _held(master))
        if isinstance(error, Taken)
    ]


def planned(host: Instance, changes: list) -> Instance:
    """The host as it is once these FileChanges are written, in what decides here."""
    at = {os.path.join(host.directory, name): name for name in ("main.cf", "master.cf")}
    texts = {at[change.path]: [_text(change.before), _text(change.after)] for change in changes if change.path in at}
    services = MasterCf(texts["master.cf"][1]).services if "master.cf" in texts else None
    written = {}
    if "main.cf" in texts:
        before, after = map(MainCf, texts["main.cf"])
        for name in PARAMETERS:
            if before.raw(name) != after.raw(name):
                value = after.raw(name)
                written[name] = "".join(host.lines("-d", "-h", name)) if value is None else value
    return host.after(written, services) if texts else host


def _text(state: FileState) -> str:
    return (state.content or b"").decode("utf-8", "surrogateescape")


class Taken(PostfixTlsError):
    """Somebody else listens there."""


def _main(host: Instance) -> Iterator[PostfixTlsError]:
    for name in DIRECTORIES:
        path = host.effective(name)
        if path and not os.path.isdir(path):
            yield PostfixTlsError(name, path, "there is no such directory, and Postfix does not start without it", "Make it, or name the right one.")
    for name, known in (("mail_owner", pwd.getpwnam), ("setgid_group", grp.getgrnam)):
        value = host.effective(name)
        try:
            if value and not value.isdigit():
                known(value)
        except KeyError:
            yield PostfixTlsError(name, value, "this host knows no such name, and Postfix does not start without it", "Name one that is there.")
    protocols = [word.lower() for word in words(host.effective("inet_protocols"), ", \t")]
    for word in protocols:
        if word not in _FAMILIES:
            yield PostfixTlsError("inet_protocols", word, "Postfix knows ipv4, ipv6 and all", "Write one of these.")
    for word in addresses.interfaces(host.effective("inet_interfaces")):
        if word not in addresses.WILDCARDS:
            yield from _of_interface(word, _families(host))


def _of_interface(word: str, families: tuple) -> Iterator[PostfixTlsError]:
    found = _addresses(word, families)
    if not found:
        yield PostfixTlsError("inet_interfaces", word, "it is no address, or name of one, of the protocols in inet_protocols", "Mend or remove it.")
    for family, address in found:
        if _refused(family, address, 0) == errno.EADDRNOTAVAIL:
            yield PostfixTlsError("inet_interfaces", word, "no interface of this host has the address %s" % address, "Mend or remove it.")


def _services(host: Instance, master: int | None) -> Iterator[PostfixTlsError]:
    held, open_here = _held(master), _paths(master)
    directory = host.effective("daemon_directory")
    live = os.path.isdir(directory)  # else each program lacks, and that has been said
    for service in opened(host):
        inet = service.kind == "inet"
        if inet:
            yield from _sockets(host, service, held)
        path = "%s/%s" % (directory, service.program)
        if live and not os.access(path, os.X_OK) and not (_listened(host, service, held) if inet else _is_open(host, service, open_here)):
            yield PostfixTlsError(
                "master.cf: %s" % service.key, None, "its program %s is not there, and nothing of that name runs yet" % path,
                "Install what has it, or comment the service out.",
            )


def opened(host: Instance) -> list:
    """The services that master(8) starts: of a service written twice the last."""
    disabled = host.effective("master_service_disable")
    return [service for service in {service.key: service for service in host.services}.values()
            if addresses.opened(disabled, service.name, service.kind)]


def _sockets(host: Instance, service: Service, held: set | None) -> Iterator[PostfixTlsError]:
    """What is wrong with the addresses and the port of a service."""
    item, families = "master.cf: %s" % service.key, _families(host)
    port = _port(host, service)
    if port is None:
        yield PostfixTlsError(item, None, "no TCP port is known by that name", "Write the number, or add it to /etc/services.")
        return
    for word in _interfaces(host, service):
        wide, found = word in addresses.WILDCARDS, _addresses(word, families)
        if not found:
            yield PostfixTlsError(item, None, "%s is no address, or name of one, of the protocols in inet_protocols" % word, "Mend the address.")
        for family, address in found:
            refusal = _refused(family, address, port)
            if refusal == errno.EADDRNOTAVAIL and not wide:
                yield PostfixTlsError(item, None, "no interface of this host has the address %s" % address, "Mend the address.")
            if refusal == errno.EADDRINUSE and not _ours(family, address, port, held):
                who = _holder(family, address, port)
                yield Taken(
                    item, None, "port %d at %s: %s%s" % (port, address, os.strerror(refusal), who and ", by %s" % who),
                    "Stop that program, or comment the service out.",
                )


def _listened(host: Instance, service: Service, held: set | None) -> bool:
    port = _port(host, service)
    return port is not None and any(row[1] == port and (held is None or row[2] in held) for family in _FAMILIES["all"] for row in _listening(family))


def _families(host: Instance) -> tuple:
    named = {family for word in words(host.effective("inet_protocols"), ", \t") for family in _FAMILIES.get(word.lower(), ())}
    return tuple(family for family in _FAMILIES["all"] if family in (named or _FAMILIES["all"]))


def _interfaces(host: Instance, service: Service) -> list:
    own, _port = addresses.split(service.name)
    return [own] if own else addresses.interfaces(host.effective("inet_interfaces"))


def _port(host: Instance, service: Service) -> int | None:
    name = service.name.rpartition(":")[2]
    for entry in words(host.effective("known_tcp_ports"), ", \t"):
        *names, number = entry.split("=")
        if name in names:
            name = number
            break
    try:
        return int(name) if name.isdigit() else socket.getservbyname(name, "tcp")
    except OSError:
        return None


def _addresses(word: str, families: tuple) -> list:
    """(family, address) of what stands in inet_interfaces or before a port."""
    if word in addresses.WILDCARDS:
        return [pair for pair in zip(_FAMILIES["all"], addresses.WILDCARDS[word]) if pair[0] in families]
    with suppress(ValueError):
        family = socket.AF_INET6 if ipaddress.ip_address(word).version == 6 else socket.AF_INET
        return [(family, word)] if family in families else []
    with suppress(OSError, UnicodeError):
        found = dict.fromkeys((entry[0], entry[4][0]) for entry in socket.getaddrinfo(word, None, type=socket.SOCK_STREAM))
        return [(family, address) for family, address in found if family in families]
    return []


def _refused(family: int, address: str, port: int) -> int | None:
    """Why it can't be bound, by Postfix's own socket options; a free port, and one whose listener shares it with all of root's, can."""
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
    except OSError as error:
        return error.errno
    return None


def _ours(family: int, address: str, port: int, held: set | None) -> bool:
    """Whether all that is in the way there is open in this master. Where that can't be seen, whether it is open in nobody else."""
    rivals = _rivals(family, address, port)
    if held is None:
        return bool(rivals) and not _holder(family, address, port)
    return bool(rivals) and all(inode in held for inode in rivals)


def _rivals(family: int, address: str, port: int) -> list:
    """The inodes of sockets that listen there, or on all addresses, or on any where all are asked for."""
    wide = dict(zip(_FAMILIES["all"], addresses.WILDCARDS["all"]))[family]
    return [inode for other, at, inode in _listening(family) if at == port and (other in (address, wide) or address == wide)]


def _listening(family: int) -> list:
    """(address, port, inode) of each listening TCP socket. Source: proc(5) /proc/net/tcp: 32-bit words of this host's byte order."""
    found = []
    with suppress(OSError):
        with open("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp", encoding="ascii") as file:
            for row in map(str.split, file):
                if len(row) > 9 and row[3] == _LISTENS:
                    packed, _colon, port = row[1].partition(":")
                    octets = b"".join(bytes.fromhex(packed[at:at + 8])[::-1] for at in range(0, len(packed), 8))
                    found.append((socket.inet_ntop(family, octets), int(port, 16), row[9]))
    return found


def _held(process: int | None) -> set | None:
    """The inodes of a process's sockets, as text; None where root may not see them (proc(5): without CAP_SYS_PTRACE, as in a container)."""
    directory, found = "/proc/%s/fd" % process, set()
    with suppress(OSError):
        for name in os.listdir(directory):
            try:
                found.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(os.path.join(directory, name))))
            except PermissionError:
                return None
            except OSError:
                continue  # closed meanwhile
    return found


def _holder(family: int, address: str, port: int) -> str:
    """The program that listens there, and its process number; empty where that can't be seen."""
    rivals = set(_rivals(family, address, port))
    for process in filter(str.isdigit, os.listdir("/proc")):
        if rivals & (_held(int(process)) or set()):
            with suppress(OSError):
                with open("/proc/%s/comm" % process, encoding="utf-8", errors="replace") as file:
                    return "%s (%s)" % (file.read().strip(), process)
    return ""


def _paths(master: int | None) -> set:
    """The paths of the sockets and FIFOs that are open in this master, as their last two names: private/bounce."""
    held, found = _held(master) or set(), set()
    with suppress(OSError):
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            found = {"/".join(row[7].split("/")[-2:]) for row in map(str.split, file) if len(row) > 7 and row[6] in held}
    return found


def _is_open(host: Instance, service: Service, open_here: set) -> bool:
    if service.kind == "fifo":
        return os.path.exists(os.path.join(host.effective("queue_directory"), "public", service.name))
    return not {"%s/%s" % (folder, service.name) for folder in ("private", "public")}.isdisjoint(open_here)
