# SPDX-License-Identifier: GPL-3.0-or-later
"""What we and each peer see of a host, as sentences that can be held against each other: {what: {sentence}}.

    versions      SSLv3 refused                        as far as the peer can ask
    suites        TLSv1.2 TLS_RSA_WITH_AES_128_CCM     accepted with that version, under IANA's names
    groups        TLSv1.3 X25519                       accepted with TLS 1.2 or TLS 1.3, under the names of our table
    order         server, client                       whose order of suites counts with TLS 1.2
    certificates  RSA 2 SHA256                         by key of the leaf, place in the chain and digest
    dh            DHE 2048 bits                        of suites with a certificate; of others, anonymous DHE 1024 bits
    signatures    SHA1 refused                         of a handshake of TLS 1.2

A peer speaks only of what it can look at; limits.py says where it can't see all of that.
"""
from __future__ import annotations

import re
import shlex
import subprocess
from typing import Iterator, NamedTuple
from xml.etree import ElementTree

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import groups, suites
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from reach import Host

#: What is compared.
WHAT = ("versions", "suites", "groups", "order", "certificates", "dh", "signatures")
VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
CALLED = {"TLSv1.0": "TLSv1"}
#: Versions whose groups we enumerate.
_GROUPED = ("TLSv1.2", "TLSv1.3")
_LEAVES = {"RSA": "aRSA", "ECDSA": "aECDSA"}
#: Two orders of suites that every host here has, whatever its certificate.
_ORDERS = ("ECDHE+AES128+AESGCM:ECDHE+AES256+AESGCM", "ECDHE+AES256+AESGCM:ECDHE+AES128+AESGCM")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Seen(NamedTuple):
    """said: {what: {sentence}}. version: of the peer, () where it is one of Debian's on a lab host."""

    said: dict
    version: tuple = ()


def we(host: Host) -> Seen:
    facts = probe(Target(host.fqdn, address=host.address), Look(depth="full", timeout=60, ca_file=host.vars["lab_ca_file"]))
    tls = facts["tls"]
    assert tls["accepted"]["complete"], tls
    return Seen({
        "versions": {"%s %s" % (name, tls["versions"][name]["verdict"]) for name in VERSIONS},
        "suites": {"%s %s" % (version, name) for version, names in tls["accepted"]["suites"].items() for name in names},
        "groups": {"%s %s" % (version, name) for version, names in tls["accepted"]["groups"].items() for name in names},
        "order": {tls["order"]["verdict"]},
        "certificates": {
            "%s %d %s" % (chain["algorithm"], place, certificate["sha256"])
            for chain in facts["chains"] for place, certificate in enumerate(chain["certificates"], 1)
        },
        "dh": {"DHE %d bits" % tls["dh_bits"]} if tls["dh_bits"] else set(),
        "signatures": {"SHA1 %s" % tls["signatures"]["weak"]["verdict"]},
    })


def sslscan(host: Host) -> Seen:
    told = xml("sslscan", "--starttls-smtp", "--show-certificate", "--show-sigs", "--sni-name=%s" % host.fqdn, "--xml=-", "%s:25" % host.address)
    versions = {"%sv%s" % (found.get("type").upper(), found.get("version")): found.get("enabled") for found in told.iter("protocol")}
    ciphers = [(_version(found), suites.BY_CODE[int(found.get("id"), 16)], found) for found in told.iter("cipher")]
    return Seen({
        "versions": {"%s %s" % (CALLED.get(name, name), _verdict(enabled == "1")) for name, enabled in versions.items() if name != "SSLv2"},
        "suites": {"%s %s" % (version, suite.name) for version, suite, _found in ciphers},
        "groups": {"%s %s" % (_version(found), groups.BY_CODE[int(found.get("id"), 16)].name) for found in told.iter("group")},
        "certificates": _chain(found.text for found in told.iter("certificate-blob")),
        "dh": {_dh(suite, found.get("dhebits")) for version, suite, found in ciphers if version == "TLSv1.2" and found.get("dhebits")},
        "signatures": {"SHA1 %s" % _verdict(any(
            _version(found) == "TLSv1.2" and found.get("name").endswith(("_sha1", "_md5"))
            for found in told.iter("connection-signature-algorithm")
        ))},
    }, _numbers(told.get("version")))


