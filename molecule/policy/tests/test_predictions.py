# SPDX-License-Identifier: GPL-3.0-or-later
"""What tls_policy_info and tls_survey_info say of partners of every kind, at every level, against what four releases of Postfix then did with a message
each. Partners are servers on the sender itself: Postfix's own smtpd with other settings, and where no Postfix is like that, fakes (kinds.py)."""
from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator

import pytest
from cryptography.x509 import ExtendedKeyUsage
from cryptography.x509.oid import ExtendedKeyUsageOID
from issuing import issue
from post import wait
from reach import Host, ask
from tried import tries

#: Postfix 3.10, 3.11, 3.7 and 3.5.
SENDERS = ("s-sender", "s-plain", "s-wrapped", "s-tls10")
LEVELS = ("none", "may", "encrypt", "fingerprint", "verify", "secure", "dane")
FOLDER = "/root/kinds"
MUST = "530 5.7.0 Must issue a STARTTLS command first"
#: smtpd(8)'s settings. A message is taken, and thrown away.
POSTFIX = {
    "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": "good", "smtpd_tls_auth_only": "no", "smtpd_peername_lookup": "no",
    "smtpd_recipient_restrictions": "permit_mynetworks", "smtpd_client_connection_count_limit": "0", "smtpd_client_connection_rate_limit": "0",
}
_DISCARD = "-o {smtpd_end_of_data_restrictions=check_client_access static:discard}"
#: {kind: {address: settings of smtpd, or of kinds.py where "fake" is among them; None where nothing listens}}
HERE, BESIDE, SIX = "127.0.4.1", "127.0.4.2", "::1"
KINDS = {
    "healthy": {HERE: {}},
    "plain": {HERE: {"smtpd_tls_security_level": "none"}},
    "selfsigned": {HERE: {"smtpd_tls_chain_files": "selfsigned"}},
    "expired": {HERE: {"smtpd_tls_chain_files": "expired"}},
    "sha1": {HERE: {"smtpd_tls_chain_files": "sha1"}},
    "commonname": {HERE: {"smtpd_tls_chain_files": "commonname"}},
    "elsewhere": {HERE: {"smtpd_tls_chain_files": "elsewhere"}},
    "ccert": {HERE: {"smtpd_tls_security_level": "encrypt", "smtpd_tls_req_ccert": "yes"}},
    "required": {HERE: {"smtpd_tls_security_level": "encrypt"}},
    "deferring": {HERE: {"smtpd_tls_security_level": "none", "smtpd_delay_reject": "no", "smtpd_sender_restrictions": "defer"}},
    "tls10": {HERE: {"fake": "", "chain": "good", "newest": "TLSv1"}},
    "tls12": {HERE: {"smtpd_tls_protocols": "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1,!TLSv1.3"}},
    "anonymous": {HERE: {"fake": "", "chain": "good", "newest": "TLSv1_2", "suites": "aNULL:@SECLEVEL=0"}},
    "454": {HERE: {"fake": "", "starttls": "454 4.7.0 TLS not available"}},
    "454-530": {HERE: {"fake": "", "starttls": "454 4.7.0 TLS not available", "clear": MUST}},
    "closes": {HERE: {"fake": "", "closes": "yes"}},
    "closes-530": {HERE: {"fake": "", "closes": "yes", "clear": MUST}},
    "closes-451": {HERE: {"fake": "", "closes": "yes", "clear": "451 4.7.1 Greylisted"}},
    "closes-554": {HERE: {"fake": "", "closes": "yes", "clear": "554 5.7.1 No"}},
    "demanded": {HERE: {"fake": "", "chain": "good", "demands": "root"}},
    "demanded-530": {HERE: {"fake": "", "chain": "good", "demands": "root", "clear": MUST}},
    "demanded-tls12": {HERE: {"fake": "", "chain": "good", "demands": "root", "newest": "TLSv1_2"}},
    "turned-away": {HERE: {"fake": "", "chain": "good", "within": "421 4.7.0 No required SSL certificate"}},
    "within-550": {HERE: {"fake": "", "chain": "good", "within": "550 5.7.1 No"}},
    "greets-554": {HERE: {"fake": "", "chain": "good", "banner": "554 5.7.1 No"}},
    "greets-421": {HERE: {"fake": "", "chain": "good", "banner": "421 4.3.2 Busy"}},
    "sni": {HERE: {"fake": "", "chain": "selfsigned", "named": "good"}},
    "half": {HERE: {"smtpd_tls_security_level": "none"}, BESIDE: {}},
    "both": {HERE: {"smtpd_tls_security_level": "none"}, SIX: {}},
    "six": {SIX: {}},
    "dead6": {HERE: {}, SIX: None},
    "dead": {HERE: None},
    "first-530": {HERE: {"fake": "", "closes": "yes", "clear": MUST}, SIX: {}},
}
#: {way: settings of smtp(8)}: at may and encrypt, where a host has several addresses.
WAYS = {
    "v4": "-o inet_protocols=ipv4", "v6": "-o inet_protocols=ipv6", "p4": "-o smtp_address_preference=ipv4", "p6": "-o smtp_address_preference=ipv6",
    "two": "-o smtp_address_preference=ipv4 -o smtp_mx_address_limit=1", "bound": "-o smtp_bind_address=127.0.0.9",
    "nobody": "-o smtp_bind_address=192.0.2.9 -o smtp_bind_address_enforce=yes -o inet_protocols=ipv4",
    "asks": "-o smtp_tls_servername=hostname", "own": "-o smtp_tls_cert_file=%s/root.pem -o smtp_tls_key_file=%s/root.pem" % (FOLDER, FOLDER),
}
SEVERAL = ("half", "both", "six", "dead6", "first-530", "healthy", "plain")
CELLS = [(level, kind) for level in LEVELS for kind in KINDS]
CELLS += [("%s-%s" % (way, level), kind) for way in WAYS if way not in ("asks", "own") for level in ("may", "encrypt") for kind in SEVERAL
          if (way, kind) != ("two", "half")]  # which of the two, nobody knows
