# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What of main.cf decides how this host's SMTP client meets others, where no policy says otherwise."""
from __future__ import annotations

import os
import re
import ssl
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run, effective_values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words

_PARAMETERS = (
    "disable_dns_lookups", "smtp_dns_support_level", "smtp_host_lookup", "smtp_mx_address_limit", "smtp_tls_CAfile", "smtp_tls_CApath",
    "smtp_tls_mandatory_protocols", "smtp_tls_servername", "smtp_tls_wrappermode", "tls_append_default_CA",
)
#: How OpenSSL finds a CA in a directory (openssl-rehash(1)).
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+\Z")


class Sender(NamedTuple):
    """protocols: a list as in smtp_tls_mandatory_protocols. dns: whether MX records are asked for. native: whether names of /etc/hosts count.

    most: addresses that are tried of one destination, 0 for all. server_name: smtp_tls_servername. wrapper: smtp_tls_wrappermode.
    ca_content: PEM, None for the system's store.
    """

    protocols: str = ""
    dns: bool = True
    native: bool = False
    most: int = 5
    server_name: str = ""
    wrapper: bool = False
    ca_content: str | None = None


def read(run: Run, directory: str, trusted: bool = True) -> Sender:
    """As of(), by main.cf alone. Raises PostfixTlsError where there is no Postfix, too."""
    return of(effective_values(run, directory, None, *_PARAMETERS), trusted)


def of(values: dict, trusted: bool = True) -> Sender:
    """values: effective parameters. trusted: whether the CAs are to be read. Raises PostfixTlsError for a file of CAs that can't be."""
    lookup = words(values.get("smtp_host_lookup", "dns"), ", \t")
    disabled = values.get("smtp_dns_support_level", "") == "disabled" or values.get("disable_dns_lookups", "no").lower() == "yes"
    return Sender(
        protocols=values.get("smtp_tls_mandatory_protocols", ""),
        dns=not disabled,
        native=disabled or "native" in lookup,
        most=int(values.get("smtp_mx_address_limit", "5")),
        server_name=values.get("smtp_tls_servername", ""),
        wrapper=values.get("smtp_tls_wrappermode", "no").lower() == "yes",
        ca_content=_authorities(values) if trusted else None,
    )


def _authorities(values: dict) -> str | None:
    """postconf(5) smtp_tls_CAfile, smtp_tls_CApath, tls_append_default_CA. None where nothing but the system's own store is named, or nothing."""
    system = ssl.get_default_verify_paths()
    places = [("smtp_tls_CAfile", values.get("smtp_tls_CAfile", "")), ("smtp_tls_CApath", values.get("smtp_tls_CApath", ""))]
    named = [place for place in places if place[1]]
    stores = {os.path.realpath(path) for path in (system.openssl_cafile, system.openssl_capath, system.cafile, system.capath) if path}
    if all(os.path.realpath(path) in stores for _item, path in named):
        return None
    if values.get("tls_append_default_CA", "no").lower() == "yes":
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
