# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab host on which one configuration after the other is laid, with what stands beside it."""
from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
from pathlib import Path

from configurations import FOLDER, Configuration
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pki import Authority
from reach import Host

STAND_INS = Path(__file__).resolve().parents[1] / "stand_ins.py"
SMART_HOST = {"user": "satellite", "password": "horse-battery"}

#: Everything that any run may leave, from Postfix to renewals; afterwards the host is as after the package's installation.
RESET = """
for instance in $(ls -d /etc/postfix-* 2>/dev/null); do
    postfix -c $instance stop >/dev/null 2>&1 || :
done
if [ -d /run/systemd/system ]; then systemctl stop 'postfix*'; else postfix stop >/dev/null 2>&1 || :; fi
[ ! -e /run/stand-ins.pid ] || kill $(cat /run/stand-ins.pid) 2>/dev/null || :
rm -rf /etc/postfix /etc/postfix-* /var/lib/mailsec-postfix_tls /var/spool/postfix-* /var/lib/postfix-* /srv/stand-ins/taken /srv/stand-ins/ready \\
    /var/mail/* /var/lib/postfix/*.db /etc/systemd/system/postfix-tls-renew* /etc/systemd/system/*.wants/postfix-tls-renew* \\
    /usr/local/sbin/postfix-tls-renew /etc/cron.daily/postfix-tls-renew
cp -a /usr/local/share/postfix-as-installed /etc/postfix
find /var/spool/postfix/incoming /var/spool/postfix/active /var/spool/postfix/deferred /var/spool/postfix/defer /var/spool/postfix/maildrop -type f -delete
install -o postfix -g adm -m 640 /dev/null /var/log/mail.log
"""
START = """
install -m 644 /etc/resolv.conf /etc/hosts /etc/nsswitch.conf /etc/services /var/spool/postfix/etc/
find /etc/postfix /etc/postfix-* -name '*.cf' -exec touch -d '1 minute ago' {} + 2>/dev/null || :
if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl reset-failed 'postfix*'; systemctl start postfix; else postfix start 2>/dev/null; fi
"""


class Place:
    """address, second, third: of the host. client_certificate, client_key: files of a device that submits by certificate."""

    def __init__(self, host: Host) -> None:
        self.host = host
        network = ipaddress.ip_network(host.address + "/24", strict=False)
        self.address, self.second, self.third, self.stranger = host.address, str(network[251]), str(network[252]), str(network[1])
        self.authority = Authority(Path(host.vars["lab_ca_file"]).parent)
        self.client_key, self.client_certificate = _client(self.authority)

    def furnish(self, resolver: str) -> None:
        """Once: keys, addresses, the resolver."""
        fqdn = self.host.fqdn
        own = {"key.pem": self.host.vars["lab_key_file"], "chain.pem": self.host.vars["lab_chain_file"]}
        own["intermediate.pem"] = self.authority.folder / "intermediate.pem"
        for name, customer in (("blue", "mx.blue.test"), ("green", "mx.green.test"), ("cow", "mail.cow.test")):
            own["%s.key" % name], own["%s.pem" % name] = self.authority.chain(fqdn, name, names=(customer,))
        files = {"/srv/own/" + name: Path(path).read_text(encoding="utf-8") for name, path in own.items()}
        files["/srv/stand-ins/stand_ins.py"] = STAND_INS.read_text(encoding="utf-8")
        self.host.run("sh -s", stdin="set -eu\numask 077\n" + _written(files) + "printf 'nameserver %s\noptions trust-ad\n' > /etc/resolv.conf" % resolver)

    def more_addresses(self) -> None:
        self.host.run("for address in %s %s; do ip address show dev eth0 | grep -q \"$address/\" || ip address add $address/24 dev eth0; done"
                      % (self.second, self.third))

    def lay(self, configuration: Configuration) -> None:
        """Has this configuration run, and nothing that was there before."""
        folder = FOLDER / configuration.name
        files = {}
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and str(inside) not in ("prepare", "variables.yml"):
                where = Path("/", *inside.parts[1:]) if inside.parts[0] == "root" else Path("/etc/postfix") / inside
                files[str(where)] = self.fill(path.read_text(encoding="utf-8"))
        listening = sorted({way.port for way in configuration.ways if way.port}) or [25]
        self.host.run("sh -s", stdin="\n".join((
            "set -eu\numask 022", RESET, _written(files), self.fill((folder / "prepare").read_text(encoding="utf-8")), _beside(configuration.parts), START,
            "for port in %s; do for turn in $(seq 50); do ss -Hltn sport = :$port | grep -q . && break; sleep 0.2; done; done" % " ".join(map(str, listening)),
        )))

    def stand_in(self, parts: tuple) -> None:
        """Starts what stands beside Postfix, and waits until it answers."""
        self.host.run("sh -s", stdin=_beside(parts))

    def fill(self, text: str) -> str:
        digest = x509.load_pem_x509_certificate(Path(self.client_certificate).read_bytes()).fingerprint(hashes.SHA256()).hex(":").upper()
        for word, meant in (("@FQDN@", self.host.fqdn), ("@ADDRESS@", self.address), ("@SECOND@", self.second), ("@THIRD@", self.third),
                            ("@STRANGER@", self.stranger), ("@CLIENT_SHA256@", digest)):
            text = text.replace(word, meant)
        return text


