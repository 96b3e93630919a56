# SPDX-License-Identifier: GPL-3.0-or-later
"""Every message between the hosts of the ring was what its receiver says: the sender's tls_log_info against the Received: header, by Postfix 3.5 to 3.11.

Next hops are written in every way there is, by services of several names, over several servers of which one defers or breaks off TLS, with
connections used again and with reloads in between. What the receiver took encrypted is never counted as clear, nor the other way round.
"""
from __future__ import annotations

import re
from typing import Iterator

import pytest
from ring import HOSTS, LEFT, LOG, NAMES, NEXT, configured, each, post, rows, told

#: {kind: (next hop, whether it goes encrypted)}; HERE is the next one's name, with capitals THERE, its address ADDRESS.
KINDS = {
    "capitals": ("smtp:[THERE]", True),
    "capitalclear": ("smtp:[THERE]:2525", False),
    "literal": ("smtp:[ADDRESS]", True),
    "literalclear": ("smtp:[ADDRESS]:2525", False),
    "mapped": ("smtp:[IPv6:::FFFF:ADDRESS]", True),
    "mappedclear": ("smtp:[ipv6:::ffff:ADDRESS]:2525", False),
    "bare": ("smtp:THERE", True),
    "mx": ("smtp:mx.test", True),
    "screened": ("smtp:[THERE]:2540", True),
    "screenedclear": ("smtp:[THERE]:2541", False),
    "instance": ("out:[THERE]", True),
    "instanceclear": ("out:[THERE]:2525", False),
    "relayed": ("relay:[THERE]", True),
    "broken": ("old:[THERE]:2527", False),
    "deferred": ("smtp:[THERE]:2528, [HERE]:2525", False),
    "deferredclear": ("smtp:[HERE]:2529, [THERE]", True),
    "b\u00fccher": ("smtp:[THERE]", True),
}
_NOT = "smtpd_tls_protocols=!SSLv2,!SSLv3,!TLSv1,!TLSv1.1,!TLSv1.2"
SERVICES = (
    "out/unix=out unix - - n - - smtp -o syslog_name=postfix-out",
    "old/unix=old unix - - n - - smtp -o minimal_backoff_time=1s -o smtp_tls_protocols=!SSLv2,!SSLv3,!TLSv1,!TLSv1.1,!TLSv1.3",
    "2527/inet=2527 inet n - n - - smtpd -o %s" % _NOT,
    "2528/inet=2528 inet n - n - - smtpd -o smtpd_client_restrictions=defer -o smtpd_delay_reject=no",
    "2529/inet=2529 inet n - n - - smtpd -o smtpd_tls_security_level=none -o smtpd_recipient_restrictions=defer",
    "2540/inet=2540 inet n - n - 1 postscreen -o syslog_name=postfix-screened -o smtpd_service_name=screened",
    "2541/inet=2541 inet n - n - 1 postscreen -o syslog_name=postfix-screened -o smtpd_service_name=screenedclear -o postscreen_tls_security_level=none",
    "screened/pass=screened pass - - n - - smtpd",
    "screenedclear/pass=screenedclear pass - - n - - smtpd -o smtpd_tls_security_level=none",
    "tlsproxy/unix=tlsproxy unix - - n - 0 tlsproxy",
    "smtp/unix=smtp unix - - n - - smtp",
    "relay/unix=relay unix - - n - - smtp",
)
#: A name server of one zone: the MX record of mx.test is the host that it is told, in capitals; nothing else exists but that host's address.
NAME_SERVER = r"""
import socket, struct, sys
host, address = sys.argv[1:]
def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 53))
    while True:
        query, client = server.recvfrom(4096)
        end = query.index(b"\0", 12) + 5
        asked, kind = query[12:end - 4].lower(), struct.unpack(">H", query[end - 4:end - 2])[0]
        data = b""
        if kind == 15 and asked == name("mx.test"):
            data = struct.pack(">H", 10) + name(host.upper())
        elif kind == 1 and asked == name(host.lower()):
            data = socket.inet_aton(address)
        answer = struct.pack(">HHHIH", 0xC00C, kind, 1, 60, len(data)) + data if data else b""
        known = asked in (name("mx.test"), name(host.lower()))
        server.sendto(query[:2] + struct.pack(">HHHHH", 0x8580 | (0 if known else 3), 1, int(bool(data)), 0, 0) + query[12:end] + answer, client)
"""
MAIN = (
    "smtputf8_enable=yes", "smtp_dns_support_level=enabled", "transport_maps=texthash:/etc/postfix/kinds, texthash:/etc/postfix/transport",
    "postscreen_greet_wait=1s", "postscreen_cache_map=",
)
REUSE = ("smtp_tls_connection_reuse=yes", "smtp_connection_cache_destinations=static:all", "smtp_connection_cache_time_limit=60s")

