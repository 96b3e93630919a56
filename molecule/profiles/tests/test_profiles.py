# SPDX-License-Identifier: GPL-3.0-or-later
"""A host set to a profile is seen to keep it, by the verifier and by others, on every release; and its mail still goes out encrypted."""
from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES, Profile
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import below


class Limit(NamedTuple):
    """what: of which of the things compared. unsaid: a pattern of whole sentences that only we say. why: for whoever reads a failure.
    seen_up_to: the newest version of sslscan that was seen with it.
    """

    what: str
    unsaid: str
    why: str
    seen_up_to: tuple


#: What sslscan can't tell. Each has to occur.
LIMITS = (
    Limit("groups", r"TLSv1\.3 \w+MLKEM\d+", "it does not know groups with ML-KEM", (2, 0, 7)),
    Limit("groups", r"TLSv1\.3 brainpool\w+tls13", "it knows these curves under their numbers of TLS 1.2 only", (2, 0, 7)),
)

#: {profile: checks that a host fails which is set to interop}, on every release.
STRICTER = {
    "opportunistic": {"versions"},
    "intermediate": {"versions", "suites", "groups"},
    "modern": {"versions", "suites", "groups", "key"},
    "ncsc_2025": {"versions", "suites", "server_order", "signatures"},
    "bsi_tr02102": {"versions", "suites", "groups", "signatures"},
    "rfc9325": {"versions", "suites", "server_order", "signatures"},
}


def strangers(profile: Profile, said: dict) -> set:
    """What sslscan says that the profile does not have, or wants gone."""
    suites_kept = profile.suites - profile.phase_out.get("suites", frozenset())
    groups_kept = None if profile.groups is None else profile.groups - profile.phase_out.get("groups", frozenset())
    found = {"%s accepted" % version for version in below(profile.floor)} & said["versions"]
    found |= {"%s refused" % version for version in profile.accepts} & said["versions"]
    found |= {line for line in said["suites"] if suites.BY_NAME[line.split()[1]].code not in suites_kept}
    found |= {line for line in said["groups"] if groups_kept is not None and line.split()[1] not in groups_kept}
    return found | {line for line in said["dh"] if profile.dh_bits and int(line.split()[-2]) < profile.dh_bits}


def accepted(result: dict, what: str) -> set:
    """What a full look enumerates, in sslscan's sentences."""
    return {"%s %s" % (version, name) for version, names in result["tls"]["accepted"][what].items() for name in names}


def unexplained(one, what: str) -> tuple:
    """(what we see of a host and sslscan does not, less what is a limit of its; the limits that it took)"""
    only_ours = accepted(one.full, what) - one.sslscan[what]
    taken = {line: limit for line in only_ours for limit in LIMITS if limit.what == what and re.fullmatch(limit.unsaid, line)}
    return only_ours - set(taken), set(taken.values())


def test_the_verifier_passes_a_host_that_is_set_to_the_profile(seen) -> None:
    _profile, told = seen
    for host, one in told.items():
        for depth, result in (("standard", one.standard), ("full", one.full)):
            failed = ["%s: %s" % (finding["check"], finding["observed"]) for finding in result["findings"] if finding["verdict"] != "pass"]
            assert not failed, (host, depth)
            assert {"versions", "suites", "key"} <= {finding["check"] for finding in result["findings"]}


def test_sslscan_sees_nothing_that_the_profile_does_not_have(seen) -> None:
    profile, told = seen
    assert {host: strangers(profile, one.sslscan) for host, one in told.items()} == dict.fromkeys(told, set())


def test_sslscan_sees_all_that_we_see(seen) -> None:
    """Or it would have nothing to judge."""
    profile, told = seen
    for host, one in told.items():
        assert one.full["tls"]["accepted"]["complete"], host
        keys = {suites.BY_NAME[line.split()[1]].authentication for line in one.sslscan["suites"] if not line.startswith("TLSv1.3")}
        assert {"RSA", "ECDSA"} <= keys or profile.floor == "TLSv1.3", (host, keys)
        for what in ("suites", "groups"):
            assert not unexplained(one, what)[0], host
            assert one.sslscan[what] and one.sslscan[what] <= accepted(one.full, what), host


@pytest.mark.parametrize("seen", ["ncsc_2025"], indirect=True)
def test_each_limit_of_sslscan_occurs_where_all_groups_are_on(seen) -> None:
    _profile, told = seen
    occurred = {limit for one in told.values() for what in ("suites", "groups") for limit in unexplained(one, what)[1]}
    assert occurred >= {limit for limit in LIMITS for one in told.values() if one.sslscan_version <= limit.seen_up_to}


def test_openssl_gets_a_signature_with_sha1_where_the_profile_does_not_mind(seen) -> None:
    profile, told = seen
    minds = profile.floor == "TLSv1.3" or profile.hashes is not None and "SHA1" not in profile.hashes
    assert {host: one.sha1 for host, one in told.items()} == dict.fromkeys(told, "refused" if minds else "accepted")


def test_a_server_s_own_order_counts_where_the_profile_asks_for_it_and_nowhere_else(seen) -> None:
    profile, told = seen
    orders = {host: (one.full["tls"]["order"] or {"verdict": None})["verdict"] for host, one in told.items()}
    assert orders == dict.fromkeys(told, None if profile.floor == "TLSv1.3" else "server" if profile.server_order else "client")


def test_mail_from_one_host_to_the_next_is_encrypted_as_the_profile_says(seen) -> None:
    profile, told = seen
    for host, one in told.items():
        assert one.mail.message is not None, (host, one.mail.log)
        version = re.search(r"\(using (\S+) with cipher \S+ .*with ESMTPS id", one.mail.received)
        assert version and version[1] not in below(profile.floor), (host, one.mail.received)
        assert b"STARTTLS" in one.mail.wire and one.mail.marker.encode() not in one.mail.wire, host


@pytest.mark.parametrize("seen", ["interop"], indirect=True)
def test_a_host_set_to_interop_fails_every_other_profile(hosts, seen) -> None:
    _interop, told = seen
    assert set(STRICTER) == set(PROFILES) - {"interop"}
    with ThreadPoolExecutor(2) as pool:
        judged = dict(zip(STRICTER, pool.map(lambda name: hosts.verify(profile=name), STRICTER)))
    for name, checks in STRICTER.items():
        for host, result in judged[name].items():
            failed = {finding["check"] for finding in result["findings"] if finding["verdict"] == "fail"}
            assert checks <= failed, (name, host, sorted(checks - failed))
            assert strangers(PROFILES[name], told[host].sslscan), (name, host)


@pytest.mark.parametrize("strict", ["ncsc_2025", "bsi_tr02102"])
def test_the_file_for_openssl_does_not_come_between_a_host_and_others(hosts, strict: str) -> None:
    """It holds for sending too, whoever the peer is. Neighbours differ, and each release is once the one and once the other."""
    for turn in (0, 1):
        hosts.set({name: (strict, "interop")[(place + turn) % 2] for place, name in enumerate(hosts.names)})
        for host, mail in hosts.mail().items():
            assert re.search(r"\(using TLSv1\.3 with cipher .*with ESMTPS id", mail.received), (host, mail.received or mail.log)
