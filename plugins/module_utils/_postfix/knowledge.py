# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Every parameter of Postfix 3.4 to 3.11 that has to do with TLS, as one table.

That is each name of C(postconf -d) with C(tls), C(dnssec), C(dns_support_level), C(openssl) or C(clientcerts) in it; those that
were gone before and may still stand in a C(main.cf); and the other names that C(postconf) itself calls deprecated.

A row is C(name  kind  since  until  deprecated  replaced_by  live), separated by blanks; C(-) stands for nothing.
C({a,b}) makes one row of each item; where a row has more than one C({}), they are taken in step, not multiplied.

kind: C(boolean), C(integer), C(time), C(text); C(receiving-level), C(sending-level); C(protocols), C(grade), C(exclusions) and C(groups),
as in C(smtpd_tls_protocols), C(smtpd_tls_ciphers), C(smtpd_tls_exclude_ciphers) and C(tls_eecdh_auto_curves); C(file) that must exist,
C(files) for several, C(directory); C(table) for one C(type:name), C(tables) for several; C(words), a list in which blanks and commas are the
same. Otherwise the words it takes, C(none|may), in any case; C(file) among them stands for a path, and then the words are lower-case.

since: the first release, then the patch levels of older ones that got it too. until: the last release that knows it.

deprecated: the release from which C(postconf) warns of it; where it never warns, from which postconf(5) calls it obsolete or unused.
replaced_by: the name to use today; deprecated without one means to leave it out.

live: what makes a change effective, C(reload) or C(restart). Every Postfix program reads these when it starts, and a reload starts new ones.

Source: postconf(5) and DEPRECATION_README of Postfix 3.11; the tables of each program in its source, where the manual says otherwise.
"""
from __future__ import annotations

import re
from typing import NamedTuple

_TABLE = """
# Whether TLS is used, and how strictly
{smtpd,smtp,lmtp}_use_tls                       boolean          {2.2,2.2,2.3}  -    3.9   {smtpd,smtp,lmtp}_tls_security_level      reload
{postscreen,tlsproxy}_use_tls                   boolean          2.8            -    3.9   {postscreen,tlsproxy}_tls_security_level  reload
{smtpd,smtp,lmtp}_enforce_tls                   boolean          {2.2,2.2,2.3}  -    3.9   {smtpd,smtp,lmtp}_tls_security_level      reload
{postscreen,tlsproxy}_enforce_tls               boolean          2.8            -    3.9   {postscreen,tlsproxy}_tls_security_level  reload
tlsproxy_client_{use,enforce}_tls               boolean          3.4            -    3.9   tlsproxy_client_security_level            reload
{smtpd,postscreen,tlsproxy}_tls_security_level  receiving-level  {2.3,2.8,2.8}  -    -     -                                         reload
{smtp,lmtp}_tls_security_level                  sending-level    2.3            -    -     -                                         reload
tlsproxy_client_security_level                  sending-level    3.7            -    -     -                                         reload
tlsproxy_client_level                           sending-level    3.4            3.6  3.11  tlsproxy_client_security_level            reload
{smtp,lmtp}_tls_enforce_peername                boolean          {2.2,2.3}      -    3.11  {smtp,lmtp}_tls_security_level            reload
{smtpd,smtp,lmtp}_tls_wrappermode               boolean          {2.2,3.0,3.0}  -    -     -                                         reload
smtpd_tls_auth_only                             boolean          2.2            -    -     -                                         reload
{smtpd,smtp,lmtp}_sasl_tls_security_options     words            {2.2,2.2,2.3}  -    -     -                                         reload
{smtp,lmtp}_sasl_tls_verified_security_options  words            2.3            -    -     -                                         reload
{smtpd,smtp,lmtp}_starttls_timeout              time             {2.2,2.2,2.3}  -    -     -                                         reload
smtpd_client_new_tls_session_rate_limit         integer          2.3            -    -     -                                         reload
{smtp,lmtp}_tls_block_early_mail_reply          boolean          2.7            -    -     -                                         reload
{smtp,lmtp}_tls_connection_reuse                boolean          3.4            -    -     -                                         reload

