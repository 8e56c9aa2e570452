"""Read records. Values go to stdout byte for byte, and nothing else does.

RANGE is one of: start, end, 47, +2 (two after the start), -3 (the last three), 5:10 (half-open), :end, @1h (an hour
ago), @2026-01-02T03:04:05Z, @2h:@1h. Left out: everything there is. Ends at the end of the log unless --follow.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.ranges import parse_range
from proglog.errors import ConfigError

if TYPE_CHECKING:
    from proglog.client import Client

FLUSH_BYTES = 256 * 1024


def main(
    range_: Annotated[str, typer.Argument(metavar="[RANGE]", help="Which records; everything if left out")] = "start",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait at the end of the log for more")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="Stop after so many records")] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="line|null|json|TEMPLATE",
            help="What follows a value; or JSON lines; or a template such as '{offset} {key} {value}'",
        ),
    ] = "line",
    raw: Annotated[bool, typer.Option("--raw", help="Send values to a terminal as they are")] = False,
    addr: options.Addr = options.DEFAULT_ADDR,
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
) -> None:
    from proglog.cli.render import renderer

    start, end = parse_range(range_, time.time_ns() // 1_000_000)
    if limit is not None and limit < 0:
        raise ConfigError(f"--limit {limit}: expected 0 or more")
    render = renderer(format_, harmless=output.is_terminal() and not raw)

    async def read(client: "Client") -> None:
        left = limit
        stream = client.consume(start, end, follow=follow)
        pending: list[bytes] = []
        size = 0
        async for fetched in stream:
            if left == 0:
                break
            data, count = render(fetched, left)
            left = None if left is None else left - count
            pending.append(data)
            size += len(data)
            if follow or size >= FLUSH_BYTES:
                output.raw(b"".join(pending))
                pending, size = [], 0
                if follow:
                    output.flush_raw()
        output.raw(b"".join(pending))
        output.flush_raw()

    options.with_client(addr, options.tls_files(tls_ca_file, tls_cert_file, tls_key_file), timeout, read)
