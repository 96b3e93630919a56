# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries whose form alone decides whether they hold: names in other letters, trust anchors for a client in a chroot, a long table."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Iterator

import pytest
from cells import domain
from post import wait
from reach import Host, ask, play
from tried import tries

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
WRONG = ":".join(["AB"] * 32)


def anchor() -> str:
    """The root that nobody but this entry trusts."""
    chain = Path(Host("s-unknownca").vars["lab_partner_chain_file"]).read_text(encoding="ascii")
    return re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", chain, re.DOTALL)[-1]


def sent(sender: Host, *recipients: str) -> dict:
    """{domain as the log has it: the last Try}"""
    log_from = int(sender.run("wc -c </var/log/mail.log"))
    for recipient in recipients:
        sender.run("printf 'Subject: x\\n\\ny\\n' | sendmail -f admin@%s %s" % (sender.fqdn, recipient))

    def told() -> dict:
        return tries(sender.run("tail -c +%d /var/log/mail.log" % (log_from + 1)))

    wait(lambda: len(told()) == len(recipients))
    return {name: attempts[-1] for name, attempts in told().items()}


@pytest.fixture(scope="module")
def shaped() -> Iterator[Host]:
    """The sender with some entries more."""
    sender = Host("s-sender")
    sender.run("postsuper -d ALL; postconf -e smtputf8_enable=yes")
    more = [
        {"destination": "anchor.unknownca.test", "level": "secure", "tafile": anchor()},
        {"destination": "b\u00fccher.good.test", "level": "fingerprint", "fingerprints": [WRONG]},
        {"destination": ".b\u00fccher.good.test", "level": "secure", "match": ["nowhere.test"]},
    ]
    play(CONVERGE, "s-sender", tls_policy_destinations_shapes=more)
    yield sender
    sender.run("postconf -X smtputf8_enable")
    play(CONVERGE, "s-sender")


def test_a_trust_anchor_is_found_in_the_chroot(shaped: Host) -> None:
    assert shaped.run("postconf -F smtp/unix/chroot").split()[-1] == "y"
    name = "anchor.unknownca.test"
    assert sent(shaped, "admin@" + name)[name].word == "Verified"
    shaped.run("mv /var/spool/postfix/etc/postfix/tls_trust /root/; postfix reload; sleep 1.2")
    try:
        assert sent(shaped, "admin@" + name)[name].word == "deferred", "without the copy there it is not, so the copy is what did it"
    finally:
        shaped.run("mv /root/tls_trust /var/spool/postfix/etc/postfix/; postfix reload")


def test_a_name_in_other_letters_is_held_to_its_policy_however_it_is_written(shaped: Host) -> None:
    names = [dot + name for dot in ("", "sub.") for name in ("b\u00fccher.good.test", "xn--bcher-kva.good.test")]
    recipients = ["admin@" + name for name in names]
    seen = sent(shaped, *recipients)
    assert {name: attempt.word for name, attempt in seen.items()} == dict.fromkeys(names, "deferred")
    told = ask("s-sender", "mailsec.postfix_tls.tls_policy_info", "--become", recipients=recipients)["s-sender"]["results"]
    keys = [name.replace("sub.", ".") for name in names]
    assert [result["next_hops"][0]["key"] for result in told] == keys


def test_a_long_table_is_indexed_and_answers_as_a_short_one_does(shaped: Host, tmp_path: Path) -> None:
    kind = shaped.run("postconf -hx default_database_type").strip()
    many = tmp_path / "many.json"  # longer than a command line may be
    many.write_text(json.dumps({"tls_policy_destinations_many": [{"destination": "p%d.test" % number} for number in range(10_001)]}), encoding="utf-8")
    assert " changed=1 " in play(CONVERGE, "s-sender", "-e", "@%s" % many)
    assert shaped.run("postconf -h smtp_tls_policy_maps").strip() == "%s:/etc/postfix/tls_policy, texthash:/etc/postfix/others" % kind
    assert shaped.run("postmap -q p10000.test %s:/etc/postfix/tls_policy" % kind).strip() == "encrypt"
    assert " changed=0 " in play(CONVERGE, "s-sender", "-e", "@%s" % many)
    for partner, word in (("wrongname", "deferred"), ("good", "Verified")):
        name = domain("secure", partner)
        assert sent(shaped, "admin@" + name)[name].word == word
    assert "older than source" not in shaped.run("cat /var/log/mail.log")
