# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains that are on a host already, with the rest of them elsewhere, more in them than is needed, or where ours are to be: judged as Postfix serves them.

Of these files it runs last, for it leaves the hosts otherwise than they were converged.
"""
from __future__ import annotations

import re
from typing import Iterator

import pytest
from conftest import Issuer, each, hand_out, look
from issuing import Issued, issue
from reach import Host, ask

PARTS = "/srv/found"
TLS_ON = {"smtpd_tls_security_level": "may", "smtp_tls_security_level": "may"}
#: What main.cf named before is of no matter here.
_NONE = dict.fromkeys(("smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_CAfile", "smtpd_tls_CApath", "tls_server_sni_maps"), "")
_MODULE = "mailsec.postfix_tls.postfix_tls"


def asked(**arguments: object) -> dict:
    """{host: what the module returned there}"""
    return ask("certificates", _MODULE, "--become", action="reload", **arguments)


def configured(host: Host, **parameters: str) -> None:
    """Written to main.cf by hand, and live."""
    words = " ".join("'%s=%s'" % item for item in {**_NONE, **parameters}.items())
    host.run("set -e; postconf -e %s; postfix reload 2>/dev/null" % words)


@pytest.fixture(scope="module", autouse=True)
def leaves() -> Iterator[dict]:
    """{host: a leaf}; its parts are on the hosts meanwhile, those that processes read also where a chroot has them."""
    def prepare(host: Host) -> Issued:
        ca = Issuer(host)
        leaf = ca.leaf()
        cross = issue("Lab root", issue("an older root", authority=True), authority=True, key=ca.root.key, days=(-30, -1))
        hand_out(host, {"%s/%s" % (PARTS, name): text for name, text in {
            "key.pem": leaf.key_pem(), "leaf.pem": leaf.pem, "rest.pem": ca.intermediate.pem, "both.pem": leaf.key_pem() + leaf.pem,
            "root.pem": ca.root.pem, "rest/rest.pem": ca.intermediate.pem, "crossed.pem": leaf.key_pem() + ca.chain(leaf) + cross.pem,
            "commented.pem": "# A line above it.\n" + leaf.key_pem() + ca.chain(leaf), "full.pem": ca.chain(leaf),
        }.items()})
        host.run("set -e; cd {0}; openssl rehash rest; chmod -R a+rX {0}; mkdir -p /var/spool/postfix/srv; cp -r {0} /var/spool/postfix/srv/".format(PARTS))
        return leaf

    yield each(prepare)
    each(lambda host: host.run("rm -r {0} /var/spool/postfix{0}".format(PARTS)))


@pytest.mark.parametrize("where", ["smtpd_tls_CAfile", "smtpd_tls_CApath"])
@pytest.mark.parametrize("named", [
    {"smtpd_tls_cert_file": PARTS + "/leaf.pem", "smtpd_tls_key_file": PARTS + "/key.pem"}, {"smtpd_tls_chain_files": PARTS + "/both.pem"},
], ids=["cert_file", "chain_files"])
def test_the_rest_of_a_chain_that_openssl_finds_elsewhere_is_served_and_taken(where: str, named: dict, leaves: dict) -> None:
    rest = PARTS + "/rest" + {"smtpd_tls_CAfile": ".pem", "smtpd_tls_CApath": ""}[where]
    each(lambda host: configured(host, **{where: rest}, **named))
    for name, result in asked(parameters=TLS_ON).items():
        [told] = [finding["observed"] for finding in result["findings"] if finding["check"] == "chains"]
        assert "has the leaf alone, and OpenSSL completes it from %s = " % where in told and told.endswith(rest) and result["receiving"], (name, told)
        assert {found["verdict"] for listener in result["results"] for found in listener["findings"] if found["check"] == "trust"} == {"pass"}
    for name, seen in each(lambda host: look(host, (None, ""))).items():
        assert seen[0].certificates == (leaves[name].sha256, Issuer(Host(name)).intermediate.sha256), seen[0].said


def test_a_leaf_alone_is_refused_where_what_is_elsewhere_does_not_complete_it() -> None:
    each(lambda host: configured(host, smtpd_tls_chain_files=PARTS + "/both.pem", smtpd_tls_CAfile=PARTS + "/root.pem"))
    for name, result in asked(parameters=TLS_ON).items():
        assert result["failed"] and "an intermediate is missing, or this host does not trust its issuer" in result["msg"], (name, result["msg"])


def test_an_expired_certificate_that_peers_do_not_need_is_told_and_nothing_fails(leaves: dict) -> None:
    each(lambda host: configured(host, smtpd_tls_chain_files=PARTS + "/crossed.pem"))
    for name, result in asked(parameters=TLS_ON).items():
        assert not result["failed"], (name, result["msg"])
        [told] = [finding["observed"] for finding in result["findings"] if finding["check"] == "chains"]
        assert re.search(r"intermediate CN=Lab root: it has expired on \S+; peers find the way without it", told)
    for name, seen in each(lambda host: look(host, (None, ""))).items():
        assert seen[0].certificates[:1] == (leaves[name].sha256,), seen[0].said


def test_a_comment_above_the_key_is_nothing_to_postfix(leaves: dict) -> None:
    """As the header is by which a chain file is known to be ours."""
    each(lambda host: configured(host, smtpd_tls_chain_files=PARTS + "/commented.pem", smtpd_tls_security_level="may"))
    for name, seen in each(lambda host: look(host, (None, ""))).items():
        assert seen[0].certificates == (leaves[name].sha256, Issuer(Host(name)).intermediate.sha256), seen[0].said


def test_what_tables_serve_that_are_not_ours_is_looked_at_and_told_and_a_bad_one_that_is_asked_for_refused(leaves: dict) -> None:
    """Texts and indexes by postmap -F; a good chain, one that has ended, one that is no chain, and a name that no client can ask for."""
    def serve(host: Host) -> str:
        ca, kind = Issuer(host), host.run("postconf -h default_database_type").strip()
        good, ended = ca.leaf(names=("good.example.net",)), ca.leaf(names=("*.ended.example.net",), days=(-9, -1))
        files = {"good.pem": good.key_pem() + ca.chain(good), "ended.pem": ended.key_pem() + ca.chain(ended), "broken.pem": ended.key_pem() + good.pem}
        tables = {"mapped": {"good.example.net": "good", ".ended.example.net": "ended"}, "text": {"broken.example.net": "broken", "*.example.net": "good"}}
        tables["new"] = {"wrong.example.net": "good"}
        files.update({table: "".join("%s %s/%s.pem\n" % (name, PARTS, file) for name, file in lines.items()) for table, lines in tables.items()})
        hand_out(host, {"%s/%s" % (PARTS, name): text for name, text in {**files, "patterns": "/^pattern/ %s/good.pem\n" % PARTS}.items()})
        host.run("cd %s; postmap -F %s:mapped; chmod a+r *" % (PARTS, kind))
        listed = "%s:{0}/mapped, texthash:{0}/text, regexp:{0}/patterns".format(PARTS) % kind
        configured(host, smtpd_tls_chain_files=PARTS + "/commented.pem", tls_server_sni_maps=listed, **TLS_ON)
        return listed

    def two(**arguments: object) -> dict:
        return each(lambda host: ask(host.name, _MODULE, "--become", action="reload", **arguments)[host.name], names)

    names = ("c-bullseye", "c-forky")  # indexes of type hash and cdb
    listed = each(serve, names)
    for header in ("yes", "yes"):  # with a change, and without one
        for name, result in two(parameters=dict(TLS_ON, smtpd_tls_received_header=header)).items():
            assert not result["failed"], (name, result["msg"])
            notes = [finding["observed"] for finding in result["findings"] if finding["verdict"] == "note"]
            [plan] = [note for note in notes if "not written here" in note]
            assert plan.startswith(listed[name]) and "1 more names are not looked at (*.example.net)" in plan and "what regexp:" in plan, plan
            assert [note for note in notes if " for any.ended.example.net: trust: certificate has expired" in note], notes
            assert [note for note in notes if " for broken.example.net: handshake: " in note]
            assert not [note for note in notes if ":25 for good.example.net" in note]
    for name, result in two(parameters=dict(TLS_ON, tls_server_sni_maps="texthash:%s/new" % PARTS)).items():
        assert result["failed"] and "for wrong.example.net = name: observed the certificate is made out to" in result["msg"], (name, result["msg"])
    assert each(lambda host: host.run("postconf -h tls_server_sni_maps").strip(), names) == listed


CHAIN = {"name": "foreign", "key_file": PARTS + "/key.pem", "certificate_file": PARTS + "/full.pem"}


@pytest.mark.parametrize("directory", ["/etc/postfix/tls", "/srv/elsewhere"])
@pytest.mark.parametrize("made", ["chown mail {0}; chmod 0644 {0}", "cat /srv/found/both.pem > {0}; chmod 0600 {0}"], ids=["words", "a key of another's"])
def test_a_file_of_somebody_elses_is_not_replaced(directory: str, made: str) -> None:
    path = directory + "/foreign.pem"
    state = "stat -c '%%U %%a' %s; sha256sum < %s" % (path, path)
    each(lambda host: host.run("mkdir -p %s; echo 'somebody else keeps this here' > %s; %s" % (directory, path, made.format(path))))
    before = each(lambda host: host.run(state))
    for name, result in asked(chains=[dict(CHAIN, directory=directory)], parameters=TLS_ON).items():
        assert result["failed"] and "chain foreign = %s: this file is not one that was written here" % path in result["msg"], (name, result["msg"])
        assert "tls_certificate_name" in result["msg"]
    assert each(lambda host: host.run(state)) == before
    each(lambda host: host.run("rm " + path))


def test_what_an_earlier_release_wrote_is_left_as_it_is_and_replaced_by_a_new_chain(leaves: dict) -> None:
    own = dict(CHAIN, name="ours")
    path = "/etc/postfix/tls/ours.pem"
    assert not [result for result in asked(chains=[own], parameters=TLS_ON).values() if result["failed"]]
    assert set(each(lambda host: host.run("head -c 12 " + path)).values()) == {"# Written by"}
    each(lambda host: host.run("sed -i '/^#/d' %s; postfix reload 2>/dev/null" % path))  # as 0.1.0 had it
    before = each(lambda host: host.run("sha256sum < " + path))
    for name, result in asked(chains=[own], parameters=TLS_ON).items():
        assert not result["failed"] and not result["changed"] and not result["transaction"], (name, result)
    assert each(lambda host: host.run("sha256sum < " + path)) == before
    new = each(lambda host: Issuer(host).leaf())
    each(lambda host: hand_out(host, {PARTS + "/key.pem": new[host.name].key_pem(), PARTS + "/full.pem": Issuer(host).chain(new[host.name])}))
    assert not [result["msg"] for result in asked(chains=[own], parameters=TLS_ON).values() if result["failed"]]
    for name, seen in each(lambda host: look(host, (None, ""))).items():
        assert seen[0].certificates[:1] == (new[name].sha256,), seen[0].said
