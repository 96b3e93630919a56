# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Postfix as a running service: check, restart, reload, wait, and what it logged meanwhile."""
from __future__ import annotations

import inspect
import os
import re
import shutil
import sys
import time
from typing import Callable

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import drain
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.log import DEFAULT_DIRECTORY, MailLog


#: A Postfix that does not run can't be stopped, and is started all the same.
_STOP_AND_START = 'postfix -c "$0" stop 2>/dev/null; postfix -c "$0" start'

#: One that somebody started by hand, systemd does not stop; and where its unit is masked, it is started by hand again.
_STOP_BY_HAND = 'postfix -c "$0" stop; systemctl restart "$1" || postfix -c "$0" start'

#: Seconds that a delivery may take to end before Postfix is restarted; meanwhile master(8) starts no process, so whoever needs a new one waits.
_DELIVERING = 5

#: How often the time that Postfix may take to come up its commands may take: C(postfix check) and C(postfix start) go through the whole mail
#: queue (postsuper(1)), a restart does so after a stop. At least as many seconds.
_CHECKING, _RESTARTING, _AT_LEAST = 4, 6, 10

#: A unit of its own, out of reach of whoever ends the session that this run came by (logind.conf(5) KillUserProcesses).
_UNIT_OF_ITS_OWN = ["systemd-run", "--scope", "--quiet", "--collect", "--"]

_SYSTEMD = "/run/systemd/system"