class Partner:
    """Who is written to: mx.good.test and mx.dane.test do as they should, mx.forged.test shows another certificate than its TLSA record says, mx.plain.test
    has no STARTTLS, smtp.isp.test takes mail of who authenticates. It answers for DNS, too.
    """

    def __init__(self, place: Place, hosts: list) -> None:
        self.host = place.host
        self.plain = str(ipaddress.ip_network(place.address + "/24", strict=False)[250])
        self.address = place.address
        self._place, self._hosts = place, hosts

    def start(self) -> None:
        key, chain = self.host.vars["lab_partner_key_file"], self.host.vars["lab_partner_chain_file"]
        self._place.furnish("127.0.0.1")
        for name, path in (("partner.key", key), ("partner.pem", chain)):
            self.host.run("umask 077; cat > /srv/own/%s" % name, stdin=Path(path).read_text(encoding="utf-8"))
        self.host.run("ip address show dev eth0 | grep -q '%s/' || ip address add %s/24 dev eth0" % (self.plain, self.plain))
        self.host.run("[ ! -e /run/stand-ins.pid ] || kill $(cat /run/stand-ins.pid) 2>/dev/null; rm -f /srv/stand-ins/taken", check=False)
        certificate = {"certificate": "/srv/own/partner.pem", "key": "/srv/own/partner.key"}
        public = x509.load_pem_x509_certificate(Path(chain).read_bytes()).public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        names = {host.fqdn: host.address for host in self._hosts}
        names.update({"mx.%s.test" % name: self.address for name in ("good", "dane", "forged")})
        names.update({"smtp.isp.test": self.address, "mx.plain.test": self.plain, "client.stranger.test": self._place.stranger, "stranger.test": self.address})
        names.update({"%s.test" % name: self.address for name in ("old", "panel", "box", "cow", "blue", "green", "shop", "elsewhere")})
        names["lab.test"] = self.address
        dns = {
            "part": "dns", "listen": ["0.0.0.0", 53], "names": names,
            "mx": {"%s.test" % name: "mx.%s.test" % name for name in ("good", "dane", "forged", "plain")},
            "tlsa": {"_25._tcp.mx.dane.test": "030101" + hashlib.sha256(public).hexdigest(), "_25._tcp.mx.forged.test": "030101" + "00" * 32},
        }
        self._place.stand_in((
            dns, dict(certificate, part="smtp", listen=[self.address, 25]), dict(certificate, part="smtp", listen=[self.address, 587], **SMART_HOST),
            {"part": "smtp", "listen": [self.plain, 25]},
        ))


def _written(files: dict) -> str:
    """Shell that writes them. Passed on standard input, for a command line is logged, and some are keys."""
    return "".join("install -d -m 755 %s\ncat > %s <<'END-OF-FILE'\n%sEND-OF-FILE\n" % (Path(path).parent, path, text) for path, text in files.items())


def _beside(parts: tuple) -> str:
    return _written({"/srv/stand-ins/parts.json": json.dumps(parts) + "\n"}) + (
        "cd /srv/stand-ins; rm -f ready; setsid python3 stand_ins.py . >log 2>&1 </dev/null & echo $! > /run/stand-ins.pid\n"
        "for turn in $(seq 200); do [ ! -e /srv/stand-ins/ready ] || break; sleep 0.1; done\n"
        "[ -e /srv/stand-ins/ready ] || { cat /srv/stand-ins/log >&2; exit 1; }\n")


def _client(authority: Authority) -> tuple:
    """(key file, certificate file) of a device, by the lab's intermediate."""
    key_file, certificate_file = authority.folder / "device.key", authority.folder / "device.pem"
    if not certificate_file.exists():
        issuer_key, issuer = authority.issuer()
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])).issuer_name(issuer.subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False).sign(issuer_key, hashes.SHA256())
        )
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_file.touch(mode=0o600)
        key_file.write_bytes(pem)
        certificate_file.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (certificate, issuer)))
    return str(key_file), str(certificate_file)
