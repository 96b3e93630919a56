# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a parameter's value has to be: judged before Postfix sees it, written for the host's release, compared by what it means.

Postfix itself judges little of it: C(postfix check) looks at no TLS parameter, and OpenSSL skips names it does not know.
Source: postconf(5), openssl-ciphers(1).
"""
from __future__ import annotations

import difflib
import os
import re
from typing import Callable, Iterable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge, protocol_list
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, suites

LEVELS = {
    "receiving-level": ("none", "may", "encrypt"),
    "sending-level": ("none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"),
}
#: {level for sending: the levels whose promise it keeps beside its own}, at every destination. With level dane, one that has no TLSA records is
#: sent to as with may, so that dane keeps nothing of encrypt (postconf(5) smtp_tls_security_level, RFC 7672 section 2.2). Levels that know every
#: server for certain keep what dane says of some; verify takes the name from DNS, where it can be forged, and does not. How secure, fingerprint and
#: dane-only know a server can't be compared.
_KEEPS = {
    "none": (),
    "may": ("none",),
    "encrypt": ("none", "may"),
    "dane": ("none", "may"),
    "dane-only": ("none", "may", "encrypt", "dane"),
    "fingerprint": ("none", "may", "encrypt", "dane"),
    "verify": ("none", "may", "encrypt"),
    "secure": ("none", "may", "encrypt", "dane", "verify"),
}
#: What a level for sending means to smtpd, which says so and goes on (smtpd(8)).
_TAKEN_FOR = dict.fromkeys(("fingerprint", "verify", "secure"), "encrypt")
#: Switches that ask more of a peer, or tell more of it, when on; by their names without the daemon's.
_STRICT_SWITCHES = (
    "use_tls", "enforce_tls", "tls_enforce_peername", "tls_auth_only", "tls_ask_ccert", "tls_req_ccert", "tls_received_header",
    "tls_block_early_mail_reply", "tls_enforce_sts_mx_patterns",
)
#: Kinds whose words are in an order, the least first.
_RANKS = {"disabled|enabled|dnssec": ("disabled", "enabled", "dnssec"), "boolean": ("no", "yes")}
#: Highest first.
GRADES = ("high", "medium", "low", "export", "null")
_CHOICES = dict(LEVELS, boolean=("yes", "no"), grade=GRADES)


class Unsupported(PostfixTlsError):
    """The value is right, but this host's Postfix or OpenSSL lacks what it takes; another host may have it."""


class Complaint(NamedTuple):
    """What is wrong with a value. instead: the value to write, or remedy: what to do. lacking: whether only this host can't have it."""

    reason: str
    instead: str = ""
    remedy: str = "See postconf(5)."
    lacking: bool = False


def written(name: str, value: object, host: Instance, to_come: Iterable = ()) -> str:
    """The text to write for a value of intent (YAML boolean, number, list or text) on this host.

    to_come: paths of files that are written together with it. Raises PostfixTlsError for what Postfix would not take, or would take
    and not mean; Unsupported for what this host lacks.
    """
    _exists(name, value, host)
    if isinstance(value, dict):
        raise PostfixTlsError(name, as_text(value), "a value is text, a number, yes or no, or a list", "Write it as postconf(5) has it.")
    text = as_text(value)
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise PostfixTlsError(name, repr(text), "a value is one line of printable text", "Remove the line break or control character.")
    kind = kind_of(name)
    meant = host.expanded(text)
    if name == "smtp_tlsrpt_enable" and meant.lower() == "yes" and not host.reports:
        raise Unsupported(name, text, "this host's Postfix was built without TLSRPT", "Leave it out for this host, or install a build that has it.")
    complaint = judged(kind, meant, host, to_come)
    if complaint:
        remedy = "Write %s: %s." % (name, complaint.instead) if complaint.instead else complaint.remedy
        raise (Unsupported if complaint.lacking else PostfixTlsError)(name, text, complaint.reason, remedy)
    return text if "$" in text else _for_host(kind, name, text, host)


def judged(kind: str, text: str, host: Instance, to_come: Iterable = ()) -> Complaint | None:
    """What is wrong with an effective value of this kind on this host."""
    if kind in _CHOICES or "|" in kind:
        choices = _CHOICES.get(kind) or tuple(kind.split("|"))
        if "file" in choices and text.lower() not in choices:
            kind = "file"
        else:
            return _choice(kind, choices, text)
    judge = _JUDGES.get(kind)
    if judge is None or (not text and kind not in ("integer", "time", "size")):
        return None
    return judge(text, host, frozenset(to_come))


