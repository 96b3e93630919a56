# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario ends with a look into the logs of its hosts: no line of a key may be there, whatever was run at which verbosity."""
from __future__ import annotations

import json
import os
from typing import Iterator

import pytest
import secrets_in
from reach import INVENTORY, Host

_SEARCH = "exec 3<&0; { cat /var/log/*.log /var/log/syslog; journalctl -q --no-pager -o cat; } 2>/dev/null | grep -cF -f /dev/fd/3 || :"


@pytest.fixture(scope="session", autouse=True)
def no_key_in_any_log() -> Iterator[None]:
    yield
    scenario = os.environ.get("MOLECULE_SCENARIO_NAME", "")
    inventory = INVENTORY / ("%s.json" % scenario)
    lines = secrets_in.key_lines()
    if not inventory.exists():
        return  # pytest on single tests, without molecule
    assert lines
    for name in json.loads(inventory.read_text(encoding="utf-8"))[scenario]["hosts"]:
        told = Host(name).run(_SEARCH, stdin="\n".join(lines) + "\n")
        assert told.strip() == "0", "%s: %s lines of its logs hold a line of a private key" % (name, told.strip())
