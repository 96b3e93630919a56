# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What ACME clients, certbot above all, keep beside a file, and what of that stands in the way of its renewal."""
from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Callable, Iterable, NamedTuple
from urllib.parse import urlsplit

CERTBOT = "/etc/letsencrypt"
#: Of a certificate's time. Clients renew when a third is left, or half of a short one's; when this much is left, they have failed to for a while.
_OVERDUE = 1 / 4


class Obstacle(NamedTuple):
    """In the words of a finding."""

    observed: str
    expected: str
    fix: str


def obstacles(path: str, facts: dict, left: float) -> list:
    """What stands in the way of a file's renewal, or of its being seen. facts: of the certificate that ends first. left: its share of time left."""
    found = []
    if current := newest(path):
        found.append(Obstacle(
            "%s is one version of the file; what is renewed is written to another" % path, "the name that leads to the newest", "name %s" % current,
        ))
    if left < _OVERDUE:
        found.append(Obstacle(
            "its certificate ends on %s and should have been renewed by now" % facts["not_after"], "more than a quarter of its time left",
            "see why its ACME client does not renew it (for certbot: certbot renew --dry-run, /var/log/letsencrypt)",
        ))
    lineage = re.match(re.escape(CERTBOT) + r"/(?:live|archive)/([^/]+)/", path)
    return found + (_of_certbot(lineage.group(1)) if lineage else [])


def newest(path: str) -> str:
    """The name under which its client keeps the newest of a file, where the path is that of one version (certbot's archive/NAME/privkey1.pem)."""
    archived = re.fullmatch(r"(.*)/archive/([^/]+)/(privkey|cert|chain|fullchain)\d+\.pem", path)
    if archived and os.path.lexists(live := "%s/live/%s/%s.pem" % archived.groups()):
        return live
    for version in (path, os.path.dirname(path)):
        if os.path.realpath(version) != version or not re.search(r"\d", os.path.basename(version)):
            continue
        for folder in (os.path.dirname(version), os.path.dirname(os.path.dirname(version))):
            for link in _links(folder):
                if os.path.realpath(link) == version:
                    return link + path[len(version):]
    return ""


def _links(folder: str) -> list:
    with suppress(OSError):
        return sorted(entry.path for entry in os.scandir(folder) if entry.is_symlink())
    return []


def _of_certbot(lineage: str) -> list:
    """Source: certbot's renewal/NAME.conf (ConfigObj) and accounts/SERVER/ID."""
    path = "%s/renewal/%s.conf" % (CERTBOT, lineage)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            kept = dict(re.findall(r"^(\w+) *= *(.*?) *$", file.read(), re.MULTILINE))
    except OSError:
        return [Obstacle(
            "certbot does not renew it, for there is no %s" % path, "a lineage that certbot knows", "have certbot obtain it again, or see what else renews it",
        )]
    server, account = urlsplit(kept.get("server", "")), kept.get("account", "None")
    folder = "%s/accounts/%s%s" % (CERTBOT, server.netloc, server.path.rstrip("/"))
    if account == "None" or os.path.exists(os.path.join(folder, account, "private_key.json")):
        return []
    return [Obstacle(
        "certbot renews it by an account that is not there (%s/%s)" % (folder, account), "the account that %s names" % path,
        "restore that folder, or write another account's name there (certbot show_account --server %s)" % kept.get("server", ""),
    )]


def left_over(folder: str, is_named: Callable[[str], bool], sources: Iterable) -> list:
    """Lineages of certbot that have a chain file in a folder of ours, which nothing names, and that are no sources either."""
    found = []
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):
            lineage, suffix = os.path.splitext(name)
            live = "%s/live/%s/" % (CERTBOT, lineage)
            if suffix == ".pem" and os.path.exists("%s/renewal/%s.conf" % (CERTBOT, lineage)) and not is_named(os.path.join(folder, name)):
                found += [] if any(source.startswith(live) for source in sources) else [lineage]
    return found
