# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail servers on loopback in a process of their own, until standard input ends: most healthy, some that never answer or hardly.

Out, one line: {"ca": PEM, "healthy": [port], "silent": [port], "slow": [port]}.
"""
from __future__ import annotations

import json
import socket
import sys
import time
from contextlib import ExitStack

from issuing import issue
from servers import Behaviour, MailServer

HEALTHY = 8  # each serves many targets: a port is not what a target costs


def _dribble(connection: socket.socket) -> None:
    """A greeting that never ends, one byte a second."""
    connection.sendall(b"220-")
    while True:
        connection.sendall(b".")
        time.sleep(1)


def _silent(stack: ExitStack) -> int:
    """The port of a listener whose queue is full: whatever else comes is dropped by the kernel, as by an address that swallows packets."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    while True:
        waiting = stack.enter_context(socket.socket())
        waiting.settimeout(0.2)
        try:
            waiting.connect(listener.getsockname())
        except socket.timeout:
            return listener.getsockname()[1]


def main() -> None:
    root = issue("Root", authority=True)
    leaf = issue("mx.example.org", root)
    with ExitStack() as stack:
        healthy = [stack.enter_context(MailServer(Behaviour(chain=leaf))).port for _server in range(HEALTHY)]
        slow = [stack.enter_context(MailServer(Behaviour(instead=_dribble))).port]
        print(json.dumps({"ca": root.pem, "healthy": healthy, "silent": [_silent(stack)], "slow": slow}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
