# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a domain name, and the reason that is given for what is none."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.domains import domain, in_letters


@pytest.mark.parametrize("text, folded", [
    ("example.org", "example.org"),
    ("Mail.EXAMPLE.org", "mail.example.org"),
    ("localhost", "localhost"),
    ("_dmarc.example.org", "_dmarc.example.org"),
    ("a-b.x--y.example.org", "a-b.x--y.example.org"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("1und1.de", "1und1.de"),
    ("9.example.org", "9.example.org"),
    ("a" * 63 + ".example.org", "a" * 63 + ".example.org"),
    (".".join(["a" * 63] * 3 + ["b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61])),
])
def test_a_name_is_folded(text: str, folded: str) -> None:
    assert domain(text) == folded


EMPTY = "it has an empty label: a dot at an end, or two in a row"
LETTERS = "and a label has letters, digits, underscores, and hyphens in between"


@pytest.mark.parametrize("text, reason", [
    ("", "it is empty"),
    (".", EMPTY),
    (".example.org", EMPTY),
    ("example.org.", EMPTY),
    ("example..org", EMPTY),
    ("a" * 64 + ".org", "it has a label of 64 characters, and a label has at most 63"),
    (".".join(["a" * 63] * 3 + ["b" * 62]), "it has 254 characters, and a name has at most 253"),
    ("-example.org", "it has '-example' as a label, " + LETTERS),
    ("example-.org", "it has 'example-' as a label, " + LETTERS),
    ("exa mple.org", "it has 'exa mple' as a label, " + LETTERS),
    ("example.org\n", "it has 'org\\n' as a label, " + LETTERS),
    ("example.org\nevil.org", "it has 'org\\nevil' as a label, " + LETTERS),
    ("user@example.org", "it has 'user@example' as a label, " + LETTERS),
    ("192.0.2.1", "it ends in a number, as an address does and no name"),
    ("bücher.example", "it has letters that are not ASCII, and Postfix looks up the IDNA form, xn--bcher-kva.example"),
    ("BÜCHER.example", "it has letters that are not ASCII, and Postfix looks up the IDNA form, xn--bcher-kva.example"),
    ("straße.example", "it has letters that are not ASCII, and Postfix looks up the IDNA form, xn--strae-oqa.example"),
    ("STRAẞE.example", "it has letters that are not ASCII, and Postfix looks up the IDNA form"),
    ("bücher..example", "it has letters that are not ASCII, and Postfix looks up the IDNA form"),
    ("bü cher.example", "it has letters that are not ASCII, and Postfix looks up the IDNA form"),
    ("ü" * 64 + ".example", "it has letters that are not ASCII, and Postfix looks up the IDNA form"),
])
def test_what_is_no_name_has_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        domain(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize("name, spelt", [
    ("example.org", "example.org"),
    ("xn--bcher-kva.example", "bücher.example"),
    ("mail.xn--strae-oqa.xn--p1ai", "mail.straße.рф"),
    ("xn--99999999.example", "xn--99999999.example"),
    ("xn--fa.example", "xn--fa.example"),  # U+0085, a line end to some
    ("xn--ib9b.example", "xn--ib9b.example"),  # U+D800, which UTF-8 can't hold
])
def test_an_idna_name_is_spelt_in_its_letters_where_it_has_printable_ones(name: str, spelt: str) -> None:
    assert in_letters(name) == spelt
