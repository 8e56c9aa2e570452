"""Whether what a consumer gets of each origin is contiguous, or else explained. Pure.

Within an origin, sequence numbers have no holes. A stream says where it begins (its cursor), hands out batches, and
names what it leaves out: records that are gone, and damaged control batches, whose loss no consumer notices::

    begins at 5    5-7   8-9   gone 10-12   13-20
                                    ^-- named: fine          without the word: SequenceGapError, and nothing is handed out

An origin that the cursor does not name begins at 1. So no defect of a server, of a log or of the way between can leave
records out in silence. Within an answer, explanations are handled before the batches, since they may fall between them.
"""

from collections.abc import Mapping

from proglog.errors import SequenceGapError
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import OriginId, SequenceNumber

MAX_EXPLAINED = 4096
"""Ranges that are explained and not yet met, at most; a server that sends more makes no sense."""


class Contiguity:
    """Of one stream, from where it begins."""

    def __init__(self, positions: Mapping[OriginId, SequenceNumber]) -> None:
        """Begin at ``positions``: the next sequence of each origin that has one before the stream."""
        self._next = dict(positions)
        self._explained: list[tuple[OriginId, SequenceNumber, SequenceNumber]] = []

    def next_sequence(self, origin: OriginId) -> SequenceNumber:
        """Return what has to come next of an origin: what is explained behind it is passed."""
        following = self._next.get(origin, FIRST_SEQUENCE)
        passed = True
        while passed:
            ends = [end for of, start, end in self._explained if of == origin and start <= following < end]
            following, passed = max(ends, default=following), bool(ends)
        return following

    def explain(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> None:
        """Take in the word that ``[start, end)`` of an origin does not come."""
        if end > self._next.get(origin, FIRST_SEQUENCE):
            self._explained = [*self._explained[-MAX_EXPLAINED + 1 :], (origin, start, end)]

    def take(self, origin: OriginId, base: SequenceNumber, following: SequenceNumber) -> None:
        """Take in a batch of sequences ``[base, following)``; one that came before is taken without a word.

        Raises:
            SequenceGapError: It begins behind what has to come next: something was left out. Nothing is taken.
        """
        expected = self._next.get(origin, FIRST_SEQUENCE)
        if base > expected:
            expected = self.next_sequence(origin)
        if base > expected:
            raise SequenceGapError(origin, expected, base)
        self._next[origin] = max(expected, following)
        if self._explained:
            self._explained = [each for each in self._explained if each[2] > self._next.get(each[0], FIRST_SEQUENCE)]
