# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Proof on the host itself: what Postfix reads back of its configuration, and what its listeners answer to a peer."""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Named, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, Listener, Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _sorting
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._promise import promised
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._sorting import Asked, Sorted
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import obstacles
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import endpoint
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import lines
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.apply import until

#: Enough to refute a change where no profile is to be proven.
_DEPTH = "versions"
#: What listeners with and without mandatory TLS have in common, by the profile for those without.
_AT_EVERY_LEVEL = ("groups", "dh_size", "signatures", "key", "certificate_signature", "server_order")

#: What a table decides that is not ours; the rest is its listener's.
_OF_A_TABLE = ("reachable", "handshake", "trust", "name", "validity")

#: How much more time a listener gets that answered and was not done in time, once.
_PATIENCE = 3


@dataclass
class _Look:
    """At one listener, or at a name that it serves. facts, found: of the last one; patient: whether it had more time."""

    listener: Listener
    named: Named | None
    facts: dict | None = None
    found: Sorted | None = None
    patient: bool = False

    @property
    def key(self) -> tuple:
        return self.listener.service, self.named and self.named.name

    @property
    def found_there(self) -> bool:
        """Whether a table has it that this run does not ask for."""
        return self.named is not None and self.named.trusted is None

    @property
    def hasty(self) -> bool:
        """Whether more time may be all it needs, and it has not had that yet."""
        return bool(self.found and self.found.obstacle and self.found.obstacle.parameter == "timeout" and not self.patient)

    @property
    def unsettled(self) -> bool:
        return self.found is None or self.hasty or bool(self.found.refuting)


