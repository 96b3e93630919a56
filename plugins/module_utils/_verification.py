# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What starttls_verify does, wherever it runs: in its module on a host, in its action plugin on the controller."""
from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options, polling
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import explain, failed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

if TYPE_CHECKING:
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import MailLog

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
    log={"type": "bool", "default": True},
)


def result(params: dict, log: MailLog | None = None) -> dict:
    """The module's result for validated params, msg and failed included where it failed. log: of this host, where it is to be asked."""
    try:
        targets, look, expected = options.targets(params), options.look(params), _expectation(params)

        def look_at(some: list) -> list:
            if log:
                log.mark()  # at each look, so that what was mended meanwhile is not told
            return probe_all(some, look, params["concurrency"])

        results, attempts = polling.verify(targets, expected, polling.Means(look_at), params["retries"], params["delay"])
    except PostfixTlsError as error:
        return dict(error.details, failed=True, msg=str(error))
    results = _joined(results, log, params["source_address"])
    seen = {"changed": False, "results": results, "attempts": attempts}
    wrong = explain(results)
    return dict(seen, failed=True, msg=wrong) if wrong else seen


def _joined(results: list, log: MailLog | None, source_address: str | None) -> list:
    """The same results, with what this host's own log says of our connections in each finding that did not pass."""
    told: dict = {None: []}

    def lines(target: dict) -> list:
        client = _client(target, source_address) if log else None
        if client not in told:
            told[client] = log.caused_by(client)
        return told[client]

    def finding(one: dict, target: dict) -> dict:
        return dict(one, log=lines(target) if failed([one]) else [])

    return [dict(result, findings=[finding(one, result["target"]) for one in result["findings"]]) for result in results]


def _client(target: dict, source_address: str | None) -> str | None:
    """The address that a target on this host saw us come from, as Postfix logs it; None for a target elsewhere."""
    address = target["address"]
    if address is None:
        return None
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as way:
            here.bind((address, 0))  # refused where the address is none of ours
            if source_address:
                way.bind((source_address, 0))
            way.connect((address, target["port"]))  # sends nothing, but settles where from
            return way.getsockname()[0]
    except OSError:
        return None


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
