# SPDX-License-Identifier: GPL-3.0-or-later
"""Of mail servers that nobody here wrote, sound and with each fault they can be given, we say what is so and what others say."""
from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, NamedTuple

import judges
import pytest
from differences import DIFFERENCES, RELEASES
from faults import CASES, Fault, failing, intermediate, named, root
from limits import Limit, compare
from mailservers import Server
from reach import Host
from running import prepare, running

#: As many servers at a time; some only wait.
SIDE_BY_SIDE = 5
PEERS = ("the table", "s_client", "gnutls-cli", "sslscan", *RELEASES)


class Views(NamedTuple):
    """said: {who: {what: {sentence}}} of one case. observed: {check of ours: its words}, where it did not pass."""

    said: dict
    observed: dict

    def comparisons(self, case: str, peer: str) -> dict:
        """{what: Comparison} of all that both speak of."""
        ours, theirs = self.said["we"], self.said.get(peer, {})
        return {what: compare(case, peer, what, frozenset(ours[what]), frozenset(theirs[what]), DIFFERENCES) for what in theirs if what in ours}


class Cases:
    """All that were asked for, each looked at once by everybody, a few at a time."""

    def __init__(self, wanted: list, folder: Path) -> None:
        intermediate()  # once, before several ask for it at a time
        self._hosts = {name: Host(name) for name in set(RELEASES.values())}
        self._ca_file = folder / "ca.pem"
        self._ca_file.write_text(root().pem, encoding="utf-8")
        for host in self._hosts.values():
            judges.trust_root(host)
        prepare(self._hosts["y-servers"])
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        slowest_first = sorted(wanted, key=lambda case: not (case[1].wants.pause or case[0].hangs))
        self._views: dict[str, Future] = {named(case): self._pool.submit(self._look, *case) for case in slowest_first}

    def _look(self, server: Server, fault: Fault) -> Views:
        servers, trixie = self._hosts["y-servers"], self._hosts["y-trixie"]
        with running(servers, server, fault) as where:
            ours, observed = judges.we(server, fault, where, str(self._ca_file))
            said = {"we": ours, "the table": {"checks": {"%s %s" % row for row in failing(server, fault).items()}}}
            if not (fault.wants.pause or server.hangs):  # they ask one question after the other
                said.update({"s_client": judges.s_client(trixie, fault, where), "gnutls-cli": judges.gnutls_cli(servers, where),
                             "sslscan": judges.sslscan(where)})
            said.update({release: judges.posttls_finger(self._hosts[name], fault, where) for release, name in RELEASES.items()})
        return Views(said, observed)

    def __getitem__(self, case: str) -> Views:
        return self._views[case].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    """Of those that tests of this session ask for."""
    asked = [item.callspec.params for item in request.session.items if item.module is request.module]
    wanted = {params["case"] for params in asked if "case" in params}
    wanted |= {case for params in asked if "limit" in params for case in CASES if named(case) in params["limit"].hosts}
    looked_at = Cases(sorted(wanted, key=CASES.index), tmp_path_factory.mktemp("foreign"))
    yield looked_at
    looked_at.close()


@pytest.mark.parametrize("case", CASES, ids=named)
def test_we_say_what_is_so_and_what_others_say(cases: Cases, case: tuple) -> None:
    views, wrong = cases[named(case)], []
    for peer in PEERS:
        for what, found in views.comparisons(named(case), peer).items():
            if not found.agrees:
                wrong.append("%s: only we say %s; only %s says %s" % (what, sorted(found.only_ours) or "-", peer, sorted(found.only_theirs) or "-"))
    assert not wrong, "\n".join([*wrong, "We saw:", *("%s: %s" % row for row in views.observed.items())])


def needed(cases: Cases, name: str, limit: Limit) -> frozenset:
    found = cases[name].comparisons(name, limit.peer).get(limit.what)
    return found.needed if found else frozenset()


@pytest.mark.parametrize("limit", DIFFERENCES, ids=lambda limit: "%s-%s" % (limit.peer, limit.what))
def test_a_difference_still_is_where_it_is_listed(cases: Cases, limit: Limit) -> None:
    found = [name for name in limit.hosts if limit in needed(cases, name, limit)]
    assert found == list(limit.hosts) and found, "not any more, for %s: %s" % (limit.why, sorted(set(limit.hosts) - set(found)))
