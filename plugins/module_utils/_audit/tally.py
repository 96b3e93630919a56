# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Messages counted by name, and what is known of a silence in the log."""
from __future__ import annotations

from typing import Callable, Iterable, NamedTuple

#: Names in a table, and names kept beside each. A log holds as many as strangers care to make up.
MOST_NAMES = 20000
MOST_BESIDE = 20

#: How a message went. Not "clear": Jinja takes C(row.clear) for the method of the dictionary.
PLAINTEXT, ENCRYPTED, UNKNOWN = "plaintext", "encrypted", "unknown"


class Tls(NamedTuple):
    """A handshake in Postfix's words: Anonymous, Untrusted, Trusted or Verified; protocol; cipher. Each may be empty."""

    trust: bytes = b""
    protocol: bytes = b""
    cipher: bytes = b""


class Entry:
    """What came or went under one name.

    tls: {(protocol, cipher): messages}, either may be empty. trust: {word: messages}. beside: {another name, such as the relay: messages}.
    """

    __slots__ = ("counts", "trust", "tls", "beside")

    def __init__(self) -> None:
        self.counts = {PLAINTEXT: 0, ENCRYPTED: 0, UNKNOWN: 0}
        self.trust: dict[bytes, int] = {}
        self.tls: dict[tuple, int] = {}
        self.beside: dict[bytes, int] = {}

    @property
    def messages(self) -> int:
        return sum(self.counts.values())

    @property
    def protocols(self) -> dict:
        """{protocol version: messages}"""
        return _summed((protocol, messages) for (protocol, _cipher), messages in self.tls.items())

    @property
    def ciphers(self) -> dict:
        """{cipher suite: messages}"""
        return _summed((cipher, messages) for (_protocol, cipher), messages in self.tls.items())

    def add(self, how: str, tls: Tls | None, beside: bytes = b"") -> None:
        self.counts[how] += 1
        if tls:
            _count(self.trust, tls.trust)
            _count(self.tls, (tls.protocol, tls.cipher))
        if beside in self.beside or len(self.beside) < MOST_BESIDE:
            _count(self.beside, beside)

    def take_back(self, how: str, tls: Tls | None, beside: bytes = b"") -> str:
        """One message less; returns how it went, for one that was unknown may have been settled meanwhile."""
        now = next(one for one in (how, PLAINTEXT, UNKNOWN) if self.counts[one])
        self.counts[now] -= 1
        if tls:
            _count(self.trust, tls.trust, -1)
            _count(self.tls, (tls.protocol, tls.cipher), -1)
        _count(self.beside, beside, -1)
        return now

    def settle(self, how: str, messages: int = 1) -> None:
        """So many that were unknown are known to be this."""
        self.counts[UNKNOWN] -= messages
        self.counts[how] += messages


def _count(counted: dict, word: bytes | tuple, messages: int = 1) -> None:
    """Empty words are not counted, and nothing is counted below one."""
    number = counted.get(word, 0) + messages
    if number < 1:
        counted.pop(word, None)
    elif word and (number > 1 or messages > 0):
        counted[word] = number


def _summed(pairs: Iterable) -> dict:
    found: dict = {}
    for word, messages in pairs:
        _count(found, word, messages)
    return found


class Table(dict):
    """{name: Entry}. beyond: messages whose names found no room."""

    def __init__(self) -> None:
        super().__init__()
        self.beyond = 0

    def entry(self, name: bytes) -> Entry:
        """An entry to count in, which belongs to nothing where the table is full."""
        found = self.get(name)
        if found is None:
            found = Entry()
            if len(self) >= MOST_NAMES:
                self.beyond += 1
            else:
                self[name] = found
        return found

    def filled(self) -> list:
        """(name, Entry) of those that have a message."""
        return [(name, entry) for name, entry in self.items() if entry.messages]

    def first(self) -> list:
        """(name, Entry), those with most in the clear first, then those with most unknown, then those with most messages."""
        return sorted(self.filled(), key=lambda pair: (-pair[1].counts[PLAINTEXT], -pair[1].counts[UNKNOWN], -pair[1].messages, pair[0]))


class Silence:
    """Whether a program that says nothing of TLS did none, or does not log it (C(smtp_tls_loglevel) 0).

    It is known from what the program says itself: once it has told of one handshake, it tells of all until Postfix is started or
    reloaded, when it may be told otherwise; and from the configuration, as long as that has not been changed since.
    What went before its first word is settled by that word; what is followed by a reload or by the end of the log remains unknown.
    """

    def __init__(self, configured: Callable = lambda tag, told: False) -> None:
        """configured: (tag, seconds) -> whether the program with this syslog tag was at that time configured to tell."""
        self._configured = configured
        self._told: set[bytes] = set()
        self._waiting: dict[bytes, dict[Entry, int]] = {}
        self._silent: set[bytes] = set()

    def spoke(self, who: bytes) -> None:
        """who: host and syslog tag, as in C(mx postfix/smtp)."""
        if who not in self._told:
            self._told.add(who)
            for entry, messages in self._waiting.pop(who, {}).items():
                entry.settle(PLAINTEXT, messages)

    def means(self, who: bytes, told: float) -> str:
        """told: seconds since 1970."""
        return PLAINTEXT if who in self._told or self._configured(who.partition(b" ")[2], told) else UNKNOWN

    def wait(self, who: bytes, entries: list) -> None:
        """These have one more each that is unknown, until the program speaks."""
        waiting = self._waiting.setdefault(who, {})
        for entry in entries:
            if entry in waiting or len(waiting) < MOST_NAMES:
                waiting[entry] = waiting.get(entry, 0) + 1

    def forget(self, who: bytes, entry: Entry) -> None:
        """One less of an entry's messages waits."""
        waiting = self._waiting.get(who, {})
        if waiting.get(entry, 0) > 1:
            waiting[entry] -= 1
        else:
            waiting.pop(entry, None)

    def started(self, instance: bytes) -> None:
        """instance: host and syslog_name, as in C(mx postfix)."""
        self._told = {who for who in self._told if not who.startswith(instance + b"/")}
        for who in [who for who in self._waiting if who.startswith(instance + b"/")]:
            self._silent.add(who)
            del self._waiting[who]

    def end(self) -> list:
        """The tags of the programs that left something unknown."""
        return sorted({who.partition(b" ")[2] for who in self._silent.union(self._waiting)})
