# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lines of a mail log count for, and what they don't.

The lines are those of real Postfix 3.5 to 3.11 in the scenario `audit`; names, addresses and process numbers were shortened.
"""
from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit import audit as module
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit import received, sent, tally
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit.audit import audit
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.table import table
from hosts_of_text import instance

LINE = "%s mx postfix/%s[%d]: %s"
SUITE = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256"
THERE = "peer.lab.test[192.0.2.5]:25"
HERE = "client.lab.test[192.0.2.7]"


def stamp(ago: float = 60) -> str:
    return time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - ago))


def line(program: str, pid: int, text: str, ago: float = 60) -> str:
    return LINE % (stamp(ago), program, pid, text)


def started(ago: float = 3600) -> str:
    return line("master", 1, "daemon started -- version 3.10.13, configuration /etc/postfix", ago)


def shaken(pid: int = 7, word: str = "Trusted", how: str = "established", relay: str = THERE, program: str = "smtp", suite: str = SUITE) -> str:
    return line(program, pid, "%s TLS connection %s to %s: %s" % (word, how, relay, suite))


def delivered(
    queue_id: str, to: str = "a@example.org", pid: int = 7, relay: str = THERE, tls: str = "", use: str = "", status: str = "sent",
    times: str = "0.01/0/0.02/0.01", ago: float = 60, program: str = "smtp",
) -> str:
    return line(program, pid, "%s: to=<%s>, relay=%s, %sdelay=0.04, delays=%s, %sdsn=2.0.0, status=%s (250 2.0.0 Ok: queued as B35111AC929)" % (
        queue_id, to, relay, "conn_use=%s, " % use if use else "", times, "tls=%s, " % tls if tls else "", status), ago)


def came(queue_id: str, pid: int = 9, client: str = HERE, more: str = "", program: str = "smtpd") -> str:
    return line(program, pid, "%s: client=%s%s" % (queue_id, client, more))


def queued(queue_id: str, sender: str = "s@example.net") -> str:
    return line("qmgr", 3, "%s: from=<%s>, size=479, nrcpt=1 (queue active)" % (queue_id, sender))


def connected(pid: int = 9, program: str = "smtpd") -> str:
    return line(program, pid, "connect from " + HERE)


def offered(pid: int = 9, program: str = "smtpd", suite: str = SUITE, sni: str = "") -> str:
    return line(program, pid, "Anonymous TLS connection established from %s%s: %s" % (HERE, sni, suite))


def left(pid: int = 9, starttls: str = "", program: str = "smtpd") -> str:
    return line(program, pid, "disconnect from %s ehlo=2%s mail=1 rcpt=1 data=1 quit=1 commands=7" % (HERE, " starttls=" + starttls if starttls else ""))


@pytest.fixture
def read(tmp_path: Path):
    """read(*lines) -> what the module returns of a log with these, which Postfix's start begins."""
    def read_lines(*lines: str, days: float = 7, min_messages: int = 1, since: float = 3600) -> dict:
        path = tmp_path / "mail.log"
        path.write_bytes("".join(text + "\n" for text in (started(since), *lines)).encode("utf-8", "surrogateescape"))
        told = audit(None, "/etc/postfix", days, [str(path)], min_messages)
        assert told["errors"] == []
        return told
    return read_lines


def rows(listed: list, key: str = "domain") -> dict:
    return {row[key]: (row["plaintext"], row["encrypted"], row["unknown"]) for row in listed}


OTHER = (shaken(99, relay="o.test[192.0.2.99]:25"), delivered("F0", "x@other.test", 99, "o.test[192.0.2.99]:25"))


def test_a_handshake_counts_for_the_deliveries_of_its_process_to_its_relay(read) -> None:
    told = read(shaken(7), shaken(8, "Verified", relay="mx.b.test[192.0.2.6]:25"), delivered("A1", "a@b.test", 8, "mx.b.test[192.0.2.6]:25"), delivered("A2"))
    assert rows(told["sent"]) == {"b.test": (0, 1, 0), "example.org": (0, 1, 0)}
    assert [row["trust"] for row in told["sent"]] == [{"Verified": 1}, {"Trusted": 1}]
    assert told["sent"][1]["relays"] == ["peer.lab.test"] and told["sent"][1]["protocols"] == {"TLSv1.3": 1}
    assert told["sent"][1]["ciphers"] == {"TLS_AES_256_GCM_SHA384": 1}


