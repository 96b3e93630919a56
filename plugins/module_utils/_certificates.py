# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a user says of certificates, as the module's options have it. On the controller, for the role's lookups."""
from __future__ import annotations

from typing import Callable

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


def made(source: str, entries: list, read: Callable[[str], str]) -> list:
    """The module's chains; of entries with names, its sni. read: path -> text of a file on the controller."""
    options = SOURCES[source]
    found = []
    for entry in entries if options else ():
        if entry.get("names"):
            found.append({"names": entry["names"], "chains": made(source, _chains(entry), read)})
            continue
        chain = {option: read(entry[key]) if on_controller else key is None or entry[key] for option, (key, on_controller) in options.items()}
        found.append(dict(chain, **{key: entry[key] for key in _AS_THEY_ARE if entry.get(key) not in (None, "")}))
    return found


def complaints(source: str, entries: list, exists: Callable[[str], bool], where: str) -> list:
    """One sentence for each thing that is missing. exists: whether a file is on the controller. where: what the user calls the entries."""
    told = []
    for position, entry in enumerate(entries):
        item = where.format(position)
        if entry.get("names"):
            told += complaints(source, _chains(entry), exists, item + ("chains[{}]." if entry.get("chains") else ""))
            continue
        for key, on_controller in SOURCES[source].values():
            if key and not entry.get(key):
                told.append("%s%s: not set, and tls_certificate_source = %s needs it." % (item, key, source))
            elif on_controller and not exists(entry[key]):
                told.append("%s%s = %s: there is no such file on the controller; where it is on the host, set tls_certificate_source to remote." % (
                    item, key, entry[key]))
    return told


def _chains(entry: dict) -> list:
    """Of an entry with names: its chains, or the one that it is itself."""
    return entry.get("chains") or [{key: value for key, value in entry.items() if key != "names"}]
