# SPDX-License-Identifier: GPL-3.0-or-later
"""What is weaker than it was, by postconf(5) alone: an order of this test's own, which knows nothing of the collection's."""
from __future__ import annotations

import re
from typing import Iterator

#: {level: what may stand in its place and protects no mail less}. dane without TLSA records is may, so encrypt is no less but for those that have them.
CLIENT = {
    "": {"", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"},
    "none": {"none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"},
    "may": {"may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"},
    "dane": {"dane", "dane-only"},
    "encrypt": {"encrypt", "dane-only", "fingerprint", "verify", "secure"},
    "dane-only": {"dane-only"},
    "fingerprint": {"fingerprint"},
    "verify": {"verify", "secure"},
    "secure": {"secure"},
}
SERVER = {"": {"", "none", "may", "encrypt"}, "none": {"none", "may", "encrypt"}, "may": {"may", "encrypt"}, "encrypt": {"encrypt"}}
GRADES = ("null", "export", "low", "medium", "high")
VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

#: Names of TLS. Every other parameter has to be what it was, letter for letter.
TLS = re.compile(r"^(smtpd?|lmtp|postscreen|tlsproxy)_(tls_|enforce_tls$|use_tls$|client_use_tls)|^tls_|^tlsproxy_|^(smtp|lmtp)_log_tls")
RESTRICTIONS = re.compile(r"^smtpd_\w+_restrictions$")
#: Those that demand something: yes stays yes.
DEMANDING = {"smtpd_tls_auth_only", "smtpd_tls_req_ccert", "smtpd_tls_ask_ccert", "smtpd_tls_wrappermode", "smtp_tls_wrappermode"}
#: What has to be the very same, or what was there is gone.
SAME = {
    "smtpd_tls_CAfile", "smtpd_tls_CApath", "smtp_tls_CAfile", "smtp_tls_CApath", "smtpd_tls_wrappermode", "smtp_tls_wrappermode", "smtp_tls_secure_cert_match",
    "smtp_tls_verify_cert_match", "smtpd_tls_fingerprint_digest", "smtp_tls_fingerprint_digest", "tls_ssl_options",
}


def weaker(before: dict, after: dict) -> Iterator[str]:
    """Of one service (state.services): a sentence for each thing that is less than it was."""
    if before.get("(command)", "smtpd") in ("smtpd", "postscreen") and server(after) not in SERVER[server(before)]:
        yield "level of the server: %s was %s" % (server(after), server(before))
    for side in ("smtp", "lmtp"):
        if before.get("(command)", side) == side and client(after, side) not in CLIENT[client(before, side)]:
            yield "%s_tls_security_level: %s was %s" % (side, client(after, side), client(before, side))
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new and (said := _weaker(name, old, new)):
            yield "%s: %r was %r: %s" % (name, new, old, said)
    for side in ("smtp", "smtpd"):
        if _shows(before, side) and not _shows(after, side):
            yield "%s has no certificate any more: it was %s" % (side, _shows(before, side))


def server(values: dict) -> str:
    """The level that holds, with what obsolete parameters say where it is not set; a listener that wraps is at encrypt."""
    if values.get("smtpd_tls_wrappermode") == "yes":
        return "encrypt"
    screening = values.get("(command)") == "postscreen"
    return screening and values["postscreen_tls_security_level"] or values["smtpd_tls_security_level"] or (
        "encrypt" if values.get("smtpd_enforce_tls") == "yes" else "may" if values.get("smtpd_use_tls") == "yes" else "none")


def client(values: dict, side: str) -> str:
    return values["%s_tls_security_level" % side] or (
        "encrypt" if values.get("%s_enforce_tls" % side) == "yes" else "may" if values.get("%s_use_tls" % side) == "yes" else "none")


def _shows(values: dict, side: str) -> str:
    return next((values[name] for name in ("%s_tls_%s" % (side, kind) for kind in ("chain_files", "cert_file", "eccert_file")) if values.get(name)), "")


def _weaker(name: str, old: str, new: str) -> str:
    if RESTRICTIONS.match(name):
        return "" if _subsequence(_words(old), _words(new)) else "a restriction is gone or stands elsewhere"
    if name == "proxy_read_maps":
        return ""  # by default it is a list of references, and says nothing of its own
    if not TLS.match(name):
        return "it is not a parameter of TLS"
    if name.endswith("_policy_maps") or name in ("smtp_tls_per_site", "tls_server_sni_maps"):
        return "" if _subsequence(_words(old), _words(new)) else "a table is gone"
    if name in DEMANDING:
        return "it was demanded" if old == "yes" else ""
    if name in SAME:
        return "it is another"
    if name.endswith("_protocols"):
        return "" if enabled(new) <= enabled(old) else "more protocol versions are enabled"
    if name.endswith("_exclude_ciphers"):
        return "" if set(_words(old)) <= set(_words(new)) else "less is excluded"
    if name.endswith("_ciphers"):
        return "" if GRADES.index(new.lower()) >= GRADES.index(old.lower()) else "it is a lower grade"
    return ""


def enabled(value: str) -> set:
    """The protocol versions that a list of Postfix's enables: bounds (>=, <=), exclusions (!), or those that are named."""
    names, only = set(VERSIONS), set()
    for word in _words(value):
        if word[:2] in (">=", "<="):
            bound = VERSIONS.index(word[2:])
            names &= set(VERSIONS[bound:] if word[0] == ">" else VERSIONS[:bound + 1])
        elif word.startswith("!"):
            names -= {word[1:]}
        else:
            only.add(word)
    return names & only if only else names


def _words(value: str) -> list:
    return [word for word in re.split(r"[\s,:]+" if value.startswith("!") else r"[\s,]+", value) if word]


def _subsequence(some: list, all_of_them: list) -> bool:
    rest = iter(all_of_them)
    return all(word in rest for word in some)