# Destinations with a policy of their own
{smtp,lmtp}_tls_policy_maps              tables   2.3          -    -     -                            reload
tlsproxy_client_policy_maps              tables   3.7          -    -     -                            reload
tlsproxy_client_policy                   tables   3.4          3.6  3.11  tlsproxy_client_policy_maps  reload
{smtp,lmtp}_tls_per_site                 tables   {2.2,2.3}    -    3.9   {smtp,lmtp}_tls_policy_maps  reload
tlsproxy_client_per_site                 tables   3.4          -    3.9   tlsproxy_client_policy_maps  reload
{smtp,lmtp}_tls_enforce_sts_mx_patterns  boolean  3.11,3.10.5  -    -     -                            reload

# Keys and certificates
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_chain_files  files      3.4                    -  -    -  reload
{smtpd,tlsproxy}_tls_cert_file                                          file|none  {2.2,2.8}              -  -    -  reload
{smtp,lmtp}_tls_cert_file                                               file       {2.2,2.3}              -  -    -  reload
tlsproxy_client_cert_file                                               file       3.4                    -  -    -  reload
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_key_file     file       {2.2,2.2,2.3,2.8,3.4}  -  -    -  reload
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_eccert_file  file       {2.6,2.6,2.6,2.8,3.4}  -  -    -  reload
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_eckey_file   file       {2.6,2.6,2.6,2.8,3.4}  -  -    -  reload
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_dcert_file   file       {2.2,2.2,2.3,2.8,3.4}  -  3.4  -  reload
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_dkey_file    file       {2.2,2.2,2.3,2.8,3.4}  -  3.4  -  reload
{smtpd,smtp,lmtp,tlsproxy}_tls_enable_rpk                               boolean    3.9                    -  -    -  reload
tls_server_sni_maps                                                     tables     3.4                    -  -    -  reload
smtpd_tls_always_issue_session_ids                                      boolean    2.4,2.3.1              -  -    -  reload
tlsproxy_tls_always_issue_session_ids                                   boolean    2.8                    -  -    -  reload

# Whom to trust
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_CAfile              file       {2.2,2.2,2.3,2.8,3.4}          -     -     -  reload
# Debian copies these two directories into the chroot when Postfix starts, not when it reloads; a CAfile is read before chroot(2).
{smtpd,smtp}_tls_CApath                                                        directory  2.2                            -     -     -  restart
{lmtp_tls,tlsproxy_tls,tlsproxy_client}_CApath                                 directory  {2.3,2.8,3.4}                  -     -     -  reload
tls_append_default_CA                                                          boolean    2.8,2.7.2,2.6.8,2.5.11,2.4.15  -     -     -  reload
{smtp,lmtp}_tls_trust_anchor_file                                              anchors    2.11                           -     -     -  reload
{smtp,lmtp}_tls_scert_verifydepth                                              integer    {2.2,2.3}                      -     -     -  reload
tlsproxy_client_scert_verifydepth                                              integer    3.4                            -     -     -  reload
{smtpd,tlsproxy}_tls_ccert_verifydepth                                         integer    {2.2,2.8}                      -     -     -  reload
{smtpd,tlsproxy}_tls_ask_ccert                                                 boolean    {2.2,2.8}                      -     -     -  reload
{smtpd,tlsproxy}_tls_req_ccert                                                 boolean    {2.2,2.8}                      -     -     -  reload
relay_clientcerts                                                              tables     2.2                            -     -     -  reload
{smtp,lmtp}_tls_verify_cert_match                                              words      2.3                            -     -     -  reload
{smtp,lmtp}_tls_secure_cert_match                                              words      2.3                            -     -     -  reload
{smtp,lmtp}_tls_fingerprint_cert_match                                         words      2.5                            -     -     -  reload
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_fingerprint_digest  text       {2.5,2.5,2.5,2.8,3.4}          -     -     -  reload
tls_legacy_public_key_fingerprints                                             boolean    2.10,2.9.6                     3.10  3.9   -  reload
tls_wildcard_matches_multiple_labels                                           boolean    2.11                           -     -     -  reload
{smtp,lmtp}_tls_servername                                                     text       3.4                            -     -     -  reload
smtp_cname_overrides_servername                                                boolean    2.3,2.2.9                      -     3.11  -  reload
lmtp_cname_overrides_servername                                                boolean    2.3                            -     3.11  -  reload

