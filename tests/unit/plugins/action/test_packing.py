# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector is out of the way while the module is packed, and back whatever becomes of the module."""
from __future__ import annotations

import gc

import pytest
from ansible.plugins.action.normal import ActionModule as Normal
from ansible_collections.mailsec.postfix_tls.plugins.action.postfix_tls import ActionModule


@pytest.mark.parametrize("error", (None, RuntimeError("unreachable")))
def test_the_collector_is_off_while_the_module_runs_and_on_afterwards(monkeypatch, error: Exception | None) -> None:
    seen = []

    def run(_self: Normal, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        seen.append((gc.isenabled(), tmp, task_vars))
        if error:
            raise error
        return {"changed": False}

    monkeypatch.setattr(Normal, "run", run)
    action = ActionModule.__new__(ActionModule)
    try:
        if error:
            with pytest.raises(RuntimeError):
                action.run(task_vars={"a": 1})
        else:
            assert action.run(task_vars={"a": 1}) == {"changed": False}
    finally:
        gc.unfreeze()
    assert seen == [(False, None, {"a": 1})] and gc.isenabled()
