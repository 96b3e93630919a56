# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake of what some firewalls do, since none of those is to be had: listens on port 25, passes all on to the port 25 of another host, and
takes the word STARTTLS out of what that says to EHLO. With 'honest' for a second argument it passes that on too.

The sender can't tell it from a partner without TLS: the reply keeps its form, and a line whose keyword is gone is left out whole.
"""
from __future__ import annotations

import re
import socket
import sys
import threading

_OFFER = re.compile(rb"250[- ]STARTTLS\r\n")


def pump(source: socket.socket, target: socket.socket, strips: bool) -> None:
    """Passes on what comes, until one side ends. A reply to EHLO is small enough to come in one piece."""
    try:
        while data := source.recv(65536):
            target.sendall(_OFFER.sub(b"", data) if strips else data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(host: str, strips: bool) -> None:
    listener = socket.create_server(("", 25))
    while True:
        client, _address = listener.accept()
        server = socket.create_connection((host, 25))
        for arguments in ((client, server, False), (server, client, strips)):
            threading.Thread(target=pump, args=arguments, daemon=True).start()


if __name__ == "__main__":
    serve(sys.argv[1], "honest" not in sys.argv[2:])
