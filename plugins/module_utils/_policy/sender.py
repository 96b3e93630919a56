# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What of main.cf decides how this host's SMTP client meets others, where no policy says otherwise."""
from __future__ import annotations

import ipaddress
import os
import re
import ssl
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run, effective_values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

_PARAMETERS = (
    "disable_dns_lookups", "inet_interfaces", "inet_protocols", "mail_version", "smtp_address_preference", "smtp_balance_inet_protocols", "smtp_bind_address",
    "smtp_bind_address6", "smtp_bind_address_enforce", "smtp_dns_support_level", "smtp_host_lookup", "smtp_mx_address_limit",
    "smtp_mx_session_limit", "smtp_randomize_addresses", "smtp_tcp_port", "smtp_tls_CAfile", "smtp_tls_CApath", "smtp_tls_exclude_ciphers",
    "smtp_tls_mandatory_exclude_ciphers", "smtp_tls_mandatory_protocols",
    "smtp_tls_protocols", "smtp_tls_servername", "smtp_tls_wrappermode", "tls_append_default_CA",
)
#: With any of these the client has a certificate to show.
_CERTIFICATES = ("smtp_tls_chain_files", "smtp_tls_cert_file", "smtp_tls_dcert_file", "smtp_tls_eccert_file")
#: How OpenSSL finds a CA in a directory (openssl-rehash(1)).
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+\Z")


class Sender(NamedTuple):
    """protocols: a list as in smtp_tls_mandatory_protocols; optional_protocols: as in smtp_tls_protocols, for level may.

    dns: whether MX records are asked for. dns_for_hosts: whether addresses are, too. native: whether names of /etc/hosts count.
    families: ipv4, ipv6 or both. preference: smtp_address_preference. shuffled: whether addresses of one rank are tried in any order.
    most: addresses that are tried of one destination, 0 for all; balanced: whether each family gets its share of them. sessions: how many servers may
    turn a message away, 0 for any number. bound: {family: address to connect from}; enforced: whether there is no other way.
    server_name: smtp_tls_servername. wrapper: smtp_tls_wrappermode. certificate: whether it has one of its own to show.
    ca_content: PEM, None for the system's store. postfix: its release. excluded: smtp_tls_exclude_ciphers; mandatory_excluded: what
    smtp_tls_mandatory_exclude_ciphers adds to that.
    """

    protocols: str = ""
    optional_protocols: str = ""
    dns: bool = True
    dns_for_hosts: bool = True
    native: bool = False
    families: tuple = ("ipv4", "ipv6")
    preference: str = "any"
    shuffled: bool = True
    most: int = 5
    balanced: bool = True
    sessions: int = 2
    bound: tuple = ()
    enforced: bool = False
    port: str = "25"
    certificate: bool = False
    server_name: str = ""
    wrapper: bool = False
    ca_content: str | None = None
    postfix: tuple = (3, 5)
    excluded: str = ""
    mandatory_excluded: str = ""

    def anonymous(self, level: str, more: str = "") -> bool:
        """Whether suites without a certificate are offered. more: what a policy entry excludes. Source: TLS_README, "Anonymous TLS"."""
        texts = (self.excluded, more, "" if level == "may" else self.mandatory_excluded)
        tokens = {token for text in texts for token in re.split(r"[\s,:]+", text)}
        return level in ("may", "encrypt") and "aNULL" not in tokens and not {"ADH", "AECDH"} <= tokens


def read(run: Run, directory: str, trusted: bool = True) -> Sender:
    """As of(), by main.cf alone. Raises PostfixTlsError where there is no Postfix, too."""
    return of(effective_values(run, directory, None, *_PARAMETERS, *_CERTIFICATES), trusted)


