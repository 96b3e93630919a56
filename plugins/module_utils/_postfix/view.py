# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What an instance offers on the network, listener by listener, in the words of postfix_tls_info. It judges nothing.

Values are Postfix's own: C(postconf -x) is asked again with the C(-o) of each service that has some, so that whatever refers to an
overridden parameter follows it. Source: postconf(1), master(5), postscreen(8), tlsproxy(8).
"""
from __future__ import annotations

import os
import re
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import installed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import fixes, knowledge, obsolete
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import (
    SERVED_BY_CHAIN_FILES, Instance, Listener, Run, chain_files,
)
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files

#: What decides how a listener does TLS. A release that does not know one has no value for it.
HANDSHAKE = (
    "smtpd_tls_protocols",
    "smtpd_tls_mandatory_protocols",
    "smtpd_tls_ciphers",
    "smtpd_tls_mandatory_ciphers",
    "smtpd_tls_exclude_ciphers",
    "smtpd_tls_mandatory_exclude_ciphers",
    "smtpd_tls_eecdh_grade",
    "smtpd_tls_dh1024_param_file",
    "smtpd_tls_chain_files",
    *SERVED_BY_CHAIN_FILES,
    "smtpd_tls_ask_ccert",
    "smtpd_tls_req_ccert",
    "smtpd_tls_CAfile",
    "smtpd_tls_CApath",
    "smtpd_tls_enable_rpk",
    "smtpd_tls_loglevel",
    "tls_config_file",
    "tls_config_name",
    "tls_disable_workarounds",
    "tls_eecdh_auto_curves",
    "tls_ffdhe_auto_groups",
    "tls_high_cipherlist",
    "tls_medium_cipherlist",
    "tls_preempt_cipherlist",
    "tls_server_sni_maps",
    "tls_ssl_options",
)
#: What decides what is said around it.
DIALOGUE = (
    "smtpd_discard_ehlo_keyword_address_maps",
    "smtpd_discard_ehlo_keywords",
    "smtpd_sasl_auth_enable",
    "smtpd_tls_auth_only",
    "smtpd_tls_received_header",
)
#: {feature: the parameter that a release with it knows}
_FEATURES = {
    "chain_files": "smtpd_tls_chain_files",
    "dane": "smtp_tls_dane_insecure_mx_policy",
    "raw_public_keys": "smtp_tls_enable_rpk",
    "requiretls": "requiretls_enable",
    "sni": "tls_server_sni_maps",
    "tls_config_file": "tls_config_file",
}


def instances(run: Run, directory: str) -> list:
    """This instance and those its C(multi_instance_directories) names, as RV(instances) of postfix_tls_info.

    Raises PostfixTlsError where there is no Postfix or this instance can't be read; what can't be told of it otherwise, and what
    is wrong with the others, stands in C(errors).
    """
    directory = os.path.normpath(directory)
    first = Instance.read(run, directory)
    found = [_Described(first).facts()]
    for other in dict.fromkeys(os.path.normpath(path) for path in words(first.effective("multi_instance_directories"), ", \t")):
        if other == directory:
            continue
        try:
            found.append(_Described(Instance.read(run, other)).facts())
        except PostfixTlsError as error:
            found.append(_Described(Instance(run, other, [], {})).unread(error))
    return found


def chains(told: list) -> list:
    """What the listeners of these RV(instances) serve where they do TLS, as RV(chains) of postfix_tls_info."""
    return [
        dict({"config_directory": instance["config_directory"]}, **chain)
        for instance in told for chain in installed.chains(_serving(instance["listeners"]))
    ]


def _serving(listeners: list) -> Iterator[installed.Serving]:
    for at in listeners:
        for end in filter(None, (at, at["behind"])):
            if end["level"] != "none" or end.get("wrappermode"):
                paths = tuple(pair["certificate_file"] for pair in end["chain_files"])
                yield installed.Serving(end["service"], paths, bool(end["parameters"].get("smtpd_tls_chain_files")))
                for table in words(end["parameters"].get("tls_server_sni_maps") or "", ", \t"):
                    yield from (installed.Serving(end["service"], paths, True, name) for name, paths in _named(table))


def _named(table: str) -> Iterator[tuple]:
    """(name, files) of a table for SNI that Postfix reads as it is; others hold copies, which are not looked into. Source: DATABASE_README."""
    kind, _colon, path = table.partition(":")
    if kind != "texthash":
        return
    try:
        lines = (files.read(path).content or b"").decode("utf-8", "replace").splitlines()
    except PostfixTlsError:
        return
    for line in lines:
        name, *named = words(line, ", \t") or [""]
        if named and not line.startswith("#"):
            yield name, tuple(named)


class _Described:
    """One instance; errors collects what could not be told, so that it keeps nothing else from being told."""

    def __init__(self, host: Instance) -> None:
        self._host = host
        self.errors: list = []

    def facts(self) -> dict:
        listeners = self._listeners()
        release = self._host.effective("mail_version")
        return {
            "config_directory": self._host.directory,
            "version": re.match(r"\d*(?:\.\d+)*", release).group(),
            "mail_version": release,
            "patch_level": (*self._host.release[2:], 0)[0],
            "missing_fixes": fixes.missing(self._host.release),
            "compatibility_level": self._host.effective("compatibility_level"),
            "features": self._features(),
            "deprecated": self._deprecated(),
            "myhostname": self._host.effective("myhostname"),
            "default_database_type": self._host.effective("default_database_type"),
            "table_types": self._host.table_types,
            "tls_library": {when: "".join(self._host.lines("-T", when + "-version")[:1]) or None for when in ("compile", "run")},
            "listeners": listeners,
            "errors": self.errors,
        }

    def unread(self, error: PostfixTlsError) -> dict:
        """The same keys for an instance that can't be read."""
        names = ("version", "mail_version", "patch_level", "compatibility_level", "myhostname", "default_database_type")
        return dict(
            {"config_directory": self._host.directory}, **dict.fromkeys(names), missing_fixes=[], features={}, deprecated=[],
            table_types=[], tls_library={"compile": None, "run": None}, listeners=[], errors=[str(error)],
        )

    def _features(self) -> dict:
        return dict({feature: name in self._host.known for feature, name in _FEATURES.items()}, tlsrpt=self._host.reports)

    def _deprecated(self) -> list:
        """Obsolete parameters that are set, main.cf's first."""
        path = os.path.join(self._host.directory, "main.cf")
        main = MainCf((files.read(path).content or b"").decode("utf-8", "surrogateescape"))
        there = [("main.cf", name, main.raw(name)) for name in main.names()]
        there += [(service.key, name, value) for service in self._host.services for name, value in service.overrides.items()]
        return [
            {"where": where, "name": name, "value": value, "replaced_by": knowledge.known(name).replaced_by}
            for where, name, value in there if obsolete.is_obsolete(name, self._host)
        ]

    def _listeners(self) -> list:
        """A service that can't be described (its port has no number, say) is an error, and the others are listed."""
        told = []
        for service in self._host.services:
            if service.receives:
                try:
                    told.append(self._listener(service))
                except PostfixTlsError as error:
                    self.errors.append(str(error))
        return told

    def _listener(self, service: Service) -> dict:
        listener, own = self._host.listener(service), self._host.of(service)
        behind, parameters = None, _of_smtpd(own)
        if service.program == "postscreen":
            behind, parameters = self._behind(own), self._of_postscreen(own)
        wrapper = listener.protocol == "smtps"
        return {
            "service": service.name,
            "type": service.kind,
            "program": service.program,
            "address": listener.address,
            "port": listener.port,
            "protocol": "smtps" if wrapper else "submission" if _is_submission(service, listener) else "smtp",
            "public": listener.public,
            "wrappermode": wrapper,
            "level": listener.level,
            "requires_tls": wrapper or listener.level == "encrypt",
            "parameters": parameters,
            "overrides": service.overrides,
            "chain_files": _chain_files(chain_files(dict(own, **parameters))),
            "behind": behind,
        }

    def _behind(self, own: dict) -> dict | None:
        """postscreen(8): the smtpd that takes over the connections of clients that passed, STARTTLS included."""
        for service in self._host.services:
            if service.kind == "pass" and service.program == "smtpd" and service.name == own.get("smtpd_service_name", "smtpd"):
                return {
                    "service": service.name,
                    "level": self._host.level(service),
                    "parameters": _of_smtpd(self._host.of(service)),
                    "overrides": service.overrides,
                    "chain_files": _chain_files(self._host.chain_files(service)),
                }
        return None

    def _of_postscreen(self, own: dict) -> dict:
        """postscreen(8) leaves handshakes to tlsproxy(8), which has parameters of its own; those it does not read are left out."""
        called = (own.get("tlsproxy_service_name", "tlsproxy"), "tlsproxy")
        proxies = [service for service in self._host.services if (service.name, service.program) == called]
        proxy = self._host.of(proxies[0]) if proxies else self._host.values
        read = {name: (proxy, re.sub("^smtpd_", "tlsproxy_", name)) for name in HANDSHAKE}
        read.update({name: (own, re.sub("^smtpd_", "postscreen_", name)) for name in DIALOGUE})
        return {name: values[theirs] for name, (values, theirs) in sorted(read.items()) if theirs in values}


def _chain_files(pairs: tuple) -> list:
    return [{"certificate_file": certificate, "key_file": key} for certificate, key in pairs]


def _of_smtpd(values: dict) -> dict:
    return {name: values[name] for name in sorted(HANDSHAKE + DIALOGUE) if name in values}


def _is_submission(service: Service, listener: Listener) -> bool:
    """RFC 6409: port 587; elsewhere, master.cf says so where it asks for TLS on this service."""
    asks = ("smtpd_tls_security_level", "smtpd_enforce_tls", "postscreen_tls_security_level", "postscreen_enforce_tls")
    return listener.port == 587 or (listener.level == "encrypt" and any(name in service.overrides for name in asks))
