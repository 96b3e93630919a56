# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether a server accepts one protocol version. Refused is only what the server itself refuses; everything else is unknown."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import client_hello
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import Connection
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.server_flight import Alert, parse
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import BY_WIRE

#: Alerts that answer the question: handshake_failure, protocol_version, insufficient_security, inappropriate_fallback.
#: Others, internal_error for one, speak of the server's own state.
_REFUSALS = (40, 70, 71, 86)


def ask(connection: Connection, version: str, server_name: str | None) -> dict:
    """{verdict: accepted, refused or unknown; reason}. connection: where the server now expects a ClientHello."""
    try:
        connection.send(client_hello(version, server_name), "taking a ClientHello")
        received = b""
        answer = None
        while answer is None:
            received += connection.receive("answering a ClientHello")
            answer = parse(received)
    except PostfixTlsError as error:
        return {"verdict": "unknown", "reason": error.reason}
    if isinstance(answer, Alert):
        return {"verdict": "refused" if answer.description in _REFUSALS else "unknown", "reason": str(answer)}
    chosen = BY_WIRE.get(answer.version)
    if chosen is None:
        return {"verdict": "unknown", "reason": "ServerHello with the unknown version 0x%04x" % answer.version}
    return {"verdict": "accepted" if chosen.name == version else "refused", "reason": "ServerHello with %s" % chosen.name}
