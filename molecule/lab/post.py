# SPDX-License-Identifier: GPL-3.0-or-later
"""Real messages between lab hosts, and what the wire showed meanwhile. Used by the scenarios and by the demo."""
from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Callable

from capture import Capture
from reach import Host

WAIT = 30.0  # seconds a message may take from one lab host to the other


@dataclass
class Sent:
    """One message as it went. wire: every captured byte, to and from port 25. message: as delivered, None if it was not."""

    marker: str
    wire: bytes
    message: str | None
    log: str

    @property
    def received(self) -> str:
        """The topmost Received: header, unfolded: what the receiving host says of how it came."""
        headers = (self.message or "").split("\n\n", 1)[0].replace("\n\t", " ").replace("\n ", " ")
        return next((line for line in headers.splitlines() if line.startswith("Received:")), "")


def send(sender: Host, receiver: Host, until_deferred: bool = False) -> Sent:
    """Sends one message while tcpdump listens on the sender, and waits until it is delivered, or deferred."""
    marker = "marker-%s" % uuid.uuid4().hex
    capture = Capture(sender, "tcp port 25 and not host 127.0.0.1")
    log_from = int(sender.run("wc -c </var/log/mail.log"))
    sender.run(
        "printf 'Subject: %s\\n\\nThe body holds %s too.\\n' | sendmail -f admin@%s admin@%s"
        % (marker, marker, sender.fqdn, receiver.fqdn)
    )
    return _gather(sender, receiver, marker, capture, log_from, until_deferred)


def flush(sender: Host, receiver: Host, marker: str) -> str | None:
    """Has the sender try its queue again, and returns the message with this marker when it is delivered."""
    sender.run("postqueue -f")
    return wait(lambda: _delivered(receiver, marker))


def ehlo(host: Host, seen_from: Host) -> str:
    """What the host's port 25 says to EHLO, by bash alone."""
    return seen_from.run(
        "bash -c 'exec 3<>/dev/tcp/%s/25; read -r -u 3 banner; printf \"EHLO probe.lab.test\\r\\n\" >&3;"
        " while read -r -t 5 -u 3 line; do echo \"$line\"; case $line in \"250 \"*) break;; esac; done;"
        " printf \"QUIT\\r\\n\" >&3'" % host.fqdn
    )


def _gather(sender: Host, receiver: Host, marker: str, capture: Capture, log_from: int, until_deferred: bool) -> Sent:
    def deferred() -> str:
        return sender.run("tail -c +%d /var/log/mail.log | grep 'status=deferred'" % (log_from + 1), check=False)

    wait(deferred if until_deferred else (lambda: _delivered(receiver, marker) or deferred()))
    wire = capture.stop()
    log = sender.run("tail -c +%d /var/log/mail.log" % (log_from + 1))
    return Sent(marker, wire, _delivered(receiver, marker), log)


def _delivered(receiver: Host, marker: str) -> str | None:
    """The message with this marker from the receiver's mailbox."""
    box = receiver.run("cat /var/mail/admin 2>/dev/null", check=False)
    return next((message for message in ("\n" + box).split("\nFrom ") if marker in message), None)


def wait(look: Callable[[], object], seconds: float = WAIT) -> object:
    """The first look that shows something; None where none does in that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.2)
    return None
