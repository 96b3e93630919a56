# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""One Postfix instance as it is configured: release, effective parameters, listeners."""
from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import master_cf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.parameters import SERVED_BY_CHAIN_FILES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

#: (argv, stdin or None) -> (exit status, stdout, stderr)
Run = Callable[..., tuple]


@dataclass(frozen=True)
class Listener:
    """A TCP service of master.cf that receives mail, with what master.cf C(-o) leaves of main.cf.

    address and port are where to reach it from the host itself; public: not bound to loopback only.
    protocol: smtp (STARTTLS) or smtps (C(smtpd_tls_wrappermode)).
    """

    service: str
    address: str
    port: int
    protocol: str
    public: bool
    level: str
    protocols: str
    chain_files: tuple

    @property
    def encrypts(self) -> bool:
        return self.protocol == "smtps" or self.level != "none"


def effective_values(run: Run, directory: str, overrides: dict | None = None) -> dict:
    """Every parameter's effective value, $names expanded by Postfix itself; overrides: {name: value} as of a service's C(-o).

    Raises PostfixTlsError where there is no Postfix, or none that can be read. Source: postconf(1) C(-x), C(-o).
    """
    argv = ["postconf", "-c", directory, "-x"]
    for name, value in (overrides or {}).items():
        argv += ["-o", "%s=%s" % (name, value)]
    try:
        status, out, err = run(argv)
    except FileNotFoundError:
        raise PostfixTlsError(
            "postconf", None, "there is no Postfix on this host", "Install the package postfix first.",
        ) from None
    if status != 0:
        raise PostfixTlsError(
            os.path.join(directory, "main.cf"), None, "Postfix can't read its own configuration (%s)" % _last_line(err),
            "Mend it first; nothing was changed.",
        )
    return dict(line.split(" = ", 1) if " = " in line else (line.rstrip(" ="), "") for line in out.split("\n") if "=" in line)


class Instance:
    """What C(postconf -x) says of the instance, read once: every parameter's effective value, $names expanded."""

    def __init__(self, directory: str, values: dict, services: list) -> None:
        self.directory = directory
        self.values = values
        self.version = tuple(int(part) for part in re.findall(r"\d+", values.get("mail_version", "0"))[:2])
        self.known = frozenset(values)
        self.services = services

    @classmethod
    def read(cls, run: Run, directory: str) -> Instance:
        """Raises PostfixTlsError where there is no Postfix, or none that can be configured."""
        values = effective_values(run, directory)
        try:
            with open(os.path.join(directory, "master.cf"), encoding="utf-8", errors="surrogateescape") as file:
                master_text = file.read()
        except OSError as error:
            raise PostfixTlsError(
                os.path.join(directory, "master.cf"), None, "can't be read (%s)" % error.strerror,
                "Without it Postfix does not start; restore it, nothing was changed.",
            ) from None
        return cls(directory, values, master_cf.services(master_text))

    def after(self, changes: dict) -> Instance:
        """The same instance with these parameters written; None removes one, and what its default is stays open here."""
        changed = {name: value or "" for name, value in changes.items()}
        return Instance(self.directory, dict(self.values, **changed), self.services)

    def effective(self, name: str, service: master_cf.Service | None = None) -> str:
        """A parameter's value for a service: its own C(-o), else main.cf, else the default."""
        if service and name in service.overrides:
            return self._expand(service.overrides[name], service)
        return self.values.get(name, "")

    def listeners(self) -> list[Listener]:
        """Every inet service that runs smtpd or postscreen (postconf(5) smtpd_tls_*, postscreen_tls_security_level)."""
        found = []
        for service in self.services:
            if not service.receives:
                continue
            address, port, public = self._reach(service.name)
            level = self.level(service)
            wrapper = service.program == "smtpd" and self.effective("smtpd_tls_wrappermode", service).lower() == "yes"
            strict = wrapper or level == "encrypt"
            found.append(Listener(
                service=service.name,
                address=address,
                port=port,
                protocol="smtps" if wrapper else "smtp",
                public=public,
                level=level,
                protocols=self.effective("smtpd_tls_mandatory_protocols" if strict else "smtpd_tls_protocols", service),
                chain_files=self.chain_files(service),
            ))
        return found

    def chain_files(self, service: master_cf.Service | None = None) -> tuple:
        """The files the receiving side takes key and chain from, as (certificate file, key file) pairs."""
        listed = [path for path in re.split(r"[\s,]+", self.effective("smtpd_tls_chain_files", service)) if path]
        if listed:
            return tuple((path, path) for path in listed)
        names = zip(SERVED_BY_CHAIN_FILES[::2], SERVED_BY_CHAIN_FILES[1::2])
        pairs = [(self.effective(cert, service), self.effective(key, service)) for cert, key in names]
        return tuple((cert, key or cert) for cert, key in pairs if cert and cert != "none")

    def level(self, service: master_cf.Service) -> str:
        """postconf(5): the level, where empty the obsolete smtpd_use_tls and smtpd_enforce_tls."""
        names = ["smtpd_tls_security_level"]
        if service.program == "postscreen":
            names.insert(0, "postscreen_tls_security_level")
        names.sort(key=lambda name: name not in service.overrides)
        level = next(filter(None, (self.effective(name, service).lower() for name in names)), "")
        if level:
            return level if level in ("none", "may") else "encrypt"
        for name, meaning in (("smtpd_enforce_tls", "encrypt"), ("smtpd_use_tls", "may")):
            if self.effective(name, service).lower() == "yes":
                return meaning
        return "none"

    def _reach(self, name: str) -> tuple:
        """Where the host itself reaches a service, and whether others reach it too."""
        host, _colon, port = name.rpartition(":")
        interfaces = [text.strip("[]") for text in words(host or self.values.get("inet_interfaces") or "all", ", \t")]
        loopback = "::1" if self.values.get("inet_protocols", "all") == "ipv6" else "127.0.0.1"
        public = not all(_is_loopback(interface) for interface in interfaces)
        host = interfaces[0]
        if host in ("all", "loopback-only", "localhost"):
            host = loopback
        try:
            port = self._known_ports().get(port, port)
            number = int(port) if port.isdigit() else socket.getservbyname(port, "tcp")
        except OSError:
            raise PostfixTlsError(
                "master.cf", name, "no TCP port is known by the name %s" % port, "Write the number, or add it to /etc/services.",
            ) from None
        return host, number, public

    def _known_ports(self) -> dict:
        """postconf(5) known_tcp_ports (since 3.6), which Postfix asks before /etc/services."""
        known = {}
        for entry in words(self.values.get("known_tcp_ports", ""), ", \t"):
            *names, port = entry.split("=")
            known.update(dict.fromkeys(names, port))
        return known

    def _expand(self, text: str, service: master_cf.Service) -> str:
        for _depth in range(10):
            new = re.sub(
                r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))",
                lambda match: self.effective(next(group for group in match.groups() if group), service), text,
            )
            if new == text:
                break
            text = new
        return text


def _is_loopback(interface: str) -> bool:
    try:
        return ipaddress.ip_address(interface).is_loopback
    except ValueError:
        return interface in ("loopback-only", "localhost")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
