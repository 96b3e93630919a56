# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from typing import Iterator

import pytest
from capture import Capture
from configurations import CONFIGURATIONS, waves
from mail import taken
from place import Partner, Place
from reach import INVENTORY, Host
from story import Story, Told, each, live


@pytest.fixture(scope="session")
def told() -> Iterator[Told]:
    everybody = [Place(Host(name)) for name in json.loads((INVENTORY / "as_they_are.json").read_text(encoding="utf-8"))["as_they_are"]["hosts"]]
    places = {place.host.name: place for place in everybody}
    partner = Partner(places.pop("w-partner"), [place.host for place in everybody])
    wanted = (os.environ.get("CONFIGURATIONS") or " ".join(one.name for one in CONFIGURATIONS)).split()
    partner.start()
    in_use = {one.host for one in CONFIGURATIONS if one.name in wanted}
    each([place for name, place in places.items() if name in in_use], lambda place: place.furnish(partner.address))
    if "w-forky" in in_use:
        places["w-forky"].more_addresses()
    capture = Capture(partner.host, "tcp and (port 25 or port 587)", "eth0")
    stories, seconds = {}, []
    for wave in waves():
        chosen = [Story(one, places[one.host]) for one in wave if one.name in wanted]
        if chosen:
            stories.update((story.configuration.name, story) for story in chosen)
            live(chosen, seconds, partner)
    yield Told(stories, capture.stop(), taken(partner.host), seconds)


@pytest.fixture(params=[one.name for one in CONFIGURATIONS])
def story(request: pytest.FixtureRequest, told: Told) -> Story:
    if request.param not in told.stories:
        pytest.skip("not asked for")  # only where CONFIGURATIONS names some; without it all are
    return told.stories[request.param]
