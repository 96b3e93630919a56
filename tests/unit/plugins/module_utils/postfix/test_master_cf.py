# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of master.cf with their overrides, in every way master(5) lets people write them, edited in place."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import master_cf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import MasterCf
from hypothesis import given, settings
from hypothesis import strategies as st

COLUMNS = "smtp      inet  n       -       y       -       -       smtpd"


def overrides(arguments: str) -> dict:
    [service] = master_cf.services(COLUMNS + arguments)
    return service.overrides


def test_columns_become_name_kind_and_program() -> None:
    [tabbed] = master_cf.services(COLUMNS + "\t-v\r\n")
    assert (tabbed.name, tabbed.kind, tabbed.program) == ("smtp", "inet", "smtpd")
    [service] = master_cf.services("# comment\n\n127.0.0.1:10025 inet n - y - - smtpd\n")
    assert (service.name, service.kind, service.program) == ("127.0.0.1:10025", "inet", "smtpd")


def test_a_line_that_does_not_begin_with_a_blank_is_a_service_of_its_own() -> None:
    text = "%s\n\t-o a=1\nsubmission inet n - y - - smtpd\n  -o a=2\n" % COLUMNS
    assert [(service.name, service.overrides) for service in master_cf.services(text)] == [("smtp", {"a": "1"}), ("submission", {"a": "2"})]


def test_overrides_are_read_in_each_of_their_forms() -> None:
    wanted = {"smtpd_tls_security_level": "encrypt"}
    assert overrides(" -o smtpd_tls_security_level=encrypt") == wanted
    assert overrides(" -osmtpd_tls_security_level=encrypt") == wanted
    assert overrides("\n  -o smtpd_tls_security_level=encrypt") == wanted
    assert overrides("\n# a comment\n\n  -o smtpd_tls_security_level=encrypt") == wanted
    assert overrides(" -o { smtpd_tls_security_level = encrypt }") == wanted
    assert overrides(" -v -o smtpd_tls_security_level=may -o smtpd_tls_security_level=encrypt") == wanted


def test_a_value_in_braces_keeps_its_blanks() -> None:
    assert overrides(" -o { smtpd_client_restrictions = permit_mynetworks, reject }") == {
        "smtpd_client_restrictions": "permit_mynetworks, reject",
    }


def test_what_an_override_says_is_what_postconf_says_it_is() -> None:
    """The forms that postconf -P of 3.5 and 3.10 was asked about."""
    assert overrides("\t-v\t-o\tsmtpd_tls_security_level=may") == {"smtpd_tls_security_level": "may"}
    assert overrides(" -o smtpd_tls_chain_files=${my_chain}") == {"smtpd_tls_chain_files": "${my_chain}"}
    assert overrides(" -o {myhostname=${x?{a b}:{c}}}") == {"myhostname": "${x?{a b}:{c}}"}
    assert overrides(" -o { smtpd_banner = it's {nested} here }") == {"smtpd_banner": "it's {nested} here"}
    assert overrides(" -o smtpd_banner=\"quoted it's") == {"smtpd_banner": '"quoted'}
    assert overrides(" -o smtpd_banner=a\\ b -o mynetworks=[::1]") == {"smtpd_banner": "a\\", "mynetworks": "[::1]"}
    assert overrides(" -o {a=b") == {"{a": "b"}
    assert overrides(" -o smtpd_tls_loglevel") == {} and overrides(" -o") == {}


def test_a_line_with_too_few_columns_is_left_to_postfix() -> None:
    assert master_cf.services("smtp inet n - y\n") == []
    assert master_cf.services("  -o a=b\n") == []


@given(st.text())
def test_junk_raises_nothing(text: str) -> None:
    for service in master_cf.services(text):
        assert isinstance(service.overrides, dict)


@given(st.text())
def test_junk_behind_a_service_raises_nothing(text: str) -> None:
    assert master_cf.services(COLUMNS + " " + text)


LEVEL = "smtpd_tls_security_level"
PIECES = st.lists(st.sampled_from([
    " -o a=1", "\n  -o a=2", "\n  -o b=x", " -oa=3", " -o { a = 4 5 }", "\n# -o a=9", "\n   # note", "\n", "\n\t-o\ta=6", " -v", "\n  -o\n  a=7",
    "\n  -o\n# between\n  a=8", " {a", "\n  flags=DR user=x", "\n  -o c=${x?{a b}:{c}}",
])).map("".join)
SERVICES = st.lists(st.tuples(st.sampled_from(["smtp inet", "submission inet", "smtp unix", "[::1]:25 inet"]), PIECES)).map(
    lambda entries: "# top\n" + "".join("%s n - y - - smtpd%s\n" % entry for entry in entries))


