# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""From intent to plan: each step turns what is asked for and what the host is into file changes and findings.

Nothing here writes, runs or connects to anything; files are read once.
"""
from __future__ import annotations

import os
from dataclasses import dataclass, field

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import parameters as postfix_parameters
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import policy as postfix_policy
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan

CHAIN_FILES_SINCE = (3, 4)
LEVEL = "smtpd_tls_security_level"


@dataclass
class Intent:
    """What is asked for, as the module's options say it.

    chains: [{name, key or key_file, certificate or certificate_file}]; files are on this host. parameters: {name: value},
    None removes. destinations: policy entries, None leaves the table alone, [] takes it away.
    names: what the chains have to cover; None for myhostname. ca_file: trust anchors, None for the system store.
    """

    chains: list = field(default_factory=list)
    parameters: dict = field(default_factory=dict)
    destinations: list | None = None
    policy_file: str | None = None
    chain_directory: str | None = None
    names: list | None = None
    ca_file: str | None = None
    self_signed: str = "sending_only"
    public_encrypt: str = "refuse"


@dataclass
class Proposal:
    """plan: what to do. expected: {parameter: text} that Postfix has to read back. answers: {destination: policy} that
    C(postmap -q) has to give for table. trusted: paths of chains that peers trust under names."""

    plan: Plan
    expected: dict = field(default_factory=dict)
    table: str | None = None
    answers: dict = field(default_factory=dict)
    trusted: frozenset = frozenset()
    names: list = field(default_factory=list)
    receiving: bool = False


def propose(host: Instance, intent: Intent) -> Proposal:
    """The whole plan. Raises PostfixTlsError for anything that can't be done, before anything is done."""
    plan = Plan()
    proposal = Proposal(plan, names=intent.names or [host.effective("myhostname")])
    wanted = dict(intent.parameters)
    _chains(host, intent, proposal, wanted)
    judged = {
        name: None if value is None else postfix_parameters.render(name, value, host.version, host.known)
        for name, value in wanted.items()
    }
    _refuse_public_encrypt(host, intent, judged)
    table = _policy(host, intent, proposal, judged)
    _main_cf(host, proposal, judged)
    plan.changes += table
    proposal.receiving = judged.get(LEVEL, host.effective(LEVEL)) not in ("none", "", None)
    return proposal


def _chains(host: Instance, intent: Intent, proposal: Proposal, wanted: dict) -> None:
    """Proves the chains, plans their files, and keeps the receiving side off where peers would have nothing to trust."""
    receiving = str(wanted.get(LEVEL) or "none") != "none"
    if intent.chains and host.version < CHAIN_FILES_SINCE:
        raise PostfixTlsError(
            "chains", None, "Postfix %d.%d has no smtpd_tls_chain_files" % host.version, "Postfix 3.4 or newer is needed.",
        )
    chains = [_given(host, entry) for entry in intent.chains] or (_in_use(host) if receiving else [])
    usable, trust = [], {}
    for path, chain in chains:
        trusted = proof.prove(chain, proposal.names, intent.ca_file)
        trust[path] = trusted and trust.get(path, True)
        if not trusted and intent.self_signed != "allow":
            continue
        usable.append((path, chain))
    if (receiving or chains) and not usable:
        why = "the certificate is self-signed" if chains else "there is no certificate"
        proposal.plan.findings.append({
            "check": "receiving",
            "verdict": "note",
            "observed": "%s, so encryption is not offered for receiving; this does not touch sending" % why,
            "expected": "a certificate from a CA that peers trust",
            "fix": "install one (tls_certificate_source); on a private network, where peers know this certificate,"
                   " allow it: smtpd_tls_allow_self_signed: true (the module's self_signed: allow)",
            "reference": "TLS_README, Server-side certificate and private key configuration",
        })
        if LEVEL in wanted:
            wanted[LEVEL] = "none"
        return
    proposal.trusted = frozenset(path for path, trusted in trust.items() if trusted)
    if intent.chains and usable:
        for path, chain in usable:
            before, after = files.read(path), FileState(chain.text().encode(), 0o600)
            proposal.plan.add(path, before, after, secret=True, shown=(_described(before), _described(after)))
        wanted["smtpd_tls_chain_files"] = [path for path, _chain in usable]
        for name in postfix_parameters.SERVED_BY_CHAIN_FILES:
            wanted.setdefault(name, None)


