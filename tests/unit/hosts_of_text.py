# SPDX-License-Identifier: GPL-3.0-or-later
"""A Postfix instance out of text, as `postconf -x` would print it and master.cf would hold it."""
from __future__ import annotations

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import master_cf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.parameters import KINDS, OVERRIDDEN_BY_LEVEL, SERVED_BY_CHAIN_FILES

MASTER = "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\n"
_NAMES = [*KINDS, *SERVED_BY_CHAIN_FILES, *(name for names in OVERRIDDEN_BY_LEVEL.values() for name in names)]


def instance(directory: str = "/etc/postfix", master: str = MASTER, **values: str) -> Instance:
    """values: effective parameters; all known others are empty."""
    effective = dict.fromkeys(_NAMES, "")
    effective.update(
        mail_version="3.10.13", myhostname="mx.example.org", inet_interfaces="all", inet_protocols="all", smtp_tls_CAfile="",
        smtp_tls_CApath="", tls_append_default_CA="no", smtp_dns_support_level="", smtpd_tls_protocols=">=TLSv1",
        smtpd_tls_mandatory_protocols=">=TLSv1", smtpd_tls_exclude_ciphers="",
    )
    return Instance(directory, dict(effective, **values), master_cf.services(master))
