"""Remembers members' gossip addresses in the data directory, so that a restart finds the cluster without seeds.

The file ``members`` is a hint: without it, the node relies on its seeds. For each address it stores how long this node
ran while no member was alive there; the address book decides what to forget, and when. Serf keeps the same in its
snapshot.
"""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proglog.addr import join_addr, split_addr
from proglog.agent.supervisor import Supervisor
from proglog.errors import ConfigError, StorageError
from proglog.gossip.address_book import MAX_REMEMBERED, KnownAddress
from proglog.gossip.lamport import MAX_AHEAD, MAX_LTIME, ClockTimes
from proglog.log import checkpoint
from proglog.log.files import OsFiles
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, log_event

SAVE_INTERVAL = 3600.0
"""Seconds between two saves in which nothing but time has passed."""
MIN_INTERVAL = 0.5
"""Seconds between two saves: events may come in quick succession."""
MAX_REMEMBERED_TIME = MAX_LTIME - MAX_AHEAD
RETRY_INTERVAL = 30.0
"""Seconds until a save that failed is tried again."""


class KnownMembers:
    """The file, and what it is to hold."""

    def __init__(self, data_dir: Path, node_name: str, tasks: Supervisor | None = None, emit: Emit = log_event) -> None:
        """Read what the last life left in ``data_dir``; ``tasks`` owns the saving, ``None``: an owner that only reports."""
        self._tasks = tasks or Supervisor(node_name=node_name)
        self._path = data_dir / "members"
        self._emit = emit
        self.remembered: tuple[KnownAddress, ...] = ()
        """Members' addresses known before the restart."""
        self.clocks = ClockTimes()
        """The Lamport clocks before the restart."""
        self._load()
        self._current: Callable[[], list[KnownAddress]] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._saved: tuple[list[tuple[str, int, str]], ClockTimes] = ([], ClockTimes())
        self._times: Callable[[], ClockTimes] = ClockTimes

    def follow(self, current: Callable[[], list[KnownAddress]], times: Callable[[], ClockTimes] = ClockTimes) -> None:
        """Keep what ``current`` and ``times`` return: at each :meth:`changed`, from time to time, and at the end."""
        self._current, self._times = current, times
        self._saving = self._tasks.start(self._run(), name="known-members-save")

    def changed(self) -> None:
        """Save soon: a member came, went or moved."""
        self._changed.set()

    async def close(self) -> None:
        """Return when everything is saved."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait([self._saving])
            await self._save()

    async def _run(self) -> None:
        wait = SAVE_INTERVAL
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                self._saved = [], ClockTimes()  # time has passed: the file says how much
            self._changed.clear()
            wait = SAVE_INTERVAL if await self._save() else RETRY_INTERVAL
            await asyncio.sleep(MIN_INTERVAL)

    async def _save(self) -> bool:
        known = self._current() if self._current is not None else []
        addresses = [(each.host, each.port, each.name) for each in known]
        times = self._times()
        if (addresses, times) == self._saved:
            return True
        content = {
            "clocks": {"intents": times.intents, "events": times.events, "queries": times.queries},
            "addresses": [
                {"addr": join_addr(each.host, each.port), "name": each.name, "unseen_seconds": round(each.unseen)}
                for each in known
            ],
        }
        try:
            await asyncio.to_thread(checkpoint.save, OsFiles(), self._path, content)
        except OSError as exc:
            self._emit(events.KNOWN_MEMBERS_LOST, "", str(exc))
            return False
        self._saved = addresses, times
        return True

    def _load(self) -> None:
        try:
            content = checkpoint.load(OsFiles(), self._path) or {}
        except (OSError, StorageError) as exc:
            self._emit(events.KNOWN_MEMBERS_LOST, "", str(exc))
            return
        listed = content.get("addresses", [])
        found = [_read(each) for each in listed[:MAX_REMEMBERED]] if isinstance(listed, list) else []
        self.remembered = tuple(each for each in found if each is not None)
        times = content.get("clocks", {})
        self.clocks = _read_clocks(times if isinstance(times, dict) else {})


def _read_clocks(times: dict[Any, Any]) -> ClockTimes:
    values = [times.get(name) for name in ("intents", "events", "queries")]
    intents, events_, queries = (
        each if isinstance(each, int) and 0 <= each <= MAX_REMEMBERED_TIME else 0 for each in values
    )
    return ClockTimes(intents=intents, events=events_, queries=queries)


def _read(entry: Any) -> KnownAddress | None:
    try:
        host, port = split_addr(str(entry["addr"]), "members")
        unseen = float(entry["unseen_seconds"])
        name = str(entry["name"])
    except (ConfigError, KeyError, TypeError, ValueError):
        return None
    return (
        KnownAddress(host=host, port=port, name=name, unseen=unseen) if math.isfinite(unseen) and unseen >= 0 else None
    )
