# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""One TCP connection to one target: bytes in and out, bounded in time and amount, whatever the other side does.

Everything that goes wrong on the way raises PostfixTlsError with the reason in words; nothing else leaves this file.
"""
from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import threading
import time

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.idna import a_labels

#: Bytes one connection may send us; the longest EHLO and certificate chain seen in the wild need a tenth of it.
MOST_BYTES = 256 * 1024

#: Seconds. Whoever waits longer means something else, and from some number on the system's clock can't.
A_DAY = 86400


class Deadline:
    """seconds: for everything one target needs, name look-up and all its connections included. On a monotonic clock, which runs from the
    first question how much is left. Threads share it.

    A server that lets each connection wait for its greeting is no slower than others once it has greeted. So the time that it took to greet
    is given back, up to twice what there was; who never greets gets nothing.
    """

    def __init__(self, seconds: float, clock=time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end: float | None = None
        self._spare = 2 * seconds
        self._greeted = 0.0
        self._lock = threading.Lock()

    def left(self) -> float:
        """Seconds, never below zero."""
        with self._lock:
            if self._end is None:
                self._end = self._clock() + self.seconds
            return max(0.0, self._end - self._clock())

    def greeted(self, since: float) -> None:
        """A greeting came that was waited for since then, on the clock. Of connections that wait side by side, the time counts once."""
        with self._lock:
            now = self._clock()
            waited = min(self._spare, now - max(since, self._greeted))
            self._greeted = now
            if self._end is not None and waited > 0:
                self._spare -= waited
                self._end += waited

    def now(self) -> float:
        """On its clock."""
        return self._clock()


class Connection:
    """where: host and port for messages. deadline: of the whole target, so that many slow answers can't add up."""

    def __init__(self, sock: socket.socket, deadline: Deadline, where: str) -> None:
        self.socket = sock
        self.deadline = deadline
        self.where = where
        self._received = 0
        self._opened = deadline.now()
        self._until: float | None = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.socket.close()

    def greeted(self) -> None:
        """The server's greeting has come: the time that it took is not held against it."""
        self.deadline.greeted(self._opened)

    def hurry(self) -> None:
        """From here on this connection has half of the time that is left: who never answers leaves the other half for further connections."""
        self._until = self.deadline.now() + self.deadline.left() / 2

    def _left(self) -> float:
        """Seconds for this connection."""
        left = self.deadline.left()
        return left if self._until is None else min(left, max(0.0, self._until - self.deadline.now()))

    def send(self, data: bytes, purpose: str) -> None:
        self._bounded(purpose, self.socket.sendall, data)

    def receive(self, purpose: str) -> bytes:
        """What is there, at most 4096 bytes; waits for the first one. Raises at the end of the stream, too."""
        data = self._bounded(purpose, self._receive)
        if not data:
            raise failure(self.where, "the server closed the connection instead of %s" % purpose, closed=True)
        self._received += len(data)
        if self._received > MOST_BYTES:
            raise failure(self.where, "the server sent more than %d bytes" % MOST_BYTES)
        return data

    def readable(self, seconds: float) -> bool:
        """Whether something comes within so many seconds, or as many as are left."""
        if getattr(self.socket, "pending", int)():
            return True
        waiting = select.poll()
        waiting.register(self.socket, select.POLLIN)
        return bool(waiting.poll(min(seconds, self.deadline.left()) * 1000))

    def _receive(self) -> bytes:
        if hasattr(socket, "TCP_QUICKACK"):
            # A TLS 1.3 server's reply may wait for our ACK of its session tickets, which Linux would delay by 40 ms.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return self.socket.recv(4096)

    def start_tls(self, context: ssl.SSLContext, server_name: str | None) -> None:
        """A handshake on this connection; send and receive speak through it afterwards."""
        purpose = "finishing the handshake"
        self.socket = self._bounded(purpose, self._wrap, context, server_name)
        self._bounded(purpose, self.socket.do_handshake)

    def _wrap(self, context: ssl.SSLContext, server_name: str | None) -> ssl.SSLSocket:
        return context.wrap_socket(self.socket, server_hostname=server_name, do_handshake_on_connect=False)

    def _bounded(self, purpose, act, *arguments):
        """What act returns. Its errors become PostfixTlsError, each with the original as its cause."""
        try:
            return self._in_time(act, *arguments)
        except socket.timeout as error:
            limit = "the limit is %g s for everything" % self.deadline.seconds
            if self._until is not None and self.deadline.left():
                limit += ", and half of what was left of it has to do for this"
            raise failure(self.where, "no time was left for %s: %s" % (purpose, limit)) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise failure(self.where, "the server closed the connection instead of %s" % purpose, closed=True) from error
        except ssl.SSLError as error:
            raise failure(self.where, words(error)) from error
        except OSError as error:
            closed = {"closed": True} if isinstance(error, ConnectionError) else {}
            raise failure(self.where, "%s instead of %s" % (words(error), purpose), **closed) from error

    def _in_time(self, act, *arguments):
        """What act returns. What is received is waited for again where other connections were given more time meanwhile."""
        while True:
            left = self._left()
            if not left:
                raise socket.timeout()
            self.socket.settimeout(left)
            try:
                return act(*arguments)
            except socket.timeout:
                if act != self._receive:
                    raise


