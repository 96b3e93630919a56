# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A profile as parameters of main.cf, and as the OpenSSL configuration for what no parameter reaches.

Source: postconf(5); OpenSSL's config(5) and SSL_CONF_cmd(3).
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, signatures, suites

if TYPE_CHECKING:
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.profiles import Profile

#: For tls_config_name: under which the file's settings are found.
CONFIGURATION_NAME = "postfix"

_HEADER = "# Written by mailsec.postfix_tls; what is changed here by hand is overwritten."
#: Since then OpenSSL itself reads the names of groups, and there is tls_ffdhe_auto_groups. Before, Postfix knew groups by their numbers
#: among OpenSSL's objects: hybrids have none, whatever the library.
_NAMES_SINCE = (3, 8)
_NUMBERED_UP_TO = (3, 0)

#: What OpenSSL offers of TLS 1.3 unasked, in its order.
_DEFAULT_TLS13 = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")


def rendered(profile: Profile, side: str, version: tuple, library: tuple) -> dict:
    """{parameter of main.cf: value} for all that the profile decides on this side; what it does not decide is left out.

    side: smtpd or smtp. version, library: the releases of Postfix and of its OpenSSL, as (3, 5) and (1, 1, 1). Protocol lists are as
    Postfix 3.6 takes them: C(_postfix.protocol_list.render) writes them for older ones.
    """
    floor, exclude = ">=" + profile.floor, ", ".join(profile.exclude)
    protocols = {"%s_tls_%sprotocols" % (side, which): floor for which in ("", "mandatory_")}
    if side == "smtp":
        # At the level may a server that can't agree gets the message in plaintext: worse than any suite. So suites are chosen only where
        # TLS is mandatory. What has no side in its name (tls_*) would hold for smtpd too, which decides on it alone.
        return dict(protocols, smtp_tls_mandatory_ciphers=profile.grade, smtp_tls_mandatory_exclude_ciphers=exclude)
    # smtpd_tls_exclude_ciphers holds at every level, mandatory ones included.
    parameters = dict(
        protocols, smtpd_tls_ciphers=profile.grade, smtpd_tls_mandatory_ciphers=profile.grade, smtpd_tls_exclude_ciphers=exclude)
    if profile.groups is not None:
        parameters["tls_eecdh_auto_curves"] = ", ".join(_curves(profile, version, library))
        if version >= _NAMES_SINCE:
            # None: RFC 8446 section 9.1 has everyone speak P-256, and what TLS 1.2 had with these primes is excluded. Before, TLS 1.3
            # was given no such group at all.
            parameters["tls_ffdhe_auto_groups"] = ""
    if profile.server_order:
        parameters["tls_preempt_cipherlist"] = "yes"
    return parameters


def rendered_default(optional: Profile, mandatory: Profile, side: str, version: tuple, library: tuple) -> dict:
    """As rendered(), of one profile where TLS is optional and of a stricter one where it is mandatory.

    What holds at every level, such as groups, is as the first has it: a peer refused there delivers in plaintext.
    """
    parameters, strict = (rendered(profile, side, version, library) for profile in (optional, mandatory))
    for name in list(parameters):
        if "_mandatory_" in name:
            parameters[name] = strict[name]
    if side == "smtpd":
        parameters["smtpd_tls_mandatory_exclude_ciphers"] = strict["smtpd_tls_exclude_ciphers"]
    return parameters


def openssl_configuration(profile: Profile) -> str:
    """The text of a file for C(tls_config_file), read under C(CONFIGURATION_NAME); empty where Postfix can say all of the profile itself.

    It holds for receiving and sending, and takes the place of the system's own file. Every OpenSSL from 1.1.1 on takes it. What it costs
    in sending: a server of TLS 1.2 that signs with SHA-1 and nothing else refuses such a client. Older versions have no list to keep to.
    """
    commands = {"SignatureAlgorithms": _signatures(profile), "Ciphersuites": _tls13(profile)}
    lines = ["%s = %s" % (command, ":".join(names)) for command, names in commands.items() if names]
    if not lines:
        return ""
    begin = [_HEADER, "%s = settings" % CONFIGURATION_NAME, "[settings]", "ssl_conf = commands", "[commands]", "system_default = profile", "[profile]"]
    return "\n".join(begin + lines) + "\n"


def _kept(profile: Profile, item: str) -> frozenset:
    return getattr(profile, item) - profile.phase_out.get(item, frozenset())


def _curves(profile: Profile, version: tuple, library: tuple) -> list:
    newest = library if version >= _NAMES_SINCE else min(library, _NUMBERED_UP_TO)
    kept = _kept(profile, "groups")
    return [group.name for group in groups.GROUPS if group.name in kept and group.kind != "ffdhe" and group.since and group.since <= newest]


def _signatures(profile: Profile) -> list:
    """None where SHA-1, which only this list switches off, may stay."""
    if profile.hashes is None or "SHA1" in profile.hashes:
        return []
    kept = _kept(profile, "hashes")
    return [name for name in signatures.IN_EVERY_OPENSSL if signatures.BY_NAME[name].hash in kept]


def _tls13(profile: Profile) -> list:
    """None where the profile has all that OpenSSL offers."""
    kept = _kept(profile, "suites")
    names = [name for name in _DEFAULT_TLS13 if suites.BY_NAME[name].code in kept]
    return [] if len(names) == len(_DEFAULT_TLS13) else names
