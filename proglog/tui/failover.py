"""Whom to watch when the watched agent is gone, and whom to ask beside it. Decisions alone: no sockets, no clocks.

::

    the agent answers --- lost ---> patience --- PATIENCE over ---> first candidate that answers
           ^                           |                               |  lost: the next one, in rounds
           '------- it is back --------'-------------------------------'

An agent that is slow, or refuses, is there: only one that cannot be reached is replaced. Members, their names and
addresses come from gossip: they are bounded here, and checked where they are dialled.
"""

from collections.abc import Collection
from dataclasses import dataclass

from proglog.errors import ProglogError, is_out_of_reach
from proglog.wire.model import ClusterSnapshot, MemberStatus

PATIENCE = 2.0
"""Seconds that an agent may be gone before another one is watched: a restart is often shorter."""
FIRST_ANSWER = 1.0
"""Seconds that a candidate has for its first word."""
RETRY_INTERVALS = (0.2, 0.2, 0.3)
"""Seconds before each further try of the watched agent; the last one stays: it is to be back within a second."""
REFUSED_INTERVALS = (0.5, 1.0, 2.0, 5.0)
"""Seconds before each further try of an agent that is there and says no; the last one stays."""
ROUND_INTERVALS = (0.2, 0.5, 1.0, 2.0)
"""Seconds between two rounds through the candidates; the last one stays."""
OTHER_INTERVALS = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before each further try of a member beside the watched one; the last one stays."""
MAX_ASKED = 64
"""Members that are asked beside the watched one."""
ASKED_PER_SECOND = 5
"""Snapshots of other members in a second, all together: each costs its reader some milliseconds."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member that can be asked."""

    name: str
    addr: str
    """HOST:PORT of its gRPC server, as gossip has it: unchecked."""


def retry_after(error: ProglogError, attempt: int) -> float:
    """Return the seconds until the watched agent is tried again, which has failed ``attempt`` times, from 1."""
    return after(attempt, RETRY_INTERVALS if is_out_of_reach(error) else REFUSED_INTERVALS)


def after(attempt: int, intervals: tuple[float, ...]) -> float:
    """Return the seconds to wait after ``attempt`` failures, from 1."""
    return intervals[min(attempt, len(intervals)) - 1]


def others(snapshot: ClusterSnapshot, home: Collection[str]) -> tuple[Candidate, ...]:
    """Return the members to ask beside the watched one: alive, with an address, the same ones each time.

    Args:
        snapshot: What is known of the cluster.
        home: Names and addresses of the watched agent.
    """
    alive = (
        Candidate(member.name, member.rpc_addr)
        for member in sorted(snapshot.members, key=lambda member: member.name)
        if member.status is MemberStatus.ALIVE and member.rpc_addr
    )
    return tuple(each for each in alive if each.name not in home and each.addr not in home)[:MAX_ASKED]


def candidates(snapshot: ClusterSnapshot, home: Collection[str], heard: Collection[str]) -> tuple[Candidate, ...]:
    """Return who may stand in, in the order in which to try: first those whose own word is at hand (``heard``)."""
    return tuple(sorted(others(snapshot, home), key=lambda each: each.name not in heard))


def asked_every(count: int) -> float:
    """Return the seconds between two snapshots of each of ``count`` members."""
    return max(1.0, count / ASKED_PER_SECOND)
