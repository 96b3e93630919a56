# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_log_info as Ansible calls it: what it returns is what is documented, and today's configuration tells what a silence means."""
from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._audit import settings
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import command
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES
from ansible_collections.mailsec.postfix_tls.plugins.modules import tls_log_info
from hosts_of_text import instance, postconf

MASTER = "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\nrelay unix - - y - - smtp -o syslog_name=postfix/$service_name\n"
SUITE = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
SENT = "smtp[7]: A1: to=<a@example.org>, relay=mx.example.org[192.0.2.5]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)"


@pytest.fixture
def host(tmp_path: Path, monkeypatch):
    """host(*lines, **parameters): a host with this log and configuration, which was written long before."""
    def make(*lines: str, master: str = MASTER, changed: float = 7200, **parameters: str) -> Path:
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - 60))
        start = time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - 3600))
        told = [(start, "master[1]: daemon started -- version 3.10.13"), *((stamp, text) for text in lines)]
        (tmp_path / "mail.log").write_text("".join("%s mx postfix/%s\n" % line for line in told), encoding="ascii")
        (tmp_path / "main.cf").write_text("maillog_file = %s/mail.log\n" % tmp_path, encoding="ascii")
        (tmp_path / "master.cf").write_text(master, encoding="ascii")
        values = dict(
            instance().values, syslog_name="postfix", smtp_tls_loglevel="0", smtpd_tls_loglevel="0", smtp_tls_security_level="may", relayhost="",
            transport_maps="", smtpd_tls_wrappermode="no", smtp_tls_policy_maps="", smtp_tls_per_site="", smtp_use_tls="no", smtp_enforce_tls="no",
            smtp_tls_wrappermode="no", content_filter="smtp:[scan.test]:10024",
        )
        answer = postconf({str(tmp_path): dict(values, **parameters)})
        monkeypatch.setattr(command, "run", lambda argv, stdin=None: answer(argv))
        monkeypatch.setattr(settings, "_changed", lambda _path: time.time() - changed)  # nobody can set st_ctime
        return tmp_path
    return make


WHOLE = (
    "smtp[7]: Trusted TLS connection established to mx.example.org[192.0.2.5]:25: " + SUITE, SENT, "smtp[8]: " + SENT.partition(": ")[2].replace("A1", "A2"),
    "smtpd[9]: connect from h.test[192.0.2.7]", "smtpd[9]: B1: client=h.test[192.0.2.7]", "qmgr[3]: B1: from=<s@example.net>, size=1, nrcpt=1 (queue active)",
    "smtpd[9]: disconnect from h.test[192.0.2.7] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
    "submission/smtpd[10]: connect from h.test[192.0.2.7]", "submission/smtpd[10]: B2: client=h.test[192.0.2.7]",
    "submission/smtpd[10]: Anonymous TLS connection established from h.test[192.0.2.7]: " + SUITE.replace("1.3", "1.2"),
    "submission/smtpd[10]: B3: client=h.test[192.0.2.7]", "qmgr[3]: B3: from=<s@example.net>, size=1, nrcpt=1 (queue active)",
    "smtp[8]: A3: to=<a@example.org>, relay=scan.test[192.0.2.6]:10024, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)",
)


def test_the_documented_results_are_those_that_are_returned(run, host) -> None:
    documented = yaml.safe_load(tls_log_info.RETURN)
    result = run(tls_log_info, config_directory=str(host(*WHOLE)))
    assert set(result) - {"changed", "invocation"} == set(documented) and result["changed"] is False and result["errors"] == []
    samples = {name: entry["sample"] for name, entry in documented.items() if "sample" in entry}
    assert {name: type(result[name]) for name in samples} == {name: type(sample) for name, sample in samples.items()}
    for name in ("totals", "left_out", "floor"):
        assert list(result[name]) == list(samples[name])
    assert set(result["profiles"]) == set(PROFILES) > set(samples["profiles"])
    assert list(result["floor"]["TLSv1.3"]) == list(samples["floor"]["TLSv1.3"])
    for name in ("sent", "inner", "received", "clients", "submitted"):
        [row] = result[name]
        assert list(row) == list(documented[name]["contains"])
        assert {key: type(value) for key, value in row.items()} == {key: type(entry["sample"]) for key, entry in documented[name]["contains"].items()}
    assert result["floor"]["TLSv1.3"]["submitted"] == [{"service": "postfix/submission/smtpd", "messages": 1}]
    assert result["summary"][1:3] == [
        "sent: 2 messages, 1 in the clear, 1 encrypted, 0 unknown", "  1 of 2 in the clear to example.org by way of mx.example.org",
    ]


def how(result: dict) -> str:
    [row] = result["sent"]
    [word] = [word for word in ("plaintext", "encrypted", "unknown") if row[word]]
    return word


