# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands beside Postfix, small and with a memory: SMTP and LMTP servers, a content filter, dovecot's auth, a milter, a policy service, and DNS
as a validating resolver answers. Run as `stand_ins.py FOLDER`, where parts.json says which: [{"part": name, ...}]. Whatever mail a server takes, it
writes to FOLDER/taken, a line of JSON for each message."""
from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import re
import smtplib
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from pathlib import Path

FOLDER = Path(sys.argv[1])
_WRITING = threading.Lock()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple, handler: type, part: dict) -> None:
        self.part = part
        super().__init__(address, handler)


class UnixServer(Server):
    """Of a socket that the user postfix may open."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        path = Path(str(self.server_address))
        path.unlink(missing_ok=True)
        self.socket.bind(str(path))
        os.chown(path, pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postfix").gr_gid)
        path.chmod(0o660)


class Smtp(socketserver.StreamRequestHandler):
    """part: certificate and key (STARTTLS is offered then), user and password (nothing is taken without AUTH, nor AUTH without TLS), lmtp (bool),
    forward ([host, port]: handed on instead of kept)."""

    timeout = 60

    def handle(self) -> None:
        self.part, self.tls, self.user = self.server.part, "", ""
        self.sender, self.recipients = None, []
        self.say("220 stand-in ESMTP")
        try:
            while self.turn(self.rfile.readline(4096).decode("latin-1").rstrip("\r\n")):
                pass
        except OSError:
            pass

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def turn(self, line: str) -> bool:
        verb, _blank, rest = line.partition(" ")
        act = {"EHLO": self.greet, "LHLO": self.greet, "HELO": self.greet, "STARTTLS": self.encrypt, "AUTH": self.authenticate, "MAIL": self.mail,
               "RCPT": self.rcpt, "DATA": self.data}.get(verb.upper())
        if act:
            return act(rest) is not False
        self.say("221 2.0.0 Bye" if verb.upper() == "QUIT" else "250 2.0.0 Ok")
        return bool(verb) and verb.upper() != "QUIT"

    def greet(self, _name: str) -> None:
        words = ["stand-in", "8BITMIME", "ENHANCEDSTATUSCODES"]
        words += ["STARTTLS"] if self.part.get("certificate") and not self.tls else []
        words += ["AUTH PLAIN LOGIN"] if self.part.get("user") and self.tls else []
        words += ["XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"] if self.part.get("forward") else []
        for place, word in enumerate(words):
            self.say("250%s%s" % ("-" if place < len(words) - 1 else " ", word))

    def encrypt(self, _rest: str) -> bool:
        self.say("220 2.0.0 Ready")
        self.wfile.flush()
        try:
            self.connection = self.server.part["context"].wrap_socket(self.connection, server_side=True)
        except OSError:
            return False
        self.rfile, self.wfile, self.tls = self.connection.makefile("rb"), self.connection.makefile("wb", 0), self.connection.version() or ""
        return True

    def authenticate(self, rest: str) -> None:
        words = rest.split()
        told = base64.b64decode(words[1] if len(words) > 1 else self.ask("334 ")).decode().split("\0")
        right = self.tls and told[1:] == [self.part.get("user"), self.part.get("password")]
        self.user = told[1] if right else ""
        self.say("235 2.7.0 Ok" if right else "535 5.7.8 No")

    def ask(self, text: str) -> str:
        self.say(text)
        return self.rfile.readline(4096).decode().strip()

    def mail(self, rest: str) -> None:
        if self.part.get("user") and not self.user:
            self.say("530 5.7.0 Authentication required")
            return
        self.sender, self.recipients = re.sub(r"^FROM:<([^>]*)>.*", r"\1", rest, flags=re.IGNORECASE), []
        self.say("250 2.1.0 Ok")

    def rcpt(self, rest: str) -> None:
        self.recipients.append(re.sub(r"^TO:<([^>]*)>.*", r"\1", rest, flags=re.IGNORECASE))
        self.say("250 2.1.5 Ok")

    def data(self, _rest: str) -> None:
        self.say("354 Go on")
        lines = []
        for line in iter(self.rfile.readline, b".\r\n"):
            if not line:
                raise ConnectionResetError
            lines.append(line[1:] if line.startswith(b".") else line)
        text = b"".join(lines)
        if self.part.get("forward"):
            self.say(self.hand_on(text))
            return
        marker = re.search(rb"^X-Marker: (\S+)", text, re.MULTILINE)
        note({"port": self.part["listen"][1], "address": self.part["listen"][0], "tls": self.tls, "user": self.user, "sender": self.sender,
              "recipients": self.recipients, "marker": marker.group(1).decode() if marker else "",
              "headers": text.split(b"\r\n\r\n", maxsplit=1)[0].decode("latin-1")})
        for _recipient in self.recipients if self.part.get("lmtp") else "1":
            self.say("250 2.0.0 Ok")

    def hand_on(self, text: bytes) -> str:
        try:
            with smtplib.SMTP(*self.part["forward"], timeout=20) as onward:
                onward.sendmail(self.sender, self.recipients, b"X-Filtered: yes\r\n" + text)
        except (OSError, smtplib.SMTPException) as error:
            return "451 4.3.0 %s" % str(error).replace("\n", " ")[:200]
        return "250 2.0.0 Ok, handed on"


def note(what: dict) -> None:
    with _WRITING, (FOLDER / "taken").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(what) + "\n")


