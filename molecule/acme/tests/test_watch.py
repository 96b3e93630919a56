# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts the renewal program on a real systemd: every change of the files, however it is made, and as often as it is made."""
from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal import units
from post import wait
from reach import Host, play
from test_acme import CONVERGE, OTHER

SWAPS = Path(__file__).with_name("swaps.py").read_text(encoding="utf-8")
#: Of each file and method; all in all, 24 a kind of link.
TIMES = 6
#: How long the service pauses, plus two looks of a busy host.
SOON = 40
OURS = "postfix-tls-renew-etc-postfix.path"
LIVE = "/etc/letsencrypt/live/default-%s"


@pytest.fixture(params=sorted(OTHER))
def host(request) -> Host:
    return Host(request.param)


def on_host(host: Host, script: str, **asked: object) -> str:
    host.write("/run/script.py", script)
    return host.run("python3 /run/script.py", stdin=json.dumps(asked))


def noticed(host: Host) -> dict:
    """{how a file is kept, and the method: swaps that systemd noticed}"""
    on_host(host, SWAPS, units={}, times=0)
    sources = ["/srv/watched/%s/key.pem" % folder for folder in ("plain", "live", "certs/mx", "secret", "opt")]
    # What a host has no collection for is needed for names of units alone.
    text = re.sub("(?m)^from ansible_collections.*$", "", Path(units.__file__).read_text(encoding="utf-8"))
    watched = json.loads(on_host(host, text + "\nimport json\nprint(json.dumps(watched(%r)))\n" % sources))
    texts = [units.path("/etc/postfix", paths).replace("Unit=postfix-tls-renew.service", "Unit=watched.service") for paths in watched]
    try:
        return json.loads(on_host(host, SWAPS, units=dict(zip(("watched.path", "watched:links.path"), texts)), times=TIMES))
    finally:
        host.run("rm -r /srv/watched /run/systemd/system/watched*; systemctl daemon-reload")


def test_every_swap_by_every_method_is_noticed() -> None:
    with ThreadPoolExecutor() as pool:
        for host, seen in zip(OTHER, pool.map(noticed, map(Host, OTHER))):
            assert set(seen.values()) == {TIMES} and len(seen) == 19, (host, seen)


def states(host: Host) -> str:
    return host.run("systemctl show --property=ActiveState,SubState --value '%s' '%s' postfix-tls-renew.service" % (OURS, OURS.replace(".path", ":links.path")))


def test_a_burst_of_changes_does_not_end_the_watch_and_the_last_is_served(host: Host) -> None:
    host.run("mv /etc/letsencrypt/renewal-hooks/deploy/postfix-tls-renew /root/")
    try:
        host.run("for turn in $(seq 20); do touch %s/unrelated; sleep 0.2; done" % (LIVE % "ecdsa"))
        host.run("certbot renew --force-renewal --no-random-sleep-on-renew --cert-name default-ecdsa 2>&1")
        written = host.run("openssl x509 -in %s/cert.pem -noout -fingerprint" % (LIVE % "ecdsa"))
        served = "openssl s_client -starttls smtp -connect 127.0.0.1:25 -tls1_2 -cipher aECDSA </dev/null 2>/dev/null | openssl x509 -noout -fingerprint"
        assert wait(lambda: host.run(served) == written, SOON), host.run("journalctl --no-pager -n 20 -u postfix-tls-renew")
        assert wait(lambda: states(host).split() == ["active", "waiting", "active", "waiting", "inactive", "dead"], SOON), states(host)
    finally:
        host.run("mv /root/postfix-tls-renew /etc/letsencrypt/renewal-hooks/deploy/; rm -f %s/unrelated" % (LIVE % "ecdsa"))


