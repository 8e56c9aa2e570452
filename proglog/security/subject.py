"""Who a caller is: the common name of the certificate that it showed in the handshake."""

from collections.abc import Iterable, Mapping

from proglog.security.certificates import certificate_summary

COMMON_NAME = "x509_common_name"


def subject_of(auth_context: Mapping[str, Iterable[bytes]] | None) -> str:
    """Return the common name in a gRPC authentication context; empty without a certificate.

    Args:
        auth_context: As ``ServicerContext.auth_context()`` returns it: names to lists of bytes.
    """
    for name in (auth_context or {}).get(COMMON_NAME, ()):
        return name.decode("utf-8", "replace")
    return ""
