# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Files of keys and certificates, as others left them on this host."""
from __future__ import annotations

import errno
import os
import stat

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain.pem import MOST, oversized
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError

_KINDS = (
    (stat.S_ISDIR, "it is a directory", "Name the file in it, such as fullchain.pem or privkey.pem."),
    (stat.S_ISFIFO, "it is a pipe", "Name a regular file."),
    (stat.S_ISSOCK, "it is a socket", "Name a regular file."),
    (lambda mode: not stat.S_ISREG(mode), "it is a device", "Name a regular file."),
)


def text(item: str, path: str) -> str:
    """What is in a PEM file, whatever the encoding. Raises PostfixTlsError where there is none that could be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would have us wait for its writer
    except OSError as error:
        raise _refused(item, path, error) from None
    try:
        status = os.fstat(descriptor)
        for kind, reason, remedy in _KINDS:
            if kind(status.st_mode):
                raise PostfixTlsError(item, path, reason, remedy)
        if status.st_size > MOST:
            raise oversized(item, path, status.st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MOST)
    except OSError as error:
        raise _refused(item, path, error) from None
    finally:
        os.close(descriptor)
    if content[:1] == b"\x30":  # ASN.1 SEQUENCE: a certificate, a key or a PKCS#12 container as it is
        raise PostfixTlsError(
            item, path, "it is binary (DER or PKCS#12), and Postfix takes text (PEM)",
            "Convert it: openssl x509 -inform DER, openssl pkey -inform DER, or openssl pkcs12 -nodes.",
        )
    return decoded(content)


def decoded(content: bytes) -> str:
    """As text, whatever the encoding: PEM is ASCII, and what is not stands beside it."""
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")


def _refused(item: str, path: str, error: OSError) -> PostfixTlsError:
    if error.errno == errno.ENOENT and os.path.islink(path):
        return PostfixTlsError(
            item, path, "it is a link to %s, where there is nothing" % os.readlink(path), "Have it issued again, or mend the link.",
        )
    if error.errno == errno.ENOENT:
        return PostfixTlsError(item, path, "there is no such file on this host", "Name the file that holds it.")
    return PostfixTlsError(item, path, "it can't be read (%s)" % os.strerror(error.errno or 0), "Mend that first; nothing was changed.")
