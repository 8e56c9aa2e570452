"""Reading the blocks of an agent's history: as hostile as anything from a server, so bounded before it costs anything."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Iterator

from google.protobuf.message import DecodeError

from proglog.api.v1 import cluster_pb2
from proglog.errors import UnavailableError
from proglog.wire.convert import SnapshotReader
from proglog.wire.model import ClusterSnapshot

MAX_BLOCK_BYTES = 64 * 2**20
"""What one block may unpack to."""
PART = 15
"""Snapshots that are handed over at once."""
MAX_STATUSES = 1_000
"""Of one block."""


async def unpacked(block: bytes, addr: str) -> AsyncIterator[list[ClusterSnapshot]]:
    """Yield the snapshots of a block in parts, the newest part first; a part costs the loop some milliseconds.

    Raises:
        UnavailableError: It is none.
    """
    reader = SnapshotReader()
    try:
        statuses = list(_statuses(block))
        while statuses:
            statuses, part = statuses[:-PART], statuses[-PART:]
            yield [reader.read(cluster_pb2.Status.FromString(status)) for status in part]
            await asyncio.sleep(0)
    except (zlib.error, ValueError, struct.error, DecodeError) as error:
        raise UnavailableError(f"{addr} sent a history that is none: {error}") from error


def _statuses(block: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(block, MAX_BLOCK_BYTES)
    if not unpacker.eof:
        raise ValueError(f"cut off, or over {MAX_BLOCK_BYTES:,} bytes")
    at = count = 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        at, count = at + 4, count + 1
        if size > len(data) - at or count > MAX_STATUSES:
            raise ValueError(f"a status of {size:,} bytes, {len(data) - at:,} left")
        yield data[at : at + size]
        at += size
