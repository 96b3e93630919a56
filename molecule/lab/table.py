# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of hosts of four releases, as a table at the end of a scenario's tests."""
from __future__ import annotations


def show(reporter, title: str, header: tuple, rows: list) -> None:
    """reporter: pytest's terminal reporter. rows: (what, host, *cells); releases that say the same share a line."""
    merged: dict = {}
    for what, host, *cells in rows:
        merged.setdefault((what, *cells), []).append(host.partition("-")[2])
    if not merged:
        return
    reporter.section(title)
    lines = [header]
    lines += [(what, "all" if len(releases) == 4 else ", ".join(sorted(releases)), *cells) for (what, *cells), releases in merged.items()]
    widths = [max(map(len, column)) for column in list(zip(*lines))[:-1]]
    for line in lines:
        reporter.write_line("  ".join([*(text.ljust(width) for text, width in zip(line, widths)), line[-1]]))
