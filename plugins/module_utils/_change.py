# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""One change of one instance, from what is asked for to what came of it: for the module, and for a renewal without Ansible."""
from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from typing import ContextManager, Sequence

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._intent import propose
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import startable
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import runner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.service import Service
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._proof import Proof
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import renewal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files, leftovers, places
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.apply import RENEWAL, Outcome, Transaction
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.editing import EditLock
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.kept import Kept, Outdated, Undone, summary_of
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.plan import FileChange, Plan
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

#: What is so after most errors.
_NOTHING = "Nothing was changed."

#: How often a change is planned anew because somebody else has written meanwhile.
_TRIES = 5


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
        self._undone = Undone()
        self._summary: list = []
        self._so = _NOTHING
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
        """The module's result. Raises PostfixTlsError where it does not hold, which says what is so now."""
        try:
            return self._judged()
        except PostfixTlsError as error:
            if "restored" in error.details or _NOTHING[1:-1] in str(error):
                raise
            raise PostfixTlsError(error.item, error.value, error.reason, "%s %s" % (error.remedy, self._so), **error.details) from error

    def _judged(self) -> dict:
        self._judge_paths()
        if self.params["state"] in ("listed", "forgotten"):
            return self._told_of_kept()
        if self.predict:
            return self._predicted(self.read())
        leftovers.discard()
        with self._editing():  # under others' edits, Postfix's own programs would not end reading
            self.read()
        with self.kept.locked(editing=self._editing) as taken_back, self._alone(), self._editing() as lock:
            return self._result(taken_back, lock)

    def _result(self, taken_back: Sequence, lock: EditLock) -> dict:
        if taken_back:
            self._so = "What a killed run had left is put back; nothing else was changed."
        action = self._action()
        host, proposal, proof, outcome = self._carried_out(lock)
        self._so = "The change itself is made, and holds." if outcome.changed else self._so
        if self.params["state"] == "restored" or proposal.renewal:
            proposal.plan.findings += renewal.settle(self.run, self.params["config_directory"])
        if self.params["state"] == "restored":
            proposal.receiving = _receives_encrypted(self.read())
        self._note(proposal, action != self.params["action"], not outcome.changed and action != "none")
        told = self._told(host, proposal, taken_back)
        told["findings"] = told["findings"] + proof.findings
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

    def _carried_out(self, lock: EditLock) -> tuple:
        """(host, proposal, proof, outcome). Where somebody writes between plan and writing, by no lock, it is planned again."""
        for left in range(_TRIES - 1, -1, -1):
            host = self.read()  # only now: another run, or a killed one that is mended, may have left it otherwise
            proposal = self.stopwatch.timed("plan", self._reviewed)(host)
            proof = self._proof(proposal)
            try:
                return host, proposal, proof, self._outcome(proposal.plan, proof, lock)
            except Outdated:
                self._instance = None
                if not left:
                    raise
        raise AssertionError("a try returns or raises")

    def _outcome(self, plan: Plan, proof: Proof, lock: EditLock) -> Outcome:
        """Where only programs of ours are of another release, Postfix is proven as it is: it has nothing to do with them."""
        transaction = self._transaction(proof, lock)
        self._so = self._so if plan.changes else "No file was changed."  # Postfix may have been restarted
        if not _upgrades(plan) or self.kept.pending.exists():
            return transaction.carry_out(plan)
        replace(transaction, action="none", kind=RENEWAL, written=nullcontext).carry_out(plan)
        return replace(transaction.carry_out(Plan()), changed=True)

    def _editing(self) -> EditLock:
        return EditLock(self.params["config_directory"])

    def _alone(self) -> ContextManager:
        """The renewal's program and units are all instances'."""
        concerned = self.params["state"] == "restored" or self.params.get("renewal") is not None
        return self.kept.alone() if self.kind != RENEWAL and concerned else nullcontext()

    def _judge_paths(self) -> None:
        """Raises PostfixTlsError for a path that no line of main.cf, unit or terminal could hold."""
        places.judge("config_directory", self.params["config_directory"])
        policy, sni = self.params.get("policy") or {}, self.params.get("sni") or ()
        if policy.get("path"):
            places.judge("policy.path", policy["path"])
        for chain in [*self.params["chains"], *(chain for entry in sni for chain in entry["chains"])]:
            if chain.get("directory"):
                places.judge("chain %s: directory" % (chain.get("name") or "of sni"), chain["directory"])

    def _reviewed(self, host: Instance) -> Proposal:
        """What is proposed, once it is known that each of its files can be written. Raises PostfixTlsError."""
        proposal = self._propose(host)
        proposal.plan.findings += places.review(proposal.plan.changes)
        return proposal

    def _told_of_kept(self) -> dict:
        """The generations there are, once those to be forgotten are gone."""
        upto, gone = self.params["transaction"], []
        if self.params["state"] == "forgotten" and self.predict:
            gone = [generation.id for generation in self.kept.to_forget(upto)]
        elif self.params["state"] == "forgotten":
            with self.kept.locked():
                gone = self.kept.forget(upto)
        left = [row for row in self.kept.reports() if row["id"] not in gone]
        summary = ["%s is forgotten" % name for name in gone] + [_in_one_line(row) for row in left]
        return {"changed": bool(gone), "generations": left, "summary": summary or ["no change is kept here"], "findings": [], "plan": [], "diff": [],
                "action_taken": "none"}

    def _predicted(self, host: Instance) -> dict:
        proposal = self._reviewed(host)
        if self._action() != "none":
            self._proof(proposal).foreseen()
        resumed = self.kept.pending.exists()
        if resumed:
            proposal.plan.findings.append(_INTERRUPTED)
        action, running = self._action(), self._service.running()
        changed = bool(proposal.plan.changes) or resumed or (action != "none" and not running)
        live = changed and action != "none" and (resumed or not running or not _upgrades(proposal.plan))
        if live:
            self._ready(proposal)
        self._note(proposal, action != self.params["action"], not changed and action != "none")
        return dict(
            self._told(host, proposal),
            changed=changed,
            action_taken=action if live else "none",
            running=running or live,
            transaction="",
            resumed=resumed,
        )

    def _proof(self, proposal: Proposal) -> Proof:
        strict = self.verify.get("unproven") == "fail"  # what is kept for a renewal does not say
        return Proof(self.read, self.run, proposal, self.verify["ca_file"], self.verify["timeout"], self.diff, strict)

    def _told(self, host: Instance, proposal: Proposal, taken_back: Sequence = ()) -> dict:
        whole = Plan([*taken_back, *proposal.plan.changes])
        return {
            "plan": whole.summary(),
            "diff": whole.diff(),
            "findings": proposal.plan.findings,
            "summary": [*self._summary, *_stays(self._undone)] if self.params["state"] == "restored" else [],
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
            defaults=self.params["defaults"],
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
        """What our changes have written is undone, and what others wrote since stays: of a change that was killed, else of the last committed one,
        unless it has been restored already; by its id, of any that is kept, and all after it.

        Raises PostfixTlsError where both wrote on the same line, unless ours goes before.
        """
        ours = self.params["conflicts"] == "ours"
        undone, generations = Undone(), self._to_undo()
        for generation in generations:
            generation.undo(undone, ours, renewal.shared())
        self._undo_shared(generations, undone)
        if undone.conflicts and not ours:
            raise PostfixTlsError(
                "state", "restored", "others have written since the change where the change wrote, too: %s" % "; ".join(undone.conflicts),
                "Settle these by hand, or have the state before the change back all the same with conflicts: ours (for the playbook rollback, "
                "-e tls_rollback_conflicts=ours); nothing was changed.",
            )
        plan = Plan(undone.changes())
        asked = self.params["transaction"]
        if asked and not generations:
            plan.findings.append(_not_kept(asked, [generation.id for generation in self.kept.generations()]))
        self._undone = undone
        self._summary = [line for change in plan.changes for line in summary_of(change)] or ["there is nothing to put back"]
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
        wanted = wanted or not os.path.isdir(self.read().effective("queue_directory"))  # without its queue nobody can tell
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

    def _to_undo(self) -> list:
        """Generations, the newest first."""
        pending, previous, asked = self.kept.pending, self.kept.previous, self.params["transaction"]
        if asked:
            kept = [generation.id for generation in self.kept.generations()]
            return self.kept.back_to(asked) if asked in kept else []
        if pending.exists():
            return [pending]
        return [previous] if previous.exists() and previous.kind == "change" else []

    def _undo_shared(self, generations: list, undone: Undone) -> None:
        """What all instances share is there as long as one needs it, and is never of an older release than it is now."""
        request = os.path.join(self.params["config_directory"], renewal.REQUEST)
        if request not in undone.after and not any(row["path"] in renewal.shared() for generation in generations for row in generation.rows()):
            return
        here = (undone.after.get(request) or files.read(request)).content
        needed = {} if here is None else renewal.shared_files(self.params["config_directory"], here)
        if here is None and renewal.needed_elsewhere(self.run, self.params["config_directory"]):
            return
        for path in renewal.shared():
            there = files.read(path).content is not None
            if there is not (path in needed) and (not there or here is None):
                undone.after[path] = needed.get(path, FileState(None))

    def _transaction(self, proof: Proof, lock: EditLock) -> Transaction:
        service = self._service
        service.make_live = self.stopwatch.timed("live", service.make_live)
        service.wait = self.stopwatch.timed("live", service.wait)
        proof.logged = service.log
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
            written=lock.written,
            restoring=lock.again,
        )


