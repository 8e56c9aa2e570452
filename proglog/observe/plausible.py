"""What an agent reports that cannot be: a hostile one, or one with a bug, must not be judged by it. Pure.

A number beyond these bounds is named in a finding, and no share or verdict is computed from it.
"""

from collections.abc import Iterator

from proglog.observe.words import bytes_words, count_words
from proglog.types import MAX_ORDINAL, half_open
from proglog.wire.model import ClusterSnapshot, LogStatus

MAX_BYTES = 1 << 60
"""Most bytes of a disk or a log: an exbibyte."""
MAX_COUNT = 1 << 60
"""Most records that anything is behind by, or that are counted: 600 years at 60 million a second."""
MAX_AGE_MS = 200 * 365 * 86_400_000
"""Longest that anything lasts."""
MAX_NAMED = 3
"""Most numbers that are named."""


def free_share(log: LogStatus) -> float | None:
    """Return which share of the log's disk is free, 0 to 1; ``None``: the agent does not say, or it cannot be."""
    free, total = log.disk_free_bytes, log.disk_total_bytes
    return free / total if 0 < total <= MAX_BYTES and 0 <= free <= total else None


def implausible(snapshot: ClusterSnapshot) -> list[str]:
    """Return what the agent reports that cannot be, in words; at most ``MAX_NAMED``."""
    named = (words for words in _numbers(snapshot) if words)
    return [words for words, _ in zip(named, range(MAX_NAMED), strict=False)]


def _numbers(snapshot: ClusterSnapshot) -> Iterator[str]:
    log = snapshot.log
    if log.disk_total_bytes and free_share(log) is None:
        yield f"a disk with {bytes_words(log.disk_free_bytes)} free of {bytes_words(log.disk_total_bytes)}"
    if not 0 <= log.bytes <= MAX_BYTES:
        yield f"a log of {bytes_words(log.bytes)}"
    if not 0 <= log.start_offset <= log.end_offset <= MAX_ORDINAL:
        yield f"a log of offsets {half_open(log.start_offset, log.end_offset)}"
    if not 0 <= snapshot.up_ms <= MAX_AGE_MS:
        yield "to have run for longer than computers exist"
    for member in snapshot.members:
        if not 0 <= member.status_since_ms <= MAX_AGE_MS:
            yield f"{member.name} to have been {member.status} for {count_words(member.status_since_ms // 86_400_000)} days"
    for peer in snapshot.peers:
        for origin in peer.origins:
            if not 0 <= origin.lag_records <= MAX_COUNT:
                yield f"to trail {peer.name} by {count_words(origin.lag_records)} records"