CELLS += [("asks-%s" % level, kind) for level in ("may", "verify") for kind in ("sni", "healthy")]
CELLS += [("own-%s" % level, kind) for level in ("may", "encrypt") for kind in ("demanded", "ccert", "healthy")]
BETTER = ("unknown", "returned", "waits", "clear", "Anonymous", "Untrusted", "Trusted", "Verified")


def hop(kind: str) -> str:
    return "[%s.kinds.test]:%d" % (kind, 2601 + list(KINDS).index(kind))


def recipient(service: str, kind: str) -> str:
    return "admin@%s.%s.kinds.test" % (service, kind)


def certificates() -> dict:
    """{name: Issued}"""
    root = issue("root", authority=True, kind="rsa")
    made: dict = {"root": root}
    names = tuple("%s.kinds.test" % kind for kind in KINDS if kind not in ("elsewhere", "commonname"))
    usage = (ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),)
    made["good"] = issue("good", root, names=names)
    made["selfsigned"] = issue("selfsigned", names=names)
    made["expired"] = issue("expired", root, names=names, days=(-20, -2))
    made["sha1"] = issue("sha1", names=names, kind="rsa", identifiers=False)
    made["commonname"] = issue("commonname.kinds.test", root, extensions=usage)
    made["elsewhere"] = issue("elsewhere.example", root)
    return made


def services(digest: str) -> list:
    """Lines of master.cf: smtp(8) at each level, and smtpd(8) of each kind."""
    base = "unix - - n - - smtp -o smtp_tls_security_level=%s -o smtp_tls_fingerprint_cert_match=" + digest
    lines = ["l-%s %s" % (level, base % level) for level in LEVELS]
    lines += ["l-%s-%s %s %s" % (way, level, base % level, more) for way, more in WAYS.items() for level in ("may", "encrypt", "verify")]
    for at, kind in enumerate(KINDS.values()):
        for address, own in kind.items():
            if own is not None and "fake" not in own:
                settings = dict(POSTFIX, **own)
                settings["smtpd_tls_chain_files"] = "%s/%s.pem" % (FOLDER, settings["smtpd_tls_chain_files"])
                lines.append("%s:%d inet n - n - - smtpd %s %s" % (
                    "[%s]" % address if ":" in address else address, 2601 + at, " ".join("-o %s=%s" % pair for pair in settings.items()), _DISCARD))
    return lines


