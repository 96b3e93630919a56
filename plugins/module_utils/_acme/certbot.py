# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What certbot is told, and what it says where it could not. Source: certbot(1) of 1.12 to 4.0; RFC 8555."""
from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._acme.lineage import Wanted
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

#: BSI TR-02102-2 asks for 3000 bits and NCSC-NL for 3072; smaller ones are to be phased out.
_KINDS = {"ecdsa": ("--key-type", "ecdsa"), "rsa": ("--key-type", "rsa", "--rsa-key-size", "3072")}
KEY_TYPES = tuple(_KINDS)

#: {as certbot keeps it for renewals: as it is told}
_OPTIONS = {
    "server": "--server",
    "authenticator": "--authenticator",
    "http01_port": "--http-01-port",
    "webroot_path": "--webroot-path",
    "manual_auth_hook": "--manual-auth-hook",
    "manual_cleanup_hook": "--manual-cleanup-hook",
}


class Challenge(NamedTuple):
    """settings: {as certbot keeps it: the module's option}. remedy: where the directory did not accept the answer."""

    authenticator: str
    preferred: str
    settings: dict
    remedy: str


CHALLENGES = {
    "standalone": Challenge(
        "standalone", "http", {"http01_port": "http_port"},
        "Have port 80 of each name lead to this host, in its firewall too, and name only what leads here (tls_certificate_names).",
    ),
    "webroot": Challenge(
        "webroot", "http", {"webroot_path": "webroot"},
        "Have the web server on port 80 of each name serve what is below the webroot, and name only what leads here (tls_certificate_names).",
    ),
    "dns": Challenge(
        "manual", "dns", {"manual_auth_hook": "auth_hook", "manual_cleanup_hook": "cleanup_hook"},
        "Run the auth_hook by hand, with CERTBOT_DOMAIN and CERTBOT_VALIDATION set, and have it wait until all name servers answer with the record.",
    ),
}


class _Cause(NamedTuple):
    """Where certbot says this, that is the reason (empty: its own words), and this helps."""

    said: str
    reason: str
    remedy: str


_CAUSES = (
    _Cause(
        r"CERTIFICATE_VERIFY_FAILED", "the directory's own certificate, of its https, is not trusted",
        "Name the root it ends at (ca_file, tls_certificate_acme_ca_file), or put that into the system's store.",
    ),
    _Cause(
        r"Name or service not known|Temporary failure in name resolution|No address associated", "the directory's name does not resolve",
        "Mend the URL (directory, tls_certificate_acme_directory) or the host's resolver.",
    ),
    _Cause(
        r"(?:Requesting|ConnectionPool).*(?:Connection refused|timed out|No route to host|unreachable)", "the directory does not answer",
        "Mend the URL (directory, tls_certificate_acme_directory), or let this host connect to it.",
    ),
    _Cause(
        r"<Response \[(?P<status>\d+)\]>|JSONDecodeError", "what answers there is no ACME directory",
        "Write the URL of the directory itself, such as https://acme-v02.api.letsencrypt.org/directory.",
    ),
    _Cause(r"Could not bind TCP port", "", "Use the web server that has the port (challenge webroot), or free it for the time."),
    _Cause(r"rateLimited|too many", "", "Wait as long as it says; to try things out there is https://acme-staging-v02.api.letsencrypt.org/directory."),
    _Cause(r"Another instance of Certbot", "", "Wait until that one has ended."),
)
#: What certbot says of every failure, and what says nothing to whoever did not write it.
_EMPTY = re.compile(
    r"(Saving debug log|Ask for help|Some challenges have failed|An unexpected error occurred|Account registered|Requesting a certificate"
    r"|Renewing an existing|Hint: |Certbot failed to authenticate|Plugins selected|Simulating|- - - |\s|$)"
)
_REFUSED = re.compile(r"^ +Domain: +(?P<name>\S+)\n +Type: +(?P<type>\S+)\n +Detail: +(?P<detail>.*)$", re.MULTILINE)
_LONGEST, _MOST = 400, 3


def settings(parameters: dict) -> dict:
    """What renewals go by, as certbot keeps it. parameters: the module's."""
    challenge = CHALLENGES[parameters["challenge"]]
    chosen = {kept: str(parameters[option]) for kept, option in challenge.settings.items() if parameters[option]}
    return dict(chosen, server=parameters["directory"], authenticator=challenge.authenticator, reuse_key=str(parameters["reuse_key"]))


def command(wanted: Wanted, parameters: dict, forced: bool) -> list:
    """forced: also where certbot sees no need to, because renewals are to go another way."""
    words = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--renew-with-new-domains", "--cert-name", wanted.name]
    words += ["--no-directory-hooks"]  # what a renewal starts by itself is this run's own business now
    words += ["--force-renewal" if forced else "--keep-until-expiring", *_KINDS[wanted.key_type]]
    words += ["--email", parameters["email"], "--no-eff-email"] if parameters["email"] else ["--register-unsafely-without-email"]
    words += ["--reuse-key"] if parameters["reuse_key"] else []
    words += ["--preferred-challenges", CHALLENGES[parameters["challenge"]].preferred]
    for kept, option in _OPTIONS.items():
        words += [option, wanted.settings[kept]] if kept in wanted.settings else []
    for name in wanted.names:
        words += ["--domain", name]
    return words


def failure(wanted: Wanted, challenge: str, out: str, err: str) -> PostfixTlsError:
    """What certbot said, without what it says every time."""
    refused = ["%s: %s (%s)" % (found["name"], found["detail"].strip(), found["type"]) for found in _REFUSED.finditer(out)]
    lines = [_told(line) for line in err.splitlines() if not _EMPTY.match(line)]
    words = "; ".join((lines + refused)[-_MOST:]) or "certbot failed without a word"
    cause = next((cause for cause in _CAUSES if re.search(cause.said, words)), None)
    if cause is None:
        cause = _Cause("", "", CHALLENGES[challenge].remedy if refused else "Mend that; /var/log/letsencrypt/letsencrypt.log has more.")
    return PostfixTlsError(
        "certificate %s" % wanted.name, ", ".join(wanted.names), "certbot could not obtain it: %s" % (cause.reason or words),
        "%s Nothing of Postfix was changed." % cause.remedy, directory=wanted.settings["server"], log=(lines + refused)[-_MOST:],
    )


def _told(line: str) -> str:
    """Without the class of a Python exception, and the address of an object."""
    line = re.sub(r"^[\w.]+(?:Error|Exception): (?!<)", "", line)
    return re.sub(r"<\S+ object at \w+>: ?", "", line)[:_LONGEST]
