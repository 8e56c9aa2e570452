"""Traffic for a demonstration: orders that three shops write to three agents, in waves, until the parent is gone.

A process of its own, ``python -m proglog.cli.demo.traffic CA CERT KEY ADDR...``: the dashboard it is seen in has an event
loop to itself. It ends after MAX_BYTES, so that a forgotten demonstration does not fill a disk.
"""

import asyncio
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proglog.cli import own_process
from proglog.cli.demo.cluster import DemoCluster, die_with_parent
from proglog.cli.interruption import held
from proglog.client import connect
from proglog.errors import ProglogError
from proglog.record.record import Record
from proglog.security.tls import TLSFiles

MAX_BYTES = 2**30
STEP = 0.25
"""Seconds between two batches of a shop."""
_GOODS = ("tea", "coffee", "bread", "olives", "rice", "honey", "figs", "lemons")


@contextmanager
def running(cluster: DemoCluster) -> Iterator[None]:
    """Send traffic through a cluster."""
    files = (cluster.tls.ca_file, cluster.tls.cert_file, cluster.tls.key_file)
    arguments = [*map(str, files), *(node.rpc_addr for node in cluster.nodes)]
    process: subprocess.Popen[bytes] | None = None
    try:
        with held(), (cluster.directory / "traffic.telemetry").open("w") as errors:
            process = subprocess.Popen(
                [*own_process.command("proglog.cli.demo.traffic"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=own_process.environment(os.environ),
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, and no threads yet
            )
        yield
    finally:
        with held():
            if process is not None:
                process.kill()  # it holds nothing that could be lost
                process.wait()


def orders(shop: int, step: int, rng: random.Random) -> list[Record]:
    """Return the orders of a shop in one step: more and less of them in waves of a minute, a burst now and then."""
    wave = 1 + math.sin(step * STEP * 2 * math.pi / 60 + shop * 2)
    count = round((30, 15, 5)[shop % 3] * wave) + (400 if rng.randrange(150) == 0 else 0)
    return [_order(shop, rng) for _ in range(count)]


def _order(shop: int, rng: random.Random) -> Record:
    customer = f"customer-{rng.randrange(5_000):04}"
    order = {"shop": shop + 1, "customer": customer, "item": rng.choice(_GOODS), "count": rng.randint(1, 9)}
    return Record(value=json.dumps(order).encode(), key=customer.encode(), headers=(("type", b"order"),))


async def _write(shop: int, addr: str, tls: TLSFiles) -> None:
    rng = random.Random(shop)  # noqa: S311 - the same demonstration every time
    written, step = 0, 0
    async with connect(addr, tls=tls) as client, client.producer() as producer:
        while written < MAX_BYTES // 3:
            for record in orders(shop, step, rng):
                written += len(record.value)
                await producer.send(record)
            step += 1
            await asyncio.sleep(STEP)


async def _main(ca: str, cert: str, key: str, *addrs: str) -> None:
    tls = TLSFiles(ca_file=Path(ca), cert_file=Path(cert), key_file=Path(key))
    ended = await asyncio.gather(*(_write(*each, tls) for each in enumerate(addrs)), return_exceptions=True)
    for error in ended:
        if isinstance(error, ProglogError):  # its agent was stopped: the others continue until theirs is
            sys.stderr.write(f"{error}\n")
        elif error is not None:
            raise error


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
