# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a target has to show: a profile, and single items on top of it."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.groups import GROUPS
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.signatures import SIGNATURES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

#: Without a profile and without a word about it.
_FLOOR = "TLSv1.2"

#: {check: the item of a profile that it judges}, where the two are not called the same.
_ITEMS = {"versions": "floor", "dh_size": "dh_bits", "signatures": "hashes", "key": "rsa_bits", "certificate_signature": "certificate_hashes"}


@dataclass(frozen=True)
class Expectation:
    """profile: a name of C(_tls.profiles), or None. What is None here is as the profile has it, and without one not judged.

    floor: the oldest protocol version that may be accepted, TLSv1.2 without a profile. accepts: versions that have to be.
    trust, name, auth_only (no AUTH before TLS): whether they are judged. min_days_left: for each certificate. deployed: SHA-256 digests (hexadecimal) of leaf
    certificates. chains: the same of whole chains, each a tuple. smuggling: whether
    it was asked about. checks: names of those to make, None for all that apply.
    depth: of the look whose facts are judged. Raises PostfixTlsError for what can't be.
    """

    starttls: bool = True
    profile: Optional[str] = None
    floor: Optional[str] = None
    accepts: Optional[list] = None
    trust: bool = True
    name: bool = True
    dh_bits: Optional[int] = None
    rsa_bits: Optional[int] = None
    server_order: Optional[bool] = None
    extended_master_secret: Optional[bool] = None
    auth_only: bool = True
    min_days_left: int = 0
    deployed: Optional[list] = None
    chains: tuple = ()
    smuggling: bool = False
    checks: Optional[list] = None
    depth: str = "standard"

    def __post_init__(self) -> None:
        if self.profile is not None and self.profile not in PROFILES:
            raise PostfixTlsError("profile", self.profile, "there is no such profile", "The profiles are %s." % ", ".join(PROFILES))
        base = PROFILES.get(self.profile)
        for item in ("floor", "accepts", "dh_bits", "rsa_bits", "server_order", "extended_master_secret"):
            if getattr(self, item) is None:
                object.__setattr__(self, item, getattr(base, item) if base else {"floor": _FLOOR, "accepts": ()}.get(item))
        for item, version in [("floor", self.floor)] + [("accepts", version) for version in self.accepts]:
            if version not in NAMES:
                raise PostfixTlsError(item, version, "that is no protocol version", "Write one of %s." % ", ".join(NAMES))
        if self.min_days_left < 0:
            raise PostfixTlsError("min_days_left", self.min_days_left, "it can't be less than none", "Write 0 for a certificate that is valid today.")
        digests = [digest.replace(":", "").lower() for digest in self.deployed or ()]
        for digest in digests:
            if not re.match(r"[0-9a-f]{64}\Z", digest):
                raise PostfixTlsError("deployed", digest, "that is no SHA-256 digest", "Write its 64 hexadecimal digits.")
        object.__setattr__(self, "deployed", digests + [chain[0] for chain in self.chains])

    def check_names(self, known: tuple) -> None:
        """Raises PostfixTlsError for a check that there is not, and for one that could not fail."""
        switched = {"trust": self.trust, "name": self.name, "deployed_chain": bool(self.deployed), "smuggling": self.smuggling}
        switched["auth_before_tls"] = self.auth_only
        for name in self.checks or ():
            if name not in known:
                raise PostfixTlsError("checks", name, "there is no such check", "The checks are %s." % ", ".join(known))
            item = _ITEMS.get(name, name)
            expected = switched.get(name, self.wants(item) if item in self._judged else True)
            if not expected and item in self._judged and self.depth not in ("standard", "full"):
                raise PostfixTlsError("checks", name, "a look of depth %s does not show it" % self.depth, "Leave depth out for standard.")
            if not expected:
                raise PostfixTlsError("checks", name, "nothing is expected there, so it could not fail", "Expect something or leave it out.")

    #: Items that are judged only where something is expected of them, and after a standard look.
    _judged = ("profile", "suites", "groups", "hashes", "certificate_hashes", "dh_bits", "rsa_bits", "server_order", "extended_master_secret")

    def wants(self, item: str) -> bool:
        if item not in self._judged:
            return bool(getattr(self, item))
        value = self.item(item)
        expected = value is not None and value is not False and not (item == "hashes" and "SHA1" in value)
        return expected and self.depth in ("standard", "full")

    def item(self, item: str) -> object:
        """Of this expectation, else of its profile; None where neither says anything."""
        return getattr(self if item in self.__dataclass_fields__ else PROFILES.get(self.profile), item, None)

    def clause(self, check: str) -> str | None:
        """Where the profile's source says so."""
        base = PROFILES.get(self.profile)
        return base.clauses.get(_ITEMS.get(check, check)) if base else None

    def questions(self) -> dict:
        """Of Look: what the profile needs to have asked at once."""
        if not self.profile:
            return {}
        sets = {"forbidden": self.forbidden_suites(), "phase_out": self.phased_out_suites(), "dhe": suites.SETS["dhe"]}
        return {
            "sets": {name: codes for name, codes in sets.items() if codes},
            "groups": self.forbidden_groups(),
            "hashes": self.forbidden_hashes(),
        }

    def forbidden_suites(self) -> frozenset:
        """Numbers of all known suites before TLS 1.3 that the profile does not have."""
        base = PROFILES.get(self.profile)
        return frozenset(suites.classic()) - base.suites if base else frozenset()

    def forbidden_suites_of_tls13(self) -> frozenset:
        """Names of all known suites of TLS 1.3 that the profile does not have."""
        base = PROFILES.get(self.profile)
        return frozenset(map(suites.name, set(suites.tls13()) - base.suites)) if base else frozenset()

    def forbidden_groups(self) -> frozenset:
        """Names of all known groups that the profile does not have."""
        allowed = self.item("groups")
        return frozenset(group.name for group in GROUPS) - allowed if allowed else frozenset()

    def phased_out_suites(self) -> frozenset:
        """Numbers of suites before TLS 1.3 that the profile still takes and wants gone."""
        base = PROFILES.get(self.profile)
        return base.phase_out.get("suites", frozenset()) & frozenset(suites.classic()) if base else frozenset()

    def forbidden_hashes(self) -> frozenset:
        """Names of hashes that no handshake signature may have."""
        allowed = self.item("hashes")
        return frozenset(signature.hash for signature in SIGNATURES) - allowed if allowed else frozenset(("MD5", "SHA1"))

    def words(self) -> dict:
        """For the texts of checks."""
        base = PROFILES.get(self.profile)
        return {
            "floor": self.floor,
            "accepts": ", ".join(self.accepts) or "%s or newer" % self.floor,
            "profile": "profile %s" % self.profile,
            "exclude": ", ".join(getattr(base, "exclude", ())) or "what is named as accepted",
            "curves_written": _listed(self.item("groups"), ("ecdhe", "hybrid")),
            "ffdhe_written": _listed(self.item("groups"), ("ffdhe",)),
            "dh_bits": self.dh_bits,
            "keys": "%son %s" % (
                "of RSA with at least %d bits, or " % self.rsa_bits if self.rsa_bits else "", ", ".join(sorted(self.item("curves") or ["any curve"])),
            ),
            "certificate_hashes": " or ".join(sorted(self.item("certificate_hashes") or ())),
            "min_days_left": self.min_days_left,
            "deployed": ", ".join(self.deployed),
        }


def _listed(names: frozenset | None, kinds: tuple) -> str:
    """Groups as Postfix's parameters list them; those of TLS 1.3 alone go by their other name."""
    chosen = (group.name for group in GROUPS if group.name in (names or ()) and group.kind in kinds and not group.name.endswith("tls13"))
    return " ".join(chosen)
