# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, as root: swaps what is behind watched files, and counts the swaps that systemd noticed. stdin: {"units": {name: text}, "times": number}.

The units are ours but for the service that they start, which only counts.
"""
import json
import os
import subprocess
import sys
import time

TOP = "/srv/watched"
SEEN = "/run/watched-seen"
SERVICE = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo >> %s'\n" % SEEN


def systemctl(*words):
    return subprocess.run(["systemctl", *words], stdout=subprocess.PIPE, universal_newlines=True, check=False).stdout


def count():
    with open(SEEN) as file:
        return file.read().count("\n")


def layouts():
    """As clients keep files: two generations of each beside one another."""
    for name in ("plain", "live", "archive0", "archive1", "certs/mx-history/0", "certs/mx-history/1", "secret/..0", "secret/..1", "store/0", "store/1"):
        os.makedirs("%s/%s" % (TOP, name))
    for folder in ("plain", "archive0", "archive1", "certs/mx-history/0", "certs/mx-history/1", "secret/..0", "secret/..1", "store/0", "store/1"):
        write("%s/%s/key.pem" % (TOP, folder))
    os.symlink("../archive0/key.pem", TOP + "/live/key.pem")       # certbot, dehydrated: the file is a link
    os.symlink("mx-history/0", TOP + "/certs/mx")                   # YunoHost: its directory is one
    os.symlink("..0", TOP + "/secret/..data")                       # Kubernetes: a link to a link
    os.symlink("..data/key.pem", TOP + "/secret/key.pem")
    os.symlink(TOP + "/store/0", TOP + "/opt")                      # an absolute one, on top of all


def write(path):
    with open(path, "w") as file:
        file.write(str(time.time()))


#: {how it is kept: (the link that is swapped, where to by turns, the file that is watched)}
LINKS = {
    "file": ("live/key.pem", "../archive%d/key.pem", "live/key.pem"),
    "directory": ("certs/mx", "mx-history/%d", "certs/mx/key.pem"),
    "links": ("secret/..data", "..%d", "secret/key.pem"),
    "absolute": ("opt", TOP + "/store/%d", "opt/key.pem"),
}


def unlink_and_symlink(link, target):
    os.unlink(link)
    os.symlink(target, link)


def renamed(link, target):
    os.symlink(target, link + ".new")
    os.rename(link + ".new", link)


METHODS = {
    "unlink": unlink_and_symlink,
    "ln -sfn": lambda link, target: subprocess.run(["ln", "-sfn", target, link], check=True),
    "rename": renamed,
}


def renamed_file(path):
    write(path + ".new")
    os.rename(path + ".new", path)


def unlinked_file(path):
    os.unlink(path)
    write(path)


def actions():
    """(how it is kept, by what method, what to do at a turn)"""
    for kept, (link, target, _file) in LINKS.items():
        for method, swap in METHODS.items():
            yield kept, method, lambda turn, swap=swap, link=link, target=target: swap("%s/%s" % (TOP, link), target % (turn % 2))
    for kept, file in [("plain", "plain/key.pem"), *((kept, file) for kept, (_link, _target, file) in LINKS.items())]:
        yield kept, "in place", lambda _turn, file=file: write("%s/%s" % (TOP, file))
    for method, change in (("rename", renamed_file), ("unlink", unlinked_file)):
        yield "plain", method, lambda _turn, change=change: change(TOP + "/plain/key.pem")


def main():
    asked = json.load(sys.stdin)
    layouts() if not asked["units"] else None
    if not asked["units"]:
        return
    write(SEEN)
    for name, text in dict(asked["units"], **{"watched.service": SERVICE}).items():
        with open("/run/systemd/system/" + name, "w") as file:
            file.write(text)
    units = list(asked["units"])
    systemctl("daemon-reload")
    systemctl("start", *units)
    noticed = {}
    for kept, method, act in actions():
        noticed["%s, %s" % (kept, method)] = sum(was_noticed(act, turn, units) for turn in range(1, asked["times"] + 1))
    systemctl("stop", *units)
    print(json.dumps(noticed))


def was_noticed(act, turn, units):
    before, deadline = count(), time.monotonic() + 2
    act(turn)
    while count() == before and time.monotonic() < deadline:
        time.sleep(0.02)
    seen = count() > before
    while "running" in systemctl("show", "--property=SubState", *units) and time.monotonic() < deadline + 5:
        time.sleep(0.02)
    time.sleep(0.1)
    return seen


main()
