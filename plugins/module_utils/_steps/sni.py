# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Chains for names of their own, which clients ask for by SNI; whoever asks for none, or for another, is served the chains of main.cf.

The table names files and Postfix reads them when a process starts, so there is no copy of a key to renew.
Source: postconf(5) tls_server_sni_maps.
"""
from __future__ import annotations

import os
import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup, tables
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.domains import domain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import chains, own_table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft, Named

_NAME = "tls_server_sni_maps"
_REMEDY = "List its entries as sni and move it away."
#: Names from tables that are not ours that are looked at; each costs a handshake.
MOST = 10


def write(draft: Draft) -> None:
    """Raises PostfixTlsError for a name that can be none, a chain that no peer could use, or a file that was not written here."""
    if draft.intent.sni is None:
        return
    path = os.path.join(draft.host.directory, "tls", "sni")
    lines: dict = {}
    for entry in draft.intent.sni:
        if not entry["names"] or not entry["chains"]:
            raise PostfixTlsError("sni", entry["names"], "an entry without a name or without a chain serves nobody", "Write both, or leave the entry out.")
        names = [_judged(name, lines) for name in entry["names"]]
        files = serve(draft, entry)
        if not files:
            draft.note(
                "sni", "%s: the certificate is self-signed, so it is not served" % ", ".join(names), "a certificate from a CA that peers trust",
                "install one, or on a private network allow it (self_signed: allow)", "postconf(5) tls_server_sni_maps",
            )
            continue
        if any(re.search(r"[\s,]", file) for file in files):
            raise PostfixTlsError("sni", ", ".join(files), "in that table a blank or a comma would end the path", "Name another directory.")
        lines.update(dict.fromkeys(names, ", ".join(files)))
    if lines:
        own_table.put(draft, _NAME, path, lines, _REMEDY)
    else:
        own_table.take_away(draft, _NAME, path)


def serve(draft: Draft, entry: dict) -> list:
    """Plans the files of an entry's chains, and their proof; returns the paths, none where peers would trust none of them."""
    names = [_example(name.lower()) for name in entry["names"]]
    covered = ["*%s" % name.lower() if name.startswith(".") else name.lower() for name in entry["names"]]
    files, trusted, digests = chains.serve(draft, chains_of(entry), names, covered)
    if files:
        draft.proposal.sni.append(Named(names[0], digests, trusted.issuperset(files)))
    return files


def look(draft: Draft, after: Instance) -> None:
    """Names that tables serve which are not ours are to be looked at too, the first of them; what is not is told."""
    path = os.path.join(draft.host.directory, "tls", "sni")
    mine = path in draft.to_come or not own_table.is_foreign(path)
    others = [table for table in tables(after.effective(_NAME)) if not (mine and table.rpartition(":")[2] == path)]
    if not others or not any(listener.encrypts for listener in after.listeners()):
        return
    before, names, unlisted, unusable = tables(draft.host.effective(_NAME)), {}, [], []
    for table in others:
        keys = list(Lookup(after.run, after.directory).entries(table))  # not what it says of them, which may be a key
        unlisted += [] if keys else [table]
        for key in keys:
            try:
                names.setdefault(_judged(key, {}), None if table in before else True)
            except PostfixTlsError:
                unusable.append(key)
    for entry in draft.intent.sni or ():
        for name in entry["names"]:
            names.pop(name.lower(), None)  # ours is in front
    seen = list(names.items())[:MOST]
    draft.proposal.sni += [Named(_example(name), [], trusted) for name, trusted in seen]
    _tell(draft, others, [name for name, _trusted in seen], [*list(names)[MOST:], *unusable], unlisted)


def _tell(draft: Draft, others: list, seen: list, left: list, unlisted: list) -> None:
    told = ["what they serve for %s is looked at on the wire" % ", ".join(seen)] if seen else []
    told += ["%d more names are not looked at (%s)" % (len(left), ", ".join([*left[:3], "..."][:len(left)]))] if left else []
    told += ["what %s serves is not looked at, for its names can't be listed, or there are none" % " and ".join(unlisted)] if unlisted else []
    draft.note(
        "sni", "%s: not written here; %s" % (", ".join(others), "; ".join(told or ["sni has all its names in front"])),
        "each name that clients ask for proven", "list its names as sni, and take the table out of %s" % _NAME, "postconf(5) %s" % _NAME,
    )


def chains_of(entry: dict) -> list:
    """An entry's chains, each with its name."""
    return [dict(asked, name=asked.get("name") or entry["names"][0].strip(".").lower()) for asked in entry["chains"]]


def _judged(name: str, taken: dict) -> str:
    dot = "." if name.startswith(".") else ""
    try:
        folded = dot + domain(name[len(dot):])
    except ValueError as error:
        raise PostfixTlsError(
            "sni", repr(name), "it is no name that a client asks for: %s" % error,
            "Write mx.example.org, or .example.org for all names below it; other letters in their IDNA form (xn--).",
        ) from None
    if folded in taken:
        raise PostfixTlsError("sni", name, "it is listed twice", "Keep one entry for this name.")
    return folded


def _example(name: str) -> str:
    """A name that a client asks for, of those that an entry is for."""
    return "any%s" % name if name.startswith(".") else name
