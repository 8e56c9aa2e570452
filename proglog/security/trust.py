"""Whether a certificate that passed a handshake would pass it now: the authorities change, and certificates end.

::

    the caller's certificate --signed by--> an intermediate that it sent --signed by--> one of the authorities of now
       not ended                              not ended                                    not ended

A handshake looks once, when a connection opens. The server asks again at each call, and on open streams from time to
time. This finds what an operator withdrew; it does not repeat everything that TLS checked.

Source: RFC 5280, section 6; gRPC's ``x509_pem_cert`` and ``x509_pem_cert_chain``.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from proglog.errors import ConfigError, UnauthenticatedError
from proglog.security.certificates import parse_certificates
from proglog.security.tls import RotatingMaterial, utc_now

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the server's files."""
MAX_PATH = 8
"""Most certificates between a caller and its authority."""
MAX_REMEMBERED = 1024
"""Callers' certificates whose end is cached; beyond, all are forgotten."""

AuthContext = Mapping[str, Iterable[bytes]]


class _Judged(NamedTuple):
    authorities: bytes
    ends: datetime | None


class PeerTrust:
    """Judges callers by the server's files as they are now. For one thread."""

    def __init__(
        self,
        material: RotatingMaterial,
        *,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the authorities of ``material``, whose files this looks at once a second."""
        self._material = material
        self._now = now
        self._clock = clock
        self._look_at = clock()
        self._judged: dict[tuple[bytes, ...], _Judged] = {}

    def check(self, auth_context: AuthContext | None) -> None:
        """Return if a new connection with the caller's certificate would be accepted.

        Args:
            auth_context: What ``ServicerContext.auth_context()`` returns.

        Raises:
            UnauthenticatedError: The certificate has ended, or none of the authorities of now signed it.
        """
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_INTERVAL
            self._material.poll()
        authorities = self._material.current.authorities
        context = auth_context or {}
        shown = (*context.get("x509_pem_cert", ()), *context.get("x509_pem_cert_chain", ()))
        judged = self._judged.get(shown)
        if judged is None or judged.authorities != authorities:
            if len(self._judged) >= MAX_REMEMBERED:
                self._judged.clear()
            judged = self._judged[shown] = _Judged(authorities, _path_ends(shown, authorities))
        if judged.ends is None:
            raise UnauthenticatedError("no authority that this server trusts now signed the client's certificate")
        if self._now() >= judged.ends:
            raise UnauthenticatedError(f"the client's certificate, or its issuer's, expired at {judged.ends:%FT%TZ}")


def _path_ends(shown: Sequence[bytes], authorities: bytes) -> datetime | None:
    """Return when the first certificate of a path to an authority ends; ``None``: there is no path."""
    try:
        sent = [parse_certificates(bytes(pem), "the client's certificate")[0] for pem in shown]
        trusted = parse_certificates(authorities, "the authorities")
    except ConfigError:  # TLS took it, and it cannot be read here
        return None
    if not sent:
        return None
    current, ends = sent[0], sent[0].not_valid_after_utc
    for _ in range(MAX_PATH):
        if anchors := [each.not_valid_after_utc for each in trusted if each == current or _issued(current, each)]:
            return min(ends, max(anchors))
        issuer = next((each for each in sent if each != current and _issued(current, each)), None)
        if issuer is None:
            return None
        current, ends = issuer, min(ends, issuer.not_valid_after_utc)
    return None


def _issued(certificate: "Certificate", issuer: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):  # another name, a key of another kind, another's signature
        return False
    return True
