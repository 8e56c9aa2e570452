"""Idempotent produce: the latest batches of each producer, so that a retried batch is appended once. Pure.

::

                       epoch known: lower    refused
                                    higher   appended at any sequence: the producer restarted
    a batch of a       equal, sequence of one of its last 16 batches, and its count    a duplicate: same answer again
    known producer     equal, the next sequence                                         appended
                       equal, a later one                                               refused: a hole
                       equal, one before those                                          refused: forgotten
                       equal, one of theirs cut otherwise                               refused

    An unknown or forgotten producer may start at any sequence. While damage may hide batches that the log does not know of,
    a batch that could be one of them is refused, to be retried after repair.

The log remembers a producer while it keeps one of its batches, 10,000 producers at most; the least recently active are
evicted first. All of this state is derived from the batches in the log, in order.

Source: Kafka's KIP-98 (idempotent delivery). Its window is five batches (KIP-185); on a fast disk the sync of one group takes
as long as five batches need to come, so that more in flight make fuller groups.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from proglog.errors import ProducerFencedError, ProducerForgottenError, ProducerHoleError, ProducerSequenceError
from proglog.log.model import Appended
from proglog.record.batch import BatchHeader
from proglog.types import Offset, OriginId, SequenceNumber

MAX_PRODUCERS = 10_000
WINDOW = 16
"""Batches remembered per producer: as many as it may have in flight. Agents announce it: no release remembers fewer than five."""


class ProducerBatch(NamedTuple):
    """One batch of a producer, and where it was appended."""

    sequence: int
    record_count: int
    appended: Appended


class ProducerState(NamedTuple):
    """The last batches of one epoch of a producer, by sequence."""

    epoch: int
    batches: tuple[ProducerBatch, ...]


def judge(known: ProducerState | None, header: BatchHeader) -> Appended | ProducerSequenceError | None:
    """Return the earlier append of the batch, the reason to refuse it, or ``None`` to append it."""
    if known is None or header.producer_epoch > known.epoch:
        return None
    sequence = header.producer_sequence
    if header.producer_epoch < known.epoch:
        return ProducerFencedError(header.producer_id, known.epoch, header.producer_epoch)
    for batch in known.batches:
        if (batch.sequence, batch.record_count) == (sequence, header.record_count):
            return batch.appended
    last = known.batches[-1]
    expected = last.sequence + last.record_count
    if sequence == expected:
        return None
    if sequence > expected:
        return ProducerHoleError(header.producer_id, expected, sequence)
    if sequence + header.record_count > known.batches[0].sequence:
        return ProducerSequenceError(
            f"producer {header.producer_id.hex()[:8]} sent sequence {sequence} before, in a batch of another size: a batch"
            " is sent again as it was"
        )
    return ProducerForgottenError(header.producer_id, expected, sequence)


def may_be_hidden(known: ProducerState | None, header: BatchHeader, hidden_until: Offset) -> bool:
    """Return whether damage before ``hidden_until`` may hide the batch, or one before it, unknown to the log.

    A producer's first batch is accepted: a retry whose original was lost to damage looks like a new producer.
    """
    if known is None or header.producer_epoch > known.epoch:
        return bool(hidden_until) and header.producer_sequence > 0
    return header.producer_epoch == known.epoch and known.batches[-1].appended.base_offset < hidden_until


def advance(known: ProducerState | None, header: BatchHeader) -> ProducerState:
    """Return a producer's state after one of its batches, as stored in the log."""
    appended = Appended(
        header.base_offset,
        header.end_offset,
        header.origin,
        header.base_sequence,
        header.next_sequence,
        header.batch_bytes,
    )
    batch = ProducerBatch(header.producer_sequence, header.record_count, appended)
    if known is None or header.producer_epoch > known.epoch:
        return ProducerState(header.producer_epoch, (batch,))
    if header.producer_epoch < known.epoch:
        return known
    last = known.batches[-1]
    if batch.sequence >= last.sequence + last.record_count:
        return ProducerState(known.epoch, (*known.batches[1 - WINDOW :], batch))
    return ProducerState(known.epoch, _merged(known.batches, batch))


def _merged(batches: Iterable[ProducerBatch], late: ProducerBatch) -> tuple[ProducerBatch, ...]:
    """Add a batch out of order, as after damage; of two at one sequence the first in the log counts."""
    found = {late.sequence: late}
    for batch in batches:
        other = found.get(batch.sequence)
        if other is None or batch.appended.base_offset < other.appended.base_offset:
            found[batch.sequence] = batch
    return tuple(sorted(found.values()))[-WINDOW:]


class Producers:
    """The state of all known producers; the most recently active one last."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[bytes, ProducerState] = {}
        self._newest = -1

    def __len__(self) -> int:
        return len(self._known)

    def get(self, producer_id: bytes) -> ProducerState | None:
        """Return the state of a producer; ``None`` if unknown."""
        return self._known.get(producer_id)

    def observe(self, header: BatchHeader) -> None:
        """Add a batch of this directory's own origins, as stored in the log; ignore one without a producer."""
        if not any(header.producer_id) or not header.record_count:
            return
        self._known[header.producer_id] = advance(self._known.pop(header.producer_id, None), header)
        if header.base_offset < self._newest:
            self._known = dict(sorted(self._known.items(), key=lambda item: _last_active(item[1])))
        self._newest = max(self._newest, header.base_offset)
        if len(self._known) > MAX_PRODUCERS:
            del self._known[next(iter(self._known))]

    def forget_before(self, start: Offset) -> None:
        """Forget batches that retention removed."""
        for producer_id, known in list(self._known.items()):
            kept = tuple(batch for batch in known.batches if batch.appended.base_offset >= start)
            if not kept:
                del self._known[producer_id]
            elif len(kept) < len(known.batches):
                self._known[producer_id] = ProducerState(known.epoch, kept)

    def to_json(self) -> list[Any]:
        """Return what :meth:`from_json` takes."""
        return [
            [producer_id.hex(), known.epoch, [_batch_to_json(batch) for batch in known.batches]]
            for producer_id, known in self._known.items()
        ]

    @classmethod
    def from_json(cls, content: list[Any]) -> "Producers":
        """Parse what :meth:`to_json` wrote.

        Raises:
            ValueError, TypeError: It was not.
        """
        producers = cls()
        for producer_id, epoch, batches in content:
            known = ProducerState(epoch, tuple(_batch_from_json(*batch) for batch in batches))
            producers._known[bytes.fromhex(producer_id)] = known
            producers._newest = max(producers._newest, _last_active(known))
        return producers


def _last_active(known: ProducerState) -> int:
    return max(batch.appended.base_offset for batch in known.batches)


def _batch_to_json(batch: ProducerBatch) -> list[Any]:
    to = batch.appended
    return [batch.sequence, batch.record_count, to.base_offset, to.origin.hex(), to.base_sequence, to.batch_bytes]


def _batch_from_json(
    sequence: int, count: int, base_offset: int, origin: str, base_sequence: int, batch_bytes: int
) -> ProducerBatch:
    appended = Appended(
        Offset(base_offset),
        Offset(base_offset + count),
        OriginId(bytes.fromhex(origin)),
        SequenceNumber(base_sequence),
        SequenceNumber(base_sequence + count),
        batch_bytes,
    )
    return ProducerBatch(sequence, count, appended)
