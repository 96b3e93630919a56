# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Connections to one target, each up to the point where a ClientHello is due, and what the server said on the way.

What is seen is kept at once, so that it is there even when the next step fails; the first connection tells, later ones repeat it.
"""
from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import smuggling
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection, Deadline, connect, endpoint, failure
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import Dialogue, keywords
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import MOST_CONNECTIONS, Look, Target

#: Said in the clear together with STARTTLS: who obeys it within TLS takes a stranger's words for the client's (CVE-2011-0411).
_INJECTED = b"NOOP\r\n"

#: What smtpd(8) says within TLS where smtpd_tls_req_ccert asks for one.
_DEMANDED = "client certificate"


class Session:
    """The SMTP side of a look at one target. Threads share it: each connection belongs to one of them."""

    def __init__(self, target: Target, look: Look) -> None:
        self.target = target
        self.look = look
        self.deadline = Deadline(look.timeout)
        self.address = target.address
        self.source: str | None = None  # our own address, as the server sees it where nothing translates
        self.connections = 0
        self._most = MOST_CONNECTIONS + (len(smuggling.ENDS) if look.smuggling_recipient else 0)
        self.ended = False  # the server said 421: no further connection
        self.reachable = False
        self.error: str | None = None
        self.smtp: dict = dict.fromkeys((
            "banner", "ehlo", "starttls", "starttls_reply", "after_starttls", "ehlo_after_tls", "mail_before_tls", "injected", "smuggling",
        ))
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A new one. Raises PostfixTlsError where there can or must be no further."""
        with self._lock:
            if self.ended:
                raise failure(self.where, "not asked, because %s" % self.error)
            if self.connections >= self._most and self.look.depth != "full":
                raise failure(self.where, "not asked, because that would take more than %d connections" % self._most)
            self.connections += 1
        opened, self.address = connect(self.address or self.target.host, self.target.port, self.deadline, self.look.source_address)
        with opened:
            self.source = opened.socket.getsockname()[0]
            if self.target.proxied:
                opened.send(_introduction(opened.socket), "taking the line of the PROXY protocol")
            yield opened

    @property
    def where(self) -> str:
        return endpoint(self.target.host, self.target.port)

    def until_tls(self, dialogue: Dialogue, inject: bool = False) -> str | None:
        """Until the server expects a ClientHello; else what it said instead. inject: with words in the clear behind STARTTLS."""
        if self.target.protocol == "smtps":
            self.reachable = (self.smtp["banner"] or "220").startswith("220")  # which comes only within TLS
            return None
        self._greeting(dialogue)
        capabilities = self._ehlo(dialogue)
        self._keep("ehlo", capabilities)
        self.reachable = True
        offered = "STARTTLS" in keywords(capabilities)
        self._keep("starttls", offered)
        if not offered:
            dialogue.leave()
            return "STARTTLS is not offered"
        if inject:
            self._keep("mail_before_tls", str(dialogue.command("MAIL FROM:<>")))
            dialogue.command("RSET")
        reply = dialogue.command("STARTTLS", _INJECTED if inject else b"")
        self._keep("starttls_reply", str(reply))
        if reply.code != 220:
            dialogue.leave()
            return str(reply)
        extra = dialogue.discard() or None
        if not inject:
            self._keep("after_starttls", extra)
        return None

    def within_tls(self, dialogue: Dialogue, injected: bool = False) -> None:
        """EHLO and QUIT after a handshake; with injected, whether the words in the clear were obeyed."""
        try:
            if self.target.protocol == "smtps":
                self._greeting(dialogue)
            reply = dialogue.command("EHLO %s" % self.look.ehlo_name)
            if injected and self.target.protocol != "smtps":
                # Replies come in order: had the words been obeyed, the first one would be theirs and EHLO's own would follow.
                following = dialogue.command("QUIT")
                obeyed = following.code == 250
                self._keep("injected", obeyed)
                reply = following if obeyed else reply
                if reply.code == 250:
                    self._keep("ehlo_after_tls", list(reply.lines[1:]))
                return
            self._keep("ehlo_after_tls", self._capabilities(dialogue, reply))
            dialogue.leave()
        except PostfixTlsError as error:
            self.note(error, demanded=_DEMANDED in error.reason.lower())

    def ask_about_smuggling(self, context, pool) -> None:
        """context: for TLS where the server offers it; whether its certificate is trusted does not matter here. pool: of threads."""
        @contextmanager
        def connected() -> Iterator[Dialogue]:
            with self.connection() as connection:
                dialogue = Dialogue(connection)
                if not self.until_tls(dialogue):
                    connection.start_tls(context, self.target.sni)
                elif not self.smtp["starttls"]:
                    raise failure(connection.where, "STARTTLS is not offered, and this is asked within TLS only")
                if self.target.protocol == "smtps":
                    self._greeting(dialogue)
                self._ehlo(dialogue)
                yield dialogue

        ask = smuggling.asker(self.look.smuggling_recipient, connected, self.note)
        self.smtp["smuggling"] = dict(zip(smuggling.ENDS, pool.map(ask, smuggling.ENDS)))

    def note(self, error: PostfixTlsError, demanded: bool = False) -> None:
        """demanded: what ends a session for want of a client certificate says nothing of further connections."""
        self.error = self.error or error.reason
        self.ended = self.ended or bool(error.details.get("session_ended")) and not demanded

    def _greeting(self, dialogue: Dialogue) -> None:
        banner = dialogue.banner()
        dialogue.connection.greeted()
        self._keep("banner", str(banner))
        if banner.code != 220:
            self.reachable = False
            dialogue.leave()
            raise failure(dialogue.connection.where, "the server turned us away: %s" % str(banner))

    def _ehlo(self, dialogue: Dialogue) -> list:
        return self._capabilities(dialogue, dialogue.command("EHLO %s" % self.look.ehlo_name))

    @staticmethod
    def _capabilities(dialogue: Dialogue, reply) -> list:
        if reply.code != 250:
            dialogue.leave()
            raise failure(dialogue.connection.where, "the server refused EHLO: %s" % str(reply))
        return list(reply.lines[1:])

    def _keep(self, key: str, value: object) -> None:
        if self.smtp[key] is None:
            self.smtp[key] = value


def _introduction(sock: socket.socket) -> bytes:
    """The line by which a proxy says for whom it connects: here, for itself. Source: haproxy's proxy-protocol.txt section 2.1."""
    (source, source_port), (address, port) = (end[:2] for end in (sock.getsockname(), sock.getpeername()))
    family = "TCP6" if ":" in address else "TCP4"
    return ("PROXY %s %s %s %d %d\r\n" % (family, source.partition("%")[0], address.partition("%")[0], source_port, port)).encode("ascii")
