# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the configuration of today says of the log: which programs tell of TLS, and where a policy entry would be looked up."""
from __future__ import annotations

import os

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.inner import inner_hops
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, effective_values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service

_OFF = ("smtp_tls_policy_maps", "smtp_tls_per_site")


class Settings:
    """since: when it was changed last, in seconds since 1970; earlier lines may have been written with another one.

    relayhost, transport_maps: as in main.cf. inner: what is no partner.
    """

    def __init__(self, host: Instance) -> None:
        self._host = host
        self.since = max(_changed(os.path.join(host.directory, name)) for name in ("main.cf", "master.cf"))
        self.relayhost = host.effective("relayhost")
        self.transport_maps = host.effective("transport_maps")
        self.inner = inner_hops(host)
        telling: dict[bytes, set] = {}
        wrapped: dict[bytes, set] = {}
        for service in host.services:
            if service.program in ("smtp", "smtpd"):
                tag = ("%s/%s" % (self._syslog_name(service), service.program)).encode("utf-8", "replace")
                values = host.of(service)
                logs = values.get("%s_tls_loglevel" % service.program, "0").strip() not in ("", "0")
                telling.setdefault(tag, set()).add(logs or service.program == "smtp" and _off(values))
                if service.program == "smtpd":
                    wrapped.setdefault(tag, set()).add((values.get("smtpd_tls_wrappermode", "").lower() == "yes", logs))
        self._telling = {tag for tag, told in telling.items() if told == {True}}
        #: As C(Received) takes it.
        self.wrapped = {tag: {mode for mode, _logs in modes} == {True} for tag, modes in wrapped.items() if (True, False) in modes}

    def telling(self, tag: bytes, told: float) -> bool:
        """Whether all services with this tag told of every handshake at that time; where the client does no TLS, its silence tells."""
        return told >= self.since and tag in self._telling

    def _syslog_name(self, service: Service) -> str:
        own = service.overrides.get("syslog_name", "")
        if "service_name" not in own:  # postconf does not know whom $service_name stands for
            return self._host.effective("syslog_name", service)
        for name in ("${service_name}", "$(service_name)", "$service_name"):
            own = own.replace(name, service.name)
        return effective_values(self._host.run, self._host.directory, {"syslog_name": own}, "syslog_name").get("syslog_name", "")


def _changed(path: str) -> float:
    """By the file's status, not by its modification time, which copying and touching bring back."""
    return os.stat(path).st_ctime


def _off(values: dict) -> bool:
    """Whether the client does no TLS with anybody (postconf(5) smtp_tls_security_level, and what counts where that is empty)."""
    level = values.get("smtp_tls_security_level", "").lower()
    if any(values.get(name) for name in _OFF) or level not in ("", "none"):
        return False
    return level == "none" or not any(values.get(name, "").lower() == "yes" for name in ("smtp_use_tls", "smtp_enforce_tls", "smtp_tls_wrappermode"))
