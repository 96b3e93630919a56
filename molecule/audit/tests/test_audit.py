# SPDX-License-Identifier: GPL-3.0-or-later
"""What tls_log_info counts in the logs of Postfix 3.5, 3.7, 3.10 and 3.11 is what was really sent.

Each host sends to the next one of the ring, from its queue and as a peer that speaks SMTP itself. The witness is the next one's mailbox, whose
Received: headers say how each message came. The steps build on each other and run in the order they stand here.
"""
from __future__ import annotations

import re

import pytest
from post import wait
from reach import TOP, ask, play
from ring import HOSTS, LEFT, LOG, MAIL, MODULE, NAMES, NEXT, SYSTEMD, configured, each, post, rows, told

#: {domain: (messages in the clear, encrypted)} of each host's letters below, with the domain of the next one left out.
PLAIN = {"clear": (2, 0), "untrusted": (0, 1), "trusted": (0, 2), "verified": (0, 1), "mixed": (1, 1)}
LETTERS = (
    "m a@clear.NEXT.test b@clear.NEXT.test; m a@clear.NEXT.test; m a@untrusted.NEXT.test; m a@trusted.NEXT.test;"
    " m a@verified.NEXT.test b@verified.NEXT.test c@trusted.NEXT.test; m a@mixed.NEXT.test b@mixed.NEXT.test;"
    " m a@deferred.test; m a@filter.test; m a@refused.test; m admin"
)
#: The same destinations again and again, over connections that are kept; in turn, for each has to come back before the next one goes.
KEPT = "for turn in 1 2 3; do m a@clear.NEXT.test; m a@trusted.NEXT.test a@verified.NEXT.test; until [ $(%s) = 0 ]; do sleep 0.2; done; done" % LEFT
CACHE = ("smtp_connection_cache_destinations", "smtp_connection_cache_time_limit")
REUSED = {"clear": (3, 0), "trusted": (0, 3), "verified": (0, 3)}
PAIR = "m a@clear.NEXT.test; m a@trusted.NEXT.test"
PAIRED = {"clear": (1, 0), "trusted": (0, 1)}

#: {sender's domain: (clear, encrypted)} of a peer, without what users submit.
PEERS = {"peer.test": (2, 1), "old.test": (0, 1), "proxied.test": (1, 0), None: (1, 0)}


def planned(name: str, plan: dict) -> dict:
    return {"%s.%s.test" % (word, NEXT[name]): numbers for word, numbers in plan.items()}


def added(*plans: dict) -> dict:
    return {word: tuple(sum(plan.get(word, (0, 0))[at] for plan in plans) for at in (0, 1)) for word in dict.fromkeys(word for plan in plans for word in plan)}


@pytest.fixture(scope="module", autouse=True)
def begun() -> None:
    """Hosts with an empty log that is root's alone, each with a content filter on loopback."""
    each(lambda name: configured(name, ": >%s; chmod 0600 %s; postsuper -d ALL" % (LOG, LOG)))
    each(lambda name: HOSTS[name].run("nohup smtp-sink -u postfix 127.0.0.1:10025 10 >/run/sink.log 2>&1 </dev/null & echo $! >/run/sink.pid; sleep 0.2"))
    yield
    each(lambda name: HOSTS[name].run("kill $(cat /run/sink.pid)", check=False))