def test_each_message_needs_a_handshake_of_its_own(read) -> None:
    told = read(shaken(), delivered("A1"), delivered("A2", times="0.01/0.05/0.02/0.01"))
    assert rows(told["sent"]) == {"example.org": (1, 1, 0)}


def test_a_handshake_with_one_relay_is_none_with_another(read) -> None:
    assert rows(read(shaken(), delivered("A1", relay="peer.lab.test[192.0.2.5]:2525"))["sent"]) == {"example.org": (1, 0, 0)}


def test_recipients_of_one_transmission_are_one_message_and_domains_of_it_one_each(read) -> None:
    told = read(shaken(), *[delivered("A1", to) for to in ("a@x.test", "b@y.test", "c@X.test")])
    assert rows(told["sent"]) == {"x.test": (0, 1, 0), "y.test": (0, 1, 0)}
    assert told["totals"]["sent"] == {"plaintext": 0, "encrypted": 1, "unknown": 0}


def test_one_message_in_two_transmissions_is_two(read) -> None:
    """As by smtp_destination_recipient_limit, or to domains with policies of their own at the same relay."""
    told = read(shaken(), delivered("A1", "a@x.test"), delivered("A1", "b@x.test", times="0.01/0.04/0.02/0.01"))
    assert rows(told["sent"]) == {"x.test": (1, 1, 0)}


def test_a_recipient_that_was_refused_does_not_use_up_the_handshake_of_the_others(read) -> None:
    told = read(shaken(), delivered("A1", "bad@x.test", status="bounced"), delivered("A1", "good@x.test"))
    assert rows(told["sent"]) == {"x.test": (0, 1, 0)}


@pytest.mark.parametrize("status", ["deferred", "bounced", "undeliverable"])
def test_what_was_not_sent_is_not_counted(read, status: str) -> None:
    assert read(shaken(), delivered("A1", status=status))["sent"] == []


@pytest.mark.parametrize("program", ["local", "virtual", "lmtp", "pipe", "discard", "error", "cleanup"])
def test_other_agents_are_not_counted(read, program: str) -> None:
    assert read(delivered("A1", program=program, relay="local"), delivered("A2", program=program))["sent"] == []


@pytest.mark.parametrize("relay", ["127.0.0.1[127.0.0.1]:10024", "localhost[::1]:10025", "mx[private/filter]", "h[::ffff:127.0.0.1]:25"])
def test_content_filters_on_the_host_itself_are_left_out_and_counted(read, relay: str) -> None:
    told = read(delivered("A1", relay=relay), delivered("A1", "b@x.test", relay=relay))
    assert (told["sent"], told["left_out"]["loopback_sent"]) == ([], 1)


@pytest.mark.parametrize("broken", ["lost connection with peer.lab.test[192.0.2.5] while performing the EHLO handshake", "Cannot start TLS: handshake failure"])
def test_a_session_that_broke_after_its_handshake_says_nothing_of_the_next_one(read, broken: str) -> None:
    assert rows(read(shaken(), line("smtp", 7, "A1: " + broken), delivered("A1"))["sent"]) == {"example.org": (1, 0, 0)}


def test_connections_that_are_used_again_are_encrypted_only_where_it_says_so_each_time(read) -> None:
    told = read(shaken(), delivered("A1"), shaken(8, how="reused"), delivered("A2", pid=8, use="2"), delivered("A3", "b@clear.test", 8, use="2"))
    assert rows(told["sent"]) == {"clear.test": (1, 0, 0), "example.org": (0, 2, 0)}


