# SPDX-License-Identifier: GPL-3.0-or-later
"""What tls_survey_info and the prediction behind it say of real partners is what Postfix did with them, and what Postfix's own tool says; what
the survey proposes holds: mail goes out under it, verified."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.outcome import TOLD, Demand, outcome
from cells import CELLS, EXPECTED, PARTNERS, destination, digest, domain
from issuing import issue
from post import wait
from reach import Host, ask, play
from tried import tries

PLAYBOOK = Path(__file__).resolve().parents[3] / "playbooks" / "survey.yml"
SURVEYED = ("encrypt", "verify", "secure")

#: The scenario's partners once more, with every kind of answer that DNS has for a domain. {domain: (its MX, level and match of the entry, what the
#: log says under it)}
MX = {
    "own.good.test": (["10 mail.elsewhere.test."], ("secure", None), "Verified"),  # the certificate has the domain, not the host
    "hosted.test": (["20 mx2.exim.test.", "10 mx1.good.test."], ("secure", ["mx1.good.test", "mx2.exim.test"]), "Verified"),
    "mixed.test": (["10 mx.selfsigned.test.", "20 mx1.good.test."], ("secure", ["mx1.good.test"]), "Verified"),
    "implicit.good.test": ([], ("secure", None), "Verified"),
    "weak.test": (["10 mx.selfsigned.test."], ("encrypt", None), "Untrusted"),
    "open.test": (["10 mx.plain.test."], None, "clear"),
    "lonely.test": (["10 gone.test."], None, None),
    "null.test": (["0 ."], None, None),
    "nowhere.test": (None, None, None),
}
ADDRESSES = {
    "mail.elsewhere.test": "s-good", "mx1.good.test": "s-good", "implicit.good.test": "s-good", "mx2.exim.test": "s-exim",
    "mx.selfsigned.test": "s-selfsigned", "mx.plain.test": "s-plain",
}
SERVER = "127.0.0.7"

#: (common name, subjectAltName, match): names as Postfix's own tool compares them. Addresses are left out: they count from Postfix 3.6 on, and not here.
NAMES = [
    ("x", "mx.example.org", "MX.EXAMPLE.ORG"),
    ("x", "*.example.org", "mx.example.org"),
    ("x", "*.example.org", "example.org"),
    ("x", "*.example.org", "a.b.example.org"),
    ("x", "m*.example.org", "mx.example.org"),
    ("x", "*.org", "example.org"),
    ("x", "*.example.org", ".example.org"),
    ("x", "a.b.example.org", ".example.org"),
    ("x", "example.org", ".example.org"),
    ("mx.example.org", "192.0.2.1", "mx.example.org"),
    ("mx.example.org", "other.example", "mx.example.org"),
]


#: Runs on the sender: what each host says to MAIL in the clear, which such a look does not ask.
_MAIL = """
import smtplib, sys
for host in sys.argv[1:]:
    with smtplib.SMTP(host, 25, timeout=10) as server:
        server.ehlo()
        print(host, *server.docmd("MAIL FROM:<>"))
