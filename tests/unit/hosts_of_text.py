# SPDX-License-Identifier: GPL-3.0-or-later
"""A Postfix instance out of text, as `postconf -x` would print it and master.cf would hold it."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import knowledge, master_cf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, effective_values

MASTER = "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\ntlsproxy unix - - y - 0 tlsproxy\n"
#: What postscreen(8) takes from smtpd(8) where it has none of its own.
_SHARED = ("smtpd_tls_security_level", "smtpd_use_tls", "smtpd_enforce_tls")


def instance(directory: str = "/etc/postfix", master: str = MASTER, tables: dict | None = None, **values: str) -> Instance:
    """values: effective parameters; all known others are empty. tables: {type:name: {key: value}}, what postmap finds there."""
    release = values.get("mail_version", "3.10.13")
    version = tuple(map(int, re.findall(r"\d+", release)[:3]))
    effective = dict.fromkeys((name for name, row in knowledge.PARAMETERS.items() if row.known_to(version)), "")
    effective.update(
        mail_version=release, html_directory="no", default_database_type="lmdb", myhostname="mx.example.org", inet_interfaces="all",
        inet_protocols="all", queue_directory=directory + "/queue", tlsproxy_service_name="tlsproxy", smtp_tls_CAfile="",
        smtp_tls_CApath="", tls_append_default_CA="no", smtp_dns_support_level="", smtpd_tls_protocols=">=TLSv1",
        smtpd_tls_mandatory_protocols=">=TLSv1", smtpd_tls_exclude_ciphers="",
        smtp_tls_verify_cert_match="hostname", smtp_tls_secure_cert_match="nexthop, dot-nexthop",
        lmtp_tls_verify_cert_match="hostname", lmtp_tls_secure_cert_match="nexthop",
    )
    effective.update({name.replace("smtpd", "postscreen", 1): "$" + name for name in _SHARED}, **values)
    run = postconf({directory: effective}, tables or {}, m="cidr\nhash\ninline\nlmdb\ntexthash\nunionmap\n", T_run_version="OpenSSL 3.5.6 7 Apr 2026\n")
    return Instance(run, directory, master_cf.services(master), effective_values(run, directory))


def postconf(parameters: dict, tables: dict | None = None, **answers: str) -> Callable:
    """A postconf that answers for each directory in parameters, {directory: {name: value as written}}, and fails for others.

    With -o and $name, as Postfix has them; other options print their answer, by their letter. tables: as of instance, for postmap.
    """
    def run(argv: list, stdin: str = "") -> tuple:
        if argv[0] == "postmap":
            return _postmap((tables or {}).get(argv[-1]), argv[3:-1], stdin, *argv[-1].split(":", 1))
        program, _c, directory, option, *rest = argv
        assert (program, _c) == ("postconf", "-c")
        if directory not in parameters:
            return 1, "", "postconf: fatal: open %s/main.cf: No such file or directory\n" % directory
        if option != "-x":
            answer = answers.get("_".join([option.strip("-"), *rest]).replace("-", "_"))
            return (1, "", "postconf: fatal: unknown\n") if answer is None else (0, answer, "")
        values = dict(parameters[directory], **dict(pair.split("=", 1) for pair in rest if "=" in pair))
        wanted = [word for word in rest if word != "-o" and "=" not in word] or values
        for _depth in range(5):
            values = {name: re.sub(r"\$(\w+)", lambda match: values.get(match.group(1), ""), value) for name, value in values.items()}
        return 0, "".join("%s = %s\n" % (name, values[name]) for name in wanted if name in values), ""  # others it does not know
    return run


def _postmap(table: dict | None, options: list, stdin: str, kind: str, name: str) -> tuple:
    """-q - and -s, of a table's entries; None is one that can't be opened, TEMP a value that can't be told now.

    Without either, an index, which is the table's text here.
    """
    index = Path(name + ".%s" % {"hash": "db"}.get(kind, kind))
    if not options:
        index.write_text(Path(name).read_text(encoding="utf-8"), encoding="utf-8")
        return 0, "", ""
    if table is None and index.exists():
        table = dict(line.split("\t", 1) for line in index.read_text(encoding="utf-8").splitlines())
    if table is None and kind == "inline":
        table = {}
    if table is None:
        return 1, "", "postmap: fatal: open database: No such file or directory\n"
    if options != ["-s"] and "TEMP" in map(table.get, stdin.splitlines()):
        return 1, "", "postmap: fatal: table %s:%s: query error: Application error\n" % (kind, name)
    found = table if options == ["-s"] else {key: table[key.lower()] for key in stdin.splitlines() if key.lower() in table}
    return 0, "".join("%s\t%s\n" % entry for entry in found.items()), ""