def _receives_encrypted(host: Instance) -> bool:
    return any(listener.encrypts for listener in host.listeners() if listener.port == 25)


def _upgrades(plan: Plan) -> bool:
    """Whether only our own programs become those of another release, for a renewal that stays as it is."""
    def is_program(change: FileChange) -> bool:
        requested = change.verb == "change" and change.path.endswith("/" + renewal.REQUEST)
        return requested or change.path in renewal.shared() or renewal.is_unit(change.path)

    return bool(plan.changes) and all(map(is_program, plan.changes))


def _not_kept(asked: str, kept: list) -> dict:
    return {
        "check": "transaction",
        "verdict": "note",
        "observed": "the change %s is not kept here, so nothing was put back" % asked,
        "expected": "the id of a change that is kept: %s" % (", ".join(kept) or "there is none"),
        "fix": "name one of these, or none for the last change",
        "reference": "",
    }


def _stays(undone: Undone) -> list:
    return ["%s: as somebody wrote it since then, and stays" % line for line in dict.fromkeys(undone.stays)]


def _in_one_line(report: dict) -> str:
    said = "%s, %s by %s" % (report["time"], report["kind"], report["who"] or "an earlier release")
    return "%s (%s%s): %s" % (report["id"], said, ", holds a key" if report["holds_key"] else "", "; ".join(report["changes"]))
