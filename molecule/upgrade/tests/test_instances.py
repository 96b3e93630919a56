# SPDX-License-Identifier: GPL-3.0-or-later
"""A second instance of Postfix is hardened by its own directory, and the first one does not notice."""
from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable

import pytest
from reach import Host, ask, play, verified

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
SECOND = "/etc/postfix-out"
OURS = {"tls_hardening_config_directory": SECOND, "smtpd_tls_services": {}, "tls_policy_destinations": []}
MADE = (
    "set -e; postmulti -e init 2>/dev/null; postmulti -I postfix-out -G mta -e create 2>/dev/null;"
    " sed -i 's/^smtp  *inet/2525 inet/' {0}/master.cf;"
    " postconf -c {0} -e inet_interfaces=all master_service_disable= maillog_file=/var/log/mail.log myhostname=$(hostname -f)"
    " smtp_dns_support_level=disabled smtpd_tls_security_level=none mynetworks=127.0.0.0/8; touch -d '1 minute ago' {0}/main.cf;"
    " postmulti -i postfix-out -e enable; postmulti -i postfix-out -p start 2>/dev/null"
).format(SECOND)
GONE = (
    "postmulti -i postfix-out -p stop; postmulti -i postfix-out -e disable; postmulti -i postfix-out -e destroy;"
    " rm -rf %s; postconf -X multi_instance_directories multi_instance_wrapper multi_instance_enable" % SECOND
)
HOSTS = [Host(name) for name in ("u-bullseye", "u-bookworm", "u-trixie", "u-forky")]


def each(act: Callable) -> dict:
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        return dict(zip((host.name for host in HOSTS), pool.map(act, HOSTS)))


@pytest.fixture(scope="module", autouse=True)
def second() -> None:
    """An instance for sending on each host, that listens on port 2525."""
    each(lambda host: host.run(MADE))
    yield
    each(lambda host: host.run(GONE, check=False))


def of_the_first(host: Host) -> str:
    return host.run("cat /var/spool/postfix/pid/master.pid; cd /etc/postfix; find . -type f | sort | xargs sha256sum")


def test_the_second_instance_is_hardened_and_the_first_neither_changed_nor_restarted() -> None:
    before = each(of_the_first)
    said = play(CONVERGE, "upgrade", **OURS)
    assert len(re.findall("changed=1 .*failed=0", said)) == len(HOSTS), said
    assert each(of_the_first) == before
    seen = each(lambda host: host.run(
        "openssl s_client -starttls smtp -connect 127.0.0.1:2525 -CAfile /usr/local/share/ca-certificates/lab.crt </dev/null 2>&1"))
    for host in HOSTS:
        assert verified(seen[host.name]) and re.search(r"CN ?= ?%s" % host.fqdn, seen[host.name])
        assert host.run("postconf -c %s -h smtpd_tls_chain_files" % SECOND).strip() == SECOND + "/tls/default.pem"
    again = play(CONVERGE, "upgrade", **OURS)
    assert len(re.findall("changed=0 .*failed=0", again)) == len(HOSTS), again


def test_both_are_told_by_their_listeners() -> None:
    for name, told in ask("upgrade", "mailsec.postfix_tls.postfix_tls_info", "--become").items():
        assert [(one["config_directory"], one["listeners"][0]["port"], one["errors"]) for one in told["instances"]] == [
            ("/etc/postfix", 25, []), (SECOND, 2525, [])], name
