"""The follower's end of ``Replicate``: between the wire and plain values."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import grpc.aio

from proglog import __version__
from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.errors import IncompatibleReleaseError, InvalidRequestError
from proglog.record.batch import VERSION
from proglog.replication.progress import Progress, Refusal, RefusalKind
from proglog.replication.ranges import flat, from_flat
from proglog.types import ORIGIN_BYTES, OriginId, SequenceNumber
from proglog.wire.contract import FEATURES, LOWEST_PROTOCOL_VERSION, NEEDED_FEATURES, PROTOCOL_VERSION

MAX_NAME_CHARS = 256
MAX_NEEDS = 64
"""Features that one hello may need: the rest is not looked at."""
MAX_NAMED = 3
"""Of the features that are unknown, in words."""
MAX_ORIGINS_IN_MESSAGE = 4096
"""Of which a message may say anything: what one message costs its receiver. More go into several."""
PORTION = 1024
"""Origins of which one message of this program says something."""

MAX_TOKENS = 8
"""Handed back in one message; more are not looked at."""

Word = TypeVar("Word")


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks."""

    node_name: str
    origin: OriginId
    """Its own."""
    instance: bytes
    """Of its process."""
    kinship: bytes = b""
    """Proof that its process has the key of the other's origin."""
    token: bytes = b""
    """What the other is to hand back."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a source."""

    batches: bytes
    positions: tuple[Progress, ...]
    events: tuple[Refusal, ...]
    hello: Hello | None
    """First message only."""


class ReplicationStream:
    """One open stream: ask with the methods, iterate over what comes.

    What is asked and reported between two sends goes out together, the last word on each origin, up to ``PORTION`` of
    them a message: however slow the stream, what waits is bounded by the number of origins that are asked for.
    """

    def __init__(self, channel: grpc.aio.Channel, hello: Hello) -> None:
        self._hello = hello_message(hello)
        self._asked: dict[OriginId, pb.Want | None] = {}
        self._durable: dict[OriginId, Progress] = {}
        self._tokens: deque[bytes] = deque(maxlen=MAX_TOKENS)
        self._work = asyncio.Event()
        self._closed = False
        self._call = replication_pb2_grpc.ReplicationStub(channel).Replicate(self._outgoing())

    def want(self, origin: OriginId, next_sequence: SequenceNumber, chain_crc: int) -> None:
        """Ask for an origin from ``next_sequence`` on; ``chain_crc`` 0: not known."""
        self._asked[origin] = pb.Want(origin=origin, next_sequence=next_sequence, chain_crc=chain_crc or None)
        self._work.set()

    def unwant(self, origin: OriginId) -> None:
        """Ask for no more of an origin."""
        self._asked[origin] = None
        self._work.set()

    def report(self, positions: Iterable[Progress]) -> None:
        """Say what is durable here now."""
        self._durable |= {position.origin: position for position in positions}
        self._work.set()

    def hand_back(self, token: bytes) -> None:
        """Show that the source's own follower called here."""
        self._tokens.append(token)
        self._work.set()

    async def __aiter__(self) -> AsyncIterator[Received]:
        """Yield the source's messages.

        Raises:
            grpc.aio.AioRpcError: The stream broke.
            InvalidRequestError: What came cannot be a source's message.
        """
        first = True
        async for response in self._call:
            if first != response.HasField("hello"):
                raise InvalidRequestError("a source says hello first, and once")
            first = False
            yield _received(response)

    def close(self) -> None:
        """End the stream; what was still to be asked is not."""
        self._closed = True
        self._work.set()  # what feeds the call ends by itself: gRPC would leave it waiting
        self._call.cancel()

    async def _outgoing(self) -> AsyncIterator[pb.ReplicateRequest]:
        yield pb.ReplicateRequest(hello=self._hello)
        while True:
            await self._work.wait()
            self._work.clear()
            if self._closed:
                return
            asked, durable = _portion(self._asked), _portion(self._durable)
            if self._asked or self._durable:
                self._work.set()
            tokens = list(self._tokens)
            self._tokens.clear()
            yield pb.ReplicateRequest(
                want=[want for want in asked.values() if want is not None],
                unwant=[origin for origin, want in asked.items() if want is None],
                durable=[position_message(position) for position in durable.values()],
                tokens=tokens,
            )


def _portion(words: dict[OriginId, Word]) -> dict[OriginId, Word]:
    """Take the oldest of ``words``, as many as one message may hold."""
    portion = dict(islice(words.items(), PORTION))
    for origin in portion:
        del words[origin]
    return portion


async def fetch_range(
    channel: grpc.aio.Channel, origin: OriginId, start: SequenceNumber, end: SequenceNumber
) -> AsyncIterator[bytes]:
    """Yield what a peer has of one origin's sequences in ``[start, end)``: whole batches, not checked yet.

    Raises:
        grpc.aio.AioRpcError: It cannot be had from there.
    """
    request = pb.ReadRangeRequest(origin=origin, start_sequence=start, end_sequence=end)
    async for response in replication_pb2_grpc.ReplicationStub(channel).ReadRange(request):
        yield response.batches


