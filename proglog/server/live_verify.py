"""Checking a log in use: every batch of its segments, and whether the index finds it.

The checks are those of ``proglog verify`` on a stopped agent's directory, except for the chain across segments. It reads
like any reader, at most half of the time, and hashes on another thread: appends and other readers continue. It reports
new damage to the log, which starts the repair. Cached pages are checked as the kernel holds them.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial

from proglog.errors import DataLossError, MalformedBatchError, NotFoundError, OffsetOutOfRangeError, ProglogError
from proglog.log.log import Log
from proglog.log.model import LogPosition, SegmentInfo
from proglog.log.store import store_name
from proglog.record import columns
from proglog.record.batch import HEADER_BYTES, BatchHeader
from proglog.server.commit_log import CommitLog
from proglog.types import FilePosition, Offset, half_open
from proglog.wire.contract import MAX_PROBLEMS
from proglog.wire.model import DamagedRange, Verified

READ_BYTES = 4 * 2**20


async def verify_live(commit_log: CommitLog, base_offset: Offset | None) -> AsyncIterator[Verified]:
    """Yield the progress after each portion; the last one is ``finished``.

    Args:
        commit_log: The log to check.
        base_offset: That of the segment; ``None``: all current segments.

    Raises:
        NotFoundError: No segment begins there.
        StorageError: The disk could not be read.
    """
    segments = [each for each in commit_log.segments() if base_offset in (None, each.base_offset)]
    if not segments:
        raise NotFoundError(f"no segment begins at offset {base_offset}: `proglog segments` lists them")
    run = _Run(commit_log, sum(segment.bytes for segment in segments))
    for segment in segments:
        async for done in run.check(segment):
            yield done
    yield replace(run.done, bytes_done=run.done.bytes_total, finished=True)


@dataclass(slots=True)
class _Portion:
    """The findings in one stretch of a store."""

    sound_bytes: int = 0
    batches: int = 0
    records: int = 0
    end_offset: int = 0
    problems: list[DamagedRange] = field(default_factory=list)


class _Run:
    def __init__(self, commit_log: CommitLog, total: int) -> None:
        self._commit_log = commit_log
        self.done = Verified(bytes_done=0, bytes_total=total, batches=0, records=0)

    async def check(self, segment: SegmentInfo) -> AsyncIterator[Verified]:
        """Check one segment up to its end at the start of the check."""
        log = self._commit_log
        at = LogPosition(segment.base_offset, FilePosition(0))
        before = self.done.bytes_done
        while at < LogPosition(segment.base_offset, FilePosition(segment.bytes)):
            started = time.monotonic()
            try:
                data, following = await log.read(at, READ_BYTES)
                behind = log.after_damage(at)
                if behind != at:  # a control batch was there: readers pass over it, a verdict does not
                    end = behind.position if behind.segment == segment.base_offset else segment.bytes
                    where = f"{store_name(segment.base_offset)}, bytes {half_open(at.position, end)}"
                    problem = _problem(segment.end_offset, segment.end_offset, f"a control batch is damaged ({where})")
                    self._add(_Portion(problems=[problem]), before + end)
                    yield self.done
                    at = behind
                    continue
                if following.segment != segment.base_offset or not data:
                    break
                portion = await log.query(partial(_checked, at=at, data=data))
                if portion.sound_bytes < len(data):
                    await log.query(partial(Log.recheck, at=at, size=len(data)))
                    if await self._is_known(at, len(data)):
                        continue  # the next read reports the damage
                    portion.problems.append(_problem(portion.end_offset, segment.end_offset, "read wrong, once"))
            except DataLossError as exc:
                self._add(_Portion(problems=[_problem(exc.start, exc.end, str(exc))]), self.done.bytes_done)
                yield self.done
                at = log.after_damage(at)
                continue
            except OffsetOutOfRangeError:
                break  # retention was faster
            at = following
            self._add(portion, before + following.position)
            yield self.done
            await asyncio.sleep(time.monotonic() - started)  # leaves half of the time to others
        self.done = replace(self.done, bytes_done=before + segment.bytes)

    async def _is_known(self, at: LogPosition, size: int) -> bool:
        """Return whether the log, after its recheck, reads less there than before."""
        try:
            data, _ = await self._commit_log.read(at, READ_BYTES)
        except ProglogError:
            return True
        return len(data) < size

    def _add(self, portion: _Portion, bytes_done: int) -> None:
        done = self.done
        self.done = replace(
            done,
            bytes_done=min(bytes_done, done.bytes_total),
            batches=done.batches + portion.batches,
            records=done.records + portion.records,
            problems=(*done.problems, *portion.problems)[:MAX_PROBLEMS],
        )


def _checked(log: Log, at: LogPosition, data: bytes) -> _Portion:
    """Check whole batches read at ``at``."""
    found = _Portion()
    for position, header in log.sound_batches(at, data):
        found.sound_bytes += header.batch_bytes
        found.batches += 1
        found.records += header.record_count
        found.end_offset = header.end_offset
        what = _columns_of(data, position, header)
        if not what and not position:
            what = _index_of(log, at, header)
        if what:
            found.problems.append(_problem(header.base_offset, header.end_offset, what))
    return found


def _columns_of(data: bytes, position: int, header: BatchHeader) -> str:
    """Return what is wrong inside a batch whose checksums agree."""
    if header.is_control:
        return ""
    payload = memoryview(data)[position + HEADER_BYTES : position + header.batch_bytes]
    try:
        columns.check(payload, header.record_count)
    except MalformedBatchError as exc:
        return str(exc)
    return ""


def _index_of(log: Log, at: LogPosition, header: BatchHeader) -> str:
    """Return what is wrong with the index entry of the batch at ``at``; empty if nothing."""
    if header.is_control:
        return ""
    try:
        found = log.seek(header.base_offset)
    except ProglogError as exc:
        return f"the index does not find it: {exc}"
    return "" if found == at else f"the index finds it at byte {found.position}; it is at {at.position}"


def _problem(start: int, end: int, detail: str) -> DamagedRange:
    return DamagedRange(start_offset=start, end_offset=end, detail=detail)
