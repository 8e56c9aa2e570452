"""The public Python client: producer, consumer, status.

::

    async with proglog.client.connect("127.0.0.1:8400") as client:
        async with client.producer() as producer:
            await producer.send(Record(value=b"hello"))
        async for fetched in client.consume():
            print(fetched.values())

Importing this package is cheap: gRPC is imported with the first client.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proglog.client.client import Client
    from proglog.security.tls import TLSFiles

DEFAULT_ADDR = "127.0.0.1:8400"
DEFAULT_TIMEOUT = 10.0


def connect(addr: str = DEFAULT_ADDR, *, tls: "TLSFiles | None" = None, timeout: float = DEFAULT_TIMEOUT) -> "Client":
    """Return a client of the agent at ``addr``. Nothing is sent before its first call.

    Args:
        addr: HOST:PORT of the agent's gRPC server.
        tls: Certificate, key and authority; ``None`` speaks plain text.
        timeout: Seconds that a unary call, or the start of a stream, may take.

    Raises:
        ConfigError: A TLS file cannot be used.
    """
    from proglog.client.client import Client

    return Client(addr, tls=tls, timeout=timeout)


def __getattr__(name: str) -> Any:
    """Import ``Client`` when somebody asks for it (PEP 562): it brings gRPC, 70 ms, along."""
    if name == "Client":
        from proglog.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["DEFAULT_ADDR", "DEFAULT_TIMEOUT", "Client", "connect"]
