# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that each role's defaults/main.yml and meta/argument_specs.yml name the same variables with the same defaults."""
from __future__ import annotations

import sys
from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


def differences(defaults: dict, options: dict) -> list:
    """What one has and the other has not, or has otherwise; a line each."""
    told = ["%s has a default, and no entry in argument_specs" % name for name in sorted(set(defaults) - set(options))]
    told += ["%s is in argument_specs, and has no default" % name for name in sorted(set(options) - set(defaults))]
    for name in sorted(set(defaults) & set(options)):
        documented = options[name].get("default")
        if documented != defaults[name] or isinstance(documented, bool) != isinstance(defaults[name], bool):
            told.append("%s has the default %r, and argument_specs says %r" % (name, defaults[name], documented))
    return told


def main() -> int:
    wrong = 0
    roles = sorted(path for path in ROLES.iterdir() if path.is_dir())
    for role in roles:
        specs = _load(role / "meta" / "argument_specs.yml")["argument_specs"]
        for line in differences(_load(role / "defaults" / "main.yml"), specs["main"]["options"]):
            print("roles/%s: %s" % (role.name, line))
            wrong += 1
    print("%d roles, %d differences between defaults and argument_specs" % (len(roles), wrong))
    return 1 if wrong or not roles else 0


def _load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


if __name__ == "__main__":
    sys.exit(main())