def test_a_connection_that_is_used_again_is_told_by_the_name_under_which_it_was_opened(read) -> None:
    """smtp_tls_connection_reuse looks for one by address: as where many domains have names of their own for one server."""
    told = read(shaken(how="reused", relay="mx.other.test[192.0.2.5]:25"), delivered("A1", use="2"),
                shaken(8, relay="mx.other.test[192.0.2.5]:25"), delivered("A2", "b@clear.test", 8),
                shaken(9, how="reused", relay="peer.lab.test[192.0.2.6]:25"), delivered("A3", "b@elsewhere.test", 9, use="2"))
    assert rows(told["sent"]) == {"clear.test": (1, 0, 0), "elsewhere.test": (1, 0, 0), "example.org": (0, 1, 0)}


@pytest.mark.parametrize("said, expected", [
    ("none", (1, 0, 0)), ("may", (0, 1, 0)), ("may:none", (1, 0, 0)), ("dane", (0, 1, 0)), ("dane:encrypt", (0, 1, 0)), ("dane:halfdane", (0, 1, 0)),
    ("secure", (0, 1, 0)), ("may/requiretls:nocertmatch", (0, 1, 0)), ("may:none/requiretls:none", (1, 0, 0)), ("secure?", (0, 1, 0)), ("may?", (0, 0, 1)),
])
def test_what_3_11_says_itself_needs_no_other_word(read, said: str, expected: tuple) -> None:
    """man postconf, smtp_log_tls_feature_status. A level that is mandatory was kept, since the message went."""
    assert rows(read(delivered("A1", tls=said))["sent"]) == {"example.org": expected}


def test_3_11_is_undecided_of_connections_that_are_used_again_and_the_other_words_decide(read) -> None:
    told = read(shaken(8, how="reused"), delivered("A2", pid=8, use="2", tls="may?"), delivered("A3", "b@clear.test", 7, use="2", tls="may?"))
    assert rows(told["sent"]) == {"clear.test": (1, 0, 0), "example.org": (0, 1, 0)}


def test_without_any_word_of_tls_it_is_unknown_and_that_is_told(read) -> None:
    told = read(delivered("A1"), delivered("A2", times="0.02/0/0/0"))
    assert rows(told["sent"]) == {"example.org": (0, 0, 2)} and told["silent"] == ["postfix/smtp"]
    assert told["notes"][0].startswith("postfix/smtp told of no handshake") and told["candidates"] == []


def test_its_first_word_settles_what_went_before_and_after_until_it_is_started_again(read) -> None:
    told = read(delivered("A1"), *OTHER, delivered("A2", "b@x.test"))
    assert rows(told["sent"]) == {"example.org": (1, 0, 0), "x.test": (1, 0, 0), "other.test": (0, 1, 0)} and told["silent"] == []
    told = read(*OTHER, delivered("A1"), started(50), delivered("A2"), line("master", 1, "reload -- version 3.10.13, configuration /etc/postfix"), *OTHER)
    assert rows(told["sent"]) == {"example.org": (1, 0, 1), "other.test": (0, 2, 0)} and told["silent"] == ["postfix/smtp"]


def test_another_instance_speaks_for_itself_alone(read) -> None:
    second = [text.replace("postfix/", "postfix-out/") for text in OTHER]
    told = read(*second, delivered("A1"))
    assert rows(told["sent"]) == {"example.org": (0, 0, 1), "other.test": (0, 1, 0)}
    told = read(*second, delivered("A1").replace("postfix/", "postfix-out/"))
    assert rows(told["sent"]) == {"example.org": (1, 0, 0), "other.test": (0, 1, 0)}


def test_a_connection_that_may_be_older_than_the_log_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text("\n".join([delivered("A1", times="0/0/9/9", ago=50), *OTHER]) + "\n", encoding="ascii")
    assert rows(audit(None, "", 7, [str(path)], 1)["sent"]) == {"example.org": (0, 0, 1), "other.test": (0, 1, 0)}


def test_a_session_is_encrypted_from_starttls_on(read) -> None:
    told = read(connected(), came("A1"), queued("A1"), came("A2"), offered(), queued("A2", "s@late.test"), came("A3"), queued("A3", "s@tls.test"), left(9, "1"))
    assert rows(told["received"]) == {"example.net": (1, 0, 0), "late.test": (1, 0, 0), "tls.test": (0, 1, 0)}
    assert rows(told["clients"], "client") == {"lab.test": (2, 1, 0)} and told["clients"][0]["services"] == ["postfix/smtpd"]
    assert told["received"][2]["clients"] == ["lab.test"] and told["clients"][0]["protocols"] == {"TLSv1.3": 1}


