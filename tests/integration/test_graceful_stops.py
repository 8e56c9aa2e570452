"""An agent that is stopped under load: what it acknowledged is durable, and nothing that it refused."""

import asyncio
import os
from itertools import count
from pathlib import Path

import proglog.client
from proglog.client import NotWrittenError
from proglog.errors import ProglogError
from proglog.log.log import Log
from proglog.record import columns
from proglog.record.scan import batches
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName

STOPS = 200 if os.environ.get("PROGLOG_LONG") == "1" else 3
WRITERS, ACKNOWLEDGED = 8, 300


async def test_what_is_acknowledged_before_a_graceful_stop_is_in_the_log_once(tmp_path: Path) -> None:
    agent, numbers = AgentProcess("a", tmp_path), count()
    acknowledged, refused, sent = set[bytes](), set[bytes](), set[bytes]()

    async def write(client: proglog.client.Client) -> None:
        while True:
            value = b"%d" % next(numbers)
            sent.add(value)
            try:
                await client.produce_value(value)
            except NotWrittenError:
                refused.add(value)
                return
            except ProglogError:
                return  # it may be in the log
            acknowledged.add(value)

    for stop in range(STOPS):
        agent.start()
        async with proglog.client.connect(agent.rpc_addr, timeout=3) as client:
            writers = [asyncio.create_task(write(client)) for _ in range(WRITERS)]
            async with asyncio.timeout(30):
                while len(acknowledged) < ACKNOWLEDGED * (stop + 1):
                    await asyncio.sleep(0.01)
            assert await asyncio.to_thread(agent.stop) < 5
            await asyncio.gather(*writers)

    log = Log.open(tmp_path / "a", node_name=NodeName("a"))
    stored = values_of(log)
    log.close()
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored) <= sent - refused


def values_of(log: Log) -> list[bytes]:
    found, at = [], log.seek(log.start_offset)
    while (read := log.read(at, 1 << 20)).data:
        at = read.next
        for stored in batches(read.data):
            if not stored.header.is_control:
                found += columns.values(stored.payload, stored.header.record_count)
    return found
