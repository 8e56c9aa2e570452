"""Whom this node knew: gossip addresses kept in the data directory, so that a restart finds the cluster without seeds.

The first node of a cluster has none, and whoever left in order is called on by nobody. The file ``members`` is a hint:
lost or damaged, the node is back to its seeds. Serf has the same in its snapshot.
"""

import asyncio
from pathlib import Path

from proglog.addr import join_addr, split_addr
from proglog.agent.supervisor import Supervisor
from proglog.errors import ConfigError, StorageError
from proglog.gossip.events import MemberEvent, MemberEventKind
from proglog.log import checkpoint
from proglog.log.files import OsFiles
from proglog.telemetry import events
from proglog.telemetry.events import Emit, log_event

MAX_KNOWN = 64
"""Addresses that are kept: one that answers is enough."""
_GONE = (MemberEventKind.LEAVE, MemberEventKind.REAP)


class KnownMembers:
    """Addresses by name. Members that failed stay: they may be what is there at the next start."""

    def __init__(self, data_dir: Path, node_name: str, tasks: Supervisor | None = None, emit: Emit = log_event) -> None:
        """Read what the last life left in ``data_dir``; ``tasks`` owns the saving, ``None``: an owner that only reports."""
        self._tasks = tasks or Supervisor(node_name=node_name)
        self._path = data_dir / "members"
        self._node_name = node_name
        self._emit = emit
        self._addrs = self._load()
        self._saving: asyncio.Task[None] | None = None
        self._dirty = False

    @property
    def addrs(self) -> tuple[str, ...]:
        """HOST:PORT of each."""
        return tuple(self._addrs.values())

    def changed(self, event: MemberEvent) -> None:
        """Take in a change of membership; it is saved in the background."""
        member = event.member
        if member.name == self._node_name:
            return
        before = dict(self._addrs)
        self._addrs.pop(member.name, None)
        if event.kind not in _GONE and len(self._addrs) < MAX_KNOWN:
            self._addrs[member.name] = join_addr(member.addr, member.port)
        self._dirty = self._dirty or self._addrs != before
        if self._dirty and (self._saving is None or self._saving.done()):
            self._saving = self._tasks.start(self._save(), name="known-members-save", may_end=True)

    async def close(self) -> None:
        """Return when everything is saved."""
        if self._saving is not None:
            await self._saving

    def _load(self) -> dict[str, str]:
        try:
            content = checkpoint.load(OsFiles(), self._path) or {}
        except (OSError, StorageError) as exc:
            self._emit(events.KNOWN_MEMBERS_LOST, "", str(exc))
            return {}
        return {
            str(name): addr for name, addr in list(content.get("members", {}).items())[:MAX_KNOWN] if _is_addr(addr)
        }

    async def _save(self) -> None:
        while self._dirty:
            self._dirty = False
            content = {"members": dict(self._addrs)}
            try:
                await asyncio.to_thread(checkpoint.save, OsFiles(), self._path, content)
            except OSError as exc:
                self._emit(events.KNOWN_MEMBERS_LOST, "", str(exc))


def _is_addr(addr: object) -> bool:
    try:
        split_addr(str(addr), "members")
    except ConfigError:
        return False
    return True
