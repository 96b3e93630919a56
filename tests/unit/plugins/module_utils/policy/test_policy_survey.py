# SPDX-License-Identifier: GPL-3.0-or-later
"""Which level is proposed, and why. The servers are fakes of tests/unit/servers.py on loopback; the names of hosts and their preferences are
put over what real looks at them saw."""
from __future__ import annotations

import ssl

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.partners import Host, Partner
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.sender import Sender
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._policy.survey import survey
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from issuing import issue
from servers import Behaviour, MailServer

ROOT = issue("root", authority=True)
SENDER = Sender(protocols=">=TLSv1.2")
TLS10 = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1)
KINDS = {
    "own": Behaviour(chain=issue("mx1.example.org", ROOT)),
    "hosted1": Behaviour(chain=issue("mx1.hoster.example", ROOT)),
    "hosted2": Behaviour(chain=issue("*.hoster.example", ROOT)),
    "strange": Behaviour(chain=issue("server7.provider.example", ROOT)),
    "self_signed": Behaviour(chain=issue("mx1.example.org")),
    "ending": Behaviour(chain=issue("mx1.example.org", ROOT, days=(-20, 5))),
    "ending_self_signed": Behaviour(chain=issue("mx1.example.org", days=(-20, 5))),
    "plain": Behaviour(),
    "old": Behaviour(chain=issue("mx1.example.org", ROOT), versions=TLS10),
    "454": Behaviour(chain=issue("mx1.example.org", ROOT), starttls=b"454 4.7.0 TLS not available due to local problem\r\n"),
    "454_530": Behaviour(chain=issue("mx1.example.org", ROOT), starttls=b"454 4.7.0 TLS not available due to local problem\r\n"),
    "wrapped": Behaviour(chain=issue("mx1.example.org", ROOT), implicit=True),
}


