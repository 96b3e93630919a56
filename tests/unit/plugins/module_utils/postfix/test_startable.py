# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose socket is in the way, where the master can be looked into and where it can't. With real Postfix it is the scenario `interrupted`."""
from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import startable
from hosts_of_text import instance

MASTER = 1 << 22  # more than there are processes


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


@pytest.mark.parametrize("master, seen", [(os.getpid(), True), (None, True), (MASTER, False)], ids=["ours", "no master", "can't be looked into"])
def test_a_port_that_another_program_has_is_told_with_its_name_and_ours_is_not(master: int | None, seen: bool, monkeypatch) -> None:
    held = startable._held
    monkeypatch.setattr(startable, "_held", lambda process: None if process == MASTER else held(process))
    with closing(listening()) as listener:
        port = listener.getsockname()[1]
        host = instance(master="127.0.0.1:%d inet n - y - - smtpd\n" % port)
        told = startable.taken(host, master)
    if master == os.getpid():
        assert told == []
    else:
        [reason] = told
        assert "port %d at 127.0.0.1: Address already in use, by " % port in reason and "(%d)" % os.getpid() in reason


def test_a_socket_whose_holder_nobody_can_see_is_taken_for_the_masters_own(monkeypatch) -> None:
    """As in a container without CAP_SYS_PTRACE, where /proc/PID/fd of master(8), and of its children, is closed to root."""
    monkeypatch.setattr(startable, "_held", lambda process: None)
    with closing(listening()) as listener:
        host = instance(master="127.0.0.1:%d inet n - y - - smtpd\n" % listener.getsockname()[1])
        assert startable.taken(host, MASTER) == []


def test_what_is_closed_to_root_is_not_taken_for_nothing(tmp_path, monkeypatch) -> None:
    def closed(_path: object) -> str:
        raise PermissionError(13, "Permission denied")

    assert startable._held(MASTER) == set() and startable._held(None) == set()
    assert startable._held(os.getpid()) is not None
    monkeypatch.setattr(startable.os, "readlink", closed)
    assert startable._held(os.getpid()) is None
