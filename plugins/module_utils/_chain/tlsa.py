# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""TLSA records that a chain fulfils.

Source: RFC 6698 section 2.1; RFC 7671 sections 5.1 (DANE-EE) and 5.2 (DANE-TA); RFC 7672 section 3.1, which has no other usage for SMTP.
"""
from __future__ import annotations

#: {usage, selector, matching type: (whose certificate, its digest)}
FORMS = {
    "3 1 1": ("leaf", "spki_sha256"),
    "2 1 1": ("issuers", "spki_sha256"),
    "3 0 1": ("leaf", "sha256"),
}


def records(certificates: list) -> list:
    """[{usage, selector, matching_type, data, of}] in every form; none of a certificate that can't be read. certificates: facts, leaf first."""
    whose = {"leaf": certificates[:1], "issuers": issuers(certificates)}
    return [
        dict(zip(("usage", "selector", "matching_type"), map(int, form.split())), data=certificate[digest], of=certificate["subject"])
        for form, (whom, digest) in FORMS.items() for certificate in whose[whom] if certificate["spki_sha256"]
    ]


def issuers(certificates: list) -> list:
    """Those that lead from the leaf upwards, in whatever order they are sent: a peer does not follow others. Each key once, never the leaf's."""
    above: dict = {}
    wanted = [certificate["issuer"] for certificate in certificates[:1]]
    for name in wanted:
        for certificate in certificates[1:]:
            key = certificate["spki_sha256"]
            if certificate["subject"] == name and key not in (certificates[0]["spki_sha256"], *above):
                above[key] = certificate
                wanted.append(certificate["issuer"])
    return list(above.values())
