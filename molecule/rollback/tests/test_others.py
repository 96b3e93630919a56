# SPDX-License-Identifier: GPL-3.0-or-later
"""What others write stays theirs: before, during and after our changes, by Postfix's own tools and by hand."""
from __future__ import annotations

import json
import re
from typing import Iterator

import pytest
from reach import Host, ask, play
from test_rollback import ROLLBACK, each
from witness import served, tree

#: The oldest Postfix, with systemd, and the newest, without.
HOSTS = ("r-bullseye", "r-forky")
KEPT = "/var/lib/mailsec-postfix_tls/etc-postfix"

#: The next change of these, an override of a service among them.
CHANGE = {"parameters": {"smtp_tls_loglevel": 2, "smtp_tls_note_starttls_offer": True}, "services": {"smtp/inet": {"smtpd_tls_loglevel": "2"}}}

#: Ten times a second, as long as a file is there: a number into main.cf and another into master.cf. What was written last stands beside.
WRITER = """touch /run/writing; rm -f /run/main.last /run/master.last /run/written
cat > /run/writer <<'END'
number=100000
while [ -e /run/writing ]; do
  number=$((number + 1))
  postconf -e header_size_limit=$number && echo $number > /run/main.last
  postconf -F pickup/unix/process_limit=$((number % 500 + 1)) && echo $((number % 500 + 1)) > /run/master.last
  grep -q "^header_size_limit = $number" /etc/postfix/main.cf || echo "main.cf: $number" >> /run/lost
  echo >> /run/written
  sleep 0.05
done
rm -f /run/writer
END
rm -f /run/lost; setsid sh /run/writer >/dev/null 2>&1 </dev/null &
"""


def change(host: Host, **options: object) -> dict:
    return ask(host.name, "mailsec.postfix_tls.postfix_tls", "--become", **options)[host.name]


def says(host: Host, name: str) -> str:
    return host.run("postconf -h %s" % name).strip()


@pytest.fixture
def before() -> Iterator[dict]:
    """{host: (files, certificate that is served)} before a change that has been made when a test begins; that is so again when it ends."""
    def begin(host: Host) -> tuple:
        seen = tree(host), served(host)
        host.run("cp -a /etc/postfix /srv/postfix")
        result = change(host, **CHANGE)
        assert not result["failed"] and result["changed"], result
        return seen
    yield each(HOSTS, begin)
    each(HOSTS, lambda host: host.run(
        "cp -a /srv/postfix/main.cf /srv/postfix/master.cf /etc/postfix/; rm -r /srv/postfix;"
        " rm -rf %s/previous %s/older; postfix reload 2>/dev/null" % (KEPT, KEPT)))


def test_a_rollback_keeps_what_others_wrote_since_and_says_so(before: dict) -> None:
    def write(host: Host) -> None:
        host.run("postconf -e relayhost=[relay.example.net] mydestination='$myhostname, new.example.org'; postconf -F pickup/unix/wakeup=30")
        host.run("printf '# by hand\\nmessage_size_limit = 20480000\\n' >> /etc/postfix/main.cf")
        host.run("printf 'other unix - - n - - pipe\\n  user=nobody argv=/bin/true\\n' >> /etc/postfix/master.cf")

    each(HOSTS, write)
    shown = play(ROLLBACK, ",".join(HOSTS), "--check", "--diff")
    assert shown.count("-smtp_tls_loglevel = 2") == len(HOSTS) and "-message_size_limit" not in shown and "-relayhost" not in shown, shown
    said = play(ROLLBACK, ",".join(HOSTS))
    assert said.count("main.cf: smtp_tls_note_starttls_offer removed (it was yes)") == len(HOSTS), said
    assert said.count("main.cf: message_size_limit: as somebody wrote it since then, and stays") == len(HOSTS), said
    assert said.count("master.cf: smtp/inet: smtpd_tls_loglevel removed (it was 2)") == len(HOSTS), said
    for host in map(Host, HOSTS):
        assert [says(host, name) for name in ("message_size_limit", "relayhost", "mydestination")] == [
            "20480000", "[relay.example.net]", "$myhostname, new.example.org"], host.name
        assert "# by hand" in host.run("cat /etc/postfix/main.cf") and says(host, "smtp_tls_note_starttls_offer") == "no"
        assert host.run("postconf -F -h pickup/unix/wakeup").strip() == "30" and "other" in host.run("postconf -M other/unix")
        assert "smtpd_tls_loglevel" not in host.run("postconf -P smtp/inet/smtpd_tls_loglevel 2>/dev/null || :")
    assert {name: seen for name, (_tree, seen) in before.items()} == each(HOSTS, served)


