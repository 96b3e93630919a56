# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Commands, Postfix's above all, run by an Ansible module: in the C locale, and where system administrators' commands lie."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run


def runner(module, **environment: str) -> Run:
    """module: AnsibleModule. environment: further variables. A command that is not there raises FileNotFoundError."""
    def run(argv: list, stdin: str | None = None) -> tuple:
        return module.run_command(
            argv, data=stdin, path_prefix="/usr/sbin:/sbin", environ_update={"LC_ALL": "C", **environment}, handle_exceptions=False,
        )
    return run