class Auth(socketserver.StreamRequestHandler):
    """Dovecot's authentication protocol 1.2, as far as smtpd(8) speaks it for PLAIN. part: user, password."""

    def handle(self) -> None:
        self.wfile.write(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t%d\nCUID\t1\nCOOKIE\t%s\nDONE\n" % (os.getpid(), b"0" * 32))
        for line in self.rfile:
            words = line.decode().rstrip("\n").split("\t")
            if words[0] == "AUTH":
                told = base64.b64decode(line.decode().rstrip("\n").partition("\tresp=")[2] or b"").decode().split("\0")
                right = told[1:] == [self.server.part["user"], self.server.part["password"]]
                answer = "OK\t%s\tuser=%s\n" % (words[1], told[1]) if right else "FAIL\t%s\tuser=unknown\n" % words[1]
                self.wfile.write(answer.encode())


class Milter(socketserver.StreamRequestHandler):
    """Sees every message through, and adds a header to it."""

    def handle(self) -> None:
        while True:
            head = self.rfile.read(4)
            if len(head) < 4:
                return
            packet = self.rfile.read(struct.unpack("!I", head)[0])
            command = packet[:1]
            if command == b"O":
                self.answer(b"O" + struct.pack("!III", min(6, struct.unpack("!I", packet[1:5])[0]), 1, 0))
            elif command == b"E":
                self.answer(b"hX-Milter\0seen\0")
                self.answer(b"a")
            elif command == b"Q":
                return
            elif command not in (b"D", b"A", b"K"):
                self.answer(b"c")

    def answer(self, packet: bytes) -> None:
        self.wfile.write(struct.pack("!I", len(packet)) + packet)


class Policy(socketserver.StreamRequestHandler):
    """SMTPD_POLICY_README: has nothing against anybody."""

    def handle(self) -> None:
        for line in self.rfile:
            if line == b"\n":
                self.wfile.write(b"action=DUNNO\n\n")


_A, _SOA, _PTR, _MX, _TLSA = 1, 6, 12, 15, 52


class Dns(socketserver.BaseRequestHandler):
    """part: names {name: address}, mx {domain: host}, tlsa {name: hexadecimal}. All of it is signed, so far as the AD bit says."""

    def handle(self) -> None:
        query, connection = self.request
        identity, flags = struct.unpack_from("!HH", query)
        name, kind, end = _question(query)
        records = self.records(name, kind)
        code = 0 if records or self.exists(name) else 3
        head = struct.pack("!HHHHHH", identity, 0x8180 | 0x20 | flags & 0x10 | code, 1, len(records), 0, 1)
        body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for data in records)
        connection.sendto(head + query[12:end] + body + b"\0" + struct.pack("!HHIH", 41, 4096, 0x8000, 0), self.client_address)

    def exists(self, name: str) -> bool:
        part = self.server.part
        return any(known == name or known.endswith("." + name) for table in ("names", "mx", "tlsa") for known in part[table]) or not name

    def records(self, name: str, kind: int) -> list:
        part = self.server.part
        if kind == _A and name in part["names"]:
            return [socket.inet_aton(part["names"][name])]
        if kind == _MX and name in part["mx"]:
            return [struct.pack("!H", 10) + _encoded(part["mx"][name])]
        if kind == _TLSA and name in part["tlsa"]:
            return [bytes.fromhex(part["tlsa"][name])]
        if kind == _PTR:
            address = ".".join(reversed(name.split(".")[:4]))
            return [_encoded(known) for known, there in part["names"].items() if there == address][:1]
        if kind == _SOA and not name:
            return [_encoded("a.root") + _encoded("nobody.root") + struct.pack("!IIIII", 1, 3600, 600, 86400, 60)]
        return []


class DnsServer(socketserver.ThreadingUDPServer):
    allow_reuse_address = True

    def __init__(self, address: tuple, part: dict) -> None:
        self.part = part
        super().__init__(address, Dns)


def _question(query: bytes) -> tuple:
    """(name in lower case, type, where the question ends)"""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    return ".".join(labels), struct.unpack_from("!H", query, at + 1)[0], at + 5


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


PARTS = {"smtp": Smtp, "auth": Auth, "milter": Milter, "policy": Policy}


def start(part: dict) -> None:
    if part.get("certificate"):
        part["context"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        part["context"].load_cert_chain(part["certificate"], part["key"])
    where = part["listen"]
    if part["part"] == "dns":
        server: socketserver.BaseServer = DnsServer(tuple(where), part)
    elif isinstance(where, str):
        server = UnixServer(where, PARTS[part["part"]], part)
    else:
        server = Server(tuple(where), PARTS[part["part"]], part)
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    for each in json.loads((FOLDER / "parts.json").read_text(encoding="utf-8")):
        start(each)
    (FOLDER / "ready").touch()
    while True:
        time.sleep(3600)