# DNSSEC and DANE
{smtp,lmtp}_dns_support_level                    disabled|enabled|dnssec  2.11                            -    -    -                       reload
disable_dns_lookups                              boolean                  1.0                             -    3.9  smtp_dns_support_level  reload
dnssec_probe                                     text                     3.6,3.5.9,3.4.19,3.3.16,3.2.21  -    -    -                       reload
smtp_tls_dane_insecure_mx_policy                 may|encrypt|dane         3.1                             -    -    -                       reload
{smtp,lmtp}_tls_force_insecure_host_tlsa_lookup  boolean                  2.11                            -    -    -                       reload
tls_dane_digests                                 words                    2.11                            -    -    -                       reload
tls_dane_digest_agility                          off|maybe|on             2.11                            3.3  3.2  -                       reload
tls_dane_trust_anchor_digest_enable              boolean                  2.11                            3.3  3.2  -                       reload

# Protocol versions, ciphers, groups
{smtpd,smtp,lmtp,tlsproxy}_tls_protocols                  protocols               {2.6,2.6,2.6,2.8}  -    -    -                                   reload
{smtpd,smtp,lmtp,tlsproxy}_tls_mandatory_protocols        protocols               {2.3,2.3,2.3,2.8}  -    -    -                                   reload
{smtpd,smtp,lmtp,tlsproxy}_tls_ciphers                    grade                   {2.6,2.6,2.6,2.8}  -    -    -                                   reload
{smtpd,smtp,lmtp,tlsproxy}_tls_mandatory_ciphers          grade                   {2.3,2.3,2.3,2.8}  -    -    -                                   reload
{smtpd,smtp,lmtp,tlsproxy}_tls_exclude_ciphers            exclusions              {2.3,2.3,2.3,2.8}  -    -    -                                   reload
{smtpd,smtp,lmtp,tlsproxy}_tls_mandatory_exclude_ciphers  exclusions              {2.3,2.3,2.3,2.8}  -    -    -                                   reload
{smtpd,smtp}_tls_cipherlist                               text                    2.2                2.2  -    {smtpd,smtp}_tls_mandatory_ciphers  reload
tls_{high,medium,null}_cipherlist                         text                    2.3                -    -    -                                   reload
tls_{low,export}_cipherlist                               text                    2.3                -    3.8  -                                   reload
tls_preempt_cipherlist                                    boolean                 2.8                -    -    -                                   reload
tls_eecdh_auto_curves                                     groups                  3.2                -    -    -                                   reload
tls_ffdhe_auto_groups                                     groups                  3.8                -    -    -                                   reload
tls_eecdh_{strong,ultra}_curve                            text                    2.6                -    3.6  -                                   reload
smtpd_tls_eecdh_grade                                     none|auto|strong|ultra  2.6                -    3.9  -                                   reload
tlsproxy_tls_eecdh_grade                                  none|auto|strong|ultra  2.8                -    3.6  -                                   reload
{smtpd,tlsproxy}_tls_dh1024_param_file                    file|auto               {2.2,2.8}          -    3.9  -                                   reload
{smtpd,tlsproxy}_tls_dh512_param_file                     file                    {2.2,2.8}          -    3.6  -                                   reload

# OpenSSL's own settings
tls_ssl_options          words              2.11                           -  -  -  reload
tls_disable_workarounds  words              2.8                            -  -  -  reload
tls_config_file          file|default|none  3.9,3.8.1,3.7.6,3.6.10,3.5.20  -  -  -  reload
tls_config_name          text               3.9,3.8.1,3.7.6,3.6.10,3.5.20  -  -  -  reload

# Sessions and connections
{smtpd,smtp,lmtp}_tls_session_cache_database  table    {2.2,2.2,2.3}                  -     -  -  reload
{smtpd,smtp,lmtp}_tls_session_cache_timeout   time     {2.2,2.2,2.3}                  -     -  -  reload
tlsproxy_tls_session_cache_database           table    2.8                            2.10  -  -  reload
tlsproxy_tls_session_cache_timeout            time     2.8                            2.10  -  -  reload
tls_session_ticket_cipher                     text     3.0                            -     -  -  reload
tls_fast_shutdown_enable                      boolean  3.5,3.4.7,3.3.6,3.2.11,3.1.14  -     -  -  reload

# What is logged, shown and reported
{smtpd_tls,smtp_tls,lmtp_tls,tlsproxy_tls,tlsproxy_client}_loglevel  integer  {2.2,2.2,2.3,2.8,3.4}  -     -     -  reload
tlsproxy_client_loglevel_parameter                                   text     3.4                    3.11  3.12  -  reload
smtpd_tls_received_header                                            boolean  2.2                    -     -     -  reload
{smtp,lmtp}_tls_note_starttls_offer                                  boolean  {2.2,2.3}              -     -     -  reload
{smtp,lmtp}_log_tls_feature_status                                   boolean  3.11                   -     -     -  reload
{smtp,lmtp}_tlsrpt_enable                                            boolean  3.10                   -     -     -  reload
{smtp,lmtp}_tlsrpt_skip_reused_handshakes                            boolean  3.10                   -     -     -  reload
# A socket that need not be there yet.
{smtp,lmtp}_tlsrpt_socket_name                                       text     3.10                   -     -     -  reload

