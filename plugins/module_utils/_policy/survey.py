# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What each level would mean for mail to a partner today, and the strongest one that stops none, as RV(results) of tls_survey_info."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import partners, sender as senders
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import MATCH, Demand, Outcome, asks_for_mail, matched, outcome, over_hosts
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.partners import Host, Partner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES

#: Weakest first. A fingerprint is none of them: it stops mail as soon as the partner changes its key.
LEVELS = ("encrypt", "verify", "secure")

_CERTIFICATE = ("subject", "issuer", "names", "self_signed", "not_before", "not_after", "days_left", "sha256", "spki_sha256")


ARGUMENT_SPEC = {
    "destinations": {"type": "list", "elements": "str", "required": True},
    **partners.OPTIONS,
    "min_days_left": {"type": "int", "default": 14},
}


def surveyed(params: dict, run: Run) -> dict:
    """RV(results) and RV(entries) for validated params. Raises PostfixTlsError for what can't be looked at or read at all."""
    sender = senders.read(run, params["config_directory"], trusted=not params["ca_file"])
    how = options.look(dict(params, depth=partners.DEPTH))
    concurrency = options.concurrency(params)
    found = partners.look(params["destinations"], sender, how, concurrency)
    undecided = [partner for partner in found if not _goes("encrypt", partner, sender).delivered]
    in_the_clear = [host for partner in undecided for host in partner.hosts if asks_for_mail(_demand("may", partner, sender), host.facts)]
    partners.ask_for_mail(in_the_clear, sender, how, concurrency)
    results = [survey(partner, sender, params["min_days_left"]) for partner in found]
    return {"results": results, "entries": [result["entry"] for result in results if result["entry"]]}


def survey(partner: Partner, sender: Sender, min_days_left: int) -> dict:
    """One of RV(results). min_days_left: a certificate that ends sooner is told of."""
    demands = {level: _demand(level, partner, sender) for level in LEVELS}
    found = {level: _goes(level, partner, sender) for level in ("may", *LEVELS)}
    strongest = next((level for level in reversed(found) if found[level].delivered), "unknown")
    demand = demands.get(strongest)
    return {
        "destination": partner.destination,
        "hosts": [_host(host, demands) for host in partner.hosts],
        "levels": {level: {"works": found[level].delivered, "reason": found[level].reason, "match": list(demands[level].match)} for level in LEVELS},
        "strongest": strongest,
        "entry": _entry(partner, demand) if demand else None,
        "why": _why(partner, sender, strongest, demands, found, min_days_left),
    }


def _goes(level: str, partner: Partner, sender: Sender) -> Outcome:
    """What becomes of mail there."""
    if partner.problem:
        return Outcome(False, "", partner.problem)
    return over_hosts(_demand(level, partner, sender), partner.facts, partner.ranks, sender.sessions)


def _demand(level: str, partner: Partner, sender: Sender) -> Demand:
    """What to ask of this partner at a level; with names to match where its hosts have certificates under other names than the level's own."""
    wrapper = any(host.facts["target"]["protocol"] == "smtps" for host in partner.hosts)
    protocols = sender.optional_protocols if level == "may" else sender.protocols
    asked = Demand(
        level, protocols=protocols, nexthop=partner.destination, wrapper=wrapper, certificate=sender.certificate, postfix=sender.postfix,
        anonymous=sender.anonymous(level),
    )
    if level != "secure":
        return asked
    holding = [host for host in partner.hosts if outcome(asked, host.facts).delivered]
    named = [host.name for host in partner.hosts if host not in holding and outcome(asked._replace(match=("hostname",)), host.facts).delivered]
    if not named:
        return asked
    return asked._replace(match=(*(MATCH["secure"] if holding else ()), *dict.fromkeys(named)))


def _entry(partner: Partner, demand: Demand) -> dict:
    entry = {"destination": partner.destination, "level": demand.level}
    return dict(entry, match=list(demand.match)) if demand.match else entry


def _host(host: Host, demands: dict) -> dict:
    facts = host.facts
    tls = facts["tls"] or {}
    leaf = facts["certificates"][0] if facts["certificates"] else None
    answers = tls.get("versions", {})
    every = demands["secure"]._replace(match=("hostname", *MATCH["secure"]))
    return {
        "host": host.name,
        "preference": host.preference,
        "port": facts["target"]["port"],
        "protocol": facts["target"]["protocol"],
        "address": facts["target"]["address"],
        "reachable": facts["reachable"],
        "error": facts["error"],
        "starttls": facts["smtp"]["starttls"],
        "handshake": {"verdict": tls.get("handshake"), "reason": tls.get("reason")},
        "versions": [name for name in NAMES if answers.get(name, {}).get("verdict") == "accepted"],
        "certificate": {key: leaf[key] for key in _CERTIFICATE} if leaf else None,
        "trusted": tls.get("trust"),
        "matches": matched(every, facts),
    }


def _why(partner: Partner, sender: Sender, strongest: str, demands: dict, found: dict, min_days_left: int) -> str:
    """One sentence."""
    if strongest == "unknown" and any(facts["reachable"] for facts in partner.facts):
        return "Mail would not be delivered, so no entry is proposed: %s." % found["may"].reason
    if strongest == "unknown":
        return "Nothing is known of it, so no entry is proposed: %s." % found["encrypt"].reason
    if strongest == "may":
        return "Anything above may would stop mail: %s." % found["encrypt"].reason
    if strongest == "encrypt":
        told = ["verify and secure would stop mail: %s" % found["verify"].reason, *_other_name(partner, demands["verify"])]
    else:
        names = ["the destination" if name == "nexthop" else name for name in demands[strongest].match or ("nexthop",) if name != "dot-nexthop"]
        told = ["the certificate is trusted and made out to %s" % " or ".join(names)]
        told += _ending(partner, demands[strongest], min_days_left)
    if found[strongest].reason:
        told.append("not every host would take it: %s" % found[strongest].reason)
    if demands[strongest].wrapper and not sender.wrapper:
        told.append("its port speaks TLS from the first byte, so mail goes there by a transport with smtp_tls_wrappermode = yes")
    if partner.left_out:
        told.append("not looked at, because smtp_mx_address_limit leaves them out: %s" % ", ".join(partner.left_out))
    text = "; ".join(told)
    return "%s%s." % (text[:1].upper(), text[1:])


def _other_name(partner: Partner, verify: Demand) -> list:
    """A trusted certificate of another name can be asked for by that name, which is the postmaster's to decide, not ours."""
    others = []
    for host in partner.hosts:
        if outcome(verify, host.facts).word == "Trusted":
            others += [entry[4:] for entry in host.facts["certificates"][0]["names"] or () if entry.startswith("DNS:") and "*" not in entry]
    return ["if that name is theirs, level secure with match: [%s] would hold" % ", ".join(dict.fromkeys(others))] if others else []


def _ending(partner: Partner, demand: Demand, min_days_left: int) -> list:
    """On certificates that end soon, after which the level would stop mail."""
    told: list = []
    for host in partner.hosts:
        if not outcome(demand, host.facts).delivered:
            continue
        chain = [one for at, one in enumerate(host.facts["certificates"]) if one["days_left"] is not None and not (at and one["self_signed"])]
        first = min(chain, key=lambda one: one["days_left"], default=None)
        if first and first["days_left"] < min_days_left:
            told.append("%s: its certificate ends in %d days, on %s, and from then on this would stop mail" % (
                host.name, first["days_left"], first["not_after"]))
    return list(dict.fromkeys(told))
