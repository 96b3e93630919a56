# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""One Postfix instance as it is configured: release, effective parameters, listeners."""
from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from functools import cached_property
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import addresses
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import MasterCf, Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

#: (argv, stdin or None) -> (exit status, stdout, stderr)
Run = Callable[..., tuple]

#: What a chain file replaces (Postfix 3.4 warns and ignores these beside C(smtpd_tls_chain_files)).
SERVED_BY_CHAIN_FILES = tuple(
    "smtpd_tls_%s%s_file" % (kind, what) for kind in ("", "d", "ec") for what in ("cert", "key")
)

#: A parameter of Postfix's own that expansion is tried on; no program reads it, and none refers to it.
_SCRATCH = "html_directory"


@dataclass(frozen=True)
class Listener:
    """A TCP service of master.cf that receives mail, with what master.cf C(-o) leaves of main.cf.

    address and port are where to reach it from the host itself; public: not bound to loopback only.
    protocol: smtp (STARTTLS) or smtps (C(smtpd_tls_wrappermode)). overridden: names of the service's C(-o).
    proxied: whether it waits for a line of the PROXY protocol first. demands_certificate: whether it serves no client without one.
    auth_only: whether its parameters keep AUTH to TLS.
    """

    service: str
    address: str
    port: int
    protocol: str
    public: bool
    level: str
    protocols: str
    chain_files: tuple
    overridden: frozenset
    proxied: bool = False
    demands_certificate: bool = False
    auth_only: bool = True

    @property
    def encrypts(self) -> bool:
        return self.protocol == "smtps" or self.level != "none"


def effective_values(run: Run, directory: str, overrides: dict | None = None, *names: str) -> dict:
    """Effective values, $names expanded by Postfix itself; overrides: {name: value} as of a service's C(-o). Of all parameters, or these.

    Raises PostfixTlsError where there is no Postfix, or none that can be read. Source: postconf(1) C(-x), C(-o).
    """
    argv = ["postconf", "-c", directory, "-x"]
    for name, value in (overrides or {}).items():
        argv += ["-o", "%s=%s" % (name, value)]
    try:
        status, out, err = run(argv + list(names))
    except FileNotFoundError:
        raise PostfixTlsError(
            "postconf", None, "there is no Postfix on this host", "Install the package postfix first.",
        ) from None
    if status != 0:
        reason = _last_line(err)
        raise PostfixTlsError(
            os.path.join(directory, "master.cf" if "master.cf" in reason else "main.cf"), None,
            "Postfix can't read its own configuration (%s)" % reason, "Mend it first; nothing was changed.",
        )
    return dict(line.split(" = ", 1) if " = " in line else (line.rstrip(" ="), "") for line in out.split("\n") if "=" in line)