def _received(response: pb.ReplicateResponse) -> Received:
    check_origins("a source", len(response.positions) + len(response.events))
    hello = hello_of(response.hello) if response.HasField("hello") else None
    positions = tuple(position_of(position) for position in response.positions)
    events = tuple(event for event in map(_event_of, response.events) if event is not None)
    return Received(response.batches, positions, events, hello)


def hello_message(hello: Hello) -> pb.Hello:
    """Return the message of a hello."""
    return pb.Hello(
        node_name=hello.node_name,
        origin=hello.origin,
        instance=hello.instance,
        protocol_version=PROTOCOL_VERSION,
        lowest_protocol_version=LOWEST_PROTOCOL_VERSION,
        batch_version=VERSION,
        release=__version__,
        kinship=hello.kinship,
        token=hello.token,
        features=FEATURES,
        needs=NEEDED_FEATURES,
    )


def hello_of(message: pb.Hello) -> Hello:
    """Return a hello from the wire.

    Raises:
        IncompatibleReleaseError: No version of the protocol is spoken on both sides, or it needs what is not known here.
        InvalidRequestError: Its origin is none.
    """
    highest = message.protocol_version
    lowest = message.lowest_protocol_version if message.HasField("lowest_protocol_version") else highest
    if lowest > PROTOCOL_VERSION or highest < LOWEST_PROTOCOL_VERSION:
        raise IncompatibleReleaseError(
            f"{_speaker(message)} speaks replication protocol {lowest} to {highest}, and this node (proglog {__version__})"
            f" {LOWEST_PROTOCOL_VERSION} to {PROTOCOL_VERSION}: upgrade the older one"
        )
    unknown = sorted(set(message.needs[:MAX_NEEDS]) - set(FEATURES))
    if unknown:
        raise IncompatibleReleaseError(
            f"{_speaker(message)} needs {', '.join(repr(each[:MAX_NAME_CHARS]) for each in unknown[:MAX_NAMED])}, which this"
            f" node (proglog {__version__}) does not know: upgrade this node"
        )
    return Hello(
        message.node_name[:MAX_NAME_CHARS], origin_of(message.origin), message.instance, message.kinship, message.token
    )


def check_reads_batches(message: pb.Hello) -> None:
    """Return if a follower can read the batches that this release sends.

    Raises:
        IncompatibleReleaseError: They are of a later version than it reads, or than the first release does.
    """
    if message.batch_version < VERSION:
        reads = f"batches up to version {message.batch_version}" if message.batch_version else "no marked batches"
        raise IncompatibleReleaseError(
            f"{_speaker(message)} reads {reads}, and this node (proglog {__version__}) sends version {VERSION}: upgrade"
            " that node; until then it copies nothing from here"
        )


def _speaker(message: pb.Hello) -> str:
    release = f"proglog {message.release[:MAX_NAME_CHARS]}" if message.release else "an earlier release of proglog"
    return f"node {message.node_name[:MAX_NAME_CHARS]!r} ({release})"


def event_message(event: Refusal) -> pb.OriginEvent:
    """Return the message of an event."""
    kind = pb.OriginEvent.Kind.Value(f"KIND_{event.kind.name}")
    return pb.OriginEvent(origin=event.origin, kind=kind, sequence=event.sequence)


def _event_of(message: pb.OriginEvent) -> Refusal | None:
    """Return an event from the wire; ``None`` for a kind that a newer version sent."""
    names = {pb.OriginEvent.Kind.Value(f"KIND_{kind.name}"): kind for kind in RefusalKind}
    kind = names.get(message.kind)
    return None if kind is None else Refusal(origin_of(message.origin), kind, SequenceNumber(message.sequence))


def check_origins(who: str, count: int) -> None:
    """Return if a message of ``who`` may say something of ``count`` origins.

    Raises:
        InvalidRequestError: It is more than ``MAX_ORIGINS_IN_MESSAGE``.
    """
    if count > MAX_ORIGINS_IN_MESSAGE:
        raise InvalidRequestError(
            f"{who} named {count:,} origins in one message; expected at most {MAX_ORIGINS_IN_MESSAGE:,}"
        )


def origin_of(data: bytes) -> OriginId:
    """Return an origin from the wire.

    Raises:
        InvalidRequestError: It does not have 16 bytes.
    """
    if len(data) != ORIGIN_BYTES:
        raise InvalidRequestError(f"an origin has {ORIGIN_BYTES} bytes, not {len(data)}")
    return OriginId(data)


def position_of(message: pb.OriginPosition) -> Progress:
    """Return a position from the wire.

    Raises:
        InvalidRequestError: Its origin is none.
    """
    return Progress(
        origin_of(message.origin),
        SequenceNumber(message.next_sequence),
        message.chain_crc,
        SequenceNumber(message.floor_sequence),
        message.last_append_ms,
        message.bytes,
        message.node_name,
        from_flat(message.gaps),
        from_flat(message.damaged),
    )


def position_message(position: Progress) -> pb.OriginPosition:
    """Return the message of a position."""
    return pb.OriginPosition(
        origin=position.origin,
        next_sequence=position.next_sequence,
        chain_crc=position.chain_crc or None,
        floor_sequence=position.floor_sequence,
        last_append_ms=position.last_append_ms,
        bytes=position.bytes,
        node_name=position.node_name,
        gaps=flat(position.gaps),
        damaged=flat(position.damaged),
    )
