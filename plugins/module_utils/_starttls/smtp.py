# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The client's side of an SMTP dialogue, up to and after STARTTLS.

Source: RFC 5321 sections 3.1, 4.1.1.1 and 4.2; RFC 3207. It never talks first, which postscreen would count against us.
"""
from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection, failure, printable

#: postconf(5) line_length_limit: what Postfix itself reads of a line. RFC 5321 section 4.5.3.1.5 allows 512.
LONGEST_LINE = 2048
MOST_LINES = 100

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)


class Reply(NamedTuple):
    """code: three digits as a number. lines: their text, visible ASCII only."""

    code: int
    lines: tuple

    def __str__(self) -> str:
        return "%d %s" % (self.code, " / ".join(line for line in self.lines if line))


class Dialogue:
    """Replies are returned whatever their code, but for 421: it ends the session (RFC 5321 section 3.8) and raises."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._unread = b""

    def banner(self) -> Reply:
        """The whole greeting: postscreen sends its first line at once and the last one after C(postscreen_greet_wait)."""
        return self._reply("sending its banner")

    def command(self, line: str, behind: bytes = b"") -> Reply:
        """The reply to one command. behind: bytes to send in the same packet, whatever the server makes of them."""
        verb = line.partition(" ")[0]
        self.connection.send(line.encode("ascii") + b"\r\n" + behind, "taking %s" % verb)
        return self._reply("replying to %s" % verb)

    def patiently(self, seconds: float) -> Reply | None:
        """A reply that may or may not come; None where nothing came for so long."""
        if b"\n" not in self._unread and not self.connection.readable(seconds):
            return None
        return self._reply("replying")

    def leave(self) -> None:
        """Says QUIT and waits for nothing: nobody has to learn that a goodbye failed."""
        try:
            self.connection.send(b"QUIT\r\n", "taking QUIT")
        except PostfixTlsError:
            pass

    def discard(self) -> str:
        """Forgets what came after the last reply and returns it: before TLS it may be anybody's (RFC 3207 section 4.2)."""
        unread, self._unread = self._unread, b""
        return printable(unread[:LONGEST_LINE])

    def _reply(self, purpose: str) -> Reply:
        lines: list = []
        while True:
            code, more, text = self._parsed(self._line(purpose), purpose)
            lines.append(text)
            if not more:
                break
            if len(lines) == MOST_LINES:
                raise failure(self.connection.where, "the server sent more than %d lines instead of %s" % (MOST_LINES, purpose))
        reply = Reply(code, tuple(lines))
        if code == 421:
            raise failure(self.connection.where, "the server ended the session: %s" % str(reply), session_ended=True)
        return reply

    def _parsed(self, line: bytes, purpose: str) -> tuple:
        """(code, whether more lines follow, text)."""
        match = _LINE.match(line)
        if not match:
            raise failure(self.connection.where, "the server sent no SMTP reply when %s: %s" % (purpose, printable(line[:80])))
        return int(match.group(1)), match.group(2) == b"-", printable(match.group(3) or b"")

    def _line(self, purpose: str) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > LONGEST_LINE:
                raise failure(self.connection.where, "the server sent a line of more than %d bytes when %s" % (LONGEST_LINE, purpose))
            self._unread += self.connection.receive(purpose)
        line, _end, self._unread = self._unread.partition(b"\n")
        return line[:-1] if line.endswith(b"\r") else line


def keywords(ehlo) -> dict:
    """{KEYWORD: text of its parameters} of the lines of an EHLO reply; C(AUTH=LOGIN), an old habit, counts as AUTH."""
    found = {}
    for line in ehlo:
        keyword, _separator, rest = re.sub(r"^([A-Za-z]+)=", r"\1 ", line.strip()).partition(" ")
        found[keyword.upper()] = rest
    return found