@dataclass
class Proof:
    """read: the instance as it is configured now. ca_file and timeout as in Look (seconds, one listener's dialogue).

    detailed: observe so much that a difference can be told. strict: what can't be proven from here refutes the change, too.
    logged: what Postfix logged since. findings: of on_the_wire, about what does not refute it.
    """

    read: Callable[[], Instance]
    run: Run
    proposal: Proposal
    ca_file: str | None
    timeout: float
    detailed: bool = False
    strict: bool = False
    logged: Callable[[], list] = list
    findings: list = field(default_factory=list)
    _before: dict | None = None

    def of_files(self) -> None:
        """What was written, in Postfix's own eyes: C(postconf) for parameters, C(postmap -q) for tables of ours."""
        host = self.read()
        for name, value in self.proposal.expected.items():
            seen = host.effective(name)
            if "$" not in value and not values.same(name, seen, value):
                raise PostfixTlsError(name, value, "Postfix reads %r instead" % seen, "Look for a second definition of it.")
        self._overrides(host)
        for table, answers in self.proposal.tables.items():
            status, out, err = self.run(["postmap", "-c", host.directory, "-q", "-", table], stdin="\n".join(answers) + "\n")
            seen_answers = dict(line.split("\t", 1) for line in out.split("\n") if "\t" in line)
            for key, answer in answers.items():
                if seen_answers.get(key) != answer:
                    raise PostfixTlsError(
                        "%s in %s" % (key, table), answer, "postmap -q answers %r (status %d) %s" % (seen_answers.get(key), status, err.strip()),
                        "Report this, with the entry.",
                    )

    def _overrides(self, host: Instance) -> None:
        if not self.proposal.overrides:
            return
        _status, out, _err = self.run(["postconf", "-c", host.directory, "-P"])
        said = dict(line.split(" = ", 1) for line in out.splitlines() if " = " in line)
        for key, wanted in self.proposal.overrides.items():
            for name, value in wanted.items():
                seen = said.get("%s/%s" % (key, name), "")
                if "$" not in value and not values.same(name, seen, value):
                    item = "master.cf: %s: %s" % (key, name)
                    raise PostfixTlsError(item, value, "Postfix reads %r instead" % seen, "Look for a second service of that name.")

    def on_the_wire(self) -> list:
        """Every listener probed and judged, and one for each name of its own; results as RV(results) of starttls_verify.

        Raises PostfixTlsError on a bad one. What can't be seen from here, and what was so before, stands in findings.

        A listener that is not as it should be is looked at again for a moment: Postfix may be just coming up.
        """
        listeners = self.read().listeners()
        looks = [_Look(listener, None) for listener in listeners] + _named(listeners, self.proposal.sni)

        def look() -> list:
            for one in looks:
                if one.unsettled:
                    one.patient = one.hasty
                    self._look_at(one)
            return looks

        until(look, lambda done: not any(one.unsettled for one in done))
        results = [one.facts for one in looks]
        self._keep_before(looks)
        self.findings = [note for one in looks for note in _sorting.notes(one.facts, one.found, one.listener, one.named and one.named.name)]
        self.findings += [_behind_a_proxy(listener) for listener in listeners if listener.port == 25 and listener.public and listener.proxied]
        for one in looks:
            for finding in one.found.refuting + (one.found.unproven if self.strict else []):
                raise _refuted(one, finding, results)
        return results

    def _look_at(self, one: _Look) -> None:
        """Once more; what refuted the change stays so where the next look meets a limit, and sees nothing."""
        facts, found = one.facts, one.found
        one.facts = self._probe(one.listener, one.named, one.patient)
        one.found = self._sorted(one)
        if found and found.refuting and one.found.unproven:
            one.facts, one.found = facts, found

    def _sorted(self, one: _Look) -> Sorted:
        before = (self._before or {}).get(one.key)
        if self._before is None and one.named is None and self._served():
            before = one.facts  # nothing is written, so all that this run does not ask for was so before
        if one.found_there and not (before and before["reachable"]):
            before = one.facts  # nobody saw it before, and this run does not ask for it
        busy = not one.facts["reachable"] and any(obstacles.BUSY.pattern.search(line) for line in self.logged())
        return _sorting.sort(one.facts, one.listener, self._asked(one.listener, one.named), before, busy)

    def _served(self) -> bool:
        """Whether there is nothing to write, and Postfix was started since its files were last written."""
        host = self.read()
        paths = [os.path.join(host.directory, name) for name in ("main.cf", "master.cf")]
        try:
            started = os.stat(os.path.join(host.effective("queue_directory"), "pid", "master.pid")).st_mtime
            return not self.proposal.plan.changes and all(os.stat(path).st_mtime < started for path in paths)
        except OSError:
            return False

    def foreseen(self) -> None:
        """For check mode. Raises PostfixTlsError for what can't be proven from here even now, where that is to refute a change."""
        for listener in self.read().listeners() if self.strict else ():
            one = _Look(listener, None, self._probe(listener))
            one.found = self._sorted(one)
            for finding in one.found.unproven:
                raise _refuted(one, finding, [one.facts])

    def _asked(self, listener: Listener, named: Named | None) -> Asked:
        """What this change promises of it, be it written by it or found as it should be."""
        own = self.proposal.overrides.get("%s/inet" % listener.service, ())
        parameters = (frozenset(self.proposal.expected).union(self.proposal.kept) - listener.overridden).union(own)
        if named:
            return Asked(parameters, True, True) if named.trusted is not None else Asked(frozenset(), False, False)
        ours = set(self.proposal.trusted) | {change.path for change in self.proposal.plan.changes}
        ours.update(self.proposal.expected.get("smtpd_tls_chain_files", "").replace(",", " ").split())
        return Asked(parameters, any(path in ours for path, _key in listener.chain_files), self._has_profile(listener))

    def observed(self) -> dict:
        """{service: what a peer sees there, in lines}, of the listeners that answer at all.

        The first look is the state before a change. Where a later one meets a limit, it tells what was seen then.
        """
        listeners = self.read().listeners()
        looks = [self._observe(listener) for listener in listeners]
        limited = [not facts["reachable"] and obstacles.obstacle(facts["error"]) for facts in looks]
        seen = {listener.service: lines(facts) for listener, facts in zip(listeners, looks) if facts["reachable"]}
        for listener, hidden in zip(listeners, limited):
            earlier = (self._before or {}).get((listener.service, None))
            if hidden and earlier and earlier["reachable"]:
                seen[listener.service] = lines(earlier)
        if self._before is None:
            found = [one for one in _named(listeners, self.proposal.sni) if one.found_there]
            for one in found:
                one.facts = self._probe(one.listener, one.named)
            self._keep_before([_Look(listener, None, facts) for listener, facts in zip(listeners, looks)] + found)
        return seen

    def _observe(self, listener: Listener) -> dict:
        depth = self._depth(listener) if self.detailed else "handshake"
        facts = probe(self._target(listener), Look(timeout=self.timeout, ca_file=self.ca_file, depth=depth))
        facts["findings"] = judge(facts, Expectation(depth="handshake", **promised(listener, trusted=True)))
        return facts

    def _keep_before(self, looks: list) -> None:
        if self._before is None:
            self._before = {one.key: one.facts for one in looks if one.named is None or one.found_there}

    def difference(self, before: dict, after: list) -> list:
        """What peers see since the change, in Ansible's form of a diff. before: of observed. after: of on_the_wire."""
        entries = []
        for listener, facts in zip(self.read().listeners(), after):
            was, now = before.get(listener.service, ()), lines(facts)
            if self.detailed and was != now:
                header = "what peers see at %s" % listener.service
                entries.append({
                    "before_header": header, "after_header": header, "before": "".join(line + "\n" for line in was),
                    "after": "".join(line + "\n" for line in now),
                })
        return entries

    def promise(self) -> dict:
        """What a peer may expect of public port 25, as the expect option of starttls_verify; empty where there is none, or peers come by a proxy."""
        for listener in self.read().listeners():
            if listener.port == 25 and listener.public and (self.strict or not listener.proxied):
                expected = self._expectation(listener)
                return {
                    "starttls": expected.starttls,
                    "floor": expected.floor,
                    "trust": expected.trust,
                    "name": expected.name,
                    "deployed": expected.deployed,
                    **({} if listener.auth_only else {"auth_only": False}),
                }
        return {}

    def _target(self, listener: Listener, name: str | None = None) -> Target:
        return Target(
            host=listener.address, port=listener.port, protocol=listener.protocol, server_name=name or self.proposal.names[0], proxied=listener.proxied,
        )

    def _probe(self, listener: Listener, named: Named | None = None, patiently: bool = False) -> dict:
        expected = _of_name(named) if named else self._expectation(listener)
        look = Look(timeout=self.timeout * (_PATIENCE if patiently else 1), ca_file=self.ca_file, depth=expected.depth, **expected.questions())
        facts = probe(self._target(listener, named and named.name), look)
        facts["findings"] = judge(facts, expected)
        return facts

    def _expectation(self, listener: Listener) -> Expectation:
        trusted = bool(listener.chain_files) and all(path in self.proposal.trusted for path, _key in listener.chain_files)
        return Expectation(depth=self._depth(listener), **self._judged_by(listener), **promised(listener, trusted))

    def _judged_by(self, listener: Listener) -> dict:
        """Arguments of Expectation: the profile that was rendered for listeners of that kind, and what no parameter says of it is not judged."""
        if not self._has_profile(listener):
            return {}
        strict = listener.protocol == "smtps" or listener.level == "encrypt"
        profile = self.proposal.mandatory if strict else self.proposal.profile
        return {"profile": profile, "checks": None if profile == self.proposal.profile else [name for name in CHECK_NAMES if name not in _AT_EVERY_LEVEL]}

    def _depth(self, listener: Listener) -> str:
        return "standard" if self._has_profile(listener) else _DEPTH

    def _has_profile(self, listener: Listener) -> bool:
        """Whether the profile that was written holds there: a service's own override of something in it is for the service to answer for."""
        return bool(self.proposal.profile) and listener.encrypts and self.proposal.decides.isdisjoint(listener.overridden)