def _given(host: Instance, entry: dict) -> tuple:
    directory = entry["directory"] if entry.get("directory") else os.path.join(host.directory, "tls")
    key = entry["key"] if entry.get("key") else _text_of(entry["name"], entry["key_file"])
    certificate = entry["certificate"] if entry.get("certificate") else _text_of(entry["name"], entry["certificate_file"])
    return os.path.join(directory, "%s.pem" % entry["name"]), pem.chain(entry["name"], key, certificate)


def _in_use(host: Instance) -> list:
    """The chains main.cf already names, as (path, Chain): of smtpd_tls_chain_files, a chain may take up several of the files."""
    named = host.chain_files()
    if not host.effective("smtpd_tls_chain_files"):
        return [(path, pem.chain(path, _text_of(key, key), _text_of(path, path))) for path, key in named]
    paths = [path for path, _key in named]
    chains = pem.chains(", ".join(paths), "\n".join(_text_of(path, path) for path in paths))
    return [(path, chain) for path in paths for chain in chains]


def _text_of(name: str, path: str) -> str:
    state = files.read(path)
    if state.content is None:
        raise PostfixTlsError("chain %s" % name, path, "there is no such file on this host", "Name the file that holds it.")
    return state.content.decode("utf-8", "replace").lstrip("\ufeff")


def _described(state: FileState) -> str:
    """What a diff may say of a chain file."""
    if state.content is None:
        return ""
    try:
        digests = pem.leaf_digests(state.content.decode("utf-8", "replace"))
    except PostfixTlsError:  # a damaged file may be replaced like any other
        digests = []
    return "private key: not shown\nleaf certificate sha256: %s\nmode: %04o\n" % (digests[0] if digests else "none", state.mode)


def _refuse_public_encrypt(host: Instance, intent: Intent, judged: dict) -> None:
    """RFC 3207 section 4: a publicly referenced server must not require TLS for mail to its own domains."""
    if judged.get(LEVEL) != "encrypt" or intent.public_encrypt == "allow":
        return
    for listener in host.listeners():
        if listener.port == 25 and listener.public:
            raise PostfixTlsError(
                LEVEL, "encrypt", "port 25 is public, and a public server must take mail in the clear too (RFC 3207)",
                "Write may; where only known peers connect, say so with smtpd_tls_allow_encrypt: true (the module's public_encrypt: allow).",
            )


def _policy(host: Instance, intent: Intent, proposal: Proposal, judged: dict) -> list:
    """Plans the table and its place in smtp_tls_policy_maps, in front of whatever maps are there.

    Returns the changes that have to wait until main.cf is written: a table that goes.
    """
    if intent.destinations is None:
        return []
    path = intent.policy_file or os.path.join(host.directory, "tls_policy")
    name, mine = "smtp_tls_policy_maps", "texthash:%s" % path
    before = files.read(path)
    ours = (before.content or b"").startswith(postfix_policy.HEADER.encode())
    listed = words((judged[name] or "") if name in judged else host.effective(name), ", \t")
    maps = [text for text in listed if text != mine]
    if not intent.destinations:
        if mine in listed:
            judged[name] = ", ".join(maps) or None
        leaving = Plan()
        if ours:
            leaving.add(path, before, FileState(None, before.mode, before.uid, before.gid))
        return leaving.changes
    if before.content is not None and not ours:
        raise PostfixTlsError(
            path, None, "this file is not one that was written here, and its entries would be lost",
            "List its entries as destinations and move it away, or name another file: tls_policy_file (the module's policy.path).",
        )
    text = postfix_policy.table(intent.destinations, host.after(judged))
    proposal.plan.add(path, before, FileState(text.encode(), 0o644))
    proposal.table, proposal.answers = mine, postfix_policy.answers(text)
    judged[name] = ", ".join([mine] + maps)
    return []


def _main_cf(host: Instance, proposal: Proposal, judged: dict) -> None:
    """One change of main.cf for all parameters; what already means the same stays as it is written."""
    path = os.path.join(host.directory, "main.cf")
    before = files.read(path)
    if before.content is None:
        raise PostfixTlsError(path, None, "there is no such file", "Install and configure Postfix first.")
    main = MainCf(before.content.decode("utf-8", "surrogateescape"))
    for level, obsolete in postfix_parameters.OVERRIDDEN_BY_LEVEL.items():
        if judged.get(level) is not None:
            judged.update({name: None for name in obsolete if name not in judged})
    for name, value in judged.items():
        raw = main.raw(name)
        if value is None:
            main.remove(name)
            continue
        proposal.expected[name] = value
        if raw is None or not postfix_parameters.same(name, host.effective(name) if "$" in raw else raw, value):
            main.set(name, value)
    proposal.plan.add(path, before, FileState(main.text().encode("utf-8", "surrogateescape"), before.mode, before.uid, before.gid))
