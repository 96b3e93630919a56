# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks from the controller without starting another Python there, which takes longer than the look; elsewhere runs the module."""
from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _verification


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        result = super().run(tmp, task_vars)
        elsewhere = self._connection.transport != "local" or self._task.become or self._task.async_val
        if elsewhere or "targets" not in self._task.args:  # without targets it is about this machine's own Postfix
            result.update(self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val))
            return result
        _outcome, params = self.validate_argument_spec(_verification.ARGUMENT_SPEC)
        result.update(_verification.result(params))
        return result
