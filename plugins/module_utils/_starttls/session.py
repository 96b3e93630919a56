# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Connections to one target, each up to the point where a ClientHello is due, and what the server said on the way.

What is seen is kept at once, so that it is there even when the next step fails; the first connection tells, later ones repeat it.
"""
from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import Iterator

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import smuggling
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection, Deadline, connect, endpoint, failure
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import demands_certificate
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import Dialogue, keywords
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import MOST_CONNECTIONS, Look, Target

#: Said in the clear together with STARTTLS: who obeys it within TLS takes a stranger's words for the client's (CVE-2011-0411).
_INJECTED = b"NOOP\r\n"

#: Seconds after which a server that counts connections has noticed that one is gone, as Courier's couriertcpd does (MAXPERIP).
_A_MOMENT = 0.4


class Session:
    """The SMTP side of a look at one target. Threads share it: each connection belongs to one of them."""

    def __init__(self, target: Target, look: Look) -> None:
        self.target = target
        self.look = look
        self.deadline = Deadline(look.timeout)
        self.address = target.address
        self.source: str | None = None  # our own address, as the server sees it where nothing translates
        self.connections = 0
        self.most = MOST_CONNECTIONS + (len(smuggling.ENDS) if look.smuggling_recipient else 0)
        self.ended = False  # the server said 421: no further connection
        self.lost = 0  # connections that the server ended before anything could be asked
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
            if self.connections >= self.most and self.look.depth != "full":
                raise failure(self.where, "not asked, because that would take more than %d connections" % self.most)
            self.connections += 1
        opened, self.address = connect(self.address or self.target.host, self.target.port, self.deadline, self.look.source_address)
        with opened:
            self.source = opened.socket.getsockname()[0]
            if self.target.proxied:
                opened.send(_introduction(opened.socket), "taking the line of the PROXY protocol")
            yield opened

    @contextmanager
    def ready(self, inject: bool = False, mail: bool = False) -> Iterator[tuple]:
        """(Dialogue, None) of a new connection on which a ClientHello is due; (Dialogue, what the server said instead) where it is not.

        inject: with words in the clear behind STARTTLS. mail: MAIL and RSET before it.
        """
        with ExitStack() as stack:
            dialogue = self._greeted(stack)
            try:
                refusal = self._until_tls(dialogue, inject, mail)
            except PostfixTlsError as error:
                self.lost += bool(error.details.get("closed")) and not mail
                raise
            yield dialogue, refusal

    @property
    def spare(self) -> int:
        """Connections that may still be made."""
        return sys.maxsize if self.look.depth == "full" else self.most - self.connections

    @property
    def where(self) -> str:
        return endpoint(self.target.host, self.target.port)

    def _greeted(self, stack: ExitStack) -> Dialogue:
        """After the banner, where one comes before TLS. Where others were greeted and this one is not, it is tried once more."""
        for again in (True, False):
            try:
                dialogue = Dialogue(stack.enter_context(self.connection()))
                if self.target.protocol != "smtps":
                    self._greeting(dialogue)
                break
            except PostfixTlsError as error:
                closed, others = error.details.get("closed"), self.smtp["banner"]
                if not (again and closed and others and self.deadline.left() > _A_MOMENT):
                    self.lost += bool(closed)
                    raise
                time.sleep(_A_MOMENT)
        return dialogue

    def _until_tls(self, dialogue: Dialogue, inject: bool, mail: bool) -> str | None:
        if self.target.protocol == "smtps":
            self.reachable = (self.smtp["banner"] or "220").startswith("220")  # which comes only within TLS
            return None
        capabilities = self._ehlo(dialogue)
        self._keep("ehlo", capabilities)
        self.reachable = True
        offered = "STARTTLS" in keywords(capabilities)
        self._keep("starttls", offered)
        if not offered:
            dialogue.leave()
            return "STARTTLS is not offered"
        if mail:
            self._keep("mail_before_tls", str(dialogue.command("MAIL FROM:<>")))
            dialogue.command("RSET")
        try:
            reply = dialogue.command("STARTTLS", _INJECTED if inject else b"")
        except PostfixTlsError as error:
            if not inject or not error.details.get("closed"):
                raise
            return error.reason  # which may be for the words behind it
        self._keep("starttls_reply", str(reply))
        if reply.code != 220:
            dialogue.leave()
            return str(reply)
        extra = dialogue.discard() or None
        if not inject:
            self._keep("after_starttls", extra)
        return None

    def within_tls(self, dialogue: Dialogue, injected: bool = False) -> tuple | None:
        """EHLO and QUIT after our side of a handshake: None where the server answered, else (verdict, reason) of the whole handshake.

        With injected, whether the words in the clear were obeyed.
        """
        answered = False
        dialogue.connection.hurry()
        try:
            if self.target.protocol == "smtps":
                self._greeting(dialogue)
            reply = dialogue.command("EHLO %s" % self.look.ehlo_name)
            answered = True
            if injected and self.target.protocol != "smtps":
                # Replies come in order: had the words been obeyed, the first one would be theirs and EHLO's own would follow.
                following = dialogue.command("QUIT")
                obeyed = following.code == 250
                self._keep("injected", obeyed)
                reply = following if obeyed else reply
                if reply.code == 250:
                    self._keep("ehlo_after_tls", list(reply.lines[1:]))
                return None
            self._keep("ehlo_after_tls", self._capabilities(dialogue, reply))
            dialogue.leave()
        except PostfixTlsError as error:
            last = error if answered else _last_words(dialogue.connection, error)
            self.note(last, demanded=demands_certificate(last.reason))
            return None if answered else _unanswered(last)
        return None

    def ask_about_smuggling(self, context, pool) -> None:
        """context: for TLS where the server offers it; whether its certificate is trusted does not matter here. pool: of threads."""
        @contextmanager
        def connected() -> Iterator[Dialogue]:
            with self.ready() as (dialogue, refusal):
                if not refusal:
                    dialogue.connection.start_tls(context, self.target.sni)
                elif not self.smtp["starttls"]:
                    raise failure(self.where, "STARTTLS is not offered, and this is asked within TLS only")
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


def _last_words(connection: Connection, error: PostfixTlsError) -> PostfixTlsError:
    """The alert that had come when the server was found gone, else error: who writes to a closed connection has not read from it."""
    if error.details.get("closed"):
        try:
            connection.receive("replying within TLS")
        except PostfixTlsError as last:
            return error if last.details.get("closed") else last
    return error


def _unanswered(error: PostfixTlsError) -> tuple | None:
    """(verdict, reason) of a handshake that was done for us, and after which nothing came but this; None where something was said within TLS.

    From TLS 1.3 on a client is done before the server has seen its certificate, or that it has none (RFC 8446 section 2).
    """
    cause = error.__cause__
    alert = re.search("alert .*", error.reason) if isinstance(cause, ssl.SSLError) else None
    if demands_certificate(error.reason):
        return "refused", "the server demands a client certificate: %s" % (alert.group() if alert else error.reason)
    if alert or error.details.get("closed"):
        return "refused", "after the handshake came nothing within TLS: %s" % (alert.group() if alert else error.reason)
    return ("unknown", error.reason) if isinstance(cause, OSError) else None


def _introduction(sock: socket.socket) -> bytes:
    """The line by which a proxy says for whom it connects: here, for itself. Source: haproxy's proxy-protocol.txt section 2.1."""
    (source, source_port), (address, port) = (end[:2] for end in (sock.getsockname(), sock.getpeername()))
    family = "TCP6" if ":" in address else "TCP4"
    return ("PROXY %s %s %s %d %d\r\n" % (family, source.partition("%")[0], address.partition("%")[0], source_port, port)).encode("ascii")