@pytest.mark.parametrize("starttls, expected", [("1", (0, 1, 0)), ("0/1", (1, 0, 0)), ("", (1, 0, 0)), ("1/2", (0, 1, 0))])
def test_without_a_word_of_the_handshake_the_end_of_the_session_tells(read, starttls: str, expected: tuple) -> None:
    assert rows(read(connected(), came("A1"), queued("A1"), left(9, starttls))["received"]) == {"example.net": expected}
    assert rows(read(connected(), came("A1"), left(9, starttls), queued("A1"))["received"]) == {"example.net": expected}


def test_a_session_without_an_end_is_clear_only_where_its_program_would_have_told(read) -> None:
    assert rows(read(connected(), came("A1"), queued("A1"))["received"]) == {"example.net": (0, 0, 1)}
    told = read(connected(5), offered(5), left(5, "1"), connected(), came("A1"), queued("A1"))
    assert rows(told["received"]) == {"example.net": (1, 0, 0)}
    assert rows(read(connected(5), offered(5), came("A1"), queued("A1"))["received"]) == {"example.net": (0, 0, 1)}, "its beginning was not seen"


def test_what_is_broken_off_or_refused_is_not_received(read) -> None:
    told = read(
        connected(), came("A1"), line("smtpd", 9, "A1: lost connection after DATA (4 bytes) from " + HERE), left(),
        line("smtpd", 9, "NOQUEUE: reject: RCPT from %s: 454 4.7.1 <x@y.test>: Relay access denied; from=<p@q.test> to=<x@y.test> proto=ESMTP" % HERE),
    )
    assert (told["received"], told["totals"]["received"]) == ([], {"plaintext": 0, "encrypted": 0, "unknown": 0})


def test_a_queue_id_that_is_given_out_again_is_another_message(read) -> None:
    for other in (line("pickup", 4, "A1: uid=0 from=<root>"), line("bounce", 4, "B7: sender non-delivery notification: A1")):
        assert read(connected(), came("A1"), left(), other, queued("A1", ""))["received"] == []
    assert rows(read(connected(), came("A1"), left(), connected(8), came("A1", 8), queued("A1"), left(8, "1"))["received"]) == {"example.net": (0, 1, 0)}


def test_a_message_that_waits_in_the_queue_is_counted_once(read) -> None:
    assert rows(read(connected(), came("A1"), left(), *[queued("A1")] * 3)["received"]) == {"example.net": (1, 0, 0)}


def test_bounces_have_no_domain_and_loopback_is_left_out(read) -> None:
    told = read(connected(), came("A1"), queued("A1", ""), came("A2", client="localhost[127.0.0.1]"), queued("A2"), left())
    assert rows(told["received"]) == {None: (1, 0, 0)} and told["left_out"]["loopback_received"] == 1


@pytest.mark.parametrize("client, name", [
    ("unknown[192.0.2.7]", "192.0.2.7"), ("unknown[2001:db8::7]", "2001:db8::7"), ("mx1.Example.ORG[192.0.2.7]", "example.org"),
    ("example.org[192.0.2.7]", "example.org"), ("example.co.uk[192.0.2.7]", "example.co.uk"), ("a.b.example.org[192.0.2.7]", "b.example.org"),
])
def test_clients_are_told_by_their_domain_or_address(read, client: str, name: str) -> None:
    assert list(rows(read(connected(), came("A1", client=client), queued("A1"))["clients"], "client")) == [name]


@pytest.mark.parametrize("program, more", [
    ("submission/smtpd", ""), ("smtps/smtpd", ""), ("587/smtpd", ""), ("smtpd", ", sasl_method=PLAIN, sasl_username=u@example.org"),
])
def test_what_users_submit_is_told_apart_by_service(read, program: str, more: str) -> None:
    told = read(connected(9, program), offered(9, program), came("A1", 9, HERE, more, program), queued("A1"), left(9, "1", program))
    assert (told["received"], told["clients"], rows(told["submitted"], "service")) == ([], [], {"postfix/" + program: (0, 1, 0)})
    assert told["totals"]["submitted"] == {"plaintext": 0, "encrypted": 1, "unknown": 0}