class Instance:
    """One instance, as C(postconf -x) tells it: every parameter's effective value, $names expanded.

    pending: {name: text} of main.cf parameters that are not written yet, "" for one that goes.
    """

    def __init__(self, run: Run, directory: str, services: list, values: dict, pending: dict | None = None) -> None:
        self.run = run
        self.directory = directory
        self.services = services
        self.values = values
        self._pending = pending or {}
        self._asked: dict = {}
        self.release = tuple(int(part) for part in re.findall(r"\d+", values.get("mail_version", "0"))[:3])
        self.version = self.release[:2]
        self.known = frozenset(values)

    @classmethod
    def read(cls, run: Run, directory: str) -> Instance:
        """Raises PostfixTlsError where there is no Postfix, or none that can be configured."""
        values = effective_values(run, directory)
        try:
            with open(os.path.join(directory, "master.cf"), encoding="utf-8", errors="surrogateescape") as file:
                services = MasterCf(file.read()).services
        except OSError as error:
            raise PostfixTlsError(
                os.path.join(directory, "master.cf"), None, "can't be read (%s)" % error.strerror,
                "Without it Postfix does not start; restore it, nothing was changed.",
            ) from None
        return cls(run, directory, services, values)

    def after(self, changes: dict, services: list | None = None, followed: bool = True) -> Instance:
        """The same instance with these parameters and services written; None removes a parameter, and its default counts.

        followed: whether anything may refer to one of them by $name, so that Postfix has to be asked; without changes, it is not.
        """
        services = self.services if services is None else services
        if not changes and services == self.services:
            return self
        defaults = self._defaults([name for name, value in changes.items() if value is None])
        pending = dict(self._pending, **{name: defaults.get(name, "") if value is None else value for name, value in changes.items()})
        values = effective_values(self.run, self.directory, pending) if changes and followed else {**self.values, **changes}
        return Instance(self.run, self.directory, services, values, pending)

    def _defaults(self, names: list) -> dict:
        """{name: its default, $names and all}; a name that Postfix does not know has none."""
        return dict(line.split(" = ", 1) for line in (self.lines("-d", *names) if names else ()) if " = " in line)

    def effective(self, name: str, service: Service | None = None) -> str:
        """A parameter's value for a service: its own C(-o), else main.cf, else the default."""
        return self.of(service).get(name, "")

    def of(self, service: Service | None) -> dict:
        """All values for a service. Postfix is asked where it has C(-o), so that what refers to an overridden parameter follows it."""
        if not service or not service.overrides:
            return self.values
        asked = tuple(sorted(service.overrides.items()))
        if asked not in self._asked:
            self._asked[asked] = effective_values(self.run, self.directory, dict(self._pending, **service.overrides))
        return self._asked[asked]

    def expanded(self, text: str) -> str:
        """A value that is not written yet, with its $names as main.cf has them."""
        return effective_values(self.run, self.directory, dict(self._pending, **{_SCRATCH: text}), _SCRATCH)[_SCRATCH] if "$" in text else text

    @cached_property
    def table_types(self) -> list:
        """Types of table this Postfix was built with or has a plug-in for."""
        return self.lines("-m")

    @cached_property
    def library(self) -> tuple:
        """The release of OpenSSL it runs with, as (3, 0, 15); () where it was built without TLS or does not tell."""
        return tuple(int(part) for part in re.findall(r"\d+", "".join(self.lines("-T", "run-version")[:1]))[:3])

    @cached_property
    def reports(self) -> bool:
        """Whether its SMTP client was built with TLSRPT: one without has the parameters, and says when asked that it can't."""
        try:
            with open(os.path.join(self.values.get("daemon_directory", ""), "smtp"), "rb") as file:
                return "smtp_tlsrpt_enable" in self.known and b"TLSRPT is not compiled in" not in file.read()
        except OSError:
            return False

    def lines(self, *options: str) -> list:
        """What C(postconf) prints; nothing where this release does not know the option."""
        _status, out, _err = self.run(["postconf", "-c", self.directory, *options])
        return out.splitlines()

    @property
    def receiving(self) -> list[Service]:
        """Services that mail comes in by over TCP, without those that master(8) is told not to open, as a new instance of postmulti(1) has it."""
        disabled = self.values.get("master_service_disable", "")
        return [service for service in self.services if service.receives and addresses.opened(disabled, service.name, service.kind)]

    def listeners(self) -> list[Listener]:
        """Every inet service that runs smtpd or postscreen (postconf(5) smtpd_tls_*, postscreen_tls_security_level)."""
        return [self.listener(service) for service in self.receiving]

    def listener(self, service: Service) -> Listener:
        """Raises PostfixTlsError where its port has no number."""
        address, port, public = self._reach(service.name)
        level = self.level(service)
        wrapper = service.program == "smtpd" and self._on("smtpd_tls_wrappermode", service)
        strict = wrapper or level == "encrypt"
        return Listener(
            service=service.name,
            address=address,
            port=port,
            protocol="smtps" if wrapper else "smtp",
            public=public,
            level=level,
            protocols=self.effective("smtpd_tls_mandatory_protocols" if strict else "smtpd_tls_protocols", service),
            chain_files=self.chain_files(service),
            overridden=frozenset(service.overrides),
            proxied=bool(self.effective("%s_upstream_proxy_protocol" % service.program, service)),
            demands_certificate=strict and self._on("smtpd_tls_req_ccert", service),
            auth_only=strict or self._on("smtpd_tls_auth_only", service) or not self._on("smtpd_sasl_auth_enable", service),
        )

    def _on(self, name: str, service: Service) -> bool:
        return self.effective(name, service).lower() == "yes"

    def chain_files(self, service: Service | None = None) -> tuple:
        """The files a service takes key and chain from, as (certificate file, key file) pairs."""
        return chain_files(self.of(service))

    def level(self, service: Service) -> str:
        """postconf(5): the level, where empty the obsolete smtpd_use_tls and smtpd_enforce_tls."""
        daemon = "postscreen" if service.program == "postscreen" else "smtpd"
        level = self.effective("%s_tls_security_level" % daemon, service).lower()
        if level:
            return level if level in ("none", "may") else "encrypt"
        for name, meaning in (("%s_enforce_tls", "encrypt"), ("%s_use_tls", "may")):
            if self.effective(name % daemon, service).lower() == "yes":
                return meaning
        return "none"

    def _interfaces(self, name: str) -> list:
        host, _port = addresses.split(name)
        return [host] if host else addresses.interfaces(self.values.get("inet_interfaces", ""))

    def _reach(self, name: str) -> tuple:
        """Where the host itself reaches a service, and whether others reach it too."""
        _host, port = addresses.split(name)
        interfaces = self._interfaces(name)
        public = not all(map(addresses.is_loopback, interfaces))
        host = addresses.reached_at(interfaces[0], addresses.own_loopback(self.values.get("inet_protocols", "all")))
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


def chain_files(values: dict) -> tuple:
    """The files the receiving side takes key and chain from, as (certificate file, key file) pairs. values: effective ones."""
    listed = [path for path in re.split(r"[\s,]+", values.get("smtpd_tls_chain_files", "")) if path]
    if listed:
        return tuple((path, path) for path in listed)
    names = zip(SERVED_BY_CHAIN_FILES[::2], SERVED_BY_CHAIN_FILES[1::2])
    pairs = [(values.get(cert), values.get(key)) for cert, key in names]
    return tuple((cert, key or cert) for cert, key in pairs if cert and cert != "none")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
