# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each task returned on each host, a line of JSON each, to the file that POSTFIX_TLS_RESULTS names."""
from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: notification
short_description: results of tasks as lines of JSON
description: For tests alone.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def _note(self, status: str, result) -> None:
        line = {"host": result._host.get_name(), "action": result._task.action, "task": result._task.get_name(), "status": status,
                "result": result._result}
        with open(os.environ["POSTFIX_TLS_RESULTS"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result) -> None:
        self._note("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:
        self._note("failed", result)

    def v2_runner_on_unreachable(self, result) -> None:
        self._note("unreachable", result)
