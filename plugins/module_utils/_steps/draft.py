# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the steps work on: the intent, the host, its two files as they will be, and what has been found so far."""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import MasterCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan

#: Parameters to which no default refers, but those of tlsproxy and proxymap, which only ever take what smtp(8) has.
_ALONE = frozenset(("smtp_tls_policy_maps",))


@dataclass
class Intent:
    """What is asked for, as the module's options say it.

    chains: [{name, key or key_file, certificate or certificate_file}]; files are on this host. sni: [{names, chains}], None leaves the
    table alone, [] takes it away. parameters: {name: value}, services:
    {submission/inet: {name: value}}; None removes. defaults: {name: value} of parameters that nobody wrote: what is there and asks for as much
    stays. profiles: {smtpd or smtp: name of a profile, or default}. policy: {destinations, path, maps}, None
    leaves the table alone, no destinations take it away. required_clients, required_senders: who must use TLS to deliver here, None leaves
    them alone, [] takes them away. unsupported: refuse or skip what this host's release or build lacks.
    names: what the chains have to cover; None for myhostname. ca_file: trust anchors, None for the system store. min_days_left: how
    long each certificate has to be valid. renewal: whether a program on the host is to serve renewed files; None leaves that as it is.
    """

    chains: list = field(default_factory=list)
    sni: list | None = None
    parameters: dict = field(default_factory=dict)
    services: dict = field(default_factory=dict)
    defaults: dict = field(default_factory=dict)
    profiles: dict = field(default_factory=dict)
    policy: dict | None = None
    required_clients: list | None = None
    required_senders: list | None = None
    names: list | None = None
    ca_file: str | None = None
    min_days_left: int = 0
    renewal: bool | None = None
    self_signed: str = "sending_only"
    public_encrypt: str = "refuse"
    unsupported: str = "refuse"


class Named(NamedTuple):
    """What clients that ask for a name are to be served. digests: sha256 of each leaf. trusted: whether peers trust all of them under it; None
    where a table serves it that was there before and is not ours: what is wrong with it is told.
    """

    name: str
    digests: list
    trusted: bool | None


@dataclass
class Proposal:
    """plan: what to do. expected: {parameter: text} that Postfix has to read back, overrides: the same by service's key. tables:
    {table as main.cf names it: {key: answer that C(postmap -q) has to give}}. trusted: paths of chains that peers trust under names. sni: [Named].
    profile: the one that the receiving side has whole, "" where it has none or something in it was asked for otherwise; mandatory: the same for
    listeners that require TLS; decides: the parameters they are made of.
    restart: names of changed parameters that a reload would not make effective. renewal: whether its program
    and what starts it are to be there, or to go. kept: parameters wanted by default that main.cf has as strong already.
    """

    plan: Plan
    expected: dict = field(default_factory=dict)
    overrides: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)
    trusted: frozenset = frozenset()
    names: list = field(default_factory=list)
    sni: list = field(default_factory=list)
    receiving: bool = False
    profile: str = ""
    mandatory: str = ""
    decides: frozenset = frozenset()
    restart: list = field(default_factory=list)
    renewal: bool = False
    kept: set = field(default_factory=set)


@dataclass
class Draft:
    """wanted: {parameter: value of intent}, what is to be in main.cf, None removes; written: the same as text for this host; changed: those of
    main.cf that are not as they were. defaults: as of Intent, and what a default profile says; unwritten: names in wanted that come of them.
    carried: {parameter: value} in wanted that obsolete ones in main.cf stand for.

    services: {key: {parameter: value}} of master.cf, likewise; they are text once written. to_come: paths of files in the plan.
    """

    host: Instance
    intent: Intent
    proposal: Proposal
    main: MainCf
    master: MasterCf
    wanted: dict
    services: dict
    written: dict = field(default_factory=dict)
    changed: dict = field(default_factory=dict)
    defaults: dict = field(default_factory=dict)
    unwritten: set = field(default_factory=set)
    carried: dict = field(default_factory=dict)
    to_come: set = field(default_factory=set)
    _before: dict = field(default_factory=dict)
    _after: tuple | None = None
    _late: Plan = field(default_factory=Plan)

    @classmethod
    def of(cls, host: Instance, intent: Intent) -> Draft:
        """Raises PostfixTlsError where main.cf or master.cf can't be read."""
        before = {}
        for name in ("main.cf", "master.cf"):
            path = os.path.join(host.directory, name)
            before[path] = files.read(path)
            if before[path].content is None:
                raise PostfixTlsError(path, None, "there is no such file", "Install and configure Postfix first.")
        main, master = (state.content.decode("utf-8", "surrogateescape") for state in before.values())
        proposal = Proposal(Plan(), names=intent.names or [host.effective("myhostname")])
        return cls(
            host, intent, proposal, MainCf(main), MasterCf(master), dict(intent.parameters),
            {key: dict(values) for key, values in intent.services.items()}, defaults=dict(intent.defaults), _before=before,
        )

    def after(self) -> Instance:
        """The instance as it will be, by what has been drafted so far. Postfix is asked once for the same draft."""
        drafted = (dict(self.changed), self.master.services)
        if self._after is None or self._after[0] != drafted:
            self._after = (drafted, self.host.after(*drafted, followed=self._followed()))
        return self._after[1]

    def _followed(self) -> bool:
        """Whether another value may refer by $name to one that changes."""
        if set(self.changed) - _ALONE or any(text is None or "$" in text for text in self.changed.values()):
            return True
        texts = [self.main.raw(name) or "" for name in self.main.names()]
        return any(name in text for text in texts for name in self.changed if "$" in text)

    def value(self, name: str, value: object, where: str = "") -> str | None:
        """The text to write; None where this host lacks it and that is to be passed over."""
        try:
            return values.written(name, value, self.host, self.to_come)
        except PostfixTlsError as error:
            item = "%s: %s" % (where, name) if where else name
            if isinstance(error, values.Unsupported) and self.intent.unsupported == "skip":
                self.note("unsupported", "%s = %s is left out: %s" % (item, value, error.reason),
                          "what was asked for", "nothing, or upgrade this host", "postconf(5)")
                return None
            raise PostfixTlsError(item, error.value, error.reason, error.remedy) from None

    def effective(self, name: str) -> str:
        """A parameter of main.cf as it is going to be, with $names expanded."""
        wanted = self.wanted.get(name)
        return self.host.expanded(values.as_text(wanted)) if wanted else "" if name in self.wanted else self.host.effective(name)

    def add(self, path: str, state: FileState, secret: bool = False, describe: object = None) -> None:
        """A file to be there before main.cf refers to it. describe: state -> what a diff may say of a secret file."""
        before = files.read(path)
        shown = (describe(before), describe(state)) if describe else ("", "")
        self.to_come.add(path)
        self.proposal.plan.add(path, before, state, secret, shown)

    def drop(self, path: str) -> None:
        """A file to go once main.cf no longer refers to it."""
        before = files.read(path)
        self._late.add(path, before, FileState(None, before.mode, before.uid, before.gid))

    def note(self, check: str, observed: str, expected: str, fix: str, reference: str) -> None:
        self.proposal.plan.findings.append(
            {"check": check, "verdict": "note", "observed": observed, "expected": expected, "fix": fix, "reference": reference},
        )

    def finish(self) -> None:
        """main.cf and master.cf, each as one change, then what waited for them."""
        texts = (self.main.text(), self.master.text())
        for (path, before), text in zip(self._before.items(), texts):
            self.proposal.plan.add(path, before, FileState(text.encode("utf-8", "surrogateescape"), before.mode, before.uid, before.gid))
        self.proposal.plan.changes += self._late.changes
