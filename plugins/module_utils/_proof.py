# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Proof on the host itself: what Postfix reads back of its configuration, and what its listeners answer to a peer."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Named, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, Listener, Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._promise import promised
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import lines
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.apply import until

#: Enough to refute a change where no profile is to be proven.
_DEPTH = "versions"
#: What listeners with and without mandatory TLS have in common, by the profile for those without.
_AT_EVERY_LEVEL = ("groups", "dh_size", "signatures", "key", "certificate_signature", "server_order")


@dataclass
class Proof:
    """read: the instance as it is configured now. ca_file and timeout as in Look (seconds, one listener's dialogue).

    detailed: observe so much that a difference can be told.
    """

    read: Callable[[], Instance]
    run: Run
    proposal: Proposal
    ca_file: str | None
    timeout: float
    detailed: bool = False

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

        Raises PostfixTlsError on a bad one.

        A listener that is not as it should be is looked at again for a moment: Postfix may be just coming up.
        """
        listeners = self.read().listeners()
        encrypting = [listener for listener in listeners if listener.encrypts][:1]
        asked = [(listener, None) for listener in listeners] + [(listener, named) for listener in encrypting for named in self.proposal.sni]
        results: list = [None] * len(asked)

        def look() -> list:
            for position, (listener, named) in enumerate(asked):
                if results[position] is None or _bad(results[position]):
                    results[position] = self._probe(listener, named)
            return results

        seen = until(look, lambda done: not any(_bad(result) for result in done))
        for (_listener, named), result in zip(asked, seen):
            for finding in _bad(result):
                raise PostfixTlsError(
                    "%s:%d%s" % (result["target"]["host"], result["target"]["port"], " for %s" % named.name if named else ""), finding["check"],
                    "observed %s, expected %s" % (finding["observed"], finding["expected"]),
                    "Fix: %s." % (finding["fix"] or "the log says why"),
                    results=seen,
                )
        return seen

    def observed(self) -> dict:
        """{service: what a peer sees there, in lines}, of the listeners that answer at all."""
        seen = {}
        for listener in self.read().listeners():
            depth = self._depth(listener) if self.detailed else "handshake"
            facts = probe(self._target(listener), Look(timeout=self.timeout, ca_file=self.ca_file, depth=depth))
            if facts["reachable"]:
                seen[listener.service] = lines(facts)
        return seen

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
        """What a peer may expect of public port 25, as the expect option of starttls_verify; empty where there is none."""
        for listener in self.read().listeners():
            if listener.port == 25 and listener.public:
                expected = self._expectation(listener)
                return {
                    "starttls": expected.starttls,
                    "floor": expected.floor,
                    "trust": expected.trust,
                    "name": expected.name,
                    "deployed": expected.deployed,
                }
        return {}

    def _target(self, listener: Listener, name: str | None = None) -> Target:
        return Target(host=listener.address, port=listener.port, protocol=listener.protocol, server_name=name or self.proposal.names[0])

    def _probe(self, listener: Listener, named: Named | None = None) -> dict:
        expected = _of_name(named) if named else self._expectation(listener)
        look = Look(timeout=self.timeout, ca_file=self.ca_file, depth=expected.depth, **expected.questions())
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


def _of_name(named: Named) -> Expectation:
    return Expectation(depth="handshake", starttls=True, trust=named.trusted, name=named.trusted, deployed=named.digests)


def _bad(result: dict) -> list:
    # What an old Python can't see of a chain that TLS 1.3 alone shows, the handshake in memory has proven before it was written.
    unseen = ("chain_order", "unknown")
    return [finding for finding in result["findings"] if finding["verdict"] not in ("pass", "note") and (finding["check"], finding["verdict"]) != unseen]
