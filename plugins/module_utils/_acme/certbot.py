# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What certbot is told, and what it says where it could not. Source: certbot(1) of 1.12 to 4.0; RFC 8555."""
from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._acme.lineage import FOLDER, Wanted
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

#: {type of key: (option of its size, default, those of a key in use that stay with it)}. BSI TR-02102-2 asks for 3000 bits and NCSC-NL for 3072; smaller
#: ones are to be phased out.
_KINDS = {
    "ecdsa": ("--elliptic-curve", "secp256r1", {"secp384r1", "secp521r1"}),
    "rsa": ("--rsa-key-size", "3072", {"4096", "8192"}),
}
KEY_TYPES = tuple(_KINDS)
#: As certificates name curves, and as certbot does.
_CURVES = {"prime256v1": "secp256r1"}

#: Where certbot looks for what it is told on top of its command line.
CLI_INI = ("/etc/letsencrypt/cli.ini", "~/.config/letsencrypt/cli.ini")
#: Since then it can be told not to reuse a key; before, a cli.ini that says otherwise wins.
_NO_REUSE_KEY_SINCE = (1, 20)

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
    """Where certbot says this, that is the reason (empty: its own words), and this helps. {accounts}: where certbot keeps those of the directory."""

    said: str
    reason: str
    remedy: str


#: What certbot says while another one is at work; it does not wait itself.
LOCKED = "Another instance of Certbot"

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
    _Cause(LOCKED, "", "It was waited for; see what it is doing, and run again when it has ended."),
    _Cause(
        r"accountDoesNotExist|[Aa]ccount\S* .*(?:not found|does not exist)", "",
        "The directory does not know this host's account any more: remove its folder in {accounts}; the next run registers anew.",
    ),
    _Cause(r"Please choose an account", "certbot has several accounts for that directory", "Leave one of them in {accounts}, and move the others away."),
    _Cause(r"badNonce|anti-replay nonce", "", "The directory was too busy; run again."),
    _Cause(r"rejectedIdentifier|issuance is forbidden", "", "Name only what this directory issues for (tls_certificate_names)."),
)
#: What certbot says of every failure, and what says nothing to whoever did not write it.
_EMPTY = re.compile(
    r"(Saving debug log|Ask for help|Some challenges have failed|An unexpected error occurred|Account registered|Requesting a certificate"
    r"|Renewing an existing|Hint: |Certbot failed to authenticate|Plugins selected|Simulating|- - - |\s|$)"
)
_REFUSED = re.compile(r"^ +Domain: +(?P<name>\S+)\n +Type: +(?P<type>\S+)\n +Detail: +(?P<detail>.*)$", re.MULTILINE)
_LONGEST, _MOST = 400, 3

#: certbot 2.1 with Python 3.11 (Debian 12) stumbles over whatever a directory answers to an order, and says only this; the log has the answer.
_SPEECHLESS = re.compile(r"can't set attribute")
#: The last of the log, which is of the last run alone. Source: str(acme.messages.Error).
_ANSWERED = re.compile(r"^acme\.messages\.Error: (?:urn:ietf:params:acme:error:)?(?P<type>\w+) :: (?P<said>.*)$", re.MULTILINE)
_LOG = re.compile(r"^Saving debug log to (?P<path>/\S+)$", re.MULTILINE)
_MOST_LOG = 1 << 20  # bytes


def settings(parameters: dict) -> dict:
    """What renewals go by, as certbot keeps it. parameters: the module's."""
    challenge = CHALLENGES[parameters["challenge"]]
    chosen = {kept: str(parameters[option]) for kept, option in challenge.settings.items() if parameters[option]}
    return dict(chosen, server=parameters["directory"], authenticator=challenge.authenticator, reuse_key=str(parameters["reuse_key"]))


def version(out: str) -> tuple:
    """Of C(certbot --version); certbot's first where it can't be read."""
    found = re.search(r"certbot (\d+)\.(\d+)", out)
    return tuple(map(int, found.groups())) if found else (1, 0)


def refuse_overruling(settings_elsewhere: dict, parameters: dict, installed: tuple) -> None:
    """What a cli.ini says and no option can change would have a certificate obtained in each run, and renewed another way. Raises PostfixTlsError.

    settings_elsewhere: see cli_ini. installed: version of certbot.
    """
    folder = settings_elsewhere.get("config-dir", FOLDER).rstrip("/")
    if folder != FOLDER:
        raise PostfixTlsError(
            "cli.ini: config-dir", folder, "certbot would keep the certificates there, and they are looked for in %s" % FOLDER,
            "Take that line out of %s. Nothing was obtained." % " or ".join(CLI_INI),
        )
    if not parameters["reuse_key"] and settings_elsewhere.get("reuse-key", "").lower() in _YES and installed < _NO_REUSE_KEY_SINCE:
        raise PostfixTlsError(
            "reuse_key", "false", "cli.ini says reuse-key = true, and certbot before %d.%d can't be told otherwise" % _NO_REUSE_KEY_SINCE,
            "Take that line out of %s, or let tls_certificate_acme_reuse_key be true. Nothing was obtained." % " or ".join(CLI_INI),
        )


