# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether a server takes something else for the end of a message than CR LF . CR LF (CVE-2023-51764, RFC 5321 section 4.1.1.4).

Where it does, one message is delivered to the recipient that was named; where it does not, the connection is closed within the
message, and the server drops it.
"""
from __future__ import annotations

from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import Dialogue

#: {name: bytes} of ends that are none.
ENDS = {"LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CRLF": b"\r.\r\n", "CRLF NUL.CRLF": b"\r\n\x00.\r\n"}

#: Seconds without a reply after which a server waits for more of the message: one that filters before it answers takes its time.
_PATIENCE = 4.0

_MESSAGE = "Subject: a harmless test of how this server ends messages\r\n\r\nIt is delivered only where a %s ends a message."


def ask(dialogue: Dialogue, recipient: str, end: str) -> dict:
    """{verdict: accepted, refused or unknown; reason}. dialogue: after EHLO. The connection is of no further use."""
    for command, expected in (("MAIL FROM:<>", 250), ("RCPT TO:<%s>" % recipient, 250), ("DATA", 354)):
        reply = dialogue.command(command)
        if reply.code != expected:
            return {"verdict": "unknown", "reason": "%s: %s" % (command.partition(" ")[0], reply)}
    dialogue.connection.send((_MESSAGE % end).encode("ascii") + ENDS[end], "taking a message")
    reply = dialogue.patiently(_PATIENCE)
    if reply is None:
        return {"verdict": "refused", "reason": "%g s of silence: the server waits for more of the message" % _PATIENCE}
    return {"verdict": "accepted" if reply.code == 250 else "refused", "reason": str(reply)}


def asker(recipient: str, connected: Callable[[], object], note: Callable[[PostfixTlsError], None]) -> Callable[[str], dict]:
    """Name of an end -> {verdict, reason}. connected: a context manager that gives a Dialogue after EHLO. note: takes what went wrong."""
    def answer(end: str) -> dict:
        try:
            with connected() as dialogue:
                return ask(dialogue, recipient, end)
        except PostfixTlsError as error:
            note(error)
            return {"verdict": "unknown", "reason": error.reason}
    return answer