@pytest.mark.parametrize("parameters, expected", [
    ({}, "unknown"), ({"smtp_tls_loglevel": "1"}, "plaintext"), ({"smtp_tls_loglevel": "1", "changed": 30}, "unknown"),
    ({"smtp_tls_security_level": "none"}, "plaintext"), ({"smtp_tls_security_level": ""}, "plaintext"),
    ({"smtp_tls_security_level": "", "smtp_use_tls": "yes"}, "unknown"),
    ({"smtp_tls_security_level": "none", "smtp_tls_policy_maps": "hash:/x"}, "unknown"),
    ({"smtp_tls_security_level": "none", "smtp_tls_per_site": "hash:/x"}, "unknown"),
    ({"smtp_tls_security_level": "none", "changed": 30}, "unknown"),
])
def test_today_s_configuration_tells_what_silence_means_as_long_as_it_is_that_of_then(run, host, parameters: dict, expected: str) -> None:
    result = run(tls_log_info, config_directory=str(host(SENT, **parameters)))
    assert how(result) == expected and result["silent"] == (["postfix/smtp"] if expected == "unknown" else [])


def test_each_service_has_its_own_syslog_name_and_log_level(run, host) -> None:
    relay = "relay/" + SENT
    assert how(run(tls_log_info, config_directory=str(host(relay, smtp_tls_loglevel="1")))) == "plaintext"
    own = MASTER.replace("$service_name", "$service_name -o smtp_tls_loglevel=0")
    assert how(run(tls_log_info, config_directory=str(host(relay, master=own, smtp_tls_loglevel="1")))) == "unknown"
    shared = MASTER + "slow unix - - y - - smtp -o smtp_tls_loglevel=0\n"
    assert how(run(tls_log_info, config_directory=str(host(SENT, master=shared, smtp_tls_loglevel="1")))) == "unknown", "one of two with that tag tells nothing"


WRAPPED = "465 inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n"


@pytest.mark.parametrize("wrapped, others, expected", [(WRAPPED, "", (0, 1, 0)), (WRAPPED, MASTER, (0, 0, 1)), ("", MASTER, (1, 0, 0))])
def test_a_silent_service_that_begins_with_tls_is_not_taken_for_clear(run, host, wrapped: str, others: str, expected: tuple) -> None:
    result = run(tls_log_info, config_directory=str(host(*WHOLE[3:7], master=wrapped + others)))
    assert [(row["plaintext"], row["encrypted"], row["unknown"]) for row in result["received"]] == [expected]


def test_where_a_relayhost_has_all_mail_there_are_no_candidates_and_a_note_says_why(run, host) -> None:
    result = run(tls_log_info, config_directory=str(host(*WHOLE[:2])))
    assert (result["candidates"], result["notes"]) == ([{"destination": "example.org", "level": "encrypt"}], [])
    result = run(tls_log_info, config_directory=str(host(*WHOLE[:2], relayhost="[smart.test]", transport_maps="hash:/x")))
    assert result["candidates"] == []
    assert [note.partition(":")[0] for note in result["notes"]] == [
        "relayhost is [smart.test]", "Where transport_maps names a next hop, a policy entry is looked up by that, not by the recipient's domain.",
    ]


def test_files_need_no_postfix_and_days_have_to_be_a_time(run, host, monkeypatch) -> None:
    def missing(argv: list, stdin: str | None = None) -> tuple:
        raise FileNotFoundError(argv[0])

    path = host(*WHOLE)
    monkeypatch.setattr(command, "run", missing)
    result = run(tls_log_info, files=[str(path / "mail.log")])
    assert (result["files"], result["totals"]["sent"]["encrypted"]) == ([str(path / "mail.log")], 1)
    assert run(tls_log_info)["msg"] == "postconf: there is no Postfix on this host. Install the package postfix first."
    assert run(tls_log_info, days=0)["msg"] == "days = 0.0: it is no time to look back. Write a number above 0, as in 7 or 0.5."


def test_it_only_looks_in_check_mode_as_well(run, host) -> None:
    path = host(*WHOLE)
    before = sorted((file, file.read_bytes()) for file in path.iterdir())
    really, checked = (run(tls_log_info, config_directory=str(path), _ansible_check_mode=mode) for mode in (False, True))
    assert {**really, "invocation": None} == {**checked, "invocation": None}
    assert sorted((file, file.read_bytes()) for file in path.iterdir()) == before


def test_the_documented_options_are_those_of_the_code() -> None:
    documented = yaml.safe_load(tls_log_info.DOCUMENTATION)["options"]
    assert {name: (entry["type"], entry.get("default"), entry.get("elements")) for name, entry in documented.items()} == {
        name: (entry["type"], entry.get("default"), entry.get("elements")) for name, entry in tls_log_info.ARGUMENT_SPEC.items()
    }
