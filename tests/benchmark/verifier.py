# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at one host costs, beside what others take for theirs: all at the same server, in turn, from the same machine.

One server is Postfix as Debian installs it, with a chain of each algorithm, so that there is something to enumerate; nobody trusts either
chain, which costs our pass a connection more. The other is Exim, as Debian builds it with GnuTLS, with the versions it has by default and two chains.
"""
from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Callable, Iterator, NamedTuple

from faults import BY_NAME
from figures import ENVIRONMENT, TOP, Figure, look, timed
from mailservers import BY_SERVER, NAME
from reach import Host
from running import running

ROUNDS = 5
SSLYZE = "sslyze ~= 6.3"  # it ties cryptography to an older release than the lab's, so it has a place of its own
PLACE = TOP / ".cache" / "peers" / "sslyze"

_STANDARD, _FULL, _FINGER, _SSLSCAN, _SSLYZE, _CALL = (
    "standard pass", "full enumeration", "posttls-finger on the host itself", "sslscan", "sslyze", "ansible call of starttls_verify")

_STOCK = """set -eu
[ -e /etc/postfix-before-benchmark ] || mv /etc/postfix /etc/postfix-before-benchmark
rm -rf /etc/postfix
cp -a /usr/local/share/postfix-as-installed /etc/postfix
cd /etc/postfix
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ec.key -out ec.pem -subj /CN=%s -days 2 2>/dev/null
postconf -e smtpd_tls_eccert_file=/etc/postfix/ec.pem smtpd_tls_eckey_file=/etc/postfix/ec.key
postfix reload"""
_AS_BEFORE = "rm -rf /etc/postfix && mv /etc/postfix-before-benchmark /etc/postfix && postfix reload"

#: The host's own clock, so that logging in is no part of it.
_ON_THE_HOST = """python3 -c '
import subprocess, sys, time
started = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.monotonic() - started)' %s"""


class Place(NamedTuple):
    """Where a server answers, under which name, and what prints how many connections it has logged so far."""

    host: Host
    port: int
    name: str
    count: str


def figures() -> Iterator[Figure]:
    host = Host("bench1")
    with _stock(host):
        yield from _at(Place(host, 25, host.fqdn, "grep -c ']: connect from' /var/log/mail.log"), (_FULL, _FINGER, _CALL))
    host = Host("bench-servers")
    with running(host, BY_SERVER["exim"], BY_NAME["stock-two"]) as where:
        count = "grep -c 'SMTP connection from .* connection count' /srv/foreign/%s/mainlog" % where.unit
        for figure in _at(Place(host, where.port, NAME, count), ()):
            yield figure._replace(name="Exim with GnuTLS: %s" % figure.name)


def _at(place: Place, more: tuple) -> Iterator[Figure]:
    """Figures of one server. more: names of takers beside the three that have a limit."""
    takers = {name: take for name, take in _takers(place).items() if name in (_STANDARD, _SSLSCAN, _SSLYZE, *more)}
    connections = {name: _connections(place, take) for name, take in takers.items() if take}  # this is the warm-up, too
    took: dict = {name: [] for name in takers}
    for _round in range(ROUNDS):
        for name, take in takers.items():
            took[name].append(take() if take else None)
    yield from _seconds(took)
    for name in takers:
        if name != _CALL:
            yield Figure("%s, connections" % name, connections.get(name), "connections", 16 if name == _STANDARD else None)
    yield Figure("standard pass over sslscan, interpreter start included", _over(took, _STANDARD, _SSLSCAN), "ratio", 0.5)
    yield Figure("standard pass over sslyze, interpreter start included", _over(took, _STANDARD, _SSLYZE), "ratio", 0.1)


def _seconds(took: dict) -> Iterator[Figure]:
    for name, rounds in took.items():
        if name in (_STANDARD, _FULL):
            yield Figure("%s, interpreter start included" % name, _median(whole for whole, _engine in rounds), "s")
            yield Figure("%s, engine alone" % name, _median(engine for _whole, engine in rounds), "s")
        else:
            yield Figure(name, None if None in rounds else _median(whole for whole, _engine in rounds), "s")
    if _CALL not in took:
        return
    overhead = (call - engine for (call, _none), (_whole, engine) in zip(took[_CALL], took[_STANDARD]))
    yield Figure("%s, beyond the engine" % _CALL, _median(overhead), "s")


def _over(took: dict, ours: str, theirs: str) -> float | None:
    """Median of the ratios of neighbours."""
    return None if None in took[theirs] else _median(our[0] / their[0] for our, their in zip(took[ours], took[theirs]))


def _median(values) -> float:
    return statistics.median(list(values))


def _takers(place: Place) -> dict:
    """{name: function that takes one look and returns (seconds, seconds of the engine alone or None)}; None where it is not to be had."""
    host, where = place.host, "%s:%d" % (place.host.address, place.port)
    target = {"host": host.address, "port": place.port, "server_name": place.name}
    sslyze = _sslyze()

    def engine(depth: str) -> Callable:
        def take() -> tuple:
            seconds, said = look([target], depth=depth)
            if said["unclear"]:
                sys.exit("This look was to tell everything: %s" % said["unclear"])
            return seconds, said["seconds"]
        return take

    def call() -> tuple:
        asked = json.dumps({"targets": [target]})
        # It fails, and rightly: nobody trusts these chains.
        seconds, out = timed(["ansible", "localhost", "-m", "mailsec.postfix_tls.starttls_verify", "-a", asked], statuses=(2,), env=ENVIRONMENT)
        if '"reachable": true' not in out:
            sys.exit(out)
        return seconds, None

    def peer(*command: str, said_at_the_end: str, statuses: tuple = (0,)) -> Callable:
        def take() -> tuple:
            seconds, out = timed([*command, where], statuses)
            if said_at_the_end not in out:
                sys.exit("%s was to look at everything:\n%s" % (command[0], out))
            return seconds, None
        return take

    return {
        _STANDARD: engine("standard"),
        _SSLSCAN: peer("sslscan", "--no-colour", "--starttls-smtp", said_at_the_end="Not valid after:"),
        # Its default: all its scans, and 1 for a host that is not as Mozilla wants it.
        _SSLYZE: peer(sslyze, "--starttls=smtp", said_at_the_end="Not compliant", statuses=(1,)) if sslyze else None,
        _FULL: engine("full"),
        _FINGER: lambda: (float(host.run(_ON_THE_HOST % ("posttls-finger -c -l may -L summary [%s]" % host.address))), None),
        _CALL: call,
    }


def _connections(place: Place, take: Callable) -> int:
    """As the host's mail log has them."""
    before = _logged(place)
    take()
    after = _logged(place)
    while True:
        time.sleep(0.5)  # the log comes behind the connections
        later = _logged(place)
        if later == after:
            return after - before
        after = later


def _logged(place: Place) -> int:
    return int(place.host.run(place.count, check=False) or 0)


@contextmanager
def _stock(host: Host) -> Iterator[None]:
    host.run(_STOCK % host.fqdn)
    try:
        yield
    finally:
        host.run(_AS_BEFORE)


def _sslyze() -> str | None:
    """The command, installed at the first use."""
    command = PLACE / "bin" / "sslyze"
    if not (PLACE / "ready").exists():
        print("benchmark: %s from PyPI" % SSLYZE, file=sys.stderr)
        for words in ([sys.executable, "-m", "venv", "--clear", str(PLACE)],
                      [str(PLACE / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", SSLYZE]):
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()[-1:]
                print("benchmark: sslyze can't be installed, so it is not measured: %s" % "".join(said), file=sys.stderr)
                return None
        (PLACE / "ready").touch()
    return str(command)