def of(values: dict, trusted: bool = True) -> Sender:
    """values: effective parameters. trusted: whether the CAs are to be read. Raises PostfixTlsError for a file of CAs that can't be."""
    lookup = words(values.get("smtp_host_lookup", "dns"), ", \t")
    disabled = values.get("smtp_dns_support_level", "") == "disabled" or _yes(values, "disable_dns_lookups")
    return Sender(
        protocols=values.get("smtp_tls_mandatory_protocols", ""),
        optional_protocols=values.get("smtp_tls_protocols", ""),
        dns=not disabled,
        dns_for_hosts=not disabled and "dns" in lookup,
        native=disabled or "native" in lookup,
        families=families(values.get("inet_protocols", "")),
        preference=values.get("smtp_address_preference") or "any",
        shuffled=_yes(values, "smtp_randomize_addresses", "yes"),
        most=int(values.get("smtp_mx_address_limit") or 5),
        balanced=_yes(values, "smtp_balance_inet_protocols", "yes"),
        sessions=int(values.get("smtp_mx_session_limit") or 2),
        bound=_bound(values),
        enforced=_yes(values, "smtp_bind_address_enforce"),
        port=values.get("smtp_tcp_port") or "25",
        server_name=values.get("smtp_tls_servername", ""),
        wrapper=_yes(values, "smtp_tls_wrappermode"),
        certificate=any(values.get(name) for name in _CERTIFICATES),
        ca_content=_authorities(values) if trusted else None,
        excluded=values.get("smtp_tls_exclude_ciphers", ""),
        mandatory_excluded=values.get("smtp_tls_mandatory_exclude_ciphers", ""),
        postfix=tuple(int(part) for part in re.findall(r"\d+", values.get("mail_version", "3.5"))[:2]),
    )


def families(text: str) -> tuple:
    """postconf(5) inet_protocols: of ipv4 and ipv6 those that are used, both where neither is named."""
    both, named = ("ipv4", "ipv6"), words(text, ", \t")
    return both if "all" in named else tuple(family for family in both if family in named) or both


def _yes(values: dict, name: str, default: str = "no") -> bool:
    return (values.get(name) or default).lower() == "yes"


def _bound(values: dict) -> tuple:
    """((family, address)): smtp_bind_address*, else the only address that inet_interfaces names of that family. Source: smtp_connect_addr()."""
    found = {}
    named = [_address(word) for word in words(values.get("inet_interfaces", ""), ", \t")]
    for family, name in (("ipv4", "smtp_bind_address"), ("ipv6", "smtp_bind_address6")):
        own = [one for one in named if one and "ipv%d" % one.version == family]
        given = values.get(name, "").strip("[]")
        if given:
            found[family] = given
        elif len(own) == 1 and not own[0].is_loopback:
            found[family] = str(own[0])
    return tuple(found.items())


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _authorities(values: dict) -> str | None:
    """postconf(5) smtp_tls_CAfile, smtp_tls_CApath, tls_append_default_CA. None where nothing but the system's own store is named, or nothing."""
    system = ssl.get_default_verify_paths()
    places = [("smtp_tls_CAfile", values.get("smtp_tls_CAfile", "")), ("smtp_tls_CApath", values.get("smtp_tls_CApath", ""))]
    named = [place for place in places if place[1]]
    stores = {os.path.realpath(path) for path in (system.openssl_cafile, system.openssl_capath, system.cafile, system.capath) if path}
    if all(os.path.realpath(path) in stores for _item, path in named):
        return None
    if _yes(values, "tls_append_default_CA"):
        named += [("tls_append_default_CA", path) for path in (system.cafile, system.capath) if path]
    content = "\n".join(_content(item, path) for item, path in named)
    if "-----BEGIN " not in content:
        item, path = named[0]
        raise PostfixTlsError(item, path, "OpenSSL finds no CA there", "Run openssl rehash in that directory, or name the CAs to trust as ca_file.")
    return content


def _content(item: str, path: str) -> str:
    """Of a file; of a directory, all that OpenSSL would find in it."""
    try:
        if os.path.isdir(path):
            return "\n".join(_content(item, os.path.join(path, name)) for name in sorted(os.listdir(path)) if _HASHED.match(name))
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise PostfixTlsError(item, path, "it can't be read: %s" % error.strerror, "Mend it, or name the CAs to trust as ca_file.") from error
