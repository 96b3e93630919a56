# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable that a role does not have, or that is of another type, is named with what to write."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.mailsec.postfix_tls.plugins.lookup.role_complaints import ROLES, complaints
from templating import templated

OPTIONS = {
    "smtp_tls_enabled": {"type": "bool", "default": True},
    "smtp_tls_security_level": {"type": "str", "choices": ["none", "may"]},
    "smtp_tls_loglevel": {"type": "int"},
    "smtp_tls_emptied": {"type": "list", "elements": "str", "default": []},
    "smtp_tls_grade": {"type": "str", "choices": ["", "intermediate", "modern"]},
    "smtp_tls_list": {"type": "list", "elements": "dict", "options": {"destination": {"type": "str", "required": True}}},
}


def test_what_fits_is_not_complained_of() -> None:
    assert complaints("smtp_tls", OPTIONS, {"smtp_tls_list": None}) == [], "nobody wrote it"
    assert complaints("smtp_tls", OPTIONS, {"smtp_tls_enabled": "yes", "smtp_tls_loglevel": "1", "smtp_tls_list": [{"destination": "a"}]}) == []


@pytest.mark.parametrize("values, told", [
    ({"smtp_tls_enabld": True}, "smtp_tls_enabld: the role smtp_tls has no such variable; did you mean smtp_tls_enabled?"),
    ({"smtp_tls_0123456789012345678901234": True}, "smtp_tls_0123456789012345678901234: the role smtp_tls has no such variable; it has smtp_tls_emptied,"),
    ({"smtp_tls_x": True}, "smtp_tls_x: the role smtp_tls has no such variable; it has smtp_tls_emptied, smtp_tls_enabled, smtp_tls_grade, smtp_tls_list,"),
    ({"smtp_tls_log_level": 1}, "did you mean smtp_tls_loglevel?"),
    ({"smtp_tls_loglevel": "loud"}, "'smtp_tls_loglevel' is of type str and we were unable to convert to int"),
    ({"smtp_tls_security_level": "on"}, "value of smtp_tls_security_level must be one of: none, may, got: on"),
    ({"smtp_tls_list": [{"destinaton": "a"}]}, "Not understood: smtp_tls_list.destinaton. Supported parameters include: destination."),
    ({"smtp_tls_list": [{}]}, "missing required arguments: destination"),
    ({"smtp_tls_list": [{"destination": "a"}, {"destination": "bank.example", "destinaton": "b"}]}, "smtp_tls_list[1] (bank.example): Not understood: "),
    ({"smtp_tls_list": [{"destination": "a"}, "bank.example"]}, "smtp_tls_list[1] = bank.example: a dictionary is expected there, with destination."),
    ({"smtp_tls_list": [{"destination": "a"}, None]}, "smtp_tls_list[1] = None: a dictionary is expected there"),
    ({"smtp_tls_emptied": None}, "smtp_tls_emptied: it has no value. Write [] for none."),
    ({"smtp_tls_loglevel": [1]}, "'smtp_tls_loglevel' is of type list"),
    ({"smtp_tls_grade": "Intermediate"}, "must be one of: intermediate, modern, got: Intermediate."),
    ({"smtp_tls_policy_maps": []}, "that is a parameter of Postfix: list its entries as tls_policy_destinations, or the tables themselves in tls_policy_maps."),
    ({"smtp_tls_fingerprint_digest": "sha1"}, "that is a parameter of Postfix: write it as smtp_tls_parameters: {smtp_tls_fingerprint_digest: ...}."),
])
def test_what_does_not_fit_is_named(values: dict, told: str) -> None:
    assert told in " ".join(complaints("smtp_tls", OPTIONS, values))


def asked_of_ansible(variables: dict, roles: list, tmp_path: Path) -> list:
    """What the lookup says of these variables when Ansible itself templates them."""
    return templated("query('mailsec.postfix_tls.role_complaints', %s)" % ", ".join(map(repr, roles)), variables, tmp_path)


