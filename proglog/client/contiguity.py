"""What a stream hands out of each origin is contiguous, or explained. Pure.

Within an origin, sequence numbers have no holes. A stream states where it begins (its cursor), sends batches, and names
what it leaves out: records that are *gone*, and sequences *passed* because they held no records, such as a damaged control
batch::

    begins at 5    5-7   8-9   gone 10-12   13-20
                                    ^-- named: fine          unnamed: SequenceGapError, and 13-20 is not handed out

An origin that the cursor does not name begins at 1. So no defect of a server, a log or the network can leave records out
silently. An answer's explanations may belong before its batches, between them or after them: each is put where its
sequences come up, so that a consumer meets everything in order.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias

from proglog.client.fetched import Gone, Passed
from proglog.errors import SequenceGapError
from proglog.record.batch import VerifiedBatch
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import OriginId, SequenceNumber

MAX_EXPLANATIONS = 4096
"""Explanations that may wait for the sequences before theirs; of more, the earliest are forgotten, and their gap is an error."""

Explanation: TypeAlias = Gone | Passed


class Contiguity:
    """Checks one stream, from where it begins."""

    def __init__(self, positions: Mapping[OriginId, SequenceNumber]) -> None:
        """Begin at ``positions``: the next sequence of each origin that has one before the stream."""
        self._next = dict(positions)
        self._early: dict[OriginId, list[Explanation]] = {}
        """Explanations of sequences that are still ahead, by origin, in order."""

    def begin(
        self, positions: Mapping[OriginId, SequenceNumber], explanations: Sequence[Explanation]
    ) -> Iterator[Explanation]:
        """Yield what explains that the stream begins at ``positions``, and not where it was asked to.

        Raises:
            SequenceGapError: It begins behind that, and does not say why.
        """
        yield from self._explained(explanations)
        for origin, begins in positions.items():
            expected = self._next.get(origin, FIRST_SEQUENCE)
            if begins > expected:
                raise SequenceGapError(origin, expected, begins)

    def in_order(
        self, batches: Iterable[VerifiedBatch], explanations: Sequence[Explanation]
    ) -> Iterator[VerifiedBatch | Explanation]:
        """Yield an answer's batches and explanations, each origin's in its order.

        A batch that reaches back, or comes again, is no gap.

        Raises:
            SequenceGapError: A batch begins behind what has to come next. Everything before it was yielded.
        """
        yield from self._explained(explanations)
        for batch in batches:
            header = batch.header
            if self._early:
                yield from self._due(header.origin)
            expected = self._next.get(header.origin, FIRST_SEQUENCE)
            if header.base_sequence > expected:
                raise SequenceGapError(header.origin, expected, header.base_sequence)
            self._next[header.origin] = max(expected, header.next_sequence)
            yield batch
        yield from self._explained(())

    def _explained(self, explanations: Sequence[Explanation]) -> Iterator[Explanation]:
        """Take in explanations; yield those that are due now."""
        for explanation in explanations:
            self._keep(explanation)
        for origin in tuple(self._early):
            yield from self._due(origin)

    def _keep(self, explanation: Explanation) -> None:
        origin = OriginId(explanation.origin)
        if explanation.end <= self._next.get(origin, FIRST_SEQUENCE):
            return
        early = self._early.setdefault(origin, [])
        insort(early, explanation, key=attrgetter("start"))
        if sum(map(len, self._early.values())) > MAX_EXPLANATIONS:
            del early[0]

    def _due(self, origin: OriginId) -> Iterator[Explanation]:
        """Yield the explanations of what comes next."""
        early = self._early.get(origin, [])
        following = self._next.get(origin, FIRST_SEQUENCE)
        while early and early[0].start <= following:
            explanation = early.pop(0)
            if explanation.end > following:
                self._next[origin] = following = SequenceNumber(explanation.end)
                yield explanation
        if not early:
            self._early.pop(origin, None)
