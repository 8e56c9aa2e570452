"""Positions with a name, as a consumer sees them: see :meth:`proglog.client.Client.commit_position`."""

from dataclasses import dataclass

from proglog.api.v1 import batches_pb2
from proglog.client.cursor import Cursor
from proglog.errors import InvalidRequestError
from proglog.record.control import MAX_POSITION_NAME
from proglog.wire.cursors import positions_of


def check_name(name: str) -> str:
    """Return ``name`` if a position can have it.

    Raises:
        InvalidRequestError: It cannot.
    """
    if not 1 <= len(name) <= MAX_POSITION_NAME or not name.isprintable():
        raise InvalidRequestError(
            f"position name {name!r:.200}: expected 1 to {MAX_POSITION_NAME} printable characters"
        )
    return name


@dataclass(frozen=True, slots=True)
class NamedPosition:
    """A named consumer's position, as one agent knows it."""

    name: str
    epoch: int
    """Grows when it is started over."""
    cursor: Cursor
    committed_at_ms: int
    """Milliseconds since 1970."""
    records_behind: int
    """Records in the agent's log that it has not had; far from the end, at most that many."""
    owner: str = ""
    """The subject that may commit it; empty: any."""

    @property
    def deleted(self) -> bool:
        """Whether it says nothing: it was deleted. Its epoch still counts, until the name expires."""
        return not self.cursor.positions

    def join(self, other: "NamedPosition") -> "NamedPosition":
        """Return what two agents know together: the higher epoch; of equal ones, the later position of each origin."""
        if self.epoch != other.epoch:
            return max(self, other, key=lambda each: each.epoch)
        positions = dict(self.cursor.positions)
        for origin, sequence in other.cursor.positions.items():
            positions[origin] = max(sequence, positions.get(origin, sequence))
        return NamedPosition(
            self.name,
            self.epoch,
            Cursor(positions),
            max(self.committed_at_ms, other.committed_at_ms),
            min(self.records_behind, other.records_behind),
            min(filter(None, (self.owner, other.owner)), default=""),
        )


def named_position_of(message: batches_pb2.NamedPosition) -> NamedPosition:
    """Return what an agent said.

    Raises:
        InvalidRequestError: Its cursor is none.
    """
    return NamedPosition(
        message.name,
        message.epoch,
        Cursor(positions_of(message.cursor)),
        message.committed_at_ms,
        message.records_behind,
        message.owner,
    )
