# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_policy_info says what Postfix then does: for every cell of the table, and for every way mail can be sent."""
from __future__ import annotations

import json

import pytest
from cells import CELLS, EXPECTED, destination, domain, refused
from reach import Host, ask

#: Runs on the host, as root: what trivial-rewrite(8) itself answers, by the protocol that Postfix's programs speak with it, {recipient: [transport, next hop]}.
_ASK_POSTFIX = r"""
import json, socket, sys
told = {}
for sender, recipient in json.load(sys.stdin):
    asked = socket.socket(socket.AF_UNIX)
    asked.connect("/var/spool/postfix/private/rewrite")
    answers = asked.makefile("rwb")
    def record():
        found = {}
        while True:
            name = b""
            while not name.endswith(b"\0"):
                name += answers.read(1)
            if name == b"\0":
                return found
            value = b""
            while not value.endswith(b"\0"):
                value += answers.read(1)
            found[name[:-1].decode()] = value[:-1].decode()
    if sys.argv[1] == "greets":
        record()
    for name, value in (("request", "resolve"), ("sender", sender), ("address", recipient)):
        answers.write(name.encode() + b"\0" + value.encode() + b"\0")
    answers.write(b"\0")
    answers.flush()
    found = record()
    told[recipient] = [found["transport"], found["nexthop"]]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def predicted() -> dict:
    """{(level, partner): the only next hop of RV(results[])}"""
    recipients = ["admin@%s" % domain(*cell) for cell in CELLS]
    told = ask("s-sender", "mailsec.postfix_tls.tls_policy_info", "--become", recipients=recipients, probe=True)["s-sender"]
    assert not told["failed"], told
    return {cell: result["next_hops"] for cell, result in zip(CELLS, told["results"])}


@pytest.mark.parametrize("level, partner", CELLS)
def test_the_entry_is_found_and_the_prediction_is_what_happens(level: str, partner: str, predicted: dict) -> None:
    [policy] = predicted[level, partner]
    table = "texthash:/etc/postfix/%s" % ("others" if refused(level, partner) else "tls_policy")
    assert (policy["key"], policy["level"], policy["source"]) == (destination(level, partner), level, table)
    expected = EXPECTED[level][partner]
    delivered, word = (False, None) if isinstance(expected, tuple) else (True, expected)
    assert policy["outcome"]["delivered"] == delivered, policy
    if delivered:
        assert policy["outcome"]["word"] == word, policy
    else:
        assert policy["outcome"]["reason"]


#: {what is set on the sender: None, or tables {file: lines}}, each a way of its own to send mail.
WAYS = {
    "straight": ({"transport_maps": ""}, {}),
    "relayhost": ({"transport_maps": "", "relayhost": "[relay.lab.test]:587"}, {}),
    "several relays": ({"transport_maps": "", "relayhost": "[a.lab.test], [b.lab.test]:26"}, {}),
    "transports": ({"relayhost": "[relay.lab.test]"}, {
        "transport": "one.test wrapped:[w.one.test]:465\n.one.test :[sub.one.test]\ntwo.test relay:\nthree.test :\nu@four.test local:\n"
                     "a+b@two.test :[ext.two.test]\n",
    }),
    "a transport for all": ({"relayhost": "[relay.lab.test]"}, {"transport": "one.test :\n* relay:[all.lab.test]\n"}),
    "parents match": ({"parent_domain_matches_subdomains": "transport_maps"}, {"transport": "one.test wrapped:\n"}),
    "relay domains": ({"transport_maps": "", "relay_domains": "one.test", "relay_transport": "relay:[inner.lab.test]", "relayhost": "[relay.lab.test]"}, {}),
    "relay domains without a next hop": ({"transport_maps": "", "relay_domains": "!sub.one.test, one.test", "relayhost": "[relay.lab.test]"}, {}),
    "default transport": ({"transport_maps": "", "default_transport": "wrapped:[gw.lab.test]", "relayhost": "[relay.lab.test]"}, {}),
    "mydestination": ({"transport_maps": "", "mydestination": "one.test, texthash:/etc/postfix/mine, !two.test"}, {"mine": "two.test x\nthree.test x\n"}),
    "virtual": ({"transport_maps": "", "virtual_mailbox_domains": "two.test"}, {}),
    "by sender": (
        {"transport_maps": "", "relayhost": "[relay.lab.test]", "sender_dependent_relayhost_maps": "texthash:/etc/postfix/by_sender",
         "sender_dependent_default_transport_maps": "texthash:/etc/postfix/transport_by_sender"},
        {"by_sender": "s@from.test [s.lab.test]\n@from.test [from.lab.test]\n@other.test DUNNO\n", "transport_by_sender": "@other.test wrapped:[o.lab.test]\n"},
    ),
}
RECIPIENTS = ("u@one.test", "u@sub.one.test", "u@deep.sub.one.test", "u@two.test", "a+b@two.test", "a+c@two.test", "u@three.test", "u@four.test", "U@Five.Test")
SENDERS = ("", "s@from.test", "s+x@from.test", "t@from.test", "u@other.test", "v@else.test")


@pytest.fixture
def rerouted() -> Host:
    """Its configuration is the same again afterwards."""
    host = Host("s-sender")
    host.run("rm -rf /root/postfix-before && cp -a /etc/postfix /root/postfix-before")
    yield host
    host.run("rm -rf /etc/postfix && mv /root/postfix-before /etc/postfix && postconf -e recipient_delimiter= && postfix reload")


@pytest.mark.parametrize("way", WAYS)
def test_mail_goes_where_postfix_itself_would_send_it(way: str, rerouted: Host) -> None:
    values, tables = WAYS[way]
    for name, lines in tables.items():
        rerouted.write("/etc/postfix/%s" % name, lines)
    settings = dict(values, recipient_delimiter="+")
    rerouted.run("postconf -e %s && postfix reload && sleep 1.2" % " ".join("'%s=%s'" % pair for pair in settings.items()))
    senders = SENDERS if way == "by sender" else SENDERS[:1]
    for envelope in senders:
        pairs = json.dumps([[envelope, recipient] for recipient in RECIPIENTS])
        rerouted.write("/root/ask.py", _ASK_POSTFIX)
        truth = json.loads(rerouted.run("python3 /root/ask.py greets", stdin=pairs))
        told = ask("s-sender", "mailsec.postfix_tls.tls_policy_info", "--become", recipients=list(RECIPIENTS), sender=envelope)["s-sender"]
        for result in told["results"]:
            transport, hop = truth[result["recipient"]]
            assert result["transport"] == transport, (envelope, result, truth)
            if result["next_hops"]:
                assert ", ".join(policy["next_hop"] for policy in result["next_hops"]) == hop.lower(), (envelope, result, truth)
