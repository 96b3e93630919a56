# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What left the host by smtp(8), and how, in the words of its log.

A process serves one connection at a time. It tells of a handshake before the deliveries that go over it; where a connection is used again,
anew (C(TLS connection reused)). With TLS, only tlsproxy(8) can do that, and then both are told at any C(smtp_tls_loglevel). Postfix 3.11 tells with
each delivery (postconf(5) smtp_log_tls_feature_status), except of a connection that is used again: there it writes C(tls=may?), encrypted or not.
Measured on 3.5, 3.7, 3.10 and 3.11.
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.tally import CLEAR, ENCRYPTED, UNKNOWN, Entry, Silence, Table, Tls

_TLS = re.compile(rb"(Anonymous|Untrusted|Trusted|Verified) TLS connection (?:established|reused) to (\S+): ((?:TLS|SSL)v[0-9.]+) with cipher (\S+)")
_ADDRESS = rb'<((?:"(?:[^"\\]|\\.)*"|[^\s"<>])*)>'
_DELIVERY = re.compile(
    rb"([0-9A-Za-z]+): to=" + _ADDRESS + rb", (?:orig_to=" + _ADDRESS + rb", )?relay=(\S+), (?:conn_use=([0-9]+), )?delay=[0-9.]+,"
    rb" delays=([0-9.]+/[0-9.]+/([0-9.]+))/([0-9.]+), (?:tls=(\S+), )?dsn=[0-9.]+, status=([a-z]+) "
)
_RELAY = re.compile(rb"([^\s\[]*)\[([0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*)\]:[0-9]+")
_BROKEN = re.compile(rb"[0-9A-Za-z]+: (?:lost connection with|conversation with|Cannot start TLS)")

#: The levels of postconf(5) smtp_tls_security_level at which nothing is delivered without TLS.
_MANDATORY = (b"encrypt", b"dane-only", b"fingerprint", b"verify", b"secure", b"halfdane", b"half-dane")

#: Seconds after a log's beginning in which a delivery's connection may have begun before it.
_BEGINNING = 1800
_MOST_PROCESSES = 5000


class _Process:
    """tls: (relay, Tls) of a handshake that no delivery has gone over yet. delivery: what tells one transmission from the next."""

    __slots__ = ("tls", "delivery", "how", "used", "waits", "names")

    def __init__(self) -> None:
        self.tls: tuple | None = None
        self.delivery: tuple | None = None
        self.how = UNKNOWN
        self.used: Tls | None = None
        self.waits = False
        self.names: set = set()


class Sent:
    """domains: by recipient's domain. total: each transmission once. loopback: transmissions to this host itself, and over sockets of its own.

    unparsed: deliveries whose line can't be understood. begins: when the log does, in seconds since 1970.
    """

    def __init__(self, silence: Silence) -> None:
        self.domains = Table()
        self.total = Entry()
        self.loopback = 0
        self.unparsed = 0
        self._silence = silence
        self._processes: dict[bytes, _Process] = {}
        self.begins = 0.0

    def line(self, who: bytes, pid: bytes, text: bytes, told: float, counted: bool) -> None:
        """who: host and tag. told: seconds since 1970. counted: whether it lies in the time that is asked for."""
        if b" TLS connection " in text:
            match = _TLS.match(text)
            if match:
                process = self._process(who + pid)
                process.tls, process.delivery = (match.group(2), Tls(match.group(1), match.group(3), match.group(4))), None
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

    def _delivery(self, who: bytes, process: _Process, match: re.Match, told: float, counted: bool) -> None:
        queue_id, to, _original, relay, again, times, connecting, sending, said, status = match.groups()
        # All recipients of one transmission share its queue id, and when it was connected.
        delivery = (queue_id, relay, times)
        if process.delivery != delivery:
            over = process.tls[1] if process.tls and process.tls[0] == relay else None
            process.tls, process.delivery, process.names = None, delivery, set()
            process.how, process.used = _outcome(said, over)
            process.waits = False
            if process.how is None and again:
                process.how = CLEAR
            elif process.how is None and self._older(told, float(connecting) + float(sending)):
                process.how = UNKNOWN
            elif process.how is None:
                process.how = self._silence.means(who, told)
                process.waits = process.how == UNKNOWN
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
        entries = [self.domains.entry(name)]
        entries[0].add(process.how, process.used, reached.group(1).lower() or reached.group(2))
        if first:
            self.total.add(process.how, process.used)
            entries.append(self.total)
        if process.waits:
            self._silence.wait(who, entries)

    def _older(self, told: float, took: float) -> bool:
        """Whether the connection may have been opened before the log begins, so that its handshake is not in it."""
        return told - self.begins < _BEGINNING and told - took - 1 < self.begins


def _outcome(said: bytes | None, over: Tls | None) -> tuple:
    """(how, Tls); how is None where nothing tells. said: what 3.11 has as C(tls=), as in C(dane:may/requiretls)."""
    level, colon, left = (said or b"").partition(b"/")[0].partition(b":")
    left = left if colon else level
    if said and not left.endswith(b"?"):
        return (CLEAR, None) if left == b"none" else (ENCRYPTED, over or Tls())
    if over or level.rstrip(b"?") in _MANDATORY:
        return ENCRYPTED, over or Tls()
    return None, None


def domain(address: bytes) -> bytes:
    """Of an address as Postfix logs it, in lower case; empty for the null sender."""
    return address.rpartition(b"@")[2].lower().rstrip(b".")


def is_loopback(address: bytes) -> bool:
    return address.lower().replace(b"::ffff:", b"").startswith(b"127.") or address == b"::1"