_YES = ("true", "yes", "on", "1")


def cli_ini() -> dict:
    """{option as on the command line, without its dashes: value} of all cli.ini; the last one wins. Source: configargparse."""
    found: dict = {}
    for path in CLI_INI:
        with suppress(OSError), open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
            for name, value in re.findall(r"^\s*(?:--)?([\w-]+)\s*(?:[=:\s]\s*([^#\n]*?))?\s*(?:#.*)?$", file.read(), re.MULTILINE):
                found[name.replace("_", "-").lower()] = value or "true"
    return found


def command(wanted: Wanted, parameters: dict, forced: bool, installed: tuple, facts: dict) -> list:
    """forced: also where certbot sees no need to, because renewals are to go another way. facts: of the certificate that is there.

    Whatever cli.ini could say otherwise is said here, for what it says would be kept, and be found to differ in each run.
    """
    words = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--renew-with-new-domains", "--cert-name", wanted.name]
    words += ["--no-directory-hooks"]  # what a renewal starts by itself is this run's own business now
    words += ["--force-renewal" if forced else "--keep-until-expiring", "--key-type", wanted.key_type]
    option, size, larger = _KINDS[wanted.key_type]
    there = str(facts.get("curve") or "" if wanted.key_type == "ecdsa" else facts.get("key_bits") or "")
    there = _CURVES.get(there, there)
    words += [option, there if parameters["reuse_key"] and there in larger else size]  # certbot refuses another size for a key that it is to reuse
    words += ["--email", parameters["email"], "--no-eff-email"] if parameters["email"] else ["--register-unsafely-without-email"]
    if parameters["reuse_key"] or installed >= _NO_REUSE_KEY_SINCE:
        words += ["--reuse-key" if parameters["reuse_key"] else "--no-reuse-key"]
    words += ["--preferred-challenges", CHALLENGES[parameters["challenge"]].preferred]
    for kept, option in _OPTIONS.items():
        words += [option, wanted.settings[kept]] if kept in wanted.settings else []
    for name in wanted.names:
        words += ["--domain", name]
    return words


def failure(wanted: Wanted, challenge: str, out: str, err: str) -> PostfixTlsError:
    """What certbot said, without what it says every time, and what the directory said where certbot does not."""
    refused = ["%s: %s (%s)" % (found["name"], found["detail"].strip(), found["type"]) for found in _REFUSED.finditer(out)]
    lines = [_told(line) for line in err.splitlines() if not _EMPTY.match(line)]
    if not refused:
        lines = _answered(lines, err)
    words = "; ".join((lines + refused)[-_MOST:]) or "certbot failed without a word"
    cause = next((cause for cause in _CAUSES if re.search(cause.said, words)), None)
    if cause is None:
        cause = _Cause("", "", CHALLENGES[challenge].remedy if refused else "Mend that; /var/log/letsencrypt/letsencrypt.log has more.")
    directory = urlsplit(wanted.settings["server"])
    accounts = "%s/accounts/%s%s" % (FOLDER, directory.netloc, directory.path.rstrip("/"))
    return PostfixTlsError(
        "certificate %s" % wanted.name, ", ".join(wanted.names), "certbot could not obtain it: %s" % (cause.reason or words),
        "%s Nothing of Postfix was changed." % cause.remedy.replace("{accounts}", accounts), directory=wanted.settings["server"],
        log=(lines + refused)[-_MOST:],
    )


def _answered(lines: list, err: str) -> list:
    """The lines, with the directory's own answer and its type (RFC 8555 section 6.7) in place of what says nothing."""
    log = _LOG.search(err)
    with suppress(OSError):
        with open(log["path"] if log else "/var/log/letsencrypt/letsencrypt.log", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_LOG))
            answers = list(_ANSWERED.finditer(file.read().decode("utf-8", "replace")))
        speechless = not lines or any(map(_SPEECHLESS.search, lines))
        if answers and log and (speechless or answers[-1]["said"].rpartition(" :: ")[2] in " ".join(lines)):
            told = "%s (%s)" % (answers[-1]["said"].rpartition(" :: ")[2], answers[-1]["type"])
            return [line for line in lines if not _SPEECHLESS.search(line) and line not in told and told.partition(" (")[0] not in line] + [told[:_LONGEST]]
    return lines


def _told(line: str) -> str:
    """Without the class of a Python exception, and the address of an object."""
    line = re.sub(r"^[\w.]+(?:Error|Exception): (?!<)", "", line)
    return re.sub(r"<\S+ object at \w+>: ?", "", line)[:_LONGEST]
