# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of each listener: the values that hold there, not those of main.cf."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import view
from hosts_of_text import instance, postconf
from issuing import issue

POSTSCREEN = """\
smtp      inet n - y - 1 postscreen
  -o smtpd_tls_protocols=%s
smtpd     pass - - y - - smtpd
  -o smtpd_tls_security_level=encrypt
tlsproxy  unix - - y - 0 tlsproxy
  -o smtpd_tls_ciphers=high
"""
PROXIED = {
    "tlsproxy_tls_protocols": "$smtpd_tls_protocols", "tlsproxy_tls_ciphers": "$smtpd_tls_ciphers", "tlsproxy_tls_chain_files": "/proxy.pem",
    "postscreen_tls_security_level": "$smtpd_tls_security_level",
}


@pytest.fixture
def seen(tmp_path: Path):
    """seen(master.cf, parameters of main.cf) -> what is told of that instance."""
    def see(master: str, **values: str) -> dict:
        (tmp_path / "master.cf").write_text(master, encoding="utf-8")
        release = values.get("mail_version", "3.10.13")
        smtpd_alone = {name: value for name, value in instance(mail_version=release).values.items() if not name.startswith("tlsproxy_")}
        written = dict(smtpd_alone, **values)
        [told] = view.instances(postconf({str(tmp_path): written}), str(tmp_path))
        return told
    return see


def test_a_listener_has_the_values_of_its_own_service_and_what_refers_to_them_follows(seen) -> None:
    master = "smtp inet n - y - - smtpd\n587 inet n - y - - smtpd -o smtpd_tls_protocols=>=TLSv1.3 -o { smtpd_tls_ciphers = high }\n"
    told = seen(master, smtpd_tls_protocols=">=TLSv1.2", smtpd_tls_mandatory_protocols="$smtpd_tls_protocols", smtpd_tls_ciphers="medium")
    names = ("smtpd_tls_protocols", "smtpd_tls_mandatory_protocols", "smtpd_tls_ciphers")
    assert [[at["parameters"][name] for name in names] for at in told["listeners"]] == [
        [">=TLSv1.2", ">=TLSv1.2", "medium"],
        [">=TLSv1.3", ">=TLSv1.3", "high"],
    ]
    assert [at["overrides"] for at in told["listeners"]] == [{}, {"smtpd_tls_protocols": ">=TLSv1.3", "smtpd_tls_ciphers": "high"}]


@pytest.mark.parametrize("line, values, protocol, level, requires", [
    ("smtp inet n - y - - smtpd", {"smtpd_tls_security_level": "may"}, "smtp", "may", False),
    ("smtp inet n - y - - smtpd", {"smtpd_tls_security_level": "encrypt"}, "smtp", "encrypt", True),
    ("587 inet n - y - - smtpd", {"smtpd_tls_security_level": "may"}, "submission", "may", False),
    ("2587 inet n - y - - smtpd -o smtpd_tls_security_level=encrypt", {}, "submission", "encrypt", True),
    ("2587 inet n - y - - smtpd -o smtpd_enforce_tls=yes", {}, "submission", "encrypt", True),
    ("2587 inet n - y - - smtpd -o smtpd_tls_security_level=$mine", {"mine": "encrypt"}, "submission", "encrypt", True),
    ("2587 inet n - y - - smtpd -o smtpd_tls_security_level=may", {"smtpd_tls_security_level": "encrypt"}, "smtp", "may", False),
    ("465 inet n - y - - smtpd -o smtpd_tls_wrappermode=yes", {"smtpd_tls_security_level": "none"}, "smtps", "none", True),
    ("587 inet n - y - - smtpd -o smtpd_tls_wrappermode=yes", {"smtpd_tls_security_level": "encrypt"}, "smtps", "encrypt", True),
])
def test_a_listener_is_called_as_the_verifier_calls_it(seen, line: str, values: dict, protocol: str, level: str, requires: bool) -> None:
    [at] = seen(line + "\n", **values)["listeners"]
    assert (at["protocol"], at["level"], at["requires_tls"], at["wrappermode"]) == (protocol, level, requires, protocol == "smtps")