def nmap(host: Host) -> Seen:
    told = xml("nmap", "-sT", "-Pn", "-n", "-p25", "--script", "ssl-enum-ciphers,ssl-cert", "-oX", "-", host.address)
    tables = {CALLED.get(table.get("key"), table.get("key")): table for table in told.findall(".//script[@id='ssl-enum-ciphers']/table")}
    rows = [
        (version, row.findtext("elem[@key='name']"), row.findtext("elem[@key='kex_info']") or "")
        for version, table in tables.items() for row in table.findall("table[@key='ciphers']/table")
    ]
    exchanges = [(version, name, exchange) for version, name, exchange in rows if version in _GROUPED]
    return Seen({
        "versions": {"%s %s" % (name, _verdict(name in tables)) for name in VERSIONS},
        "suites": {"%s %s" % (version, name) for version, name, _exchange in rows},
        "groups": {
            "%s %s" % (version, _group(exchange)) for version, name, exchange in exchanges if not re.match("(dh|rsa) ", exchange)
        },
        "order": {tables["TLSv1.2"].findtext("elem[@key='cipher preference']")},
        "certificates": _chain(found.text for found in told.findall(".//script[@id='ssl-cert']/elem[@key='pem']")),
        "dh": {
            _dh(suites.BY_NAME[name], exchange.split()[1])
            for version, name, exchange in exchanges if version == "TLSv1.2" and exchange.startswith("dh ")
        },
    }, _numbers(told.get("version")))


def s_client(vantage: Host, host: Host) -> Seen:
    start = "timeout 10 openssl s_client -starttls smtp -connect %s:25 -servername %s " % (host.address, host.fqdn)
    questions = {
        ("version", name): "-%s -cipher ALL:@SECLEVEL=0" % option
        for name, option in zip(VERSIONS, ("ssl3", "tls1", "tls1_1", "tls1_2", "tls1_3"))
    }
    for group in groups.GROUPS:
        questions["TLSv1.3", group.name] = "-tls1_3 -cipher ALL:@SECLEVEL=0 -groups %s" % group.name
        questions["TLSv1.2", group.name] = "-tls1_2 -cipher kECDHE:@SECLEVEL=0 -groups %s" % group.name
        # RFC 8422 section 5.1: to be shown an ECDSA certificate one has to offer its curve too.
        questions["TLSv1.2", group.name, "and P-256"] = "-tls1_2 -cipher kECDHE:@SECLEVEL=0 -groups %s:prime256v1" % group.name
    questions.update({("chain", key): "-tls1_2 -showcerts -cipher %s:@SECLEVEL=0" % alias for key, alias in _LEAVES.items()})
    questions.update({("order", order): "-tls1_2 -cipher %s" % order for order in _ORDERS})
    questions["dh",] = "-tls1_2 -cipher DHE:@SECLEVEL=0"
    questions["signature",] = "-tls1_2 -sigalgs ECDSA+SHA1:RSA+SHA1 -cipher ECDHE:DHE:@SECLEVEL=0"
    told = asked(vantage, {question: start + options + " </dev/null" for question, options in questions.items()})

    verdicts = {question: _s_client_verdict(answer) for question, answer in told.items()}
    keys = {question: re.search(r"Temp Key: (?:ECDH, )?([\w-]+), (\d+) bits", answer) for question, answer in told.items()}
    accepted = {"TLSv1.3 %s" % question[1] for question, verdict in verdicts.items() if question[0] == "TLSv1.3" and verdict == "accepted"}
    accepted |= {"TLSv1.2 %s" % question[1] for question, key in keys.items() if question[0] == "TLSv1.2" and key and _group(key[1]) == question[1]}
    chosen = [re.search(r"Cipher is (\S+)", told["order", order])[1] for order in _ORDERS]
    return Seen({
        "versions": {"%s %s" % (name, verdicts["version", name]) for name in VERSIONS if verdicts["version", name]},
        "groups": accepted,
        "order": {"server" if chosen[0] == chosen[1] else "client"},
        "certificates": _chain(*(_PEM.findall(told["chain", key]) for key in _LEAVES)),
        "dh": {"DHE %s bits" % keys["dh",][2]} if verdicts["dh",] == "accepted" else set(),
        "signatures": {"SHA1 %s" % verdicts["signature",]},
    })


