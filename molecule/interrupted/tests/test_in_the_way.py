# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that finds a full disk, a read-only or an immutable file, another run, or loses its controller: each time Postfix goes on
serving a whole configuration, the error names item, reason and remedy, and the next run ends well."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import PLACE, arguments, chain_file, fed
from reach import INVENTORY, Host
from witness import leaf_digest, served, tree

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
KEPT = "/var/lib/mailsec-postfix_tls/etc-postfix"
MAIN = "/etc/postfix/main.cf"
SMALL = "/srv/small"
FILLED = "mount -t tmpfs -o size=16k,mode=755 small {0}; cp -a {1} {0}/; dd if=/dev/zero of={0}/fill bs=1k 2>/dev/null || :"

#: chattr, which not every host has: FS_IOC_SETFLAGS with FS_IMMUTABLE_FL, or without.
FLAGS = "python3 -c 'import fcntl,struct; fcntl.ioctl(open(\"%s\"), 0x40086602, struct.pack(\"l\", %d))'"


class Way(NamedTuple):
    """What stands in it, how it is put there and taken away, and what is told: item, reason and remedy."""

    name: str
    put: str
    taken: str
    told: tuple


WAYS = (
    Way("no room for the kept state",
        "mkdir -p {0}; mount -t tmpfs -o size=8k,mode=700 kept {0}; dd if=/dev/zero of={0}/fill bs=1k 2>/dev/null || :".format(KEPT),
        "umount " + KEPT, (KEPT, "No space left on device", "Free some space", "Nothing was changed")),
    Way("the kept state on a read-only file system", "mkdir -p {0}; mount --bind {0} {0}; mount -o remount,bind,ro {0}".format(KEPT),
        "umount " + KEPT, (KEPT, "Read-only file system", "mount it writable", "Nothing was changed")),
    Way("no room for main.cf", "mkdir -p {0}; {1}; mv {2} /srv/main.cf; ln -s {0}/main.cf {2}".format(SMALL, FILLED.format(SMALL, MAIN), MAIN),
        "rm {1}; mv /srv/main.cf {1}; umount {0}".format(SMALL, MAIN), (MAIN, "No space left on device", "Free some space", "The old state is back")),
    Way("configuration on a read-only file system", "mount --bind /etc/postfix /etc/postfix; mount -o remount,bind,ro /etc/postfix",
        "umount /etc/postfix", ("/etc/postfix/", "Read-only file system", "mount it writable", "Nothing was changed")),
    Way("main.cf immutable", FLAGS % (MAIN, 0x10), FLAGS % (MAIN, 0), (MAIN, "it is immutable", "chattr -i", "nothing was changed")),
    Way("main.cf a mount point", "cp -a {0} /srv/main.cf; mount --bind /srv/main.cf {0}".format(MAIN), "umount " + MAIN,
        (MAIN, "a mount point of its own", "Mount the directory /etc/postfix", "nothing was changed")),
)


def run(host: Host, intent: str) -> dict:
    """What the module returned."""
    return json.loads(fed(host, "cd %s; python3 -B dying.py 0 || :" % PLACE, json.dumps(arguments(host.name, intent)).encode()))


def holds(host: Host, intent: str) -> None:
    """The state is that of this intent entirely, and nothing is left lying."""
    assert served(host) == leaf_digest(chain_file(host.name, intent))
    expected = arguments(host.name, intent)
    assert host.run("postconf -h smtp_tls_loglevel").strip() == str(expected["parameters"]["smtp_tls_loglevel"])
    assert expected["policy"]["destinations"][0]["destination"] in host.run("cat /etc/postfix/tls_policy")
    assert host.run("ls " + KEPT).split() in (["lock", "previous"], ["lock", "older", "previous"])
    assert host.run("postfix check 2>&1; find /etc/postfix -name '*.postfix_tls'") == ""


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_stands_in_the_way_is_told_with_its_remedy_and_nothing_has_changed(hosts, way: Way) -> None:
    def meet(host: Host) -> tuple:
        assert not run(host, "a").get("failed")
        host.run("set -e; " + way.put)
        try:
            before = tree(host), served(host)
            result = run(host, "b")
            after = tree(host), served(host)
        finally:
            host.run("set -e; " + way.taken)
        then = run(host, "b")
        holds(host, "b")
        return result, before, after, then

    for name, (result, before, after, then) in hosts.each(meet).items():
        assert result.get("failed"), (name, result)
        assert [words for words in way.told if words not in result["msg"]] == [], (name, result["msg"])
        assert after == before, name
        assert not then.get("failed") and then["changed"], (name, then)


def test_of_two_runs_at_once_one_waits_and_the_state_is_one_of_the_two_entirely(hosts) -> None:
    def meet(host: Host) -> list:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda intent: run(host, intent), "ca"))

    for name, results in hosts.each(meet).items():
        assert not [result["msg"] for result in results if result.get("failed")], name
        assert [result["changed"] for result in results] == [True, True], name
    hosts.each(lambda host: holds(host, "c" if host.run("postconf -h smtp_tls_loglevel").strip() == "2" else "a"))


def test_a_killed_controller_leaves_whole_configurations_and_the_next_run_ends_well(hosts) -> None:
    hosts.each(lambda host: run(host, "a"))
    before = hosts.each(tree)
    command = ["ansible-playbook", "-i", str(INVENTORY / "interrupted.json"), str(CONVERGE), "-e", json.dumps({"smtp_tls_loglevel": 3})]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as play:
        begun = hosts.all[0].run("for turn in $(seq 600); do ls %s/pending/manifest.json 2>/dev/null && break; sleep 0.02; done" % KEPT)
        os.killpg(play.pid, signal.SIGKILL)
    assert begun, "the run was killed before it had begun"
    deadline = time.monotonic() + 60
    while set(hosts.each(lambda host: host.run("pgrep -f 'AnsiballZ|python3 -$' | head -1")).values()) != {""} and time.monotonic() < deadline:
        time.sleep(0.2)
    deployed = {host.name: leaf_digest(host.vars["lab_chain_file"]) for host in hosts.all}
    for name, now in hosts.each(served).items():
        assert now in (leaf_digest(chain_file(name, "a")), deployed[name]), name
    assert set(hosts.each(lambda host: host.run("postfix check 2>&1")).values()) == {""}
    hosts.each(lambda host: run(host, "b"))
    hosts.each(lambda host: holds(host, "b"))
    assert hosts.each(tree) != before