"""


@pytest.fixture(scope="module")
def sender() -> Host:
    return Host("s-sender")


@pytest.fixture(scope="module")
def facts(sender: Host) -> dict:
    """{partner: what a look from the sender sees of its server}"""
    others = {"hosted": {"host": "mx.provider.test"}, "wrapped": {"host": domain("secure", "wrapped"), "port": 587, "protocol": "smtps"}}
    targets = [others.get(partner, {"host": "mx.%s.test" % partner}) for partner in PARTNERS]
    told = ask(sender.name, "mailsec.postfix_tls.starttls_info", targets=targets, depth="versions")[sender.name]
    found = dict(zip(PARTNERS, told["results"]))
    plain = [seen["target"]["host"] for seen in found.values() if seen["target"]["protocol"] == "smtp"]
    for line in sender.run("python3 - %s" % " ".join(plain), stdin=_MAIL).splitlines():
        host, reply = line.split(" ", 1)
        for seen in found.values():
            if seen["target"]["host"] == host:
                seen["smtp"]["mail_before_tls"] = reply
    return found


@pytest.fixture(scope="module")
def surveyed(sender: Host) -> dict:
    """{partner: its result}"""
    wanted = [destination("secure", partner) for partner in PARTNERS]
    told = ask(sender.name, "mailsec.postfix_tls.tls_survey_info", destinations=wanted, timeout=8)[sender.name]
    assert not told["failed"], told
    assert told["entries"] == [result["entry"] for result in told["results"] if result["entry"]]
    return dict(zip(PARTNERS, told["results"]))


@pytest.mark.parametrize("level, partner", [cell for cell in CELLS if cell[0] in TOLD])
def test_what_is_predicted_is_what_postfix_does(level: str, partner: str, facts: dict) -> None:
    expected = EXPECTED[level][partner]
    demand = Demand(
        level, protocols=">=TLSv1.2", fingerprints=(digest(partner),), nexthop=destination("secure", partner), wrapper=partner == "wrapped",
    )
    told = outcome(demand, facts[partner])
    assert told.word == expected if told.delivered else (expected[0] == "deferred" and told.reason), told


@pytest.mark.parametrize("partner", PARTNERS)
def test_the_survey_says_which_levels_stop_mail(partner: str, surveyed: dict) -> None:
    """The table's entries name no match. With the one that is proposed, secure holds for who is hosted elsewhere, too."""
    told, match = surveyed[partner], {"match": ["mx.provider.test"]} if partner == "hosted" else {}
    goes = {level: isinstance(EXPECTED[level][partner], str) or bool(match) for level in SURVEYED}
    assert {level: told["levels"][level]["works"] for level in SURVEYED} == goes
    assert {level: not told["levels"][level]["reason"] for level in SURVEYED} == goes
    assert told["strongest"] == next((level for level in reversed(SURVEYED) if goes[level]), "may")
    entry = {"destination": destination("secure", partner), "level": told["strongest"], **match}
    assert told["entry"] == (None if told["strongest"] == "may" else entry)


def test_the_playbook_shows_entries_and_reasons_and_changes_nothing(sender: Host) -> None:
    said = play(PLAYBOOK, sender.name, tls_survey_destinations=["verify.good.test", "verify.hosted.test", "verify.plain.test"])
    assert re.search(r'"destination": "verify.good.test",\s*"level": "secure"', said)
    assert re.search(r'"destination": "verify.hosted.test",\s*"level": "secure",\s*"match": \[\s*"mx.provider.test"\s*\]', said)
    assert '"verify.plain.test": "Anything above may would stop mail: EHLO offers no STARTTLS."' in said
    assert "changed=0" in said


def test_the_playbook_finds_in_the_log_whom_to_look_at(sender: Host) -> None:
    """The scenario's own mail is in it, to every domain of the table that took any."""
    said = play(PLAYBOOK, sender.name)
    assert re.search(r'"destination": "secure.good.test",\s*"level": "secure"', said)
    assert '"none.plain.test": "Anything above may would stop mail: EHLO offers no STARTTLS."' in said
    assert "secure.plain.test" not in said, "no mail went there"
    assert "changed=0" in said


@pytest.fixture(scope="module")
def dns(sender: Host) -> Iterator[None]:
    """A name server of the sender's own, which is all that it asks; and Postfix sends by DNS alone."""
    records = ["%s. MX %s" % (name, record) for name, (mx, _entry, _word) in MX.items() for record in mx or ()]
    records += ["%s. A %s" % (name, Host(host).address) for name, host in ADDRESSES.items()]
    lines = ["server:", "interface: %s" % SERVER, "chroot: ''", "pidfile: /run/survey-dns.pid", "local-zone: 'test.' static"]
    sender.write("/etc/unbound/survey.conf", "\n".join([*lines, *("local-data: '%s'" % record for record in records), ""]))
    kept = ("/etc/resolv.conf", "/etc/postfix/main.cf")
    sender.run("unbound -c /etc/unbound/survey.conf && for file in %s; do cp -p $file $file.survey; done" % " ".join(kept))
    try:
        sender.write("/etc/resolv.conf", "nameserver %s\n" % SERVER)
        sender.run("postconf -e smtp_dns_support_level=enabled smtp_host_lookup=dns && systemctl restart postfix")
        yield
    finally:
        sender.run("for file in %s; do cat $file.survey >$file; rm $file.survey; done; kill $(cat /run/survey-dns.pid)" % " ".join(kept))
        sender.run("postsuper -d ALL; systemctl restart postfix")