@pytest.fixture(scope="module", name="seen")
def looks_at_each_kind(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("ca") / "root.pem"
    root.write_text(ROOT.pem, encoding="utf-8")
    servers = {kind: MailServer(behaviour) for kind, behaviour in KINDS.items()}
    for server in servers.values():
        server.__enter__()
    targets = [Target("127.0.0.1", server.port, "smtps" if kind == "wrapped" else "smtp") for kind, server in servers.items()]
    seen = dict(zip(servers, probe_all(targets, Look(ca_file=str(root), depth="versions"), 8)))
    for kind, facts in seen.items():
        facts["smtp"]["mail_before_tls"] = "530 5.7.0 Must issue a STARTTLS command first" if kind == "454_530" else "250 2.1.0 Ok"
    seen["unasked"] = dict(seen["plain"], smtp=dict(seen["plain"]["smtp"], mail_before_tls=None))
    for server in servers.values():
        server.__exit__()
    with MailServer(Behaviour(banner=b"421 4.3.2 Too busy\r\n")) as busy:
        seen["busy"] = probe_all([Target("127.0.0.1", busy.port)], Look(depth="versions"))[0]
    return seen


def partner(seen: dict, *hosts: tuple, destination: str = "example.org") -> Partner:
    """hosts: (name, kind), in the order of preference."""
    return Partner(destination, tuple(
        Host(name, 10 * at, dict(seen[kind], target=dict(seen[kind]["target"], host=name)), at) for at, (name, kind) in enumerate(hosts, 1)))


MX1, MX2 = "mx1.example.org", "mx2.example.org"
HOSTED1, HOSTED2 = "mx1.hoster.example", "mx2.hoster.example"
BUSY = "the server ended the session: 421 4.3.2 Too busy"

#: (hosts, levels that work, strongest, match of the entry or None without one, the sentence)
PROPOSED = [
    ([(MX1, "own")], "encrypt verify secure", "secure", [], "The certificate is trusted and made out to the destination."),
    ([(HOSTED1, "hosted1"), (HOSTED2, "hosted2")], "encrypt verify secure", "secure", [HOSTED1, HOSTED2],
     "The certificate is trusted and made out to mx1.hoster.example or mx2.hoster.example."),
    ([(MX1, "own"), (HOSTED2, "hosted2")], "encrypt verify secure", "secure", ["nexthop", "dot-nexthop", HOSTED2],
     "The certificate is trusted and made out to the destination or mx2.hoster.example."),
    ([(MX1, "own"), (MX2, "self_signed")], "encrypt verify secure", "secure", [],
     "The certificate is trusted and made out to the destination; "
     "not every host would take it: mx2.example.org: its certificate is not trusted: self-signed certificate."),
    ([(MX1, "own"), (MX2, "busy")], "encrypt verify secure", "secure", [],
     "The certificate is trusted and made out to the destination; not every host would take it: mx2.example.org: %s." % BUSY),
    ([(MX1, "strange")], "encrypt", "encrypt", [],
     "Verify and secure would stop mail: its certificate is made out to server7.provider.example, and not to mx1.example.org; "
     "if that name is theirs, level secure with match: [server7.provider.example] would hold."),
    ([(MX1, "self_signed")], "encrypt", "encrypt", [], "Verify and secure would stop mail: its certificate is not trusted: self-signed certificate."),
    ([(MX1, "plain")], "", "may", None, "Anything above may would stop mail: EHLO offers no STARTTLS."),
    ([(MX1, "old")], "", "may", None, "Anything above may would stop mail: it speaks TLSv1 and this host only TLSv1.2, TLSv1.3."),
    ([(MX1, "454")], "", "may", None,
     "Anything above may would stop mail: it offers STARTTLS and answers 454 4.7.0 TLS not available due to local problem."),
    ([(MX1, "454_530")], "", "unknown", None,
     "Mail would not be delivered, so no entry is proposed: it offers STARTTLS and answers 454 4.7.0 TLS not available due to local problem, and "
     "it takes no mail without TLS and Postfix returns it: 530 5.7.0 Must issue a STARTTLS command first."),
    ([(MX1, "unasked")], "", "unknown", None,
     "Mail would not be delivered, so no entry is proposed: EHLO offers no STARTTLS, and whether it takes mail without TLS is not known."),
    ([(MX1, "busy")], "", "unknown", None, "Nothing is known of it, so no entry is proposed: %s." % BUSY),
    ([(MX1, "busy"), (MX2, "plain")], "", "may", None,
     "Anything above may would stop mail: mx1.example.org: %s; mx2.example.org: EHLO offers no STARTTLS." % BUSY),
    ([(MX1, "wrapped")], "encrypt verify secure", "secure", [],
     "The certificate is trusted and made out to the destination; "
     "its port speaks TLS from the first byte, so mail goes there by a transport with smtp_tls_wrappermode = yes."),
]


@pytest.mark.parametrize(("hosts", "working", "strongest", "match", "why"), PROPOSED, ids=["+".join(kind for _name, kind in row[0]) for row in PROPOSED])
def test_the_strongest_level_that_stops_no_mail(seen: dict, hosts: list, working: str, strongest: str, match: list | None, why: str) -> None:
    told = survey(partner(seen, *hosts), SENDER, 0)
    assert [level for level, found in told["levels"].items() if found["works"]] == working.split()
    assert (told["strongest"], told["why"].replace("self signed", "self-signed")) == (strongest, why)
    entry = {"destination": "example.org", "level": strongest}
    assert told["entry"] == (None if match is None else dict(entry, match=match) if match else entry)


def test_addresses_of_a_host_are_told_apart_and_what_is_left_out_is_told(seen: dict) -> None:
    at = [dict(seen[kind], target=dict(seen[kind]["target"], host=MX1, address=address))
          for kind, address in (("plain", "192.0.2.1"), ("own", "2001:db8::1"))]
    told = survey(Partner("example.org", tuple(Host(MX1, 10, facts, 0) for facts in at), left_out=("mx3.example.org[192.0.2.3]",)), SENDER, 0)
    assert [host["address"] for host in told["hosts"]] == ["192.0.2.1", "2001:db8::1"]
    assert told["strongest"] == "secure" and told["levels"]["encrypt"]["works"]
    assert told["why"] == (
        "The certificate is trusted and made out to the destination; not every host would take it: mx1.example.org[192.0.2.1]: EHLO offers no STARTTLS; "
        "not looked at, because smtp_mx_address_limit leaves them out: mx3.example.org[192.0.2.3].")


def test_a_destination_without_hosts_gets_no_entry_and_its_reason() -> None:
    told = survey(Partner("null.example", problem="it takes no mail, its MX says (RFC 7505)"), SENDER, 14)
    assert (told["strongest"], told["entry"], told["hosts"]) == ("unknown", None, [])
    assert told["why"] == "Nothing is known of it, so no entry is proposed: it takes no mail, its MX says (RFC 7505)."
    assert all(not found["works"] and found["reason"] for found in told["levels"].values())


def test_a_certificate_that_ends_soon_is_told_where_the_level_rests_on_it(seen: dict) -> None:
    ending = partner(seen, (MX1, "ending"), (MX2, "own"))
    told = survey(ending, SENDER, 14)["why"]
    assert "; mx1.example.org: its certificate ends in 4 days, on 20" in told and "mx2" not in told
    assert "ends in" not in survey(ending, SENDER, 4)["why"]
    assert "ends in" not in survey(partner(seen, (MX1, "own"), (MX2, "ending_self_signed")), SENDER, 14)["why"]
    assert "ends in" not in survey(partner(seen, (HOSTED1, "ending"), destination="[%s]" % HOSTED1), SENDER, 14)["why"]  # encrypt needs none


def test_what_each_host_offers(seen: dict) -> None:
    told = survey(partner(seen, (HOSTED2, "hosted2"), (MX2, "plain")), SENDER, 14)
    first, second = told["hosts"]
    assert (first["host"], first["preference"], first["starttls"], first["versions"]) == (HOSTED2, 10, True, ["TLSv1.2", "TLSv1.3"])
    assert first["certificate"]["names"] == ["DNS:*.hoster.example"] and first["certificate"]["issuer"] == "CN=root"
    assert (first["trusted"]["verdict"], first["matches"], first["handshake"]["verdict"]) == ("pass", ["hostname"], "done")
    assert (second["starttls"], second["certificate"], second["trusted"], second["versions"], second["matches"]) == (False, None, None, [], [])


def test_a_host_of_its_own_is_its_own_name(seen: dict) -> None:
    told = survey(partner(seen, (HOSTED1, "hosted1"), destination="[%s]:587" % HOSTED1), SENDER, 14)
    assert told["entry"] == {"destination": "[mx1.hoster.example]:587", "level": "secure"}
