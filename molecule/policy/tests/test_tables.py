# SPDX-License-Identifier: GPL-3.0-or-later
"""A question of a policy is answered as Postfix asks its tables: in which order, which keys of a next hop, and how far. Real messages by four releases show
which table answered: each says another level, and a server on the host itself offers TLS."""
from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator

import pytest
from post import wait
from reach import Host, ask

#: Postfix 3.10, 3.11, 3.7 and 3.5.
SENDERS = ("s-sender", "s-plain", "s-wrapped", "s-tls10")
FOLDER = "/etc/postfix/tables"
FILES = {
    "exact": "sub.tables.test none\n[sub.tables.test]:2601 none\n[127.0.4.1]:2601 none\n",
    "parents": ".tables.test encrypt\n.sub.tables.test none\n",
    "bare": "[sub.tables.test] none\ntables.test none\n127.0.4.1 none\nsub.tables.test:2601 none\n",
    "upper": "SUB.TABLES.TEST none\n[SUB.TABLES.TEST]:2601 encrypt\n",
    "regexp": "/^\\.tables\\.test$/ none\n/^\\[/ encrypt\n",
    "case": "/^SUB\\./i none\n/^deep/i encrypt\n",
    "cidr": "127.0.4.1 none\n",
    "other": "sub.tables.test encrypt\n.test encrypt\n[sub.tables.test] encrypt\n",
}
T, R = "texthash:%s/" % FOLDER, "regexp:%s/" % FOLDER
#: {name: smtp_tls_policy_maps}
LISTS = {
    "exact": T + "exact",
    "parents": T + "parents",
    "first": "%sexact, %sparents" % (T, T),
    "nearer": "%sparents, %sexact" % (T, T),
    "bare": T + "bare",
    "upper": T + "upper",
    "regexp": R + "regexp",
    "regexp-first": "%sregexp, %sother" % (R, T),
    "case": R + "case",
    "cidr": "cidr:%s/cidr" % FOLDER,
    "static": "static:none",
    "static-behind": T + "other, static:none",
    "inline": "inline:{{sub.tables.test = none}, {.tables.test = encrypt}}",
    "gone-behind": "%sexact, %snowhere" % (T, T),
    "gone-before": "%snowhere, %sexact" % (T, T),
    "hash-gone": "%sexact, hash:%s/nowhere" % (T, FOLDER),
    "no-type": "%sexact, nosuchtype:%s/exact" % (T, FOLDER),
    "fails": T + "exact, fail:whatever",
    "union": "unionmap:{%sexact, static:none}" % T,
    "union-one": "unionmap:{%sexact, inline:{x=y}}" % T,
    "pipe": "pipemap:{%sexact, inline:{none=encrypt}}" % T,
    "random": "randmap:{none}",
    "socket": "socketmap:inet:127.0.0.1:2699:policy",
    "socket-behind": "%sexact, socketmap:inet:127.0.0.1:2699:policy" % T,
    "socket-gone": "socketmap:inet:127.0.0.1:2698:policy",
    "socket-gone-behind": "%sexact, socketmap:inet:127.0.0.1:2698:policy" % T,
    "socket-unix": "socketmap:unix:%s/socket:policy" % FOLDER,
    "socket-chroot": "socketmap:unix:%s/socket:policy" % FOLDER,
    "exact-chroot": T + "exact",
    "proxied": "proxy:%sexact" % T,
    "proxied-behind": "%sparents, proxy:%sexact" % (T, T),
    "proxied-chroot": "proxy:socketmap:unix:%s/socket:policy" % FOLDER,
    "proxied-unlisted": "proxy:%sbare" % T,
    "debug": "debug:%sexact" % T,
}
#: Whose client is in a chroot, where a socket of outside is none.
CHROOTED = ("socket-chroot", "proxied-chroot", "exact-chroot")
#: For which there is no proxy: smtp(8) dies of it, and all mail waits.
UNPROXIED = ("proxied-unlisted",)
HOPS = (
    "tables.test", "sub.tables.test", "deep.sub.tables.test", "[sub.tables.test]", "[sub.tables.test]:2601", "sub.tables.test:2601", "Sub.Tables.TEST",
    "[127.0.4.1]:2601", "[127.0.4.1]",
)
#: Speaks socketmap_table(5): some keys have an answer, some none, and of some it can't be told now.
SOCKETMAP = r"""
import os, socket, threading
ANSWERS = {"sub.tables.test": "OK none", "[sub.tables.test]:2601": "TEMP later", ".tables.test": "TEMP later", "tables.test": "OK encrypt",
           "[127.0.4.1]:2601": "PERM no", "[127.0.4.1]": "OK none"}
def serve(connection):
    with connection, connection.makefile("rwb") as lines:
        while True:
            size = b""
            while not size.endswith(b":"):
                octet = lines.read(1)
                if not octet:
                    return
                size += octet
            asked = lines.read(int(size[:-1])).decode()
            lines.read(1)
            answer = ANSWERS.get(asked.partition(" ")[2], "NOTFOUND ").encode()
            lines.write(b"%d:%s," % (len(answer), answer))
            lines.flush()
def listen(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
on_path = socket.socket(socket.AF_UNIX)
on_path.bind("/etc/postfix/tables/socket")
os.chmod("/etc/postfix/tables/socket", 0o666)
on_path.listen(50)
threading.Thread(target=listen, args=(on_path,), daemon=True).start()
listen(socket.create_server(("127.0.0.1", 2699), backlog=50))
"""
SERVER = "127.0.4.1:2601 inet n - n - - smtpd -o smtpd_tls_security_level=may -o smtpd_tls_chain_files=/etc/postfix/tables/own.pem" \
         " -o smtpd_tls_auth_only=no -o smtpd_peername_lookup=no -o smtpd_recipient_restrictions=permit_mynetworks" \
         " -o {smtpd_end_of_data_restrictions=check_client_access static:discard} -o smtpd_client_connection_count_limit=0"
