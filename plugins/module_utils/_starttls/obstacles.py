# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What keeps a look from seeing all there is, though nothing is wrong with TLS: limits, demands and load, in the server's own words.

Source: smtpd(8) and postscreen(8), their replies; postconf(5) for the parameters.
"""
from __future__ import annotations

import re
from typing import NamedTuple


class Obstacle(NamedTuple):
    """pattern: of what was seen. parameter: of Postfix, or an option of ours, that decides. remedy: what to write."""

    pattern: re.Pattern
    parameter: str
    remedy: str


_EXCEPTED = "a higher limit, or whoever looks from there in smtpd_client_event_limit_exceptions, which is $mynetworks by default"

#: What servers say to who has none: smtpd(8) where smtpd_tls_req_ccert asks for one, nginx, and TLS 1.3 itself (RFC 8446 section 6.2).
_CLIENT_CERTIFICATE = (
    "no client certificate presented|client certificate not trusted|certificate required|no required SSL certificate|demands a client certificate"
)

OBSTACLES = tuple(Obstacle(re.compile(pattern, re.IGNORECASE), parameter, remedy) for pattern, parameter, remedy in (
    ("too many new TLS sessions", "smtpd_client_new_tls_session_rate_limit", _EXCEPTED),
    ("too many connections from", "smtpd_client_connection_rate_limit, smtpd_client_connection_count_limit", _EXCEPTED),
    (
        "421 [^;]*too many connections", "postscreen_client_connection_count_limit",
        "a higher limit (it is $smtpd_client_connection_count_limit by default)",
    ),
    (
        _CLIENT_CERTIFICATE, "smtpd_tls_req_ccert",
        "no, where strangers are to deliver mail (of another server, its own verification of clients: Exim's tls_verify_hosts, stunnel's requireCert,"
        " nginx's ssl_verify_client); nothing, where clients are to have a certificate: what follows the handshake is seen only by who has one",
    ),
    (
        "too many errors|all (?:server|screening) ports are busy|too many concurrent", "smtpd_hard_error_limit, default_process_limit",
        "a look when there is less load (STRESS_README), or a higher default_process_limit",
    ),
    (
        "no time was left|was not resolved within", "timeout",
        "a longer timeout; a name server that does not answer smtpd's look-up of the client, postscreen_greet_wait and load take this time",
    ),
))

#: postconf(5) default_process_limit: what master(8) logs of it, where clients get to see nothing at all.
BUSY = Obstacle(
    re.compile("has reached its process limit"), "default_process_limit, or the maxproc column of master.cf",
    "a look when there is less load (STRESS_README), or a higher limit",
)


def obstacle(text: str | None) -> Obstacle | None:
    """The one that stands behind these words, if any."""
    return next((one for one in OBSTACLES if text and one.pattern.search(text)), None)


def demands_certificate(text: str | None) -> bool:
    """Whether these words ask a client for a certificate."""
    known = obstacle(text)
    return bool(known) and known.parameter == "smtpd_tls_req_ccert"


def of_look(facts: dict) -> Obstacle | None:
    """What kept this look from being complete: as its first error says, or what it could not tell. facts: with findings."""
    texts = [facts["error"], *(finding["observed"] for finding in facts["findings"] if finding["verdict"] == "unknown")]
    found = next(filter(None, map(obstacle, texts)), None)
    # Who greets nobody in time may be broken; who is merely slow has said something.
    return None if found and found.parameter == "timeout" and not facts["reachable"] else found
