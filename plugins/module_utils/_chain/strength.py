# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether every certificate of a chain is valid long enough and strong enough, each told by its name."""
from __future__ import annotations

import calendar
import time

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.pem import Chain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.certificate import ending
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES, Profile

#: Whatever else is asked for: less than this makes senders break off, and their message goes in the clear.
_LEAST = PROFILES["interop"]


def judge(chain: Chain, profile: str | None = None, min_days_left: int = 0) -> None:
    """Raises PostfixTlsError for the first certificate that peers could not use, or not for min_days_left more days.

    profile: name of a guideline that the receiving side is to keep, None for what all peers need. See out_of_reach for days that are not asked for.
    """
    asked = PROFILES.get(profile, _LEAST)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for position, facts in enumerate(chain.facts()):
        item = "chain %s" % chain.name
        value = "%s %s" % ("intermediate" if position else "certificate", called(facts))
        reissue = "Ask the CA for the chain with its newer intermediate." if position else "Renew it."
        if facts["not_before"] > now:
            raise PostfixTlsError(item, value, "it is not valid yet, only from %s" % facts["not_before"], "Check this host's clock, or wait until then.")
        if facts["not_after"] < now:
            raise PostfixTlsError(item, value, "it has expired on %s" % facts["not_after"], reissue)
        if facts["days_left"] < min_days_left and (position or not out_of_reach(facts, min_days_left)):
            reason = "it %s, and %d were asked for" % (ending(facts), min_days_left)
            raise PostfixTlsError(item, value, reason, reissue)
        for limits, whose in ((_LEAST, ""), (asked, ", says the profile %s" % profile)):
            weak = _weak_signature(facts, limits) or (_weak_key(facts, limits) if not position or limits is _LEAST else "")
            if weak:
                raise PostfixTlsError(item, value, weak + whose, "Have it issued anew, with a key and a signature of today.")


def _weak_key(facts: dict, asked: Profile) -> str:
    kind, bits = facts["key_type"], facts["key_bits"]
    if kind == "RSA" and not asked.rsa_bits:
        return "RSA keys are not to be used"
    if kind == "RSA" and bits is not None and bits < asked.rsa_bits:
        return "its RSA key has %d bits, and %d are needed" % (bits, asked.rsa_bits)
    if kind == "DSA":
        return "peers take no DSA keys"
    if kind != "RSA" and asked.curves is not None and (facts["curve"] or kind) not in asked.curves:
        return "its key is on %s, and %s are taken" % (facts["curve"] or kind, ", ".join(sorted(asked.curves)))
    return ""


def _weak_signature(facts: dict, asked: Profile) -> str:
    """Nobody checks the signature of a root, or of a certificate that vouches for itself."""
    if facts["self_signed"] or asked.certificate_hashes is None or facts["signature_hash"] in asked.certificate_hashes:
        return ""
    return "it is signed with %s" % facts["signature"]


def share_left(facts: dict) -> float:
    """Of a certificate's time, between 0 and 1; less than 0 where it has expired."""
    begins, ends = _times(facts)
    return (ends - time.time()) / max(1, ends - begins)


def out_of_reach(facts: dict, min_days_left: int) -> str:
    """Why no renewal would make a certificate valid for so long most of the time, because it is issued for too short a one; empty where one would.

    A client renews it when a third of its time is left, or half.
    """
    begins, ends = _times(facts)
    days = (ends - begins) / 86400
    if min_days_left <= days * 2 / 3:
        return ""
    return "it is issued for %.3g days, so it can't be asked for %d more; it ends on %s" % (days, min_days_left, facts["not_after"])


def _times(facts: dict) -> tuple:
    """Begin and end of a certificate's time, in seconds since 1970."""
    return tuple(calendar.timegm(time.strptime(facts[name], "%Y-%m-%dT%H:%M:%SZ")) for name in ("not_before", "not_after"))


def called(facts: dict) -> str:
    """A certificate by its subject, or by its names where it has none (RFC 5280 section 4.1.2.6)."""
    return facts["subject"] or ", ".join(name.partition(":")[2] for name in facts["names"]) or "without a name"