def posttls_finger(vantage: Host, host: Host) -> Seen:
    start = "timeout 10 posttls-finger -c -l encrypt -s %s " % host.fqdn
    medium = "-o tls_medium_cipherlist=%s:@SECLEVEL=0 "
    questions = {("version", name): "-p %s %s" % (name, medium % "ALL") for name in VERSIONS}
    for group in groups.GROUPS:
        parameters = ("", group.name) if group.kind == "ffdhe" else (group.name, "")
        questions["group", group.name] = "-p TLSv1.3 -o tls_eecdh_auto_curves=%s -o tls_ffdhe_auto_groups=%s" % parameters
    questions.update({("chain", key): "-C -p TLSv1.2 " + medium % alias for key, alias in _LEAVES.items()})
    questions.update({("order", order): "-p TLSv1.2 " + medium % order for order in _ORDERS})
    told = asked(vantage, {
        question: "%s %s '[%s]:25'" % (start, options, host.address) for question, options in questions.items()
    })

    connected = {question: re.search(r"TLS connection established to \S+ \S+ with cipher (\S+)", answer) for question, answer in told.items()}
    keys = {question: re.search(r"key-exchange (\S+)", answer) for question, answer in told.items()}
    verdicts = {name: "accepted" if connected["version", name] else "refused" if "SSL alert number" in told["version", name] else ""
                for name in VERSIONS}
    first, second = (connected["order", order][1] for order in _ORDERS)
    return Seen({
        "versions": {"%s %s" % (name, verdict) for name, verdict in verdicts.items() if verdict},
        # A group that OpenSSL does not know is left out by Postfix, and others take its place.
        "groups": {
            "TLSv1.3 %s" % question[1] for question, key in keys.items() if question[0] == "group" and key and _group(key[1]) == question[1]
        },
        "order": {"server" if first == second else "client"},
        "certificates": _chain(*(_PEM.findall(told["chain", key]) for key in _LEAVES)),
    })


def xml(*command: str) -> ElementTree.Element:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    assert done.stdout.startswith("<?xml"), "%s said no XML:\n%s%s" % (command[0], done.stdout, done.stderr)
    return ElementTree.fromstring(done.stdout)


def asked(vantage: Host, commands: dict) -> dict:
    """{question: what the command said}, all of them in one session on the vantage."""
    mark = "----- next question -----"
    script = "\n".join("echo %s; %s 2>&1" % (shlex.quote(mark), command) for command in commands.values())
    answers = vantage.run(script, check=False).split(mark + "\n")[1:]
    assert len(answers) == len(commands), answers
    return dict(zip(commands, answers))


def _s_client_verdict(answer: str) -> str:
    """Empty where it could not even ask."""
    if re.search(r"Cipher is (?!\(NONE\))", answer):
        return "accepted"
    return "refused" if "SSL alert number" in answer else ""


def _chain(*chains: Iterator) -> set:
    """Sentences about chains of PEM, leaf first."""
    said = set()
    for chain in chains:
        certificates = [x509.load_pem_x509_certificate(pem.strip().encode()) for pem in chain]
        for place, certificate in enumerate(certificates, 1):
            key = "ECDSA" if isinstance(certificates[0].public_key(), ec.EllipticCurvePublicKey) else "RSA"
            said.add("%s %d %s" % (key, place, certificate.fingerprint(hashes.SHA256()).hex()))
    return said


def _verdict(accepted: bool) -> str:
    return "accepted" if accepted else "refused"


def _version(found: ElementTree.Element) -> str:
    return CALLED.get(found.get("sslversion"), found.get("sslversion"))


def _group(name: str) -> str:
    """As our table has it, or as the peer says."""
    known = groups.named(name)
    return known.name if known else name


def _dh(suite: suites.Suite, bits: str) -> str:
    return "%sDHE %s bits" % ("anonymous " if suite.authentication == "anonymous" else "", bits)


def _numbers(version: str) -> tuple:
    return tuple(int(number) for number in re.findall(r"\d+", version))
