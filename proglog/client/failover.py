"""Chooses which of several agents to try next, and when to give up on all of them. Pure.

For each agent the table keeps its last failure and its last contact::

    AWAY      nothing listens, the connection broke, or it timed out             retried until patience ends
    FULL      it is up, and takes nothing now: full disk, or too many calls      retried until patience ends
    LACKS     it is up, and lacks the wanted records                             another one may have them
    REFUSES   it is up, and refuses                                              another one may not

An agent that has not failed since the last contact is next. When all have failed, those AWAY or FULL are retried until
patience ends; then, or when there are none, :meth:`Failover.verdict` is final.
"""

from dataclasses import dataclass
from enum import IntEnum

from proglog.errors import (
    DataLossError,
    LogFullError,
    LogPoisonedError,
    LogReadOnlyError,
    MalformedBatchError,
    OffsetOutOfRangeError,
    OtherLogError,
    OverloadedError,
    PositionGoneError,
    ProglogError,
    SequenceGapError,
    is_out_of_reach,
)

ROUND_INTERVAL = 0.2
"""Seconds between two rounds through agents that all failed."""


_LACKING = (
    PositionGoneError,
    DataLossError,
    OffsetOutOfRangeError,
    OtherLogError,
    MalformedBatchError,
    SequenceGapError,
)


class Kind(IntEnum):
    """What a failure means for an agent; later members are more specific to the request."""

    AWAY = 1
    FULL = 2
    REFUSES = 3
    LACKS = 4


def kind_of(error: ProglogError) -> Kind:
    """Return what ``error`` says about the agent that it comes from."""
    if is_out_of_reach(error):
        return Kind.AWAY
    if isinstance(error, OverloadedError | LogFullError | LogReadOnlyError | LogPoisonedError):
        return Kind.FULL
    if isinstance(error, _LACKING):
        return Kind.LACKS
    return Kind.REFUSES


def placed(addr: str, error: ProglogError) -> str:
    """Return the error in words that name its agent once."""
    text = str(error)
    return text if addr in text else f"{addr}: {text}"


@dataclass(slots=True)
class AgentTrouble:
    """The state of one agent."""

    cause: ProglogError | None = None
    """Its last failure; ``None``: none since the last contact with any agent."""
    failed_at: float = float("-inf")
    contact_at: float | None = None


class Failover:
    """The agents of one stream or producer, by index in the order in which they are preferred."""

    def __init__(self, agents: int, patience: float, now: float) -> None:
        """Start with the first one.

        Args:
            agents: How many.
            patience: Seconds without contact to any agent after which asking is in vain.
            now: The time: patience begins.
        """
        self.rows = [AgentTrouble() for _ in range(agents)]
        self.at = 0
        """The agent to ask now."""
        self.patience = patience
        self._waiting_since = now

    def add(self, agents: int) -> None:
        """Take in further agents."""
        self.rows += [AgentTrouble() for _ in range(agents)]

    def contact(self, now: float) -> None:
        """Note that the agent answers: whatever failed before says nothing any more."""
        for row in self.rows:
            row.cause = None
        self.rows[self.at].contact_at = now
        self._waiting_since = now

    def renew(self, now: float) -> None:
        """Begin anew, with all patience: something else is asked for."""
        for row in self.rows:
            row.cause = None
        self._waiting_since = now

    def failed(self, cause: ProglogError, now: float) -> None:
        """Note why the agent failed, and turn to the next one worth asking."""
        row = self.rows[self.at]
        row.cause, row.failed_at = cause, now
        count = len(self.rows)
        order = [(self.at + step) % count for step in range(1, count + 1)]
        fresh = next((index for index in order if self.rows[index].cause is None), None)
        if fresh is None:
            fresh = next((index for index in order if self._may_recover(index)), order[0])
        self.at = fresh

    def wait(self, now: float) -> float:
        """Return the seconds to let pass before the agent is asked: none, if it has not failed just now."""
        return max(0.0, self.rows[self.at].failed_at + ROUND_INTERVAL - now)

    def verdict(self, now: float) -> ProglogError | None:
        """Return why asking further is in vain; ``None`` while it is not."""
        causes = [row.cause for row in self.rows if row.cause is not None]
        if len(causes) < len(self.rows):
            return None
        if any(map(self._may_recover, range(len(self.rows)))) and now < self._waiting_since + self.patience:
            return None
        return max(causes, key=kind_of)

    def lacking(self) -> list[ProglogError]:
        """Return what every agent says that has not what is wanted."""
        return [row.cause for row in self.rows if row.cause is not None and kind_of(row.cause) is Kind.LACKS]

    def _may_recover(self, index: int) -> bool:
        cause = self.rows[index].cause
        return cause is None or kind_of(cause) in (Kind.AWAY, Kind.FULL)
