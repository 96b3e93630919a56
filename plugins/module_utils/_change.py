# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""One change of one instance, from what is asked for to what came of it: for the module, and for a renewal without Ansible."""
from __future__ import annotations

import os
from typing import Sequence

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
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
            outcome = self._transaction(proof).carry_out(proposal.plan)
            if self.params["state"] == "restored" or proposal.renewal:
                proposal.plan.findings += renewal.settle(self.run, self.params["config_directory"])
        if self.params["state"] == "restored":
            proposal.receiving = _receives_encrypted(self.read())
        told = self._told(host, proposal, taken_back)
        if outcome.changed:
            told["diff"] = told["diff"] + proof.difference(outcome.before, outcome.results)
        return dict(
            told,
            changed=outcome.changed,
            action_taken=outcome.action_taken,
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
        changed = bool(proposal.plan.changes) or resumed
        return dict(
            self._told(host, proposal),
            changed=changed,
            action_taken=self.params["action"] if changed else "none",
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

    def _transaction(self, proof: Proof) -> Transaction:
        service = Service(self.run, self.params["config_directory"], self.verify["start_timeout"], lambda: self.read().bound(), self.kept.lock)
        service.make_live = self.stopwatch.timed("live", service.make_live)
        service.wait = self.stopwatch.timed("live", service.wait)
        return Transaction(
            kept=self.kept,
            action=self.params["action"],
            service=service,
            check=proof.of_files,
            prove=self.stopwatch.timed("prove", proof.on_the_wire),
            observe=self.stopwatch.timed("prove", proof.observed),
            kind=self.kind if self.params["state"] == "present" else "restored",
        )


def _receives_encrypted(host: Instance) -> bool:
    return any(listener.encrypts for listener in host.listeners() if listener.port == 25)
