"""The outcome of what a producer took, as an awaitable that costs nothing until it is awaited.

::

    sent = await producer.send(record)     taken: it will have an outcome
    written = await sent                   Written(offset, origin, sequence, copies), or a ProduceError
"""

import asyncio
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proglog.client.accumulator import Acknowledged, Batch, Failed
from proglog.client.copies_asked import Acks, nodes_words
from proglog.errors import NotWrittenError, ProduceError, UnconfirmedError, UnknownOutcomeError


class Written(NamedTuple):
    """Where a record is: durable on ``copies`` nodes that are known of."""

    offset: int
    """In the log of the agent that took it."""
    origin: bytes
    """With the sequence: its identity in the cluster."""
    sequence: int
    copies: int


@dataclass(slots=True, eq=False)
class Askers:
    """The waiters for the outcomes of one producer's batches."""

    acks: Acks
    """Nodes asked for, for the words of an error."""
    urge: Callable[[Batch], None]
    """Called when a caller waits for a batch."""
    waiting: dict[Batch, list["asyncio.Future[None]"]]

    async def settled(self, batch: Batch) -> None:
        """Return when a batch has its outcome; cancelling one waiter leaves the others undisturbed."""
        if batch.outcome is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.setdefault(batch, []).append(waiter)
            self.urge(batch)
            await waiter

    def settle(self, batch: Batch) -> None:
        """Wake the waiters of a batch."""
        for waiter in self.waiting.pop(batch, ()):
            if not waiter.done():
                waiter.set_result(None)

    def failure(self, outcome: Failed, records: int) -> ProduceError:
        """Return the error of some records whose batch failed."""
        if outcome.unconfirmed:
            return UnconfirmedError(acknowledged=0, unknown=records, nodes=nodes_words(self.acks))
        kind = UnknownOutcomeError if outcome.unknown else NotWrittenError
        return kind(outcome.cause, records)


class Delivery(tuple[Askers, Batch, int]):
    """The outcome of one record: awaitable, any number of times, also when it is long known.

    It is a tuple because one is made for each record, and no other object of three fields is made as fast.
    """

    __slots__ = ()

    def __await__(self) -> Generator[object, None, Written]:
        """Return where the record is.

        Raises:
            NotWrittenError: It is not in the log.
            UnknownOutcomeError: It may be in the log.
            UnconfirmedError: It is durable on the agent, and not known to be on as many nodes as asked for.
        """
        return self.written().__await__()

    async def written(self) -> Written:
        """Return where the record is; errors as those of awaiting this."""
        askers, batch, index = self
        await askers.settled(batch)
        outcome = batch.outcome
        if isinstance(outcome, Acknowledged):
            return Written(outcome.base_offset + index, outcome.origin, outcome.base_sequence + index, outcome.copies)
        assert outcome is not None, "settled"
        batch.told.add(index)
        raise askers.failure(outcome, 1) from outcome.cause

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self[1].outcome is not None

    def __repr__(self) -> str:
        _, batch, index = self
        return f"<Delivery of record {batch.number + index}: {_word(batch)}>"


class Deliveries:
    """The outcome of many values that were sent together: awaitable."""

    __slots__ = ("_askers", "_batches")

    def __init__(self, askers: Askers, batches: Sequence[Batch]) -> None:
        self._askers = askers
        self._batches = batches

    def __await__(self) -> Generator[object, None, tuple[Acknowledged, ...]]:
        """Return where they are, batch by batch, in order.

        Raises:
            ProduceError: Some are not known to be written as asked for; the first batch's reason, and counts of all.
        """
        return self.written().__await__()

    async def written(self) -> tuple[Acknowledged, ...]:
        """Return where they are; errors as those of awaiting this."""
        for batch in self._batches:
            await self._askers.settled(batch)
        outcomes = [batch.outcome for batch in self._batches]
        failed = [
            (batch.count, each) for batch, each in zip(self._batches, outcomes, strict=True) if isinstance(each, Failed)
        ]
        if not failed:
            return tuple(each for each in outcomes if isinstance(each, Acknowledged))
        for batch in self._batches:
            batch.told.update(range(batch.count))
        first = failed[0][1]
        unknown = sum(count for count, each in failed if each.unknown)
        unsent = sum(count for count, each in failed if not each.unknown)
        if not unsent and all(each.unconfirmed for _, each in failed):
            raise self._askers.failure(first, unknown) from first.cause
        written = sum(batch.count for batch in self._batches) - unknown - unsent
        raise ProduceError(first.cause, acknowledged=written, unknown=unknown, unsent=unsent) from first.cause

    @property
    def done(self) -> bool:
        """Whether every outcome is known."""
        return all(batch.outcome is not None for batch in self._batches)


def _word(batch: Batch) -> str:
    match batch.outcome:
        case None:
            return "no outcome yet"
        case Acknowledged():
            return "written"
        case Failed(unknown=unknown):
            return "unknown" if unknown else "not written"