def test_where_it_is_reached_is_for_main_cf_to_say(seen) -> None:
    [at] = seen("smtp inet n - y - - smtpd -o inet_interfaces=192.0.2.1\n", inet_interfaces="loopback-only")["listeners"]
    assert (at["address"], at["port"], at["public"]) == ("127.0.0.1", 25, False)


def test_postscreen_does_tls_as_tlsproxy_is_told_and_not_as_its_own_line_says(seen) -> None:
    told = seen(POSTSCREEN % "SSLv3", smtpd_tls_security_level="may", smtpd_tls_protocols=">=TLSv1.2", smtpd_tls_auth_only="yes", **PROXIED)
    [at] = told["listeners"]
    assert (at["program"], at["level"], at["parameters"]["smtpd_tls_protocols"], at["parameters"]["smtpd_tls_ciphers"]) == (
        "postscreen", "may", ">=TLSv1.2", "high",
    )
    assert at["chain_files"] == [{"certificate_file": "/proxy.pem", "key_file": "/proxy.pem"}]
    assert "smtpd_tls_auth_only" not in at["parameters"]  # neither of the two reads it


def test_a_level_that_main_cf_gives_to_postscreen_itself_wins_over_that_of_smtpd_on_its_line(seen) -> None:
    master = "smtp inet n - y - 1 postscreen -o smtpd_tls_security_level=encrypt\n"
    assert seen(master, postscreen_tls_security_level="$smtpd_tls_security_level")["listeners"][0]["level"] == "encrypt"
    assert seen(master, postscreen_tls_security_level="may")["listeners"][0]["level"] == "may"


def test_the_smtpd_behind_postscreen_is_told_with_it(seen) -> None:
    [at] = seen(POSTSCREEN % "SSLv3", smtpd_tls_security_level="may", smtpd_tls_protocols=">=TLSv1.2", smtpd_tls_chain_files="/a.pem")["listeners"]
    behind = at["behind"]
    assert (behind["service"], behind["level"], behind["overrides"]) == ("smtpd", "encrypt", {"smtpd_tls_security_level": "encrypt"})
    assert behind["parameters"]["smtpd_tls_protocols"] == ">=TLSv1.2"
    assert behind["chain_files"] == [{"certificate_file": "/a.pem", "key_file": "/a.pem"}]


def test_postscreen_hands_over_to_the_service_it_is_told_to(seen) -> None:
    master = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\nother pass - - y - - smtpd\n"
    assert seen(master, smtpd_service_name="other")["listeners"][0]["behind"]["service"] == "other"
    assert seen(master, smtpd_service_name="nosuch")["listeners"][0]["behind"] is None
    assert seen("smtp inet n - y - - smtpd\nsmtpd pass - - y - - smtpd\n")["listeners"][0]["behind"] is None


@pytest.fixture
def pems(tmp_path: Path) -> dict:
    """{name: path} of chain files."""
    made = {name: issue("%s.example.org" % name) for name in ("main", "own", "proxy")}
    for name, issued in made.items():
        (tmp_path / name).write_text(issued.key_pem() + issued.pem, encoding="utf-8")
    return {name: str(tmp_path / name) for name in made}


def served(told: dict) -> list:
    return [(Path(*chain["files"]).name, chain["services"], chain["subject"]) for chain in view.chains([told])]


def test_the_chains_that_are_told_are_those_of_the_services_that_do_tls(seen, pems: dict) -> None:
    master = (
        "smtp inet n - y - - smtpd\n587 inet n - y - - smtpd -o smtpd_tls_chain_files=%(own)s\n"
        "2525 inet n - y - - smtpd -o smtpd_tls_security_level=none -o smtpd_tls_chain_files=/nonexistent\n"
        "465 inet n - y - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=none -o smtpd_tls_chain_files=\n"
    ) % pems
    told = seen(master, smtpd_tls_security_level="may", smtpd_tls_chain_files=pems["main"], smtpd_tls_cert_file=pems["proxy"])
    assert served(told) == [
        ("main", ["smtp"], "CN=main.example.org"), ("own", ["587"], "CN=own.example.org"), ("proxy", ["465"], "CN=proxy.example.org"),
    ]
    assert [chain["config_directory"] for chain in view.chains([told])] == [told["config_directory"]] * 3
    assert served(seen(master, smtpd_tls_security_level="none", smtpd_tls_chain_files="/nonexistent", smtpd_tls_cert_file=pems["main"])) == [
        ("main", ["465"], "CN=main.example.org"),
    ]