def _named(listeners: list, sni: list) -> list:
    """[_Look] at each name, at the first listener that encrypts: the table is the same for all."""
    return [_Look(listener, named) for listener in [listener for listener in listeners if listener.encrypts][:1] for named in sni]


def _of_name(named: Named) -> Expectation:
    trusted = named.trusted is not False
    checks = None if named.digests else _OF_A_TABLE
    return Expectation(depth="handshake", starttls=True, trust=trusted, name=trusted, deployed=named.digests, checks=checks)


def _behind_a_proxy(listener: Listener) -> dict:
    return {
        "check": "unproven", "verdict": "note",
        "observed": "%s is proven from the host itself alone: peers come to it by a proxy, whose line (PROXY protocol) a look from outside does not send"
        % endpoint(listener.address, listener.port),
        "expected": "what peers see, proven from outside", "fix": "name the proxy's own address, which peers know, in starttls_verify_targets",
        "reference": "postconf(5) smtpd_upstream_proxy_protocol, postscreen_upstream_proxy_protocol",
    }


def _refuted(one: _Look, finding: dict, results: list) -> PostfixTlsError:
    where = endpoint(one.facts["target"]["host"], one.facts["target"]["port"])
    unproven = "It can't be proven from here, which %s decides; unproven: tell takes that. "
    return PostfixTlsError(
        "%s%s" % (where, " for %s" % one.named.name if one.named else ""), finding["check"],
        "observed %s, expected %s" % (finding["observed"], finding["expected"]),
        "%sFix: %s." % (unproven % one.found.obstacle.parameter if finding in one.found.unproven else "", finding["fix"] or "the log says why"),
        results=results,
    )