def test_the_service_is_closed_and_was_able_to_renew_all_the_same(host: Host) -> None:
    """What it renewed is in the test above; here, what it may."""
    exposure = float(re.search(r"level for postfix-tls-renew.service: ([\d.]+)", host.run("systemd-analyze security --no-pager postfix-tls-renew.service"))[1])
    assert exposure <= 4.0
    asked = "systemd-run --quiet --wait --pipe %s sh -c 'touch /root/x; ls /tmp; grep NoNewPrivs /proc/self/status' 2>&1; true"
    properties = [line for line in host.run("cat /etc/systemd/system/postfix-tls-renew.service").splitlines()
                  if line.startswith(("Protect", "Private", "NoNew", "Restrict", "System", "Memory", "Lock", "Capab"))]
    told = host.run(asked % " ".join("-p '%s'" % line for line in properties))
    assert "/root/x" in told and "Read-only file system" in told and re.search(r"NoNewPrivs:\s+1", told), told


def test_units_watch_what_is_served_now(host: Host) -> None:
    """From certbot's files to those of another client, and back; systemd has the text of the file each time."""
    watched = "systemctl show --property=Paths,NeedDaemonReload '%s'" % OURS
    host.run("mkdir -p /srv/acme; for file in privkey fullchain; do cp -L %s/$file.pem /srv/acme/; done" % (LIVE % "ecdsa"))
    variables = {"tls_certificate_key_file": "/srv/acme/privkey.pem", "tls_certificate_chain_file": "/srv/acme/fullchain.pem"}
    try:
        play(CONVERGE, host.name, tls_certificate_source="remote", **variables)
        assert host.run(watched) == "Paths=/srv/acme (PathChanged)\nNeedDaemonReload=no\n"
    finally:
        play(CONVERGE, host.name)
        host.run("rm -r /srv/acme")
    assert "/srv/acme" not in (told := host.run(watched)) and "NeedDaemonReload=no" in told and LIVE % "rsa" in told


def test_without_a_source_it_is_switched_off_all_the_same_and_is_started_by_a_python_that_stays(host: Host) -> None:
    there = "ls /usr/local/sbin/postfix-tls-renew /etc/letsencrypt/renewal-hooks/deploy/* /etc/systemd/system/*renew* /etc/systemd/system/*/*renew*"
    assert len(host.run(there).split()) == 9, host.run(there)
    play(CONVERGE, host.name, tls_certificate_source="none", tls_certificate_renewal=False)
    assert host.run("%s 2>/dev/null; systemctl list-units --all --plain --no-legend 'postfix-tls-renew*'" % there, check=False) == ""
    host.run("mkdir -p /home/admin/venv/bin; ln -sfn /usr/bin/python3 /home/admin/venv/bin/python; echo 'home = /usr/bin' > /home/admin/venv/pyvenv.cfg")
    for python in ("/home/admin/venv/bin/python", host.run("realpath /usr/bin/python3").strip()):
        play(CONVERGE, host.name, ansible_python_interpreter=python, tls_hardening_verify=False)
        assert host.run("head -n 1 /usr/local/sbin/postfix-tls-renew | tr -d '\\000'").startswith("#!/usr/bin/python3 -I\n")
    assert host.run("/usr/local/sbin/postfix-tls-renew; echo $?") == "0\n"
    play(CONVERGE, host.name)


def test_what_stands_in_the_way_of_renewals_is_told(host: Host) -> None:
    """An account that is gone, a version of a file, and a lineage that nobody serves any more."""
    live = {"tls_certificate_source": "remote", "tls_certificate_key_file": "/etc/letsencrypt/archive/default-ecdsa/privkey1.pem",
            "tls_certificate_chain_file": "/etc/letsencrypt/archive/default-ecdsa/fullchain1.pem"}
    host.run("mv /etc/letsencrypt/accounts /root/")
    try:
        said = " ".join(play(CONVERGE, host.name, "--check", "-v", **live).split())
    finally:
        host.run("mv /root/accounts /etc/letsencrypt/")
    for told in ("name /etc/letsencrypt/live/default-ecdsa/fullchain.pem", "certbot renews it by an account that is not there",
                 "certbot delete --cert-name default-rsa, and remove the file"):
        assert told in said, said
