"""Who is calling: the common name in the certificate that TLS has verified.

The subject is the first common name of the certificate, read from the certificate's own bytes: printable text of at
most 64 characters (RFC 5280, ``ub-common-name``). gRPC reads it, too, and as a C string: where the two differ, as for a
name with a NUL in it, there is no subject. Nor is there for a certificate without such a name. No sensible policy
allows the subject ``""`` anything.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from proglog.errors import ConfigError

NO_SUBJECT = ""
"""Without a certificate, or without a usable common name in it."""

MAX_SUBJECT_CHARS = 64

_CERTIFICATE, _COMMON_NAME = "x509_pem_cert", "x509_common_name"


def subject_of(auth_context: Mapping[str, Iterable[bytes]] | None) -> str:
    """Return the subject of a gRPC peer.

    Args:
        auth_context: What ``ServicerContext.auth_context()`` returns; empty or ``None`` without TLS.
    """
    context = auth_context or {}
    pem = next(iter(context.get(_CERTIFICATE, ())), b"")
    name = _name_in(bytes(pem)) if pem else NO_SUBJECT
    read_by_grpc = next(iter(context.get(_COMMON_NAME, ())), b"")
    return name if name.encode() == read_by_grpc else NO_SUBJECT


@lru_cache(maxsize=1024)
def _name_in(pem: bytes) -> str:
    from proglog.security.certificates import certificate_summary

    try:
        return usable_subject(certificate_summary(pem).subject)
    except ConfigError:  # TLS took it, and it cannot be read here
        return NO_SUBJECT


def usable_subject(name: str) -> str:
    """Return ``name`` if it can stand in a policy and on a terminal, else ``NO_SUBJECT``."""
    return name if len(name) <= MAX_SUBJECT_CHARS and name.isprintable() else NO_SUBJECT
