# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Keys and certificates of the receiving side: proven as a peer would see them, before anything is written."""
from __future__ import annotations

import os
import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import assembly, pem, proof, self_signed, source, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import SERVED_BY_CHAIN_FILES, chain_files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

CHAIN_FILES_SINCE = (3, 4)
#: What switches TLS on for receiving, in main.cf or for a service, and what switches it off.
_LEVEL = "smtpd_tls_security_level"
_SWITCHES = {"smtpd_tls_security_level": "none", "smtpd_tls_wrappermode": "no"}


def take(draft: Draft) -> None:
    """Proves the chains, plans their files, and keeps the receiving side off where peers would have nothing to trust."""
    intent, proposal = draft.intent, draft.proposal
    if intent.chains and draft.host.version < CHAIN_FILES_SINCE:
        raise PostfixTlsError(
            "chains", None, "Postfix %d.%d has no smtpd_tls_chain_files" % draft.host.version, "Postfix 3.4 or newer is needed.",
        )
    asked = [switches for switches in (draft.wanted, *draft.services.values()) if any(map(_on, switches.items()))]
    by_default = _LEVEL in draft.defaults and _LEVEL not in draft.wanted
    chains = given(draft, intent.chains, proposal.names) or (_named(draft) if asked or by_default else [])
    usable, trust = proven(draft, chains, proposal.names)
    if not usable and not intent.chains and (asked or by_default):
        asked = [switches for switches in asked if not _was_on(draft, switches)]
        if not asked:
            _tell_as_before(draft, bool(chains))
            return
    if (asked or chains or intent.chains) and not usable:
        draft.note(
            "receiving",
            "%s, so encryption is not offered for receiving; this does not touch sending"
            % ("the certificate is self-signed" if chains or intent.chains else "there is no certificate"),
            "a certificate from a CA that peers trust",
            "install one (tls_certificate_source); on a private network, where peers know this certificate,"
            " allow it: smtpd_tls_allow_self_signed: true (the module's self_signed: allow)",
            "TLS_README, Server-side certificate and private key configuration",
        )
        for switches in asked or [draft.wanted]:
            switches.update({name: off for name, off in _SWITCHES.items() if name in switches or (name == _LEVEL and by_default)})
        return
    proposal.trusted = frozenset(path for path, trusted in trust.items() if trusted)
    if intent.chains and usable:
        _plan(draft, usable)
        draft.wanted["smtpd_tls_chain_files"] = [path for path, _chain in usable]
        for name in SERVED_BY_CHAIN_FILES:
            draft.wanted.setdefault(name, None)


def proven(draft: Draft, chains: list, names: list) -> tuple:
    """(those of the chains, pairs of path and Chain, that are to be served, {path: whether peers trust it under these names}).

    Raises PostfixTlsError for one that no peer could use.
    """
    usable, trust = [], {}
    for path, chain in chains:
        try:
            strength.judge(chain, draft.intent.profiles.get("smtpd"), draft.intent.min_days_left)
            trusted = proof.prove(chain, names, draft.intent.ca_file)
        except PostfixTlsError:
            if draft.intent.self_signed == "allow" or not chain.facts()[0]["self_signed"]:
                raise
            trusted = False  # whatever else is wrong with it, it is not served; Debian's snakeoil may be made out to another name
        trust[path] = trusted and trust.get(path, True)
        if trusted or draft.intent.self_signed == "allow":
            usable.append((path, chain))
    return usable, trust


def serve(draft: Draft, entries: list, names: list, covered: list | None = None) -> tuple:
    """(paths of the chains planned, those of them that peers trust under these names, sha256 of each leaf). Raises PostfixTlsError.

    covered: names for one that is made here, where they are others, such as *.example.org.
    """
    usable, trust = proven(draft, given(draft, entries, covered or names), names)
    _plan(draft, usable)
    trusted = frozenset(path for path, good in trust.items() if good)
    return [path for path, _chain in usable], trusted, [chain.facts()[0]["sha256"] for _path, chain in usable]


def _plan(draft: Draft, usable: list) -> None:
    """Files for these chains, which are to be served side by side. Raises PostfixTlsError where they can't be."""
    kinds: dict = {}
    for path, chain in usable:
        kind = chain.facts()[0]["key_type"]
        if kind in kinds:
            raise PostfixTlsError(
                "chain %s" % chain.name, None, "its key is of the same kind (%s) as that of chain %s" % (kind, kinds[kind]),
                "Postfix serves one chain of each kind: leave one out, or serve it under names of its own (sni).",
            )
        kinds[kind] = chain.name
        draft.add(path, FileState(chain.text().encode(), 0o600), secret=True, describe=_made if chain.made else _described)


