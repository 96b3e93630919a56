# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""When a line was logged, in seconds since 1970, in each form that a mail log has. A log repeats itself, so each minute is worked out once.

Forms: C(Nov 24 22:28:11) of syslog and of postlogd(8), local time without a year; C(2026-11-24T22:28:11.123456+00:00) of RFC 3339, as
rsyslog writes it since Debian 12; C(1795559291.123456) of C(journalctl --output=short-unix).
"""
from __future__ import annotations

import calendar
import re
import time

_MONTHS = {name: number for number, name in enumerate((b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)}
_SYSLOG = re.compile(rb"([A-Z][a-z][a-z]) ([ 0-3][0-9]) ([0-2][0-9]):([0-5][0-9]):")
_RFC3339 = re.compile(rb"([0-9]{4})-([01][0-9])-([0-3][0-9])[T ]([0-2][0-9]):([0-5][0-9]):([0-6][0-9](?:\.[0-9]{1,9})?)(Z|[+-][0-2][0-9]:?[0-5][0-9])")
_UNIX = re.compile(rb"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_DAY = 86400


class Clock:
    """Reads the stamps of one file. last: when it was written last, in seconds since 1970; a stamp without a year is of the year before that."""

    def __init__(self, last: float) -> None:
        self._last = last
        self._year = time.localtime(last).tm_year
        self._minutes: dict[bytes, float | None] = {}

    def split(self, head: bytes) -> tuple:
        """(seconds or None, what follows the stamp) of a line's beginning."""
        if head[:1].isdigit():
            stamp, _blank, rest = head.partition(b" ")
            return self._dated(stamp), rest
        if head[15:16] != b" ":
            return None, b""
        minute = self._minute(head[:13])
        seconds = head[13:15]
        return (None if minute is None or not seconds.isdigit() else minute + int(seconds)), head[16:]

    def _dated(self, stamp: bytes) -> float | None:
        if _UNIX.fullmatch(stamp):
            return float(stamp)
        match = _RFC3339.fullmatch(stamp)
        if not match:
            return None
        key = stamp[:16] + match.group(7)
        if key not in self._minutes:
            self._keep(key, _utc(*match.groups()))
        minute = self._minutes[key]
        return None if minute is None else minute + float(match.group(6))

    def _minute(self, stamp: bytes) -> float | None:
        try:
            return self._minutes[stamp]
        except KeyError:
            self._keep(stamp, self._local(stamp))
            return self._minutes[stamp]

    def _keep(self, key: bytes, minute: float | None) -> None:
        if len(self._minutes) >= 64:
            self._minutes.clear()
        self._minutes[key] = minute

    def _local(self, stamp: bytes) -> float | None:
        match = _SYSLOG.fullmatch(stamp)
        month = _MONTHS.get(match.group(1)) if match else None
        if not month:
            return None
        day, hour, minute = int(match.group(2)), int(match.group(3)), int(match.group(4))
        try:
            told = time.mktime((self._year, month, day, hour, minute, 0, 0, 0, -1))
            # A day more: the file may be of a host whose clock or time zone is another.
            return told if told <= self._last + _DAY else time.mktime((self._year - 1, month, day, hour, minute, 0, 0, 0, -1))
        except (ValueError, OverflowError):
            return None


def _utc(year: bytes, month: bytes, day: bytes, hour: bytes, minute: bytes, _second: bytes, zone: bytes) -> float | None:
    try:
        told = calendar.timegm((int(year), int(month), int(day), int(hour), int(minute), 0))
    except (ValueError, OverflowError):
        return None
    if zone == b"Z":
        return told
    offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return told + offset if zone[:1] == b"-" else told - offset
