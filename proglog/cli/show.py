"""What members, status, lag and segments share: ask once and write, or write again whenever something changes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from proglog.cli import options, output
from proglog.client.model import ClusterSnapshot

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.security.tls import TLSFiles

WATCH_INTERVAL = 0.5


def show(
    addr: str,
    tls: "TLSFiles | None",
    timeout: float,
    write: Callable[[ClusterSnapshot], None],
    *,
    watch: bool,
    segments: bool = False,
) -> None:
    """Write a snapshot, or with ``watch`` every one; ends when the agent does, or when interrupted."""

    async def main(client: "Client") -> None:
        if not watch:
            write(await client.status(segments=segments))
            return
        async for snapshot in client.watch(min_interval=WATCH_INTERVAL, segments=segments):
            output.clear_screen()
            write(snapshot)
            output.flush()

    options.with_client(addr, tls, timeout, main)
