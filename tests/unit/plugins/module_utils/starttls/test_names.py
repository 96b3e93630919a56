# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate is made out to what OpenSSL, too, would take it for."""
from __future__ import annotations

import ssl
import tempfile

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.names import ascii_name, covers
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
    ("192.0.2.1", "192.0.2.1", True),
    ("192.0.2.1", "192.0.2.2", False),
    ("2001:db8::1", "2001:DB8:0:0:0:0:0:1", True),
    ("2001:db8::1", "::1", False),
    ("mx.example.org", "192.0.2.1", False),
    ("192.0.2.1", "mx.example.org", False),
]


def openssl_takes_it(name: str, wanted: str) -> bool:
    """Whether Python's ssl, with its own check of the name, finishes a handshake."""
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
])
def test_every_name_counts_by_its_own_kind(names: list, wanted: str, covered: bool) -> None:
    assert covers(names, wanted) is covered


def test_a_name_in_another_script_is_taken_as_dns_has_it() -> None:
    assert ascii_name("mxé.example.") == "xn--mx-cja.example" and ascii_name("mx_1.example.org") == "mx_1.example.org"
    for nothing in ("", ".", "...", "a..b", "é..b"):
        with pytest.raises(UnicodeError):
            ascii_name(nothing)
