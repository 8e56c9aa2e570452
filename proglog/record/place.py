"""Where a batch belongs: a mark of four bytes that differs for every place.

An intact batch can still be in the wrong place: a block of an earlier file, a misdirected write, a file of another log,
a piece of a log inside a record's value. So each log has a random id, and the mark of a batch is a keyed hash of the
place where it was written::

    mark = BLAKE2b-32(key = log id, base offset of the segment, position in its store)

The id never leaves the data directory. Without it, no number of known marks yields the mark of another place; a
checksum, which is linear, would.
"""

from hashlib import blake2b

from proglog.types import FilePosition, LogId, Offset

MARK_BYTES = 4


class Places:
    """The marks of one segment's store."""

    def __init__(self, log_id: LogId, base_offset: Offset) -> None:
        """Mark places in the segment at ``base_offset`` of the log ``log_id``."""
        self.base_offset = base_offset
        self._start = blake2b(base_offset.to_bytes(8, "little"), key=log_id, digest_size=MARK_BYTES).copy

    def mark(self, position: FilePosition | int) -> bytes:
        """Return the mark of a batch that begins at ``position``."""
        state = self._start()
        state.update(position.to_bytes(8, "little"))
        return state.digest()
