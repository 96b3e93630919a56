# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile is made of names the tables know, and tells guidelines apart where they differ."""
from __future__ import annotations

import subprocess

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures, suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import PROFILES, Profile
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.versions import NAMES, below

HASHES = {signature.hash for signature in signatures.SIGNATURES}
EACH = pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
STRICT = pytest.mark.parametrize(
    "profile", [profile for name, profile in PROFILES.items() if name not in ("opportunistic", "interop")], ids=lambda profile: profile.name)

#: What Postfix makes of its grades, without what newer releases exclude themselves.
GRADES = {"high": "aNULL:-aNULL:HIGH", "medium": "aNULL:-aNULL:HIGH:MEDIUM"}


def listed(cipher_list: str) -> set:
    """OpenSSL's names of what a cipher list of Postfix turns on."""
    command = ["openssl", "ciphers", "-s", "-ciphersuites", "", cipher_list + ":@STRENGTH:@SECLEVEL=0"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split(":"))


def openssl_names(codes) -> set:
    return {suites.BY_CODE[code].openssl or suites.BY_CODE[code].name for code in codes}


def test_there_are_those_that_we_promise() -> None:
    assert list(PROFILES) == ["opportunistic", "interop", "intermediate", "modern", "ncsc_2025", "bsi_tr02102", "rfc9325"]


@EACH
def test_every_name_in_a_profile_is_known(profile: Profile) -> None:
    assert profile.suites and profile.suites <= set(suites.BY_CODE)
    assert profile.floor in NAMES and set(profile.accepts) <= set(NAMES) - set(below(profile.floor))
    assert profile.groups is None or profile.groups and profile.groups <= {group.name for group in groups.GROUPS}
    assert profile.curves is None or profile.curves and {name for name in profile.curves if not groups.named(name)} <= {"Ed25519", "Ed448"}
    for hashes in (profile.hashes, profile.certificate_hashes):
        assert hashes is None or hashes and hashes <= HASHES
    assert profile.title and profile.reference and set(profile.clauses) | set(profile.phase_out) <= set(Profile._fields)


@EACH
def test_what_is_phased_out_is_still_allowed_and_not_all_there_is(profile: Profile) -> None:
    for item, going in profile.phase_out.items():
        allowed = getattr(profile, item)
        assert allowed < going if item == "rsa_bits" else going and going < allowed


@EACH
def test_a_limit_for_dh_primes_goes_with_suites_that_have_one(profile: Profile) -> None:
    assert (profile.dh_bits is not None) == bool(profile.suites & (suites.SETS["dhe"] | suites.SETS["anonymous"]))
    primes = [groups.named(name).bits for name in profile.groups or () if groups.named(name).kind == "ffdhe"]
    assert all(bits >= profile.dh_bits for bits in primes)


@EACH
def test_every_version_that_may_be_accepted_has_a_suite(profile: Profile) -> None:
    tls13 = profile.suites & set(suites.tls13())
    assert tls13 and bool(profile.suites - tls13) == (profile.floor != "TLSv1.3")


@EACH
def test_what_is_broken_is_refused_by_all(profile: Profile) -> None:
    assert not profile.suites & suites.SETS["broken"] and not {"MD5"} & (profile.hashes or set())


def test_opportunistic_is_interop_without_versions_that_rfc_8996_has_gone() -> None:
    """Whoever is refused on port 25 delivers in plaintext: nothing else may be less."""
    own, loose = PROFILES["opportunistic"], PROFILES["interop"]
    differs = {item for item in Profile._fields if getattr(own, item) != getattr(loose, item)}
    assert differs == {"name", "title", "reference", "floor", "clauses"} and (own.floor, loose.floor) == ("TLSv1.2", "TLSv1")
    assert {"ECDHE-RSA-AES256-SHA384", "AES256-SHA", "ADH-AES128-SHA"} <= openssl_names(own.suites)