def test_a_service_that_begins_with_tls_needs_no_starttls(read) -> None:
    told = read(connected(9, "smtps/smtpd"), came("A1", program="smtps/smtpd"), queued("A1"), left(9, "", "smtps/smtpd"))
    assert rows(told["submitted"], "service") == {"postfix/smtps/smtpd": (0, 1, 0)}


def test_a_proxy_before_the_queue_takes_the_message_and_its_own_connection_is_left_out(read) -> None:
    """smtpd_proxy_filter, as all four releases log it."""
    told = read(
        connected(), offered(), came("NOQUEUE"), line("smtpd", 5, "connect from localhost[127.0.0.1]"),
        came("A1", 5, "localhost[127.0.0.1]", ", orig_client=" + HERE), queued("A1"),
        line("smtpd", 9, "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as A1; from=<s@example.net> to=<a@b.test> proto=ESMTP helo=<h>"), left(9, "1"),
    )
    assert rows(told["received"]) == {"example.net": (0, 1, 0)} and told["left_out"]["loopback_received"] == 1


def test_a_name_asked_for_by_the_client_does_not_hide_the_protocol(read) -> None:
    told = read(connected(), offered(sni=" to mx.example.org"), came("A1"), queued("A1"), left(9, "1"))
    assert told["received"][0]["protocols"] == {"TLSv1.3": 1}


OLD = "TLSv1.1 with cipher AECDH-AES256-SHA (256/256 bits)"
NEARLY = "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)"


def test_a_floor_cuts_off_who_is_below_it_and_nobody_in_the_clear(read) -> None:
    told = read(
        shaken(suite=OLD), delivered("A1", "a@old.test"), shaken(suite=NEARLY), delivered("A2", "a@nearly.test"), shaken(), delivered("A3", "a@new.test"),
        delivered("A4", "a@clear.test", 6), connected(), offered(suite=OLD), came("B1"), queued("B1"), left(9, "1"),
    )
    assert told["floor"] == {
        "TLSv1.2": {"sent": [{"domain": "old.test", "messages": 1}], "received": [{"client": "lab.test", "messages": 1}], "submitted": []},
        "TLSv1.3": {
            "sent": [{"domain": "nearly.test", "messages": 1}, {"domain": "old.test", "messages": 1}],
            "received": [{"client": "lab.test", "messages": 1}], "submitted": [],
        },
    }


def test_a_profile_cuts_off_by_version_and_suite_and_the_others_nobody(read) -> None:
    cbc = "TLSv1.2 with cipher ECDHE-RSA-AES256-SHA384 (256/256 bits)"
    told = read(
        shaken(suite=cbc), delivered("A1", "a@old.test"), shaken(suite=NEARLY), delivered("A2", "a@nearly.test"),
        connected(), offered(suite=cbc), came("B1"), queued("B1"), came("B2"), queued("B2"), left(9, "1"),
    )
    assert told["profiles"]["intermediate"] == {
        "sent": [{"domain": "old.test", "messages": 1, "used": {"TLSv1.2 ECDHE-RSA-AES256-SHA384": 1}}],
        "received": [{"client": "lab.test", "messages": 2, "used": {"TLSv1.2 ECDHE-RSA-AES256-SHA384": 2}}], "submitted": [],
    }
    assert [row["domain"] for row in told["profiles"]["modern"]["sent"]] == ["nearly.test", "old.test"]
    assert told["profiles"]["interop"] == {"sent": [], "received": [], "submitted": []}
    [nobody] = [line for line in told["summary"] if "cut off nobody" in line]
    assert "interop" in nobody and "intermediate" not in nobody and "modern" not in nobody
    assert "  2 from lab.test by TLSv1.2 ECDHE-RSA-AES256-SHA384" in told["summary"]


