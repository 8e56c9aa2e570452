"""Detects that this node's origin is no longer its own: its directory was rolled back or cloned.

An origin has one writer. What peers say of this node's origin is a claim that this no longer holds::

    a hello with this origin, from another process           the directory was cloned
    a position beyond what this node has written             rolled back, or a clone kept writing
    a position whose chain checksum is not this node's there  the same, after both kept writing

Any subject that may replicate could claim that: a claim alone is reported, and is no copy. It is proved by
what only a directory with this one's key can make (:mod:`proglog.record.seal`)::

    hello      the other process answers this one's random number with the key
    position   the peer shows the batch that ends there: sealed with the key, and not the one that is here

The answer to a proof is a new origin; the old one is fetched from the others like any other, and no further than
histories agree.
"""

import os
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from proglog.errors import DataLossError, NotFoundError, OffsetOutOfRangeError, SelfConnectionError, StorageError
from proglog.log.log import Log
from proglog.record.batch import VerifiedBatch, chain_start
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.server.commit_log import CommitLog, LogView
from proglog.telemetry import events
from proglog.telemetry.emit import EventKind
from proglog.types import OriginId, SequenceNumber

INSTANCE_BYTES = 16
MAX_KNOWN = 1024
"""Number of cached places: looking one up in the log takes a fifth of a millisecond."""

LostHook = Callable[[EventKind, str, str], None]
"""Gets event, peer, and detail."""


class DoubleClaim(NamedTuple):
    """What a peer said that can only be so if this node's directory has a double."""

    event: EventKind
    """What it would be."""
    peer: str
    detail: str
    origin: OriginId
    sequence: SequenceNumber
    """In the batch that would prove it, at that peer; 0: nothing there would."""


class OwnOrigin:
    """Compares peers' positions with the log. One per process: streams in both directions share it."""

    def __init__(self, log: LogView) -> None:
        """Guard the origin that ``log`` writes under now, and those that it switches to."""
        self.log = log
        self.instance = os.urandom(INSTANCE_BYTES)
        """Identifies this process in its hello."""
        self.on_lost: LostHook | None = None
        """Called once for each origin that is lost."""
        self.on_claim: Callable[[DoubleClaim], None] | None = None
        """Called for each claim, however often it is made."""
        self._mine = {log.origin}
        self._lost: OriginId | None = None
        self._known: dict[SequenceNumber, tuple[OriginId, int]] = {}

    def meet(self, peer: str, origin: OriginId, instance: bytes, proof: bytes = b"") -> None:
        """Take the hello of ``peer``.

        Args:
            peer: Its name.
            origin: Its own.
            instance: Of its process.
            proof: The kinship in its hello.

        Raises:
            SelfConnectionError: It is this process itself.
        """
        if instance == self.instance:
            raise SelfConnectionError(f"the address of {peer!r} leads back to this node: give it one of its own")
        if origin != self.log.origin:
            return
        detail = "it writes under this node's origin: one directory is the other's copy"
        claim = DoubleClaim(events.ORIGIN_CLONED, peer, detail, origin, SequenceNumber(0))
        expected = self.log.kinship(instance, self.instance)
        if expected and secrets.compare_digest(proof, expected):
            self.lose(claim)
        else:
            self._claimed(claim)

    def proof_for(self, origin: OriginId, instance: bytes) -> bytes:
        """Return what shows the process ``instance``, which writes under ``origin``, that this one has its key, if so."""
        return self.log.kinship(self.instance, instance) if origin == self.log.origin else b""

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
            self._claimed(DoubleClaim(event, peer, detail, told.origin, SequenceNumber(told.next_sequence - 1)))
        return True

    def lose(self, claim: DoubleClaim) -> None:
        """Take ``claim`` as proved."""
        if claim.origin == self.log.origin != self._lost and self.on_lost is not None:
            self._lost = self.log.origin
            self.on_lost(claim.event, claim.peer, claim.detail)

    def _claimed(self, claim: DoubleClaim) -> None:
        if self._lost != self.log.origin and self.on_claim is not None:
            self.on_claim(claim)


async def hear(
    own_origin: OwnOrigin, commit_log: CommitLog, peer: str, positions: Iterable[Progress]
) -> list[Progress]:
    """Do as :meth:`OwnOrigin.hear`, reading the log where necessary."""
    positions = tuple(positions)
    unproven = own_origin.unproven(positions)
    parted = await commit_log.query(partial(parted_from, unproven)) if unproven else ()
    return own_origin.hear(peer, positions, parted)


def proves_double(batch: VerifiedBatch, log: Log) -> bool:
    """Return whether ``batch`` could only be made with a copy of this log's directory; reads the log.

    It is sealed with this directory's key, and it is not here: further than this log has ever written, or in the place
    of another batch. What retention removed here, or damage hides, proves nothing.
    """
    header = batch.header
    if not log.sealed(batch):
        return False
    told = Progress(header.origin, header.next_sequence, header.chain_crc)
    return header.next_sequence > log.origins()[header.origin].next_sequence or not chain_agrees_at(log, told)


def parted_from(positions: Iterable[Progress], log: Log) -> list[Progress]:
    """Return the ``positions`` whose history is not that of ``log``; reads the log."""
    return [told for told in positions if not chain_agrees_at(log, told)]


def chain_agrees_at(log: Log, told: Progress) -> bool:
    """Return whether ``log``, which reaches that far, has the same history there; true if it can no longer tell."""
    state = log.progress(told.origin) or Progress(told.origin, FIRST_SEQUENCE)
    if told.next_sequence in (FIRST_SEQUENCE, state.next_sequence) or not told.chain_crc:
        return _agrees_in_memory(state, told)
    try:
        stored = log.batch_at(log.seek_sequence(told.origin, SequenceNumber(told.next_sequence - 1)))
        assert stored is not None  # it was found
    except (NotFoundError, OffsetOutOfRangeError, DataLossError, StorageError):
        return True  # removed by retention, or damaged: later positions will show
    header = stored.header
    return (header.next_sequence, header.chain_crc) == (told.next_sequence, told.chain_crc)


def _agrees_in_memory(state: Progress, told: Progress) -> bool:
    """Return whether in-memory state proves that ``told`` belongs to this history."""
    if not told.chain_crc:
        return True  # not known there
    if told.next_sequence == FIRST_SEQUENCE:
        return told.chain_crc == chain_start(told.origin)
    return told.next_sequence == state.next_sequence and told.chain_crc == state.chain_crc