def _was_on(draft: Draft, switches: dict) -> bool:
    """Whether main.cf, or the service asked for, offers TLS with a certificate already: what peers could use before is not taken from them."""
    named = [key for key, wanted in draft.services.items() if wanted is switches]
    there = {service.key: service for service in draft.host.services}
    service = there[named[0]] if named else Service("", "inet", "smtpd")
    offers = draft.host.level(service) != "none" or draft.host.effective("smtpd_tls_wrappermode", service).lower() == "yes"
    return offers and bool(draft.host.chain_files(service))


def _tell_as_before(draft: Draft, has_chain: bool) -> None:
    draft.note(
        "receiving", "%s; encryption is offered for receiving as it was before, which peers that verify certificates can't use"
        % ("the certificate is self-signed" if has_chain else "there is no certificate"),
        "a certificate from a CA that peers trust", "install one (tls_certificate_source)",
        "TLS_README, Server-side certificate and private key configuration",
    )


def _on(switch: tuple) -> bool:
    name, value = switch
    return name in _SWITCHES and value not in (None, False, "", "no", "none")


def given(draft: Draft, entries: list, names: list) -> list:
    """Chains asked for, as pairs of path and Chain, each put right as it is to be sent. names: for one that is made here.

    Without those that would be made here and then not be served. Raises PostfixTlsError.
    """
    found: dict = {}
    for entry in entries:
        directory = entry["directory"] if entry.get("directory") else os.path.join(draft.host.directory, "tls")
        path, item = os.path.join(directory, "%s.pem" % entry["name"]), "chain %s" % entry["name"]
        if not re.fullmatch(r"[\w][\w.-]*", entry["name"], re.ASCII):
            raise PostfixTlsError("chains", repr(entry["name"]), "its file can't be called so", "Name it with letters, digits, dots, hyphens and underscores.")
        if path in found or path in draft.to_come:
            raise PostfixTlsError(item, path, "two chains have that file", "Give each a name of its own.")
        if entry.get("self_signed"):
            if draft.intent.self_signed == "allow":
                held = (files.read(path).content or b"").decode("utf-8", "replace")
                found[path] = self_signed.chain(draft.host.run, entry["name"], names, held)
            continue
        key, certificate = (entry.get(part) or source.text(item, entry["%s_file" % part]) for part in ("key", "certificate"))
        chain, told = assembly.assembled(pem.chain(entry["name"], key, certificate), entry.get("keep_root", False))
        for sentence in told:
            draft.note(
                "chains", "%s: %s" % (item, sentence), "the certificate of the key, then each one's issuer, without the root",
                "a file in that order; where a TLSA record 2 x x names the root, keep_root: true", "RFC 8446 section 4.4.2",
            )
        found[path] = chain
    return list(found.items())


def _named(draft: Draft) -> list:
    """The chains that main.cf, and the services asked for, are going to name, as (path, Chain).

    Of smtpd_tls_chain_files, a chain may take up several of the files.
    """
    found = []
    for wanted in (draft.wanted, *draft.services.values()):
        names = ("smtpd_tls_chain_files", *SERVED_BY_CHAIN_FILES)
        asked = {name: draft.host.expanded(values.as_text(wanted[name]) if wanted[name] else "") for name in names if name in wanted}
        effective = dict(draft.host.values, **asked)
        if wanted is not draft.wanted and not asked:
            continue
        named = chain_files(effective)
        if effective.get("smtpd_tls_chain_files"):
            paths = [path for path, _key in named]
            chains = pem.chains(", ".join(paths), "\n".join(source.text("chain", path) for path in paths))
            found += [(path, chain) for path in paths for chain in chains]
        else:
            found += [(path, pem.chain(path, source.text("chain", key), source.text("chain", path))) for path, key in named]
    return found


def _described(state: FileState) -> str:
    """What a diff may say of a chain file."""
    if state.content is None:
        return ""
    try:
        digests = pem.leaf_digests(state.content.decode("utf-8", "replace"))
    except PostfixTlsError:  # a damaged file may be replaced like any other
        digests = []
    return "private key: not shown\nleaf certificate sha256: %s\nmode: %04o\n" % (digests[0] if digests else "none", state.mode)


def _made(state: FileState) -> str:
    """The same for check mode and for the run that makes another one."""
    return "" if state.content is None else "private key: not shown\na self-signed certificate, made on the host\nmode: %04o\n" % state.mode