@STRICT
def test_a_guideline_refuses_all_that_is_weak_and_is_stricter_than_interop(profile: Profile) -> None:
    loose = PROFILES["interop"]
    assert not profile.suites & suites.SETS["weak"] and profile.suites < loose.suites
    assert NAMES.index(profile.floor) > NAMES.index(loose.floor) and profile.certificate_hashes <= loose.certificate_hashes
    assert "SHA1" not in (profile.hashes or ()) and (profile.dh_bits or 9999) > loose.dh_bits


def test_interop_takes_what_encrypts_and_what_stock_postfix_answers() -> None:
    taken = openssl_names(PROFILES["interop"].suites)
    assert {"AECDH-AES256-SHA", "ADH-AES128-SHA", "AES128-SHA", "ECDHE-RSA-AES128-SHA", "TLS_AES_128_GCM_SHA256"} <= taken
    assert not {"DES-CBC3-SHA", "RC4-SHA", "NULL-SHA", "ADH-RC4-MD5", "AECDH-NULL-SHA", "TLS_SHA256_SHA256"} & taken


def test_mozillas_suites_are_the_six_and_three_of_its_guideline() -> None:
    six = {"ECDHE-%s-%s" % (key, cipher) for key in ("ECDSA", "RSA") for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}
    three = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
    assert openssl_names(PROFILES["intermediate"].suites) == six | three and openssl_names(PROFILES["modern"].suites) == three


def test_guidelines_differ_where_they_do() -> None:
    ncsc, bsi, mozilla, rfc = (PROFILES[name] for name in ("ncsc_2025", "bsi_tr02102", "intermediate", "rfc9325"))
    chacha, cbc, cbc_sha1, rsa, ccm8, camellia = ({suites.BY_NAME[name].code} for name in (
        "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8",
        "ECDHE-RSA-CAMELLIA128-SHA256"))
    assert not chacha <= bsi.suites and chacha <= ncsc.suites & mozilla.suites & rfc.suites
    assert cbc <= bsi.suites and cbc <= ncsc.phase_out["suites"] and not cbc <= mozilla.suites
    assert not (cbc_sha1 | rsa | ccm8) & (ncsc.suites | bsi.suites | mozilla.suites) and rsa <= rfc.phase_out["suites"]
    assert camellia <= ncsc.phase_out["suites"] and not camellia <= bsi.suites
    assert "X25519" not in bsi.groups and "X25519" in ncsc.groups & mozilla.groups & rfc.groups and "secp192k1" not in rfc.groups
    assert "ffdhe2048" not in ncsc.groups and (bsi.rsa_bits, rfc.rsa_bits, ncsc.phase_out["rsa_bits"]) == (3000, 2048, 3072)
    assert not suites.BY_NAME["TLS_AES_128_CCM_8_SHA256"].code in ncsc.suites | bsi.suites | mozilla.suites


def test_ncsc_phases_out_as_many_suites_as_internet_nl_lists() -> None:
    assert len(PROFILES["ncsc_2025"].phase_out["suites"]) == 35
    assert len(PROFILES["ncsc_2025"].suites) == 35 + 12


@pytest.mark.parametrize("profile", [profile for profile in PROFILES.values() if profile.exclude], ids=lambda profile: profile.name)
@pytest.mark.parametrize("grade", ["own", "medium"])
def test_the_words_to_exclude_leave_just_what_openssl_has_of_the_profile(profile: Profile, grade: str) -> None:
    left = listed(":".join([GRADES[profile.grade if grade == "own" else grade], *("!" + word for word in profile.exclude)]))
    kept = {suites.BY_CODE[code] for code in profile.suites - profile.phase_out.get("suites", frozenset())}
    wanted = {suite.openssl for suite in kept if not suite.tls13 and (suite.exchange != "DHE" or "kDHE" not in profile.exclude)}
    assert left <= wanted
    # Newer releases of OpenSSL no longer call a short tag HIGH.
    assert {name for name in wanted & listed("ALL") if not name.endswith("CCM8")} <= left


@EACH
def test_every_profile_has_a_recipe_of_words_that_name_something(profile: Profile) -> None:
    assert profile.grade in GRADES and all(suites.matches(word) for word in profile.exclude)
    assert bool(profile.exclude) == (profile.floor != "TLSv1.3")
