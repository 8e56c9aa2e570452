"""The schedule of faults: which one hits which node, and when, drawn from a seed. Pure.

Faults of two classes::

    passing      the node's disk keeps what was synced. Several nodes at once, also a majority
    destroying   the disk loses or changes synced data. One victim at a time, never before every node
                 holds everything acknowledged so far: a record on a single disk may be lost with it

Victims are two nodes of the cluster. Their clients ask for a second copy (``--acks 2``); the others' clients do not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """A kind of fault."""

    KILL = "kill -9"
    TERM = "SIGTERM"
    STORM = "kill -9 of three or five at once"
    PAUSE = "SIGSTOP"
    DEAF = "one-way cut"
    CUT = "cut off from all"
    REFUSE = "refused by the kernel"
    SLOW_LINK = "64 KiB/s towards it"
    SLOW_DISK = "0.3 s a sync"
    SLOW_READS = "50 ms a read"
    FAILED_SYNC = "one sync fails"
    FULL = "disk full"
    FULL_AND_KILLED = "disk full, kill -9, restart"
    DESCRIPTORS = "no file descriptors"
    KILL_AT_RENAME = "killed at a rename"
    KILL_AT_UNLINK = "killed at an unlink"
    KILL_AT_TRUNCATE = "killed at a truncation"
    KILL_AT_OPEN = "killed at a new file"
    SECOND_AGENT = "a second agent on its directory"
    FLIP = "a byte flipped while it runs"
    FLIP_AT_REST = "a byte flipped while it is down"
    TRUNCATE = "the end of its last segment gone"
    UNREADABLE = "reads fail with EIO"
    REMOVE = "a sealed segment removed while it is down"
    WIPE = "directory removed while it is down"
    ROLL_BACK = "an older copy of its directory put back"
    KILL_AT_REFILL = "killed while a lost segment is restored"
    KILL_AT_NEW_ORIGIN = "an older copy put back, killed when it begins an origin"
    CLONE = "a copy of its directory started on another host"


DESTROYING = frozenset(
    {
        Fault.FLIP,
        Fault.FLIP_AT_REST,
        Fault.TRUNCATE,
        Fault.UNREADABLE,
        Fault.REMOVE,
        Fault.WIPE,
        Fault.ROLL_BACK,
        Fault.KILL_AT_REFILL,
        Fault.KILL_AT_NEW_ORIGIN,
        Fault.CLONE,
    }
)
PASSING = tuple(fault for fault in Fault if fault not in DESTROYING)
_DESTROYING = tuple(fault for fault in Fault if fault in DESTROYING)
_PAUSE_SECONDS = (0.5, 4.0)
_FAULT_SECONDS = (1.0, 8.0)
_DESTROYING_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Step:
    """One fault."""

    number: int
    pause: float
    """Seconds from the start of the previous fault to this one's."""
    fault: Fault
    node: str
    seconds: float
    """Duration, where it can be chosen."""
    seed: int
    """Seed of the fault's details: the byte, the peer, the segment."""

    @property
    def destroys(self) -> bool:
        """Whether synced data is lost."""
        return self.fault in DESTROYING

    def __str__(self) -> str:
        """Return a one-line description."""
        return f"{self.number:4d}  {self.node}  {self.fault}, {self.seconds:.1f} s"


def schedule(seed: int, steps: int, nodes: Sequence[str], victims: Sequence[str]) -> list[Step]:
    """Return ``steps`` faults; each kind comes once, in random order, before any comes again.

    Args:
        seed: The same seed, the same list; a longer list begins with the shorter one.
        steps: How many.
        nodes: All of the cluster.
        victims: Those whose disks may lose data.
    """
    random = Random(seed)
    passing, destroying = _rounds(random, PASSING), _rounds(random, _DESTROYING)
    drawn = []
    for number in range(steps):
        destroys = random.random() < _DESTROYING_SHARE
        fault = next(destroying if destroys else passing)
        drawn.append(
            Step(
                number,
                random.uniform(*_PAUSE_SECONDS),
                fault,
                random.choice(victims if destroys else nodes),
                random.uniform(*_FAULT_SECONDS),
                random.getrandbits(32),
            )
        )
    return drawn


def _rounds(random: Random, faults: Sequence[Fault]) -> Iterator[Fault]:
    """Yield every fault once in random order, and repeat without end."""
    own = Random(random.getrandbits(32))
    while True:
        yield from own.sample(faults, len(faults))
