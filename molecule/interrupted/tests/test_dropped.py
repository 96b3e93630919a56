# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection that drops, and a host that loses power, at the steps where Postfix is held, down, or half written: it comes up by itself, serves
one whole configuration, and the next run ends well. With ssh -tt (Ansible's default) the kernel hangs up on all that has the terminal.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import INTENTS, arguments, chain_file
from engine import Engine
from hosts import STATE, container
from reach import INVENTORY, TOP, Host
from test_in_the_way import KEPT, holds, run
from witness import leaf_digest, served

MASTER = "m=$(tr -d ' ' </var/spool/postfix/pid/master.pid); "

#: {step: a command that ends at that step}. Each is looked for by the host itself, a hundred times a second.
STEPS = {
    "held": MASTER + "grep -q '^State:.T' /proc/$m/status",
    "down": "test -e %s/pending/manifest.json && ! pgrep -x master" % KEPT,
    "writing": "test -e %s/pending" % KEPT,
    "proving": "test -e %s/pending/manifest.json && m=$(pgrep -x -o master) && test $m -ne $(cat /run/master-before)" % KEPT,
}

#: A server that is silent after its greeting: whoever delivers to it takes as long as a restart waits for deliveries.
SILENT = (
    "import socket,time; s=socket.socket(); s.setsockopt(1,2,1); s.bind((\"127.0.0.1\",2599)); s.listen(5);"
    "c=[s.accept()[0] for _ in range(1)]; c[0].send(b\"220 x\\r\\n\"); time.sleep(40)"
)


def when(host: Host, step: str) -> None:
    """Returns at that step of a run."""
    seen = host.run("for turn in $(seq 9000); do { %s; } >/dev/null 2>&1 && echo seen && break; sleep 0.01; done" % STEPS[step])
    assert seen == "seen\n", step


def begin(host: Host, intent: str, pipelining: bool, mark: str) -> subprocess.Popen:
    """A run by Ansible, with a connection of its own that does not outlive its client."""
    words = ["ansible", host.name, "-i", str(INVENTORY / "interrupted.json"), "--become", "--module-name", "mailsec.postfix_tls.postfix_tls"]
    environment = {
        **os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_PIPELINING": str(pipelining),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none", **dict([mark.split("=")]),
    }
    return subprocess.Popen([*words, "--args", json.dumps(arguments(host.name, intent))], env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def intent_of(host: Host) -> str:
    return INTENTS[int(host.run("postconf -h smtp_tls_loglevel"))]


def begin_delivery(host: Host) -> None:
    host.run("(exec setsid python3 -c '%s' >/dev/null 2>&1 </dev/null &)" % SILENT)
    host.run("sleep 0.3; printf 'slow' | sendmail -f admin@%s x@slow.test" % host.fqdn)
    host.run("for turn in $(seq 200); do grep -q FLOCK /proc/locks && break; sleep 0.02; done")


def at_rest(host: Host) -> None:
    """Postfix runs and is not held, and nothing of the run does: by itself, for nobody has run anything since."""
    at_rest = host.run(
        "for turn in $(seq 450); do " + MASTER + "if ! pgrep -f '[A]nsiballZ|[B]EGUN = b' >/dev/null && grep -q '^State:.S' /proc/$m/status 2>/dev/null"
        " && pgrep -x qmgr >/dev/null; then echo yes; break; fi; sleep 0.1; done"
    )
    assert at_rest == "yes\n", host.run("ps axo pid,ppid,stat,etimes,cmd; tail -20 /var/log/mail.log")


@pytest.fixture(scope="module")
def slow(hosts):  # a module's, for each step ends in a whole state
    """Mail that is being delivered to a server that is silent, and none afterwards."""
    assert not [result for result in hosts.each(lambda host: run(host, "a")).values() if result.get("failed")]
    hosts.each(lambda host: host.run("postconf -e 'transport_maps = inline:{slow.test=smtp:[127.0.0.1]:2599}'; postfix reload 2>/dev/null"))
    yield
    hosts.each(lambda host: host.run("postconf -X transport_maps; postfix reload 2>/dev/null; postsuper -d ALL 2>/dev/null"))


def meet(host: Host, step: str, end) -> None:
    """A run is ended at a step; what is so by itself then, and after another run."""
    host.run("pgrep -x -o master > /run/master-before")
    old = intent_of(host)
    new = INTENTS[(INTENTS.index(old) + 1) % len(INTENTS)]
    if step == "held":
        begin_delivery(host)
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(when, host, step)
        play = begin(host, new, end.pipelining, end.mark)
        seen.result()
        end(host, play)
    at_rest(host)
    assert served(host) in {leaf_digest(chain_file(host.name, intent)) for intent in (old, new)}, step
    assert host.run("postfix check 2>&1") == ""
    result = run(host, new)
    assert not result.get("failed"), result["msg"]
    holds(host, new)


class Dropped:
    """The client is killed, as a laptop that is shut: no signal of its own goes to the host."""

    def __init__(self, pipelining: bool) -> None:
        self.pipelining = pipelining
        self.mark = "DROPPED=%s" % uuid.uuid4()  # in the environment of all that is killed

    def __call__(self, host: Host, play: subprocess.Popen) -> None:
        for process in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):  # it ended by itself
                if self.mark.encode() in Path("/proc", process, "environ").read_bytes().split(b"\0"):
                    os.kill(int(process), signal.SIGKILL)
        play.wait()


class PowerCut(Dropped):
    """Everything on the host ends at once, and it boots."""

    def __call__(self, host: Host, play: subprocess.Popen) -> None:
        engine = Engine(STATE)
        engine.run("kill", container(host.name))
        super().__call__(host, play)
        engine.run("start", container(host.name))
        ssh, there = host.ssh()[:-1], host.ssh()[-1]
        # The connection that all share would wait minutes for a host that went without a word.
        subprocess.run([*ssh, "-O", "exit", there], capture_output=True, check=False)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if subprocess.run([*ssh, "-o", "ControlPath=none", "-o", "ConnectTimeout=3", there, "true"], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.3)


@pytest.mark.parametrize("step, pipelining", [*((step, False) for step in STEPS), ("held", True)])
def test_postfix_comes_up_whenever_the_connection_drops(hosts, slow, step: str, pipelining: bool) -> None:
    hosts.each(lambda host: meet(host, step, Dropped(pipelining)))


@pytest.mark.parametrize("step", ["writing", "held", "down"])
def test_a_host_that_loses_power_boots_with_one_whole_configuration(hosts, slow, step: str) -> None:
    hosts.each(lambda host: meet(host, step, PowerCut(False)))
