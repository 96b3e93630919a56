# SPDX-License-Identifier: GPL-3.0-or-later
"""Our change is undone in a file that others have written to since, and nothing of theirs is."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import merge

BEFORE = "# head\nmyhostname = mx\nsmtp_tls_loglevel = 1\nold = a,\n  b\nrelayhost =\n"
WRITTEN = "# head\nmyhostname = mx\nsmtp_tls_loglevel = 2\nsmtp_tls_security_level = may\nrelayhost =\n"


def main(now: str, ours: bool = False) -> tuple:
    text, conflicts = merge.undo("/etc/postfix/main.cf", BEFORE, WRITTEN, now, ours)
    return text, [conflict.item for conflict in conflicts]


@pytest.mark.parametrize("now, after", [
    (WRITTEN, BEFORE),
    (BEFORE, BEFORE),
    (WRITTEN + "# theirs\nmessage_size_limit = 1\n", BEFORE + "# theirs\nmessage_size_limit = 1\n"),
    (WRITTEN.replace("relayhost =", "relayhost = [relay]"), BEFORE.replace("relayhost =", "relayhost = [relay]")),
    ("mynetworks = 192.0.2.0/24\n" + WRITTEN, "mynetworks = 192.0.2.0/24\n" + BEFORE),
    (WRITTEN.replace("myhostname = mx\n", ""), BEFORE.replace("myhostname = mx\n", "")),
    (WRITTEN.replace("loglevel = 2", "loglevel=2"), BEFORE),
    (WRITTEN + "last = 1", BEFORE + "last = 1"),
    (WRITTEN.replace("smtp_tls_security_level = may\n", ""), BEFORE),
])
def test_main_cf_by_parameter(now: str, after: str) -> None:
    assert main(now) == (after, [])


@pytest.mark.parametrize("now, item, kept", [
    (WRITTEN.replace("loglevel = 2", "loglevel = 3"), "smtp_tls_loglevel", "smtp_tls_loglevel = 3\n"),
    (WRITTEN.replace("level = may", "level = encrypt"), "smtp_tls_security_level", "smtp_tls_security_level = encrypt\n"),
    (WRITTEN + "old = c\n", "old", "old = c\n"),
    (WRITTEN.replace("smtp_tls_loglevel = 2\n", ""), "smtp_tls_loglevel", "myhostname = mx\n"),
])
def test_where_both_wrote_theirs_stays_or_ours_goes_before(now: str, item: str, kept: str) -> None:
    text, conflicts = main(now)
    assert conflicts == [item] and kept in text
    assert main(now, ours=True)[1] == []
    assert sorted(main(now, ours=True)[0].split("\n")) == sorted(BEFORE.split("\n"))


SMTP = "smtp inet n - y - - smtpd\n"
SUBMISSION = "submission inet n - y - - smtpd\n  -o syslog_name=postfix/submission\n"
OURS = SUBMISSION + "  -o smtpd_tls_security_level=encrypt\n"


def master(now: str, ours: bool = False) -> tuple:
    text, conflicts = merge.undo("/etc/postfix/master.cf", SMTP + SUBMISSION, SMTP + OURS, now, ours)
    return text, [conflict.sentence() for conflict in conflicts]


@pytest.mark.parametrize("now, after", [
    (SMTP + OURS, SMTP + SUBMISSION),
    (SMTP + OURS + "other unix - - n - - pipe\n", SMTP + SUBMISSION + "other unix - - n - - pipe\n"),
    (SMTP.replace("y", "n") + OURS, SMTP.replace("y", "n") + SUBMISSION),
    (SMTP + OURS + "  -o smtpd_client_restrictions=permit\n", SMTP + SUBMISSION + "  -o smtpd_client_restrictions=permit\n"),
    (SMTP, SMTP),  # somebody has taken the service away
])
def test_master_cf_by_service_and_override(now: str, after: str) -> None:
    assert master(now) == (after, [])


def test_an_override_that_both_wrote_is_a_conflict() -> None:
    now = SMTP + OURS.replace("=encrypt", "=may")
    text, [said] = master(now)
    assert text == now
    assert said == ("submission/inet: smtpd_tls_security_level: it was not set before the change, the change wrote encrypt, "
                    "and since then somebody wrote may")
    assert master(now, ours=True) == (SMTP + SUBMISSION, [])


def test_a_service_that_the_change_added_goes_unless_somebody_has_changed_it() -> None:
    added = "reports unix - - y - - smtp\n"
    assert merge.undo("master.cf", SMTP, SMTP + added, "# theirs\n" + SMTP + added) == ("# theirs\n" + SMTP, [])
    text, [conflict] = merge.undo("master.cf", SMTP, SMTP + added, SMTP + added.replace("y", "n"))
    assert conflict.item == "reports/unix" and "reports unix - - n" in text
