# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Looks at one mail server, or at many at once, the way a peer does, and writes down what it saw.

It judges nothing (C(checks) does), knows nothing of Ansible and needs nothing but the standard library.
"""
from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import acceptance, certificate, names
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import A_DAY, Connection, Deadline, connect, failure
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.handshake import Contexts, Handshake, anchored, contexts, shake
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.smtp import Dialogue, keywords
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

#: {protocol: its port}. smtps speaks TLS from the first byte (RFC 8314 section 3.3), the others STARTTLS.
PORTS = {"smtp": 25, "submission": 587, "smtps": 465}

#: One fixed name, so that a postmaster can tell these connections from others in the log. RFC 2606 keeps it from being anybody's.
EHLO_NAME = "starttls-verify.invalid"


@dataclass(frozen=True)
class Target:
    """host: name or address. port: of the protocol when None. server_name: for SNI and the certificate, the host when None.

    address: where to connect instead of where the host resolves to. Raises PostfixTlsError for values that can't be.
    """

    host: str
    port: Optional[int] = None
    protocol: str = "smtp"
    server_name: Optional[str] = None
    address: Optional[str] = None

    def __post_init__(self) -> None:
        if self.protocol not in PORTS:
            raise PostfixTlsError("protocol", self.protocol, "it is none of %s" % ", ".join(PORTS), "Write one of them.")
        if self.port is None:
            object.__setattr__(self, "port", PORTS[self.protocol])
        if not 0 < self.port < 65536:
            raise PostfixTlsError("port", self.port, "ports go from 1 to 65535", "Leave it out for the protocol's own.")
        for item in ("host", "server_name", "address"):
            value = getattr(self, item)
            if value is not None and not re.match(r"[^\s/\[\]\x00-\x1f]{1,253}\Z", value):
                raise PostfixTlsError(item, repr(value), "that is no host name and no address", "Write one, without a port and brackets.")
        if self.address and not names.packed_address(self.address):
            raise PostfixTlsError("address", self.address, "that is no IP address", "Write the name as host, or an address here.")
        try:
            names.ascii_name(self.name)
        except UnicodeError as error:
            raise PostfixTlsError("server_name", self.name, "DNS can't hold that name: %s" % error, "Write it as DNS has it.") from error

    @property
    def name(self) -> str:
        """What the certificate has to be made out to."""
        return self.server_name or self.host

    @property
    def sni(self) -> str | None:
        """RFC 6066 section 3: a host name in ASCII, and none for an address."""
        return None if names.packed_address(self.name) else names.ascii_name(self.name)


@dataclass(frozen=True)
class Look:
    """How to look. timeout: seconds for everything at one target. ca_file, ca_content: PEM, trusted instead of the system's store.

    versions: ask for every protocol version, one connection each. details: facts of certificates that need C(cryptography).
    """

    timeout: float = 20.0
    ca_file: Optional[str] = None
    ca_content: Optional[str] = None
    ehlo_name: str = EHLO_NAME
    source_address: Optional[str] = None
    versions: bool = True
    details: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= A_DAY:
            raise PostfixTlsError("timeout", self.timeout, "it has to be more than 0 seconds and at most a day", "20 is enough for postscreen.")
        if not re.match(r"[A-Za-z0-9.:_\[\]-]{1,255}\Z", self.ehlo_name):
            raise PostfixTlsError("ehlo_name", repr(self.ehlo_name), "that is no host name", "Leave it out for %s." % EHLO_NAME)
        if self.source_address and not names.packed_address(self.source_address):
            raise PostfixTlsError("source_address", self.source_address, "that is no IP address", "Write one of this machine's.")


def probe(target: Target, look: Look) -> dict:
    """The facts, the same structure whatever happens. Raises PostfixTlsError only for a look that can't be (ca_file)."""
    return _Probe(target, look, contexts(look.ca_file, look.ca_content)).facts()


def probe_all(targets: list, look: Look, concurrency: int = 32) -> list:
    """The facts of each target, in the order of targets, concurrency of them at a time; each has its own deadline."""
    from concurrent.futures import ThreadPoolExecutor

    shared = contexts(look.ca_file, look.ca_content)
    with ThreadPoolExecutor(max_workers=max(1, min(concurrency, len(targets)))) as pool:
        return list(pool.map(lambda target: _Probe(target, look, shared).facts(), targets))


