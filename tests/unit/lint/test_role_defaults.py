# SPDX-License-Identifier: GPL-3.0-or-later
"""The check that compares each role's defaults with its argument_specs finds every kind of difference."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "lint" / "role_defaults.py"


@pytest.fixture(scope="module")
def role_defaults():
    spec = importlib.util.spec_from_file_location("role_defaults", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_names_and_values_are_no_difference(role_defaults) -> None:
    assert role_defaults.differences({"a": 1, "b": []}, {"a": {"default": 1}, "b": {"default": []}}) == []


@pytest.mark.parametrize("defaults, options, told", [
    ({"a": 1}, {}, "a has a default, and no entry in argument_specs"),
    ({}, {"a": {"default": 1}}, "a is in argument_specs, and has no default"),
    ({"a": 1}, {"a": {"default": 2}}, "a has the default 1, and argument_specs says 2"),
    ({"a": ""}, {"a": {}}, "a has the default '', and argument_specs says None"),
    ({"a": True}, {"a": {"default": 1}}, "a has the default True, and argument_specs says 1"),
])
def test_a_difference_is_told(role_defaults, defaults: dict, options: dict, told: str) -> None:
    assert role_defaults.differences(defaults, options) == [told]


def test_a_role_that_differs_fails_the_check(role_defaults, tmp_path: Path, monkeypatch, capsys) -> None:
    texts = {
        "defaults/main.yml": "a_level: may\n",
        "meta/argument_specs.yml": "argument_specs: {main: {options: {a_level: {default: none}}}}\n",
    }
    for name, text in texts.items():
        path = tmp_path / "a" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(role_defaults, "ROLES", tmp_path)
    assert role_defaults.main() == 1
    assert "roles/a: a_level has the default 'may'" in capsys.readouterr().out
