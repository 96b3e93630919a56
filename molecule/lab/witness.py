# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is, as tools see it that are not ours: its files, and the certificate that Postfix serves."""
from __future__ import annotations

import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from reach import Host

#: Every file, with owner, mode and digest.
TREE = "cd /etc/postfix && find . -type f | sort | xargs ls -ln --time-style=+ && find . -type f | sort | xargs sha256sum"

#: A restarted Postfix may be just coming up, so it is asked for some seconds.
SERVED = (
    "for turn in $(seq 30); do told=$(timeout 3 openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null"
    " | openssl x509 -noout -fingerprint -sha256 2>/dev/null) && break; sleep 0.2; done; echo \"$told\""
)


def tree(host: Host) -> str:
    return host.run(TREE)


def served(host: Host) -> str:
    """SHA-256 of the certificate Postfix serves, in lower case hexadecimal; empty where no handshake is finished."""
    return re.sub(r"^.*=|:", "", host.run(SERVED).strip()).lower()


def leaf_digest(chain: Path | str) -> str:
    return x509.load_pem_x509_certificate(Path(chain).read_bytes()).fingerprint(hashes.SHA256()).hex()