def test_of_the_defaults_of_all_roles_nothing_is_complained_and_of_a_wrong_one_once(tmp_path: Path) -> None:
    defaults: dict = {}
    for file in ROLES.glob("*/defaults/main.yml"):
        defaults.update(yaml.safe_load(file.read_text(encoding="utf-8")))
    roles = sorted(path.name for path in ROLES.iterdir())
    assert asked_of_ansible(defaults, roles, tmp_path) == []
    wrong = {"smtp_tls_loglevel": "{{ how }}", "how": "loud", "smtpd_tls_enabld": True, "tls_policyx": 1, "other": 2}
    told = asked_of_ansible({**defaults, **wrong}, roles, tmp_path)
    assert len(told) == 2, told
    assert "smtp_tls_loglevel" in told[0] and "loud" in told[0]
    assert told[1] == "smtpd_tls_enabld: the role smtpd_tls has no such variable; did you mean smtpd_tls_enabled?"


@pytest.mark.parametrize("name, instead", [
    ("smtpd_tls_cert_file", "tls_certificate_chain_file names the file on the host"),
    ("smtpd_tls_eckey_file", "tls_certificate_key_file names the file on the host"),
    ("smtpd_tls_chain_files", "tls_certificate_chain_file"), ("smtpd_tls_auth_only", "smtpd_tls_parameters: {smtpd_tls_auth_only: ...}"),
    ("smtpd_tls_wrappermode", "smtpd_tls_parameters: {smtpd_tls_wrappermode: ...}"),
])
def test_a_parameter_of_postfix_is_answered_with_what_stands_for_it(name: str, instead: str) -> None:
    [told] = complaints("smtpd_tls", {"smtpd_tls_profile": {}}, {name: "x"})
    assert told.startswith("%s: the role smtpd_tls has no such variable; that is a parameter of Postfix: " % name) and instead in told


def test_a_name_that_is_nearly_one_of_ours_is_named_wherever_the_slip_is(tmp_path: Path) -> None:
    roles = sorted(path.name for path in ROLES.iterdir())
    slips = {
        "tls_polcy_destinations": "tls_policy_destinations", "tls_certifcate_source": "tls_certificate_source",
        "smtpd_required_clients": "smtpd_tls_required_clients",
        "smtp_security_level": "smtp_tls_security_level", "tls_hardning_verify": "tls_hardening_verify", "startls_verify_vantage": "starttls_verify_vantage",
        "starttls_verifiy_vantage": "starttls_verify_vantage", "smptd_tls_profile": "smtpd_tls_profile",
    }
    told = asked_of_ansible(dict.fromkeys(slips, "x"), roles, tmp_path)
    assert sorted(sentence.partition(":")[0] for sentence in told) == sorted(name for name, meant in slips.items() if meant)
    for sentence in told:
        name = sentence.partition(":")[0]
        assert "did you mean %s?" % slips[name] in sentence


def test_another_roles_variables_are_no_wall(tmp_path: Path) -> None:
    others = {"tls_log": {}, "smtp_relay_host": "x", "tls_version": "1.2", "smtpd_banner": "x", "tls_policies": [], "tls_random_source": "dev:/dev/urandom",
              "imap_tls_profile": "x", "nginx_tls_protocols": "x", "ldap_tls_enabled": True}
    assert asked_of_ansible(others, ["smtp_tls", "tls_policy"], tmp_path) == []
    owned = {"tls_policy_owner": "root", "smtp_tls_site_specific": 1, "smtp_security_level": "may"}
    assert len(asked_of_ansible(owned, ["smtp_tls", "tls_policy"], tmp_path)) == 3
    foreign = dict(owned, tls_hardening_foreign_variables=["tls_policy_owner", "smtp_tls_site_*", "smtp_security_level"])
    assert asked_of_ansible(foreign, ["smtp_tls", "tls_policy"], tmp_path) == []
