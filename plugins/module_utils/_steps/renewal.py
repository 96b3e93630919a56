# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What serves renewed certificates between two runs: a program, what it is to renew, and what starts it."""
from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, source, strength
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import DEFAULT_DIRECTORY
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.words import words
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal import bundle, clients, units
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps import sni
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._steps.draft import Draft
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction.files import FileState

NAME = units.NAME
PROGRAM = "/usr/local/sbin/%s" % NAME
#: Within config_directory: what to renew, as the module was asked.
REQUEST = os.path.join("tls", "renewal.json")
_SYSTEMD = "/run/systemd/system"
_UNITS = "/etc/systemd/system"
_CRON = "/etc/cron.daily/%s" % NAME
_CRONS = ("/usr/sbin/cron", "/usr/sbin/crond", "/usr/sbin/anacron", "/usr/sbin/fcron")
_CERTBOT = clients.CERTBOT
_HOOK = "%s/renewal-hooks/deploy/%s" % (_CERTBOT, NAME)

_SCRIPT = "#!/bin/sh\n%sexec %s\n" % (units.MINE, PROGRAM)
#: What enabling a unit makes: a link in the directory of what wants it.
_WANTS = {"directories": "multi-user.target.wants", "linked": "multi-user.target.wants", "timer": "timers.target.wants"}


class _File(NamedTuple):
    """wanted: whether it is to be there, where renewals are. shared: whether all instances have it. content: None for the program."""

    wanted: bool
    shared: bool
    path: str
    content: str | None
    mode: int = 0o644


def shared() -> tuple:
    """The paths of what all instances have in common; it goes with the last one that needs it."""
    return (PROGRAM, "%s/%s.service" % (_UNITS, NAME), "%s/%s.timer" % (_UNITS, NAME), _CRON, _HOOK)


def is_unit(path: str) -> bool:
    """Whether it is one of an instance, or a part of one."""
    return path.startswith(("%s/%s-" % (_UNITS, NAME), "%s/%s.service.d/" % (_UNITS, NAME)))


def needed_elsewhere(run: Run, directory: str) -> bool:
    """Whether another instance than that of this directory has something to renew."""
    return any(os.path.exists(os.path.join(other, REQUEST)) for other in instances(run) if os.path.realpath(other) != os.path.realpath(directory))


def write(draft: Draft) -> None:
    """Raises PostfixTlsError where there is nothing to renew, or no way to start the program."""
    if draft.intent.renewal is None:
        return
    request = _request(draft)
    chains = request["chains"] + [chain for entry in request["sni"] for chain in entry["chains"]]
    if draft.intent.renewal:
        _review(draft, chains)
    obsolete = []
    for file in _files(draft.host.directory, request, chains):
        if draft.intent.renewal and file.wanted:
            content = _program(draft) if file.content is None else file.content.encode()
            draft.add(file.path, FileState(content, file.mode), secret=file.content is None, describe=_described if file.content is None else None)
        elif os.path.lexists(file.path):
            obsolete.append(file)
    if obsolete:
        last = not needed_elsewhere(draft.host.run, draft.host.directory)
        for file in obsolete:
            if last or not file.shared:
                draft.drop(file.path)
    draft.proposal.renewal = draft.intent.renewal or bool(obsolete)


def _files(directory: str, request: dict, chains: list) -> list:
    """Every file there can be of an instance's renewals, and whether it is to be there for these chains."""
    sources, systemd = _sources(chains), os.path.isdir(_SYSTEMD)
    watched = units.watched(sources)
    exceptions = units.exceptions(sources, {chain["directory"] or os.path.join(directory, "tls") for chain in chains})
    unit = {kind: os.path.join(_UNITS, name) for kind, name in units.names(directory).items()}
    return [
        _File(True, True, PROGRAM, None, 0o755),
        _File(True, False, os.path.join(directory, REQUEST), json.dumps(request, indent=2, sort_keys=True) + "\n"),
        _File(systemd, True, unit["service"], units.service(PROGRAM)),
        _File(systemd and bool(exceptions), False, "%s.d/%s.conf" % (unit["service"], units.escaped(directory)), exceptions),
        _File(systemd, True, unit["timer"], units.timer()),
        _File(systemd, False, unit["directories"], units.path(directory, watched.directories)),
        _File(systemd and bool(watched.linked), False, unit["linked"], units.path(directory, watched.linked)),
        _File(not systemd, True, _CRON, _SCRIPT, 0o755),
        _File(any(source.startswith(_CERTBOT + "/") for source in sources), True, _HOOK, _SCRIPT, 0o755),
    ]


def shared_files(directory: str, request: bytes) -> dict:
    """{path: state} of what all instances share, as this release makes it, for the renewals of one. Raises PostfixTlsError."""
    try:
        asked = json.loads(request)
        chains = asked["chains"] + [chain for entry in asked["sni"] for chain in entry["chains"]]
    except (ValueError, KeyError, TypeError):
        raise PostfixTlsError(os.path.join(directory, REQUEST), None, "it can't be read", "Run the playbook again; it writes this file.") from None
    made = [file for file in _files(directory, asked, chains) if file.wanted and file.shared]
    program = bundle.bundle(bundle.interpreter())
    return {file.path: FileState(program if file.content is None else file.content.encode(), file.mode) for file in made}


def _sources(chains: list) -> list:
    return [chain[kind] for chain in chains for kind in ("key_file", "certificate_file")]


