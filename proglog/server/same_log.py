"""Whether an offset read from one log means the same record in another.

An offset is an ordinal in one node's log. That log could be identified by

* the node's name: a label, which an operator may reuse for an empty directory;
* an identity created with the directory: clones and restored backups share it, but from some place on they give the same
  offsets to *other* records;
* the origin under which it writes: fresh whenever the directory could have been cloned or rolled back, but it also
  changes when the offsets are unaffected.

The third can be made exact, since an origin's first batch is in the log and names the previous origin: an offset
read while ``O1`` wrote here means the same record up to the place where the next origin began. Consensus systems
do the same with leader epochs (KIP-320)::

    offset   0 ........ 100 ......... 150          read under O1, up to 150
    log      [ O1 writes | O2 writes ...           restored from a backup made at 100: 90 is the same record, 150 is not
"""

from proglog.errors import InvalidRequestError, MalformedBatchError, NotFoundError, OtherLogError, ProglogError
from proglog.log.log import Log
from proglog.record import control
from proglog.record.columns_pb2 import OriginStart
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import ORIGIN_BYTES, Offset, OriginId

MAX_HOPS = 1024
_ADVICE = "offsets differ from node to node: continue from a cursor, which is valid on all of them, or from a time"


def check_same_log(log: Log, expected: bytes, offset: Offset) -> None:
    """Return if ``offset``, read while ``expected`` wrote, means the same record in ``log``.

    Raises:
        InvalidRequestError: ``expected`` is no origin.
        OtherLogError: It does not, or the log cannot tell.
    """
    if len(expected) != ORIGIN_BYTES:
        raise InvalidRequestError(f"expected_log has {len(expected)} bytes; expected {ORIGIN_BYTES}")
    origin = log.origin
    for _ in range(MAX_HOPS):
        if origin == expected:
            return
        began_at, before = _beginning(log, origin)
        if offset > began_at:
            break  # the earlier origin doesn't matter: the records from there on are this origin's
        origin = before
    raise OtherLogError(f"offset {offset} was read from another log ({expected.hex()[:8]}): {_ADVICE}")


def _beginning(log: Log, origin: OriginId) -> tuple[Offset, OriginId]:
    """Return where ``origin`` began to write here, and the origin before it."""
    try:
        stored = log.batch_at(log.seek_sequence(origin, FIRST_SEQUENCE))
        said = control.parse(stored.payload) if stored is not None else None
    except (NotFoundError, MalformedBatchError):
        stored = said = None  # removed by retention: everything left came later
    except ProglogError as exc:
        raise OtherLogError(f"this log cannot say where its origin began ({exc}): {_ADVICE}") from exc
    if stored is None or not isinstance(said, OriginStart) or len(said.previous_origin) != ORIGIN_BYTES:
        raise OtherLogError(f"the offset was read from another log than {origin.hex()[:8]}: {_ADVICE}")
    return stored.header.base_offset, OriginId(said.previous_origin)
