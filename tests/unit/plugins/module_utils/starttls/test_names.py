# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate is made out to what OpenSSL, too, would take it for."""
from __future__ import annotations

import socket
import ssl
import tempfile

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.names import ascii_name, covers
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.probe import probe
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Look, Target
from issuing import issue

CASES = [
    ("mx.example.org", "mx.example.org", True),
    ("MX.Example.org", "mx.eXample.ORG", True),
    ("mx.example.org", "mx.example.org.", True),
    ("mx.example.org", "x.mx.example.org", False),
    ("mx.example.org", "mx.example.or", False),
    ("*.example.org", "mx.example.org", True),
    ("*.example.org", "example.org", False),
    ("*.example.org", "a.mx.example.org", False),
    ("*.org", "example.org", False),
    ("m*.example.org", "mx.example.org", False),
    ("*.*.example.org", "a.mx.example.org", False),
    ("mx.*.org", "mx.example.org", False),
    ("mx.example.org.", "mx.example.org", False),
    ("mx.example.org.", "mx.example.org.", False),
    ("mx.example.org..", "mx.example.org", False),
    ("*.example.org.", "mx.example.org", False),
    ("mx_1.example.org", "mx_1.example.org", True),
    ("*.example.org", "mx_1.example.org", False),  # a star stands for letters, digits and hyphens
    ("*.mx_1.example.org", "a.mx_1.example.org", False),
    ("*.mx-.example.org", "a.mx-.example.org", False),
    ("*.-mx.example.org", "a.-mx.example.org", False),
    ("*.example.org", "xn--mx-eka.example.org", True),
    ("*.xn--mx-eka.org", "mx.xn--mx-eka.org", True),
    ("xn--*.example.org", "xn--mx-eka.example.org", False),
    ("*mx.example.org", "amx.example.org", False),
    ("192.0.2.1", "192.0.2.1", True),
    ("192.0.2.1", "192.0.2.2", False),
    ("2001:db8::1", "2001:DB8:0:0:0:0:0:1", True),
    ("2001:db8::1", "::1", False),
    ("mx.example.org", "192.0.2.1", False),
    ("192.0.2.1", "mx.example.org", False),
]


def openssl_takes_it(name: str, wanted: str) -> bool:
    """Whether Python's ssl, with its own check of the name (X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, as Postfix has it), finishes a handshake."""
    leaf = issue(name)
    server_context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cadata=leaf.pem)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(leaf.key_pem() + leaf.pem)
        file.flush()
        server_context.load_cert_chain(file.name)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=wanted)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            assert error.verify_code in (62, 64), error  # another host name, another address
            return False
    return True


@pytest.mark.parametrize("name, wanted, covered", CASES)
def test_a_name_is_covered_where_openssl_takes_it(name: str, wanted: str, covered: bool) -> None:
    kind = "IP:" if ":" in name or name[0].isdigit() else "DNS:"
    assert covers([kind + name], wanted) is covered
    assert openssl_takes_it(name, wanted.rstrip(".")) is covered


@pytest.mark.parametrize("names, wanted, covered", [
    (["DNS:other.example", "DNS:mx.example.org"], "mx.example.org", True),
    ([], "mx.example.org", False),
    (["DNS:192.0.2.1"], "192.0.2.1", False),
    (["IP:mx.example.org"], "mx.example.org", False),
    (["DNS:mx.example.org\\x00.example.net"], "mx.example.org", False),
    (["DNS:*"], "mx", False),
    (["DNS:*.example.org"], ".example.org", False),
    (["DNS:*..example.org"], "mx..example.org", False),
    (["DNS:", "DNS:."], ".", False),
    (["DNS:mx.test"], "mx.test..", False),
    (["DNS:mx.\\u212atest"], "mx.ktest", False),
])
def test_every_name_counts_by_its_own_kind(names: list, wanted: str, covered: bool) -> None:
    assert covers(names, wanted) is covered


#: What `idna` 3.20 (PyPI) says with uts46=True, transitional=False; None where it is refused here, and its A-label has to be written instead.
IDN = [
    ("mxé.example.", "xn--mx-cja.example"),
    ("mx_1.Example.org", "mx_1.Example.org"),
    ("straße.example", "xn--strae-oqa.example"),
    ("faß.de", "xn--fa-hia.de"),
    ("βόλος.com", "xn--nxasmm1c.com"),
    ("ΒΌΛΟΣ.com", "xn--nxasmq6b.com"),
    ("ශ්\u200dරී.com", "xn--10cl1a0b660p.com"),
    ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
    ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
    ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),
    ("münchen。example", "xn--mnchen-3ya.example"),
    ("ｍｘ．example", "mx.example"),
    ("İstanbul.example", "xn--istanbul-o0e.example"),
    ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ("מַזָּל.example", "xn--fdbcm6h6ah.example"),
    ("ﬁsch.example", "fisch.example"),
    ("ŀl.example", "xn--ll-0ea.example"),
    ("испытание.РФ", "xn--80akhbyknj4f.xn--p1ai"),
    ("STRAẞE.example", None),  # "strasse" up to Unicode 15
    ("☃.example", None),
    ("i❤.example", None),
    ("a\u00adb.example", None),
    ("ü_x.example", None),
    ("ü-.example", None),
    ("\u0301a.example", None),
    ("xn\u2010\u2010ü.example", None),
    ("ü" * 60 + ".example", None),
    ("é..b", None),
    ("mx.é..", None),
    ("é。", "xn--9ca"),
]


@pytest.mark.parametrize("name, labels", IDN)
def test_a_name_in_another_script_is_taken_as_postfix_has_it(name: str, labels: str | None) -> None:
    if labels:
        assert ascii_name(name) == labels
    else:
        with pytest.raises(UnicodeError):
            ascii_name(name)


def test_what_dns_can_not_hold_is_no_name() -> None:
    for nothing in ("", ".", "..", "...", "a..b", "mx.example..", "a" * 64, "mx\x00.example.org", "mx .example", "mx\n"):
        with pytest.raises(UnicodeError):
            ascii_name(nothing)


def test_the_letter_that_is_refused_is_named_with_what_to_write() -> None:
    with pytest.raises(UnicodeError, match=r"IDNA 2008 does not have U\+2603 \(SNOWMAN\): write that label as DNS has it, with xn--"):
        ascii_name("☃.example")


@pytest.mark.parametrize("host, asked", [("stra\u00dfe.example", {"xn--strae-oqa.example"}), ("\u2603.example", set()), ("mx.example", {"mx.example"})])
def test_a_host_is_looked_up_by_its_a_labels(monkeypatch, host: str, asked: set) -> None:
    names = []

    def nowhere(name: str, *_arguments: object, **_how: object) -> None:
        names.append(name)
        raise socket.gaierror("no such name")
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    facts = probe(Target(host, server_name="mx.example"), Look(timeout=2.0))
    assert set(names) == asked and not facts["reachable"] and "does not resolve" in facts["error"]
