# SPDX-License-Identifier: GPL-3.0-or-later
"""What was set in main.cf and master.cf is what postconf of each release reads, whatever else stands there, however it is written."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.main_cf import MainCf
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.master_cf import MasterCf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reach import Host

NAMES = ("smtpd_banner", "relayhost", "smtpd_tls_loglevel", "smtp_tls_exclude_ciphers")
LINES = st.lists(st.sampled_from([
    "smtpd_banner = one", "smtpd_banner=two  ", "\tmore", "  # aside", "# smtpd_banner = comment", "", "   ", "relayhost = $smtpd_banner",
    "relayhost =", "smtp_tls_exclude_ciphers = aNULL,", "   MD5, # no comment", "smtpd_tls_loglevel =0", "smtpd_tls_loglevel\t=\t1", "\fmore",
]), max_size=12)
#: A lone $ is no value: postconf itself refuses to read on.
PARTS = st.one_of(st.sampled_from("ab 1=,:;{}#\"'\\/[]()<>!?*%~^&|+-_.@ü"), st.sampled_from(["$mail_owner", "$$", "${myhostname}"]))
VALUES = st.lists(PARTS, max_size=16).map(lambda parts: "".join(parts).strip())
ARGUMENTS = st.lists(st.sampled_from([
    " -o smtpd_banner=one", "\n  -o smtpd_banner=two", "\n\t-o\trelayhost=", "\n# -o relayhost=no", "\n\n  -o { smtpd_banner = three  four }",
    " -v", "\n   # aside", "\n  -o\n  smtpd_tls_loglevel=1", " -o smtp_tls_exclude_ciphers=aNULL,MD5",
]), max_size=6).map("".join)

_READ = "set -e; rm -rf /tmp/read; cp -a /usr/local/share/postfix-as-installed /tmp/read; cat > /tmp/read/%s; touch -d '1 minute ago' /tmp/read/*.cf; "
_HOSTS = [Host(name) for name in ("u-bullseye", "u-bookworm", "u-trixie", "u-forky")]
_SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def read(file: str, text: str, command: str) -> list:
    """What a postconf command prints of this text, of every release."""
    with ThreadPoolExecutor(len(_HOSTS)) as pool:
        return list(pool.map(lambda host: host.run(_READ % file + command, stdin=text), _HOSTS))


@_SETTINGS
@given(LINES, st.sampled_from(NAMES), VALUES)
def test_a_parameter_that_was_set_is_read_by_postconf_and_the_others_as_before(lines: list, name: str, value: str) -> None:
    main = MainCf("\n".join(["mail_owner = postfix", *lines]) + "\n")
    before = {other: main.raw(other) for other in NAMES}
    main.set(name, value)
    expected = dict(before, **{name: value})
    for printed in read("main.cf", main.text(), "postconf -c /tmp/read %s 2>/dev/null" % " ".join(NAMES)):
        seen = dict(line.split(" =", 1) for line in printed.split("\n") if line)
        assert seen[name].split() == value.split()  # some releases print several blanks as one
        for other, raw in expected.items():
            assert raw is None or seen[other].split() == raw.split()


@_SETTINGS
@given(st.lists(ARGUMENTS, min_size=2, max_size=2), st.sampled_from(NAMES), VALUES)
def test_an_override_that_was_set_is_read_by_postconf_and_the_others_as_before(arguments: list, name: str, value: str) -> None:
    text = "smtp inet n - y - - smtpd%s\n# between\nsubmission inet n - y - - smtpd%s\n" % tuple(arguments)
    master = MasterCf(text)
    expected = {"%s/%s" % (service.key, other): raw for service in master.services for other, raw in service.overrides.items()}
    try:
        master.set("smtp/inet", name, value)
    except PostfixTlsError:
        assert value.count("{") != value.count("}") or "}" in value.partition("{")[0]
        return
    expected["smtp/inet/" + name] = value
    for printed in read("master.cf", master.text(), "postconf -c /tmp/read -P 2>/dev/null"):
        seen = dict(line.split(" =", 1) for line in printed.split("\n") if line)
        # Blanks within braces are one to postconf.
        assert {key: said.split() for key, said in seen.items()} == {key: said.split() for key, said in expected.items()}
