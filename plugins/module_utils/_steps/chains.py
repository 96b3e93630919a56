# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Keys and certificates of the receiving side: proven as a peer would see them, before anything is written."""
from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import assembly, pem, proof, self_signed, source, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import effect
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import SERVED_BY_CHAIN_FILES, chain_files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import certificate
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import own_table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

CHAIN_FILES_SINCE = (3, 4)
#: Self-signed certificates that come with a distribution and its main.cf, so that nobody chose to offer them (Debian and Ubuntu; RHEL and its kin).
_NOBODYS = ("/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/pki/tls/certs/postfix.pem")
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
    usable, trust = proven(draft, chains, proposal.names, named=not intent.chains)
    if not usable and not intent.chains and (asked or by_default):
        asked = [switches for switches in asked or [draft.wanted] if not _was_on(draft, switches)]
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


def proven(draft: Draft, chains: list, names: list, named: bool = False) -> tuple:
    """(those of the chains, pairs of path and Chain, that are to be served, {path: whether peers trust it under these names}).

    named: as main.cf has them already, so that they are served as they are. Raises PostfixTlsError for one that no peer could use.
    """
    usable, trust = [], {}
    for path, chain in chains:
        try:
            sound = _sound(draft, chain)
            served = _in_order(chain) if named else sound
            trusted = _trusted(draft, served, names)
            _tell_out_of_reach(draft, chain)
        except PostfixTlsError:
            if draft.intent.self_signed == "allow" or not chain.facts()[0]["self_signed"]:
                raise
            served, trusted = chain, False  # whatever else is wrong with it, it is not served; Debian's snakeoil may be made out to another name
        trust[path] = trusted and trust.get(path, True)
        if trusted or draft.intent.self_signed == "allow":
            usable.append((path, served))
    return usable, trust


def _in_order(chain: pem.Chain) -> pem.Chain:
    """The same. Raises PostfixTlsError where the look on the wire would find that certificates do not follow each other."""
    if certificate.ordered(chain.facts()) is False:
        raise PostfixTlsError(
            "chain %s" % chain.name, None, "its certificates are not in order, each followed by its issuer",
            "Put them in order, leaf first; with tls_certificate_source = remote that is done for you.",
        )
    return chain


def _tell_out_of_reach(draft: Draft, chain: pem.Chain) -> None:
    """Days that were asked for, and for which nothing is refused, because no renewal would give them."""
    if too_many := strength.out_of_reach(chain.facts()[0], draft.intent.min_days_left):
        draft.note(
            "chains", "chain %s: %s" % (chain.name, too_many), "fewer days than two thirds of those it is issued for",
            "ask for fewer (tls_certificate_min_days_left, the module's verify.min_days_left)", "RFC 5280 section 4.1.2.5",
        )


def _sound(draft: Draft, chain: pem.Chain) -> pem.Chain:
    """The chain, or that part of it which is enough for peers where they could not use the rest. Raises PostfixTlsError where they need it."""
    profile, days = draft.intent.profiles.get("smtpd"), draft.intent.min_days_left
    try:
        strength.judge(chain, profile, days)
        return chain
    except PostfixTlsError as error:
        found = _enough(draft, assembly.assembled(chain)[0], profile, days)
        if found is None:
            raise
        draft.note(
            "chains", "chain %s: %s: %s; peers find the way without it" % (chain.name, error.value, error.reason.rstrip(".")),
            "nothing in it that peers can't use", "leave it out of the file", "RFC 8446 section 4.4.2",
        )
        return found


def _enough(draft: Draft, chain: pem.Chain, profile: str | None, days: int) -> pem.Chain | None:
    """The longest beginning of an ordered chain in which nothing is wrong and that leads to a root that peers trust."""
    for length in range(len(chain.certificates), 0, -1):
        shorter = replace(chain, certificates=chain.certificates[:length])
        with suppress(PostfixTlsError):
            strength.judge(shorter, profile, days)
            if proof.prove(shorter, [], draft.intent.ca_file):
                return shorter
    return None


def _trusted(draft: Draft, chain: pem.Chain, names: list) -> bool:
    """As C(proof.prove), of the chain as Postfix sends it: OpenSSL completes one that is the leaf alone from smtpd_tls_CAfile and smtpd_tls_CApath."""
    try:
        return proof.prove(chain, names, draft.intent.ca_file)
    except PostfixTlsError:
        file, folder = (draft.effective("smtpd_tls_CA%s" % kind) for kind in ("file", "path"))
        if len(chain.certificates) > 1 or not (file or folder):
            raise
        if folder and any(service.receives and effect.chrooted(draft.host, service) for service in draft.master.services):
            folder = draft.host.effective("queue_directory") + folder  # it is looked at by each process, in its chroot
        trusted = proof.prove(chain, names, draft.intent.ca_file, (file, folder))
        draft.note(
            "chains",
            "chain %s has the leaf alone, and OpenSSL completes it from smtpd_tls_CA%s = %s" % (chain.name, *(("file", file) if file else ("path", folder))),
            "the certificate of the key, then each one's issuer, in one file", "name the full chain (fullchain.pem)", "postconf(5) smtpd_tls_cert_file",
        )
        return trusted


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
        draft.add(path, _file(draft, path, chain), secret=True, describe=_made if chain.made else _described)


def _file(draft: Draft, path: str, chain: pem.Chain) -> FileState:
    """The chain's file; what an earlier release wrote without a header stays without one. Raises PostfixTlsError for a file of somebody else's."""
    text, before = chain.text().encode(), files.read(path)
    if before == FileState(text, 0o600):
        return before
    if (before.content or b"").strip() and not before.content.startswith(own_table.HEADER.encode()) and not _written_earlier(draft, path, before):
        raise PostfixTlsError(
            "chain %s" % chain.name, path, "this file is not one that was written here, and what is in it would be lost",
            "Give the chain another name (tls_certificate_name; of an entry of a list: name) or directory, or move the file away.",
        )
    return FileState(own_table.HEADER.encode() + text, 0o600)


def _written_earlier(draft: Draft, path: str, state: FileState) -> bool:
    """Whether a release wrote it that had no header yet: this Postfix is served from it, and it is root's alone or at least begins as those do."""
    table = (files.read(os.path.join(draft.host.directory, "tls", "sni")).content or b"").decode("utf-8", "replace")
    listed = [draft.host.effective("smtpd_tls_chain_files", service) for service in (None, *draft.host.services)]
    named = path in re.split(r"[\s,]+", " ".join([table, *listed]))
    return named and ((state.mode, state.uid) == (0o600, 0) or state.content.startswith(b"-----BEGIN "))


def _was_on(draft: Draft, switches: dict) -> bool:
    """Whether main.cf, or the service asked for, offers TLS already, with a certificate that somebody chose: what peers could use is not taken from them."""
    named = [key for key, wanted in draft.services.items() if wanted is switches]
    there = {service.key: service for service in draft.host.services}
    service = there[named[0]] if named else Service("", "inet", "smtpd")
    offers = draft.host.level(service) != "none" or draft.host.effective("smtpd_tls_wrappermode", service).lower() == "yes"
    return offers and any(path not in _NOBODYS for path, _key in draft.host.chain_files(service))


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
        key, certificate = (pem.mended(entry.get(part) or source.text(item, entry["%s_file" % part])) for part in ("key", "certificate"))
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
