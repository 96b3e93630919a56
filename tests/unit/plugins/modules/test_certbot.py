# SPDX-License-Identifier: GPL-3.0-or-later
"""certbot is called only where something is to be obtained, and what is told of it is what is there."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._acme import certbot as words_of_certbot, lineage
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import command
from ansible_collections.mailsec.postfix_tls.plugins.modules import certbot
from issuing import issue

ASKED = {"terms_agreed": True, "directory": "https://acme.test/dir"}
#: As certbot 4.0 writes it.
RENEWAL = """# renew_before_expiry = 30 days
version = 4.0.0

[renewalparams]
account = 93ac3c93394877153ac0763b16abc9a1
%s
[[webroot_map]]
mx.test = /var/www/other
"""
_KEPT = {
    "--server": "server", "--authenticator": "authenticator", "--http-01-port": "http01_port", "--webroot-path": "webroot_path",
    "--manual-auth-hook": "manual_auth_hook", "--manual-cleanup-hook": "manual_cleanup_hook",
}


class Fake:
    """Does as certbot does, and counts. days: of what it obtains. refuses: what it says instead."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls, self.days, self.refuses, self.version = folder, [], (-1, 89), "", "certbot 2.1.0"

    def __call__(self, argv: list, stdin: str | None = None, **environment: str) -> tuple:
        if argv[0] == "postconf":
            return 0, "myhostname = mx.test\n", ""
        if argv == ["certbot", "--version"]:
            return 0, self.version, ""
        self.calls.append((argv, environment))
        if self.refuses:
            return 1, "", self.refuses
        options = dict(zip(argv, argv[1:]))
        names = tuple(value for word, value in zip(argv, argv[1:]) if word == "--domain")
        self.keep(options["--cert-name"], names, self.days, {_KEPT[word]: value for word, value in options.items() if word in _KEPT}
                  | ({"reuse_key": "True"} if "--reuse-key" in argv else {}))
        return 0, "", ""

    def keep(self, name: str, names: tuple, days: tuple, settings: dict) -> None:
        live, issued = self.folder / "live" / name, issue(names[0], names=names, days=days)
        for folder in (live, self.folder / "renewal"):
            folder.mkdir(parents=True, exist_ok=True)
        (live / "privkey.pem").write_text(issued.key_pem(), encoding="utf-8")
        (live / "fullchain.pem").write_text(issued.pem, encoding="utf-8")
        text = RENEWAL % "".join("%s = %s\n" % item for item in settings.items())
        (self.folder / "renewal" / ("%s.conf" % name)).write_text(text, encoding="utf-8")


@pytest.fixture
def warned(monkeypatch) -> list:
    """What the module has warned of."""
    told: list = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: told.append(text))
    return told


@pytest.fixture
def fake(tmp_path: Path, monkeypatch) -> Fake:
    made = Fake(tmp_path)
    monkeypatch.setattr(lineage, "FOLDER", str(tmp_path))
    monkeypatch.setattr(words_of_certbot, "FOLDER", str(tmp_path))
    monkeypatch.setattr(words_of_certbot, "CLI_INI", (str(tmp_path / "cli.ini"), str(tmp_path / "mine.ini")))
    monkeypatch.setattr(command, "run", made)
    monkeypatch.setattr(basic.AnsibleModule, "get_bin_path", lambda _module, name: "/usr/bin/%s" % name)
    return made


def test_both_types_of_key_are_obtained_once_and_the_next_run_calls_nothing(run, fake: Fake) -> None:
    first = run(certbot, **ASKED)
    assert first["changed"] and [chain["name"] for chain in first["chains"]] == ["default-ecdsa", "default-rsa"]
    assert all(Path(chain["key_file"]).exists() and Path(chain["certificate_file"]).exists() for chain in first["chains"])
    assert [certificate["reason"] for certificate in first["certificates"]] == ["there is none yet"] * 2
    again = run(certbot, **ASKED)
    assert not again["changed"] and again["chains"] == first["chains"] and again["names"] == ["mx.test"] and len(fake.calls) == 2


@pytest.mark.parametrize("changed, reason, forced", [
    ({"names": ["mx.test", "mail.test"]}, "it is made out to mx.test", False),
    ({"directory": "https://other.test/dir"}, "it was obtained, and is renewed, with another server", True),
    ({"challenge": "webroot", "webroot": "/srv/www"}, "it was obtained, and is renewed, with another authenticator, webroot_path", True),
    ({"http_port": 8080}, "it was obtained, and is renewed, with another http01_port", True),
    ({"reuse_key": False}, "it was obtained, and is renewed, with another reuse_key", True),
])
def test_what_is_asked_for_otherwise_is_obtained_again_once(run, fake: Fake, changed: dict, reason: str, forced: bool) -> None:
    run(certbot, **ASKED, key_types=["ecdsa"])
    asked = {**ASKED, "key_types": ["ecdsa"], **changed}
    [certificate] = run(certbot, **asked)["certificates"]
    assert certificate["reason"] == reason and ("--force-renewal" in fake.calls[-1][0]) is forced
    assert not run(certbot, **asked)["changed"] and len(fake.calls) == 2