# What a sender asks for (RFC 8689)
requiretls_{enable,esmtp_header,redact_dsn}  boolean  3.11  -  -  -  reload
# Actions and tables in one list.
{smtp,lmtp}_requiretls_policy                text     3.11  -  -  -  reload
tls_required_enable                          boolean  3.10  -  -  -  reload

# Randomness, helpers
tls_random_source                       text     2.2   -  -  -  reload
# Postfix makes this file.
tls_random_exchange_name                text     2.2   -  -  -  reload
tls_{random,daemon_random}_bytes        integer  2.2   -  -  -  reload
tls_random_{reseed,prng_update}_period  time     2.2   -  -  -  reload
tlsmgr_service_name                     text     2.11  -  -  -  reload
tlsproxy_service_name                   text     2.8   -  -  -  reload
tlsproxy_watchdog_timeout               time     2.8   -  -  -  reload
# A name that is looked for in PATH, or a path.
openssl_path                            text     3.1   -  -  -  reload

# Nothing of TLS, but Postfix warns of these old names too; past its "until" one still counts where today's name has none
authorized_verp_clients                   words                2.0   2.0  3.11  smtpd_authorized_verp_clients           reload
fallback_relay                            words                1.0   2.2  3.11  smtp_fallback_relay                     reload
{smtpd,smtp,lmtp}_per_record_deadline     boolean              2.9   3.6  3.11  {smtpd,smtp,lmtp}_per_request_deadline  reload
postscreen_blacklist_action               ignore|enforce|drop  2.8   3.5  3.11  postscreen_denylist_action              reload
postscreen_dnsbl_ttl                      time                 2.8   3.0  3.11  postscreen_dnsbl_max_ttl                reload
postscreen_dnsbl_whitelist_threshold      integer              2.11  3.5  3.11  postscreen_dnsbl_allowlist_threshold    reload
postscreen_whitelist_interfaces           words                2.9   3.5  3.11  postscreen_allowlist_interfaces         reload
smtpd_client_connection_limit_exceptions  words                2.1   2.1  3.11  smtpd_client_event_limit_exceptions     reload
virtual_maps                              tables               1.0   1.1  3.11  virtual_alias_maps                      reload
"""

_BRACES = re.compile(r"{([^}]*)}")


class Parameter(NamedTuple):
    """A row. Releases are as C((3, 9)), patch levels as C((3, 8, 1)); until, deprecated and replaced_by are None where there is none."""

    name: str
    kind: str
    since: tuple
    backports: tuple
    until: tuple | None
    deprecated: tuple | None
    replaced_by: str | None
    live: str

    @property
    def reference(self) -> str:
        return "https://www.postfix.org/postconf.5.html#%s" % self.name

    def known_to(self, version: tuple) -> bool:
        """Whether Postfix of that version has it. Without its patch level, what came with one counts as missing."""
        if self.until is not None and version[:2] > self.until:
            return False
        return version[:2] >= self.since or any(version[:2] == level[:2] and version >= level for level in self.backports)


def _rows(table: str) -> list:
    """The rows of a table, their braces undone, as lists of columns."""
    rows = []
    for line in table.splitlines():
        if not line or line.startswith("#"):
            continue
        texts, groups = _BRACES.split(line)[::2], [group.split(",") for group in _BRACES.findall(line)]
        for items in zip(*groups) if groups else [()]:
            rows.append("".join(map("".join, zip(texts, (*items, "")))).split())
    return rows


def _release(text: str) -> tuple:
    return tuple(map(int, text.split(".")))


def _parameter(name: str, kind: str, since: str, until: str, deprecated: str, replaced_by: str, live: str) -> Parameter:
    first, *backports = map(_release, since.split(","))
    return Parameter(
        name, kind, first, tuple(backports), None if until == "-" else _release(until), None if deprecated == "-" else _release(deprecated),
        None if replaced_by == "-" else replaced_by, live,
    )


PARAMETERS = {row[0]: _parameter(*row) for row in _rows(_TABLE)}


def known(name: str) -> Parameter | None:
    return PARAMETERS.get(name)