@pytest.fixture(scope="module")
def plain() -> dict:
    """{host: (what arrived of its letters, what it tells)}"""
    arrived = post(LETTERS, peer=True)
    answers = told()
    return {name: (arrived[name], answers[name]) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_what_was_sent_is_counted_by_domain_as_it_arrived(plain: dict, name: str) -> None:
    arrived, answer = plain[name]
    seen = arrived.of("%s.test" % name)
    assert {domain: numbers[:2] for domain, numbers in seen.items()} == planned(name, PLAIN), "the witness saw something else"
    assert rows(answer["sent"], "domain") == seen
    assert [row["unknown"] for row in answer["sent"]] == [0] * len(PLAIN)
    assert answer["totals"]["sent"] == {"plaintext": 3, "encrypted": 5, "unknown": 0}
    assert (answer["left_out"]["loopback_sent"], answer["left_out"]["unparsed"], answer["silent"]) == (1, 0, [])


@pytest.mark.parametrize("name", NAMES)
def test_certificates_are_told_as_postfix_judged_them_and_relays_by_name(plain: dict, name: str) -> None:
    sent = {row["domain"].partition(".")[0]: row for row in plain[name][1]["sent"]}
    assert {word: row["trust"] for word, row in sent.items()} == {
        "clear": {}, "untrusted": {"Untrusted": 1}, "trusted": {"Trusted": 2}, "verified": {"Verified": 1}, "mixed": {"Trusted": 1},
    }
    assert {tuple(row["relays"]) for row in sent.values()} == {(HOSTS[NEXT[name]].fqdn,)}
    assert list(sent)[:2] == ["clear", "mixed"], "most in the clear first"


@pytest.mark.parametrize("name", NAMES)
def test_what_was_received_is_counted_by_sender_and_users_apart(plain: dict, name: str) -> None:
    before = next(other for other in NAMES if NEXT[other] == name)
    seen, answer = plain[before][0].by_sender(), plain[name][1]
    assert seen.pop("user.test")[:2] == (0, 2), "the witness saw something else"
    sent = (sum(clear for clear, _encrypted in PLAIN.values()), 5)
    assert {sender: numbers[:2] for sender, numbers in seen.items()} == dict(PEERS, **{"%s.test" % before: sent}), "the witness saw something else"
    assert rows(answer["received"], "domain") == seen
    assert {row["service"]: row["encrypted"] for row in answer["submitted"]} == {"postfix/submission/smtpd": 1, "postfix/smtps/smtpd": 1}
    assert [(row["client"], row["plaintext"], row["encrypted"]) for row in answer["clients"]] == [("lab.test", sent[0] + 4, sent[1] + 2)]
    assert answer["left_out"]["loopback_received"] == 1, "the proxy before the queue hands it on to this host itself"


@pytest.mark.parametrize("name", NAMES)
def test_the_floor_names_who_did_not_reach_it_and_candidates_are_those_that_always_were_encrypted(plain: dict, name: str) -> None:
    answer = plain[name][1]
    assert answer["floor"]["TLSv1.2"] == {"sent": [], "received": [], "submitted": []}
    assert answer["floor"]["TLSv1.3"] == {"sent": [], "received": [{"client": "lab.test", "messages": 1}], "submitted": []}
    assert answer["candidates"] == [{"destination": "%s.%s.test" % (word, NEXT[name]), "level": "encrypt"} for word in ("trusted", "untrusted", "verified")]


def test_the_playbook_prints_it_to_be_read(plain: dict) -> None:
    said = play(TOP / "playbooks" / "audit.yml", "log-trixie", tls_log_min_messages=2)
    assert "2 of 2 in the clear to clear.log-forky.test by way of log-forky.lab.test" in said
    assert "since all went encrypted: 1 domains" in said and "  trusted.log-forky.test" in said
    assert re.search(r"log-trixie +: ok=2 +changed=0 +unreachable=0 +failed=0", said)


def test_connections_that_are_used_again_keep_their_messages_apart(plain: dict) -> None:
    start = each(lambda name: int(HOSTS[name].run("wc -c <%s" % LOG)))
    try:
        each(lambda name: configured(name, "postconf -e smtp_tls_connection_reuse=yes connection_cache_ttl_limit=60s %s=static:all %s=60s" % CACHE))
        arrived = post(KEPT)
        answers = told()
    finally:
        each(lambda name: configured(name, "postconf -X smtp_tls_connection_reuse connection_cache_ttl_limit %s %s" % CACHE))
    for name in NAMES:
        log = HOSTS[name].run("tail -c +%d %s" % (start[name] + 1, LOG))
        again = (log.count("TLS connection reused to"), len(re.findall(r":2525, conn_use=", log)))
        assert min(again) >= 2, "connections were not used again, so this proves nothing"
        seen = arrived[name].of("%s.test" % name)
        assert {domain: numbers[:2] for domain, numbers in seen.items()} == planned(name, REUSED), "the witness saw something else"
        assert {row["domain"]: (row["plaintext"], row["encrypted"]) for row in answers[name]["sent"]} == planned(name, added(PLAIN, REUSED)), name


@pytest.fixture(scope="module")
def silent() -> dict:
    """{host: (what arrived of its letters, what its log tells of them alone, what it tells of all)}, with TLS logged nowhere."""
    start = each(lambda name: int(HOSTS[name].run("wc -c <%s" % LOG)))
    try:
        each(lambda name: configured(name, "postconf -e smtp_tls_loglevel=0 smtpd_tls_loglevel=0"))
        arrived = post(PAIR, peer=True)
        each(lambda name: HOSTS[name].run("tail -c +%d %s >/root/silent.log" % (start[name] + 1, LOG)))
        alone, whole = told(files=["/root/silent.log"]), told()
    finally:
        each(lambda name: configured(name, "postconf -e smtp_tls_loglevel=1 smtpd_tls_loglevel=1"))
    return {name: (arrived[name], alone[name], whole[name]) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_where_postfix_says_nothing_of_tls_what_it_sent_is_unknown_and_never_clear_but_3_11_says_it_anyway(silent: dict, name: str) -> None:
    arrived, alone, whole = silent[name]
    seen = arrived.of("%s.test" % name)
    assert {domain: numbers[:2] for domain, numbers in seen.items()} == planned(name, PAIRED), "the witness saw something else"
    sent = {row["domain"]: (row["plaintext"], row["encrypted"], row["unknown"]) for row in alone["sent"]}
    if name == "log-forky":
        assert sent == {domain: (*numbers, 0) for domain, numbers in planned(name, PAIRED).items()}
        assert (alone["silent"], whole["totals"]["sent"]["unknown"]) == ([], 0)
    else:
        assert sent == {domain: (0, 0, 1) for domain in planned(name, PAIRED)}
        assert alone["silent"] == whole["silent"] == ["postfix/smtp"] and "smtp_tls_loglevel = 1" in alone["notes"][0]
        assert whole["totals"]["sent"]["unknown"] == 2, "what went before is known as before"


@pytest.mark.parametrize("name", NAMES)
def test_smtpd_tells_of_encryption_at_any_log_level(silent: dict, name: str) -> None:
    _arrived, alone, _whole = silent[name]
    # Of three in one session, two before STARTTLS, a silent log tells only that there was one.
    assert {row["domain"]: (row["plaintext"], row["encrypted"]) for row in alone["received"] if row["domain"] in PEERS} == {
        "peer.test": (0, 3), "old.test": (0, 1), "proxied.test": (1, 0), None: (1, 0),
    }
    assert {row["service"]: row["encrypted"] for row in alone["submitted"]} == {"postfix/submission/smtpd": 1, "postfix/smtps/smtpd": 1}


#: A content filter on the next host, which hands each message back while it is given it, and whom it hands them to.
FILTER = "10024/inet=10024 inet n - n - - smtpd -o smtpd_proxy_filter=[%s]:10026 -o mynetworks=%s -o smtpd_tls_security_level=none"
BACK = "10026/inet=10026 inet n - n - - smtpd -o content_filter= -o mynetworks=%s -o smtpd_authorized_xforward_hosts=static:all"
SCAN = "scan/unix=scan unix - - n - - smtp"


def test_a_filter_on_another_host_is_told_apart_with_and_without_its_configuration() -> None:
    here, there = HOSTS["log-trixie"], HOSTS["log-forky"]
    address = {host.name: host.address for host in (here, there)}
    start = int(here.run("wc -c <%s" % LOG))
    try:
        configured(there.name, "postconf -M '%s'" % FILTER % (here.fqdn, address[here.name]))
        configured(here.name, "postconf -M '%s' '%s'; postconf -e 'content_filter=scan:[%s]:10024'" % (BACK % address[there.name], SCAN, there.fqdn))
        here.run(MAIL % here.name + "m a@trusted.log-forky.test; m a@trusted.log-forky.test b@verified.log-forky.test")
        wait(lambda: here.run(LEFT).strip() == "0", 90)
        here.run("tail -c +%d %s >/root/filtered.log" % (start + 1, LOG))
        without = ask(here.name, MODULE, "--become", files=["/root/filtered.log"])[here.name]
        whole = ask(here.name, MODULE, "--become")[here.name]
    finally:
        configured(here.name, "postconf -X content_filter; postconf -MX 10026/inet scan/unix")
        configured(there.name, "postconf -MX 10024/inet")
    assert here.run("grep -c 'relay=%s.*:10024.*status=sent' /root/filtered.log" % there.fqdn).strip() == "3", "nothing was filtered, so this proves nothing"
    assert {row["domain"]: (row["plaintext"], row["encrypted"]) for row in without["sent"]} == {
        "trusted.log-forky.test": (0, 2), "verified.log-forky.test": (0, 1)}
    for answer in (without, whole):
        assert [(row["relay"], row["messages"]) for row in answer["inner"]] == [(there.fqdn, 2)]
    assert [entry["destination"] for entry in without["candidates"]] == ["trusted.log-forky.test", "verified.log-forky.test"]


def test_a_log_that_can_not_be_read_is_told_and_fails_nothing() -> None:
    answer = ask("log-bookworm", MODULE, files=[LOG])["log-bookworm"]
    assert not answer["failed"] and answer["errors"] == [LOG + ": it can't be read (Permission denied); become root"]


def test_the_journal_tells_the_same() -> None:
    """Where there is systemd, and no file that Postfix logs to."""
    try:
        to_journal = "postconf -X maillog_file; mv %s /root/; journalctl -q --rotate --vacuum-time=1s" % LOG
        each(lambda name: configured(name, to_journal, "systemctl restart postfix"), SYSTEMD)
        arrived = post(LETTERS, names=SYSTEMD)
        answers = ask("audit", MODULE, "--become")
    finally:
        each(lambda name: configured(name, "postconf -e maillog_file=%s; mv /root/mail.log /var/log/" % LOG, "systemctl restart postfix"), SYSTEMD)
    for name in SYSTEMD:
        assert (answers[name]["files"], answers[name]["errors"]) == (["journal"], [])
        seen = arrived[name].of("%s.test" % name)
        assert {domain: numbers[:2] for domain, numbers in seen.items()} == planned(name, PLAIN), "the witness saw something else"
        assert rows(answers[name]["sent"], "domain") == seen