def connect(host: str, port: int, deadline: Deadline, source_address: str | None = None) -> tuple:
    """(Connection, address) of the first of the host's addresses that answers."""
    where = endpoint(host, port)
    addresses = _resolve(host, port, deadline, where)
    refusals, closed = [], True
    for position, (family, address) in enumerate(addresses):
        sock = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            if source_address:
                sock.bind((source_address, 0))
            # What is left is shared, so that one dead address leaves time for the next.
            sock.settimeout(max(deadline.left() / (len(addresses) - position), 0.001))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Connection(sock, deadline, where), _written(address)
        except OSError as error:
            if sock:
                sock.close()
            closed = closed and isinstance(error, ConnectionError)
            refusals.append("%s: %s" % (address[0], _refusal(error, address, source_address)))
    raise failure(where, "; ".join(refusals), closed=closed)


def _refusal(error: OSError, address: tuple, source_address: str | None) -> str:
    """Why no connection to this socket address came about."""
    if isinstance(error, socket.timeout):
        return "no answer"
    if source_address and (":" in source_address) != (":" in address[0]):
        return "not tried, for %s is of the other address family" % source_address
    if error.errno == errno.EINVAL and address[0].lower().startswith("fe80:") and not address[3]:
        return "a link-local address is one of an interface, as in %s%%eth0" % address[0]
    return words(error)


def _resolve(host: str, port: int, deadline: Deadline, where: str) -> list:
    """[(family, socket address)]. Nobody is asked about what is an address already, as it is for all connections but a target's first."""
    try:
        host = host if host.isascii() else a_labels(host)  # by IDNA 2008, for getaddrinfo has that of 2003
    except UnicodeError as error:
        raise failure(where, "the name does not resolve: %s" % error) from None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        address, _percent, interface = host.partition("%")
        if ":" in address and interface:
            raise failure(where, "this machine has no interface %s" % interface) from None
        found = _asked(host, port, deadline, where)
    return [(family, address) for family, _type, _protocol, _name, address in found]


def _asked(host: str, port: int, deadline: Deadline, where: str) -> list:
    """As getaddrinfo has it. The system's resolver knows no deadline, so it is left behind when it takes too long."""
    outcome: list = []

    def ask() -> None:
        try:
            outcome.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            outcome.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(deadline.left())
    if not outcome:
        raise failure(where, "the name was not resolved within %g s" % deadline.seconds)
    found = outcome[0]
    if isinstance(found, socket.gaierror):
        raise failure(where, "the name does not resolve: %s" % (found.strerror or found))
    if isinstance(found, Exception):
        raise failure(where, "the name can't be looked up: %s" % found)
    return found


def endpoint(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets."""
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)


def _written(address: tuple) -> str:
    """A socket address without its port, a link-local one with the interface it is on."""
    return "%s%%%s" % (address[0], socket.if_indextoname(address[3])) if len(address) == 4 and address[3] else address[0]


def failure(where: str, reason: str, **details: object) -> PostfixTlsError:
    """The error of a connection that could not be used to the end. details: closed, where the server ended it, by a reset, too."""
    return PostfixTlsError(where, "", reason, "Look at the server's log, and at what stands between.", **details)


def words(error: Exception) -> str:
    """The reason without Python's decoration: V(WRONG_VERSION_NUMBER) of OpenSSL is wrong version number."""
    if isinstance(error, ssl.SSLError):
        return printable((error.reason or str(error)).replace("_", " ").lower())
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens there"
    number = getattr(error, "errno", None) or 0
    return os.strerror(number).lower() if number > 0 else printable(str(error))


def printable(text) -> str:
    """Text or bytes of a stranger as visible ASCII; anything else is shown as its escape."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "backslashreplace")
    return "".join(
        character if " " <= character <= "~" else character.encode("unicode_escape").decode("ascii") for character in text
    )
