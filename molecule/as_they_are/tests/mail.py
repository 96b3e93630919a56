# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages with a marker each, by the ways of a configuration, and what became of them."""
from __future__ import annotations

import json
import shlex
import smtplib
import socket
import ssl
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

from configurations import PASSWORD, Held, Way
from place import Place

_PROXY = b"PROXY TCP4 198.51.100.7 198.51.100.1 40000 25\r\n"
_TIMEOUT = 10


@dataclass
class Message:
    """accepted: Postfix took it over. uncertain: the connection was lost at a moment where that is not known."""

    marker: str
    way: Way
    accepted: bool = False
    uncertain: bool = False
    errors: list = field(default_factory=list)


class _Plain(smtplib.SMTP):
    proxied, inside = False, None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = socket.create_connection((host, port), timeout)
        if self.proxied:
            connection.sendall(_PROXY)
        return connection if self.inside is None else self.inside.wrap_socket(connection, server_hostname=self.name)


def session(place: Place, way: Way, context: ssl.SSLContext | None = None) -> smtplib.SMTP:
    """An open one, greeted, under TLS where the way says so, its certificate verified for the name that is expected unless the context says
    otherwise. seen_in_clear: what EHLO offered before TLS.
    """
    trusting = context or ssl.create_default_context(cafile=place.host.vars["lab_ca_file"])
    if way.certificate:
        trusting.load_cert_chain(place.client_certificate, place.client_key)
    opened = _Plain(local_hostname="client.stranger.test", timeout=_TIMEOUT)
    opened.proxied, opened.name = way.proxied, way.name or place.host.fqdn
    opened.inside = trusting if way.tls == "wrapped" else None
    code, text = opened.connect(getattr(place, way.at), way.port)
    if code != 220:
        raise smtplib.SMTPConnectError(code, text)
    opened._host = opened.name
    opened.ehlo()
    opened.seen_in_clear = {} if opened.inside else dict(opened.esmtp_features)
    if way.tls == "starttls":
        opened.starttls(context=trusting)
        opened.ehlo()
    return opened


def compose(marker: str, sender: str, recipient: str) -> str:
    return "From: %s\nTo: %s\nSubject: %s\nX-Marker: %s\n\nThe body holds %s too.\n" % (sender, recipient, marker, marker, marker)


def send(place: Place, way: Way) -> Message:
    """Tries once."""
    message = Message("mark%s" % uuid.uuid4().hex, way)
    try_again(place, message)
    return message


def try_again(place: Place, message: Message) -> None:
    way = message.way
    sender, recipient = way.sender.replace("FQDN", place.host.fqdn), way.recipient.replace("FQDN", place.host.fqdn)
    text = compose(message.marker, sender, recipient)
    if not way.port:
        try:
            place.host.run("sendmail -C %s -f %s %s" % (way.directory, shlex.quote(sender), shlex.quote(recipient)), stdin=text)
            message.accepted = True
        except AssertionError as error:
            message.errors.append(str(error))
        return
    given = False
    try:
        opened = session(place, way)
        if way.user:
            opened.user, opened.password = way.user, PASSWORD
            opened.auth("PLAIN", opened.auth_plain)
        for code, reply in (opened.mail(sender), opened.rcpt(recipient)):
            if code != 250:
                raise smtplib.SMTPResponseException(code, reply)
        given = True
        code, reply = opened.data(text)
        given = False
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
        message.accepted = True
        opened.close()
    except (OSError, smtplib.SMTPException) as error:
        message.uncertain = given
        message.errors.append("%s: %r" % (way, error))


class Traffic:
    """Sends a message by one way after the other until it is stopped; what is refused or finds nobody is tried again, as senders do."""

    def __init__(self, place: Place, ways: tuple, pause: float = 1.0) -> None:
        self.messages: list = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, args=(place, ways, pause), daemon=True)
        self._thread.start()

    def _go_on(self, place: Place, ways: tuple, pause: float) -> None:
        turn = 0
        while not self._stopped.is_set():
            self.messages.append(send(place, ways[turn % len(ways)]))
            turn += 1
            self._stopped.wait(pause)
        deadline = time.monotonic() + 20
        while (left := [one for one in self.messages if not one.accepted and not one.uncertain]) and time.monotonic() < deadline:
            for message in left:
                try_again(place, message)

    def stop(self) -> list:
        self._stopped.set()
        self._thread.join()
        return self.messages


def arrived(place: Place) -> Counter:
    """{marker: how often it was delivered on the host itself}"""
    boxes = place.host.run("cat /var/mail/* 2>/dev/null | sed -n 's/^X-Marker: //p'; sed -n 's/.*\"marker\": \"\\([a-z0-9]*\\)\".*/\\1/p' /srv/stand-ins/taken",
                           check=False)
    return Counter(boxes.split())


def taken(partner: object) -> list:
    """What the partner took, by its own notes."""
    return [json.loads(line) for line in partner.run("cat /srv/stand-ins/taken 2>/dev/null || :").splitlines()]


def hold(place: Place, held: Held) -> str:
    """Sends what must wait; the marker."""
    marker = "mark%s" % uuid.uuid4().hex
    sender = held.sender or "admin@%s" % place.host.fqdn
    place.host.run("sendmail -C %s -f %s %s" % (held.directory, sender, held.recipient), stdin=compose(marker, sender, held.recipient))
    return marker


def waiting(place: Place, held: Held, tried: bool) -> list:
    """[(queue id, why)] of the mail that waits for this recipient. tried: only what was tried already."""
    rows = place.host.run("postqueue -c %s -j" % held.directory, check=False).splitlines()
    found = [(row["queue_id"], one.get("delay_reason", "")) for row in map(json.loads, rows) for one in row["recipients"] if one["address"] == held.recipient]
    return [entry for entry in found if entry[1] or not tried]
