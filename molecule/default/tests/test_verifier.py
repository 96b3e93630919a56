# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at real Postfix costs it, and what only one vantage shows."""
from __future__ import annotations

import pytest
from reach import Host, ask

MODULE = "mailsec.postfix_tls.starttls_verify"
LOCAL_CA = "/usr/local/share/ca-certificates/lab.crt"


def from_outside(mx: Host, **options: object) -> dict:
    target = {"host": mx.address, "server_name": mx.fqdn}
    return ask("localhost", MODULE, **{"targets": [target], "ca_file": mx.vars["lab_ca_file"], **options})["localhost"]


def verdict(result: dict, check: str) -> tuple:
    return next((finding["verdict"], finding["observed"]) for finding in result["results"][0]["findings"] if finding["check"] == check)


@pytest.mark.parametrize("name", ["bullseye", "bookworm", "trixie", "forky"])
def test_a_standard_look_takes_at_most_sixteen_connections_by_the_host_s_own_log(name: str) -> None:
    mx = Host(name)
    start = int(mx.run("wc -c </var/log/mail.log"))
    result = from_outside(mx)
    assert not result["failed"], result["msg"]
    counted = int(mx.run("sleep 0.5; tail -c +%d /var/log/mail.log | grep -c 'smtpd.*: connect from'" % (start + 1)))
    assert 10 <= counted <= 16


@pytest.mark.parametrize("name", ["bullseye", "bookworm", "trixie", "forky"])
def test_without_targets_a_host_s_own_listeners_are_proven(name: str) -> None:
    result = ask(name, MODULE, "--become", ca_file=LOCAL_CA)[name]
    assert not result["failed"], result["msg"]
    [looked_at] = result["results"]
    assert (looked_at["target"]["port"], looked_at["vantage"]) == (25, {"own": True, "source": "127.0.0.1"})
    assert verdict(result, "configuration")[0] == "pass"


def test_smuggling_is_found_where_postfix_is_open_to_it_and_elsewhere_no_message_is_delivered() -> None:
    seen = {}
    for mx in (Host("bookworm"), Host("trixie")):
        mx.run("rm -f /var/mail/admin")
        result = from_outside(mx, smuggling_recipient="admin@%s" % mx.fqdn)
        delivered = mx.run("for i in $(seq 20); do mailq | grep -q empty && break; sleep 0.2; done; grep -c '^From ' /var/mail/admin || :").strip()
        seen[mx.name] = (*verdict(result, "smuggling"), int(delivered or 0))
    assert seen["bookworm"] == ("fail", "taken for the end of a message: LF.LF, LF.CRLF, CRLF.LF", 3)
    assert seen["trixie"] == ("pass", "nothing else ends a message", 0)


def test_from_the_host_itself_mynetworks_lifts_the_protection_and_the_finding_says_so() -> None:
    mx = Host("trixie")
    result = ask(
        mx.name, MODULE, "--become", targets=[{"host": "127.0.0.1", "server_name": mx.fqdn}], ca_file=LOCAL_CA,
        smuggling_recipient="admin@%s" % mx.fqdn,
    )[mx.name]
    assert verdict(result, "smuggling") == (
        "fail", "taken for the end of a message: LF.LF, LF.CRLF, CRLF.LF (from the host itself, for which mynetworks may lift the protection)",
    )
