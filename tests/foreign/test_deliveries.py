# SPDX-License-Identifier: GPL-3.0-or-later
"""What four releases of Postfix do with a message to foreign servers at each level, against what tls_policy_info and tls_survey_info say of them on the
same host.
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Iterator

import pytest
from differences import RELEASES
from faults import CASES, intermediate, named, root
from mailservers import NAME
from post import wait
from reach import Host, ask
from running import prepare, running
from tried import tries

SENDERS = tuple(RELEASES.values())
LEVELS = ("may", "encrypt", "secure")
#: {case: what becomes of mail at each level, where it does not matter which release sends; by release, where it does}. From the log: the word of the
#: connection, clear, waits, returned.
BECOMES = {
    "exim healthy": ("Trusted", "Trusted", "Verified"),
    "exim unnamed-self-signed": ("Untrusted", "Untrusted", "waits"),
    "exim sha1": ("Trusted", "Trusted", {"y-bullseye": "Verified", "": "waits"}),
    "exim client-demanded": ("clear", "waits", "waits"),
    "exim key-of-another": ("clear", "waits", "waits"),
    "nginx client-demanded-tls12": ("waits", "waits", "waits"),
    "stunnel expired": ("Untrusted", "Untrusted", "waits"),
    "aiosmtpd client-demanded": ("clear", "waits", "waits"),
    "nodemailer other-name": ("Trusted", "Trusted", "waits"),
    "nodemailer healthy-two": ("Trusted", "Trusted", "Verified"),
}
PORTS = {name: 2000 + [named(case) for case in CASES].index(name) for name in BECOMES}
CELLS = [(level, name) for name in BECOMES for level in LEVELS]
_LOG = "/var/log/mail.log"


def recipient(level: str, name: str) -> str:
    return "admin@%s.%d.foreign.test" % (level, PORTS[name])


def hop(name: str) -> str:
    return "[%s]:%d" % (NAME, PORTS[name])


def expected(sender: str, level: str, name: str) -> str:
    word = BECOMES[name][LEVELS.index(level)]
    return word if isinstance(word, str) else word.get(sender, word[""])


def prepare_sender(host: Host, servers: str) -> None:
    """A transport for each level, and a domain of its own for each of CELLS."""
    host.run("grep -q ' %s$' /etc/hosts || echo '%s %s' >> /etc/hosts" % (NAME, servers, NAME))
    host.write("/etc/postfix/foreign.pem", root().pem)
    host.write("/etc/postfix/transport", "".join("%s l-%s:%s\n" % (recipient(*cell).partition("@")[2], cell[0], hop(cell[1])) for cell in CELLS))
    host.write("/etc/postfix/master.cf", "".join(
        "l-%s unix - - n - - smtp -o smtp_tls_security_level=%s -o smtp_tls_secure_cert_match=%s\n" % (level, level, NAME) for level in LEVELS), append=True)
    host.run("postsuper -d ALL 2>/dev/null; postconf -e transport_maps=texthash:/etc/postfix/transport smtp_tls_CAfile=/etc/postfix/foreign.pem"
             " smtp_tls_loglevel=1 smtp_dns_support_level=disabled smtp_host_lookup=native minimal_backoff_time=1s && postfix reload")


def delivered(host: Host) -> dict:
    """{cell: what became of its message}, of a message each; what waits is tried twice, for Postfix goes back to the clear only then."""
    start = int(host.run("wc -c <%s" % _LOG))
    host.run("for to in %s; do printf 'Subject: x\\n\\ny\\n' | sendmail -f '' $to; done" % " ".join(recipient(*cell) for cell in CELLS))

    def seen() -> dict:
        found = tries(host.run("tail -c +%d %s" % (start + 1, _LOG)))
        return {cell: found.get(recipient(*cell)[6:], []) for cell in CELLS}

    wait(lambda: all(seen().values()), 90)
    for _flush in range(5):
        if wait(lambda: all(attempts and (attempts[-1].word != "deferred" or len(attempts) > 1) for attempts in seen().values()), 5):
            break
        host.run("postqueue -f")
    words = {cell: attempts[-1].word if attempts else "not tried" for cell, attempts in seen().items()}
    return {cell: {"deferred": "waits", "bounced": "returned"}.get(word, word) for cell, word in words.items()}


@pytest.fixture(scope="module")
def became() -> Iterator[dict]:
    """{sender: {cell: what became of its message}}, while the servers run; senders are the same again afterwards."""
    intermediate()
    hosts = {name: Host(name) for name in SENDERS}
    servers = hosts["y-servers"]
    prepare(servers)
    for host in hosts.values():
        host.run("rm -rf /root/postfix-before && cp -a /etc/postfix /root/postfix-before")
    try:
        with ExitStack() as stack:
            for case in CASES:
                if named(case) in BECOMES:
                    stack.enter_context(running(servers, *case))
            with ThreadPoolExecutor(len(SENDERS)) as pool:
                list(pool.map(lambda host: prepare_sender(host, servers.address), hosts.values()))
                found = dict(zip(SENDERS, pool.map(delivered, hosts.values())))
            yield found
    finally:
        for host in hosts.values():
            host.run("postsuper -d ALL; rm -rf /etc/postfix && mv /root/postfix-before /etc/postfix; sed -i '/ %s$/d' /etc/hosts 2>/dev/null;"
                     " postfix reload" % NAME, check=False)


@pytest.mark.parametrize("sender", SENDERS)
def test_postfix_does_what_the_table_says(became: dict, sender: str) -> None:
    wrong = {cell: word for cell, word in became[sender].items() if word != expected(sender, *cell)}
    assert not wrong, "\n" + "\n".join("%s: %s, not %s" % (cell, word, expected(sender, *cell)) for cell, word in wrong.items())


@pytest.mark.parametrize("sender", SENDERS)
def test_what_is_predicted_is_what_postfix_did(became: dict, sender: str) -> None:
    told = ask(sender, "mailsec.postfix_tls.tls_policy_info", "--become", recipients=[recipient(*cell) for cell in CELLS], probe=True)[sender]
    assert not told["failed"], told
    wrong = {}
    for cell, result in zip(CELLS, told["results"]):
        outcome = result["next_hops"][0]["outcome"]
        said = outcome["word"] if outcome["delivered"] else "waits"
        if said != became[sender][cell]:
            wrong[cell] = (said, became[sender][cell], outcome["reason"])
    assert not wrong, "\n" + "\n".join("%s: %s" % pair for pair in wrong.items())


@pytest.mark.parametrize("sender", SENDERS)
def test_what_is_proposed_stops_no_mail(became: dict, sender: str) -> None:
    told = ask(sender, "mailsec.postfix_tls.tls_survey_info", "--become", destinations=[hop(name) for name in BECOMES])[sender]
    assert not told["failed"], told
    for name, result in zip(BECOMES, told["results"]):
        strongest = result["strongest"]
        assert became[sender].get((strongest, name)) not in ("waits", "returned"), (name, strongest, result["why"])