class Service:
    """The service manager is found, not configured: systemd where it runs, else the init script, else postfix(1)."""

    def __init__(
        self, run: Run, directory: str, start_timeout: float, taken: Callable[[], list] = list, lock: str | None = None, queue: str | None = None,
    ) -> None:
        """start_timeout: in seconds. taken: what Postfix can't listen on now, in words.

        lock: a file that one restart at a time holds, and that is there. queue: queue_directory, asked for without.
        """
        self._run = run
        self._directory = directory
        self._start_timeout = start_timeout
        self._taken = taken
        self._lock = lock
        self._log = MailLog(run, directory)
        self._before: int | None = None
        self._queue = queue

    def running(self) -> bool:
        """Whether there is a master(8)."""
        return self.master() is not None

    def check(self) -> None:
        """C(postfix check): permissions, directories, parameters that do not parse."""
        status, _out, err = self._run(["postfix", "-c", self._directory, "check"], limit=self._limit(_CHECKING))
        if status != 0:
            raise PostfixTlsError("postfix check", None, _first_line(err), "Its own words are above.", log=self.log())

    def make_live(self, action: str) -> None:
        """action: restart or reload. Returns when the command has, which is before Postfix answers: see wait."""
        if action == "reload" and self.running():
            self._before = None
            self._do("postfix reload", ["postfix", "-c", self._directory, "reload"], self._run)
            return
        self._before = self.master() if action == "restart" else None
        before, (name, command) = self._restart()
        for first in before:
            self._do(" ".join(first[:2]), first, self._run)
        self._do(name, command, self._to_the_end)

    def stop(self) -> None:
        """For a Postfix that was stopped before, and has been started in vain; one that does not run can't be stopped."""
        unit = self._managed()
        self._run(["systemctl", "stop", unit] if unit else ["postfix", "-c", self._directory, "stop"], limit=self._limit(_RESTARTING))

    def _do(self, name: str, command: list, run: Callable) -> None:
        status, _out, err = run(command, limit=self._limit(_RESTARTING))
        if status != 0:
            raise PostfixTlsError(name, None, _first_line(err), "Postfix did not come up.", log=self._why(command))

    def _limit(self, times: int) -> float:
        """Seconds that a command of Postfix may take."""
        return max(times * self._start_timeout, _AT_LEAST)

    def wait(self) -> None:
        """Until master(8) runs, and after a restart a new one; whether its ports answer is for the proof to see."""
        deadline = time.monotonic() + self._start_timeout
        while time.monotonic() < deadline:
            master = self.master()
            if master is not None and master != self._before:
                return
            time.sleep(0.05)
        raise PostfixTlsError(
            "Postfix", None, "it did not come up within %g s" % self._start_timeout, "The log lines say why.", log=self.log(),
        )

    def mark_log(self) -> None:
        """From here on, C(log) tells what was logged."""
        self._log.mark()

    def log(self, most: int = 10) -> list:
        """The last lines since C(mark_log) in which Postfix warns."""
        return self._log.warnings(most)

    def _restart(self) -> tuple:
        """(commands that make way for it, (name, command))."""
        unit = self._managed()
        if unit:
            # systemd counts starts, and after a few in a row it lets a unit lie: then the old state would not come up either.
            first = [["systemctl", "reset-failed", "postfix*.service"]]
            if self.running() and not self._unit():
                return first, ("postfix stop, systemctl restart %s" % unit, ["sh", "-c", _STOP_BY_HAND, self._directory, unit])
            return first, ("systemctl restart %s" % unit, ["systemctl", "restart", unit])
        if self._directory == DEFAULT_DIRECTORY and os.access("/etc/init.d/postfix", os.X_OK):
            return [], ("/etc/init.d/postfix restart", ["/etc/init.d/postfix", "restart"])
        return [], ("postfix start", ["sh", "-c", _STOP_AND_START, self._directory])

    def _managed(self) -> str | None:
        """The unit by which systemd starts this instance; None where it does not."""
        if not os.path.isdir(_SYSTEMD):
            return None
        return self._unit() or ("postfix" if self._directory == DEFAULT_DIRECTORY else None)

    def _why(self, command: list) -> list:
        """Since 3.10 Postfix's own log is not open yet when master(8) finds a port taken, and its word is lost."""
        return [*self._taken(), *(self.log() or self._journal(command))]

    def _journal(self, command: list) -> list:
        """What systemd kept of a start that failed before Postfix could log anything."""
        if "systemctl" not in command:
            return []
        _status, out, _err = self._run(["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=5", "--unit", command[-1]])
        return [line.strip() for line in out.splitlines() if line.strip()]

    def _to_the_end(self, command: list, limit: float) -> tuple:
        """As Run: the same command, once what is being delivered has been noted and no other restart is under way; to its end, whoever dies
        meanwhile, and ended after the limit.
        """
        if self._lock is None:
            return self._run(command, limit=limit)
        arguments = [self._lock, self._queue_directory(), str(self.master() or 0), str(_DELIVERING), "%d" % limit]
        # Isolated: else a file in the working directory that is called as a module of Python would be run by root.
        program = [sys.executable, "-I", "-c", inspect.getsource(drain), *arguments, *command]
        most = 2 * limit + 4 * _DELIVERING  # another restart waited for, the deliveries, the command
        apart = [_UNIT_OF_ITS_OWN] if os.path.isdir(_SYSTEMD) and shutil.which(_UNIT_OF_ITS_OWN[0]) else []
        for way in [*apart, []]:
            status, out, err = self._run([*way, *program], limit=most)
            if status == 0 or drain.BEGUN.decode() in out:
                break
        return status, out, err

    def _unit(self) -> str | None:
        """The unit of systemd that this instance runs in: of several instances, each has its own."""
        try:
            with open("/proc/%d/cgroup" % (self.master() or 0), encoding="utf-8") as file:
                found = re.search(r"/(postfix[^/\n]*\.service)$", file.read(), re.MULTILINE)
        except OSError:
            return None
        return found.group(1) if found else None

    def master(self) -> int | None:
        """The process number of the running master(8); None where none runs. The file outlives it, and the number may be another's by then."""
        try:
            with open(os.path.join(self._queue_directory(), "pid", "master.pid"), encoding="ascii") as file:
                number = int(file.read().strip())
        except (OSError, ValueError):
            return None
        return number if drain.is_master(number) else None

    def _queue_directory(self) -> str:
        if self._queue is None:
            _status, out, _err = self._run(["postconf", "-c", self._directory, "-h", "queue_directory"])
            self._queue = out.strip()
        return self._queue


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if "fatal" in line or "error" in line:
            return line
    return lines[0] if lines else "it failed without a word"
