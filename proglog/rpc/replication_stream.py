"""The follower's end of ``Replicate``: between the wire and plain values."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import grpc.aio

from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.errors import InvalidRequestError
from proglog.replication.positions import Position
from proglog.types import ORIGIN_BYTES, NodeName, OriginId, Sequence

PROTOCOL_VERSION = 1
MAX_QUEUED_REQUESTS = 1024


@dataclass(frozen=True, slots=True)
class Event:
    """Why a source cannot go on with an origin; ``kind`` is the name of ``OriginEvent.Kind``."""

    origin: OriginId
    kind: str
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a source."""

    batches: bytes
    positions: tuple[Position, ...]
    events: tuple[Event, ...]
    hello: OriginId | None
    """The source's own origin; first message only."""


class ReplicationStream:
    """One open stream: ask with the methods, iterate over what comes."""

    def __init__(self, channel: grpc.aio.Channel, node_name: NodeName, origin: OriginId) -> None:
        self._requests: asyncio.Queue[pb.ReplicateRequest] = asyncio.Queue(MAX_QUEUED_REQUESTS)
        hello = pb.Hello(node_name=node_name, origin=origin, protocol_version=PROTOCOL_VERSION)
        self._requests.put_nowait(pb.ReplicateRequest(hello=hello))
        self._call = replication_pb2_grpc.ReplicationStub(channel).Replicate(self._outgoing())

    def want(self, origin: OriginId, next_sequence: Sequence, chain_crc: int) -> None:
        """Ask for an origin from ``next_sequence`` on."""
        want = pb.Want(origin=origin, next_sequence=next_sequence, chain_crc=chain_crc)
        self._requests.put_nowait(pb.ReplicateRequest(want=[want]))

    def unwant(self, origin: OriginId) -> None:
        """Ask for no more of an origin."""
        self._requests.put_nowait(pb.ReplicateRequest(unwant=[origin]))

    def report(self, positions: Iterable[Position]) -> None:
        """Say what is durable here now; left out when the stream is slower than the disk: the next one says it."""
        if not self._requests.full():
            self._requests.put_nowait(pb.ReplicateRequest(durable=[position_message(each) for each in positions]))

    async def __aiter__(self) -> AsyncIterator[Received]:
        """Yield the source's messages.

        Raises:
            grpc.aio.AioRpcError: The stream broke.
            InvalidRequestError: What came cannot be a source's message.
        """
        async for response in self._call:
            hello = None
            if response.HasField("hello"):
                if response.hello.protocol_version != PROTOCOL_VERSION:
                    version = response.hello.protocol_version
                    raise InvalidRequestError(f"replication protocol {version} is not known here")
                hello = origin_of(response.hello.origin)
            yield Received(
                response.batches,
                tuple(position_of(position) for position in response.positions),
                tuple(
                    Event(origin_of(event.origin), pb.OriginEvent.Kind.Name(event.kind), Sequence(event.sequence))
                    for event in response.events
                ),
                hello,
            )

    def close(self) -> None:
        """End the stream."""
        self._call.cancel()

    async def _outgoing(self) -> AsyncIterator[pb.ReplicateRequest]:
        while True:
            yield await self._requests.get()


def origin_of(data: bytes) -> OriginId:
    """Return an origin from the wire.

    Raises:
        InvalidRequestError: It does not have 16 bytes.
    """
    if len(data) != ORIGIN_BYTES:
        raise InvalidRequestError(f"an origin has {ORIGIN_BYTES} bytes, not {len(data)}")
    return OriginId(data)


def position_of(message: pb.OriginPosition) -> Position:
    """Return a position from the wire.

    Raises:
        InvalidRequestError: Its origin is none.
    """
    return Position(
        origin_of(message.origin),
        Sequence(message.next_sequence),
        message.chain_crc,
        Sequence(message.floor_sequence),
        message.last_append_ms,
        message.bytes,
        message.node_name,
    )


def position_message(position: Position) -> pb.OriginPosition:
    """Return the message of a position."""
    return pb.OriginPosition(
        origin=position.origin,
        next_sequence=position.next_sequence,
        chain_crc=position.chain_crc,
        floor_sequence=position.floor_sequence,
        last_append_ms=position.last_append_ms,
        bytes=position.bytes,
        node_name=position.node_name,
    )
