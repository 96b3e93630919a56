# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail servers on loopback that behave as told: fakes, because no real one is broken or hostile on demand.

The healthy one speaks TLS through Python's own ssl; what real Postfix does is what the scenarios look at.
"""
from __future__ import annotations

import os
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import failure
from issuing import Issued


@dataclass
class Behaviour:
    """chain: key and leaf to serve; None offers no STARTTLS. more: certificates behind the leaf. versions: lowest and highest.

    instead: what to do with the connection instead of everything; at_tls: instead of the handshake, once STARTTLS was answered;
    after_handshake: besides, when a handshake after STARTTLS is done. obeys_injected: what came in the clear behind STARTTLS is a command
    within TLS (CVE-2011-0411). refuses_injected: what it says of it before it leaves. mail: the reply to MAIL before TLS. ends: what it
    takes for the end of a message (CVE-2023-51764). pause: seconds before it greets.
    hello: from a ClientHello to bytes to answer it with, or None to go on as usual. suites: an OpenSSL cipher list. own_order: whether
    its own order counts. second: another chain, of another algorithm. curve: the only one it takes. dh_parameters: PEM, for suites
    with DHE. changing: from the number of a connection to another chain to serve on it, or None. refusal: what it sends in place of an alert to
    a ClientHello that does not suit, before it closes. demands: whether clients need a certificate. at_mail: instead of a reply to MAIL before TLS.
    greets: from the number of a connection to whether it does. ehlo_reply: instead of what ehlo_after is for, before it leaves. third: as second.
    nameless: the chain for who sends no server name.
    """

    chain: Issued | None = None
    more: tuple = ()
    banner: bytes = b"220 mx.example.org ESMTP\r\n"
    pause: float = 0.0
    ehlo: tuple = (b"PIPELINING",)
    ehlo_after: tuple = (b"PIPELINING",)
    ehlo_reply: bytes = b""
    starttls: bytes = b"220 2.0.0 Ready to start TLS\r\n"
    implicit: bool = False
    versions: tuple = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    instead: Callable | None = None
    at_tls: Callable | None = None
    after_handshake: Callable = lambda: None
    hello: Callable = lambda _client_hello: None
    curve: str | None = None
    dh_parameters: str | None = None
    obeys_injected: bool = False
    refuses_injected: bytes = b""
    changing: Callable = lambda _number: None
    mail: bytes = b"250 2.1.0 Ok\r\n"
    ends: tuple = (b"\r\n.\r\n",)
    suites: str = "ALL:@SECLEVEL=0"
    own_order: bool = True
    second: Issued | None = None
    refusal: bytes | None = None
    demands: bool = False
    at_mail: Callable | None = None
    greets: Callable = lambda _number: True
    third: Issued | None = None
    nameless: Issued | None = None


class MailServer:
    """with MailServer(behaviour) as server: server.port answers, each connection in a thread of its own."""

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1") -> None:
        self.behaviour = behaviour
        self.connections = 0
        self.names: list = []  # that were asked for, SNI
        self.commands: list = []
        self.clients: set = set()  # their addresses
        self.left = threading.Event()  # a client said QUIT
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self._listener.getsockname()[1]
        self._open: list = []
        self._context = self._make_context(behaviour.chain, behaviour.second, behaviour.third) if behaviour.chain else None
        self._nameless = self._make_context(behaviour.nameless) if behaviour.nameless else None

    def __enter__(self) -> MailServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _make_context(self, *chains: Issued | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(self.behaviour.suites)
        if self.behaviour.dh_parameters:
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(self.behaviour.dh_parameters)
                file.flush()
                context.load_dh_params(file.name)
        if self.behaviour.curve:
            context.set_ecdh_curve(self.behaviour.curve)
        if not self.behaviour.own_order:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.minimum_version, context.maximum_version = self.behaviour.versions
        if self.behaviour.demands:
            context.verify_mode = ssl.CERT_REQUIRED
        context.sni_callback = self._named
        for chain in filter(None, chains):
            descriptor, path = tempfile.mkstemp()
            with os.fdopen(descriptor, "w") as file:
                file.write(chain.key_pem() + "".join(issued.pem for issued in (chain, *self.behaviour.more)))
            context.load_cert_chain(path)
            os.unlink(path)
        return context

    def _named(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self.names.append(name)
        if name is None and self._nameless:
            connection.context = self._nameless

    def _accept(self) -> None:
        while True:
            try:
                connection, client = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.clients.add(client[0])
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with connection:
                if self.behaviour.instead:
                    self.behaviour.instead(connection)
                elif self.behaviour.greets(number):
                    other = self.behaviour.changing(number)
                    self._speak(connection, self._make_context(other, self.behaviour.second) if other else self._context)
        except (OSError, ValueError):
            pass  # the client has what it came for

    def _speak(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        secure = self.behaviour.implicit
        if secure:
            connection = context.wrap_socket(connection, server_side=True)
        threading.Event().wait(self.behaviour.pause)  # not time.sleep, which tests of others replace
        connection.sendall(self.behaviour.banner)
        lines = _Lines(connection)
        while True:
            command = lines.next().strip().upper()
            self.commands.append(command)
            if command.startswith(b"EHLO"):
                if secure and self.behaviour.ehlo_reply:
                    connection.sendall(self.behaviour.ehlo_reply)
                    return
                offers = self.behaviour.ehlo_after if secure else self.behaviour.ehlo
                if context and not secure:
                    offers = (*offers, b"STARTTLS")
                said = (b"mx.example.org", *offers)
                connection.sendall(b"".join(b"250%s%s\r\n" % (b" " if at == len(said) else b"-", line) for at, line in enumerate(said, 1)))
            elif command == b"STARTTLS" and lines.held and self.behaviour.refuses_injected:
                connection.sendall(self.behaviour.refuses_injected)
                return
            elif command == b"STARTTLS" and context:
                connection.sendall(self.behaviour.starttls)
                if self.behaviour.at_tls:
                    self.behaviour.at_tls(connection)
                    return
                if self.behaviour.starttls.startswith(b"220"):
                    hello = connection.recv(4096, socket.MSG_PEEK)
                    answer = self.behaviour.hello(hello)
                    if answer is None and self.behaviour.refusal is not None and flight(context, hello) is None:
                        answer = self.behaviour.refusal
                    if answer is not None:
                        connection.recv(4096)  # what is left unread would make closing a reset
                        connection.sendall(answer)
                        return
                    connection = context.wrap_socket(connection, server_side=True)
                    lines, secure = _Lines(connection, lines.held if self.behaviour.obeys_injected else b""), True
                    self.behaviour.after_handshake()
            elif command == b"QUIT":
                self.left.set()
                connection.sendall(b"221 2.0.0 Bye\r\n")
                return
            elif not command:
                return
            elif command == b"DATA":
                connection.sendall(b"354 End data with <CR><LF>.<CR><LF>\r\n")
                lines.until(self.behaviour.ends)
                connection.sendall(b"250 2.0.0 Ok: queued\r\n")
            elif command.startswith(b"MAIL") and not secure and self.behaviour.at_mail:
                self.behaviour.at_mail(connection)
                return
            elif command.startswith(b"MAIL") and not secure:
                connection.sendall(self.behaviour.mail)
            elif command.partition(b" ")[0] in (b"NOOP", b"RSET", b"MAIL", b"RCPT"):
                connection.sendall(b"250 2.0.0 Ok\r\n")
            else:
                connection.sendall(b"502 5.5.2 Error: command not recognized\r\n")


def flight(context: ssl.SSLContext, hello: bytes) -> bytes | None:
    """What a server with this context says to a ClientHello; None where it refuses."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello)
    try:
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    except ssl.SSLError:
        return None
    raise AssertionError("a handshake that takes one message")


class _Lines:
    """Lines of a connection, and what came behind them."""

    def __init__(self, connection: socket.socket, held: bytes = b"") -> None:
        self.connection = connection
        self.held = held

    def next(self) -> bytes:
        """With its end; empty at the end of the stream."""
        return self.until((b"\n",))

    def until(self, ends: tuple) -> bytes:
        while not any(end in self.held for end in ends):
            more = self.connection.recv(4096)
            if not more:
                return b""
            self.held += more
        at = min(self.held.index(end) + len(end) for end in ends if end in self.held)
        taken, self.held = self.held[:at], self.held[at:]
        return taken


class Said:
    """A connection without a network: each piece is what one receive brings, and the end of them is the end of the stream."""

    where = "mx.example.org:25"

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.sent = b""

    def send(self, data: bytes, _purpose: str) -> None:
        self.sent += data

    def receive(self, purpose: str) -> bytes:
        if not self.pieces:
            raise failure(self.where, "the server closed the connection instead of %s" % purpose, closed=True)
        return self.pieces.pop(0)
