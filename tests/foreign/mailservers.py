# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail servers that nobody here wrote, a row each, with the configuration that gives them what a fault wants.

A configuration is {name of a file in the server's own folder: its text}; the file `start` is a shell script that stays in the foreground.
Beside it the folder has, for each chain, N.key, N.pem (leaf first) and N.both (the key, then the chain), and ca.pem.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional

NAME = "mx.foreign.test"
#: Where Postfix answers on y-servers without STARTTLS, for servers that only put TLS before another.
BACKEND = 1025
VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


@dataclass(frozen=True)
class Wanted:
    """What a server is given. chains: how many. oldest, newest: of VERSIONS, None for what the server has by default. client: it demands a certificate
    of who connects. dh: there is dh.pem. named: the last chain is for who asks for NAME, the others for the rest. curves: OpenSSL's names.
    requires_tls: no MAIL before TLS. pause: seconds before each greeting. weak: OpenSSL serves even what is below its security level.
    """

    chains: int = 1
    oldest: Optional[str] = "TLSv1.2"
    newest: Optional[str] = "TLSv1.3"
    client: bool = False
    dh: bool = False
    named: bool = False
    curves: str = ""
    requires_tls: bool = False
    pause: int = 0
    weak: bool = False

    @property
    def versions(self) -> tuple:
        return VERSIONS[VERSIONS.index(self.oldest):VERSIONS.index(self.newest) + 1]

    @property
    def any_level(self) -> bool:
        """Whether OpenSSL's security level stands in the way."""
        return self.weak or self.dh or bool(self.curves) or self.oldest in VERSIONS[:2]


class Server(NamedTuple):
    """files(wanted, folder, port): its configuration. takes: fields of Wanted beside the number of chains, which is at most `chains`. owner: who has to
    read its keys. protocol: of the verifier. stock: {check: verdict} of what does not pass with the versions it has by default; always: with any.
    only: names of faults, where it would fail in the same way with all. hangs: who asks on waits until the time is up.
    """

    name: str
    files: Callable
    takes: frozenset
    chains: int = 1
    owner: str = "root"
    protocol: str = "smtp"
    stock: tuple = ()
    always: tuple = ()
    only: tuple = ()
    hangs: bool = False


def _gnutls(version: str) -> str:
    return {"TLSv1": "TLS1.0"}.get(version, version.replace("v", ""))


def _exim(wanted: Wanted, folder: str, port: int) -> dict:
    certificates = " : ".join("%s/%d.pem" % (folder, number) for number in range(wanted.chains))
    if wanted.named:
        certificates = "${if eq{$tls_in_sni}{%s}{%s/1.pem}{%s/0.pem}}" % (NAME, folder, folder)
    lines = [
        "primary_hostname = %s" % NAME, "local_interfaces = 0.0.0.0", "daemon_smtp_ports = %d" % port, "tls_advertise_hosts = *", "acl_smtp_rcpt = taken",
        "tls_certificate = %s" % certificates, "tls_privatekey = %s" % certificates.replace(".pem", ".key"), "host_lookup =", "rfc1413_hosts =",
        "log_selector = +smtp_connection",
        "log_file_path = %s/%%slog" % folder, "spool_directory = %s/spool" % folder, "pid_file_path = %s/pid" % folder, "smtp_accept_max = 0",
        "acl_smtp_connect = greeted",
    ]
    if wanted.oldest:
        lines.append("tls_require_ciphers = NORMAL:-VERS-ALL:%s" % ":".join("+VERS-" + _gnutls(version) for version in wanted.versions))
    if wanted.client:
        lines += ["tls_verify_hosts = *", "tls_verify_certificates = %s/ca.pem" % folder]
    rules = ["begin acl", "taken:", "  accept", "greeted:", "  accept delay = %ds" % wanted.pause]
    routes = ["begin routers", "all:", "  driver = accept", "  transport = bin", "begin transports", "bin:", "  driver = appendfile", "  file = /dev/null"]
    return {
        "exim.conf": "\n".join(lines + rules + routes) + "\n",
        "start": "mkdir -p spool && chown Debian-exim . spool && exec exim4 -C %s/exim.conf -bdf -v\n" % folder,
    }


def _nginx(wanted: Wanted, folder: str, port: int) -> dict:
    lines = ["ssl_certificate %s/%d.pem; ssl_certificate_key %s/%d.key;" % (folder, number, folder, number) for number in range(wanted.chains)]
    if wanted.oldest:
        lines.append("ssl_protocols %s;" % " ".join(wanted.versions))
    if wanted.any_level:
        lines.append("ssl_ciphers ALL:!aNULL:@SECLEVEL=0;")
    if wanted.client:
        lines.append("ssl_verify_client on; ssl_client_certificate %s/ca.pem;" % folder)
    if wanted.dh:
        lines.append("ssl_dhparam %s/dh.pem;" % folder)
    if wanted.curves:
        lines.append("ssl_ecdh_curve %s;" % wanted.curves)
    lines += ["listen %d;" % port, "protocol smtp;", "smtp_auth none;", "starttls on;", "smtp_greeting_delay %ds;" % wanted.pause]
    return {
        "nginx.conf": "daemon off;\npid %s/pid;\nerror_log stderr;\ninclude /etc/nginx/modules-enabled/*.conf;\nevents {}\nmail {\n  server_name %s;\n"
                      "  auth_http 127.0.0.1:1/;\n  server {\n    %s\n  }\n}\n" % (folder, NAME, "\n    ".join(lines)),
        "start": "exec nginx -c %s/nginx.conf\n" % folder,
    }


def _stunnel(wanted: Wanted, folder: str, port: int) -> dict:
    lines = [
        "foreground = yes", "pid =", "syslog = no", "[smtp]", "accept = %d" % port, "connect = 127.0.0.1:%d" % BACKEND, "protocol = smtp",
        "cert = %s/0.pem" % folder, "key = %s/0.key" % folder,
    ]
    if wanted.oldest:
        lines += ["sslVersionMin = %s" % wanted.oldest, "sslVersionMax = %s" % wanted.newest]
    if wanted.any_level:
        lines += ["securityLevel = 0", "ciphers = ALL:!aNULL:@SECLEVEL=0"]
    if wanted.curves:
        lines.append("curves = %s" % wanted.curves)
    if wanted.client:
        lines += ["requireCert = yes", "verifyChain = yes", "CAfile = %s/ca.pem" % folder]
    return {"stunnel.conf": "\n".join(lines) + "\n", "start": "exec stunnel4 %s/stunnel.conf\n" % folder}


def _aiosmtpd(wanted: Wanted, folder: str, port: int) -> dict:
    return {"wanted.json": _as_json(wanted, folder, port), "start": "exec python3 /opt/foreign/aiosmtpd_server.py %s/wanted.json\n" % folder}


def _nodemailer(wanted: Wanted, folder: str, port: int) -> dict:
    return {"wanted.json": _as_json(wanted, folder, port), "start": "exec node /opt/foreign/smtp_server.js %s/wanted.json\n" % folder}


def _sendmail(wanted: Wanted, folder: str, port: int) -> dict:
    refused = []
    if wanted.oldest:
        refused = ["+SSL_OP_NO_%s" % version.replace(".", "_") for version in VERSIONS if version not in wanted.versions]
    lines = [
        "include(`/usr/share/sendmail/cf/m4/cf.m4')", "OSTYPE(`debian')", "define(`QUEUE_DIR', `%s/queue')" % folder,
        "define(`confPID_FILE', `%s/pid')" % folder,
        "define(`STATUS_FILE', `')", "define(`confCACERT', `%s/0.pem')" % folder, "define(`confCACERT_PATH', `%s')" % folder,
        "define(`confSERVER_CERT', `%s/0.pem')" % folder, "define(`confSERVER_KEY', `%s/0.key')" % folder, "define(`confTLS_SRV_OPTIONS', `V')",
        "define(`confSERVER_SSL_OPTIONS', `%s')" % " ".join(refused), "define(`confDOMAIN_NAME', `%s')" % NAME, "define(`ALIAS_FILE', `')",
        "define(`confDH_PARAMETERS', `2048')", "define(`confSERVICE_SWITCH_FILE', `%s/switch')" % folder,
        "define(`confTO_IDENT', `0')",
        "define(`confREFUSE_LA', `1000')", "define(`confQUEUE_LA', `1000')", "define(`confDELAY_LA', `0')",
        "FEATURE(`no_default_msa')", "DAEMON_OPTIONS(`Port=%d, Name=MTA, Family=inet')" % port,
    ]
    if wanted.any_level:
        lines.append("define(`confCIPHER_LIST', `ALL:!aNULL:@SECLEVEL=0')")
    if wanted.pause:
        lines.append("FEATURE(`greet_pause', `%d')" % (1000 * wanted.pause))
    return {
        "sendmail.mc": "\n".join(line + "dnl" for line in [*lines, "MAILER(`local')", "MAILER(`smtp')"]) + "\n",
        "switch": "hosts files\n",
        "start": "mkdir -p queue && m4 -D_CF_DIR_=/usr/share/sendmail/cf/ sendmail.mc > sendmail.cf &&"
                 " exec /usr/libexec/sendmail/sendmail -bD -C %s/sendmail.cf\n" % folder,
    }


def _dovecot(wanted: Wanted, folder: str, port: int) -> dict:
    lines = [
        "protocols = submission", "base_dir = %s/run" % folder, "log_path = /dev/stderr", "hostname = %s" % NAME, "ssl = required",
        "submission_relay_host = 127.0.0.1",
        "ssl_cert = <%s/0.pem" % folder, "ssl_key = <%s/0.key" % folder, "ssl_dh = <%s" % (folder + "/dh.pem" if wanted.dh else "/usr/share/dovecot/dh.pem"),
        "passdb {\n driver = static\n args = password=x\n}", "userdb {\n driver = static\n args = uid=65534 gid=65534 home=/tmp\n}",
        "service submission-login {\n inet_listener submission {\n port = %d\n }\n}" % port,
    ]
    if wanted.chains > 1:
        lines += ["ssl_alt_cert = <%s/1.pem" % folder, "ssl_alt_key = <%s/1.key" % folder]
    if wanted.oldest:
        lines.append("ssl_min_protocol = %s" % wanted.oldest)
    if wanted.any_level:
        lines.append("ssl_cipher_list = ALL:!aNULL:@SECLEVEL=0")
    return {"dovecot.conf": "\n".join(lines) + "\n", "start": "mkdir -p run && chmod 755 . run && exec dovecot -F -c %s/dovecot.conf\n" % folder}


def _courier(wanted: Wanted, folder: str, port: int) -> dict:
    settings = {"TLS_CERTFILE": folder + "/0.both"}
    if wanted.oldest:
        settings["TLS_PRIORITY"] = "NORMAL:-VERS-ALL:%s" % ":".join("+VERS-" + _gnutls(version) for version in wanted.versions)
    if wanted.client:
        settings.update(TLS_VERIFYPEER="REQUIREPEER", TLS_TRUSTCERTS=folder + "/ca.pem")
    return {
        "start": "set -a; . /etc/courier/esmtpd; BOFHCHECKDNS=0; TARPIT=0; %s; set +a; mkdir -p /run/courier; chmod 755 .\n"
                 "exec /usr/sbin/couriertcpd -nodnslookup -noidentlookup -user=courier -group=courier -address=0 -maxprocs=40 -maxperip=$MAXPERIP -maxperc=5"
                 " %d /usr/sbin/courieresmtpd\n" % (
                     "; ".join("%s=%s" % row for row in settings.items()), port),
    }


def _chasquid(wanted: Wanted, folder: str, port: int) -> dict:
    copied = " && ".join("mkdir -p certs/{0} && cp {0}.pem certs/{0}/fullchain.pem && cp {0}.key certs/{0}/privkey.pem".format(number)
                         for number in range(wanted.chains))
    return {
        "chasquid.conf": 'hostname: "%s"\nmax_data_size_mb: 1\nsmtp_address: ":%d"\ndata_dir: "%s/data"\nmail_log_path: "<stderr>"\n' % (NAME, port, folder),
        "start": "mkdir -p domains/%s data && %s && exec chasquid -config_dir=%s\n" % (NAME, copied, folder),
    }


def _opensmtpd(_wanted: Wanted, folder: str, port: int) -> dict:
    return {
        "smtpd.conf": 'pki ours cert "%s/0.pem"\npki ours key "%s/0.key"\nlisten on 0.0.0.0 port %d tls pki ours hostname %s\naction none mbox\n'
                      "match from any for domain \"foreign.test\" action none\n" % (folder, folder, port, NAME),
        "start": "mkdir -p /var/spool/smtpd && chmod 711 /var/spool/smtpd && exec smtpd -d -f %s/smtpd.conf\n" % folder,
    }


def _gnutls_serv(_wanted: Wanted, folder: str, port: int) -> dict:
    """Behind what speaks SMTP up to STARTTLS; within TLS it says again what it is told."""
    return {
        "start": "gnutls-serv --quiet --echo --port=%d --x509certfile=%s/0.pem --x509keyfile=%s/0.key --dhparams=%s/dh.pem &\n"
                 "exec python3 /opt/foreign/starttls_front.py %d %d\n" % (port + 5000, folder, folder, folder, port, port + 5000),
    }


def _as_json(wanted: Wanted, folder: str, port: int) -> str:
    """For the servers that are libraries."""
    return json.dumps({
        "name": NAME, "port": port, "ca": folder + "/ca.pem", "client": wanted.client, "named": wanted.named, "oldest": wanted.oldest,
        "newest": wanted.newest, "requires_tls": wanted.requires_tls, "any_level": wanted.any_level,
        "chains": [{"key": "%s/%d.key" % (folder, number), "chain": "%s/%d.pem" % (folder, number)} for number in range(wanted.chains)],
    })


SERVERS = (
    Server("exim", _exim, frozenset(("weak", "oldest", "newest", "client", "named", "pause")), chains=3, owner="Debian-exim",
           stock=(("versions", "fail"),)),
    Server("nginx", _nginx, frozenset(("weak", "oldest", "newest", "client", "dh", "curves", "pause")), chains=3),
    Server("stunnel", _stunnel, frozenset(("weak", "oldest", "newest", "client", "curves"))),
    Server("aiosmtpd", _aiosmtpd, frozenset(("weak", "newest", "oldest", "client", "requires_tls")), chains=2),
    Server("sendmail", _sendmail, frozenset(("oldest", "newest", "pause"))),
    Server("dovecot", _dovecot, frozenset(("weak", "oldest", "dh")), chains=2, protocol="submission"),
    Server("courier", _courier, frozenset(("weak", "oldest", "newest", "client")), owner="courier", stock=(("versions", "fail"),)),
    Server("chasquid", _chasquid, frozenset(), chains=2, always=(("versions", "fail"),)),
    Server("gnutls-serv", _gnutls_serv, frozenset(("dh",)), only=("dh1024",), hangs=True),
    Server("opensmtpd", _opensmtpd, frozenset(), always=(("handshake", "fail"),), only=("healthy",), hangs=True),
    Server("nodemailer", _nodemailer, frozenset(("weak", "oldest", "newest", "client", "named", "requires_tls")), chains=3,
           stock=(("auth_before_tls", "fail"),)),
)
BY_SERVER = {server.name: server for server in SERVERS}
