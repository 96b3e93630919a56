# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module on the host, with all that it needs there as one of its arguments (_payload).

Without the garbage collector: while Ansible packs the rest, that would walk all of Ansible's heap again and again, for as long as the packing takes, and
find nothing. The process was forked for this task and ends with it.
"""
from __future__ import annotations

import gc

from ansible.plugins.action import ActionBase
from ansible_collections.mailsec.postfix_tls.plugins.module_utils import _certificates, _payload

#: Packed when Ansible loads this, once, before it forks a worker for each host.
PACKED = _payload.pack()


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        result = super().run(tmp, task_vars)
        wrong = _certificates.misplaced(self._task.args)
        if wrong:  # before anything of it leaves the controller, or is in a message
            return dict(result, failed=True, msg="%s Nothing was changed." % " ".join(wrong))
        arguments = dict(_certificates.keys_apart(self._task.args), _payload=PACKED)
        gc.freeze()
        gc.disable()
        try:
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val))
        finally:
            gc.freeze()  # what was made meanwhile is not walked either
            gc.enable()
        return result
