"""A bridge: copies every record of one cluster into another: ``bridge.py FROM TO NAME``.

The order is kept, and nothing is missed. What was sent when the bridge or its target died may be there twice: the header
``bridged-from`` names each record's origin and sequence, so that a reader can drop what it has seen. The producer stops at
the first record that is not written, so that none comes after a hole; the position moves only behind what is acknowledged.
"""

import asyncio
import signal
import sys

from proglog.client import ProduceError, Record, StoredRecord, connect


def bridged(record: StoredRecord) -> Record:
    """Return the record as the target gets it."""
    place = f"{record.origin.hex()}:{record.sequence}".encode()
    return Record(
        value=record.value,
        key=record.key,
        timestamp_ms=record.timestamp_ms,
        headers=(*record.headers, ("bridged-from", place)),
    )


async def main(source: str, target: str, name: str) -> None:
    """Copy until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        connect(source, timeout=30) as reading,
        connect(target, timeout=30) as writing,
        writing.producer(stop_on_failure=True) as producer,
        reading.named(name, follow=True, by_hand=True, interval=0.5) as job,
    ):
        print("ready", flush=True)
        while not stop.is_set():
            batch = await job.get(timeout=0.2)
            if batch is None:
                continue
            try:
                for record in batch.records():
                    await producer.send(bridged(record))
                await producer.flush()
            except ProduceError as exc:
                sys.exit(f"stopped: {exc}; the next run begins at the last position")
            job.processed(batch.cursor)
    print(f"{producer.acknowledged} records", flush=True)


asyncio.run(main(*sys.argv[1:4]))
