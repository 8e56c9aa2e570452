"""Remove a member that failed and will not come back. It shows as left at once, everywhere; its records stay.

A member that is alive is refused. One that comes back after all is a member again.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options
from proglog.client import DEFAULT_ADDR, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from proglog.client import Client


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The member, as `proglog members` lists it")],
    prune: Annotated[bool, typer.Option("--prune", help="Forget it at once; otherwise it is listed for a day")] = False,
    addr: options.Addr = DEFAULT_ADDR,
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: options.Timeout = DEFAULT_TIMEOUT,
) -> None:
    tls = options.tls_files(tls_ca_file, tls_cert_file, tls_key_file)

    async def send(client: "Client") -> None:
        await client.force_leave(name, prune=prune)

    options.with_client(addr, tls, timeout, send)
    diagnostics.note(f"{name} has left" + (", and is forgotten" if prune else ""))
