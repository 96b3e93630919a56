# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of parameters says of each release what that release's own postconf says."""
from __future__ import annotations

import re

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import protocol_list, values
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.knowledge import PARAMETERS
from reach import Host

#: What makes a name one of TLS. Those without "tls" in them: DNSSEC is what DANE stands on, relay_clientcerts lists fingerprints of
#: certificates, openssl_path is the tool that makes keys.
OF_TLS = re.compile("tls|dnssec|dns_support_level|openssl|clientcerts")

#: What postconf(5) calls obsolete, unused or without effect, while postconf says nothing of it.
SILENT = {
    *("%s_%s_file" % (side, what) for side in ("smtpd_tls", "smtp_tls", "lmtp_tls", "tlsproxy_tls", "tlsproxy_client") for what in ("dcert", "dkey")),
    "smtpd_tls_dh512_param_file", "tlsproxy_tls_dh512_param_file", "tlsproxy_tls_dh1024_param_file",
    "tlsproxy_tls_eecdh_grade", "tls_eecdh_strong_curve", "tls_eecdh_ultra_curve", "tls_low_cipherlist", "tls_export_cipherlist",
    "tls_legacy_public_key_fingerprints", "tls_dane_digest_agility", "tls_dane_trust_anchor_digest_enable",
}

#: What a default looks like; a kind that is not here has no look of its own, and must not look like one that is.
TELLING = {"boolean": "yes|no", "integer": "[0-9]+", "time": "[0-9]+[smhdw]"}
LOOKS = {
    **TELLING,
    "receiving-level": "|".join(values.LEVELS["receiving-level"]),
    "sending-level": "|".join(values.LEVELS["sending-level"]),
    "grade": "|".join(values.GRADES),
    "file": "/.*", "files": "/.*", "directory": "/.*", "table": r"\w+:.*", "tables": r"\w+:.*",
}


@pytest.fixture(scope="module", params=["u-bullseye", "u-bookworm", "u-trixie", "u-forky"])
def mx(request) -> Host:
    return Host(request.param)


def version(mx: Host) -> tuple:
    return tuple(map(int, mx.run("postconf -dh mail_version").strip().split(".")))


def defaults(mx: Host, *options: str) -> dict:
    return {name: value.strip() for name, _is, value in (line.partition(" =") for line in mx.run("postconf -d %s" % " ".join(options)).splitlines())}


def look(kind: str) -> str:
    """The regular expression of a kind, empty where it has none: a choice looks like one of its words."""
    return "|".join(LOOKS.get(word, word) for word in kind.split("|")) if "|" in kind else LOOKS.get(kind, "")


def test_each_release_has_the_names_that_the_table_says_and_no_other_of_tls(mx: Host) -> None:
    release = version(mx)
    said = {name for name, parameter in PARAMETERS.items() if parameter.known_to(release)}
    assert said == {name for name in defaults(mx) if OF_TLS.search(name) or name in PARAMETERS}


def test_postconf_warns_of_the_names_that_the_table_calls_deprecated_and_gives_the_same_advice(mx: Host) -> None:
    there = defaults(mx)
    gone = " ".join("'%s ='" % name for name in PARAMETERS if name not in there)
    told = mx.run(
        "at=$(mktemp -d) && cp -r /etc/postfix/. $at && { postconf -d | grep -v ^config_directory; printf '%%s\\n' %s; } >$at/main.cf"
        " && postconf -c $at -n 2>&1 >/dev/null; rm -r $at" % gone,
    )
    assert "unused parameter: smtp_tls_cipherlist" in told  # it has read to the end, and warned
    release = version(mx)
    advised = dict(re.findall(r'support for parameter "?(\w+)"? .*; instead, (.*)', told))
    said = {
        name: parameter.replaced_by for name, parameter in PARAMETERS.items()
        if name not in SILENT and parameter.deprecated is not None and parameter.deprecated <= release
    }
    # "do not specify", with or without a reason, is the advice where nothing replaces it.
    assert said == {name: None if advice.startswith("do not") else advice.split()[-1].strip('"') for name, advice in advised.items()}


def test_what_replaces_a_deprecated_name_is_there_today() -> None:
    there = defaults(Host("u-forky"))
    assert {parameter.replaced_by for parameter in PARAMETERS.values()} - {None} <= set(there)


def test_each_default_looks_like_its_kind(mx: Host) -> None:
    wrong = []
    for name, value in defaults(mx, "-x").items():
        kind = PARAMETERS[name].kind if name in PARAMETERS else None
        if kind is None or not value:
            continue
        if kind == "protocols":
            protocol_list.accepted(value)  # raises for a name it does not know
        elif look(kind) and not re.fullmatch(look(kind), value):
            wrong.append((name, kind, value))
        elif not look(kind) and re.fullmatch("|".join(TELLING.values()), value):
            wrong.append((name, kind, value))
    assert wrong == []


def test_a_parameter_whose_default_is_another_is_of_the_same_kind(mx: Host) -> None:
    pairs = {name: re.fullmatch(r"\$(\w+)", value) for name, value in defaults(mx).items() if name in PARAMETERS}
    pairs = {name: match.group(1) for name, match in pairs.items() if match and match.group(1) in PARAMETERS}
    assert len(pairs) > 40
    # A key may lie in the certificate's file, but is never "none".
    assert {name: PARAMETERS[name].kind.split("|")[0] for name in pairs} == {name: PARAMETERS[of].kind.split("|")[0] for name, of in pairs.items()}


def test_those_that_need_a_restart_are_the_ones_that_debian_copies_into_the_chroot_at_start(mx: Host) -> None:
    script = mx.run("grep -v '^[[:space:]]*#' /usr/lib/postfix/configure-instance.sh")
    copied = set(re.findall(r"\w+_tls_\w+", script))
    assert {name for name, parameter in PARAMETERS.items() if parameter.live == "restart"} == copied
