"""What is wrong between a client and a server before a word is said: found out by a handshake of our own.

gRPC says in its own words, which change from release to release, that a connection failed. Here the connection is made
once more, with this machine's OpenSSL, whose reasons have numbers::

    client has TLS    server speaks none; is of another authority; has another name; its certificate has ended;
                      refuses the client's certificate
    client has none   server wants TLS; speaks gossip; says nothing
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from proglog.addr import join_addr, split_addr
from proglog.errors import ConfigError
from proglog.security.certificates import certificate_summary
from proglog.security.tls import TLSFiles

SECONDS = 2.0
"""Each step of the probe may take as long."""
_SHOWN_NAMES = 8
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What an HTTP/2 client says first: the preface, and its settings, which are empty."""
_HOSTNAME_MISMATCH, _IP_MISMATCH = 62, 64
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_NOT_YET, _ENDED = 9, 10
"""Reasons of OpenSSL's X509_verify_cert, from ``x509_vfy.h``."""


def trouble_with(addr: str, tls: TLSFiles | None) -> str:
    """Return why no call to ``addr`` can succeed, and what to do; empty: the handshake is not what fails.

    Waits for the network: some seconds at most. Never raises.

    Args:
        addr: HOST:PORT that was called.
        tls: The files that it was called with.
    """
    try:
        host, port = split_addr(addr, "agent")
        return _without_tls(host, port) if tls is None else _with_tls(host, port, tls)
    except (OSError, ConfigError, ValueError):
        return ""  # it cannot be reached, or a file cannot be used: that was said


def _with_tls(host: str, port: int, tls: TLSFiles) -> str:
    addr = join_addr(host, port)
    context = ssl.create_default_context(cafile=str(tls.ca_file))
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols(["h2"])
    try:
        with _connected(host, port) as plain, context.wrap_socket(plain, server_hostname=host) as sealed:
            sealed.sendall(_PREFACE)  # with TLS 1.3, the server's word on the client's certificate comes after it
            if sealed.recv(1):
                return ""
    except ssl.SSLCertVerificationError as exc:
        return _distrusted(addr, host, port, tls, exc)
    except ssl.SSLError as exc:
        return _refused(addr, tls, exc)
    except ConnectionResetError:
        pass
    return (
        f"{addr} closed the connection in the handshake: it does not trust the certificate in {tls.cert_file}; give one of"
        " an authority that it trusts (--tls-cert-file, --tls-key-file)"
    )


def _distrusted(addr: str, host: str, port: int, tls: TLSFiles, exc: ssl.SSLCertVerificationError) -> str:
    match exc.verify_code:
        case code if code in (_HOSTNAME_MISMATCH, _IP_MISMATCH):
            names = certificate_summary(_shown_by(host, port).encode()).names
            held = ", ".join(names[:_SHOWN_NAMES]) or "none"
            return (
                f"the certificate of {addr} is not for {host!r}: its names are {held}; call it by one of them, or issue"
                " a certificate with this name"
            )
        case code if code in _UNKNOWN_AUTHORITY:
            issuer = certificate_summary(_shown_by(host, port).encode()).issuer
            return (
                f"the certificate of {addr} is of another authority ({issuer}) than those in {tls.ca_file}: give the CA"
                " file of its cluster (--tls-ca-file)"
            )
        case code if code == _ENDED:
            return f"the certificate of {addr} has ended: its operator has to renew it (is this machine's clock right?)"
        case code if code == _NOT_YET:
            return f"the certificate of {addr} is not valid yet: is this machine's clock right?"
        case _:
            return f"the certificate of {addr} does not hold: {exc.verify_message}"


def _refused(addr: str, tls: TLSFiles, exc: ssl.SSLError) -> str:
    reason = exc.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"):
        return f"{addr} does not speak TLS: leave the TLS files out (--tls-ca-file, --tls-cert-file, --tls-key-file)"
    if "ALERT" in reason:
        alert = reason.lower().replace("_", " ").partition("alert ")[2]
        return (
            f"{addr} refuses the certificate in {tls.cert_file} ({alert}): give one of an authority that it trusts"
            " (--tls-cert-file, --tls-key-file)"
        )
    return ""


def _without_tls(host: str, port: int) -> str:
    addr = join_addr(host, port)
    with _connected(host, port) as plain:
        plain.sendall(_PREFACE)
        try:
            answer = plain.recv(1)
        except (TimeoutError, ConnectionResetError):
            answer = b""
    if answer == b"\0":
        return ""  # HTTP/2 settings: it speaks what this client does
    try:
        _shown_by(host, port)
    except ssl.SSLError as exc:
        if "ALERT" not in (exc.reason or ""):
            return ""
    return f"{addr} wants TLS: give the three files (--tls-ca-file, --tls-cert-file, --tls-key-file)"


def _shown_by(host: str, port: int) -> str:
    """Return the certificate that a server shows, PEM, whatever its issuer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is looked at, not trusted
    with _connected(host, port) as plain, context.wrap_socket(plain, server_hostname=host) as sealed:
        shown = sealed.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(shown or b"")


@contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    with socket.create_connection((host, port), timeout=SECONDS) as plain:
        yield plain
