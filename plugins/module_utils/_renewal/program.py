# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The program on the host that serves renewed certificates, without Ansible: proven, made live, proven on the wire, or put back.

It is started by a certbot hook, by systemd when a file changes and once a day, or by cron; whatever has not changed costs one look.
"""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import syslog
import time
import traceback

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._change import Change
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.command import run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import DEFAULT_DIRECTORY
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal import sources, units
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import chains, sni
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft, Intent, Proposal
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.renewal import PROGRAM, REQUEST, instances
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.apply import RENEWAL

#: An ACME client writes key and certificate one after the other; tries, and seconds between them.
_TRIES, _PAUSE = 4, 1.5
#: Seconds for all instances; then what is under way is put back, for which it has as long again.
_LONGEST = 300
#: Looks in a row, each because something changed during the one before, which systemd would not have told of.
_MOST_LOOKS = 5


class Renewal(Change):
    """The chains alone: main.cf is left as it is, and the generation kept for a rollback is that of the last change."""

    kind = RENEWAL

    def _propose(self, host: Instance) -> Proposal:
        """A limit of days is no reason to refuse a certificate here: what would be served on ends before it. See _short."""
        draft = Draft.of(host, Intent(
            names=self.verify["names"], ca_file=self.verify["ca_file"], self_signed=self.params["self_signed"], profiles=self.params["profiles"],
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
    signal.signal(signal.SIGALRM, _too_long)
    requests = {directory: path for directory in instances(run) if os.path.exists(path := os.path.join(directory, REQUEST))}
    if _sandboxed() and not all(map(_restarted_by_systemd, requests)):
        return _outside()
    for _look in range(_MOST_LOOKS):
        before = sources.statuses(_watched(requests.values()))
        status = max([0, *(_served(*request) for request in requests.items())])
        if sources.statuses(_watched(requests.values())) == before:
            break
    if status:
        sources.forget()
    else:
        sources.keep([name for directory in requests for name in units.names(directory).values() if name.endswith(".path")], before)
    return status


def _sandboxed() -> bool:
    """Whether the service of ours runs this: what is started here stays within its bounds (prctl(2) PR_SET_NO_NEW_PRIVS)."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return "NoNewPrivs:\t1" in file.read()


def _restarted_by_systemd(directory: str) -> bool:
    """Whether an instance is a unit; another would be restarted by us, and could deliver to no home directory from within the sandbox."""
    if directory == DEFAULT_DIRECTORY:
        return True
    _status, queue, _err = run(["postconf", "-c", directory, "-h", "queue_directory"])
    try:
        with open(os.path.join(queue.strip(), "pid", "master.pid"), encoding="ascii") as file:
            pid = int(file.read())
        with open("/proc/%d/cgroup" % pid, encoding="utf-8") as file:
            return re.search(r"/postfix[^/\n]*\.service$", file.read(), re.MULTILINE) is not None
    except (OSError, ValueError):
        return False


def _outside() -> int:
    """The same in a transient unit without a sandbox; its status."""
    command = ["systemd-run", "--quiet", "--collect", "--wait", "--property=SyslogIdentifier=%s" % units.NAME, "--property=SyslogFacility=mail", PROGRAM]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=2 * _LONGEST)
    return 1 if done.returncode else 0


def _served(directory: str, path: str) -> int:
    """One instance; what was done is logged, and why it could not be. Status of the program."""
    signal.alarm(_LONGEST)
    try:
        params = dict(_read(path), config_directory=directory, state="present", action="reload")
        for line in _renewed(directory, params):
            _say(syslog.LOG_INFO, line)
        for line in _short(directory, params):
            _say(syslog.LOG_WARNING, line)
    except PostfixTlsError as error:
        _say(syslog.LOG_ERR, "%s: %s" % (directory, error))
        return 1
    except Exception as error:  # the log has to say so, and other instances are looked at all the same
        _say(syslog.LOG_ERR, "%s: %r: this was not foreseen. Report it." % (directory, error))
        traceback.print_exc()
        return 1
    finally:
        signal.alarm(0)
    return 0


def _too_long(_signal: int, _frame: object) -> None:
    signal.alarm(_LONGEST)
    raise PostfixTlsError("renewal", None, "it was not done after %d s" % _LONGEST, "See what hangs: postfix check, postconf, or the files to be renewed.")


def _watched(requests: object) -> list:
    """Paths of the requests and of all files that they name."""
    paths = []
    for path in requests:
        paths.append(path)
        try:
            request = _read(path)
            asked = [*request["chains"], *(chain for entry in request["sni"] for chain in entry["chains"])]
            paths += [chain[kind] for chain in asked for kind in ("key_file", "certificate_file")]
        except (PostfixTlsError, KeyError, TypeError):
            continue  # it is told when it is to be served
    return paths


def _read(path: str) -> dict:
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise PostfixTlsError(path, None, "it can't be read (%s)" % error, "Run the playbook again; it writes this file.") from None


def _renewed(directory: str, params: dict) -> list:
    """What has been renewed, in sentences. Raises PostfixTlsError."""
    for left in range(_TRIES - 1, -1, -1):
        try:
            result = Renewal(params, run).result()
            break
        except PostfixTlsError as error:
            if not left or "restored" in error.details or not error.item.startswith("chain"):
                raise
            time.sleep(_PAUSE)
    written = [change["path"] for change in result["plan"] if result["changed"]]
    served = "served since the reload" if result["running"] else "to be served once Postfix is started, for it does not run"
    return ["%s: renewed, and %s: %s" % (directory, served, _leaf(name)) for name in written]


def _short(directory: str, params: dict) -> list:
    """Of the files to be renewed, those that end sooner than was asked for, in sentences."""
    asked = params["verify"]["min_days_left"]
    if not asked:
        return []
    told = []
    for entry in [*params["chains"], *(chain for entry in params["sni"] for chain in entry["chains"])]:
        left = min(facts["days_left"] for facts in _facts(entry["certificate_file"]))
        if left < asked:
            told.append("%s: chain %s: served, though it ends %d days from now, and %d were asked for" % (directory, entry["name"], left, asked))
    return told


def _facts(path: str) -> list:
    text = (files.read(path).content or b"").decode("utf-8", "replace")
    return pem.Chain(path, "", tuple(block for label, block in pem.blocks(path, text) if label in pem.CERTIFICATES)).facts()


def _leaf(path: str) -> str:
    facts = _facts(path)[0]
    return "%s (%s, valid until %s, sha256 %s)" % (path, strength.called(facts), facts["not_after"], facts["sha256"])


def _say(level: int, line: str) -> None:
    """Once to the log, by systemd where it reads what is said here; errors to stderr, for what certbot and cron make of that."""
    stream = sys.stderr if level == syslog.LOG_ERR else sys.stdout
    status = os.fstat(stream.fileno())
    if os.environ.get("JOURNAL_STREAM") == "%d:%d" % (status.st_dev, status.st_ino):
        stream.write("<%d>%s\n" % (level, line))
    else:
        syslog.openlog(units.NAME, syslog.LOG_PID, syslog.LOG_MAIL)
        syslog.syslog(level, line)
        stream.write(line + "\n")
    stream.flush()
