# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is: its files, what Postfix makes of its configuration, what its listeners show to a client."""
from __future__ import annotations

import contextlib
import hashlib
import smtplib
import ssl
import warnings

from configurations import Configuration, Way
from mail import session
from place import Place

TREE = (
    "cd /; find etc/postfix* etc/systemd/system usr/local/sbin -printf '%p %y %m %U %G %l\\n' | sort;"
    " find etc/postfix* etc/systemd/system usr/local/sbin -type f | sort | xargs sha256sum"
)
#: Programs that speak SMTP or LMTP, by the command's name in master.cf.
SPEAKING = ("smtpd", "postscreen", "smtp", "lmtp")


def tree(place: Place) -> list:
    return place.host.run(TREE).splitlines()


def services(place: Place, directory: str) -> dict:
    """{service: {parameter: value}} of every service that speaks, with what its -o says, references expanded; "" is main.cf itself."""
    main, overrides, entries = (part.splitlines() for part in place.host.run(
        "postconf -c {0} -x 2>/dev/null; echo ----; postconf -c {0} -Px 2>/dev/null; echo ----; postconf -c {0} -M".format(directory)).split("----\n"))
    base = dict(_pair(line) for line in main if not line.startswith("process_id"))  # postconf(1)'s own
    found = {"": base}
    for line in entries:
        words = line.split()
        if words[7] in SPEAKING:
            found["/".join(words[:2])] = {**base, "(command)": words[7]}
    for line in overrides:
        name, value = _pair(line)
        service, _slash, parameter = name.rpartition("/")
        if service in found:
            found[service][parameter] = value
    return found


def _pair(line: str) -> tuple:
    name, _sign, value = line.partition(" =")
    return name, value.strip()


def faces(place: Place, configuration: Configuration) -> dict:
    """{listener: what a client meets there}"""
    found = {}
    for way in configuration.ways:
        key = "%s:%d %s" % (way.at, way.port, way.name)
        if way.port and key not in found:
            found[key] = _face(place, way)
    return found


def _face(place: Place, way: Way) -> dict:
    """starttls, auth: offered in the clear. version, leaf: agreed on, and served. old: whether anything below TLS 1.2 is agreed to."""
    seen: dict = {"starttls": False, "auth": False}
    secure = way._replace(tls=way.tls or "starttls")
    try:
        if secure.tls == "starttls":
            with contextlib.closing(session(place, way._replace(tls=""))) as opened:
                seen.update(starttls=opened.has_extn("starttls"), auth=opened.has_extn("auth"))
        with contextlib.closing(session(place, secure)) as opened:
            leaf = opened.sock.getpeercert(binary_form=True)
            seen.update(version=opened.sock.version(), leaf=hashlib.sha256(leaf).hexdigest(), auth_in_tls=opened.has_extn("auth"))
        seen["old"] = _speaks_old(place, secure)
    except (OSError, smtplib.SMTPException) as error:
        seen["error"] = repr(error)
    return seen


def _speaks_old(place: Place, way: Way) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    try:
        session(place, way, context).close()
    except (OSError, smtplib.SMTPException):
        return False
    return True