def fakes() -> list:
    found = []
    for at, kind in enumerate(KINDS.values()):
        for address, own in kind.items():
            if own and "fake" in own:
                files = {name: "%s/%s.pem" % (FOLDER, own[name]) for name in ("chain", "named", "demands") if name in own}
                found.append(dict(own, address=address, port=2601 + at, **files))
    return found


def prepare(host: Host, made: dict) -> None:
    host.run("rm -rf {0}; mkdir {0}".format(FOLDER))
    for name, issued in made.items():
        host.write("%s/%s.pem" % (FOLDER, name), issued.key_pem() + issued.pem)
    # Python's cryptography signs nothing with SHA-1 any more.
    host.run("cd %s && openssl pkey -in sha1.pem -out sha1.key && openssl x509 -in sha1.pem -CA root.pem -CAkey root.pem -sha1 -days 30 -out sha1.crt"
             " -set_serial 7 && cat sha1.key sha1.crt >sha1.pem" % FOLDER)
    host.write("%s/kinds.json" % FOLDER, json.dumps(fakes()))
    host.write("%s/kinds.py" % FOLDER, (Path(__file__).resolve().parents[1] / "kinds.py").read_text(encoding="utf-8"))
    hosts = "".join("%s %s.kinds.test\n" % (address, kind) for kind, there in KINDS.items() for address in there)
    host.write("/etc/hosts", hosts, append=True)
    host.write("/etc/postfix/transport", "".join(
        "%s.%s.kinds.test l-%s:%s\n" % (service, kind, service, hop(kind)) for service, kind in CELLS))
    digest = ":".join(re.findall("..", made["good"].sha256.upper()))
    host.write("/etc/postfix/master.cf", "\n".join([*services(digest), ""]), append=True)
    host.run(
        "postsuper -d ALL; postconf -e transport_maps=texthash:/etc/postfix/transport smtp_tls_policy_maps= smtp_tls_CAfile=%s/root.pem smtp_tls_CApath="
        " smtp_tls_fingerprint_digest=sha256 smtp_dns_support_level=disabled smtp_tls_loglevel=1 minimal_backoff_time=1000s"
        " inet_protocols=all 'smtp_tls_mandatory_protocols=!SSLv2, !SSLv3' 'smtp_tls_protocols=!SSLv2, !SSLv3'"
        " smtp_tls_mandatory_ciphers=medium smtp_tls_exclude_ciphers= smtp_tls_mandatory_exclude_ciphers=;"
        " postfix stop; for i in 1 2 3; do postfix start && break; sleep 1; done" % FOLDER)
    host.run("nohup python3 {0}/kinds.py {0}/kinds.json >{0}/kinds.log 2>&1 </dev/null & echo $! >{0}/pid; sleep 1".format(FOLDER))


def delivered(host: Host) -> dict:
    """{(service, kind): each Try} of a message each; what waits is tried twice."""
    log_from = int(host.run("wc -c </var/log/mail.log"))
    host.run("for to in %s; do printf 'Subject: x\\n\\ny\\n' | sendmail -f '' $to; done" % " ".join(recipient(*cell) for cell in CELLS))

    def seen() -> dict:
        found = tries(host.run("tail -c +%d /var/log/mail.log" % (log_from + 1)))
        return {cell: found[recipient(*cell)[6:]] for cell in CELLS if recipient(*cell)[6:] in found}

    wait(lambda: len(seen()) == len(CELLS), 120)
    # Postfix falls back to the clear on a retry alone, once a message is that old.
    host.run("postconf -e minimal_backoff_time=1s && postfix reload")
    for _flush in range(8):
        time.sleep(2)
        host.run("postqueue -f")
        if wait(lambda: all(found[-1].word != "deferred" or len(found) > 1 for found in seen().values()), 4):
            break
    return seen()


