# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways that mail of a named partner could take around its entry: each is seen on the wire, told by the run, and closed by the very remedy that is told."""
from __future__ import annotations

import re
import uuid
from typing import Iterator, NamedTuple

import pytest
import yaml
from capture import Capture
from post import wait
from reach import Host, ask

ON_THE_WIRE = "tcp port 2525 or tcp port 2527"
HELD = [{"destination": name, "level": "encrypt"} for name in ("held.test:2525", "late.test", "own.test", "bank.test", "[127.0.4.9]:2525")]
MODULE = "mailsec.postfix_tls.postfix_tls"


class Way(NamedTuple):
    """to: the recipient. where: words of the finding that names it. remedy: further parameters of the module beside the entries that are told."""

    to: str
    where: str
    subject: str = "x"
    sender: str = "admin"


WAYS = {
    "last resort": Way("admin@late.test", "master.cf: late/unix -o smtp_fallback_relay"),
    "next hop by sender": Way("admin@elsewhere.test", "sender_dependent_relayhost_maps (texthash:/etc/postfix/by_sender, s@from.test)", sender="s@from.test"),
    "transport by sender": Way("admin@bank.test", "master.cf: bare/unix has -o smtp_tls_policy_maps=", sender="t@from.test"),
    "single recipient": Way("ceo@bank.test", "transport_maps (texthash:/etc/postfix/transport, ceo@bank.test)"),
    "LMTP": Way("admin@own.test", "transport_maps (texthash:/etc/postfix/transport, own.test)"),
    "filter": Way("admin@held.test", "FILTER in regexp:/etc/postfix/checks", subject="filter me"),
    "rewritten": Way("info@bank.test", "virtual_alias_maps (texthash:/etc/postfix/aliases_v, info@bank.test)"),
}
#: No way round: each is tried beside the others, in the same configuration, and its message has to wait.
NONE = {
    "straight": Way("admin@held.test", ""),
    "generic": Way("generic@held.test", ""),
    "bounce": Way("", ""),
}
SERVICES = (
    "late unix - - n - - smtp -o smtp_fallback_relay=[127.0.4.2]:2525",
    "bare unix - - n - - smtp -o smtp_tls_policy_maps=",
)
TABLES = {
    "transport": "late.test late:[127.0.4.9]:2525\nheld.test smtp:held.test:2525\nopen.test smtp:open.test:2525\nceo@bank.test smtp:[127.0.4.3]:2525\n"
                 "own.test lmtp:inet:own.test:2527\nfree.test smtp:free.test:2525\n",
    "by_sender": "s@from.test [127.0.4.4]:2525\n",
    "transport_by_sender": "t@from.test bare:bank.test:2525\n",
    "checks": "/^Subject: filter me/ FILTER smtp:[%(address)s]:2525\n",
    "aliases_v": "info@bank.test info@free.test\n",
    "generic": "generic@held.test generic@open.test\n",
}
SETTINGS = {
    "transport_maps": "texthash:/etc/postfix/transport", "sender_dependent_relayhost_maps": "texthash:/etc/postfix/by_sender",
    "sender_dependent_default_transport_maps": "texthash:/etc/postfix/transport_by_sender", "header_checks": "regexp:/etc/postfix/checks",
    "virtual_alias_maps": "texthash:/etc/postfix/aliases_v", "smtp_generic_maps": "texthash:/etc/postfix/generic", "smtp_host_lookup": "native",
    "lmtp_host_lookup": "native", "smtp_tls_security_level": "may", "smtp_bind_address": "127.0.0.1",
    "smtp_connection_cache_destinations": "open.test held.test",
    "soft_bounce": "no", "smtp_discard_ehlo_keyword_address_maps": "static:starttls", "smtp_per_request_deadline": "yes", "disable_dns_lookups": "",
}


def sinks(host: Host, *options: str) -> None:
    """Servers that take every message and offer no TLS, until their processes in /root/sinks are ended."""
    host.run("rm -f /root/sinks; " + " ".join(
        "setsid smtp-sink -u postfix -c %s 100 >/dev/null 2>&1 </dev/null & echo $! >>/root/sinks;" % option for option in options))


@pytest.fixture(scope="module")
def sender() -> Iterator[Host]:
    """Its configuration is the same again afterwards."""
    host = Host("s-sender")
    host.run("rm -rf /root/postfix-before && cp -a /etc/postfix /root/postfix-before; cp /etc/hosts /root/hosts-before; postsuper -d ALL")
    host.run("for name in held open bank free own; do echo 127.0.4.20 $name.test >>/etc/hosts; done; cp /etc/hosts /var/spool/postfix/etc/hosts")
    for name, lines in TABLES.items():
        host.write("/etc/postfix/" + name, lines % {"address": host.address})
    for service in SERVICES:
        host.run("postconf -M '%s/unix=%s'" % (service.split()[0], service))
    host.run("postconf -X smtp_tls_policy_maps; postconf -e %s" % " ".join("'%s=%s'" % pair for pair in SETTINGS.items() if pair[1]))
    sinks(host, "0.0.0.0:2525", "-L 0.0.0.0:2527")
    yield host
    host.run("kill $(cat /root/sinks); postsuper -d ALL; rm -rf /etc/postfix && mv /root/postfix-before /etc/postfix; cp /root/hosts-before /etc/hosts;"
             " cp /etc/hosts /var/spool/postfix/etc/hosts; postfix reload", check=False)


def run(host: Host, **more: object) -> list:
    """The findings of a run."""
    told = ask(host.name, MODULE, "--become", **more)[host.name]
    assert not told["failed"], told
    return told["findings"]


