# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""One change of one instance, from what is asked for to what came of it: for the module, and for a renewal without Ansible."""
from __future__ import annotations

import os
from functools import cached_property
from typing import Sequence

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import startable
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.service import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._proof import Proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import renewal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.apply import Transaction
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.kept import Kept
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import Plan
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.stopwatch import Stopwatch

#: What check mode can't show: files are read as they are, and a real run reads them as they were.
_INTERRUPTED = {
    "check": "interrupted",
    "verdict": "note",
    "observed": "an earlier run was killed midway; a run first puts back what that one wrote, and this diff is against the files as they are now",
    "expected": "a run that ends by itself",
    "fix": "run without check mode; state=restored (the playbook rollback) only puts back",
    "reference": "",
}


#: A Postfix that was stopped before the run.
_STOPPED = {
    "check": "stopped",
    "verdict": "note",
    "observed": "Postfix does not run, and was not started, so that nothing could be proven on the wire",
    "expected": "a Postfix that runs, or one that is stopped on purpose",
    "fix": "start it and run again, or have it started (tls_hardening_start_stopped, start_stopped of the module)",
    "reference": "postfix(1)",
}


def carry_out(params: dict, predict: bool, diff: bool) -> dict:
    """One change on this host, as Change has it."""
    return Change(params, runner(), predict, diff).result()


