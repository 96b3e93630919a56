# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Who sent and received in the clear, read from a mail log: as RV(sent) and so on of tls_log_info.

A line is Postfix's by what stands before the first bracket: a stamp, a host and a syslog tag, and nothing else. What a stranger can say comes after.
"""
from __future__ import annotations

import re
import time
from typing import Callable, Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit import sources
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.received import Received
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.sent import Sent
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.settings import Settings
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.stamps import Clock
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.summary import summary
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.tally import ENCRYPTED, Silence, Table
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import printable
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites, versions
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES, Profile

#: Seconds before the time that is asked for, in which a connection of then may have begun.
MARGIN = 3600
_HALF_A_YEAR = 180 * 86400

#: Characters: more than stand before a process number, and more than Postfix writes in a line.
_LONGEST_HEAD = 400
_LONGEST = 2500
#: Characters of a domain's name (RFC 1035).
_LONGEST_NAME = 255

#: The floors to judge by.
FLOORS = ("TLSv1.2", "TLSv1.3")
_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f.:]+\]")


def audit(run: Run, config_directory: str, days: float, files: list | None, min_messages: int) -> dict:
    """What tls_log_info returns. Raises PostfixTlsError where days is no time, or, without files, where there is no Postfix that can be read."""
    if not 0 < days < float("inf"):
        raise PostfixTlsError("days", days, "it is no time to look back", "Write a number above 0, as in 7 or 0.5.")
    since, settings = max(0.0, time.time() - days * 86400), None
    if files:
        found, errors = sources.named(files, 0)
    else:
        settings = Settings(Instance.read(run, config_directory))
        found, errors = sources.of_this_host(config_directory, max(0.0, since - MARGIN))
    audited = Audit(since, settings)
    for source in found:
        audited.read(source)
        errors += [source.error] if source.error else []
    told = dict({"files": [source.name for source in found], "errors": list(map(printable, errors))}, **audited.result(min_messages))
    return dict(told, summary=summary(told))


class Audit:
    """Takes the lines of any number of sources, in their order. since: seconds since 1970, from when messages count. settings: of this host, or None."""

    def __init__(self, since: float, settings: Settings | None = None) -> None:
        self._since = since
        self._settings = settings
        self.lines = 0
        self._forget()

    def _forget(self) -> None:
        self._silence = Silence(self._settings.telling) if self._settings else Silence()
        self.sent = Sent(self._silence, self._settings.inner) if self._settings else Sent(self._silence)
        self.received = Received(self._silence, self._settings.wrapped if self._settings else None)
        self.first: float | None = None
        self.last: float | None = None

    def read(self, source: sources.Source) -> None:
        """Raises nothing of what is wrong with the source: C(source.error) tells."""
        clock = Clock(source.last)
        programs = self._programs()
        earliest, previous = self._since - MARGIN, 0.0
        for line in source.lines():
            self.lines += 1
            end = line.find(b"[", 0, _LONGEST_HEAD)
            act = programs.get(line[line.rfind(b"/", 0, end) + 1:end]) if end > 0 else None
            if act is None:
                continue
            told, who = clock.split(line[:end])
            close = line.find(b"]: ", end, end + 16)
            if told is None or close < 0 or who.count(b" ") != 1 or not line[end + 1:close].isdigit():
                continue
            if told < previous - _HALF_A_YEAR:  # a log without years that covers more than one: what was taken for this year was the one before
                self._forget()
                programs = self._programs()
            previous = told
            if told < earliest:
                continue
            if self.first is None:
                self.first = self.sent.begins = told
            self.last = told
            act(who, line[end + 1:close], line[close + 3:_LONGEST].rstrip(), told, told >= self._since)

    def result(self, min_messages: int) -> dict:
        """As RV(sent) and so on of tls_log_info. min_messages: of a domain that is to be a candidate."""
        self.received.end(self.last or 0.0)
        silent = self._silence.end()
        sent, received = self.sent, self.received
        covered = self.last is not None and self.last >= self._since
        return {
            "since": _moment(max(self.first, self._since)) if covered else None,
            "until": _moment(self.last) if covered else None,
            "lines": self.lines,
            "sent": _listed(sent.domains, "domain", "relays", trust=True),
            "received": _listed(received.domains, "domain", "clients"),
            "inner": _listed(sent.inner, "relay", None, trust=True),
            "clients": _listed(received.clients, "client", "services"),
            "submitted": _listed(received.submitted, "service", None),
            "totals": {"sent": sent.total.counts, "received": received.total.counts, "submitted": received.users.counts},
            "left_out": {
                "loopback_sent": sent.loopback, "loopback_received": received.loopback, "unparsed": sent.unparsed,
                "beyond": sum(table.beyond for table in (sent.domains, received.domains, received.clients, received.submitted)),
            },
            "floor": {floor: _plain(self._cut_off(_reaching(floor))) for floor in FLOORS},
            "profiles": {name: self._cut_off(_allowing(profile)) for name, profile in PROFILES.items()},
            "candidates": self._candidates(min_messages),
            "silent": [_text(tag) for tag in silent],
            "notes": list(self._notes(silent)),
        }

    def _programs(self) -> dict:
        sent, received = self.sent, self.received
        return {
            b"smtp": sent.line, b"smtpd": received.smtpd, b"qmgr": self._qmgr, b"nqmgr": self._qmgr,
            b"pickup": received.other, b"bounce": received.other, b"master": self._master,
        }

    def _master(self, who: bytes, _pid: bytes, text: bytes, _told: float, _counted: bool) -> None:
        if text.startswith((b"daemon started", b"reload --")):
            self._silence.started(who.rpartition(b"/")[0])

    def _qmgr(self, *line: object) -> None:
        self.sent.active(*line)
        self.received.qmgr(*line)

    def _cut_off(self, kept: Callable[[bytes, bytes], bool]) -> dict:
        """Who used what is not kept. kept: (protocol, cipher) -> whether it would be."""
        tables = (("sent", self.sent.domains, "domain"), ("received", self.received.clients, "client"), ("submitted", self.received.submitted, "service"))
        return {name: _without(table, key, kept) for name, table, key in tables}

    def _candidates(self, min_messages: int) -> list:
        if self._settings and self._settings.relayhost:
            return []
        always = sorted(
            _text(name) for name, entry in self.sent.domains.filled() if entry.messages == entry.counts[ENCRYPTED] >= max(1, min_messages)
        )
        return [{"destination": name, "level": "encrypt"} for name in always if _DOMAIN.fullmatch(name)]

    def _notes(self, silent: list) -> Iterator[str]:
        for tag in silent:
            yield (
                "%s told of no handshake, and whether it would have is not known of all that time; what it sent so is unknown."
                " With smtp_tls_loglevel = 1 it tells." % _text(tag)
            )
        if self._settings and self._settings.relayhost:
            yield "relayhost is %s: a policy entry is looked up by that, not by the recipient's domain." % self._settings.relayhost
        if self._settings and self._settings.transport_maps:
            yield "Where transport_maps names a next hop, a policy entry is looked up by that, not by the recipient's domain."


def _listed(table: Table, name: str, beside: str | None, trust: bool = False) -> list:
    told = []
    for key, entry in table.first():
        row: dict = {name: _text(key) or None, "messages": entry.messages, **entry.counts}
        if trust:
            row["trust"] = _counted(entry.trust)
        row.update(protocols=_counted(entry.protocols), ciphers=_counted(entry.ciphers))
        if beside:
            row[beside] = sorted(map(_text, entry.beside))
        told.append(row)
    return told


def _reaching(floor: str) -> Callable[[bytes, bytes], bool]:
    older = {name.encode() for name in versions.below(floor)}
    return lambda protocol, _cipher: protocol not in older


def _allowing(profile: Profile) -> Callable[[bytes, bytes], bool]:
    """What is not known by its name, as a suite of a library to come, is not held against a peer."""
    reaching = _reaching(profile.floor)

    def kept(protocol: bytes, cipher: bytes) -> bool:
        suite = suites.BY_NAME.get(cipher.decode("ascii", "replace"))
        return reaching(protocol, cipher) and (suite is None or suite.code in profile.suites)
    return kept


def _without(table: Table, key: str, kept: Callable[[bytes, bytes], bool]) -> list:
    """Rows of those who used what is not kept, with most of it first, and what that was."""
    rows = []
    for name, entry in table.items():
        used = {b" ".join(filter(None, pair)): messages for pair, messages in entry.tls.items() if not kept(*pair)}
        if used:
            rows.append({key: _text(name) or None, "messages": sum(used.values()), "used": _counted(used)})
    return sorted(rows, key=lambda row: (-row["messages"], row[key] or ""))


def _plain(cut: dict) -> dict:
    return {name: [{key: value for key, value in row.items() if key != "used"} for row in rows] for name, rows in cut.items()}


def _counted(words: dict) -> dict:
    return {_text(word): number for word, number in sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))}


def _text(name: bytes) -> str:
    """Names come from the network: cut, and made printable."""
    return printable(name.decode("utf-8", "replace"))[:_LONGEST_NAME]


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
