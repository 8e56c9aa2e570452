"""Detects that this node's origin is no longer its own: its directory was rolled back or cloned.

An origin has one writer. The peers' positions in this node's origin show when that no longer holds, on streams in either
direction, so that one connection is enough::

    a hello with this origin, from another process           the directory was cloned
    a position beyond what this node has written             rolled back, or a clone kept writing
    a position whose chain checksum is not this node's there  the same, after both kept writing

The node then starts a new origin, and fetches the old one from peers like any other, as far as the histories agree.
A position not proven to belong to this node's history is no copy of it: it never counts for an ack.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from proglog.errors import DataLossError, NotFoundError, OffsetOutOfRangeError, SelfConnectionError, StorageError
from proglog.log.log import Log
from proglog.record.batch import HEADER_BYTES, chain_start, parse_header
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.server.commit_log import CommitLog, LogView
from proglog.telemetry import events
from proglog.telemetry.emit import EventKind
from proglog.types import OriginId, SequenceNumber

INSTANCE_BYTES = 16
MAX_KNOWN = 1024
"""Number of cached places: looking one up in the log takes a fifth of a millisecond."""

LostHook = Callable[[EventKind, str, str], None]
"""Called with event, peer and detail."""


class OwnOrigin:
    """Compares peers' positions with the log. One per process: streams in both directions share it."""

    def __init__(self, log: LogView) -> None:
        """Guard the origin that ``log`` writes under now, and those that it switches to."""
        self.log = log
        self.instance = os.urandom(INSTANCE_BYTES)
        """Identifies this process in its hello."""
        self.on_lost: LostHook | None = None
        """Called once for each lost origin."""
        self._mine = {log.origin}
        self._lost: OriginId | None = None
        self._known: dict[SequenceNumber, tuple[OriginId, int]] = {}

    def meet(self, peer: str, origin: OriginId, instance: bytes) -> None:
        """Check the hello of ``peer``.

        Raises:
            SelfConnectionError: It is this process itself.
        """
        if instance == self.instance:
            raise SelfConnectionError(f"the address of {peer!r} leads back to this node: give it one of its own")
        if origin == self.log.origin:
            self._lose(
                events.ORIGIN_CLONED, peer, "it writes under this node's origin: one directory is the other's copy"
            )

    def note_sent(self, sent: Mapping[OriginId, tuple[SequenceNumber, int]]) -> None:
        """Cache where sent batches of the own origin end: followers report exactly these places, repeatedly."""
        place = sent.get(self.log.origin)
        if place is not None:
            self._known[place[0]] = self.log.origin, place[1]
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]

    def unproven(self, positions: Iterable[Progress]) -> list[Progress]:
        """Return the ``positions`` that only the log's batches can prove: see :func:`parted_from`."""
        self._mine.add(self.log.origin)
        return [
            told
            for told in positions
            if told.origin in self._mine
            and told.next_sequence <= self._reached(told.origin).next_sequence
            and self._known.get(told.next_sequence) != (told.origin, told.chain_crc)
            and not _agrees_in_memory(self._reached(told.origin), told)
        ]

    def _reached(self, origin: OriginId) -> Progress:
        return self.log.progress(origin) or Progress(origin, FIRST_SEQUENCE)

    def hear(self, peer: str, positions: Iterable[Progress], parted: Collection[Progress]) -> list[Progress]:
        """Return the ``positions`` of ``peer`` in this node's origins that do not contradict its history.

        Args:
            peer: Its name.
            positions: Of any origins.
            parted: What :func:`parted_from` found among the :meth:`unproven` of them.
        """
        self._mine.add(self.log.origin)
        return [
            position
            for position in positions
            if position.origin in self._mine and not self._contradicts(peer, position, parted)
        ]

    def _contradicts(self, peer: str, told: Progress, parted: Collection[Progress]) -> bool:
        state = self._reached(told.origin)
        if told.next_sequence > state.next_sequence:
            detail = (
                f"it has this node's origin up to {told.next_sequence - 1}, this node up to {state.next_sequence - 1}"
            )
            event = events.OWN_ORIGIN_AHEAD
        elif told not in parted:
            return False
        else:
            detail = f"its history of this node's origin parts from this node's before sequence {told.next_sequence}"
            event = events.REPLICATION_FORKED
        if told.origin == self.log.origin:
            self._lose(event, peer, detail)
        return True

    def _lose(self, event: EventKind, peer: str, detail: str) -> None:
        if self._lost != self.log.origin and self.on_lost is not None:
            self._lost = self.log.origin
            self.on_lost(event, peer, detail)


async def hear(
    own_origin: OwnOrigin, commit_log: CommitLog, peer: str, positions: Iterable[Progress]
) -> list[Progress]:
    """Do as :meth:`OwnOrigin.hear`, reading the log where necessary."""
    positions = tuple(positions)
    unproven = own_origin.unproven(positions)
    parted = await commit_log.query(partial(parted_from, unproven)) if unproven else ()
    return own_origin.hear(peer, positions, parted)


def parted_from(positions: Iterable[Progress], log: Log) -> list[Progress]:
    """Return the ``positions`` whose history is not that of ``log``; reads the log."""
    return [told for told in positions if not chain_agrees_at(log, told)]


def chain_agrees_at(log: Log, told: Progress) -> bool:
    """Return whether ``log``, which reaches that far, has the same history there; true if it can no longer tell."""
    state = log.progress(told.origin) or Progress(told.origin, FIRST_SEQUENCE)
    if told.next_sequence in (FIRST_SEQUENCE, state.next_sequence) or not told.chain_crc:
        return _agrees_in_memory(state, told)
    try:
        at = log.seek_sequence(told.origin, SequenceNumber(told.next_sequence - 1))
        header = parse_header(log.read(at, HEADER_BYTES).data)
    except (NotFoundError, OffsetOutOfRangeError, DataLossError, StorageError):
        return True  # removed by retention, or damaged: later positions will show
    return (header.next_sequence, header.chain_crc) == (told.next_sequence, told.chain_crc)


def _agrees_in_memory(state: Progress, told: Progress) -> bool:
    """Return whether in-memory state proves that ``told`` belongs to this history."""
    if not told.chain_crc:
        return True  # not known there
    if told.next_sequence == FIRST_SEQUENCE:
        return told.chain_crc == chain_start(told.origin)
    return told.next_sequence == state.next_sequence and told.chain_crc == state.chain_crc