def test_a_relay_that_is_configured_in_capitals_is_the_one_of_the_handshake(read) -> None:
    told = read(shaken(relay="mx2.lab.test[192.0.2.5]:25"), delivered("A1", relay="MX2.LAB.TEST[192.0.2.5]:25"),
                shaken(relay="fd00:aa::11[fd00:aa::11]:25"), delivered("A2", relay="FD00:AA::11[fd00:aa::11]:25"))
    assert rows(told["sent"]) == {"example.org": (0, 2, 0)} and told["sent"][0]["relays"] == ["fd00:aa::11", "mx2.lab.test"]


def test_candidates_always_went_encrypted_often_enough_and_can_be_written_as_they_are(read) -> None:
    lines = [text for number in range(3) for text in (shaken(), delivered("A%d" % number, "a@often.test"))]
    lines += [shaken(), delivered("B", "a@once.test"), delivered("C", "a@clear.test"), shaken(), delivered("D", "a@[192.0.2.5]")]
    lines += [text for number in range(3) for text in (shaken(), delivered("E%d" % number, "a@b\u00fccher.test"))]
    assert [entry["destination"] for entry in read(*lines, min_messages=2)["candidates"]] == ["often.test"]
    entries = read(*lines)["candidates"]
    assert entries == [{"destination": name, "level": "encrypt"} for name in ("[192.0.2.5]", "often.test", "once.test")]
    assert set(table(entries, instance()).lines.values()) == {"encrypt"}


def test_most_in_the_clear_comes_first_then_most_unknown(read) -> None:
    lines = [delivered("A%d" % number, "a@%s.test" % name, use="2") for number, name in enumerate("abbccc")]
    lines += [text for number in range(5) for text in (shaken(), delivered("D%d" % number, "a@z.test"))]
    lines += [text.replace("postfix/", "silent/") for text in (delivered("E", "a@y.test"), delivered("F", "a@y.test", 8), delivered("G", "a@x.test", 9))]
    assert [row["domain"] for row in read(*lines)["sent"]] == ["c.test", "b.test", "a.test", "y.test", "x.test", "z.test"]


def test_only_the_days_that_are_asked_for_count_but_a_handshake_just_before_them_does(read) -> None:
    long_ago = delivered("A1", "a@old.test", use="2", ago=3 * 86400)
    before = [shaken(8), delivered("A0", "a@before.test", 8), connected(), came("B0"), queued("B0"), left()]
    before = [text.replace(stamp(), stamp(86440)) for text in before] + [shaken().replace(stamp(), stamp(86430))]
    told = read(long_ago, *before, delivered("A2", ago=86340), days=1, since=4 * 86400)
    assert rows(told["sent"]) == {"example.org": (0, 1, 0)}
    assert told["received"] == []
    day_ago = time.time() - 86400
    assert told["since"] in [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(day_ago - late)) for late in range(20)]
    assert told["until"] > told["since"]


@pytest.mark.parametrize("days", [0, -1, float("inf"), float("nan")])
def test_days_that_are_no_time_are_refused(days: float) -> None:
    with pytest.raises(PostfixTlsError, match="it is no time to look back. Write a number above 0"):
        audit(None, "/etc/postfix", days, ["/nonexistent"], 1)


FORGED = "A1: to=<a@forged.test>, relay=r.test[192.0.2.9]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (ok)"


@pytest.mark.parametrize("line", [
    "%s mx sshd[3]: Invalid user postfix/smtp[7]: %s", "%s mx dovecot: imap-login: user=<postfix/smtp[7]: %s", "%s mx kernel: postfix/smtp[7]: %s",
    "%s mx postfix/smtpd[7]: connect from postfix/smtp[7]: %s", "%s mx postfix/smtpd[7]: NOQUEUE: reject: helo=<mx postfix/smtp[7]: %s>",
    "%s mx smtp[7]: %s", "%s mx postfix/smtp[x]: %s", "%s mx postfix/smtp[77777777777777777]: %s", "%s postfix/smtp[7]: %s", " %s mx postfix/smtp[7]: %s",
])
def test_a_stranger_can_not_write_a_line_of_postfix(read, line: str) -> None:
    assert read(line % (stamp(), FORGED))["sent"] == []
    assert read("%s mx postfix/smtp[7]: %s" % (stamp(), FORGED))["sent"] != [], "it would count"