def is_judged(kind: str) -> bool:
    return kind in _CHOICES or "|" in kind or kind in _JUDGES


def same(name: str, one: str, other: str) -> bool:
    """Whether two effective values mean the same for this parameter, so that writing one over the other is no change."""
    kind = kind_of(name)
    if kind == "protocols":
        return protocol_list.same(one, other)
    return _meaning(kind, one) == _meaning(kind, other)


def keeps_level(level: str, asked: str) -> bool:
    """Whether a level keeps all that another one promises, of levels for sending (and so for receiving). Unknown ones keep nothing but themselves."""
    level, asked = level.strip().lower(), asked.strip().lower()
    return level == asked or asked in _KEEPS.get(level, ())


def weaker_level(level: str, than: str) -> bool:
    """Whether a level asks less of a peer than another does: may than encrypt, and not dane than encrypt, which are incomparable()."""
    return keeps_level(than, level) and not keeps_level(level, than)


def incomparable(level: str, another: str) -> bool:
    """Whether each of two levels asks for something that the other does not: dane and encrypt, dane-only and secure."""
    return not keeps_level(level, another) and not keeps_level(another, level)


def weaker(name: str, one: str, other: str) -> bool:
    """Whether one does not ask all of a peer that other does; where nothing is less or more, whether it says something else."""
    kind = kind_of(name)
    if same(name, one, other):
        return False
    if kind == "protocols":
        try:
            return bool(protocol_list.accepted(one) - protocol_list.accepted(other) - {"SSLv2"})
        except PostfixTlsError:
            return True
    if kind == "exclusions":
        return not _meaning(kind, other) <= _meaning(kind, one)
    if kind == "receiving-level":
        return not keeps_level(_TAKEN_FOR.get(one, one), _TAKEN_FOR.get(other, other))
    if kind == "sending-level":
        return not keeps_level(one, other)
    if kind == "integer" and has_order(name) and one.strip().isdigit() and other.strip().isdigit():
        return int(one) < int(other)
    ranks = GRADES[::-1] if kind == "grade" else _RANKS.get(kind) if has_order(name) else None
    if ranks:
        one, other = one.strip().lower(), other.strip().lower()
        return one not in ranks or other not in ranks or ranks.index(one) < ranks.index(other)
    return True


def usable(name: str, text: str, host: Instance) -> bool:
    """Whether Postfix can make anything of an effective value; of levels of the other side, smtpd can of some."""
    kind = kind_of(name)
    return (kind == "receiving-level" and text in _TAKEN_FOR) or judged(kind, text, host) is None


def has_order(name: str) -> bool:
    """Whether of two values of this parameter one can ask less than the other."""
    kind = kind_of(name)
    if kind == "boolean":
        return name.partition("_")[2] in _STRICT_SWITCHES
    if kind == "integer":
        return name.endswith("_loglevel")
    return kind in ("protocols", "exclusions", "grade", *LEVELS, *_RANKS)


def strictest(name: str, wanted: str, there: str) -> str:
    """What keeps all that each of two values asks for: one of them, or of lists what both say; where that can't be, what is there."""
    if not there.strip():
        return wanted
    if not weaker(name, there, wanted):
        return there
    if not weaker(name, wanted, there):
        return wanted
    kind = kind_of(name)
    if kind == "exclusions":
        words_there = _meaning(kind, there)
        return ", ".join([there.strip().rstrip(","), *(word for word in re.findall(r"[^\s,:]+", wanted) if word not in words_there)])
    if kind == "protocols":
        return protocol_list.both(wanted, there)
    return there


def kind_of(name: str) -> str:
    row = knowledge.known(name)
    return row.kind if row else "text"


def compact(name: str, text: str) -> str:
    """A list without blanks, as one word of master.cf."""
    return re.sub(r",?\s+", ",", text.strip()) if kind_of(name) in _LISTS and "{" not in text else text


def _exists(name: str, value: object, host: Instance) -> None:
    if name in host.known:
        return
    release = ".".join(map(str, host.version))
    row = knowledge.known(name)
    if row is None:
        near = difflib.get_close_matches(name, sorted(host.known | set(knowledge.PARAMETERS)), n=1)
        raise PostfixTlsError(
            name, as_text(value), "Postfix %s on this host knows no such parameter" % release,
            "Did you mean %s?" % near[0] if near else "See postconf(5) for its name in this release.",
        )
    if row.until and row.until < host.version:
        why = "Postfix %s on this host has no such parameter any more; %d.%d had it last" % (release, *row.until)
    elif host.version < row.since:
        why = "Postfix %s on this host has no such parameter; it came with %d.%d" % (release, *row.since)
    else:
        why = "this build of Postfix %s has no such parameter" % release
    raise Unsupported(name, as_text(value), why, "Leave it out for this host, or have such parameters skipped: unsupported: skip.")