@pytest.mark.parametrize("days, due", [((-50, 40), False), ((-61, 29), True), ((-4, 3), False), ((-5, 1), True), ((-90, -1), True)])
def test_it_is_due_with_less_than_a_third_of_its_time_left(run, fake: Fake, days: tuple, due: bool) -> None:
    fake.keep("default-rsa", ("MX.test",), days, {"server": ASKED["directory"], "authenticator": "standalone", "reuse_key": "True"})
    assert run(certbot, **ASKED, key_types=["rsa"])["changed"] is due


def test_a_setting_is_the_same_in_whatever_form_certbot_keeps_it(run, fake: Fake) -> None:
    kept = {"server": ASKED["directory"], "authenticator": "manual", "reuse_key": "True", "manual_auth_hook": "'sh -c \"a, b\"'"}
    fake.keep("default-rsa", ("mx.test",), (-1, 89), kept)
    assert not run(certbot, **ASKED, key_types=["rsa"], challenge="dns", auth_hook='sh -c "a, b"')["changed"]


def test_certbot_that_keeps_another_setting_is_an_error_and_no_renewal_by_each_run(run, fake: Fake, monkeypatch) -> None:
    monkeypatch.setitem(_KEPT, "--http-01-port", "ignored")
    result = run(certbot, **ASKED, http_port=8080)
    assert result["msg"].startswith("certificate default-ecdsa = http01_port: certbot keeps it otherwise than it was told. Look into")


def test_check_mode_calls_nothing_and_leaves_out_what_is_not_there(run, fake: Fake, warned: list) -> None:
    told = run(certbot, **ASKED, _ansible_check_mode=True)
    assert told["changed"] and told["chains"] == [] and told["names"] == [] and not fake.calls
    assert warned[0] == "certificate default-ecdsa: there is none yet, so a run would obtain it. What is shown from here on is without it."
    run(certbot, **ASKED, key_types=["rsa"])
    told = run(certbot, **ASKED, names=["mx.test", "mail.test"], _ansible_check_mode=True)
    assert [chain["name"] for chain in told["chains"]] == ["default-rsa"] and told["names"] == ["mx.test"] and len(fake.calls) == 1
    assert warned[-1].endswith("What is shown from here on is with the one that is there.")


def test_the_diff_of_check_mode_is_that_of_the_run(run, fake: Fake) -> None:
    foreseen = run(certbot, **ASKED, _ansible_check_mode=True)["diff"]
    assert foreseen == run(certbot, **ASKED)["diff"]
    assert foreseen[0]["before"] == "" and foreseen[0]["after"] == "names: mx.test\nauthenticator: standalone\nserver: https://acme.test/dir\n"


def test_without_certbot_nothing_is_done_and_the_package_is_named(run, fake: Fake, warned: list, monkeypatch) -> None:
    monkeypatch.setattr(basic.AnsibleModule, "get_bin_path", lambda _module, _name: None)
    result = run(certbot, **ASKED)
    assert result["failed"] and result["missing"] == ["certbot"]
    assert result["msg"] == "certbot: it is not installed on this host. Install the package certbot."
    run(certbot, **ASKED, _ansible_check_mode=True)
    assert "so a run would install certbot and obtain it." in warned[0] and not fake.calls


@pytest.mark.parametrize("asked, told", [
    ({}, "terms_agreed = false: a directory issues only to whoever agrees to its terms of service. Read them, then set terms_agreed: true"),
    ({**ASKED, "ca_file": "/nosuch"}, "ca_file = /nosuch: there is no such file on this host."),
    ({**ASKED, "challenge": "webroot"}, "challenge is webroot but all of the following are missing: webroot"),
    ({**ASKED, "challenge": "dns"}, "challenge is dns but all of the following are missing: auth_hook"),
])
def test_what_can_not_be_is_refused_before_certbot_is_called(run, fake: Fake, asked: dict, told: str) -> None:
    result = run(certbot, **asked)
    assert result["failed"] and told in result["msg"] and not fake.calls


