# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What starttls_verify does, wherever it runs: in its module on a host, in its action plugin on the controller."""
from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options, polling
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import CHECK_NAMES, applying, judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.obstacles import obstacle
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.remedies import UNSEEN
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.report import explain, failed
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

if TYPE_CHECKING:
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.causes import Causes
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._promise import Own

#: Where the host itself answers, and this machine gets no answer.
_ELSEWHERE = (
    "nothing on the host, which is proven from inside: look from a machine that reaches it (starttls_verify_vantage), at the address"
    " that it reaches (starttls_verify_targets), or not at all (tls_hardening_verify: false)"
)

#: Where what the host says of itself is not what arrives.
_BETWEEN = "nothing in main.cf: a device between here and the host strips or answers STARTTLS"

_VERSION = {"type": "str", "choices": list(NAMES)}

ARGUMENT_SPEC = dict(
    options.ARGUMENT_SPEC,
    profile={"type": "str", "choices": list(PROFILES)},
    expect={
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "starttls": {"type": "bool"},
            "floor": _VERSION,
            "accepts": dict(_VERSION, type="list", elements="str"),
            "trust": {"type": "bool"},
            "name": {"type": "bool"},
            "deployed": {"type": "list", "elements": "str"},
            "dh_bits": {"type": "int"},
            "rsa_bits": {"type": "int"},
            "server_order": {"type": "bool"},
            "extended_master_secret": {"type": "bool"},
            "auth_only": {"type": "bool"},
        },
    },
    deployed_chain={"type": "path"},
    min_days_left={"type": "int", "default": 0},
    checks={"type": "list", "elements": "str", "choices": list(CHECK_NAMES)},
    smuggling_recipient={"type": "str"},
    inside={"type": "list", "elements": "dict"},
    unproven={"type": "str", "choices": ["fail", "tell"], "default": "fail"},
    retries={"type": "int", "default": 0},
    delay={"type": "float", "default": 5.0},
    log={"type": "bool", "default": True},
)


def result(params: dict, own: Optional[Callable[[str], list]] = None, log: Optional[Causes] = None) -> dict:
    """The module's result for validated params, msg and failed included where it failed.

    own: config_directory -> [Own], where this runs on a mail host; looked at when no target is named. log: of this host, where it is
    to be asked.
    """
    try:
        listeners = own(params["config_directory"]) if own and params["targets"] is None else []
        targets = [listener.target for listener in listeners] or options.targets(params)
        expected = [_expectation(params, listener.promised) for listener in listeners] or [_expectation(params, {})] * len(targets)
        made = [applying(target.protocol, expectation) for target, expectation in zip(targets, expected)]
        if not any(made):
            raise PostfixTlsError("checks", ", ".join(params["checks"] or ()), "none of them applies to any target", "Leave checks out to make all that apply.")
        look = options.look(params, smuggling_recipient=params["smuggling_recipient"], **expected[0].questions())
        concurrency = options.concurrency(params)

        def look_at(some: list) -> list:
            if log:
                log.mark()  # at each look, so that what was mended meanwhile is not told
            return probe_all(some, look, concurrency)

        def judged(position: int, facts: dict) -> list:
            more = [_configuration(listeners[position])] if listeners else []
            inside = [seen for seen in params["inside"] or () if _same_service(facts, seen)][:1]
            if _turned_away(facts, inside):
                return [_not_from_here(finding) for finding in judge(facts, expected[position])]
            return judge(facts, expected[position]) + more + [_same_from_inside(facts, seen) for seen in inside]

        results, attempts = polling.verify(targets, polling.Means(look_at, judged, worth=_from_here), params["retries"], params["delay"])
    except PostfixTlsError as error:
        return dict(error.details, failed=True, msg=str(error))
    _join(results, log)
    taken = params["unproven"] == "tell"
    seen = {"changed": False, "results": results, "attempts": attempts, "unproven": [facts["target"] for facts in results if not _from_here(facts)]}
    if taken and seen["unproven"]:
        seen["warnings"] = [explain([facts]) for facts in results if not _from_here(facts)]
    wrong = explain([facts for facts in results if not taken or _from_here(facts)])
    return dict(seen, failed=True, msg=wrong) if wrong else seen


def _join(results: list, log: Causes | None) -> None:
    """To each finding that did not pass, what this host's own log says of our connections, where it is its own target."""
    told: dict = {}
    for facts in results:
        client = facts["vantage"]["source"] if log and facts["vantage"]["own"] else None
        for finding in facts["findings"]:
            finding["log"] = []
            if client and failed([finding]):
                if client not in told:
                    told[client] = log.caused_by(client)
                finding["log"] = told[client]


