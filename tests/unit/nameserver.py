# SPDX-License-Identifier: GPL-3.0-or-later
"""A name server on loopback that answers questions for MX records and addresses as told: a fake, because the machine that runs unit tests has no
zone to ask, and no real server is silent or broken on demand. Questions and answers are real datagrams of RFC 1035, made by dnspython."""
from __future__ import annotations

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset


class NameServer:
    """records: {domain: [(preference, host)], [] for a domain without MX, {"A": addresses, "AAAA": addresses}, or a name of dns.rcode}; any other
    domain does not exist.

    A domain of None is one for which no answer ever comes.
    """

    def __init__(self, records: dict) -> None:
        self.records = records
        self.asked: list = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers, self.resolver.port = ["127.0.0.1"], self._socket.getsockname()[1]

    def __enter__(self) -> NameServer:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if not question:
                self._socket.close()
                return
            answer = self._answer(dns.message.from_wire(question))
            if answer:
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        name = query.question[0].name
        domain = name.to_text(omit_final_dot=True)
        self.asked.append(domain)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        told = self.records.get(domain, "NXDOMAIN")
        if told is None:
            return None
        if isinstance(told, str):
            answer.set_rcode(dns.rcode.from_text(told))
        elif isinstance(told, dict):
            kind = dns.rdatatype.to_text(query.question[0].rdtype)
            if told.get(kind):
                answer.answer.append(dns.rrset.from_text(name, 300, "IN", kind, *told[kind]))
        elif told:
            written = ["%d %s" % (preference, host if host == "." else host + ".") for preference, host in told]
            answer.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", *written))
        return answer