def clear_of(host: Host, ways: dict) -> tuple:
    """(names of the ways whose message was on the wire in the clear, the log meanwhile)"""
    markers = {name: "marker-%s" % uuid.uuid4().hex for name in ways}
    log_from = int(host.run("wc -c </var/log/mail.log"))
    capture = Capture(host, ON_THE_WIRE)
    # A connection in the clear to the same address, which is kept open for whoever comes next.
    host.run("printf 'Subject: x\\n\\ny\\n' | sendmail -f admin@%s admin@open.test; sleep 1" % host.fqdn)
    for name, way in ways.items():
        sent_by = way.sender if "@" in way.sender else "%s@%s" % (way.sender, host.fqdn)
        if name == "bounce":
            host.run("printf 'Subject: x\\n\\n%s\\n' | sendmail -f admin@held.test nobody-at-all@%s" % (markers[name], host.fqdn))
        else:
            host.run("printf 'Subject: %s\\n\\n%s\\n' | sendmail -f %s %s" % (way.subject, markers[name], sent_by, way.to))

    def log() -> str:
        return host.run("tail -c +%d /var/log/mail.log" % (log_from + 1))

    wait(lambda: len(re.findall(r"postfix/(?:bare/|late/)?(?:smtp|lmtp)\[.* status=", log())) > len(ways))
    wire = capture.stop()
    host.run("postsuper -d ALL")
    return {name for name, marker in markers.items() if marker.encode() in wire}, log()


@pytest.fixture(scope="module")
def first(sender: Host) -> tuple:
    """(findings, ways that were in the clear, log) with an entry for each partner, and nothing else."""
    findings = run(sender, policy={"destinations": HELD})
    return (findings, *clear_of(sender, {**WAYS, **NONE}))


def test_each_way_is_one(first: tuple) -> None:
    assert first[1] == set(WAYS), first[2]


@pytest.mark.parametrize("name", WAYS)
def test_the_run_names_it(name: str, first: tuple) -> None:
    [finding] = [finding for finding in first[0] if finding["observed"].startswith(WAYS[name].where)]
    assert finding["fix"]


def test_the_remedies_close_them_and_are_told_once(first: tuple, sender: Host) -> None:
    told = " ".join(finding["fix"] for finding in first[0])
    entries = [yaml.safe_load(text) for text in dict.fromkeys(re.findall(r"{destination: [^}]*}", told))]
    assert entries
    findings = run(
        sender, policy={"destinations": HELD + [entry for entry in entries if entry["destination"] not in [held["destination"] for held in HELD]]},
        services={"bare/unix": {"smtp_tls_policy_maps": None}}, parameters={"lmtp_tls_policy_maps": "$smtp_tls_policy_maps"},
    )
    assert [finding for finding in findings if finding["observed"].startswith(tuple(way.where for way in WAYS.values()))] == []
    seen, log = clear_of(sender, {**WAYS, **NONE})
    assert seen == set(), log
    assert "status=deferred" in log


@pytest.mark.parametrize("name", ["s-sender", "s-plain"])
def test_a_message_that_asks_for_no_tls_is_held_to_the_policy_unless_that_is_chosen(name: str) -> None:
    """Postfix 3.10 and 3.11: TLS-Required: No (RFC 8689) makes every level may."""
    host = Host(name)
    host.run("rm -rf /root/postfix-plain && cp -a /etc/postfix /root/postfix-plain; postsuper -d ALL")
    host.write("/etc/postfix/transport", "bank.test smtp:[127.0.5.1]:2525\ntlsa.test smtp:[127.0.5.2]:2525\n")
    host.run("postconf -X smtp_tls_policy_maps; postconf -e transport_maps=texthash:/etc/postfix/transport smtp_dns_support_level=dnssec smtp_host_lookup=dns")
    sinks(host, "127.0.5.1:2525", "127.0.5.2:2525")
    policy = {"destinations": [{"destination": "[127.0.5.1]:2525", "level": "encrypt"}, {"destination": "[127.0.5.2]:2525", "level": "dane-only"}]}
    try:
        for chosen, clear in ((None, set()), (True, {"bank.test", "tlsa.test"})):
            parameters = {} if chosen is None else {"tls_required_enable": chosen}
            findings = run(host, policy=policy, parameters=parameters)
            assert host.run("postconf -hx tls_required_enable").strip() == ("yes" if chosen else "no")
            told = [finding["observed"] for finding in findings if "TLS-Required" in finding["observed"]]
            assert told == (["tls_required_enable = yes: a message with the header TLS-Required: No goes to named partners as with may, and so in the clear"]
                            if chosen else [])
            assert ask(name, MODULE, "--become", policy=policy, parameters=parameters)[name]["changed"] is False
            markers = {to: "marker-%s" % uuid.uuid4().hex for to in ("bank.test", "tlsa.test")}
            log_from = int(host.run("wc -c </var/log/mail.log"))
            capture = Capture(host, ON_THE_WIRE)
            for to, marker in markers.items():
                host.run("printf 'Subject: x\\nTLS-Required: No\\n\\n%s\\n' | sendmail -f admin@%s admin@%s" % (marker, host.fqdn, to))
            wait(lambda start=log_from: host.run("tail -c +%d /var/log/mail.log" % (start + 1)).count(" status=") >= 2)
            wire = capture.stop()
            assert {to for to, marker in markers.items() if marker.encode() in wire} == clear
            host.run("postsuper -d ALL")
    finally:
        host.run("kill $(cat /root/sinks); postsuper -d ALL; rm -rf /etc/postfix && mv /root/postfix-plain /etc/postfix; postfix reload", check=False)
