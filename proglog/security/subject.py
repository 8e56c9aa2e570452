"""Who is calling: the common name of the certificate that TLS has verified.

The subject is the first common name of the certificate's subject, as gRPC reports it: printable text of at most 64
characters (RFC 5280, ``ub-common-name``). A certificate without such a name has the subject ``""``, which no sensible
policy allows anything.
"""

from collections.abc import Iterable, Mapping

NO_SUBJECT = ""
"""Without a certificate, or without a usable common name in it."""

MAX_SUBJECT_CHARS = 64

_COMMON_NAME = "x509_common_name"


def subject_of(auth_context: Mapping[str, Iterable[bytes]] | None) -> str:
    """Return the subject of a gRPC peer.

    Args:
        auth_context: What ``ServicerContext.auth_context()`` returns; empty or ``None`` without TLS.
    """
    name = next(iter((auth_context or {}).get(_COMMON_NAME, ())), b"")
    try:
        return usable_subject(name.decode())
    except UnicodeDecodeError:  # replacing the bytes could make two callers one
        return NO_SUBJECT


def usable_subject(name: str) -> str:
    """Return ``name`` if it can stand in a policy and on a terminal, else ``NO_SUBJECT``."""
    return name if len(name) <= MAX_SUBJECT_CHARS and name.isprintable() else NO_SUBJECT
