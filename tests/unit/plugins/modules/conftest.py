# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run in this process, with arguments as Ansible hands them over."""
from __future__ import annotations

import json
from types import ModuleType

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common import warnings


@pytest.fixture
def run(monkeypatch, capsys):
    """run(module, **arguments) -> its result as Ansible would read it."""
    def run_module(module: ModuleType, **arguments: object) -> dict:
        arguments.setdefault("_ansible_no_log", False)  # which Ansible always says, and which counts more than what a module says
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        monkeypatch.setattr(warnings, "_global_warnings", {})  # those of modules that ran before it in this process
        with pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)
    return run_module
