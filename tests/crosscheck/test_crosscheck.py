# SPDX-License-Identifier: GPL-3.0-or-later
"""What we say of a host is what others say of it: stock hosts and hardened ones, seen by us, sslscan, nmap, s_client and posttls-finger.

The last two are Debian 13's and run on a host of the lab, the first two on this machine.
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import seeing
from hosts import GROUPS
from limits import LIMITS, Comparison, Limit, compare
from reach import Host, play

HARDEN = Path(__file__).resolve().parent / "harden.yml"
HOSTS = tuple(GROUPS["crosscheck"])
VANTAGE = "x-stock-trixie"

#: {peer: what it can look at}
PEERS = {
    "sslscan": ("versions", "suites", "groups", "certificates", "dh", "signatures"),
    "nmap": ("versions", "suites", "groups", "order", "certificates", "dh"),
    "s_client": ("versions", "groups", "order", "certificates", "dh", "signatures"),
    "posttls-finger": ("versions", "groups", "order", "certificates"),
}
COMPARED = [(peer, what) for peer, said in PEERS.items() for what in said]


class Views:
    """Every host, seen by us and by all peers, once and side by side."""

    def __init__(self) -> None:
        hosts = {name: Host(name) for name in HOSTS}
        vantage = hosts[VANTAGE]
        by = {
            "we": seeing.we, "sslscan": seeing.sslscan, "nmap": seeing.nmap,
            "s_client": lambda host: seeing.s_client(vantage, host), "posttls-finger": lambda host: seeing.posttls_finger(vantage, host),
        }
        with ThreadPoolExecutor(4) as pool:
            jobs = {(name, viewer): pool.submit(look, host) for viewer, look in by.items() for name, host in hosts.items()}
        self._seen = {job: future.result() for job, future in jobs.items()}

    def ours(self, host: str, what: str) -> frozenset:
        return frozenset(self._seen[host, "we"].said[what])

    def comparison(self, host: str, peer: str, what: str) -> Comparison:
        return compare(host, peer, what, self.ours(host, what), self.theirs(host, peer, what))

    def theirs(self, host: str, peer: str, what: str) -> frozenset:
        return frozenset(self._seen[host, peer].said[what])

    def version(self, peer: str) -> tuple:
        return self._seen[HOSTS[0], peer].version


@pytest.fixture(scope="module")
def views() -> Views:
    play(HARDEN, "crosscheck")
    return Views()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("peer, what", COMPARED)
def test_we_and_the_peer_say_the_same_but_for_what_it_cannot_tell(views: Views, host: str, peer: str, what: str) -> None:
    found = views.comparison(host, peer, what)
    assert found.agrees, "%s of %s\nonly we say: %s\nonly %s says: %s" % (
        what, host, sorted(found.only_ours) or "-", peer, sorted(found.only_theirs) or "-",
    )


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("what", seeing.WHAT)
def test_each_single_thing_we_say_is_said_by_a_peer_too(views: Views, host: str, what: str) -> None:
    """So that limits, taken together, can't excuse anything."""
    said = frozenset().union(*(compare(host, peer, what, frozenset(), views.theirs(host, peer, what)).only_theirs
                               for peer, whats in PEERS.items() if what in whats))
    assert not views.ours(host, what) - said


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("what", seeing.WHAT)
def test_each_single_thing_we_would_miss_is_noticed(views: Views, host: str, what: str) -> None:
    ours = views.ours(host, what)
    for sentence in ours:
        compared = [compare(host, peer, what, ours - {sentence}, views.theirs(host, peer, what)) for peer, whats in PEERS.items() if what in whats]
        assert any(sentence in found.only_theirs for found in compared), sentence


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("what, invented", [
    ("versions", "SSLv3 accepted"), ("suites", "TLSv1.2 TLS_RSA_WITH_RC4_128_MD5"), ("groups", "TLSv1.3 brainpoolP256r1tls13"),
    ("groups", "TLSv1.2 sect163k1"), ("order", "neither"), ("certificates", "RSA 2 %s" % ("0" * 64)), ("dh", "DHE 1024 bits"),
    ("signatures", "SHA1 unknown"),
])
def test_what_we_would_invent_is_noticed(views: Views, host: str, what: str, invented: str) -> None:
    ours = views.ours(host, what) | {invented}
    compared = [compare(host, peer, what, ours, views.theirs(host, peer, what)) for peer, whats in PEERS.items() if what in whats]
    assert any(invented in found.only_ours for found in compared)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: "%s-%s" % (limit.peer, limit.what))
def test_a_peer_still_has_the_limit_that_is_listed(views: Views, limit: Limit) -> None:
    version = views.version(limit.peer)
    if limit.seen_up_to and version > limit.seen_up_to:  # only this release's limit can be told; the comparison itself is never skipped
        pytest.skip("%s %s may be without it" % (limit.peer, ".".join(map(str, version))))
    found = [host for host in limit.hosts or HOSTS if limit in views.comparison(host, limit.peer, limit.what).needed]
    assert found == list(limit.hosts or found) and found, "%s does not: %s" % (limit.peer, limit.why)
