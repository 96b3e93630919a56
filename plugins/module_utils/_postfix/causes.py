# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a client's own connections caused, in the words of Postfix's log.

Lines are told apart by process and by client address, never by their time: how that is written differs from syslog to syslog.
"""
from __future__ import annotations

import re
import time
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import LONGEST, MailLog, printable

#: syslog_name may be anything, so the program is what follows its last slash. What stands before the first bracket is no client's word.
_LINE = re.compile(r"(?:[^\[]*\s)?(?P<tag>[^\s\[]+/(?P<program>smtpd|postscreen|tlsproxy|master))\[(?P<pid>\d+)\]: (?P<text>.*)")
_BEGIN = re.compile(r"connect from \S*?\[([0-9a-f:.]+)\]", re.IGNORECASE)
_END = re.compile(r"disconnect (?:from )?\S*?\[([0-9a-f:.]+)\]", re.IGNORECASE)
_ADDRESS = re.compile(r"\[([0-9a-fA-F]*[:.][0-9a-fA-F:.]*)\]")
_DIED = re.compile(r"process \S*/(?:smtpd|postscreen|tlsproxy) pid (\d+) (?:exit status|killed)")
_STARTED = re.compile(r"daemon started|terminating on signal")
_DONE = re.compile(r"TLS connection established from|^disconnect .* starttls=1\b")

#: A warning about the client's name, which Postfix writes before it says who connects.
_OF_NAMES = re.compile(r"warning: (?:hostname|numeric hostname|malformed domain name|valid_hostname)")

#: The most telling first: (kind, what a line of it looks like). CONSEQUENCES are told only where nothing else is.
_KINDS = (
    ("end of a process", re.compile(r"(?:fatal|panic): ")),
    ("planned refusal", re.compile(
        r"TLS library problem: .*:(?:version too low|unsupported protocol|wrong version number|no shared (?:cipher|signature algorithms)|no suitable [a-z ]+):",
    )),
    ("library", re.compile(r"TLS library problem: ")),
    ("cause", re.compile(r"(?:warning|error): |^discarding EHLO keywords: .*STARTTLS")),
    ("consequence", re.compile(r"SSL_accept error|lost connection after STARTTLS")),
)
_ORDER = ("end of a process", "cause", "library", "planned refusal", "consequence")


class _Line(NamedTuple):
    """process: (syslog tag, process number). program: smtpd, postscreen, tlsproxy or master. late: since the mark."""

    process: tuple
    program: str
    text: str
    late: bool


class Causes(MailLog):
    """The log, asked by whoever connected."""

    def caused_by(self, client: str, patience: float = 0.4) -> list:
        """What Postfix says of connections from this address since C(mark): see the function. Log writers lag, so it is asked again.

        patience: seconds.
        """
        deadline = time.monotonic() + patience
        told: list = []
        while True:
            earlier, told = told, caused_by(self.before(), self.after(), client)
            if told and told == earlier or time.monotonic() >= deadline:
                return told
            time.sleep(0.1)


def caused_by(before: list, after: list, client: str) -> list:
    """What is wrong in the words of the processes that had connections from client, the most telling first, each thing once.

    before: lines up to a look, for what a process said when it started; after: lines since. client: our own address, as Postfix
    logs it. Where no process ever said that we connected, it is what the last one said before it died, unless others are served.
    Times, tags and process numbers are left out.
    """
    lines = [*_parsed(before, False), *_parsed(after, True)]
    served = {line.process for line in lines if line.late and (begun := _BEGIN.match(line.text)) and begun.group(1) == client}
    mine = _of_sessions(lines, served, client) if served else _of_the_dead(lines)
    done = any(_DONE.search(line.text) for line in mine)
    found: dict[str, dict] = {kind: {} for kind in _ORDER}
    for line in mine:
        kind = next((kind for kind, pattern in _KINDS if pattern.search(line.text)), None)
        if kind:
            found[kind][re.sub(r"\bpid \d+", "pid", line.text)] = line.text
    causes = [text for kind in _ORDER[:3] for text in found[kind].values()]
    # Once a handshake was done, what else was refused or broken off is what the look itself set out to see.
    return causes or ([] if done else [text for kind in _ORDER[3:] for text in found[kind].values()])


def _parsed(lines: list, late: bool) -> list:
    parsed = []
    for line in lines:
        match = _LINE.match(line[:LONGEST])
        if match:
            text = printable(match.group("text").strip())
            parsed.append(_Line((match.group("tag"), match.group("pid")), match.group("program"), text, late))
    return parsed


def _of_sessions(lines: list, served: set, client: str) -> list:
    """The lines of our own connections, and what the processes that had them said while they had none."""
    pids = {pid for _tag, pid in served}
    open_at: dict[tuple, list] = {process: [] for process in served}
    mine = []
    for line in lines:
        if line.program == "master":
            died = _DIED.search(line.text)
            if line.late and (died and died.group(1) in pids or "throttling" in line.text):
                mine.append(line)
        if line.process not in served:
            continue
        clients = open_at[line.process]
        begun, ended = _BEGIN.match(line.text), _END.match(line.text)
        if begun:
            clients.append(begun.group(1))
            continue
        named = _ADDRESS.findall(line.text) or clients
        if (line.late and client in named) if named else not _OF_NAMES.search(line.text):
            mine.append(line)
        if ended and ended.group(1) in clients:
            clients.remove(ended.group(1))
    return mine


def _of_the_dead(lines: list) -> list:
    """The lines of the last process that died, and master's about it, where nobody was served after it."""
    dead, at = None, 0
    for position, line in enumerate(lines):
        died = _DIED.search(line.text) if line.program == "master" else None
        if died or line.program != "master" and _KINDS[0][1].search(line.text):
            dead, at = died.group(1) if died else line.process[1], position
        elif line.program == "master" and _STARTED.search(line.text) or _BEGIN.match(line.text) and line.process[1] != dead:
            dead = None
    if dead is None:
        return []
    of_master = [line for line in lines[at:] if line.program == "master" and (_DIED.search(line.text) or "throttling" in line.text)]
    return [line for line in lines if line.program != "master" and line.process[1] == dead] + of_master
