# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written for a profile leaves nothing on that the profile does not have, on every release, by our own tables."""
from __future__ import annotations

import re
import subprocess

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures, suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES, Profile
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.rendering import CONFIGURATION_NAME, openssl_configuration, rendered
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import below
from hosts_of_text import instance

#: Postfix and its OpenSSL, as on Debian 11, 12, 13, testing, and RHEL 9.
RELEASES = (((3, 5), (1, 1, 1)), ((3, 7), (3, 0)), ((3, 10), (3, 5)), ((3, 11), (3, 6)), ((3, 5), (3, 5)))

EACH = pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
ON_EACH = pytest.mark.parametrize("version, library", RELEASES, ids=lambda numbers: ".".join(map(str, numbers)))
WITH_FILE = pytest.mark.parametrize("profile", [PROFILES[name] for name in ("ncsc_2025", "bsi_tr02102", "rfc9325")], ids=lambda profile: profile.name)
SIDES = pytest.mark.parametrize("side", ["smtpd", "smtp"])


def words(text: str) -> list:
    return [word for word in re.split(r"[\s,]+", text) if word]


def kept(profile: Profile, item: str) -> frozenset:
    return getattr(profile, item) - profile.phase_out.get(item, frozenset())


def excluded(text: str) -> frozenset:
    return frozenset().union(*map(suites.matches, words(text)))


def commands(text: str) -> dict:
    """{command: value} of the section that OpenSSL gets to by the name, by OpenSSL's own rules."""
    sections: dict = {"": {}}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            sections[section] = {}
        elif line and not line.startswith("#"):
            key, value = line.split(" = ")
            sections[section][key] = value
    start = sections[""][CONFIGURATION_NAME]
    return sections[sections[sections[start]["ssl_conf"]]["system_default"]]


@EACH
@ON_EACH
@SIDES
def test_nothing_older_than_the_floor_is_left_on(profile: Profile, side: str, version: tuple, library: tuple) -> None:
    told = rendered(profile, side, version, library)
    for parameter in ("%s_tls_protocols" % side, "%s_tls_mandatory_protocols" % side):
        left_on = protocol_list.accepted(protocol_list.render(told[parameter], version))
        assert not left_on & set(below(profile.floor)) and {profile.floor, *profile.accepts} <= left_on


@EACH
@ON_EACH
def test_a_grade_less_what_is_excluded_is_within_the_profile(profile: Profile, version: tuple, library: tuple) -> None:
    told = rendered(profile, "smtpd", version, library)
    assert told["smtpd_tls_ciphers"] == told["smtpd_tls_mandatory_ciphers"]
    graded = suites.matches("HIGH") | (suites.matches("MEDIUM") if told["smtpd_tls_ciphers"] == "medium" else frozenset())
    static = suites.matches("kDH") | suites.matches("kECDH")  # no OpenSSL since 1.1.0 has them
    left = graded - static - excluded(told["smtpd_tls_exclude_ciphers"])
    if profile.floor != "TLSv1.3":  # else no version has a cipher list
        assert left and left <= kept(profile, "suites")


@EACH
@ON_EACH
def test_groups_are_the_profile_s_and_known_to_the_library(profile: Profile, version: tuple, library: tuple) -> None:
    told = rendered(profile, "smtpd", version, library)
    if profile.groups is None:
        assert not {name for name in told if "auto" in name}
        return
    listed = [groups.named(name) for name in words(told["tls_eecdh_auto_curves"])]
    assert {group.name for group in listed} <= kept(profile, "groups") and all(group.since <= library for group in listed)
    assert "prime256v1" in {group.name for group in listed}, "RFC 8446 section 9.1 has everyone speak it"
    assert told.get("tls_ffdhe_auto_groups") == ("" if version >= (3, 8) else None)


