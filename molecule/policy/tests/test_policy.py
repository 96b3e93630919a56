# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy holds, whatever the partner does: what may not leave in the clear, or to a stranger, waits, and goes out when the partner is mended."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
from capture import Capture
from cells import CELLS, EXPECTED, LEVELS, domain
from conftest import WAIT, WIRE, Mail
from post import wait
from reach import Host
from tried import tries


def key_and_chain(host: Host, key: str, chain: str) -> None:
    """Has Postfix serve these, of the host's files on the controller."""
    host.write("/etc/ssl/partner.pem", Path(host.vars[key]).read_text(encoding="ascii") + Path(host.vars[chain]).read_text(encoding="ascii"))
    host.run("postfix reload")


def proxy(host: Host, word: str) -> None:
    host.run(
        "sed -i 's/^\\(ExecStart=[^ ]* [^ ]* [^ ]*\\).*/\\1 %s/' /etc/systemd/system/stripping.service; systemctl daemon-reload; systemctl restart stripping;"
        " for i in $(seq 50); do ss -ltn | grep -q :25 && exit 0; sleep 0.1; done; exit 1" % word
    )


#: {partner: (what mends it, what makes it again what prepare.yml left)}
MENDED = {
    "broken": (
        lambda host: key_and_chain(host, "lab_partner_key_file", "lab_partner_chain_file"),
        lambda host: key_and_chain(host, "lab_key_file", "lab_partner_chain_file"),
    ),
    "wrongname": (
        lambda host: key_and_chain(host, "lab_mended_key_file", "lab_mended_chain_file"),
        lambda host: key_and_chain(host, "lab_partner_key_file", "lab_partner_chain_file"),
    ),
    "stripped": (lambda host: proxy(host, "honest"), lambda host: proxy(host, "")),
}


@pytest.fixture(params=list(MENDED))
def mended(request, mail: Mail) -> Iterator[str]:
    """The partner, mended once its messages wait."""
    host = Host("s-" + request.param)
    mend, undo = MENDED[request.param]
    mend(host)
    yield request.param
    undo(host)


@pytest.mark.parametrize("level, partner", CELLS)
def test_a_message_goes_as_the_table_says_or_waits_for_the_reason_it_says(level: str, partner: str, mail: Mail) -> None:
    expected = EXPECTED[level][partner]
    word, reason = (expected, "") if isinstance(expected, str) else expected
    attempts = mail.tries[level, partner]
    assert attempts and attempts[-1].word == word and reason in attempts[-1].reason, attempts


def test_what_the_table_sends_in_the_clear_is_on_the_wire_and_nothing_else_is(mail: Mail) -> None:
    seen = {cell for cell, marker in mail.markers.items() if marker.encode() in mail.wire}
    assert seen == {(level, partner) for level, partner in CELLS if EXPECTED[level][partner] == "clear"}


def test_what_waits_goes_out_encrypted_when_the_partner_is_mended(mended: str, mail: Mail, sender: Host) -> None:
    waiting = [level for level in LEVELS if EXPECTED[level][mended] == EXPECTED["secure"][mended]]  # the others for a TLSA record
    log_from = int(sender.run("wc -c </var/log/mail.log"))

    def words() -> dict:
        told = tries(sender.run("tail -c +%d /var/log/mail.log" % (log_from + 1)))
        return {level: told[domain(level, mended)][-1].word for level in waiting if domain(level, mended) in told}

    capture = Capture(sender, WIRE)
    sender.run("postqueue -f")
    wait(lambda: len(words()) == len(waiting), WAIT)
    wire = capture.stop()
    assert waiting and words() == {level: EXPECTED[level]["good"] for level in waiting}
    box = ("\n" + Host("s-good" if mended == "stripped" else "s-" + mended).run("cat /var/mail/admin")).split("\nFrom ")
    for level in waiting:
        [message] = [message for message in box if mail.markers[level, mended] in message]
        assert "with ESMTPS id" in message
    assert b"STARTTLS" in wire, "the capture holds no dialogue at all, so it proves nothing"
    assert [cell for cell, marker in mail.markers.items() if marker.encode() in wire] == [], "a flush tries all that waits"