def test_where_both_wrote_on_one_line_nothing_is_changed_and_both_are_shown_unless_ours_goes_before(before: dict) -> None:
    each(HOSTS, lambda host: host.run("postconf -e smtp_tls_loglevel=3 message_size_limit=20480000"))
    seen = each(HOSTS, tree)
    for options in ((), ("--check",)):
        with pytest.raises(AssertionError) as refused:
            play(ROLLBACK, ",".join(HOSTS), *options)
        told = " ".join(str(refused.value).split())
        words = r"main.cf: smtp_tls_loglevel: it was 1 before the change, the change wrote 2, and since then somebody wrote 3"
        assert len(re.findall(words, told)) >= len(HOSTS) and "tls_rollback_conflicts=ours" in told, told
        assert each(HOSTS, tree) == seen
    play(ROLLBACK, ",".join(HOSTS), tls_rollback_conflicts="ours")
    for host in map(Host, HOSTS):
        assert (says(host, "smtp_tls_loglevel"), says(host, "message_size_limit")) == ("1", "20480000"), host.name


def test_a_killed_run_is_mended_and_what_others_wrote_meanwhile_stays(before: dict) -> None:
    """The kept state is laid out as a run leaves it that dies before it commits."""
    def die(host: Host) -> None:
        host.run("set -e; mv {0}/previous {0}/pending; test -e {0}/pending/manifest.json; postconf -e message_size_limit=20480000".format(KEPT))

    each(HOSTS, die)
    for name, result in each(HOSTS, lambda host: change(host, parameters={"smtp_tls_loglevel": 1})).items():
        host = Host(name)
        assert not result["failed"] and result["resumed"], result
        assert [says(host, parameter) for parameter in ("smtp_tls_loglevel", "smtp_tls_note_starttls_offer", "message_size_limit")] == ["1", "no", "20480000"]


def test_of_what_others_write_during_runs_failed_runs_and_rollbacks_nothing_is_lost(before: dict) -> None:
    def meet(host: Host) -> tuple:
        host.run(WRITER)
        results = []
        results.append(change(host, parameters={"smtp_tls_loglevel": 3, "smtp_tls_note_starttls_offer": False}))
        results.append(change(host, services={"smtp/inet": {"smtpd_tls_exclude_ciphers": "ALL"}}, verify={"start_timeout": 10}))
        results.append(change(host, state="restored"))
        host.run("rm /run/writing; while [ -e /run/writer ]; do sleep 0.1; done")
        lost = host.run("cat /run/lost 2>/dev/null || :")
        last = [host.run("cat /run/%s.last" % name).strip() for name in ("main", "master")]
        now = [says(host, "header_size_limit"), host.run("postconf -F -h pickup/unix/process_limit").strip()]
        return results, lost, last, now, int(host.run("wc -l < /run/written"))

    for name, (results, lost, last, now, written) in each(HOSTS, meet).items():
        assert (lost, now) == ("", last), (name, written)
        assert [result["failed"] for result in results] == [False, True, False], (name, [result.get("msg") for result in results])
        assert written > 30, name  # how many get a turn beside our lock depends on the machine
        assert Host(name).run("ls /etc/postfix | grep tmp || :") == ""