CELLS = [(name, at) for name in LISTS for at in range(len(HOPS))]


def recipient(name: str, at: int) -> str:
    return "admin@%d.%s.asked.test" % (at, name)


def delivered(name: str) -> dict:
    """{(name of the list, number of the hop): none, encrypt, or refused for what the tables said}"""
    host = Host(name)
    host.run("mkdir -p {0} && cd {0} && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own.test -days 2 -keyout own.key -out own.crt 2>&1 &&"
             " cat own.key own.crt >own.pem".format(FOLDER))
    for file, text in FILES.items():
        host.write("%s/%s" % (FOLDER, file), text)
    host.write("%s/socketmap.py" % FOLDER, SOCKETMAP)
    host.run("nohup python3 {0}/socketmap.py >/root/socketmap.log 2>&1 </dev/null & echo $! >/root/socketmap.pid".format(FOLDER))
    host.write("/etc/hosts", "127.0.4.1 tables.test sub.tables.test deep.sub.tables.test\n", append=True)
    client = "l-%s unix - - %s - - smtp -o {smtp_tls_policy_maps=%s}"
    lines = [SERVER] + [client % (each, "y" if each in CHROOTED else "n", value) for each, value in LISTS.items()]
    host.write("/etc/postfix/master.cf", "\n".join([*lines, ""]), append=True)
    host.write("/etc/postfix/transport", "".join("%d.%s.asked.test l-%s:%s\n" % (at, each, each, HOPS[at]) for each, at in CELLS))
    host.run("cp /etc/hosts /var/spool/postfix/etc/hosts; postsuper -d ALL;"
             " postconf -e transport_maps=texthash:/etc/postfix/transport smtp_tls_security_level=encrypt smtp_tcp_port=2601"
             " smtp_dns_support_level=disabled smtp_tls_loglevel=1 smtp_tls_CApath= smtp_tls_mandatory_exclude_ciphers=aNULL smtp_tls_policy_maps="
             " 'proxy_read_maps=proxy:unix:passwd.byname, proxy:%sexact, proxy:socketmap:unix:%s/socket:policy'"
             " inet_protocols=ipv4; postfix stop; for i in 1 2 3; do postfix start && break; sleep 1; done; sleep 1" % (T, FOLDER))
    log_from = int(host.run("wc -c </var/log/mail.log"))
    host.run("for to in %s; do printf 'Subject: x\\n\\ny\\n' | sendmail -f '' $to; done" % " ".join(recipient(*cell) for cell in CELLS))

    def seen() -> dict:
        words, found = set(), {}
        for line in host.run("tail -c +%d /var/log/mail.log" % (log_from + 1)).splitlines():
            process = re.search(r"/smtp\[(\d+)\]", line)
            if process and "TLS connection established" in line:
                words.add(process.group(1))
            told = re.search(r"to=<admin@(\d+)\.([\w-]+)\.asked\.test>.*status=(\w+) \((.*)\)", line)
            if told:
                secure = process and process.group(1) in words
                words.discard(process and process.group(1))
                became = ("encrypt" if secure else "none") if told.group(3) == "sent" else "refused" if "TLS" in told.group(4) else told.group(4)
                found[told.group(2), int(told.group(1))] = became
        return found

    wait(lambda: len([each for each, _at in seen() if each not in UNPROXIED]) == len(CELLS) - len(UNPROXIED) * len(HOPS), 60)
    return {**{(each, at): "refused" for each, at in CELLS if each in UNPROXIED}, **seen()}


def predicted(name: str) -> list:
    """RV(results) of tls_policy_info for CELLS."""
    told = ask(name, "mailsec.postfix_tls.tls_policy_info", "--become", recipients=[recipient(*cell) for cell in CELLS])[name]
    assert not told["failed"], told
    return told["results"]


@pytest.fixture(scope="module")
def truth() -> Iterator[dict]:
    """{host: (delivered(), predicted())}; the hosts are the same again afterwards."""
    for name in SENDERS:
        Host(name).run("rm -rf /root/postfix-before && cp -a /etc/postfix /root/postfix-before; cp /etc/hosts /root/hosts-before")
    try:
        with ThreadPoolExecutor(len(SENDERS)) as pool:
            yield dict(zip(SENDERS, pool.map(lambda name: (delivered(name), predicted(name)), SENDERS)))
    finally:
        for name in SENDERS:
            Host(name).run("kill $(cat /root/socketmap.pid); postsuper -d ALL; rm -rf /etc/postfix && mv /root/postfix-before /etc/postfix;"
                           " cat /root/hosts-before >/etc/hosts; postfix stop; for i in 1 2 3; do postfix start && break; sleep 1; done")


@pytest.mark.parametrize("name", SENDERS)
def test_the_policy_that_is_told_is_the_one_that_holds(name: str, truth: dict) -> None:
    became, told = truth[name]
    assert len(became) == len(CELLS), "not every message was tried"
    wrong = {}
    for cell, result in zip(CELLS, told):
        [policy] = result["next_hops"]
        said = "refused" if policy["wrong"] else policy["level"]
        if said != became[cell]:
            wrong[cell[0], HOPS[cell[1]]] = (said, became[cell], policy["key"], policy["source"], policy["wrong"])
    assert not wrong, "\n" + "\n".join("%s: %s" % pair for pair in wrong.items())
    assert set(became.values()) == {"none", "encrypt", "refused"}
