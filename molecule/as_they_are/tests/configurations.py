# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations: on which host each is laid, what stands beside it, how mail goes in and out, and what must never leave it in the clear."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

FOLDER = Path(__file__).resolve().parents[1] / "configurations"
PASSWORD = "correct-horse"


class Way(NamedTuple):
    """How one message goes. recipient and sender: of the envelope. port: 0 for sendmail(1) on the host itself. tls: "" (in the clear), "starttls" or
    "wrapped". user: whom AUTH names. at: which address of the host. name: what the certificate is made out to, where it is not the host's name.
    proxied: HAProxy's line comes first. certificate: the client shows one. directory: of the instance that sendmail(1) gives it to.
    """

    recipient: str
    sender: str = "someone@stranger.test"
    port: int = 0
    tls: str = ""
    user: str = ""
    at: str = "address"
    name: str = ""
    proxied: bool = False
    certificate: bool = False
    directory: str = "/etc/postfix"


class Held(NamedTuple):
    """Mail that waits, because the partner does not do what is demanded of it. always: by the configuration itself, before and after all runs;
    else since the run.
    """

    recipient: str
    sender: str = ""
    always: bool = True
    directory: str = "/etc/postfix"


class Configuration(NamedTuple):
    name: str
    host: str
    ways: tuple
    held: tuple
    parts: tuple = ()  # for stand_ins.py
    directories: tuple = ("/etc/postfix",)

    @property
    def runs(self) -> list:
        """The variables of each run, one for each instance."""
        path = FOLDER / self.name / "variables.yml"
        given = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        return given if isinstance(given, list) else [given]


def _auth(listen: object, user: str) -> dict:
    return {"part": "auth", "listen": listen, "user": user, "password": PASSWORD}


_SOCKET = "/var/spool/postfix/private/auth"
_LMTP = {"part": "smtp", "listen": ["127.0.0.1", 24], "lmtp": True}
_POLICY = {"part": "policy", "listen": ["127.0.0.1", 10023]}
_OUT = Way("someone@good.test", "admin@FQDN")
_PLAIN_ONCE_NAMED = Held("someone@plain.test", always=False)


def _users(user: str, *ports: tuple, **more: object) -> tuple:
    return tuple(Way("someone@good.test", user, port, tls, user, **more) for port, tls in ports)


CONFIGURATIONS = (
    Configuration("decade_old", "w-bullseye", (
        Way("admin@FQDN", port=25, tls="starttls"), Way("admin@FQDN", port=25), *_users("someone@old.test", (587, "starttls"), (465, "wrapped")), _OUT,
    ), (Held("someone@plain.test"),), (_auth(_SOCKET, "someone@old.test"),)),
    Configuration("panel_with_amavis", "w-bullseye", (
        Way("someone@panel.test", port=25, tls="starttls"), Way("someone@panel.test", port=25),
        *_users("someone@panel.test", (587, "starttls"), (465, "wrapped")), _OUT,
    ), (_PLAIN_ONCE_NAMED,), (
        _auth(_SOCKET, "someone@panel.test"), _LMTP, _POLICY,
        {"part": "smtp", "listen": ["127.0.0.1", 10024], "forward": ["127.0.0.1", 10025]},
        {"part": "smtp", "listen": ["127.0.0.1", 10026], "forward": ["127.0.0.1", 10027]},
    )),
    Configuration("satellite", "w-bookworm", (_OUT,), (Held("someone@elsewhere.test", "orders@shop.test"),)),
    Configuration("mail_in_a_box", "w-bookworm", (
        Way("someone@box.test", port=25, tls="starttls"), Way("someone@box.test", port=25),
        *_users("someone@box.test", (587, "starttls"), (465, "wrapped")), _OUT, Way("someone@dane.test", "admin@FQDN"),
    ), (Held("someone@forged.test"), _PLAIN_ONCE_NAMED), (
        _auth(_SOCKET, "someone@box.test"), dict(_LMTP, listen=["127.0.0.1", 10025]), _POLICY, {"part": "milter", "listen": ["127.0.0.1", 8891]},
    )),
    Configuration("two_instances", "w-bookworm", (
        Way("admin@FQDN", port=25, tls="starttls"), _OUT, Way("someone@good.test", "admin@FQDN", directory="/etc/postfix-null"),
    ), (Held("someone@elsewhere.test", "orders@shop.test", directory="/etc/postfix-null"), _PLAIN_ONCE_NAMED),
        directories=("/etc/postfix", "/etc/postfix-null")),
    Configuration("mailcow", "w-trixie", (
        Way("someone@cow.test", port=25, tls="starttls"), Way("someone@cow.test", port=25), Way("locked@cow.test", port=25, tls="starttls"),
        Way("someone@cow.test", port=25, tls="starttls", name="mail.cow.test"),
        *_users("someone@cow.test", (587, "starttls"), (465, "wrapped"), (588, "")),
        *_users("someone@cow.test", (10587, "starttls"), (10465, "wrapped"), proxied=True), _OUT, Way("someone@dane.test", "admin@FQDN"),
    ), (Held("someone@forged.test"), Held("someone@plain.test")), (
        _auth(["127.0.0.1", 10001], "someone@cow.test"), _LMTP, {"part": "milter", "listen": ["127.0.0.1", 9900]},
    )),
    Configuration("postscreen_and_rspamd", "w-trixie", (
        Way("admin@FQDN", port=25, tls="starttls"), Way("admin@FQDN", port=25), *_users("someone@lab.test", (587, "starttls"), (465, "wrapped")), _OUT,
    ), (Held("someone@plain.test"),), (_auth(_SOCKET, "someone@lab.test"), {"part": "milter", "listen": ["127.0.0.1", 11332]})),
    Configuration("behind_haproxy", "w-trixie", (
        Way("admin@FQDN", port=25, tls="starttls", proxied=True), Way("admin@FQDN", port=25, proxied=True),
        *_users("someone@lab.test", (10587, "starttls"), (10465, "wrapped"), proxied=True), _OUT,
    ), (_PLAIN_ONCE_NAMED,), (_auth(_SOCKET, "someone@lab.test"),)),
    Configuration("client_certificates", "w-forky", (
        Way("admin@FQDN", port=25, tls="starttls"),
        *(Way("someone@good.test", "device@lab.test", port, tls, certificate=True) for port, tls in ((587, "starttls"), (465, "wrapped"))), _OUT,
    ), (_PLAIN_ONCE_NAMED,)),
    Configuration("listener_per_customer", "w-forky", (
        Way("someone@blue.test", port=25, tls="starttls"), Way("someone@blue.test", port=25, tls="starttls", at="second", name="mx.blue.test"),
        Way("someone@green.test", port=25, tls="starttls", at="third", name="mx.green.test"),
        Way("someone@good.test", "someone@blue.test", 587, "starttls", "someone@blue.test", at="second", name="mx.blue.test"),
        Way("someone@good.test", "someone@green.test", 465, "wrapped", "someone@blue.test", at="third", name="mx.green.test"), _OUT,
    ), (Held("someone@plain.test", "someone@green.test"),), (_auth(_SOCKET, "someone@blue.test"), _LMTP)),
)


def waves() -> list:
    """Lists of configurations that are on different hosts, so that one run of a playbook serves each list."""
    rest, made = list(CONFIGURATIONS), []
    while rest:
        wave: dict = {}
        for configuration in rest:
            wave.setdefault(configuration.host, configuration)
        made.append(list(wave.values()))
        rest = [configuration for configuration in rest if configuration not in made[-1]]
    return made
