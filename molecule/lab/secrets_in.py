# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the lab's private keys, looked for where none may be."""
from __future__ import annotations

from pathlib import Path

PKI = Path(__file__).resolve().parents[2] / ".cache" / "lab" / "pki"
#: Characters. The last line of a key may be a few letters that are anywhere.
_SHORTEST = 40


def key_lines() -> list:
    """Of every key that the lab has issued so far; what stands in a certificate too is the public part."""
    public = "".join("".join(path.read_text(encoding="ascii").split()) for path in PKI.glob("*.pem"))
    return [
        line for key in sorted(PKI.glob("*.key")) for line in key.read_text(encoding="ascii").splitlines()
        if len(line) >= _SHORTEST and not line.startswith("-----") and line not in public
    ]


def found(text: str) -> list:
    """Those that are in a text, whatever breaks its lines."""
    whole = "".join(text.replace("\\n", "").split())
    return [line for line in key_lines() if line in whole]
