# SPDX-License-Identifier: GPL-3.0-or-later
"""What certbot says where it fails, as versions 2.1 and 4.0 said it, becomes one sentence with a remedy."""
from __future__ import annotations

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
    ("Another instance of Certbot is already running.\n", "Another instance of Certbot is already running. Wait until"),
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
    words = certbot.command(wanted(challenge=challenge), parameters, forced=False)
    at = words.index("--authenticator")
    assert words[at:] == [*told, "--domain", "mx.test", "--domain", "mail.test"]
    assert words[words.index("--preferred-challenges") + 1] == ("dns" if challenge == "dns" else "http")


def test_the_account_the_key_and_the_force_are_as_asked_for() -> None:
    words = certbot.command(wanted(), PARAMETERS, forced=False)
    assert {"--agree-tos", "--non-interactive", "--register-unsafely-without-email", "--reuse-key", "--keep-until-expiring"} <= set(words)
    assert " ".join(words).count("--key-type rsa --rsa-key-size 3072") == 1
    words = certbot.command(wanted(), {**PARAMETERS, "email": "a@mx.test", "reuse_key": False}, forced=True)
    assert "--email a@mx.test" in " ".join(words) and "--force-renewal" in words
    assert not {"--register-unsafely-without-email", "--reuse-key", "--keep-until-expiring"} & set(words)