def _program(draft: Draft) -> bytes:
    python = bundle.interpreter()
    if not bundle.lasting(python):
        draft.note(
            "renewal", "the renewal program is started by %s, which an upgrade of the system may take away" % python, "/usr/bin/python3, of 3.9 or newer",
            "install it; after an upgrade run the playbook again", "PEP 394",
        )
    return bundle.bundle(python)


def _review(draft: Draft, chains: list) -> None:
    """Refuses what can't be renewed, and tells what stands in the way of renewals to come."""
    if not chains:
        raise PostfixTlsError(
            "renewal", True, "no chain comes from files on this host, so there is nothing to renew",
            "Give key_file and certificate_file (tls_certificate_source: remote or acme), or leave renewal out.",
        )
    sources = _sources(chains)
    watched = units.watched(sources)
    for name in (*sources, *watched.directories, *watched.linked):
        if not name.isprintable() or not os.path.isabs(name) or name != name.strip() or name.endswith("\\"):
            raise PostfixTlsError(
                "renewal", repr(name), "no unit of systemd could watch a file of that name", "Name it by a whole path of printable characters.",
            )
    if not os.path.isdir(_SYSTEMD) and not any(map(os.path.exists, _CRONS)):
        draft.note(
            "renewal", "there is neither systemd nor cron, so nothing looks daily for renewed files", "a daily start of %s" % PROGRAM,
            "install cron or anacron, or start it from what renews the files", "systemd.timer(5), crontab(5)",
        )
    for chain in chains:
        facts = _earliest(chain)
        for obstacle in clients.obstacles(chain["certificate_file"], facts, strength.share_left(facts)):
            draft.note("renewal", "chain %s: %s" % (chain["name"], obstacle.observed), *obstacle[1:], "certbot(1)")
    folder = os.path.join(draft.host.directory, "tls")
    named = draft.main.text() + draft.master.text()
    for lineage in clients.left_over(folder, lambda path: path in named or path in draft.to_come, sources):
        draft.note(
            "renewal", "%s/%s.pem is served by nothing that main.cf or master.cf names, and certbot goes on renewing its certificate" % (folder, lineage),
            "what is renewed is served", "certbot delete --cert-name %s, and remove the file, which holds a key" % lineage, "certbot(1)",
        )


def _earliest(chain: dict) -> dict:
    """Facts of the certificate in a chain's file that ends first."""
    item, path = "chain %s" % chain["name"], chain["certificate_file"]
    blocks = [block for label, block in pem.blocks(item, source.text(item, path)) if label in pem.CERTIFICATES]
    return min(pem.Chain(chain["name"], "", tuple(blocks)).facts(), key=lambda facts: facts["not_after"])


def settle(run: Run, directory: str) -> list:
    """systemd is told of units that are new, changed or gone. Findings, as a plan has them. Raises PostfixTlsError where it refuses."""
    if not os.path.isdir(_SYSTEMD):
        return []
    names = units.names(directory)
    present = [name for name in names.values() if os.path.exists(os.path.join(_UNITS, name))]
    gone = [names[kind] for kind, wants in _WANTS.items() if names[kind] not in present and os.path.lexists(os.path.join(_UNITS, wants, names[kind]))]
    for name in gone:
        run(["systemctl", "stop", name])
        run(["systemctl", "reset-failed", name])
        for kind, wants in _WANTS.items():
            if names[kind] == name:
                os.unlink(os.path.join(_UNITS, wants, name))
    with suppress(OSError):  # it is there for as long as an instance has something in it
        os.rmdir(os.path.join(_UNITS, names["service"] + ".d"))
    states = _states(run, present)
    to_start = [name for name in present if name != names["service"] and (states[name]["ActiveState"] != "active" or _stale(states[name]))]
    if gone or to_start or any(map(_stale, states.values())):
        _settled(run, ["systemctl", "daemon-reload"])
    if to_start:
        _settled(run, ["systemctl", "enable", "--quiet", *to_start])
        _settled(run, ["systemctl", "restart", *to_start])
    if states.get(names["service"], {}).get("ActiveState") != "failed":
        return []
    run(["systemctl", "start", "--no-block", names["service"]])  # it waits for this run to end; what it failed for may be mended
    return [_FAILED]


#: As Draft.note makes it.
_FAILED = {
    "check": "renewal", "verdict": "note", "observed": "the renewal program failed when it was started last", "expected": "%s.service without failure" % NAME,
    "fix": "journalctl -u %s says why; it is tried again now, daily, and when a file changes" % NAME, "reference": "systemctl(1)",
}


def _states(run: Run, names: list) -> dict:
    """{unit: {property: value}}, asked all at once."""
    if not names:
        return {}
    _status, out, _err = run(["systemctl", "show", "--property=Id,ActiveState,NeedDaemonReload", *names])
    told = [dict(line.split("=", 1) for line in part.splitlines() if "=" in line) for part in out.split("\n\n")]
    known = {state["Id"]: state for state in told if "Id" in state}
    return {name: {"ActiveState": "", "NeedDaemonReload": "", **known.get(name, {})} for name in names}


def _stale(state: dict) -> bool:
    """Whether systemd has another text of the unit than its file."""
    return state["NeedDaemonReload"] == "yes"


def _settled(run: Run, command: list) -> None:
    status, _out, err = run(command)
    if status:
        name = command[-1]
        raise PostfixTlsError(name, None, "systemd does not start it (%s)" % err.strip(), "systemctl status %s says more." % name)


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


def _described(state: FileState) -> str:
    return "" if state.content is None else "a program of %d bytes, mode %04o\n" % (len(state.content), state.mode)
