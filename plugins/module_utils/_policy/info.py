# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What tls_policy_info tells: which policy answers for a recipient, and, where it is asked to look, what becomes of mail under it today."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import source
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy import dane, partners, sender as senders
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.explain import Explainer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.lookup import Lookup
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import Attempt, Demand, Outcome, asks_for_mail, attempt, bare, delivery
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import options

ARGUMENT_SPEC = {
    "recipients": {"type": "list", "elements": "str", "required": True},
    "sender": {"type": "str", "default": ""},
    "probe": {"type": "bool", "default": False},
    **partners.OPTIONS,
}
#: Octets of the digests that a look tells.
_DIGITS = 64


def explained(params: dict, run: Run) -> list:
    """RV(results) for validated params. Raises PostfixTlsError for what can't be asked or looked at."""
    directory = params["config_directory"]
    host = Instance.read(run, directory)
    results = Explainer(host, Lookup(run, directory)).explain(params["recipients"], params["sender"])
    if params["probe"]:
        _look(results, params, host)
    return results


def _look(results: list, params: dict, host: Instance) -> None:
    """Adds to each next hop what becomes of mail there. Next hops that are met in the same way are looked at side by side."""
    clients = {service.name: service for service in host.services if (service.kind, service.program) == ("unix", "smtp")}
    alike: dict = {}
    for transport, policy in ((result["transport"], policy) for result in results for policy in result["next_hops"]):
        policy["outcome"] = None
        if policy["wrong"]:
            policy["outcome"] = Outcome(False, "", policy["wrong"])._asdict()
        elif transport in clients and not (policy["level"] == "fingerprint" and _other_digests(policy["match"])):
            way = (transport, policy["attributes"].get("servername"), tuple(policy["attributes"].get("tafile", ())))
            alike.setdefault(way, {}).setdefault(policy["next_hop"], []).append(policy)
    for (transport, name, anchors), hops in alike.items():
        how = options.look(dict(params, depth=partners.DEPTH), ca_content="\n".join(source.text("tafile", path) for path in anchors) or None)
        sender = senders.of(host.of(clients[transport]), trusted=not params["ca_file"])
        sender = sender._replace(server_name=name or sender.server_name)
        found = partners.look(list(hops), sender, how, options.concurrency(params))
        demands = [(policy, _demand(policy, sender), partner) for partner in found for policy in hops[partner.destination]]
        records = _records(demands, params["timeout"])
        undecided = [host for _policy, demand, partner in demands for host in partner.hosts if asks_for_mail(_of(demand, host, records), host.facts)]
        partners.ask_for_mail(undecided, sender, how, options.concurrency(params))
        for policy, demand, partner in demands:
            told = Outcome(False, "", partner.problem) if partner.problem else delivery(
                [(host.facts, _attempt(demand, host, records)) for host in partner.hosts], partner.ranks, sender.sessions)
            policy["outcome"] = told and told._asdict()


def _records(demands: list, seconds: float) -> dict:
    """{(domain, host, port): its Tlsa}, of those whose level asks for them."""
    wanted = dict.fromkeys(_server(demand, host) for _policy, demand, partner in demands if demand.level in dane.LEVELS for host in partner.hosts)
    return {server: dane.look(*server, seconds) for server in wanted}


def _server(demand: Demand, host: partners.Host) -> tuple:
    """As dane.look takes it."""
    return None if host.preference is None else bare(demand.nexthop), host.name, host.facts["target"]["port"]


def _of(demand: Demand, host: partners.Host, records: dict) -> Demand:
    """What is asked of this host."""
    tlsa = records.get(_server(demand, host)) if demand.level == "dane" else None
    return demand.at_may() if tlsa and not tlsa.problem and not tlsa.records else demand


def _attempt(demand: Demand, host: partners.Host, records: dict) -> Attempt | None:
    if demand.level not in dane.LEVELS:
        return attempt(demand, host.facts)
    return dane.decided(demand, host.facts, records[_server(demand, host)])


def _demand(policy: dict, sender: Sender) -> Demand:
    digests = tuple(policy["match"]) if policy["level"] == "fingerprint" else ()
    return Demand(
        policy["level"], () if digests else tuple(policy["match"]), policy["protocols"], digests, policy["next_hop"], policy["wrapper"], sender.certificate,
        policy["attributes"].get("protocols") or sender.optional_protocols, postfix=sender.postfix,
        anonymous=sender.anonymous("encrypt" if policy["level"] == "encrypt" else "may", policy["attributes"].get("exclude", "")),
    )


def _other_digests(digests: list) -> bool:
    return any(len(digest.replace(":", "")) != _DIGITS for digest in digests)
