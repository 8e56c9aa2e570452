"""The conditions that a restart must not hide: kept in the file ``conditions`` of the data directory.

A fork is there until the directory is another one, or an operator accepts it; damage that was repaired, until an operator
accepts that. The file is text.
"""

import asyncio
from pathlib import Path
from typing import Any

from proglog.agent.conditions import MAX_CONDITIONS, Conditions
from proglog.agent.supervisor import Supervisor
from proglog.agent.timeline import MAX_DETAIL_CHARS
from proglog.clock import now_ms
from proglog.errors import StorageError
from proglog.log import checkpoint
from proglog.log.files import OsFiles
from proglog.observe.event_findings import BY_STATUS_NAME, Lasting
from proglog.telemetry import events
from proglog.telemetry.emit import Emit
from proglog.wire.model import Condition

RETRY_INTERVAL = 30.0
"""Seconds until a save that failed is tried again."""


class ConditionFile:
    """Reads what the last life left, and saves what is kept whenever that changes."""

    def __init__(self, data_dir: Path, conditions: Conditions, tasks: Supervisor, emit: Emit) -> None:
        """Give ``conditions`` what the last life left in ``data_dir``; ``tasks`` owns the saving."""
        self._path = data_dir / "conditions"
        self._conditions = conditions
        self._emit = emit
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        conditions.restore(self._load())
        conditions.on_kept = self._changed.set
        self._saving = tasks.start(self._run(), name="conditions-save")

    async def close(self) -> None:
        """Return when everything is saved."""
        self._saving.cancel()
        await asyncio.wait([self._saving])
        if self._changed.is_set():
            await self._save()

    async def saved(self) -> None:
        """Return when everything is saved.

        Raises:
            StorageError: The disk refused.
        """
        async with self._writing:  # a save that is under way
            pass
        if self._changed.is_set() and not await self._save():
            raise StorageError(f"{self._path} could not be written")

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            if await self._save():
                continue
            await asyncio.sleep(RETRY_INTERVAL)

    async def _save(self) -> bool:
        async with self._writing:
            return await self._write()

    async def _write(self) -> bool:
        self._changed.clear()
        now = now_ms()
        content = {
            "conditions": [
                {
                    "kind": each.kind,
                    "subject": each.subject,
                    "origin": each.origin,
                    "detail": each.detail,
                    "first_ms": now - each.since_ms,
                    "count": each.count,
                }
                for each in self._conditions.kept()
            ]
        }
        try:
            await asyncio.to_thread(checkpoint.save, OsFiles(), self._path, content)
        except OSError as exc:
            self._emit(events.CONDITIONS_LOST, "", str(exc))
            self._changed.set()
            return False
        except asyncio.CancelledError:
            self._changed.set()
            raise
        return True

    def _load(self) -> list[Condition]:
        try:
            content = checkpoint.load(OsFiles(), self._path) or {}
        except (OSError, StorageError) as exc:
            self._emit(events.CONDITIONS_LOST, "", str(exc))
            return []
        listed = content.get("conditions", [])
        found = [_read(each) for each in listed[:MAX_CONDITIONS]] if isinstance(listed, list) else []
        return [each for each in found if each is not None]


def _read(entry: Any) -> Condition | None:
    """Return what one entry of the file says; ``None``: nothing that this version knows."""
    try:
        since_ms = max(0, now_ms() - int(entry["first_ms"]))
        kind, count = str(entry["kind"]), int(entry["count"])
        subject, detail = (str(entry[key])[:MAX_DETAIL_CHARS] for key in ("subject", "detail"))
        origin = str(entry.get("origin", ""))[:MAX_DETAIL_CHARS]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    shown = BY_STATUS_NAME.get(kind)
    if not isinstance(shown, Lasting) or not shown.kept or not 0 < count < 1 << 32:
        return None
    return Condition(
        kind=kind, subject=subject, origin=origin, detail=detail, since_ms=since_ms, last_ms=since_ms, count=count
    )
