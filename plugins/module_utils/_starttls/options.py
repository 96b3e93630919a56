# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The options that starttls_info and starttls_verify share, and what they mean to a probe.

Their text is in the documentation fragment of the same name: keep the two in step.
"""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import DEPTHS, EHLO_NAME, PORTS, Look, Target

ARGUMENT_SPEC = {
    "targets": {
        "type": "list",
        "elements": "dict",
        "options": {
            "host": {"type": "str", "required": True},
            "port": {"type": "int"},
            "protocol": {"type": "str", "choices": list(PORTS), "default": "smtp"},
            "server_name": {"type": "str"},
            "address": {"type": "str"},
        },
    },
    "config_directory": {"type": "path", "default": "/etc/postfix"},
    "ca_file": {"type": "path"},
    "timeout": {"type": "float", "default": 20.0},
    "concurrency": {"type": "int", "default": 32},
    "ehlo_name": {"type": "str", "default": EHLO_NAME},
    "source_address": {"type": "str"},
    "depth": {"type": "str", "choices": list(DEPTHS), "default": "standard"},
}


def targets(params: dict) -> list:
    """Targets of the module's parameters. Raises PostfixTlsError for one that can't be, and where there is none."""
    if not params["targets"]:
        raise PostfixTlsError("targets", "", "there is none, so nothing would be looked at", "Write at least one with its host.")
    return [Target(**target) for target in params["targets"]]


def concurrency(params: dict) -> int:
    """Raises PostfixTlsError for one that can't be."""
    if params["concurrency"] < 1:
        raise PostfixTlsError("concurrency", params["concurrency"], "at least one target has to be looked at a time", "Leave it out for 32.")
    return params["concurrency"]


def look(params: dict, **more: object) -> Look:
    """more: of Look, what the module's options do not say."""
    names = ("timeout", "ca_file", "ehlo_name", "source_address", "depth")
    return Look(**{name: params[name] for name in names}, **more)
