# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Which certificates a server has beside those it showed: offer only signatures of other keys, add what it shows, ask again, until it refuses.

A server chooses its certificate by the signature schemes it is offered: from TLS 1.3 on by these alone, in TLS 1.2 by them and the suites.
Source: RFC 8446 sections 4.2.3 and 4.4.2.2; RFC 5246 section 7.4.2; RFC 8422 section 5.10.
"""
from __future__ import annotations

from typing import Callable, Optional

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.client_hello import Offer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._starttls.question import Answer
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls import suites
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._tls.signatures import SIGNATURES, Signature

_TLS12, _TLS13 = "TLSv1.2", "TLSv1.3"
#: Of a server with more than one of each kind something else is wrong.
_MOST = 12
#: {type of a key: the signer of suites before TLS 1.3}, where that is not ECDSA.
_SIGNERS = {"RSA": "RSA", "RSA-PSS": "RSA", "DSA": "DSS"}
#: {curve of a key: the one scheme that it signs with in TLS 1.3}
_OF_CURVES = {
    "prime256v1": "ecdsa_secp256r1_sha256", "secp384r1": "ecdsa_secp384r1_sha384", "secp521r1": "ecdsa_secp521r1_sha512",
    "brainpoolP256r1": "ecdsa_brainpoolP256r1tls13_sha256", "brainpoolP384r1": "ecdsa_brainpoolP384r1tls13_sha384",
    "brainpoolP512r1": "ecdsa_brainpoolP512r1tls13_sha512",
}


def ask_for_further(version: str, known: list, ask: Callable[[Offer], Answer], shown: Callable[[Answer], Optional[tuple]], signers: tuple = ()) -> Answer:
    """Refused where it has none beside those that are known now, unknown where that is not clear, accepted never.

    version: TLSv1.2 or TLSv1.3. known: keys as (type, curve), RSA-PSS a type of its own; grows. ask: asks, and keeps what is shown. shown:
    the key of the certificate that an answer brought, None where it could not be read. signers: as suites before TLS 1.3 have them, of those
    to ask about, without them those of known keys: any other one has refused already, whatever it was offered.
    """
    signers = (None,) if version == _TLS13 else signers or tuple(dict.fromkeys(_SIGNERS.get(kind, "ECDSA") for kind, _curve in known))
    answers = [_ask_signer(version, signer, known, ask, shown) for signer in signers]
    return next((answer for answer in answers if answer.verdict == "unknown"), answers[-1] if answers else Answer("unknown", "no key was seen"))


def _ask_signer(version: str, signer: Optional[str], known: list, ask: Callable, shown: Callable) -> Answer:
    """One kind of suites at a time: OpenSSL may choose one that suits no scheme that is left, and then refuses though another would do."""
    for _nth in range(_MOST):
        offer = _of_others(version, signer, known)
        if not offer.signatures:
            return Answer("refused", "every kind of key was seen")
        answer = ask(offer)
        if answer.verdict != "accepted":
            return answer
        key = shown(answer)
        if key is None:
            return Answer("unknown", "a certificate was shown that could not be read")
        if key in known:
            return Answer("refused", "it shows the same one, whatever is offered")
        known.append(key)
    return Answer("unknown", "it shows another one each time")


def _of_others(version: str, signer: Optional[str], known: list) -> Offer:
    left = tuple(
        signature.code for signature in SIGNATURES
        if _is_of(version, signer, signature) and not any(_signs(version, key, signature) for key in known)
    )
    return Offer(version, suites.signed(signer, ephemeral=True) if signer else None, signatures=left)


def _is_of(version: str, signer: Optional[str], signature: Signature) -> bool:
    """Whether a handshake of that version and such suites can be signed so: RFC 8446 section 4.2.3 leaves the old ones to certificates."""
    if version == _TLS13:
        return signature.hash not in ("MD5", "SHA1", "SHA224") and signature.key != "DSA" and "pkcs1" not in signature.name
    return {"ECDSA": "ECDSA", "EdDSA": "ECDSA", "RSA": "RSA", "DSA": "DSS"}.get(signature.key) == signer


def _signs(version: str, key: tuple, signature: Signature) -> bool:
    kind, curve = key
    if kind == "EC":
        return signature.key == "ECDSA" if version != _TLS13 else signature.name == _OF_CURVES.get(curve)
    if kind in ("RSA", "RSA-PSS"):
        return signature.key == "RSA" and ("_pss_pss_" in signature.name) == (kind == "RSA-PSS")
    return signature.name == kind.lower() or signature.key == kind
