# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module, and keeps the garbage collector out of it: while Ansible packs it, that would walk all of Ansible's heap again and again.

It takes as long as the packing itself, and finds nothing: the process was forked for this task and ends with it.
"""
from __future__ import annotations

import gc

from ansible.plugins.action.normal import ActionModule as Normal


class ActionModule(Normal):
    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        gc.freeze()
        gc.disable()
        try:
            return super().run(tmp, task_vars)
        finally:
            gc.enable()
