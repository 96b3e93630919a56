# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The program on the host that serves renewed certificates, without Ansible: proven, made live, proven on the wire, or put back.

It is started by a certbot hook, by systemd when a file changes and once a day, or by cron; whatever has not changed costs one look.
"""
from __future__ import annotations

import json
import os
import sys
import syslog
import time

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._change import Change
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import chains, sni
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft, Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.renewal import NAME, REQUEST, instances
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.apply import RENEWAL

#: An ACME client writes key and certificate one after the other; tries, and seconds between them.
_TRIES, _PAUSE = 4, 1.5


class Renewal(Change):
    """The chains alone: main.cf is left as it is, and the generation kept for a rollback is that of the last change."""

    kind = RENEWAL

    def _propose(self, host: Instance) -> Proposal:
        draft = Draft.of(host, Intent(
            names=self.verify["names"], ca_file=self.verify["ca_file"], min_days_left=self.verify["min_days_left"],
            self_signed=self.params["self_signed"], profiles=self.params["profiles"],
        ))
        served, draft.proposal.trusted, _digests = chains.serve(draft, self.params["chains"], draft.proposal.names)
        _all(self.params["chains"], served)
        for entry in self.params["sni"]:
            _all(entry["chains"], sni.serve(draft, entry))
        return draft.proposal


def _all(asked: list, served: list) -> None:
    if len(served) < len(asked):
        names = ", ".join(chain["name"] for chain in asked)
        raise PostfixTlsError("chain %s" % names, None, "it is self-signed now, and peers would not trust it", "Have it issued by a CA again.")


def main() -> int:
    """0 where all is served as it is to be; 1 where it is not, and the log says why."""
    status = 0
    for directory in instances(run):
        path = os.path.join(directory, REQUEST)
        if os.path.exists(path):
            try:
                told = _renewed(directory, path)
            except PostfixTlsError as error:
                status, told = 1, ["%s: %s" % (directory, error)]
            for line in told:
                _say(syslog.LOG_ERR if status else syslog.LOG_INFO, line)
    return status


def _renewed(directory: str, path: str) -> list:
    """What has been renewed, in sentences. Raises PostfixTlsError."""
    try:
        with open(path, encoding="utf-8") as file:
            params = dict(json.load(file), config_directory=directory, state="present", action="reload")
    except (OSError, ValueError) as error:
        raise PostfixTlsError(path, None, "it can't be read (%s)" % error, "Run the playbook again; it writes this file.") from None
    for left in range(_TRIES - 1, -1, -1):
        try:
            result = Renewal(params, run).result()
            break
        except PostfixTlsError as error:
            if not left or "restored" in error.details or not error.item.startswith("chain"):
                raise
            time.sleep(_PAUSE)
    return [
        "%s: renewed, and served since the reload: %s" % (directory, _leaf(change["path"])) for change in result["plan"] if result["changed"]
    ]


def _leaf(path: str) -> str:
    [chain] = pem.chains(path, (files.read(path).content or b"").decode("utf-8", "replace"))
    facts = chain.facts()[0]
    return "%s (%s, valid until %s, sha256 %s)" % (path, facts["subject"], facts["not_after"], facts["sha256"])


def _say(level: int, line: str) -> None:
    syslog.openlog(NAME, syslog.LOG_PID, syslog.LOG_MAIL)
    syslog.syslog(level, line)
    sys.stderr.write(line + "\n")
