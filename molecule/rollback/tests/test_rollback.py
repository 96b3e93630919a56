# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that fails, for whatever reason, ends with the old configuration byte for byte, Postfix serving the old certificate, and one
message that names the cause."""
from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pki import Authority
from reach import Host, ask, play
from witness import leaf_digest, served, tree

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
ROLLBACK = Path(__file__).resolve().parents[3] / "playbooks" / "rollback.yml"
ALL = ("r-bullseye", "r-bookworm", "r-trixie", "r-forky")

#: On each host: a whole chain, and one whose key is another's.
PARTS = "/srv/parts"
GOOD, MISMATCHED = PARTS + "/good.pem", PARTS + "/mismatched.pem"

POSTFIX = "/usr/sbin/postfix"
RESTART = (
    "if [ -d /run/systemd/system ]; then systemctl reset-failed 'postfix*.service'; systemctl restart postfix;"
    " else postfix stop >/dev/null 2>&1 || :; postfix start >/dev/null 2>&1; fi"
)


def at_start(command: str) -> tuple:
    """(how to have this run, by whatever starts Postfix, right before that, and how no more)"""
    script = "#!/bin/sh\\ncase \"$*\" in *start*) %s;; esac\\nexec $0.real \"$@\"\\n" % command
    return "mv {0} {0}.real; printf '{1}' > {0}; chmod 755 {0}".format(POSTFIX, script), "mv {0}.real {0}".format(POSTFIX)


class Fault(NamedTuple):
    """One row. parameters, services: of the change. told: patterns in the message. before and after: commands that set the fault and take it
    away. written: whether it is found only once files are written, so that they are put back.
    """

    name: str
    parameters: dict
    told: tuple
    before: str = "true"
    after: str = "true"
    services: dict = {}
    written: bool = True


def chain(path: str) -> dict:
    return {"smtpd_tls_chain_files": path}


_LOSING = at_start("rm -f %s/going.pem" % PARTS)
_SPOILING = at_start("rm -rf {0}/spoiled.pem; mkdir {0}/spoiled.pem".format(PARTS))
_REFUSING = at_start("grep -q smtpd_tls_loglevel.*3 /etc/postfix/main.cf && exit 1")

#: Once those that were stopped have let go of the port.
_TAKER = """import socket, sys, time
while True:
    try:
        taken = socket.create_server((sys.argv[1], 25))
        break
    except OSError:
        time.sleep(0.05)