def test_a_failure_of_certbot_is_told_and_a_private_directorys_root_handed_on(run, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "root.pem").touch()
    fake.refuses = "An unexpected error occurred:\nacme.errors.ClientError: <Response [404]>\n"
    result = run(certbot, **ASKED, ca_file=str(tmp_path / "root.pem"))
    assert result["failed"] and "what answers there is no ACME directory" in result["msg"]
    assert result["log"] == ["acme.errors.ClientError: <Response [404]>"] and result["directory"] == ASKED["directory"]
    assert fake.calls[-1][1] == {"REQUESTS_CA_BUNDLE": str(tmp_path / "root.pem")}


def test_the_documented_results_are_those_that_are_returned(run, fake: Fake) -> None:
    documented, told = yaml.safe_load(certbot.RETURN), run(certbot, **ASKED)
    assert set(told) - {"invocation", "changed", "diff", "warnings"} == set(documented) - {"log", "directory"}
    assert set(told["certificates"][0]) == set(documented["certificates"]["sample"][0])
    assert set(told["chains"][0]) == set(documented["chains"]["sample"][0])


def test_the_documented_options_are_those_of_the_code() -> None:
    documented = yaml.safe_load(certbot.DOCUMENTATION)["options"]
    assert {name: (entry["type"], entry.get("default"), entry.get("choices")) for name, entry in documented.items()} == {
        name: (entry["type"], entry.get("default"), entry.get("choices"))
        for name, entry in certbot.ARGUMENT_SPEC.items()
    }


@pytest.mark.parametrize("version, text, told", [
    ("certbot 1.12.0", "reuse-key = true\n", "reuse_key = false: cli.ini says reuse-key = true, and certbot before 1.20 can't be told otherwise."),
    ("certbot 1.12.0", "reuse_key", "reuse_key = false: cli.ini says reuse-key = true"),
    ("certbot 4.0.0", "# mine\nconfig-dir = /srv/le  # there\n", "cli.ini: config-dir = /srv/le: certbot would keep the certificates there"),
])
def test_what_cli_ini_says_and_no_option_changes_is_refused_before_anything_is_obtained(run, fake: Fake, version: str, text: str, told: str) -> None:
    fake.version = version
    (fake.folder / "cli.ini").write_text(text, encoding="utf-8")
    for _time in range(2):
        result = run(certbot, **ASKED, reuse_key=False)
        assert result["failed"] and result["msg"].startswith(told) and not fake.calls


@pytest.mark.parametrize("version, text, options", [
    ("certbot 4.0.0", "reuse-key = true\nelliptic-curve = secp384r1\n", {"--no-reuse-key", "secp256r1"}),
    ("certbot 1.20.0", "", {"--no-reuse-key"}),
    ("certbot 1.12.0", "reuse-key = false\nrsa-key-size: 4096\n", set()),
])
def test_what_cli_ini_could_say_otherwise_is_said_on_the_command_line(run, fake: Fake, version: str, text: str, options: set) -> None:
    fake.version = version
    (fake.folder / "cli.ini").write_text(text, encoding="utf-8")
    assert run(certbot, **ASKED, key_types=["ecdsa"], reuse_key=False)["changed"]
    assert ({"--no-reuse-key", "--reuse-key"} | options) & set(fake.calls[-1][0]) == options


@pytest.mark.parametrize("days, asked, renewed", [
    ((-50, 40), 41, True), ((-50, 40), 39, False), ((-3, 3), 14, False), ((-25, 20), 14, False), ((-25, 20), 21, True),
])
def test_what_is_valid_for_too_few_days_is_renewed_where_that_helps(run, fake: Fake, days: tuple, asked: int, renewed: bool) -> None:
    fake.keep("default-ecdsa", ("mx.test",), days, {"server": ASKED["directory"], "authenticator": "standalone", "reuse_key": "True"})
    for changed in (renewed, False):
        assert run(certbot, **ASKED, key_types=["ecdsa"], min_days_left=asked)["changed"] is changed
    assert [("--force-renewal" in call[0]) for call in fake.calls] == [True] * renewed


def test_another_certbot_is_waited_for_but_not_for_ever(run, fake: Fake, monkeypatch) -> None:
    fake.refuses, clock = "Another instance of Certbot is already running.\n", [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        fake.refuses = fake.refuses if len(fake.calls) < 3 else ""
    monkeypatch.setattr(certbot.time, "sleep", sleep)
    monkeypatch.setattr(certbot.time, "monotonic", lambda: clock[0])
    assert run(certbot, **ASKED, key_types=["ecdsa"])["changed"] and len(fake.calls) == 4
    fake.refuses, fake.calls = "Another instance of Certbot is already running.\n", [()] * -9
    monkeypatch.setattr(certbot.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    result = run(certbot, **ASKED, key_types=["rsa"])
    assert result["failed"] and "It was waited for" in result["msg"] and clock[0] < 200
