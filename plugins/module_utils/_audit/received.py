# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What came to the host by smtpd(8), and how, in the words of its log.

A message is received once qmgr(8) takes it: smtpd names the queue file and the client before the message has come, and what is broken off or
refused is never told of again. A session's C(disconnect) says whether there was a STARTTLS, at any C(smtpd_tls_loglevel).
"""
from __future__ import annotations

import re

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.sent import domain, is_loopback
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.tally import PLAINTEXT, ENCRYPTED, UNKNOWN, Entry, Silence, Table, Tls

_TLS = re.compile(
    rb"(Anonymous|Untrusted|Trusted|Verified) TLS connection (?:established|reused) from \S+(?: to \S+)?: ((?:TLS|SSL)v[0-9.]+) with cipher (\S+)"
)
_CLIENT = re.compile(rb"([0-9A-Za-z]+): client=([^\s\[]*)\[([^\]\s]+)\](?::[0-9]+)?(, sasl_)?")
#: What stands before the sender is the filter's answer; what follows it, a stranger may have written.
_ACCEPTED = b"proxy-accept: END-OF-MESSAGE: "
_SENDER = b"; from=<"
_PROXIED = re.compile(_SENDER + rb"((?:(?!> (?:to=<|proto=)).)*)> (?:to=<|proto=)")
_STARTTLS = re.compile(rb" starttls=([0-9]+)")
_QUEUED = re.compile(rb"([0-9A-Za-z]+): from=<(.*)>, size=[0-9]+, nrcpt=[0-9]+ \(queue active\)")

#: How services are called, in syslog_name, on which users submit their mail (RFC 6409, RFC 8314), and those that speak TLS from the first byte.
_SUBMISSION = (b"submission", b"submissions", b"smtps", b"587", b"465")
_WRAPPED = (b"submissions", b"smtps", b"465")

#: Bounds of what is remembered. A message may wait for long between smtpd and qmgr, where the active queue is full.
_MOST_SESSIONS = 5000
_MOST_QUEUED = 50000
#: Where domains are registered below, besides top-level domains: co.uk, com.br.
_SHARED = re.compile(rb"(?:ac|co|com|edu|gob|gov|go|gv|mil|ne|net|nom|or|org)\.[a-z]{2}")


class _Session:
    """who: host and tag. begun: whether its start was seen. tls: the handshake; how: what its end told, or None. waiting: counted, but not how."""

    __slots__ = ("who", "begun", "tls", "how", "waiting", "proxied")

    def __init__(self, who: bytes, begun: bool) -> None:
        self.who = who
        self.begun = begun
        self.tls: Tls | None = None
        self.how: str | None = None
        self.waiting: list = []
        self.proxied: _Message | None = None


class _Message:
    """What smtpd says of one: its session, the handshake before it, the client, and whether a user has logged in."""

    __slots__ = ("session", "tls", "client", "user")

    def __init__(self, session: _Session, client: bytes, user: bool) -> None:
        self.session = session
        self.tls = session.tls
        self.client = client
        self.user = user


class Received:
    """domains: by sender's domain. clients: by the domain of the client's name, or its address. submitted: users' messages, by syslog tag.

    total: of peers, and users: of users. loopback: messages that this host handed to itself, left out of all.
    """

    def __init__(self, silence: Silence, wrapped: dict | None = None) -> None:
        """wrapped: {tag: whether all its services speak TLS from the first byte} where one does and does not log it."""
        self.domains, self.clients, self.submitted = Table(), Table(), Table()
        self.total, self.users = Entry(), Entry()
        self.loopback = 0
        self._silence = silence
        self._wrapped = wrapped or {}
        self._sessions: dict[bytes, _Session] = {}
        self._queued: dict[bytes, _Message] = {}

    def smtpd(self, who: bytes, pid: bytes, text: bytes, told: float, counted: bool) -> None:
        """As C(Sent.line)."""
        key = who + pid
        if text.startswith(b"connect from "):
            self._leave(key, told)
            self._enter(key, who, True)
        elif text.startswith(b"disconnect from "):
            self._disconnect(key, text, told)
        elif b" TLS connection " in text:
            match = _TLS.match(text)
            if match:
                session = self._session(key, who)
                session.tls = Tls(*match.groups())
                self._silence.spoke(who)
        elif b": client=" in text:
            match = _CLIENT.match(text)
            if match:
                self._client(self._session(key, who), match)
        elif text.startswith(_ACCEPTED):
            match = _PROXIED.match(text, max(0, text.find(_SENDER)))
            session = self._sessions.get(key)
            if match and session and session.proxied and counted:
                self._count(session.proxied, match.group(1))

    def qmgr(self, who: bytes, _pid: bytes, text: bytes, _told: float, counted: bool) -> None:
        """qmgr(8) writes this line at each attempt; the first one counts."""
        match = _QUEUED.fullmatch(text)
        message = self._queued.pop(who.partition(b" ")[0] + b" " + match.group(1), None) if match else None
        if message and counted:
            self._count(message, match.group(2))

    def other(self, who: bytes, _pid: bytes, text: bytes, _told: float, _counted: bool) -> None:
        """pickup(8) and bounce(8) begin queue files, too; a queue id of before has been given out again then."""
        for queue_id in (text.partition(b":")[0], text.rpartition(b" ")[2]):
            self._queued.pop(who.partition(b" ")[0] + b" " + queue_id, None)

    def end(self, told: float) -> None:
        for key in list(self._sessions):
            self._leave(key, told)

    def _enter(self, key: bytes, who: bytes, begun: bool) -> _Session:
        if len(self._sessions) >= _MOST_SESSIONS:
            self._leave(next(iter(self._sessions)), 0)
        session = self._sessions[key] = _Session(who, begun)
        return session

    def _session(self, key: bytes, who: bytes) -> _Session:
        return self._sessions.get(key) or self._enter(key, who, False)

    def _leave(self, key: bytes, told: float) -> None:
        """A session of which no end was seen."""
        session = self._sessions.pop(key, None)
        if session and session.how is None:
            session.how = self._silence.means(session.who, told) if session.begun else UNKNOWN
            _settle(session, session.how)

    def _disconnect(self, key: bytes, text: bytes, told: float) -> None:
        session = self._sessions.pop(key, None)
        if not session:
            return
        shaken = _STARTTLS.search(text)
        tag = session.who.partition(b" ")[2]
        if session.tls or shaken and shaken.group(1) != b"0":
            session.how = ENCRYPTED
        elif tag in self._wrapped:
            session.how = ENCRYPTED if self._wrapped[tag] else UNKNOWN
        elif _service(tag) in _WRAPPED:
            session.how = ENCRYPTED
        else:
            session.how = PLAINTEXT
        _settle(session, PLAINTEXT if session.tls else session.how)

    def _client(self, session: _Session, match: re.Match) -> None:
        queue_id, name, address, user = match.groups()
        if is_loopback(address):
            client = b""
        else:
            client = address if name in (b"", b"unknown") else _domain_of_host(name)
        message = _Message(session, client, bool(user))
        if queue_id == b"NOQUEUE":
            session.proxied = message
            return
        if len(self._queued) >= _MOST_QUEUED:
            del self._queued[next(iter(self._queued))]
        self._queued[session.who.partition(b" ")[0] + b" " + queue_id] = message

    def _count(self, message: _Message, sender: bytes) -> None:
        session = message.session
        if not message.client:
            self.loopback += 1
            return
        tag = session.who.partition(b" ")[2]
        if message.user or _service(tag) in _SUBMISSION:
            entries = [(self.submitted.entry(tag), b""), (self.users, b"")]
        else:
            entries = [(self.domains.entry(domain(sender)), message.client), (self.clients.entry(message.client), tag), (self.total, b"")]
        if message.tls:
            how, tls = ENCRYPTED, message.tls
        elif session.tls:
            how, tls = PLAINTEXT, None  # STARTTLS came after it
        else:
            how, tls = session.how or UNKNOWN, None
        for entry, beside in entries:
            entry.add(how, tls, beside)
        if not message.tls and not session.tls and session.how is None:
            session.waiting += [entry for entry, _beside in entries]


def _settle(session: _Session, how: str) -> None:
    if how != UNKNOWN:
        for entry in session.waiting:
            entry.settle(how)
    session.waiting = []


def _service(tag: bytes) -> bytes:
    """submission of postfix/submission/smtpd; smtpd's own of postfix/smtpd is none."""
    parts = tag.split(b"/")
    return parts[-2].rpartition(b"-")[2] if len(parts) > 2 else b""


def _domain_of_host(name: bytes) -> bytes:
    """example.org of mx1.example.org: a host's name without its first part, unless too little remains, as of example.co.uk."""
    name = name.lower().rstrip(b".")
    rest = name.partition(b".")[2]
    return rest if b"." in rest and not _SHARED.fullmatch(rest) else name
