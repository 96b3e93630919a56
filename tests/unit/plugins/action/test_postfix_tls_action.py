# SPDX-License-Identifier: GPL-3.0-or-later
"""The payload goes along, and the task stays as it was written; the collector is out of the way meanwhile, and back whatever becomes of the module."""
from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.mailsec.postfix_tls.plugins.action.postfix_tls import PACKED, ActionModule


@pytest.mark.parametrize("error", (None, RuntimeError("unreachable")))
def test_the_payload_goes_along_and_the_collector_is_off_while_the_module_runs(monkeypatch, error: Exception | None) -> None:
    seen = []

    def execute(_self: ActionBase, **how: object) -> dict:
        seen.append((gc.isenabled(), how))
        if error:
            raise error
        return {"changed": True}

    monkeypatch.setattr(ActionBase, "run", lambda _self, tmp, task_vars: {"changed": False})
    monkeypatch.setattr(ActionBase, "_execute_module", execute)
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={"action": "reload"}, async_val=0)
    try:
        if error:
            with pytest.raises(RuntimeError):
                action.run(task_vars={"a": 1})
        else:
            assert action.run(task_vars={"a": 1}) == {"changed": True}
    finally:
        gc.unfreeze()
    arguments = {"action": "reload", "_payload": PACKED}
    assert seen == [(False, {"module_args": arguments, "task_vars": {"a": 1}, "wrap_async": 0})] and gc.isenabled()
    assert action._task.args == {"action": "reload"}, "callbacks are shown the task's arguments"