class Change:
    """params: the module's options. run: as Run in C(instance). predict: only say what would be done. diff: show what peers see, too."""

    kind = "change"

    def __init__(self, params: dict, run: Run, predict: bool = False, diff: bool = False) -> None:
        self.params = params
        self.verify = params["verify"]
        self.run = run
        self.predict = predict
        self.diff = diff
        self.stopwatch = Stopwatch("write", "plan", "live", "prove")
        self.read = self.stopwatch.timed("plan", self._read)
        self.kept = Kept(self.params["config_directory"])
        self._instance: Instance | None = None
        self._files: list = []

    def _read(self) -> Instance:
        """The instance as it is configured now; read again only when one of its files is another."""
        names = ("main.cf", "master.cf")
        seen = [os.stat(path) for path in (os.path.join(self.params["config_directory"], name) for name in names) if os.path.exists(path)]
        files = [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in seen]
        if self._instance is None or files != self._files:
            self._instance, self._files = Instance.read(self.run, self.params["config_directory"]), files
        return self._instance

    def result(self) -> dict:
        """The module's result. Raises PostfixTlsError where it does not hold; then nothing has changed, but where systemd does not start the renewal."""
        host = self.read()
        if self.predict:
            return self._predicted(host)
        with self.kept.locked() as taken_back:
            host = self.read()  # another run, or a killed one that is mended now, may have left it otherwise
            proposal = self.stopwatch.timed("plan", self._propose)(host)
            proof = Proof(self.read, self.run, proposal, self.verify["ca_file"], self.verify["timeout"], self.diff)
            transaction = self._transaction(proof)
            stopped = transaction.action != self.params["action"]
            outcome = transaction.carry_out(proposal.plan)
            if self.params["state"] == "restored" or proposal.renewal:
                proposal.plan.findings += renewal.settle(self.run, self.params["config_directory"])
        if self.params["state"] == "restored":
            proposal.receiving = _receives_encrypted(self.read())
        self._note(proposal, stopped, not outcome.changed and transaction.action != "none")
        told = self._told(host, proposal, taken_back)
        if outcome.changed:
            told["diff"] = told["diff"] + proof.difference(outcome.before, outcome.results)
        return dict(
            told,
            changed=outcome.changed,
            action_taken=outcome.action_taken,
            running=self._service.running(),
            transaction=outcome.transaction or "",
            resumed=outcome.resumed,
            results=outcome.results,
            expect=proof.promise(),
            seconds=self.stopwatch.seconds(),
        )

    def _predicted(self, host: Instance) -> dict:
        proposal = self._propose(host)
        resumed = self.kept.pending.exists()
        if resumed:
            proposal.plan.findings.append(_INTERRUPTED)
        action, running = self._action(), self._service.running()
        changed = bool(proposal.plan.changes) or resumed or (action != "none" and not running)
        if changed and action != "none":
            self._ready(proposal)
        self._note(proposal, action != self.params["action"], not changed and action != "none")
        return dict(
            self._told(host, proposal),
            changed=changed,
            action_taken=action if changed else "none",
            running=running or (changed and action != "none"),
            transaction="",
            resumed=resumed,
        )

    def _told(self, host: Instance, proposal: Proposal, taken_back: Sequence = ()) -> dict:
        whole = Plan([*taken_back, *proposal.plan.changes])
        return {
            "plan": whole.summary(),
            "diff": whole.diff(),
            "findings": proposal.plan.findings,
            "receiving": proposal.receiving,
            "profile": proposal.profile,
            "myhostname": host.effective("myhostname"),
            "postfix_version": host.effective("mail_version"),
        }

    def _propose(self, host: Instance) -> Proposal:
        if self.params["state"] == "restored":
            return self._restoration(host)
        required = self.params["required"] or {}
        proposal = propose(host, Intent(
            chains=self.params["chains"],
            sni=self.params["sni"],
            parameters=self.params["parameters"],
            services=self.params["services"],
            profiles={side: name for side, name in (self.params["profiles"] or {}).items() if name},
            policy=self.params["policy"],
            required_clients=required.get("clients"),
            required_senders=required.get("senders"),
            names=self.verify["names"],
            ca_file=self.verify["ca_file"],
            min_days_left=self.verify["min_days_left"],
            renewal=self.params["renewal"],
            self_signed=self.params["self_signed"],
            public_encrypt=self.params["public_encrypt"],
            unsupported=self.params["unsupported"],
        ))
        if self.params["action"] == "reload" and proposal.restart:
            raise PostfixTlsError(
                "action", "reload", "a change of %s takes effect only when Postfix is started" % ", ".join(proposal.restart), "Use action: restart.",
            )
        return proposal

    def _restoration(self, host: Instance) -> Proposal:
        """The state before the last change: of one that was killed, else of the last committed one, unless it has been restored already.

        Whoever names a change means a committed one.
        """
        pending, previous, asked = self.kept.pending, self.kept.previous, self.params["transaction"]
        plan = Plan()
        if pending.exists() and not asked:
            plan.changes = pending.differing()
        elif previous.exists() and previous.kind == "change" and asked in (None, "", previous.id):
            plan.changes = previous.differing()
        return Proposal(plan, names=[host.effective("myhostname")], receiving=_receives_encrypted(host))

    @cached_property
    def _service(self) -> Service:
        return Service(
            self.run, self.params["config_directory"], self.verify["start_timeout"],
            lambda: startable.taken(self.read(), self._service.master()), self.kept.lock, self.read().effective("queue_directory"),
        )

    def _action(self) -> str:
        """How a change is made live: not at all where somebody stopped Postfix, unless asked to. One that a killed run left down was not."""
        wanted = self.params.get("start_stopped") or self.kept.pending.exists() or self._service.running()
        return self.params["action"] if wanted else "none"

    def _faults(self, proposal: Proposal) -> list:
        """What would stop Postfix from starting with the plan, or as it is written where nothing is planned."""
        return startable.faults(startable.planned(self.read(), proposal.plan.changes), self._service.master())

    def _ready(self, proposal: Proposal) -> None:
        for fault in self._faults(proposal):
            raise PostfixTlsError(fault.item, fault.value, fault.reason, "%s Postfix could not start again so; nothing was changed." % fault.remedy)

    def _note(self, proposal: Proposal, stopped: bool, unchanged: bool) -> None:
        """stopped: Postfix does not run, and was left so. unchanged: nor was it restarted, but somebody may."""
        if stopped:
            proposal.plan.findings.append(_STOPPED)
        for fault in self._faults(proposal) if unchanged else ():
            proposal.plan.findings.append({
                "check": "startable", "verdict": "note", "observed": "Postfix runs, but could not start again: %s: %s" % (fault.item, fault.reason),
                "expected": "files that Postfix can start with", "fix": fault.remedy.rstrip("."), "reference": "postfix(1), master(5)",
            })

    def _transaction(self, proof: Proof) -> Transaction:
        service = self._service
        service.make_live = self.stopwatch.timed("live", service.make_live)
        service.wait = self.stopwatch.timed("live", service.wait)
        return Transaction(
            kept=self.kept,
            action=self._action(),
            service=service,
            check=proof.of_files,
            prove=self.stopwatch.timed("prove", proof.on_the_wire),
            observe=self.stopwatch.timed("prove", proof.observed),
            kind=self.kind if self.params["state"] == "present" else "restored",
            ready=lambda: self._ready(proof.proposal),
            stopped=not (service.running() or self.kept.pending.exists()),
        )


def _receives_encrypted(host: Instance) -> bool:
    return any(listener.encrypts for listener in host.listeners() if listener.port == 25)
