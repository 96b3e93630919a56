# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What to look at, and how."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import names
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.connection import A_DAY
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.suites import SETS

#: {protocol: its port}. smtps speaks TLS from the first byte (RFC 8314 section 3.3), the others STARTTLS.
PORTS = {"smtp": 25, "submission": 587, "smtps": 465}

#: One fixed name, so that a postmaster can tell these connections from others in the log. RFC 2606 keeps it from being anybody's.
EHLO_NAME = "starttls-verify.invalid"

#: How deep a look goes, each including those before it. handshake: one verified handshake. versions: which protocol versions are
#: accepted. standard: every usual question, within MOST_CONNECTIONS. full: every suite and group, one connection each.
DEPTHS = ("handshake", "versions", "standard", "full")
MOST_CONNECTIONS = 16


@dataclass(frozen=True)
class Target:
    """host: name or address. port: of the protocol when None. server_name: for SNI and the certificate, the host when None.

    address: where to connect instead of where the host resolves to. asks_by_name: whether SNI is sent, as Postfix's own client does only
    with smtp_tls_servername. proxied: whether each connection begins with a line of the PROXY protocol, as of a proxy in front.
    Raises PostfixTlsError for values that can't be.
    """

    host: str
    port: Optional[int] = None
    protocol: str = "smtp"
    server_name: Optional[str] = None
    address: Optional[str] = None
    asks_by_name: bool = True
    proxied: bool = False

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
            if value is not None and value.lower().startswith("ipv6:"):
                raise PostfixTlsError(item, value, "only Postfix's tables and next hops write an address so", "Write %s." % value[5:])
        if self.address and not _is_address(self.address):
            raise PostfixTlsError("address", self.address, "that is no IP address", "Write the name as host, or an address here.")
        try:
            names.ascii_name(self.name)
        except UnicodeError as error:
            raise PostfixTlsError("server_name", self.name, "DNS can't hold that name: %s" % error, "Write it as DNS has it.") from error

    @property
    def name(self) -> str:
        """What the certificate has to be made out to: an address without the interface it is on."""
        named = self.server_name or self.host
        return named.partition("%")[0] if _is_address(named) else named

    @property
    def sni(self) -> str | None:
        """RFC 6066 section 3: a host name in ASCII, and none for an address."""
        return None if names.packed_address(self.name) or not self.asks_by_name else names.ascii_name(self.name)


@dataclass(frozen=True)
class Look:
    """How to look. timeout: seconds for everything at one target. ca_file, ca_content: PEM, trusted instead of the system's store.

    depth: one of DEPTHS. sets: {name: numbers of suites before TLS 1.3}, each asked for at once. groups: names of those that a
    profile does not have, asked for at once. hashes: of handshake signatures, likewise.
    smuggling_recipient: who gets a message where other ends of one are taken, None to leave that alone.
    """

    timeout: float = 20.0
    ca_file: Optional[str] = None
    ca_content: Optional[str] = None
    ehlo_name: str = EHLO_NAME
    source_address: Optional[str] = None
    depth: str = "standard"
    sets: Optional[dict] = None
    groups: frozenset = frozenset()
    hashes: frozenset = frozenset(("MD5", "SHA1"))
    smuggling_recipient: Optional[str] = None

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= A_DAY:
            raise PostfixTlsError("timeout", self.timeout, "it has to be more than 0 seconds and at most a day", "20 is enough for postscreen.")
        if not re.match(r"[A-Za-z0-9.:_\[\]-]{1,255}\Z", self.ehlo_name):
            raise PostfixTlsError("ehlo_name", repr(self.ehlo_name), "that is no host name", "Leave it out for %s." % EHLO_NAME)
        if self.source_address and not _is_address(self.source_address):
            raise PostfixTlsError("source_address", self.source_address, "that is no IP address", "Write one of this machine's.")
        if self.depth not in DEPTHS:
            raise PostfixTlsError("depth", self.depth, "it is none of %s" % ", ".join(DEPTHS), "Leave it out for standard.")
        if self.smuggling_recipient and not re.match(r"[!-~]+@[!-~]+\Z", self.smuggling_recipient):
            raise PostfixTlsError(
                "smuggling_recipient", repr(self.smuggling_recipient), "that is no mail address", "Write one whose mailbox is yours.",
            )
        if self.sets is None:
            object.__setattr__(self, "sets", {name: SETS[name] for name in ("weak", "static_rsa", "cbc", "dhe")})

    def reaches(self, depth: str) -> bool:
        return DEPTHS.index(self.depth) >= DEPTHS.index(depth)


def _is_address(text: str) -> bool:
    """An IP address; a link-local one may have the interface it is on behind it (RFC 4007 section 11), as in fe80::1%eth0."""
    return names.packed_address(text.partition("%")[0] if ":" in text else text) is not None
