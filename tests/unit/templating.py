# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible itself makes of an expression."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def templated(expression: str, variables: dict, tmp_path: Path) -> object:
    (tmp_path / "variables.json").write_text(json.dumps(variables), encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", "ansible.builtin.debug", "-e", "@%s" % (tmp_path / "variables.json"),
         "-a", "msg={{ %s }}" % expression],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CACHE), "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, check=True,
    )
    return json.loads(told.stdout.partition("=> ")[2])["msg"]