def test_mail_goes_out_under_the_entries_for_what_dns_says(sender: Host, dns: None) -> None:
    told = ask(sender.name, "mailsec.postfix_tls.tls_survey_info", destinations=list(MX))[sender.name]
    assert not told["failed"], told
    proposed = {result["destination"]: result["entry"] for result in told["results"]}
    for name, (_mx, entry, _word) in MX.items():
        expected = None if entry is None else {"destination": name, "level": entry[0], **({"match": entry[1]} if entry[1] else {})}
        assert proposed[name] == expected, [result["why"] for result in told["results"] if result["destination"] == name]
    strongest = {result["destination"]: result["strongest"] for result in told["results"]}
    assert [name for name in MX if strongest[name] == "unknown"] == ["lonely.test", "null.test", "nowhere.test"]

    lines = ["%s %s%s" % (e["destination"], e["level"], " match=" + ":".join(e["match"]) if "match" in e else "") for e in told["entries"]]
    sender.write("/etc/postfix/survey_policy", "\n".join([*lines, ""]))
    sender.run("postconf -e smtp_tls_policy_maps=texthash:/etc/postfix/survey_policy && systemctl restart postfix")
    log_from = int(sender.run("wc -c </var/log/mail.log"))
    sent = {name: word for name, (_mx, _entry, word) in MX.items() if word}
    for name in sent:
        sender.run("printf 'Subject: survey\\n\\nsurvey\\n' | sendmail -f admin@%s admin@%s" % (sender.fqdn, name))

    def seen() -> dict:
        return tries(sender.run("tail -c +%d /var/log/mail.log" % (log_from + 1)))

    wait(lambda: set(seen()) >= set(sent))
    assert {name: attempts[-1].word for name, attempts in seen().items()} == sent, seen()


@pytest.fixture(scope="module")
def compared(sender: Host) -> list:
    """For each of NAMES the word that posttls-finger of the sender has, and the one predicted. A real Postfix of s-good serves each certificate on
    a port of its own.
    """
    partner, root = Host("s-good"), issue("root", authority=True)
    sender.write("/run/survey-root.pem", root.pem)
    ports = range(2601, 2601 + len(NAMES))
    for port, (common_name, name, _match) in zip(ports, NAMES):
        leaf = issue(common_name, root, names=(name,))
        partner.write("/etc/ssl/survey-%d.pem" % port, leaf.key_pem() + leaf.pem)
    service = "postconf -M %d/inet='%d inet n - y - - smtpd -o smtpd_tls_chain_files=/etc/ssl/survey-%d.pem'"
    partner.run("; ".join(service % (port, port, port) for port in ports) + "; postfix reload")
    try:
        finger = "posttls-finger -c -l secure -F /run/survey-root.pem '[%s]:%d' '%s' 2>&1 | grep -o '[A-Z][a-z]* TLS connection established'"
        commands = [finger % (partner.address, port, match) for port, (_common_name, _name, match) in zip(ports, NAMES)]
        words = [line.split()[0] for line in sender.run("; ".join(commands)).splitlines()]
        targets = [{"host": partner.address, "port": port} for port in ports]
        told = ask(sender.name, "mailsec.postfix_tls.starttls_info", targets=targets, ca_file="/run/survey-root.pem", depth="versions")[sender.name]
        predicted = [outcome(Demand("secure", (match,)), facts).word for (_common_name, _name, match), facts in zip(NAMES, told["results"])]
    finally:
        partner.run("; ".join("postconf -MX %d/inet" % port for port in ports) + "; rm -f /etc/ssl/survey-*.pem; postfix reload")
    assert len(words) == len(predicted), words
    return list(zip(words, predicted))


@pytest.mark.parametrize("at", range(len(NAMES)), ids=["%s %s for %s" % row for row in NAMES])
def test_names_count_as_for_postfix_s_own_tool(at: int, compared: list) -> None:
    word, predicted = compared[at]
    assert predicted == word
    assert {word for word, _predicted in compared} == {"Verified", "Trusted"}