def comments(text: str) -> list:
    return [line.strip() for line in text.split("\n") if line.lstrip().startswith("#")]


@given(st.one_of(st.text(), SERVICES))
def test_unasked_it_gives_back_what_it_was_given(text: str) -> None:
    assert MasterCf(text).text() == text


@settings(deadline=None)
@given(SERVICES, st.sampled_from(["a", LEVEL]), st.sampled_from(["9", "9 8", "", "$b", "{x}", "a={b c}"]))
def test_what_was_set_is_what_is_read_everything_else_stays_and_setting_it_again_changes_nothing(text: str, name: str, value: str) -> None:
    for key in {service.key for service in master_cf.services(text)}:
        master, before = MasterCf(text), master_cf.services(text)
        master.set(key, name, value)
        after = master_cf.services(master.text())
        changed = [(old, new) for old, new in zip(before, after) if old != new]
        assert len(before) == len(after) and len(changed) <= 1
        [last] = [service for service in after if service.key == key][-1:]
        assert last.overrides[name] == value
        for old, new in changed:
            assert dict(old.overrides, **{name: value}) == new.overrides
        assert comments(master.text()) == comments(text)
        again = MasterCf(master.text())
        again.set(key, name, value)
        assert again.text() == master.text()


@settings(deadline=None)
@given(SERVICES)
def test_what_was_removed_is_gone_and_nothing_else_with_it(text: str) -> None:
    for service in master_cf.services(text):
        master = MasterCf(text)
        master.remove(service.key, "a")
        after = master_cf.services(master.text())
        [last] = [one for one in after if one.key == service.key][-1:]
        [was] = [one for one in master_cf.services(text) if one.key == service.key][-1:]
        assert last.overrides == {name: value for name, value in was.overrides.items() if name != "a"}
        assert comments(master.text()) == comments(text)


@pytest.mark.parametrize("before, after", [
    ("", "\n  -o a=5"),
    ("\n  -o b=1\n  -o a=1\n  -o c=2", "\n  -o b=1\n  -o a=5\n  -o c=2"),
    ("\n\t-o b=1", "\n\t-o b=1\n\t-o a=5"),
    ("\n  -o a=1\n  -o b=1\n  -o a=2", "\n  -o b=1\n  -o a=5"),
    (" -o a=1 -v", " -o a=5 -v"),
    (" -o b=1 flags=x", " -o b=1 -o a=5 flags=x"),
    ("\n  -o { a = 1 2 }\n# said\n  -v", "\n  -o a=5\n# said\n  -v"),
])
def test_an_override_is_replaced_where_it_stands_or_put_behind_the_others(before: str, after: str) -> None:
    master = MasterCf(COLUMNS + before + "\nother unix - - y - - smtp\n")
    master.set("smtp/inet", "a", "5")
    assert master.text() == COLUMNS + after + "\nother unix - - y - - smtp\n"


@pytest.mark.parametrize("before, after", [
    ("\n  -o a=1\n  -o b=1", "\n  -o b=1"), (" -o a=1 -v", " -v"), ("\n  -o a=1 -o b=1", "\n  -o b=1"), ("\n  -o a=1", ""),
    ("\n  -o b=1 -o a=1", "\n  -o b=1"),
])
def test_an_override_that_goes_takes_its_line_with_it(before: str, after: str) -> None:
    master = MasterCf(COLUMNS + before + "\n")
    master.remove("smtp/inet", "a")
    assert master.text() == COLUMNS + after + "\n"


def test_a_value_with_an_unpaired_brace_is_refused() -> None:
    with pytest.raises(PostfixTlsError, match="smtp/inet: a = {x: its braces are not paired"):
        MasterCf(COLUMNS).set("smtp/inet", "a", "{x")


@pytest.mark.parametrize("ask", [lambda master: master.remove("smtp/inet", "a"), lambda master: master.set("smtp/inet", "a", "5")])
def test_words_that_would_become_a_comment_are_refused(ask) -> None:
    """smtpd(8) does not even start with such words; alone on a line they would be gone."""
    with pytest.raises(PostfixTlsError, match="a # among its words is no comment"):
        ask(MasterCf(COLUMNS + "\n  -o a=1 # note -o b=2 -o a=3\n"))
