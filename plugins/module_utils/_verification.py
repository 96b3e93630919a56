# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What starttls_verify does, wherever it runs: in its module on a host, in its action plugin on the controller."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options, polling
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import explain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

ARGUMENT_SPEC = dict(
    options.ARGUMENT_SPEC,
    expect={
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "starttls": {"type": "bool", "default": True},
            "floor": {"type": "str", "choices": list(NAMES), "default": "TLSv1.2"},
            "trust": {"type": "bool", "default": True},
            "name": {"type": "bool", "default": True},
            "deployed": {"type": "list", "elements": "str", "default": []},
        },
    },
    deployed_chain={"type": "path"},
    min_days_left={"type": "int", "default": 0},
    checks={"type": "list", "elements": "str", "choices": list(CHECK_NAMES)},
    retries={"type": "int", "default": 0},
    delay={"type": "float", "default": 5.0},
)


def result(params: dict) -> dict:
    """The module's result for validated params, msg and failed included where it failed."""
    try:
        targets, look, expected = options.targets(params), options.look(params), _expectation(params)
        means = polling.Means(lambda some: probe_all(some, look, params["concurrency"]))
        results, attempts = polling.verify(targets, expected, means, params["retries"], params["delay"])
    except PostfixTlsError as error:
        return dict(error.details, failed=True, msg=str(error))
    seen = {"changed": False, "results": results, "attempts": attempts}
    wrong = explain(results)
    return dict(seen, failed=True, msg=wrong) if wrong else seen


def _expectation(params: dict) -> Expectation:
    """Raises PostfixTlsError for what can't be expected, and for a deployed chain that can't be read."""
    expected = dict(params["expect"])
    if params["deployed_chain"]:
        expected["deployed"] = expected["deployed"] + pem.leaf_digests(_read(params["deployed_chain"]))
    return Expectation(min_days_left=params["min_days_left"], checks=params["checks"], **expected)


def _read(path: str) -> str:
    remedy = "Name the PEM file of the deployed chain on the machine that runs the module."
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            content = stream.read()
    except OSError as error:
        raise PostfixTlsError("deployed_chain", path, error.strerror, remedy) from error
    if not pem.leaf_digests(content):
        raise PostfixTlsError("deployed_chain", path, "it holds no certificate", remedy)
    return content
