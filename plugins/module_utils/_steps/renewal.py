# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What serves renewed certificates between two runs: a program, what it is to renew, and what starts it."""
from __future__ import annotations

import json
import os

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal.bundle import bundle
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import DEFAULT_DIRECTORY
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import sni
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

NAME = "postfix-tls-renew"
PROGRAM = "/usr/local/sbin/%s" % NAME
#: Within config_directory: what to renew, as the module was asked.
REQUEST = os.path.join("tls", "renewal.json")
_SYSTEMD = "/run/systemd/system"
_UNITS = "/etc/systemd/system"
_CRON = "/etc/cron.daily/%s" % NAME
_CRONS = ("/usr/sbin/cron", "/usr/sbin/crond", "/usr/sbin/anacron", "/usr/sbin/fcron")
_CERTBOT = "/etc/letsencrypt"
_HOOK = "%s/renewal-hooks/deploy/%s" % (_CERTBOT, NAME)
_MINE = "# Written by mailsec.postfix_tls; what is changed here by hand is overwritten.\n"

_SCRIPT = "#!/bin/sh\n%sexec %s\n" % (_MINE, PROGRAM)
_SERVICE = _MINE + """[Unit]
Description=Serve renewed certificates in Postfix
After=postfix.service

[Service]
Type=oneshot
ExecStart=%s
StandardError=null
""" % PROGRAM
_TIMER = _MINE + """[Unit]
Description=Look daily whether Postfix serves renewed certificates

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=true

[Install]
WantedBy=timers.target
"""
_PATH = _MINE + """[Unit]
Description=Watch the certificates that Postfix serves (%s)

[Path]
%sUnit=%s.service

[Install]
WantedBy=multi-user.target
"""


#: What all instances have in common; it goes with the last one that needs it.
SHARED = (PROGRAM, "%s/%s.service" % (_UNITS, NAME), "%s/%s.timer" % (_UNITS, NAME), _CRON, _HOOK)


def is_path_unit(path: str) -> bool:
    return path.startswith("%s/%s-" % (_UNITS, NAME)) and path.endswith(".path")


def needed_elsewhere(run: Run, directory: str) -> bool:
    """Whether another instance than that of this directory has something to renew."""
    return any(os.path.exists(os.path.join(other, REQUEST)) for other in instances(run) if os.path.realpath(other) != os.path.realpath(directory))


def write(draft: Draft) -> None:
    """Raises PostfixTlsError where there is nothing to renew, or no way to start the program."""
    path = os.path.join(draft.host.directory, REQUEST)
    if draft.intent.renewal is None or not draft.intent.renewal and not os.path.exists(path):
        return
    request = _request(draft)
    asked = request["chains"] + [chain for entry in request["sni"] for chain in entry["chains"]]
    sources = [chain[kind] for chain in asked for kind in ("key_file", "certificate_file")]
    if draft.intent.renewal and not sources:
        raise PostfixTlsError(
            "renewal", True, "no chain comes from files on this host, so there is nothing to renew",
            "Give key_file and certificate_file (tls_certificate_source: remote or acme), or leave renewal out.",
        )
    for source in sources:
        if not source.isprintable() or not os.path.isabs(source):
            raise PostfixTlsError(
                "renewal", repr(source), "no unit of systemd could watch a file of that name", "Name it by a whole path of printable characters.",
            )
    if draft.intent.renewal and not os.path.isdir(_SYSTEMD) and not any(map(os.path.exists, _CRONS)):
        draft.note(
            "renewal", "there is neither systemd nor cron, so nothing looks daily for renewed files", "a daily start of %s" % PROGRAM,
            "install cron or anacron, or start it from what renews the files", "systemd.timer(5), crontab(5)",
        )
    last = not needed_elsewhere(draft.host.run, draft.host.directory)
    draft.proposal.renewal = True
    for wanted, shared, name, text, mode in (
        (True, True, PROGRAM, None, 0o755),
        (True, False, path, json.dumps(request, indent=2, sort_keys=True) + "\n", 0o644),
        (os.path.isdir(_SYSTEMD), True, "%s/%s.service" % (_UNITS, NAME), _SERVICE, 0o644),
        (os.path.isdir(_SYSTEMD), True, "%s/%s.timer" % (_UNITS, NAME), _TIMER, 0o644),
        (os.path.isdir(_SYSTEMD), False, _path_unit(draft.host.directory), _PATH % (
            draft.host.directory, "".join("PathChanged=%s\n" % source.replace("%", "%%") for source in sources), NAME), 0o644),
        (not os.path.isdir(_SYSTEMD), True, _CRON, _SCRIPT, 0o755),
        (any(source.startswith(_CERTBOT + "/") for source in sources), True, _HOOK, _SCRIPT, 0o755),
    ):
        if draft.intent.renewal and wanted:
            content = bundle() if text is None else text.encode()
            draft.add(name, FileState(content, mode), secret=text is None, describe=_described if text is None else None)
        elif not draft.intent.renewal and os.path.exists(name) and (last or not shared):
            draft.drop(name)


def settle(run: Run, directory: str) -> None:
    """systemd is told of units that are there and not at work, and of those that are gone. Raises PostfixTlsError where it refuses."""
    if not os.path.isdir(_SYSTEMD):
        return
    for unit, wants in ((_path_unit(directory), "multi-user.target.wants"), ("%s/%s.timer" % (_UNITS, NAME), "timers.target.wants")):
        name = os.path.basename(unit)
        link = os.path.join(_UNITS, wants, name)
        if os.path.exists(unit):
            status, _out, _err = run(["systemctl", "is-active", "--quiet", name])
            if status:
                run(["systemctl", "daemon-reload"])
                status, _out, err = run(["systemctl", "enable", "--now", name])
            if status:
                raise PostfixTlsError(name, None, "systemd does not start it (%s)" % err.strip(), "systemctl status %s says more." % name)
        elif os.path.lexists(link):
            run(["systemctl", "stop", name])
            run(["systemctl", "reset-failed", name])
            os.unlink(link)
            run(["systemctl", "daemon-reload"])


def instances(run: Run) -> list:
    """The configuration directories of all instances (postconf(5) multi_instance_directories); none where there is no Postfix."""
    try:
        _status, out, _err = run(["postconf", "-c", DEFAULT_DIRECTORY, "-h", "multi_instance_directories"])
    except FileNotFoundError:
        return []
    return [DEFAULT_DIRECTORY, *words(out.strip(), ", \t\n")]


def _request(draft: Draft) -> dict:
    intent = draft.intent
    named = [{"names": entry["names"], "chains": _on_host(sni.chains_of(entry))} for entry in intent.sni or ()]
    return {
        "chains": _on_host(intent.chains),
        "sni": [entry for entry in named if entry["chains"]],
        "self_signed": intent.self_signed,
        "profiles": {side: name for side, name in intent.profiles.items() if side == "smtpd"},
        "verify": {"names": intent.names, "ca_file": intent.ca_file, "min_days_left": intent.min_days_left, "timeout": 10.0, "start_timeout": 30.0},
    }


def _on_host(chains: list) -> list:
    """Those that come from files on this host, as they were asked for."""
    kept = ("name", "key_file", "certificate_file", "directory", "keep_root")
    return [{name: chain.get(name) for name in kept} for chain in chains if chain.get("key_file") and chain.get("certificate_file")]


def _path_unit(directory: str) -> str:
    return "%s/%s-%s.path" % (_UNITS, NAME, directory.strip("/").replace("/", "-"))


def _described(state: FileState) -> str:
    return "" if state.content is None else "a program of %d bytes, mode %04o\n" % (len(state.content), state.mode)