def as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(as_text(item) for item in value)
    return str(value).strip()


def _for_host(kind: str, name: str, text: str, host: Instance) -> str:
    if kind == "protocols":
        return protocol_list.render(text, host.version, name) if text else text
    if (kind in _CHOICES or "|" in kind) and not text.startswith("/"):
        return text.lower()
    if kind in ("table", "tables"):
        return ", ".join(_with_type(item, host) for item in words(text, ", \t"))
    return text


def _with_type(table: str, host: Instance) -> str:
    return "%s:%s" % (host.effective("default_database_type"), table) if table.startswith("/") else table


def _meaning(kind: str, text: str) -> object:
    if kind == "exclusions":
        return frozenset(re.findall(r"[^\s,:]+", text))
    if kind in _LISTS:
        return tuple(words(text, ", \t"))
    if (kind in _CHOICES or "|" in kind) and not text.strip().startswith("/"):
        return text.strip().lower()
    if kind in ("integer", "size") and text.strip().isdigit():
        return int(text)
    span = re.fullmatch(r"\s*(\d+)([smhdw]?)\s*", text) if kind == "time" else None
    if span:
        return int(span.group(1)) * _SECONDS[span.group(2) or "s"]
    return " ".join(text.split())


def _choice(kind: str, choices: tuple, text: str) -> Complaint | None:
    if text.lower() in choices:
        return None
    near = difflib.get_close_matches(text.lower(), choices, n=1)
    reason = "it takes one of %s" % ", ".join(choices)
    if kind == "receiving-level" and text in LEVELS["sending-level"]:
        reason += "; %s is a level for sending (smtp_tls_security_level)" % text
    return Complaint(reason, near[0] if near else choices[min(1, len(choices) - 1)])


def _protocols(text: str, host: Instance, _to_come: frozenset) -> Complaint | None:
    try:
        protocol_list.render(text, host.version)
    except PostfixTlsError as error:
        return Complaint(error.reason, ">=TLSv1.2")
    return None


def _exclusions(text: str, _host: Instance, _to_come: frozenset) -> Complaint | None:
    return _unknown(text, r"[^\s,:]+", lambda word: suites.matches(word) is not None, suites.EXCLUDABLE)


def _groups(text: str, host: Instance, _to_come: frozenset) -> Complaint | None:
    def named(word: str) -> object:
        return groups.named(word.lstrip("?*-"))

    wrong = _unknown(
        text, r"[^\s,:/]+", lambda word: named(word) is not None or word.lstrip("?*-").upper() in ("", "DEFAULT", "AUTO"),
        [group.name for group in groups.GROUPS],
    )
    if wrong or not host.library:
        return wrong
    late = [word for word in re.findall(r"[^\s,:/]+", text) if named(word) and (named(word).since or ()) > host.library and word[0] != "?"]
    if not late:
        return None
    return Complaint(
        "OpenSSL %s on this host does not know %s" % (".".join(map(str, host.library)), ", ".join(late)),
        re.sub(r"[\s,:/]+(?=[,:/]|$)", "", re.sub(r"[^\s,:/]+", lambda word: "" if word.group() in late else word.group(), text)).strip(" ,:/"),
        lacking=True,
    )


def _unknown(text: str, word: str, known: Callable, names: Iterable) -> Complaint | None:
    """word: pattern of one in the value."""
    wrong = [found for found in re.findall(word, text) if not known(found)]
    if not wrong:
        return None
    near = {found: next(iter(difflib.get_close_matches(found, list(names), n=1, cutoff=0.81)), "") for found in wrong}
    reasons = ["%s names nothing, and is silently skipped%s" % (found, "; did you mean %s?" % near[found] if near[found] else "") for found in wrong]
    instead = re.sub(word, lambda match: near.get(match.group(), match.group()), text)
    # What stood before a word that is gone, goes with it.
    return Complaint(", ".join(reasons), re.sub(r"[\s,:/]+(?=[,:/]|$)", "", instead).strip(" ,:/"))