open("/run/taken", "w").close()
time.sleep(600)
"""

FAULTS = (
    Fault("a key that is another certificate's", chain(MISMATCHED), ("mismatched.pem: the key does not belong to the first certificate",), written=False),
    # root's processes read every file but one that is none.
    Fault("a key that Postfix can't read", chain(PARTS + "/spoiled.pem"), ("handshake: observed", "spoiled.pem.*(Is a directory|disabling TLS|error)"),
          "; ".join(["cp {0} {1}/spoiled.pem".format(GOOD, PARTS), _SPOILING[0]]), _SPOILING[1]),
    Fault("a chain file that goes after it was looked at", chain(PARTS + "/going.pem"), ("handshake: observed", "going.pem.*No such file"),
          "; ".join(["cp {0} {1}/going.pem".format(GOOD, PARTS), _LOSING[0]]), _LOSING[1]),
    Fault("a port that is taken", {"inet_interfaces": "all"}, ("port 25 at 0.0.0.0: Address already in use, by python3", "othing was changed"),
          "postconf -e inet_interfaces=127.0.0.1; touch -d '1 minute ago' /etc/postfix/main.cf; " + RESTART
          + "; address=$(hostname -i | tr ' ' '\\n' | grep -v '^127' | head -1)"
          + "; setsid python3 -c '%s' $address >/dev/null 2>&1 & echo $! > /run/taker" % _TAKER
          + "; for turn in $(seq 50); do [ -e /run/taken ] && break; sleep 0.1; done",
          "kill $(cat /run/taker); rm /run/taken; postconf -e inet_interfaces=all; touch -d '1 minute ago' /etc/postfix/main.cf", written=False),
    Fault("a Postfix that refuses to start", {"smtpd_tls_loglevel": 3}, ("did not come up|failed",), _REFUSING[0], _REFUSING[1]),
    Fault("an override that breaks the listener", {}, ("handshake: observed", "cipher|TLS"), services={"smtp/inet": {"smtpd_tls_exclude_ciphers": "ALL"}}),
)


def each(names: tuple, act) -> dict:
    """{host: what act(Host) returns}, side by side."""
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(lambda name: act(Host(name)), names)))


@pytest.fixture(scope="module", autouse=True)
def _parts() -> None:
    """Piped, because a command line is logged."""
    def hand_out(host: Host) -> None:
        authority = Authority(Path(host.vars["lab_ca_file"]).parent)
        key, certificates = authority.chain(host.fqdn, "rolled")
        other, _chain = authority.chain(host.fqdn, "other", key=ec.generate_private_key(ec.SECP256R1()))
        for path, parts in ((GOOD, (key, certificates)), (MISMATCHED, (other, certificates))):
            words = [*host.ssh(), "sudo -n sh -c 'umask 077; mkdir -p -m 755 {0}; cat > {1}'".format(PARTS, path)]
            subprocess.run(words, input=b"".join(part.read_bytes() for part in parts), check=True, capture_output=True)
    each(ALL, hand_out)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_change_that_fails_leaves_the_old_state_serving_and_tells_the_cause(fault: Fault) -> None:
    try:
        each(ALL, lambda host: host.run("set -e; " + fault.before))
        before = each(ALL, lambda host: (tree(host), served(host)))
        results = ask("rollback", "mailsec.postfix_tls.postfix_tls", "--become", parameters={"smtpd_tls_security_level": "may", **fault.parameters},
                      services=fault.services, verify={"start_timeout": 5})
        after = each(ALL, lambda host: (tree(host), served(host)))
    finally:
        each(ALL, lambda host: host.run("set -e; %s; %s" % (fault.after, RESTART)))
    for name, result in results.items():
        assert result["failed"] and result.get("restored", False) is fault.written, (name, result)
        back = ("The old state is back and Postfix answers with it: .*/etc/postfix/ma",) if fault.written else ()
        for words in (*fault.told, *back):
            assert re.search(words, result["msg"]), (name, words, result["msg"])
        assert before[name][1] == leaf_digest(Host(name).vars["lab_chain_file"]), name
        assert after[name] == before[name], name


def test_a_change_that_fails_the_look_from_outside_is_put_back() -> None:
    before = each(ALL, tree)
    with pytest.raises(AssertionError) as failed:
        play(CONVERGE, "rollback", smtpd_tls_loglevel=0, starttls_verify_expect={"floor": "TLSv1.3"}, starttls_verify_retries=0)
    said = " ".join(str(failed.value).split())
    assert said.count("versions fail: accepted: TLSv1.2, TLSv1.3") >= len(ALL)
    assert len(re.findall(r"fatal: \[r-\w+\]: FAILED! .*?The state before this change is back, restarted and proven\.", said)) == len(ALL), said
    assert each(ALL, tree) == before


def test_a_rollback_returns_a_fleet_to_the_state_before_and_a_second_one_changes_nothing() -> None:
    before = each(ALL, lambda host: (tree(host), served(host)))
    play(CONVERGE, "rollback", smtpd_tls_loglevel=2, tls_policy_destinations=[{"destination": "partner.example.com"}])
    assert not set(each(ALL, tree).items()) & {(name, seen) for name, (seen, _served) in before.items()}
    assert play(ROLLBACK, "rollback").count("changed=1") == len(ALL)
    assert each(ALL, lambda host: (tree(host), served(host))) == before
    assert play(ROLLBACK, "rollback").count("changed=0") == len(ALL)
