# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail servers of kinds that no Postfix is on demand: fakes, but their TLS is OpenSSL's own. Takes a file of JSON, [{"address", "port", and what
is wrong}], and listens on them all. Every message is taken and forgotten.

chain: a file of key and chain. named: another one, for who asks for a name (SNI). demands: a file of CAs, of which a client needs a certificate.
newest: of TLS. suites: a cipher list of OpenSSL's.
banner, starttls, within, clear: what is said instead of 220, of 220 to STARTTLS, of 250 to EHLO within TLS, of 250 to MAIL in the clear.
closes: at the ClientHello.
"""
from __future__ import annotations

import json
import socket
import ssl
import sys
import threading


def context(kind: dict) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers(kind.get("suites", "ALL:@SECLEVEL=0"))
    made.minimum_version = ssl.TLSVersion.TLSv1
    made.maximum_version = getattr(ssl.TLSVersion, kind.get("newest", "TLSv1_3"))
    made.load_cert_chain(kind["chain"])
    if "demands" in kind:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(kind["demands"])
    if "named" in kind:
        other = context({"chain": kind["named"]})
        made.sni_callback = lambda connection, name, _context: setattr(connection, "context", other if name else made)
    return made


def serve(connection: socket.socket, kind: dict) -> None:
    secure, lines = False, connection.makefile("rwb")

    def say(text: str) -> None:
        lines.write(text.encode() + b"\r\n")
        lines.flush()

    say(kind.get("banner", "220 kinds.test ESMTP"))
    while line := lines.readline().decode("latin-1").strip():
        verb = line[:4].upper()
        if verb == "EHLO":
            say(kind["within"] if secure and "within" in kind else "250-kinds.test\r\n250-STARTTLS\r\n250 8BITMIME" if not secure else "250 kinds.test")
        elif verb == "STAR":
            say(kind.get("starttls", "220 Go on"))
            if kind.get("closes"):
                return connection.close()
            if "starttls" not in kind:
                connection = context(kind).wrap_socket(connection, server_side=True)
                secure, lines = True, connection.makefile("rwb")
        elif verb == "MAIL":
            say("250 Ok" if secure else kind.get("clear", "250 Ok"))
        elif verb == "DATA":
            say("354 Go on")
            while lines.readline().strip() != b".":
                pass
            say("250 Ok")
        elif verb == "QUIT":
            say("221 Bye")
            return connection.close()
        else:
            say("250 Ok" if verb in ("RCPT", "RSET", "NOOP") else "500 What?")
    return connection.close()


def quietly(connection: socket.socket, kind: dict) -> None:
    try:
        serve(connection, kind)
    except OSError:
        connection.close()


def listen(kind: dict) -> None:
    listener = socket.create_server((kind["address"], kind["port"]), backlog=128)
    while True:
        threading.Thread(target=quietly, args=(listener.accept()[0], kind), daemon=True).start()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        threads = [threading.Thread(target=listen, args=(kind,)) for kind in json.load(file)]
    for thread in threads:
        thread.start()
