# SPDX-License-Identifier: GPL-3.0-or-later
"""What would keep Postfix from starting again is refused before anything is written or stopped, in check mode as well: each row is something that a
real Postfix does not start with, left by somebody who has not made it live. And a Postfix that was stopped stays so unless it is asked for.
"""
from __future__ import annotations

import json
from typing import NamedTuple

import pytest
from conftest import PLACE, arguments, fed
from reach import Host
from test_in_the_way import holds, run
from witness import tree

MASTER = "echo '%s' >> /etc/postfix/master.cf"
LISTEN = "(exec setsid python3 -c 'import socket,time; s=socket.socket(%s); s.setsockopt(1,2,1); s.bind((\"%s\",2598)); s.listen(5); time.sleep(60)' " \
    ">/dev/null 2>&1 </dev/null & echo $! > /run/listener); sleep 0.5"


class Latent(NamedTuple):
    """What somebody did, and what is told of it. starts: whether a real Postfix starts with it all the same."""

    name: str
    done: str
    told: tuple
    starts: bool = False


LATENT = (
    Latent("a port that another daemon has", MASTER % "22 inet n - n - - smtpd", ("master.cf: 22/inet", "port 22 at 0.0.0.0: Address already in use, by sshd")),
    Latent("a port that another daemon has at one address", LISTEN % ("", "127.0.0.1") + "; " + MASTER % "2598 inet n - n - - smtpd",
           ("master.cf: 2598/inet", "port 2598 at 0.0.0.0: Address already in use, by python3")),
    Latent("the same for IPv6", LISTEN % ("socket.AF_INET6", "::1") + "; " + MASTER % "[::1]:2598 inet n - n - - smtpd",
           ("master.cf: [::1]:2598/inet", "port 2598 at ::1: Address already in use")),
    Latent("an address of nobody here", MASTER % "192.0.2.9:2525 inet n - n - - smtpd", ("master.cf: 192.0.2.9:2525/inet", "no interface", "192.0.2.9")),
    Latent("an address of a protocol that is off", "postconf -e inet_protocols=ipv4; " + MASTER % "[::1]:2525 inet n - n - - smtpd",
           ("master.cf: [::1]:2525/inet", "inet_protocols")),
    Latent("a name that is none", MASTER % "no-such.lab.invalid:2525 inet n - n - - smtpd",
           ("master.cf: no-such.lab.invalid:2525/inet", "is no address, or name")),
    Latent("a program that is not there", MASTER % "2525 inet n - n - - nosuchd", ("master.cf: 2525/inet", "nosuchd is not there"), starts=True),
    Latent("a program that is not there, for a socket", MASTER % "nosuch unix - - n - - nosuchd",
           ("master.cf: nosuch/unix", "nosuchd is not there"), starts=True),
    Latent("a queue that is not there", "postconf -e queue_directory=/nonexistent", ("queue_directory = /nonexistent", "there is no such directory")),
    Latent("programs that are not there", "postconf -e daemon_directory=/nonexistent", ("daemon_directory = /nonexistent", "there is no such directory")),
    Latent("a user who is not there", "postconf -e mail_owner=nosuch", ("mail_owner = nosuch", "no such name")),
    Latent("a group that is not there", "postconf -e setgid_group=nosuch", ("setgid_group = nosuch", "no such name")),
    Latent("an interface of nobody here", "postconf -e inet_interfaces=127.0.0.1,192.0.2.9", ("inet_interfaces = 192.0.2.9", "no interface")),
    Latent("an interface by a name that is none", "postconf -e inet_interfaces=127.0.0.1,no-such.lab.invalid", ("inet_interfaces = no-such.lab.invalid", "")),
    Latent("a protocol that is none", "postconf -e inet_protocols=ipv5", ("inet_protocols = ipv5", "ipv4, ipv6")),
)

#: A Postfix that starts with these; nothing may be refused.
HARMLESS = (
    Latent("a listener of Postfix's own in other words", MASTER % "127.0.0.1:25 inet n - n - - smtpd", (), starts=True),
    Latent("a port that is taken by a service that is off", MASTER % "22 inet n - n - - smtpd" + "; postconf -e master_service_disable=22/inet", (),
           starts=True),
    Latent("a data directory that is made at the start", "postconf -e data_directory=/var/lib/postfix-new", (), starts=True),
)

SAVED = "rm -rf /root/etc-postfix; cp -a /etc/postfix /root/etc-postfix"
#: The listener's number is its own.
BACK = (
    "cp -a /root/etc-postfix/*.cf /etc/postfix/; [ ! -e /run/listener ] || kill $(cat /run/listener) 2>/dev/null; rm -rf /run/listener /nonexistent"
)
#: Whatever is configured now.
STOP = "m=$(pgrep -x -o master) && kill $m; while pgrep -x master >/dev/null; do sleep 0.05; done"
START = "if [ -d /run/systemd/system ]; then systemctl reset-failed postfix; systemctl start postfix; else postfix start 2>/dev/null; fi"
PID = "pgrep -x -o master || :"


def module(host: Host, intent: str, **more: object) -> dict:
    asked = dict(arguments(host.name, intent), **more)
    return json.loads(fed(host, "cd %s; python3 -B dying.py 0 || :" % PLACE, json.dumps(asked).encode()))


def really_starts(host: Host) -> bool:
    """Postfix itself is asked; it is stopped for that, and left running as it was configured before."""
    host.run(STOP)
    told = host.run("%s >/dev/null 2>&1; sleep 0.5; %s" % (START, PID)).strip()
    host.run("%s; %s" % (STOP, BACK))
    host.run("%s; for turn in $(seq 50); do pgrep -x master && break; sleep 0.1; done" % START)
    return told != ""


