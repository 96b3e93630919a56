# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays each configuration on its host, runs the playbooks as a postmaster would, with mail all the while, and keeps what was seen."""
from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from configurations import Configuration
from mail import Traffic, arrived, hold, send, taken, waiting
from place import Partner, Place
from post import wait
from reach import INVENTORY, TOP
from state import faces, services, tree

HERE = Path(__file__).resolve().parents[1]
CONVERGE, ROLLBACK = HERE / "converge.yml", TOP / "playbooks" / "rollback.yml"


@dataclass
class Story:
    """Of one configuration. trees, services, faces: {moment: what was seen}. said: {moment: [what each run's task of postfix_tls returned]}. ended: {moment:
    [whether each run ended well]}. messages: by all ways. held: [(Held, marker, tried: why it waits, as the queue says)]. arrived: {marker: how often}.
    """

    configuration: Configuration
    place: Place
    trees: dict = field(default_factory=dict)
    services: dict = field(default_factory=dict)
    faces: dict = field(default_factory=dict)
    said: dict = field(default_factory=dict)
    ended: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)
    held: list = field(default_factory=list)
    still_held: list = field(default_factory=list)
    arrived: Counter = field(default_factory=Counter)
    traffic: Traffic | None = None

    def look(self, moment: str) -> None:
        self.trees[moment] = tree(self.place)
        self.services[moment] = {directory: services(self.place, directory) for directory in self.configuration.directories}
        self.faces[moment] = faces(self.place, self.configuration)

    def mail(self) -> None:
        """One message by each way, all of which have to be taken at once: nothing is under way."""
        self.messages += [send(self.place, way) for way in self.configuration.ways]

    def hold(self, always: bool) -> None:
        """Sends what has to wait, and has it tried."""
        for held in self.configuration.held:
            if held.always or not always:
                marker = hold(self.place, held)
                before = sum(1 for other, _marker, _why in self.held if other == held)
                why = wait(lambda held=held, before=before: len(found := waiting(self.place, held, True)) > before and found, 20)
                self.held.append((held, marker, why))

    def forget_held(self) -> None:
        """What waits only since the run may go in the clear once it is undone: so it was before."""
        self.still_held = [len(waiting(self.place, held, False)) for held, _marker, _why in self.held]
        for held in self.configuration.held:
            if not held.always:
                for identity, _why in waiting(self.place, held, False):
                    self.place.host.run("postsuper -c %s -d %s" % (held.directory, identity))


@dataclass
class Told:
    """wire: what went over the partner's network card, all the while. notes: what the partner took."""

    stories: dict
    wire: bytes
    notes: list
    seconds: list


def live(stories: list, seconds: list, partner: Partner) -> None:
    """Of configurations on different hosts, side by side."""
    def step(name: str, act: Callable) -> None:
        started = time.monotonic()
        act()
        seconds.append("%-10s %4.1f s" % (name, time.monotonic() - started))
        print(seconds[-1], [story.configuration.name for story in stories], flush=True)

    step("lay", lambda: each(stories, lambda story: story.place.lay(story.configuration)))
    step("before", lambda: each(stories, lambda story: (story.mail(), story.hold(True), story.look("before"))))
    for story in stories:
        story.traffic = Traffic(story.place, story.configuration.ways)
    step("check", lambda: _run(stories, "check", "--check"))
    step("look", lambda: each(stories, lambda story: story.trees.update(check=tree(story.place))))
    step("run", lambda: _run(stories, "run"))
    step("look", lambda: each(stories, lambda story: (story.look("run"), story.hold(False))))
    step("again", lambda: _run(stories, "again"))
    step("look", lambda: each(stories, lambda story: (story.trees.update(again=tree(story.place)), story.forget_held())))
    step("rollback", lambda: _run(stories, "rollback"))
    step("after", lambda: each(stories, lambda story: (story.messages.extend(story.traffic.stop()), story.mail(), story.look("rollback"))))
    step("arrive", lambda: each(stories, lambda story: _gather(story, partner)))


def each(some: list, act: Callable) -> None:
    with ThreadPoolExecutor(len(some)) as pool:
        list(pool.map(act, some))


def _run(stories: list, moment: str, *options: str) -> None:
    """The playbook on all hosts at once, one run for each instance of Postfix; the way back begins with the last one."""
    most = max(len(story.configuration.runs) for story in stories)
    for number in reversed(range(most)) if moment == "rollback" else range(most):
        concerned = [story for story in stories if number < len(story.configuration.runs)]
        results = _play(ROLLBACK if moment == "rollback" else CONVERGE, concerned, number, moment, *options)
        for story in concerned:
            lines = [line for line in results if line["host"] == story.place.host.name]
            own = [line for line in lines if line["action"].endswith("postfix_tls")]
            story.said.setdefault(moment, []).insert(number if moment != "rollback" else 0, own[0]["result"] if own else {"msg": str(lines)[-2000:]})
            story.ended.setdefault(moment, []).append(not any(line["status"] != "ok" for line in lines))


def _play(playbook: Path, stories: list, number: int, moment: str, *options: str) -> list:
    folder = TOP / ".cache" / "lab" / "as_they_are"
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / ("%s-%d.jsonl" % (moment, number))
    results.unlink(missing_ok=True)
    variables = {story.place.host.name: dict(story.configuration.runs[number], starttls_verify_ca_file=story.place.host.vars["lab_ca_file"])
                 for story in stories}
    inventory = folder / "variables.json"
    inventory.write_text(json.dumps({"as_they_are": {"hosts": variables}}), encoding="utf-8")
    environment = {
        **os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"), "ANSIBLE_CALLBACKS_ENABLED": "results",
        "POSTFIX_TLS_RESULTS": str(results), "ANSIBLE_NOCOLOR": "true", "ANSIBLE_FORCE_COLOR": "false",
    }
    command = ["ansible-playbook", "-i", str(INVENTORY / "as_they_are.json"), "-i", str(inventory), str(playbook), "--diff", "--limit",
               ",".join(variables), *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=TOP, env=environment)
    (folder / ("%s-%d.out" % (moment, number))).write_text(done.stdout + done.stderr, encoding="utf-8")
    assert results.exists(), done.stdout + done.stderr
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def _gather(story: Story, partner: Partner) -> None:
    """Waits until all has arrived, here or at the partner; what takes long is looked at as it is."""
    must = {message.marker for message in story.messages if message.accepted}

    def everything() -> bool:
        story.arrived = arrived(story.place) + Counter(note["marker"] for note in taken(partner.host) if note["marker"] in must)
        return must <= set(story.arrived)

    for directory in story.configuration.directories:
        story.place.host.run("postqueue -c %s -f" % directory, check=False)
    if not wait(everything, 30):
        for directory in story.configuration.directories:
            print(story.configuration.name, "is left:\n", story.place.host.run("postqueue -c %s -p; tail -30 /var/log/mail.log" % directory, check=False))
    time.sleep(0.5)
    everything()
