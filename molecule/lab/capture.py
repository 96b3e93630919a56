# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab host's network card saw, by tcpdump."""
from __future__ import annotations

import base64
import struct
import time
import uuid
from typing import Iterator, NamedTuple

from reach import Host

_SETTLE = 1.5  # seconds: tcpdump(8) is given a block of packets when it is full, or a second old


class Segment(NamedTuple):
    """One TCP segment. time: seconds since 1970 by the host's clock. opens: whether a connection begins with it (SYN)."""

    time: float
    port: int  # the sender's
    opens: bool
    payload: bytes


class Capture:
    """Runs from its making until stop. expression: pcap-filter(7)."""

    def __init__(self, host: Host, expression: str, card: str = "any") -> None:
        self._host = host
        self._path = "/tmp/%s.pcap" % uuid.uuid4().hex
        host.run(
            "tcpdump -i %s -B 16384 -U -s 0 -w %s '%s' >%s.out 2>&1 </dev/null & echo $! >%s.pid; "
            "for i in $(seq 100); do grep -q 'listening on' %s.out && exit 0; sleep 0.1; done; cat %s.out >&2; exit 1"
            % (card, self._path, expression, *[self._path] * 4)
        )

    def stop(self) -> bytes:
        """The file that tcpdump wrote. Raises AssertionError where the kernel dropped packets, since then it proves nothing."""
        time.sleep(_SETTLE)
        said = self._host.run("kill $(cat {0}.pid); while kill -0 $(cat {0}.pid) 2>/dev/null; do sleep 0.05; done; cat {0}.out".format(self._path))
        assert "\n0 packets dropped by kernel" in said, said
        return base64.b64decode(self._host.run("base64 %s; rm -f %s*" % (self._path, self._path)))


def segments(pcap: bytes) -> Iterator[Segment]:
    """Of a capture on an Ethernet card (pcap-savefile(5), little-endian), with TCP over IPv4 alone."""
    magic, _version, _zone, _accuracy, _most, link = struct.unpack_from("<IIiIII", pcap)
    assert (magic, link) == (0xA1B2C3D4, 1), "not a capture of Ethernet in microseconds: %x, %d" % (magic, link)
    at = 24
    while at < len(pcap):
        seconds, microseconds, there, whole = struct.unpack_from("<IIII", pcap, at)
        assert there == whole, "a packet was cut short"
        packet = pcap[at + 16 + 14:at + 16 + there]
        at += 16 + there
        tcp = packet[4 * (packet[0] & 15):int.from_bytes(packet[2:4], "big")]
        yield Segment(
            seconds + microseconds / 1e6, int.from_bytes(tcp[:2], "big"), bool(tcp[13] & 2), tcp[4 * (tcp[12] >> 4):],
        )