ONE = "; ".join("m a@%s.NEXT.test" % kind for kind in KINDS)
EMPTY = "until [ $(%s) = 0 ]; do sleep 0.2; done" % LEFT
#: What can't be encrypted is deferred at first, and goes in the clear once it is older than minimal_backoff_time.
AGAIN = "sleep 1.5; postqueue -f; sleep 0.5; " + EMPTY
RELOAD = "postfix reload 2>/dev/null; sleep 1"
RESTART = "if [ -d /run/systemd/system ]; then systemctl restart postfix; else postfix stop; postfix start; fi; sleep 1"


def table(name: str) -> str:
    there = HOSTS[NEXT[name]]
    words = {"THERE": there.fqdn.upper(), "HERE": there.fqdn, "ADDRESS": there.address}
    lines = ["%s.%s.test %s\n" % (kind, there.name, hop) for kind, (hop, _encrypted) in KINDS.items()]
    return "".join(re.sub("THERE|HERE|ADDRESS", lambda match: words[match.group()], line) for line in lines)


@pytest.fixture(scope="module", autouse=True)
def kinds() -> Iterator[None]:
    """Hosts that know all next hops, with an empty log."""
    def lay(name: str) -> None:
        host, there = HOSTS[name], HOSTS[NEXT[name]]
        host.write("/etc/postfix/kinds", table(name))
        host.write("/root/names.py", NAME_SERVER)
        host.run("cp /etc/resolv.conf /root/; cp -p /etc/postfix/main.cf /etc/postfix/master.cf /root/")
        host.run("nohup python3 /root/names.py %s %s >/root/names.log 2>&1 </dev/null & echo $! >/run/names.pid" % (there.fqdn, there.address))
        host.run("echo nameserver 127.0.0.1 >/etc/resolv.conf")
        own = "mydestination=$myhostname, " + ", ".join("%s.%s.test" % (kind, name) for kind in KINDS)
        main, services = (" ".join("'%s'" % word for word in words) for words in ((*MAIN, own), SERVICES))
        configured(name, "postconf -e %s; postconf -M %s; : >%s; postsuper -d ALL" % (main, services, LOG), RESTART)

    def take_back(name: str) -> None:
        HOSTS[name].run("kill $(cat /run/names.pid); cat /root/resolv.conf >/etc/resolv.conf; cp -p /root/main.cf /root/master.cf /etc/postfix/; " + RESTART)

    each(lay)
    yield
    each(take_back)


def agreed(arrived: dict, answers: dict, alone: dict, times: int) -> None:
    """Sender and receiver, message by message of a domain. answers: with the configuration of the host; alone: of its log alone."""
    for name in NAMES:
        seen = arrived[name].of("%s.test" % name)
        expected = {"%s.%s.test" % (kind, NEXT[name]): (0, times) if encrypted else (times, 0) for kind, (_hop, encrypted) in KINDS.items()}
        assert {domain: numbers[:2] for domain, numbers in seen.items()} == expected, (name, "the receiver saw something else")
        for answer in (answers[name], alone[name]):
            told_of = {row["domain"]: (row["plaintext"], row["encrypted"], row["protocols"]) for row in answer["sent"]}
            assert told_of == seen, name
            assert (answer["totals"]["sent"]["unknown"], answer["left_out"]["unparsed"], answer["silent"]) == (0, 0, []), name
        took = rows(answers[NEXT[name]]["received"], "domain")["%s.test" % name]
        assert took[:2] == tuple(sum(numbers[at] for numbers in seen.values()) for at in (0, 1)), name


def test_each_message_is_what_its_receiver_says_however_its_next_hop_is_written_and_with_reloads_in_between() -> None:
    arrived = post("; ".join((ONE, EMPTY, AGAIN, RELOAD, ONE, EMPTY, AGAIN)))
    agreed(arrived, told(), told(files=[LOG]), 2)


def test_each_message_is_what_its_receiver_says_where_connections_are_used_again() -> None:
    each(lambda name: configured(name, "postconf -e %s; : >%s" % (" ".join("'%s'" % setting for setting in REUSE), LOG), RESTART))
    arrived = post("; ".join([ONE, EMPTY] * 3 + [AGAIN]))
    for name in NAMES:
        log = HOSTS[name].run("cat %s" % LOG)
        assert min(log.count("TLS connection reused to"), log.count("conn_use=")) >= 4, "connections were not used again, so this proves nothing"
    agreed(arrived, told(), told(files=[LOG]), 3)