def test_only_chain_files_hold_several_chains(seen, pems: dict, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.write_text("".join(Path(pems[name]).read_text(encoding="utf-8") for name in ("main", "own")), encoding="utf-8")
    for parameter, expected in (("smtpd_tls_chain_files", 2), ("smtpd_tls_cert_file", 1)):
        assert len(served(seen("smtp inet n - y - - smtpd\n", smtpd_tls_security_level="may", **{parameter: str(both)}))) == expected


def test_postscreen_serves_the_chain_of_tlsproxy_and_hands_over_to_a_smtpd_with_its_own(seen, pems: dict) -> None:
    values = dict(PROXIED, tlsproxy_tls_chain_files=pems["proxy"], smtpd_tls_chain_files=pems["main"])
    told = seen(POSTSCREEN % "SSLv3", smtpd_tls_security_level="may", **values)
    assert served(told) == [("proxy", ["smtp"], "CN=proxy.example.org"), ("main", ["smtpd"], "CN=main.example.org")]


def test_chains_for_names_of_their_own_are_told_with_these_names(seen, pems: dict, tmp_path: Path) -> None:
    (tmp_path / "sni").write_text("# mine\nmx.example.net %s\n.example.com\t%s, %s\n" % (pems["own"], pems["own"], pems["main"]), encoding="utf-8")
    maps = "hash:/etc/other, texthash:%s/sni" % tmp_path
    told = seen("smtp inet n - y - - smtpd\n", smtpd_tls_security_level="may", smtpd_tls_chain_files=pems["main"], tls_server_sni_maps=maps)
    assert [(chain["files"], chain["sni"]) for chain in view.chains([told])] == [
        ([pems["main"]], [".example.com"]), ([pems["own"]], ["mx.example.net", ".example.com"]),
    ]


def test_two_instances_each_have_their_chains(seen, pems: dict) -> None:
    told = seen("smtp inet n - y - - smtpd\n", smtpd_tls_security_level="may", smtpd_tls_chain_files=pems["main"])
    assert [chain["config_directory"] for chain in view.chains([told, dict(told, config_directory="/other")])] == [told["config_directory"], "/other"]


def test_a_parameter_this_release_does_not_know_is_left_out(seen) -> None:
    master = "smtp inet n - y - - smtpd\n"
    assert "tls_config_file" not in seen(master, mail_version="3.5.19")["listeners"][0]["parameters"]
    assert seen(master, tls_config_file="default")["listeners"][0]["parameters"]["tls_config_file"] == "default"


def test_a_port_nobody_knows_is_told_and_hides_no_other_listener(seen) -> None:
    told = seen("nosuchport inet n - y - - smtpd\n2525 inet n - y - - smtpd\n")
    assert [at["port"] for at in told["listeners"]] == [2525]
    assert told["errors"] == [
        "master.cf = nosuchport: no TCP port is known by the name nosuchport. Write the number, or add it to /etc/services.",
    ]


@pytest.mark.parametrize("release, version", [("3.10.13", "3.10.13"), ("3.11-20250801-nonprod", "3.11"), ("3.5.25", "3.5.25")])
def test_the_release_is_told_in_numbers_and_as_postfix_says_it(seen, release: str, version: str) -> None:
    told = seen("", mail_version=release)
    assert (told["version"], told["mail_version"]) == (version, release)


def test_the_tls_library_is_told_where_postfix_knows_it(tmp_path: Path) -> None:
    (tmp_path / "master.cf").write_text("", encoding="utf-8")
    values = {str(tmp_path): instance().values}
    [told] = view.instances(postconf(values, T_compile_version="OpenSSL 3.0.11\n", T_run_version="OpenSSL 3.0.20\n", m="hash\nlmdb\n"), str(tmp_path))
    assert (told["tls_library"], told["table_types"]) == ({"compile": "OpenSSL 3.0.11", "run": "OpenSSL 3.0.20"}, ["hash", "lmdb"])
    for answers in ({}, {"T_compile_version": "", "T_run_version": ""}):
        [told] = view.instances(postconf(values, **answers), str(tmp_path))
        assert told["tls_library"] == {"compile": None, "run": None}


def test_further_instances_are_told_once_each_and_a_missing_one_by_what_is_wrong(tmp_path: Path) -> None:
    first, second, gone = (str(tmp_path / name) for name in ("first", "second", "gone"))
    written = {first: dict(instance().values, multi_instance_directories="%s/, %s %s %s" % (second, gone, first, second))}
    written[second] = dict(instance().values, myhostname="out.example.org")
    for directory, port in ((first, 25), (second, 2525)):
        Path(directory).mkdir()
        (Path(directory) / "master.cf").write_text("%d inet n - y - - smtpd\n" % port, encoding="utf-8")
    told = view.instances(postconf(written), first + "/")
    assert [each["config_directory"] for each in told] == [first, second, gone]
    assert [[at["port"] for at in each["listeners"]] for each in told] == [[25], [2525], []]
    assert [each["myhostname"] for each in told] == ["mx.example.org", "out.example.org", None]
    assert [set(each) for each in told] == [set(told[0])] * 3
    assert not told[0]["errors"] and not told[1]["errors"] and "No such file or directory" in told[2]["errors"][0]


def test_where_the_instance_asked_for_cannot_be_read_there_is_nothing_to_tell() -> None:
    with pytest.raises(PostfixTlsError, match="/nonexistent/main.cf: Postfix can't read its own configuration"):
        view.instances(postconf({}), "/nonexistent")


def test_obsolete_parameters_are_told_where_they_are_set_with_what_replaces_them(seen, tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("smtpd_use_tls = yes\n# smtp_use_tls = yes\nrelayhost =\nsmtpd_tls_eecdh_grade = ultra\n", encoding="utf-8")
    told = seen("smtp inet n - y - - smtpd\n2587 inet n - y - - smtpd -o smtpd_enforce_tls=yes -o smtpd_tls_loglevel=1\n")
    assert told["deprecated"] == [
        {"where": "main.cf", "name": "smtpd_use_tls", "value": "yes", "replaced_by": "smtpd_tls_security_level"},
        {"where": "main.cf", "name": "smtpd_tls_eecdh_grade", "value": "ultra", "replaced_by": None},
        {"where": "2587/inet", "name": "smtpd_enforce_tls", "value": "yes", "replaced_by": "smtpd_tls_security_level"},
    ]


@pytest.mark.parametrize("binary, reports", [(b"...smtp...", True), (b"TLSRPT is selected, but TLSRPT is not compiled in", False), (None, False)])
def test_what_a_build_can_do_is_told_by_its_parameters_and_tlsrpt_by_its_client(seen, tmp_path: Path, binary: bytes | None, reports: bool) -> None:
    if binary:
        (tmp_path / "smtp").write_bytes(binary)
    told = [seen("smtp inet n - y - - smtpd\n", mail_version=release, daemon_directory=str(tmp_path)) for release in ("3.7.11", "3.11.6")]
    old, new = (instance["features"] for instance in told)
    assert (old["chain_files"], old["tlsrpt"], old["requiretls"]) == (True, False, False)
    assert (new["chain_files"], new["tlsrpt"], new["requiretls"]) == (True, reports, True)


def test_the_patch_level_is_held_against_the_fixes_it_lacks(seen) -> None:
    told = seen("smtp inet n - y - - smtpd\n", mail_version="3.10.11")
    assert told["patch_level"] == 11 and [row["fixed_in"] for row in told["missing_fixes"]] == ["3.10.12"]