@pytest.fixture(scope="module")
def truth() -> Iterator[dict]:
    """{host: {(service, kind): what became of it, one of BETTER}}; the hosts are the same again afterwards."""
    made = certificates()
    for name in SENDERS:
        Host(name).run("rm -rf /root/postfix-before && cp -a /etc/postfix /root/postfix-before; cp /etc/hosts /root/hosts-before")
    try:
        with ThreadPoolExecutor(len(SENDERS)) as pool:
            list(pool.map(lambda name: prepare(Host(name), made), SENDERS))
            found = dict(zip(SENDERS, pool.map(lambda name: delivered(Host(name)), SENDERS)))
        yield {name: {cell: _became(there[-1]) for cell, there in seen.items()} for name, seen in found.items()}
    finally:
        for name in SENDERS:
            Host(name).run("kill $(cat {0}/pid); postsuper -d ALL; rm -rf /etc/postfix {0} && mv /root/postfix-before /etc/postfix;"
                           " cat /root/hosts-before >/etc/hosts; postfix stop; for i in 1 2 3; do postfix start && break; sleep 1; done".format(FOLDER))


def _became(last) -> str:
    return {"deferred": "waits", "bounced": "returned"}.get(last.word, last.word)


@pytest.fixture(scope="module")
def told(truth: dict) -> dict:
    """{host: (RV(results) of tls_policy_info for CELLS, of tls_survey_info for KINDS)}"""
    def asked(name: str) -> tuple:
        policy = ask(name, "mailsec.postfix_tls.tls_policy_info", "--become", recipients=[recipient(*cell) for cell in CELLS], probe=True, timeout=8)[name]
        survey = ask(name, "mailsec.postfix_tls.tls_survey_info", "--become", destinations=[hop(kind) for kind in KINDS], timeout=8)[name]
        assert not policy["failed"] and not survey["failed"], (policy, survey)
        return policy["results"], survey["results"]

    with ThreadPoolExecutor(len(truth)) as pool:
        return dict(zip(truth, pool.map(asked, truth)))


@pytest.mark.parametrize("name", SENDERS)
def test_what_is_predicted_is_what_postfix_does(name: str, truth: dict, told: dict) -> None:
    assert len(truth[name]) == len(CELLS), "not every message was tried"
    wrong = {}
    for cell, result in zip(CELLS, told[name][0]):
        outcome = result["next_hops"][0]["outcome"] or {"delivered": True, "word": "unknown", "reason": ""}
        said = outcome["word"] if outcome["delivered"] else "returned" if "Postfix returns it" in outcome["reason"] else "waits"
        became = truth[name][cell]
        worse = BETTER.index(said) < BETTER.index(became) and re.search("left to chance|is not known", outcome["reason"])
        nowhere = said == "waits" and became == "returned" and "inet_protocols" in outcome["reason"]
        if said != became and not worse and not nowhere:
            wrong["-".join(cell)] = (said, became, outcome["reason"])
    assert not wrong, "\n" + "\n".join("%s: %s" % pair for pair in wrong.items())
    assert set(BETTER[1:]) - {"Anonymous"} <= set(truth[name].values()), "there is a partner of each sort"


@pytest.mark.parametrize("name", SENDERS)
def test_what_is_proposed_stops_no_mail(name: str, truth: dict, told: dict) -> None:
    wrong = {}
    for kind, result in zip(KINDS, told[name][1]):
        for level in ("encrypt", "verify", "secure"):
            became = truth[name][level, kind]
            if result["levels"][level]["works"] != (became not in ("waits", "returned")):
                wrong[kind, level] = (result["levels"][level], became)
        became = truth[name].get((result["strongest"], kind))
        if became in ("waits", "returned") or (became is None) != (result["strongest"] == "unknown"):
            wrong[kind] = (result["strongest"], became, result["why"])
    assert not wrong, "\n" + "\n".join("%s: %s" % pair for pair in wrong.items())
