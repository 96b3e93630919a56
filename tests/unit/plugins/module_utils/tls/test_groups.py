# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups bear the names that OpenSSL takes, and the codes it sends for them."""
from __future__ import annotations

import re
import socket
import subprocess

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.groups import BY_CODE, BY_NAME, GROUPS, named

#: openssl ecparam knows them under the same names, with their sizes.
LISTED = subprocess.run(["openssl", "ecparam", "-list_curves"], capture_output=True, text=True, check=True).stdout
BITS = {name: int(bits) for name, bits in re.findall(r"^\s*(\S+)\s*:.*?(\d+) bit", LISTED, re.MULTILINE)}


def sent(name: str) -> list:
    """The codes in the ClientHello of C(openssl s_client -groups name); none when it does not know the name."""
    # A group that TLS 1.3 does not have is sent by a client that does not offer TLS 1.3.
    return groups_of(hello("-groups", name)) or groups_of(hello("-groups", name, "-tls1_2"))


def hello(*options: str) -> bytes:
    """What openssl s_client sends first: a ClientHello, an alert if it cannot make one, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % listener.getsockname()[1], "-cipher", "ALL:@SECLEVEL=0", *options]
        client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        listener.settimeout(0.05)
        while True:
            try:
                connection = listener.accept()[0]
                break
            except socket.timeout:
                if client.poll() is not None:
                    return b""
        with connection:
            said = connection.recv(65536)
        client.wait()
    return said


def groups_of(record: bytes) -> list:
    """The codes of extension 10 of a record with a ClientHello; none of any other record."""
    if record[:1] != b"\x16":
        return []
    at = 5 + 4 + 2 + 32
    at += 1 + record[at]
    at += 2 + int.from_bytes(record[at:at + 2], "big")
    at += 1 + record[at] + 2
    while at < len(record):
        kind, size = int.from_bytes(record[at:at + 2], "big"), int.from_bytes(record[at + 2:at + 4], "big")
        if kind == 10:
            return [int.from_bytes(record[here:here + 2], "big") for here in range(at + 6, at + 4 + size, 2)]
        at += 4 + size
    return []


def test_codes_and_names_are_each_there_once() -> None:
    assert len(BY_CODE) == len(GROUPS) == len({group.name.lower() for group in GROUPS})


def test_openssl_sends_the_code_for_the_name() -> None:
    seen = {group.name: sent(group.name) for group in GROUPS}
    known = {name: codes for name, codes in seen.items() if codes}
    assert {"X25519", "X448", "prime256v1", "secp384r1", "secp521r1", "brainpoolP512r1", "ffdhe3072"} <= set(known), known
    assert known == {name: [named(name).code] for name in known}


def test_openssl_takes_a_name_since_the_release_that_we_say() -> None:
    told = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    library = tuple(int(number) for number in re.findall(r"\d+", told)[:3])
    taken = {group.name for group in GROUPS if group.since and sent(group.name)}
    assert taken == {group.name for group in GROUPS if group.since and group.since <= library}


@pytest.mark.parametrize("curve", sorted(set(BITS) & {group.name for group in GROUPS}))
def test_a_curve_has_the_size_openssl_says(curve: str) -> None:
    assert named(curve).bits == BITS[curve] and named(curve).kind == "ecdhe"


@pytest.mark.parametrize("alias, code", [
    ("P-256", 0x17), ("secp256r1", 0x17), ("P-384", 0x18), ("P-521", 0x19), ("p-224", 0x15), ("B-233", 7), ("K-571", 13)])
def test_an_alias_is_the_same_group_to_us_and_to_openssl(alias: str, code: int) -> None:
    assert named(alias) is BY_CODE[code] and sent(alias) in ([code], [])


def test_names_are_found_in_any_case_and_typos_are_not() -> None:
    assert named("x25519mlkem768") is named("X25519MLKEM768") is GROUPS[0] and named("PRIME256V1") is BY_NAME["p-256"]
    assert named("X25519MLKEM") is None and named("") is None


def test_a_hybrid_is_named_after_its_curve_and_a_prime_after_its_size() -> None:
    for group in GROUPS:
        assert (group.kind == "hybrid") == ("MLKEM" in group.name)
        assert (group.kind == "ffdhe") == (group.name == "ffdhe%d" % group.bits)
