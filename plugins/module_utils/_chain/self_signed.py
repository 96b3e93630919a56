# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A certificate that only vouches for itself, made on the host by openssl(1), whose key never leaves it."""
from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

#: Days. One that ends within the latter is made anew, with the same key.
_VALID, _LEAST = 3650, 30


def chain(run: Callable, name: str, names: list, held: str) -> pem.Chain:
    """The one that is there, while it covers the names and is valid for long enough; else a new one. held: the text of its file, if any.

    run: as Run in C(instance). Raises PostfixTlsError where openssl(1) makes none.
    """
    item = "chain %s" % name
    alternatives = [_alternative(item, wanted) for wanted in names]
    try:
        there = pem.chain(name, held, held)
        facts = there.facts()[0]
        if facts["self_signed"] and set(alternatives) <= set(facts["names"]) and facts["days_left"] >= _LEAST:
            return there
        key = there.key if facts["self_signed"] else ""
    except PostfixTlsError:
        key = ""
    key = key or _openssl(run, item, ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    certificate = _openssl(run, item, [
        "req", "-x509", "-new", "-sha256", "-key", "/dev/stdin", "-days", str(_VALID), "-subj", "/CN=%s" % names[0][:64],
        "-addext", "subjectAltName=%s" % ",".join(alternatives),
    ], key)
    return replace(pem.chain(name, key, certificate), made=True)


def _alternative(item: str, name: str) -> str:
    try:
        return "IP:%s" % ipaddress.ip_address(name)
    except ValueError:
        pass
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
        raise PostfixTlsError(item, repr(name), "it is no host name", "Name what peers look up, such as mx.example.org.")
    return "DNS:%s" % name


def _openssl(run: Callable, item: str, arguments: list, stdin: str | None = None) -> str:
    try:
        status, out, err = run(["openssl", *arguments], stdin)
    except FileNotFoundError:
        raise PostfixTlsError("openssl", None, "there is no such command on this host", "Install the package openssl.") from None
    if status:
        raise PostfixTlsError(item, None, "openssl makes none (%s)" % (err.strip().splitlines() or ["without a word"])[-1], "Its words may say why.")
    return out