class _Probe:
    """One target. What is seen is kept at once, so that it is there even when the next step fails."""

    def __init__(self, target: Target, look: Look, shared: Contexts) -> None:
        self.target = target
        self.look = look
        self.contexts = shared
        self.deadline = Deadline(look.timeout)
        self.address = target.address
        self.ended = False  # the server said 421: no further connection
        self.refusal: str | None = None  # what the server said instead of taking STARTTLS
        self.reachable = False
        self.error: str | None = None
        self.smtp: dict = dict.fromkeys(("banner", "ehlo", "starttls", "starttls_reply", "after_starttls", "ehlo_after_tls"))
        self.tls: dict | None = None
        self.certificates: list = []

    def facts(self) -> dict:
        try:
            self._look()
        except PostfixTlsError as error:
            self._note(error)
        return {
            "target": {
                "host": self.target.host, "port": self.target.port, "protocol": self.target.protocol,
                "server_name": self.target.name, "address": self.address,
            },
            "reachable": self.reachable,
            "error": self.error,
            "smtp": self.smtp,
            "tls": self.tls,
            "certificates": self.certificates,
        }

    def _look(self) -> None:
        verified = self._handshake(self.contexts.verifying)
        if verified is None:
            return
        seen = verified
        self.tls = _tls(verified, verified)
        if verified.untrusted:
            seen = self._handshake(self.contexts.permissive) or verified
            unread = [der for der, info in seen.certificates[:1] if info is None]
            readable = self._handshake(anchored(unread[0])) if unread else None
            if readable and readable.certificates:
                seen = readable
        self.certificates = [certificate.facts(der, info, self.look.details) for der, info in seen.certificates]
        self.tls = _tls(verified, seen)
        self.tls["name"] = _name(self.certificates, self.target.sni or self.target.name)
        if self.look.versions:
            for version in NAMES:
                self.tls["versions"][version] = self._version(version, seen)

    def _handshake(self, context: ssl.SSLContext) -> Handshake | None:
        """One connection up to EHLO after TLS; None where the server offers no STARTTLS."""
        with self._connect() as connection:
            dialogue = Dialogue(connection)
            self.refusal = self._until_tls(dialogue)
            if self.smtp["starttls"] is False:
                return None
            if self.refusal:
                return Handshake("refused", self.refusal)
            outcome = shake(connection, context, self.target.sni)
            if outcome.verdict == "done":
                try:
                    if self.target.protocol == "smtps":
                        self._greeting(dialogue)
                    self._keep("ehlo_after_tls", self._ehlo(dialogue))
                    dialogue.leave()
                except PostfixTlsError as error:
                    self._note(error)
            return outcome

    def _version(self, version: str, seen: Handshake) -> dict:
        if version == seen.version:
            return {"verdict": "accepted", "reason": "the handshake was done with it"}
        if self.refusal:
            return {"verdict": "refused", "reason": self.refusal}
        if self.ended:
            return {"verdict": "unknown", "reason": "not asked, because %s" % self.error}
        try:
            with self._connect() as connection:
                refusal = self._until_tls(Dialogue(connection))
                if refusal:
                    # Whoever starts TLS too often hears this (smtpd_client_new_tls_session_rate_limit), whatever the version.
                    return {"verdict": "unknown", "reason": refusal}
                return acceptance.ask(connection, version, self.target.sni)
        except PostfixTlsError as error:
            self._note(error)
            return {"verdict": "unknown", "reason": error.reason}

    def _connect(self) -> Connection:
        connection, self.address = connect(
            self.address or self.target.host, self.target.port, self.deadline, self.look.source_address,
        )
        return connection

    def _until_tls(self, dialogue: Dialogue) -> str | None:
        """Until the server expects a ClientHello; else what it said instead."""
        if self.target.protocol == "smtps":
            self.reachable = True
            return None
        self._greeting(dialogue)
        capabilities = self._ehlo(dialogue)
        self._keep("ehlo", capabilities)
        self.reachable = True
        offered = "STARTTLS" in keywords(capabilities)
        self._keep("starttls", offered)
        if not offered:
            dialogue.leave()
            return "STARTTLS is not offered"
        reply = dialogue.command("STARTTLS")
        self._keep("starttls_reply", str(reply))
        if reply.code != 220:
            dialogue.leave()
            return str(reply)
        self._keep("after_starttls", dialogue.discard() or None)
        return None

    def _greeting(self, dialogue: Dialogue) -> None:
        banner = dialogue.banner()
        self._keep("banner", str(banner))
        if banner.code != 220:
            dialogue.leave()
            raise failure(dialogue.connection.where, "the server turned us away: %s" % str(banner))

    def _ehlo(self, dialogue: Dialogue) -> list:
        reply = dialogue.command("EHLO %s" % self.look.ehlo_name)
        if reply.code != 250:
            dialogue.leave()
            raise failure(dialogue.connection.where, "the server refused EHLO: %s" % str(reply))
        return list(reply.lines[1:])

    def _keep(self, key: str, value: object) -> None:
        """The first connection tells; the later ones repeat it."""
        if self.smtp[key] is None:
            self.smtp[key] = value

    def _note(self, error: PostfixTlsError) -> None:
        self.error = self.error or error.reason
        self.ended = self.ended or bool(error.details.get("session_ended"))


def _tls(verified: Handshake, seen: Handshake) -> dict:
    """verified: the handshake that judged the chain. seen: the one that the other facts are from, often the same."""
    trust = {"done": "pass"}.get(verified.verdict, "fail" if verified.untrusted else "unknown")
    return {
        "handshake": seen.verdict,
        "reason": seen.reason or None,
        "version": seen.version,
        "cipher": seen.cipher,
        "versions": {},
        "trust": {"verdict": trust, "reason": verified.untrusted or verified.reason or "the chain ends at a trusted CA"},
        "name": {"verdict": "unknown", "reason": "no certificate was seen"},
    }


def _name(certificates: list, wanted: str) -> dict:
    made_out_to = certificates[0]["names"] if certificates else None
    if made_out_to is None:
        return {"verdict": "unknown", "reason": "the certificate's names could not be read" if certificates else "no certificate was seen"}
    shown = ", ".join(made_out_to[:10]) or "no name at all"
    return {
        "verdict": "pass" if names.covers(made_out_to, wanted) else "fail",
        "reason": "the certificate is made out to %s" % shown,
    }
