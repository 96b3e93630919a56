# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What left the host by smtp(8), and how, in the words of its log.

A process serves one connection at a time. It tells of a handshake before the deliveries that go over it; where a connection is used again,
anew (C(TLS connection reused)), by the name under which it was opened: another name of that address may have it now. With TLS, only
tlsproxy(8) can do that, and then both are told at any C(smtp_tls_loglevel). Postfix 3.11 tells with each delivery (postconf(5)
smtp_log_tls_feature_status), except of a connection that is used again: there it writes C(tls=may?), encrypted or not.
Measured on 3.5, 3.7, 3.10 and 3.11.
"""
from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.inner import InnerHops
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.tally import PLAINTEXT, ENCRYPTED, UNKNOWN, Entry, Silence, Table, Tls

_TLS = re.compile(rb"(Anonymous|Untrusted|Trusted|Verified) TLS connection (established|reused) to (\S+): ((?:TLS|SSL)v[0-9.]+) with cipher (\S+)")
_ADDRESS = rb'<((?:"(?:[^"\\]|\\.)*"|[^\s"<>])*)>'
_DELIVERY = re.compile(
    rb"([0-9A-Za-z]+): to=" + _ADDRESS + rb", (?:orig_to=" + _ADDRESS + rb", )?relay=(\S+), (?:conn_use=([0-9]+), )?delay=([0-9.]+),"
    rb" delays=([0-9.]+/[0-9.]+/([0-9.]+))/([0-9.]+), (?:tls=(\S+), )?dsn=[0-9.]+, status=([a-z]+) "
)
_RELAY = re.compile(rb"([^\s\[]*)\[([0-9a-f]*[.:][0-9a-f.:]*)\]:([0-9]+)")
#: As Postfix and what stands behind a filter answer; the filter may have words of its own around it.
_QUEUED_AS = re.compile(rb"queued as ([0-9A-Za-z]{6,20})\b")
_ACTIVE = re.compile(rb"([0-9A-Za-z]+): from=<")
_BROKEN = re.compile(rb"[0-9A-Za-z]+: (?:lost connection with|conversation with|Cannot start TLS)")

#: The levels of postconf(5) smtp_tls_security_level at which nothing is delivered without TLS.
_MANDATORY = (b"encrypt", b"dane-only", b"fingerprint", b"verify", b"secure", b"halfdane", b"half-dane")

#: Seconds after a log's beginning in which a delivery's connection may have begun before it.
_BEGINNING = 1800
_MOST_PROCESSES = 5000
#: Messages of which it is remembered when they came, and what a server called them.
_MOST_MESSAGES = 20000


class _Process:
    """tls: (relay as C(_reached) has it, Tls) of a handshake that no delivery has gone over yet. delivery: what tells one transmission from the next."""

    __slots__ = ("tls", "delivery", "how", "used", "waits", "names")

    def __init__(self) -> None:
        self.tls: tuple | None = None
        self.delivery: tuple | None = None
        self.how = UNKNOWN
        self.used: Tls | None = None
        self.waits = False
        self.names: set = set()


class _Answered(NamedTuple):
    """A delivery that a server took under a name of its own. came: when the message did, in seconds since 1970. entries: where it is counted."""

    came: float
    who: bytes
    entries: list
    how: str
    tls: Tls | None
    relay: bytes


class Sent:
    """domains: by recipient's domain. total: each transmission once. loopback: transmissions to this host itself, and over sockets of its own.

    inner: transmissions to inner hops, by relay. unparsed: deliveries whose line can't be understood. begins: when the log does, in
    seconds since 1970.

    A filter that hands a message back answers with the queue id that this host gave it the second time. So a delivery whose answer names a message
    that came to this host after it was an inner hop, whatever the configuration says.
    """

    def __init__(self, silence: Silence, inner: InnerHops = InnerHops()) -> None:
        self.domains = Table()
        self.inner = Table()
        self.total = Entry()
        self.loopback = 0
        self.unparsed = 0
        self._silence = silence
        self._hops = inner
        self._processes: dict[bytes, _Process] = {}
        self._came: dict[bytes, float] = {}
        self._answered: dict[bytes, list] = {}
        self.begins = 0.0

    def line(self, who: bytes, pid: bytes, text: bytes, told: float, counted: bool) -> None:
        """who: host and tag. told: seconds since 1970. counted: whether it lies in the time that is asked for."""
        if b" TLS connection " in text:
            match = _TLS.match(text)
            if match:
                process = self._process(who + pid)
                trust, how, relay, protocol, cipher = match.groups()
                process.tls, process.delivery = (_reached(relay.lower(), how == b"reused"), Tls(trust, protocol, cipher)), None
                self._silence.spoke(who)
            return
        if b": to=<" in text:
            match = _DELIVERY.match(text)
            if match:
                self._delivery(who, self._process(who + pid), match, told, counted)
            elif counted and b" status=sent " in text:
                self.unparsed += 1
        elif _BROKEN.match(text):
            self._process(who + pid).tls = None

    def _process(self, key: bytes) -> _Process:
        process = self._processes.get(key)
        if process is None:
            if len(self._processes) >= _MOST_PROCESSES:
                del self._processes[next(iter(self._processes))]
            process = self._processes[key] = _Process()
        return process

    def active(self, _who: bytes, _pid: bytes, text: bytes, told: float, _counted: bool) -> None:
        """A line of qmgr(8)."""
        match = _ACTIVE.match(text)
        if match:
            self._seen(match.group(1), told)

    def _delivery(self, who: bytes, process: _Process, match: re.Match, told: float, counted: bool) -> None:
        queue_id, to, _original, relay, again, delay, times, connecting, sending, said, status = match.groups()
        relay = relay.lower()  # as it is configured; the handshake is told in lower case
        # All recipients of one transmission share its queue id, and when it was connected.
        delivery = (queue_id, relay, times)
        if process.delivery != delivery:
            over = process.tls[1] if process.tls and process.tls[0] in (relay, _reached(relay, True)) else None
            process.tls, process.delivery, process.names = None, delivery, set()
            process.how, process.used = _outcome(said, over)
            process.waits = False
            if process.how is None and again:
                process.how = PLAINTEXT
            elif process.how is None and self._older(told, float(connecting) + float(sending)):
                process.how = UNKNOWN
            elif process.how is None:
                process.how = self._silence.means(who, told)
                process.waits = process.how == UNKNOWN
        came = self._seen(queue_id, told - float(delay))
        if status != b"sent" or not counted:
            return
        reached = _RELAY.fullmatch(relay)
        first = not process.names
        if not reached or is_loopback(reached.group(2)):
            self.loopback += first
            process.names.add(b"")
            return
        name = domain(to)
        if name in process.names:
            return
        process.names.add(name)
        answer = _QUEUED_AS.search(match.string, match.end())
        entries = self._count(process, name, reached, first)
        if process.waits:
            self._silence.wait(who, entries)
        if answer and answer.group(1) != queue_id and self.inner.get(_relay(reached)) not in entries:
            self._answer(answer.group(1), _Answered(came, who, entries, process.how, process.used, _relay(reached)))

    def _count(self, process: _Process, name: bytes, reached: re.Match, first: bool) -> list:
        """The entries that a delivery is counted in."""
        host, address, port = reached.groups()
        if name in self._hops.domains or not self._hops.filters.isdisjoint({(host, port), (address, port)}):
            if not first:
                return []
            entries = [self.inner.entry(_relay(reached))]
        else:
            entries = [self.domains.entry(name)] + [self.total] * first
        for entry in entries:
            entry.add(process.how, process.used, b"" if entry is self.total else _relay(reached))
        return entries

    def _seen(self, queue_id: bytes, told: float) -> float:
        """When a message came, by the first that is told of it. If a server gave it back, that server was an inner hop."""
        if queue_id not in self._came:
            if len(self._came) >= _MOST_MESSAGES:
                del self._came[next(iter(self._came))]
            self._came[queue_id] = told
            for answered in self._answered.pop(queue_id, ()):
                self._give_back(answered, told)
        return self._came[queue_id]

    def _answer(self, called: bytes, answered: _Answered) -> None:
        if called in self._came:
            self._give_back(answered, self._came[called])
            return
        if len(self._answered) >= _MOST_MESSAGES:
            del self._answered[next(iter(self._answered))]
        self._answered.setdefault(called, []).append(answered)

    def _give_back(self, answered: _Answered, came: float) -> None:
        """Only a message that came later: what was here before, a stranger may know by its name. Stamps are whole seconds."""
        if came < answered.came - 1:
            return
        for entry in answered.entries:
            beside = b"" if entry is self.total else answered.relay
            self._silence.forget(answered.who, entry)
            how = entry.take_back(answered.how, answered.tls, beside)
            if entry is self.total:
                self.inner.entry(answered.relay).add(how, answered.tls, answered.relay)

    def _older(self, told: float, took: float) -> bool:
        """Whether the connection may have been opened before the log begins, so that its handshake is not in it."""
        return told - self.begins < _BEGINNING and told - took - 1 < self.begins


def _outcome(said: bytes | None, over: Tls | None) -> tuple:
    """(how, Tls); how is None where nothing tells. said: what 3.11 has as C(tls=), as in C(dane:may/requiretls)."""
    level, colon, left = (said or b"").partition(b"/")[0].partition(b":")
    left = left if colon else level
    if said and not left.endswith(b"?"):
        return (PLAINTEXT, None) if left == b"none" else (ENCRYPTED, over or Tls())
    if over or level.rstrip(b"?") in _MANDATORY:
        return ENCRYPTED, over or Tls()
    return None, None


def _reached(relay: bytes, anew: bool) -> bytes:
    """What a delivery has to have in common with a handshake: the whole relay, or its address and port where the connection is used again."""
    return relay[relay.find(b"["):] if anew else relay


def _relay(reached: re.Match) -> bytes:
    """The relay's name, or its address where it has none."""
    return reached.group(1) or reached.group(2)


def domain(address: bytes) -> bytes:
    """Of an address as Postfix logs it, in lower case; empty for the null sender."""
    return address.rpartition(b"@")[2].lower().rstrip(b".")


def is_loopback(address: bytes) -> bool:
    return address.lower().replace(b"::ffff:", b"").startswith(b"127.") or address == b"::1"
