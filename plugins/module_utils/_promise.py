# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a listener's own effective parameters promise to a peer, as an expectation that a look from outside can refute."""
from __future__ import annotations

from typing import Callable, NamedTuple

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix import lint, protocol_list
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._postfix.instance import Instance, Listener, Run
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.target import Target
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files


class Own(NamedTuple):
    """A listener of the machine itself. promised: arguments of Expectation. complaints: about what it is configured with."""

    target: Target
    promised: dict
    complaints: list


def own(run: Run) -> Callable[[str], list]:
    """config_directory -> [Own], all listeners of that instance. Raises PostfixTlsError where there is no Postfix."""
    def listeners(directory: str) -> list:
        try:
            instance = Instance.read(run, directory)
        except PostfixTlsError as error:
            if error.item != "postconf":
                raise
            raise PostfixTlsError(
                "targets", None, "there is none, and no Postfix on this machine whose listeners could be looked at", "Write at least one with its host.",
            ) from None
        name = instance.effective("myhostname")
        return [
            Own(
                Target(listener.address, listener.port, _spoken(listener), name, proxied=listener.proxied),
                promised(listener, trusted=True),
                lint.complaints(instance, service),
            )
            for listener, service in zip(instance.listeners(), instance.receiving)
        ]
    return listeners


def _spoken(listener: Listener) -> str:
    """The protocol as a target has it: where TLS is required, MAIL has to be refused before it."""
    return "submission" if listener.protocol == "smtp" and listener.level == "encrypt" else listener.protocol


def promised(listener: Listener, trusted: bool) -> dict:
    """Arguments of Expectation. trusted: whether peers are to trust the chain and find their name in it."""
    if not listener.encrypts:
        return {"starttls": False, "checks": ("reachable", "starttls_offered")}
    try:
        deployed = [
            digest for path, _key in listener.chain_files
            for digest in pem.leaf_digests((files.read(path).content or b"").decode("utf-8", "replace"))
        ]
    except PostfixTlsError:
        deployed = []  # a damaged file: Postfix can't serve it, and its log says which
    try:
        floor = protocol_list.floor(listener.protocols)
    except PostfixTlsError:
        floor = None  # Postfix switches TLS off for such a list: the handshake shows it, and lint names it
    return {"starttls": True, "floor": floor, "trust": trusted, "name": trusted, "deployed": deployed}
