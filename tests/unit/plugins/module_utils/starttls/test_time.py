# SPDX-License-Identifier: GPL-3.0-or-later
"""What slow servers cost: each has its own time, of which neither others nor its own greeting take anything away.

The servers are fakes, because no real one is slow on demand.
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls import crowd
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.checks import judge
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.expectation import Expectation
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from issuing import issue
from servers import Behaviour, MailServer

NAME = "mx.example.org"
ROOT = issue("root", authority=True)
LEAF = issue(NAME, ROOT)
#: Of a process that imports the collection as this one does.
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}


def see(behaviour: Behaviour, timeout: float) -> tuple:
    """(facts, seconds)"""
    with MailServer(behaviour) as server:
        began = time.monotonic()
        facts = probe(Target("127.0.0.1", server.port, server_name=NAME), Look(ca_content=ROOT.pem, timeout=timeout))
        return facts, time.monotonic() - began


def test_a_server_that_pauses_before_each_greeting_is_seen_whole() -> None:
    """As sendmail's greet_pause, Exim's delay in acl_smtp_connect and postscreen_greet_wait: longer together than all there is."""
    facts, seconds = see(Behaviour(chain=LEAF, pause=0.4), 1.5)
    assert seconds > 1.5, "it did not pause for long enough to prove anything"
    assert {finding["check"]: finding["observed"] for finding in judge(facts, Expectation()) if finding["verdict"] != "pass"} == {}


@pytest.mark.parametrize("pause, limit", [(30, 1.5), (0.9, 4.0)])
def test_a_server_that_never_greets_or_hardly_is_left_all_the_same(pause: float, limit: float) -> None:
    facts, seconds = see(Behaviour(chain=LEAF, pause=pause), 1.0)
    assert seconds < limit and facts["reachable"] is (pause < 1)


@pytest.mark.parametrize("protocol", ["smtp", "smtps"])
def test_what_speaks_tls_and_then_says_nothing_is_told_and_leaves_time_for_all_other_questions(protocol: str) -> None:
    """As an HTTPS server does, or one whose backend hangs."""
    hold = threading.Event()
    behaviour = Behaviour(chain=LEAF, after_handshake=lambda: hold.wait(10), implicit=protocol == "smtps", banner=b"")
    if protocol == "smtp":
        behaviour.banner = Behaviour.banner
    with MailServer(behaviour) as server:
        facts = probe(Target("127.0.0.1", server.port, protocol, NAME), Look(ca_content=ROOT.pem, timeout=3.0))
        hold.set()
    assert (facts["tls"]["handshake"], facts["certificates"][0]["sha256"]) == ("unknown", LEAF.sha256)
    assert re.match("no time was left for (replying to EHLO|sending its banner): .*, and half of what was left", facts["tls"]["reason"])
    assert {name: answer["verdict"] for name, answer in facts["tls"]["versions"].items()} == {
        "SSLv3": "refused", "TLSv1": "refused", "TLSv1.1": "refused", "TLSv1.2": "accepted", "TLSv1.3": "accepted"}


MANY = """
import json, resource, sys
asked = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_NOFILE, (asked["files"], asked["files"]))
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe_all
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
seen = probe_all([Target(**target) for target in asked["targets"]], Look(**asked["look"]), asked["concurrency"])
print(json.dumps([[facts["error"], *[answer["reason"] for answer in facts["tls"]["versions"].values()]] for facts in seen]))
"""


def test_any_concurrency_is_as_many_as_may_open_connections_and_each_target_has_all_of_its_time() -> None:
    """70 targets that pause, 500 at a time, by a process that may open 128 files, of which 32 targets take all."""
    with MailServer(Behaviour(chain=LEAF, pause=0.2)) as server:
        asked = {
            "targets": [{"host": "127.0.0.1", "port": server.port, "server_name": NAME}] * 70, "concurrency": 500, "files": 128,
            "look": {"ca_content": ROOT.pem, "timeout": 10.0, "depth": "versions"},
        }
        done = subprocess.run([sys.executable, "-c", MANY], input=json.dumps(asked), capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert {facts[0] for facts in seen} == {None} and not [reason for facts in seen for reason in facts[1:] if "time" in reason or "files" in reason]


def test_no_more_are_begun_while_this_process_is_late() -> None:
    """The clock stands still or jumps, by which it is told how late whoever waited was woken."""
    inside, most, hold = [0], [0], threading.Event()
    lock = threading.Lock()

    def act(_item: object) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        if inside[0] == 60:
            hold.set()
        hold.wait(20)
        with lock:
            inside[0] -= 1

    for clock, seconds, expected in ((iter(range(10 ** 6)).__next__, 0.5, crowd.AT_ONCE), (lambda: 0, 15, 60)):
        hold.clear()
        most[0] = 0
        threading.Timer(seconds, hold.set).start()
        crowd.side_by_side(act, [None] * 60, 60, clock)
        assert most[0] == expected


def test_what_is_asked_for_is_bounded_by_what_may_be_opened_and_one_is_always_possible(monkeypatch) -> None:
    for files, expected in ((10 ** 6, crowd.MOST), (240, 40), (1, 1)):
        monkeypatch.setattr(crowd, "_files", lambda files=files: files)
        assert (crowd.room(500), crowd.room(1)) == (expected, 1)


def test_results_stand_in_the_order_of_targets_and_an_error_is_raised() -> None:
    assert crowd.side_by_side(lambda number: time.sleep(0.01 * (5 - number)) or number, list(range(5)), 3) == list(range(5))
    with pytest.raises(ZeroDivisionError):
        crowd.side_by_side(lambda number: 1 / number, [1, 0, 2], 1)