def test_earlier_changes_are_listed_returned_to_by_their_id_and_forgotten(before: dict) -> None:
    limit = ",".join(HOSTS)
    for level in (0, 3):
        each(HOSTS, lambda host, level=level: change(host, parameters={"smtp_tls_loglevel": level}))
    listed = play(ROLLBACK, limit, tls_rollback_list=True)
    assert listed.count("main.cf: smtp_tls_loglevel = 0 (it was 2)") == len(HOSTS) and listed.count(" by admin") == 3 * len(HOSTS), listed
    for name in HOSTS:
        host = Host(name)
        ids = [row["id"] for row in change(host, state="listed")["generations"]]
        assert len(ids) == 3
        play(ROLLBACK, name, tls_rollback_transaction=ids[1])
        assert says(host, "smtp_tls_loglevel") == "2"
        play(ROLLBACK, name, tls_rollback_transaction=ids[2])
        assert (tree(host), served(host)) == before[name], "byte for byte, where nobody else wrote"
        with pytest.raises(AssertionError, match="the change 1-1 is not kept here, so nothing was put back"):
            play(ROLLBACK, name, tls_rollback_transaction="1-1")
        gone = change(host, state="forgotten", transaction=ids[1])
        assert gone["changed"] and [row["id"] for row in gone["generations"]] == [row["id"] for row in change(host, state="listed")["generations"]]
        assert len(gone["generations"]) == 3 and not set(ids[1:]) & {row["id"] for row in gone["generations"]}
        assert json.dumps(gone).count("PRIVATE") == 0


@pytest.mark.parametrize("way, put, taken, told", [
    ("a folder others write to", "chmod 1777 /etc/postfix", "chmod 755 /etc/postfix", "/etc/postfix = 1777: others than root can write"),
    ("a folder of somebody else", "chown 65534 /etc/postfix", "chown 0 /etc/postfix", "/etc/postfix: this directory belongs to user 65534"),
], ids=lambda value: value if " " in value and len(value) < 30 else "")
def test_what_cannot_be_replaced_is_refused_in_check_mode_and_by_the_run_before_anything_is_written(way: str, put: str, taken: str, told: str) -> None:
    main = "/etc/postfix/main.cf"

    def meet(host: Host) -> tuple:
        started = host.run("stat -c %Y /var/spool/postfix/pid/master.pid")
        host.run(put.format(main))
        try:
            files = tree(host)
            results = [ask(host.name, "mailsec.postfix_tls.postfix_tls", "--become", *options, **CHANGE)[host.name] for options in (("--check",), ())]
            return results, files == tree(host), host.run("stat -c %Y /var/spool/postfix/pid/master.pid") == started, host.run("ls %s" % KEPT)
        finally:
            host.run(taken.format(main))

    for name, (results, same, untouched, kept) in each(HOSTS[1:], meet).items():
        assert all(result["failed"] and re.search(told, result["msg"]) for result in results), (way, name, results)
        assert "restored" not in results[1] and same and untouched and "pending" not in kept, name


def test_a_file_keeps_its_acl_and_attributes_and_its_other_name_is_told(before: dict) -> None:
    """An ACL as the kernel has it: user 12345 may read and write, and the group may no more than read."""
    acl = "02000000 01000600ffffffff 0200060039300000 04000400ffffffff 10000600ffffffff 20000400ffffffff".replace(" ", "")
    attributes = "import os; print({name: os.getxattr('/etc/postfix/main.cf', name).hex() for name in os.listxattr('/etc/postfix/main.cf')})"
    put = "import os; os.setxattr('/etc/postfix/main.cf', 'system.posix_acl_access', bytes.fromhex('%s'))" % acl

    def meet(host: Host) -> tuple:
        host.run('python3 -c "%s" && ln /etc/postfix/main.cf /etc/postfix/main.cf.link' % put)
        try:
            seen = [host.run('python3 -c "%s"; stat -c %%a /etc/postfix/main.cf' % attributes)]
            result = change(host, parameters={"smtp_tls_loglevel": 3})
            seen.append(host.run('python3 -c "%s"; stat -c %%a /etc/postfix/main.cf' % attributes))
            return seen, result
        finally:
            host.run("rm -f /etc/postfix/main.cf.link")

    for name, (seen, result) in each(HOSTS, meet).items():
        assert seen[0] == seen[1] and "posix_acl_access" in seen[0], name
        assert [finding["check"] for finding in result["findings"] if "main.cf has 2 names" in finding["observed"]] == ["hard_link"], name