def shared_out(hosts, rows: tuple, meet) -> list:
    """(row, what meet(host, row) returned), each row on one of the hosts."""
    def act(host: Host) -> list:
        return [(row, meet(host, row)) for row in rows[hosts.names.index(host.name)::len(hosts.names)]]
    return [pair for pairs in hosts.each(act).values() for pair in pairs]


@pytest.fixture(scope="module", autouse=True)
def whole(hosts) -> None:
    assert not [result for result in hosts.each(lambda host: run(host, "a")).values() if result.get("failed")]


def test_what_postfix_could_not_start_with_again_is_refused_and_nothing_has_changed(hosts) -> None:
    def meet(host: Host, latent: Latent) -> tuple:
        host.run("%s; %s" % (SAVED, latent.done))
        before = tree(host), host.run(PID)
        checked, result, unchanged = module(host, "b", _ansible_check_mode=True), run(host, "b"), module(host, "a", _ansible_check_mode=True)
        after = tree(host), host.run(PID)
        return before, after, checked, result, unchanged, really_starts(host)

    for latent, (before, after, checked, result, unchanged, starts) in shared_out(hosts, LATENT, meet):
        name = latent.name
        assert starts is latent.starts, name
        assert result.get("failed") and checked.get("failed") and checked["msg"] == result["msg"], (name, checked, result)
        assert [words for words in (*latent.told, "nothing was changed") if words not in result["msg"]] == [], (name, result["msg"])
        assert after == before and before[1].strip(), name
        # Without its queue nobody can tell whether it runs, so it would be started.
        told = unchanged["msg"] if unchanged.get("failed") else {finding["check"] for finding in unchanged["findings"]}
        assert ("nothing was changed" if "queue" in name else "startable") in told, (name, unchanged)


def test_what_postfix_starts_with_is_not_refused(hosts) -> None:
    def meet(host: Host, harmless: Latent) -> tuple:
        host.run("%s; %s" % (SAVED, harmless.done))
        checked = module(host, "b", _ansible_check_mode=True, action="reload")
        return checked, really_starts(host)

    for harmless, (checked, starts) in shared_out(hosts, HARMLESS, meet):
        assert starts and not checked.get("failed") and checked["changed"], (harmless.name, checked)
        assert "startable" not in {finding["check"] for finding in checked["findings"]}


def test_a_postfix_that_was_stopped_stays_so_and_is_started_only_if_asked_to(hosts) -> None:
    def meet(host: Host) -> list:
        assert not run(host, "a").get("failed")
        host.run(STOP)
        told = []
        for intent, more in (("a", {}), ("b", {}), ("b", {"start_stopped": True}), ("b", {})):
            checked = module(host, intent, _ansible_check_mode=True, **more)
            told.append((checked, module(host, intent, **more), host.run(PID).strip() != ""))
        holds(host, "b")
        return told

    for name, told in hosts.each(meet).items():
        expected = ((False, "none", False), (True, "none", False), (True, "restart", True), (False, "none", True))
        for (checked, done, runs), (changed, action, running) in zip(told, expected):
            for one in (checked, done):
                assert (one.get("failed"), one["changed"], one["action_taken"], one["running"]) == (None, changed, action, running), (name, one)
                assert ("stopped" in {finding["check"] for finding in one["findings"]}) is not running, (name, one)
            assert runs is running and bool(done["results"]) is running, name


def test_a_state_that_postfix_refuses_is_not_tried_at_the_cost_of_what_runs(hosts) -> None:
    """What check mode does not foresee, only postfix check does: maillog_file without the service that writes it."""
    def meet(host: Host) -> tuple:
        assert not run(host, "a").get("failed")
        host.run("%s; postconf -MX postlog/unix-dgram" % SAVED)
        before = tree(host), host.run(PID)
        result = run(host, "b")
        after = tree(host), host.run(PID)
        return before, after, result, really_starts(host)

    for name, (before, after, result, starts) in hosts.each(meet).items():
        assert result.get("failed") and not starts and after == before, (name, result)
        assert "it is none that Postfix can start with" in result["msg"] and "goes on as it was" in result["msg"], (name, result["msg"])


def test_a_command_that_hangs_is_ended_and_the_old_state_is_back(hosts) -> None:
    """As postlogd(8) that waits for itself has postsuper wait for ever, once."""
    hang = (
        "f=$(postconf -h command_directory)/postsuper; mv $f $f.real; chmod 755 $f.real; "
        "printf '#!/bin/sh\\n[ -e /run/hung ] && exec %s \"$@\"\\n: > /run/hung; sleep 601\\n' $f.real > $f; chmod 755 $f"
    )

    def meet(host: Host) -> tuple:
        assert not run(host, "a").get("failed")
        host.run("rm -f /run/hung; " + hang)
        try:
            before = tree(host)
            result = module(host, "b", verify={"start_timeout": 1.0})
            after, left = tree(host), host.run("pgrep -f '[s]leep 601' || :")
        finally:
            host.run("f=$(postconf -h command_directory)/postsuper; mv $f.real $f")
        return result, before, after, left, run(host, "b")

    for name, (result, before, after, left, then) in hosts.each(meet).items():
        assert result.get("failed") and "postfix -c /etc/postfix check: it did not end within 10 s, and was ended" in result["msg"], (name, result)
        assert "The old state is back and Postfix answers with it" in result["msg"] and (after, left) == (before, ""), (name, result["msg"], left)
        assert not then.get("failed"), (name, then)
