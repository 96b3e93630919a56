# SPDX-License-Identifier: GPL-3.0-or-later
"""What certbot says where it fails, as versions 2.1 and 4.0 said it, becomes one sentence with a remedy."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._acme import certbot
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._acme.lineage import Wanted

PARAMETERS = {
    "challenge": "standalone", "directory": "https://acme.test/dir", "email": "", "reuse_key": True, "http_port": 80, "webroot": "/srv/www",
    "auth_hook": "/bin/publish it", "cleanup_hook": None,
}
FIRST = "Saving debug log to /var/log/letsencrypt/letsencrypt.log\n"
LAST = "Ask for help or search for solutions at https://community.letsencrypt.org. See the logfile /var/log/letsencrypt/letsencrypt.log or re-run\n"
REFUSED = """Account registered.
Requesting a certificate for mx.test and mail.test

Certbot failed to authenticate some domains (authenticator: standalone). The Certificate Authority reported these problems:
  Domain: mx.test
  Type:   unauthorized
  Detail: Non-200 status code from HTTP: http://mx.test:80/.well-known/acme-challenge/x returned 404

  Domain: mail.test
  Type:   dns
  Detail: no such name

Hint: The Certificate Authority failed to download the challenge files from the temporary standalone webserver started by Certbot on port 80.

"""


def wanted(**changed: object) -> Wanted:
    return Wanted("default-rsa", "rsa", ("mx.test", "mail.test"), certbot.settings({**PARAMETERS, **changed}))


def failure(out: str, err: str, challenge: str = "standalone") -> str:
    return str(certbot.failure(wanted(), challenge, out, FIRST + err + LAST))


@pytest.mark.parametrize("err, told", [
    ("An unexpected error occurred:\nValueError: Requesting acme.test/dir: Connection refused\n", "the directory does not answer. Mend the URL"),
    ("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='acme.test', port=443): Max retries exceeded with url: /dir (Caused by"
     " NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f91403eead0>: Failed: [Errno -2] Name or service not known'))\n",
     "the directory's name does not resolve. Mend the URL"),
    ("requests.exceptions.SSLError: HTTPSConnectionPool(host='acme.test', port=14000): Max retries exceeded with url: /dir (Caused by SSLError("
     "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate')))\n",
     "is not trusted. Name the root it ends at (ca_file, tls_certificate_acme_ca_file)"),
    ("An unexpected error occurred:\nacme.errors.ClientError: <Response [404]>\n", "what answers there is no ACME directory. Write the URL"),
    ("Could not bind TCP port 80 because it is already in use by another process on this system (such as a web server).\n",
     "Could not bind TCP port 80 because it is already in use by another process on this system (such as a web server). Use the web server"),
    ("Another instance of Certbot is already running.\n", "Another instance of Certbot is already running. It was waited for"),
    ("An unexpected error occurred:\nError creating new order :: too many certificates (5) already issued\n", "(5) already issued. Wait as long"),
    ("/nosuch does not exist or is not a directory\n", "/nosuch does not exist or is not a directory. Mend that; /var/log/letsencrypt"),
    ("An unexpected error occurred:\nacme.errors.SomeError: Strange things\n", "could not obtain it: Strange things. Mend that"),
    ("", "certbot failed without a word. Mend that"),
])
def test_a_failure_is_told_without_what_certbot_says_of_every_one(err: str, told: str) -> None:
    said = failure("", err)
    assert said.startswith("certificate default-rsa = mx.test, mail.test: certbot could not obtain it: ") and told in said, said
    assert said.endswith("Nothing of Postfix was changed.")
    assert "object at" not in said and "Saving debug log" not in said and "Ask for help" not in said and "Error: " not in said


@pytest.mark.parametrize("challenge", certbot.CHALLENGES)
def test_each_name_that_was_refused_is_told_with_the_directorys_own_words_and_what_the_challenge_needs(challenge: str) -> None:
    said = failure(REFUSED, "Some challenges have failed.\n", challenge)
    assert "acme-challenge/x returned 404 (unauthorized); mail.test: no such name (dns). %s" % certbot.CHALLENGES[challenge].remedy in said
    assert "Hint" not in said


def test_a_hook_that_failed_is_told_too() -> None:
    assert "reported error code 3; mx.test: Non-200" in failure(REFUSED, "Hook '--manual-auth-hook' for mx.test reported error code 3\n", "dns")


@pytest.mark.parametrize("challenge, told", [
    ("standalone", ["--authenticator", "standalone", "--http-01-port", "80"]),
    ("webroot", ["--authenticator", "webroot", "--webroot-path", "/srv/www"]),
    ("dns", ["--authenticator", "manual", "--manual-auth-hook", "/bin/publish it"]),
])
def test_certbot_is_told_of_the_chosen_challenge_alone(challenge: str, told: list) -> None:
    parameters = {**PARAMETERS, "challenge": challenge}
    words = certbot.command(wanted(challenge=challenge), parameters, False, (2, 1), {})
    at = words.index("--authenticator")
    assert words[at:] == [*told, "--domain", "mx.test", "--domain", "mail.test"]
    assert words[words.index("--preferred-challenges") + 1] == ("dns" if challenge == "dns" else "http")


def test_the_account_the_key_and_the_force_are_as_asked_for() -> None:
    words = certbot.command(wanted(), PARAMETERS, False, (2, 1), {})
    assert {"--agree-tos", "--non-interactive", "--register-unsafely-without-email", "--reuse-key", "--keep-until-expiring"} <= set(words)
    assert " ".join(words).count("--key-type rsa --rsa-key-size 3072") == 1
    words = certbot.command(wanted(), {**PARAMETERS, "email": "a@mx.test", "reuse_key": False}, True, (2, 1), {})
    assert "--email a@mx.test" in " ".join(words) and "--force-renewal" in words
    assert "--no-reuse-key" in words
    assert not {"--register-unsafely-without-email", "--reuse-key", "--keep-until-expiring"} & set(words)


@pytest.mark.parametrize("kind, facts, reuse, told", [
    ("ecdsa", {}, True, "--elliptic-curve secp256r1"),
    ("ecdsa", {"curve": "prime256v1"}, True, "--elliptic-curve secp256r1"),
    ("ecdsa", {"curve": "secp384r1"}, True, "--elliptic-curve secp384r1"),
    ("ecdsa", {"curve": "secp384r1"}, False, "--elliptic-curve secp256r1"),
    ("rsa", {"key_bits": 4096}, True, "--rsa-key-size 4096"),
    ("rsa", {"key_bits": 2048}, True, "--rsa-key-size 3072"),
])
def test_the_size_of_a_key_that_is_reused_stays_and_else_cli_ini_has_no_say(kind: str, facts: dict, reuse: bool, told: str) -> None:
    asked = Wanted("default", kind, ("mx.test",), certbot.settings(PARAMETERS))
    assert told in " ".join(certbot.command(asked, {**PARAMETERS, "reuse_key": reuse}, False, (2, 1), facts))


#: Of certbot 2.1 with Python 3.11, shortened; a refused nonce, which it tried again, comes before.
LOG = """2026-11-27 12:00:00,000:DEBUG:acme.client:Retrying request after error:
urn:ietf:params:acme:error:badNonce :: The client sent an unacceptable anti-replay nonce :: x
2026-11-27 12:00:01,000:DEBUG:certbot._internal.log:Exiting abnormally:
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/acme/client.py", line 1, in _check_response
    raise messages.Error.from_json(jobj)