@EACH
@ON_EACH
def test_no_prime_is_left_for_a_release_to_choose_where_the_profile_has_groups(profile: Profile, version: tuple, library: tuple) -> None:
    told = rendered(profile, "smtpd", version, library)
    if profile.groups is not None and profile.floor != "TLSv1.3":
        assert suites.SETS["dhe"] <= excluded(told["smtpd_tls_exclude_ciphers"])


def test_a_hybrid_needs_a_library_that_has_it_and_a_postfix_that_asks_by_name() -> None:
    with_hybrid = {release: "X25519MLKEM768" in words(rendered(PROFILES["intermediate"], "smtpd", *release)["tls_eecdh_auto_curves"])
                   for release in RELEASES}
    assert list(with_hybrid.values()) == [False, False, True, True, False]


@EACH
@ON_EACH
def test_where_tls_is_opportunistic_sending_keeps_every_suite(profile: Profile, version: tuple, library: tuple) -> None:
    told = rendered(profile, "smtp", version, library)
    assert set(told) == {
        "smtp_tls_protocols", "smtp_tls_mandatory_protocols", "smtp_tls_mandatory_ciphers", "smtp_tls_mandatory_exclude_ciphers"}
    receiving = rendered(profile, "smtpd", version, library)
    assert told["smtp_tls_mandatory_exclude_ciphers"] == receiving["smtpd_tls_exclude_ciphers"]
    assert told["smtp_tls_mandatory_ciphers"] == receiving["smtpd_tls_ciphers"]


@EACH
@ON_EACH
def test_a_server_has_its_own_order_where_the_profile_asks_for_it(profile: Profile, version: tuple, library: tuple) -> None:
    assert rendered(profile, "smtpd", version, library).get("tls_preempt_cipherlist") == ("yes" if profile.server_order else None)


@EACH
@ON_EACH
@SIDES
def test_every_value_is_taken_as_the_parameter_s_kind(profile: Profile, side: str, version: tuple, library: tuple) -> None:
    told = rendered(profile, side, version, library)
    host = instance(mail_version="%d.%d.25" % version)
    host.library = library
    for name, value in told.items():
        assert values.same(name, values.written(name, value, host), value)


def test_openssl_gets_a_file_only_for_what_postfix_cannot_say() -> None:
    assert [name for name, profile in PROFILES.items() if openssl_configuration(profile)] == ["ncsc_2025", "bsi_tr02102", "rfc9325"]


@WITH_FILE
def test_the_file_lists_just_signatures_and_suites_of_the_profile(profile: Profile) -> None:
    text = openssl_configuration(profile)
    assert text.splitlines()[0] == "# Written by mailsec.postfix_tls; what is changed here by hand is overwritten." and text.endswith("\n")
    said = commands(text)
    hashes = [signatures.BY_NAME[name].hash for name in said.pop("SignatureAlgorithms").split(":")]
    assert set(hashes) <= kept(profile, "hashes") and {"SHA256", "SHA384", "SHA512"} <= set(hashes)
    default = {suites.BY_NAME["TLS_%s" % name].code for name in ("AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256", "AES_128_GCM_SHA256")}
    tls13 = {suites.BY_NAME[name].code for name in said.pop("Ciphersuites", "").split(":") if name} or default
    assert tls13 <= kept(profile, "suites") and suites.BY_NAME["TLS_AES_128_GCM_SHA256"].code in tls13 and not said


@WITH_FILE
def test_openssl_itself_takes_every_command_of_the_file(profile: Profile) -> None:
    """Where it does not know a name, it leaves the whole list as it was, and says nothing of it unless it is asked to."""
    text = openssl_configuration(profile)
    assert takes(text) and not takes(text.replace("rsa_pkcs1_sha256", "rsa_pkcs1_sha257"))


def takes(text: str) -> bool:
    """Whether s_client can begin with these commands on its own command line, where it minds errors."""
    options = {"SignatureAlgorithms": "-sigalgs", "Ciphersuites": "-ciphersuites"}
    told = [word for command, value in commands(text).items() for word in (options[command], value)]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:1", *told], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return "SSL_CONF_cmd" not in done.stderr