def _integer(text: str, _host: Instance, _to_come: frozenset) -> Complaint | None:
    return None if re.fullmatch("[0-9]+", text) else Complaint("it takes a whole number", "1")


def _time(text: str, _host: Instance, _to_come: frozenset) -> Complaint | None:
    return None if re.fullmatch("[0-9]+[smhdw]?", text) else Complaint("it takes a time: a whole number and one of s, m, h, d, w", "3600s")


def _file(text: str, _host: Instance, to_come: frozenset) -> Complaint | None:
    if text in to_come:
        return None
    try:
        with open(text, "rb") as file:
            return None if file.read(1) else Complaint("the file is empty", remedy=_PUT_IT_THERE)
    except OSError as error:
        return Complaint("the file can't be read (%s)" % error.strerror, remedy=_PUT_IT_THERE)


def _files(text: str, host: Instance, to_come: frozenset) -> Complaint | None:
    """Key and chain files, several in one parameter: each key comes before its certificates, whatever file they are in."""
    paths = words(text, ", \t")
    for path in paths:
        wrong = _file(path, host, to_come)
        if wrong:
            return wrong._replace(reason="%s: %s" % (path, wrong.reason))
    if to_come.isdisjoint(paths):
        contents = []
        for path in paths:
            with open(path, encoding="utf-8", errors="replace") as file:
                contents.append(file.read())
        try:
            pem.chains(", ".join(paths), "\n".join(contents))
        except PostfixTlsError as error:
            return Complaint("%s; a key comes first, then its leaf and intermediates" % error.reason, remedy=error.remedy)
    return None


def _anchors(text: str, host: Instance, to_come: frozenset) -> Complaint | None:
    """Certificates and public keys, in one file or several. Source: postconf(5) smtp_tls_trust_anchor_file."""
    for path in words(text, ", \t"):
        wrong = _file(path, host, to_come)
        if not wrong and path not in to_come:
            with open(path, encoding="utf-8", errors="replace") as file:
                labels = {label for label, _block in pem.blocks(path, file.read())}
            if not labels or labels - set(pem.ANCHORS):
                wrong = Complaint(
                    "a trust anchor is a certificate or a public key, and there is %s" % (", ".join(sorted(labels - set(pem.ANCHORS))) or "none"),
                    remedy="Name the PEM file of the CA whose certificates are to be trusted.",
                )
        if wrong:
            return wrong._replace(reason="%s: %s" % (path, wrong.reason))
    return None


def _directory(text: str, _host: Instance, _to_come: frozenset) -> Complaint | None:
    return None if os.path.isdir(text) else Complaint("there is no such directory", remedy="Name one that is there.")


def _tables(text: str, host: Instance, to_come: frozenset) -> Complaint | None:
    for table in words(text, ", \t"):
        wrong = _table(_with_type(table, host), host)
        if wrong:
            return wrong
        kind, _colon, path = _with_type(table, host).partition(":")
        if kind in ON_DISK and path not in to_come and not os.path.exists(path + ON_DISK[kind]):
            index = ", then: postmap %s:%s" % (kind, path) if ON_DISK[kind] else ""
            return Complaint("there is no file %s%s" % (path, ON_DISK[kind]), remedy="Write the table first%s." % index)
    return None


def _table(text: str, host: Instance, _to_come: frozenset = frozenset()) -> Complaint | None:
    kind, colon, _name = text.partition(":")
    while kind == "proxy":
        kind, colon, _name = _name.partition(":")
    if not colon:
        return Complaint("a table is written as type:name", "%s:%s" % (host.effective("default_database_type"), text))
    if kind not in host.table_types:
        return Complaint(
            "this host's Postfix has no tables of type %s; it has %s" % (kind, ", ".join(host.table_types)),
            "%s:%s" % (host.effective("default_database_type"), _name), lacking=True,
        )
    return None


_PUT_IT_THERE = "Put the file there first, or name the right one."
_JUDGES = {
    "protocols": _protocols,
    "exclusions": _exclusions,
    "groups": _groups,
    "integer": _integer,
    "size": _integer,
    "time": _time,
    "file": _file,
    "files": _files,
    "anchors": _anchors,
    "directory": _directory,
    "tables": _tables,
    "table": _table,
}
_LISTS = ("words", "files", "anchors", "tables", "groups", "exclusions", "protocols")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: Types of table that are a file of their own, to what Postfix adds to its name.
ON_DISK = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb", "dbm": ".pag", "sdbm": ".pag", "texthash": "", "cidr": "", "pcre": "", "regexp": ""}
