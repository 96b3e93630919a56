# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab host: what a server answers to the last command of a dialogue, for each line of standard input, as JSON.

Each line is a dictionary: host, recipient, sender, tls, and xclient for attributes of XCLIENT, by which a server takes this client for another.
"""
from __future__ import annotations

import json
import smtplib
import ssl
import sys


def answer(host: str, recipient: str, sender: str, tls: bool = False, xclient: str = "") -> str:
    """The first reply that refuses, else that to RCPT."""
    try:
        with smtplib.SMTP(host, 25, "dialogue.example", timeout=20) as server:
            server.ehlo()
            if tls:
                server.starttls(context=ssl._create_unverified_context())
                server.ehlo()
            if xclient:
                server.docmd("XCLIENT " + xclient)
                server.ehlo()
            server.command_encoding = "utf-8"
            code, text = server.mail(sender, [] if sender.isascii() else ["SMTPUTF8"])
            if code == 250:
                code, text = server.rcpt(recipient)
            return "%d %s" % (code, text.decode())
    except smtplib.SMTPConnectError as error:
        return "%d %s" % (error.smtp_code, error.smtp_error.decode())


print(json.dumps([answer(**json.loads(line)) for line in sys.stdin]))
