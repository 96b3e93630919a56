# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a user says of certificates, as the module's options have it. On the controller, for the role's lookups."""
from __future__ import annotations

import re
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import holds_key, keys_in, shown, without_keys

#: {source: {option of the module: (key of the user's entry, None where it is switched on, whether it names a file on the controller)}}
SOURCES = {
    "none": {},
    "files": {"key": ("key_file", True), "certificate": ("chain_file", True)},
    "content": {"key": ("key_content", False), "certificate": ("chain_content", False)},
    "remote": {"key_file": ("key_file", False), "certificate_file": ("chain_file", False)},
    "acme": {"key_file": ("key_file", False), "certificate_file": ("chain_file", False)},  # beside what certbot obtains
    "self_signed": {"self_signed": (None, False)},
}
_AS_THEY_ARE = ("name", "directory", "keep_root")
#: What takes a key's text, alone or together with its chain, of a role's variables and of the module's options.
_TAKES_KEYS = re.compile(
    r"tls_certificate_((chains|sni)\[\d+\]\.(chains\[\d+\]\.)?)?(key|chain)_content|(sni\[\d+\]\.)?chains\[\d+\]\.(key|certificate)",
)
_MISPLACED = (
    "{}: that is the text of a private key, and something else belongs there. The key's text goes to tls_certificate_key_content, with"
    " tls_certificate_source = content (of an entry of a list: key_content; of the module: chains[].key)."
)


def made(source: str, entries: list, read: Callable[[str], str]) -> list:
    """The module's chains; of entries with names, its sni. read: path -> text of a file on the controller."""
    options = SOURCES[source]
    found = []
    for entry in entries if options else ():
        if entry.get("names"):
            found.append({"names": entry["names"], "chains": made(source, _chains(entry), read)})
            continue
        chain = {option: read(entry[key]) if on_controller else key is None or entry[key] for option, (key, on_controller) in options.items()}
        if "certificate" in chain:
            chain["certificate"] = without_keys(chain["certificate"], "")  # of a file that has both
        found.append(dict(chain, **{key: entry[key] for key in _AS_THEY_ARE if entry.get(key) not in (None, "")}))
    return found


def complaints(source: str, entries: list, exists: Callable[[str], bool], where: str, searched: list | None = None) -> list:
    """One sentence for each thing that is missing. exists: whether a file is on the controller. where: what the user calls the entries.

    searched: the folders in which exists looks for a relative path.
    """
    told = []
    for position, entry in enumerate(entries):
        item = where.format(position)
        if entry.get("names"):
            told += complaints(source, _chains(entry), exists, item + ("chains[{}]." if entry.get("chains") else ""), searched)
            continue
        for key, on_controller in SOURCES[source].values():
            if key and not entry.get(key):
                told.append("%s%s: not set, and tls_certificate_source = %s needs it." % (item, key, source))
            elif key and (wrong := _no_path(key, entry[key])):
                told.append("%s%s%s" % (item, key, wrong))
            elif on_controller and not holds_key(entry[key]) and not exists(entry[key]):
                looked = " (looked in %s)" % ", ".join(searched) if searched and entry[key][:1] not in ("/", "~") else ""
                told.append("%s%s = %s: there is no such file on the controller%s; where it is on the host, set tls_certificate_source to remote." % (
                    item, key, shown(entry[key]), looked))
    return told


def unused(source: str, entries: list, where: str) -> list:
    """A sentence where key and chain are named and the source takes neither."""
    named = [
        where.format(position) + key for position, entry in enumerate(entries if source == "none" else ())
        for key in ("key_file", "chain_file", "key_content", "chain_content", "chains") if entry.get(key)
    ]
    return ["%s: set, and tls_certificate_source = none makes no use of it. For files on the controller set that to files, on the host to remote." % (
        ", ".join(named))] if named else []


def misplaced(data: object, where: str = "") -> list:
    """A sentence for each place in variables, or options, where the text of a private key is and something else belongs. where: that is looked at."""
    if isinstance(data, dict):
        named = [((where + "." if where else "") + without_keys(str(name)), name, value) for name, value in data.items()]
        told = [_MISPLACED.format(where) for _place, name, _value in named if keys_in(str(name))][:1]
        return told + [sentence for place, _name, value in named for sentence in misplaced(value, place)]
    if isinstance(data, (list, tuple)):
        return [sentence for number, value in enumerate(data) for sentence in misplaced(value, "%s[%d]" % (where, number))]
    return [_MISPLACED.format(where)] if isinstance(data, str) and not _TAKES_KEYS.fullmatch(where) and holds_key(data) else []


def keys_apart(arguments: dict) -> dict:
    """The module's, where no chain's certificate has the key in it too: the key goes as key alone, which Ansible masks."""
    def apart(chains: object) -> object:
        if not isinstance(chains, list) or not all(isinstance(chain, dict) for chain in chains):
            return chains  # the module says what is wrong with it
        return [dict(chain, certificate=without_keys(chain["certificate"], "")) if isinstance(chain.get("certificate"), str) else chain for chain in chains]

    told = dict(arguments)
    if "chains" in told:
        told["chains"] = apart(told["chains"])
    if isinstance(told.get("sni"), list):
        told["sni"] = [dict(entry, chains=apart(entry["chains"])) if isinstance(entry, dict) and "chains" in entry else entry for entry in told["sni"]]
    return told


def _no_path(key: str, value: object) -> str:
    """What is wrong with a file's name, after the name of its variable. A private key's text is for misplaced to tell."""
    if not isinstance(value, str):
        return ": a text was expected, not %s." % type(value).__name__.lower().rpartition("tagged")[2]
    if key.endswith("_file") and "-----BEGIN" in value and not holds_key(value):
        return ": that is PEM text, and the name of a file belongs there. The text goes to %s, with tls_certificate_source = content." % (
            key.replace("_file", "_content"))
    return ""


def _chains(entry: dict) -> list:
    """Of an entry with names: its chains, or the one that it is itself."""
    return entry.get("chains") or [{key: value for key, value in entry.items() if key != "names"}]