acme.messages.Error: urn:ietf:params:acme:error:%s

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
AttributeError: can't set attribute
"""


@pytest.mark.parametrize("answer, told", [
    ("rejectedIdentifier :: The server will not issue certificates for the identifier :: Order included x.blocked.test",
     "could not obtain it: Order included x.blocked.test (rejectedIdentifier). Name only what this directory issues for"),
    ("rateLimited :: There were too many requests of a given type :: too many certificates (5) already issued",
     "could not obtain it: too many certificates (5) already issued (rateLimited). Wait as long as it says"),
    ("accountDoesNotExist :: The request specified an account that does not exist :: Account https://acme.test/my-account/1 not found",
     "(accountDoesNotExist). The directory does not know this host's account any more: remove its folder in /etc/letsencrypt/accounts/acme.test/dir;"),
    ("badNonce :: The client sent an unacceptable anti-replay nonce :: invalid anti-replay nonce", "(badNonce). The directory was too busy; run again."),
])
@pytest.mark.parametrize("err", ["An unexpected error occurred:\nAttributeError: can't set attribute\n", "An unexpected error occurred:\n"])
def test_what_certbot_stumbles_over_is_told_in_the_directorys_own_words(tmp_path: Path, answer: str, told: str, err: str) -> None:
    (tmp_path / "letsencrypt.log").write_text(LOG % answer, encoding="utf-8")
    said = str(certbot.failure(wanted(), "standalone", "", "Saving debug log to %s/letsencrypt.log\n" % tmp_path + err + LAST))
    assert told in said and "set attribute" not in said, said


def test_what_the_log_says_beside_certbots_own_words_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "letsencrypt.log").write_text(LOG % "unauthorized :: no :: an older answer", encoding="utf-8")
    said = str(certbot.failure(wanted(), "standalone", "", "Saving debug log to %s/letsencrypt.log\nCould not bind TCP port 80 because\n" % tmp_path))
    assert "older" not in said and "Could not bind" in said


def test_several_accounts_are_told_with_where_they_are() -> None:
    said = failure("", "Missing command line flag or config entry for this setting:\nPlease choose an account\nChoices: ['a', 'b']\n")
    assert "certbot has several accounts for that directory. Leave one of them in /etc/letsencrypt/accounts/acme.test/dir" in said