def test_a_recipient_or_a_reply_can_not_speak_for_the_line(read) -> None:
    quoted = '"x>, relay=evil[192.0.2.9]:25, delay=1, delays=0/0/0/1, tls=may, dsn=2.0.0, status=sent (\\""@example.org'
    told = read(delivered("A1", quoted, use="2"), delivered("A2", use="2").replace("250 2.0.0", "250 tls=may, status=sent (to=<a@evil.test>, "))
    assert rows(told["sent"]) == {"example.org": (2, 0, 0)} and told["sent"][0]["relays"] == ["peer.lab.test"]


def test_a_line_that_can_not_be_understood_is_told(read) -> None:
    """info_log_address_format = internal leaves quotes out."""
    told = read(delivered("A1", "a b@example.org", use="2"))
    assert (told["sent"], told["left_out"]["unparsed"]) == ([], 1)


def test_a_sender_can_not_speak_for_its_line(read) -> None:
    told = read(connected(), came("A1"), queued("A1", "x>, size=1, nrcpt=1 (queue active) y@evil.test"), left())
    assert rows(told["received"]) == {"evil.test": (1, 0, 0)}


def test_nothing_is_told_that_can_not_be_printed(read) -> None:
    told = read(connected(), came("A1"), queued("A1", "s@a\x1b[31m\u202eb.test"), left(), delivered("A2", "a@\udcff\udcfe.test", use="2"))
    assert rows(told["received"]) == {"a?[31m?b.test": (1, 0, 0)} and list(rows(told["sent"])) == ["\ufffd\ufffd.test"]


def test_no_number_of_names_processes_or_messages_fills_the_memory(read, monkeypatch) -> None:
    monkeypatch.setattr(tally, "MOST_NAMES", 10)
    monkeypatch.setattr(sent, "_MOST_PROCESSES", 10)
    monkeypatch.setattr(received, "_MOST_SESSIONS", 10)
    monkeypatch.setattr(received, "_MOST_QUEUED", 10)
    lines = [text for number in range(50) for text in (
        shaken(number), delivered("A%d" % number, "a@%d.test" % number, number), connected(number), came("B%d" % number, number), came("C%d" % number, number))]
    told = read(*lines, *[queued("C%d" % number, "s@%d.test" % number) for number in range(50)])
    assert len(told["sent"]) == 10 and told["left_out"]["beyond"] == 40
    assert len(told["received"]) == 5 and told["totals"]["sent"]["encrypted"] == 50
    others = [shaken(number) for number in range(100, 110)]
    assert rows(read(shaken(), *others[:9], delivered("A"))["sent"]) == {"example.org": (0, 1, 0)}
    assert rows(read(shaken(), *others, delivered("A"))["sent"]) == {"example.org": (1, 0, 0)}, "the process that spoke first is forgotten"


def test_the_relays_of_a_domain_are_named_up_to_a_number(read) -> None:
    lines = [delivered("A%d" % number, relay="mx%02d.test[192.0.2.5]:25" % number, use="2") for number in range(30)]
    assert read(*lines)["sent"][0]["relays"] == ["mx%02d.test" % number for number in range(20)]


def test_reading_takes_time_in_proportion(read) -> None:
    """Lines on which a careless pattern would take the square of their length, or more."""
    bad = ["A1: to=<" + '"' * 2400, "A1: to=<" + "\\" * 2400, 'A1: to=<"' + '\\"' * 1200 + ">, relay=", "A" * 2400, "A1: client=" + "a" * 2400 + "[" * 9]
    bad += ["proxy-accept: END-OF-MESSAGE: " + "; from=<> " * 240, "A1: from=<" + ">, size=1, nrcpt=1 (queue active) " * 70]
    bad += [("Trusted TLS connection established from " + "a to " * 400), "disconnect from " + " starttls=" * 200]
    lines = [line(program, 7, text) for program in ("smtp", "smtpd", "qmgr", "pickup", "bounce") for text in bad] * 100
    before = time.process_time()
    told = read(*lines)
    assert told["sent"] == told["received"] == [] and time.process_time() - before < 5
    assert module.MARGIN >= 3600
