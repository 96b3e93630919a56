# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a socket is, where this process may not look into master(8)."""
from __future__ import annotations

import socket

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import startable

#: As /proc/net/tcp has them: of a master that can't be looked into, of sshd, and of an ordinary user.
LISTENING = [("0.0.0.0", 25, "111", "0"), ("0.0.0.0", 22, "222", "0"), ("127.0.0.1", 8080, "333", "1000")]


@pytest.fixture(autouse=True)
def _host(monkeypatch) -> None:
    monkeypatch.setattr(startable, "_listening", lambda family: LISTENING if family == socket.AF_INET else [])
    monkeypatch.setattr(startable.os, "listdir", lambda _path: ["1", "700", "800", "net"])
    monkeypatch.setattr(startable, "_held", lambda process: {"222"} if process == 800 else set())


def test_what_root_listens_on_and_nobody_is_seen_to_hold_is_the_masters() -> None:
    held = startable._held_by_master(700)
    assert startable._ours(socket.AF_INET, "0.0.0.0", 25, held)
    assert not startable._ours(socket.AF_INET, "0.0.0.0", 22, held), "sshd holds it"
    assert not startable._ours(socket.AF_INET, "127.0.0.1", 8080, held), "a master opens its sockets as root"


def test_where_no_master_runs_nothing_is_ours() -> None:
    assert startable._held_by_master(None) == set()


def test_a_master_that_can_be_looked_into_is_believed(monkeypatch) -> None:
    monkeypatch.setattr(startable, "_held", lambda _process: {"444"})
    assert startable._held_by_master(700) == {"444"}