def _expectation(params: dict, promised: dict) -> Expectation:
    """What was asked for goes before what a listener promises. Raises PostfixTlsError for what can't be expected or read."""
    asked = {item: value for item, value in params["expect"].items() if value is not None}
    if params["profile"]:
        promised = {item: value for item, value in promised.items() if item != "floor"}
    return Expectation(**{
        **promised,
        "profile": params["profile"],
        "min_days_left": params["min_days_left"],
        "checks": params["checks"] or promised.get("checks"),
        "chains": _chains(params["deployed_chain"]) if params["deployed_chain"] else (),
        "depth": params["depth"],
        "smuggling": bool(params["smuggling_recipient"]),
        **asked,
    })


def _configuration(listener: Own) -> dict:
    """On what Postfix takes without a word and does not mean."""
    found = listener.complaints
    return {
        "check": "configuration",
        "verdict": "fail" if found else "pass",
        "observed": "; ".join(map(str, found)) or "every name in it is one",
        "expected": "parameters that mean what is written",
        "fix": ", ".join(complaint.fix for complaint in found) or None,
        "reference": "postconf(5)",
    }


def _same_service(facts: dict, seen: object) -> bool:
    """Raises PostfixTlsError for what is no result of a look."""
    try:
        _comparable(seen)
        return facts["target"]["port"] == seen["target"]["port"]
    except (AttributeError, KeyError, TypeError, IndexError):
        raise PostfixTlsError(
            "inside", repr(seen)[:80], "that is no result of a look", "Hand over results of starttls_info or postfix_tls as they are.",
        ) from None


def _turned_away(facts: dict, inside: list) -> bool:
    """Whether this machine alone gets no answer there: no connection comes about, or it ends with a word about who asks, and from inside
    the host answers. What takes a connection and then says nothing, or something else, may be broken.
    """
    if facts["reachable"] or not any(seen.get("reachable") for seen in inside):
        return False
    silent = obstacle(facts["error"])
    return facts["vantage"]["source"] is None or "turned us away" in facts["error"] or bool(silent and silent.parameter != "timeout")


def _not_from_here(finding: dict) -> dict:
    if finding["check"] == "reachable":
        return dict(finding, verdict="unknown", expected="an answer here too, for the host itself had one", fix=_ELSEWHERE)
    return dict(finding, fix=_ELSEWHERE)


def _from_here(facts: dict) -> bool:
    return not any(finding["fix"] == _ELSEWHERE for finding in facts["findings"])


def _same_from_inside(facts: dict, seen: dict) -> dict:
    """On what the host itself sees of the same service: where this differs, something between changes what is said."""
    here, there = _comparable(facts), _comparable(seen)
    asked = [item for item in here if item in there and "unknown" not in (here[item], there[item])]
    if facts["target"]["server_name"] != seen["target"].get("server_name"):
        asked = [item for item in asked if item != "leaf"]  # another name may well have another certificate
    differing = ["%s here, %s there" % (here[item], there[item]) for item in asked if here[item] != there[item]]
    return {
        "check": "same_from_inside",
        "verdict": "fail" if differing else "pass" if asked else "unknown",
        "observed": "; ".join(differing) or ("the same" if asked else "nothing was seen on both sides"),
        "expected": "what the host itself sees of it",
        "fix": _BETWEEN if differing else None if asked else UNSEEN,
        "reference": "RFC 3207 section 6",
    }


def _comparable(facts: dict) -> dict:
    """{what: how it was seen}, of what does not depend on who looks."""
    smtp, tls = facts.get("smtp") or {}, facts.get("tls") or {}
    seen = {version: answer["verdict"] for version, answer in (tls.get("versions") or {}).items()}
    told = {version: "%s is %s" % (version, verdict) if verdict != "unknown" else verdict for version, verdict in seen.items()}
    if smtp.get("starttls") is not None:
        told["STARTTLS"] = "STARTTLS is %s" % ("offered" if smtp["starttls"] else "not offered")
    if facts.get("certificates"):
        told["leaf"] = "leaf %s" % facts["certificates"][0]["sha256"]
    return told


def _chains(path: str) -> tuple:
    """The digests of each chain of a PEM file. Raises PostfixTlsError where there is none."""
    remedy = "Name the PEM file of the deployed chain on the machine that runs the module."
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            content = stream.read()
    except OSError as error:
        raise PostfixTlsError("deployed_chain", path, error.strerror, remedy) from error
    found = pem.chain_digests(content)
    if not found:
        raise PostfixTlsError("deployed_chain", path, "it holds no certificate", remedy)
    return found
